// A map of any number of points in WebGL 2: pan, zoom, pick.
// - points are drawn in a random order that stays, so that the first of them are a fair sample; while the map
//   moves only as many are drawn as the graphics card manages at 30 frames a second, and all when it rests
// - colour and visibility are one RGBA value a point; alpha 0 hides it
import KDBush from "/static/vendor/kdbush.js";

const VERTEX = `#version 300 es
in vec2 place; in vec4 colour;
uniform vec2 centre, stretch; uniform float size;
out vec4 shade;
void main() {
  gl_Position = vec4((place - centre) * stretch, 0.0, 1.0);
  if (colour.a == 0.0) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
  shade = colour;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec4 shade; uniform float size; out vec4 drawn;
void main() {
  float r = length(gl_PointCoord - 0.5) * size;
  float a = size < 3.0 ? 1.0 : clamp(size * 0.5 - r + 0.5, 0.0, 1.0);
  if (a <= 0.0) discard;
  drawn = vec4(shade.rgb, 1.0) * (shade.a * a);
}`;
const LEAST = 20000, REST = 160, PICK = 9;

export function makeScatter(canvas, { moved, drawn }) {
  const gl = canvas.getContext("webgl2", { antialias: false, alpha: true });
  if (!gl) throw new Error("This browser has no WebGL 2, which draws the map.");
  const program = link(gl);
  const at = (name) => gl.getUniformLocation(program, name);
  const uniforms = { centre: at("centre"), stretch: at("stretch"), size: at("size") };
  const buffers = { place: gl.createBuffer(), colour: gl.createBuffer(), order: gl.createBuffer() };
  const view = { x: 0, y: 0, zoom: 1 };
  let n = 0, room = 0, places = new Float32Array(0), colours = new Uint8Array(0), order = new Uint32Array(0);
  let index = null, loose = new Set(), round = 0, worker = null;
  let asked = false, budget = Infinity, lastMove = 0, lastFrame = 0, began = 0, flight = null;
  const rate = { drawn: 0, whole: false };  // for whoever measures

  const width = () => canvas.clientWidth || 1, height = () => canvas.clientHeight || 1;
  // CSS pixels for a unit of the map, whose longer side goes from -1 to 1
  const scale = () => 0.47 * Math.min(width(), height()) * view.zoom;

  function setPoints(x, y) {
    n = x.length;
    room = Math.max(1024, Math.ceil(n * 1.1));
    places = new Float32Array(2 * room);
    colours = new Uint8Array(4 * room);
    order = new Uint32Array(room);
    for (let k = 0; k < n; k++) { places[2 * k] = x[k]; places[2 * k + 1] = y[k]; }
    // A fixed shuffle: the step shares no factor with n, and golden steps leave no pattern.
    for (let k = 0; k < n; k++) order[k] = k;
    let seed = 1;
    for (let k = n - 1; k > 0; k--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const j = seed % (k + 1);
      const other = order[k]; order[k] = order[j]; order[j] = other;
    }
    for (const [name, data] of [["place", places], ["colour", colours]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.order);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.DYNAMIC_DRAW);
    budget = Infinity;
    buildIndex();
  }

  // Takes a colour function (k, out, at), called for the points from `from` on.
  function setColours(colourOf, from = 0) {
    for (let k = from; k < n; k++) colourOf(k, colours, 4 * k);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.colour);
    gl.bufferSubData(gl.ARRAY_BUFFER, 4 * from, colours, 4 * from, 4 * (n - from));
    draw();
  }

  // A point that is new (k = n) or has moved; false where there is no room: then all points are set anew.
  function put(k, x, y, colourOf) {
    if (k > n || k >= room) return false;
    if (k === n) {
      order[k] = k; n += 1;
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.order);
      gl.bufferSubData(gl.ELEMENT_ARRAY_BUFFER, 4 * k, order, k, 1);
    }
    places[2 * k] = x; places[2 * k + 1] = y;
    colourOf(k, colours, 4 * k);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.place);
    gl.bufferSubData(gl.ARRAY_BUFFER, 8 * k, places, 2 * k, 2);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.colour);
    gl.bufferSubData(gl.ARRAY_BUFFER, 4 * k, colours, 4 * k, 4);
    loose.add(k);
    if (loose.size > 5000) buildIndex();
    draw();
    return true;
  }

  function buildIndex() {
    if (!worker) {
      worker = new Worker("/static/index_worker.js", { type: "module" });
      worker.onmessage = ({ data }) => {
        if (data.round === round) index = KDBush.from(data.data);
      };
    }
    round += 1; loose = new Set();
    const x = new Float32Array(n), y = new Float32Array(n);
    for (let k = 0; k < n; k++) { x[k] = places[2 * k]; y[k] = places[2 * k + 1]; }
    worker.postMessage({ x, y, round }, [x.buffer, y.buffer]);
  }

  // The visible point nearest to a place on the canvas [CSS pixel], null where none is near.
  function pick(px, py, reach = PICK) {
    const x = view.x + (px - width() / 2) / scale(), y = view.y - (py - height() / 2) / scale();
    const r = reach / scale();
    let best = null, least = r * r;
    const look = (k) => {
      const d = (places[2 * k] - x) ** 2 + (places[2 * k + 1] - y) ** 2;
      if (d <= least && colours[4 * k + 3]) { best = k; least = d; }
    };
    if (index) for (const k of index.within(x, y, r)) look(k);
    for (const k of loose) look(k);
    return best;
  }

  function toScreen(x, y) {
    return [width() / 2 + (x - view.x) * scale(), height() / 2 - (y - view.y) * scale()];
  }

  function pointSize() {
    const crowd = 9000 / Math.max(n, 2000);
    const grown = 4.6 * Math.pow(crowd, 0.25) * Math.pow(view.zoom, 0.38);
    return Math.min(14, Math.max(1.6, grown)) * devicePixelRatio;
  }

  function frame(now) {
    asked = false;
    if (flight) fly(now);
    const moving = now - lastMove < REST || lastMove > began || flight;
    began = now;
    if (moving && lastFrame) {
      const took = now - lastFrame;
      if (took > 34) budget = Math.max(LEAST, Math.min(budget, n) * Math.max(0.2, 30 / took));
      else if (took < 22 && budget < n) budget *= 1.15;
    }
    lastFrame = moving ? now : 0;
    resize();
    const count = moving && !rate.whole ? Math.min(n, Math.round(Math.min(budget, n))) : n;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (n) {
      gl.useProgram(program);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      bind("place", 2, gl.FLOAT, false);
      bind("colour", 4, gl.UNSIGNED_BYTE, true);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.order);
      gl.uniform2f(uniforms.centre, view.x, view.y);
      gl.uniform2f(uniforms.stretch, (2 * scale()) / width(), (2 * scale()) / height());
      gl.uniform1f(uniforms.size, pointSize());
      gl.drawElements(gl.POINTS, count, gl.UNSIGNED_INT, 0);
    }
    rate.drawn = count;
    drawn();
    if (moving) draw();  // again, with all points, when it rests
  }

  function bind(name, size, type, normal) {
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, normal, 0, 0);
  }

  function resize() {
    const w = Math.round(width() * devicePixelRatio), h = Math.round(height() * devicePixelRatio);
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  }

  function draw() {
    if (!asked) { asked = true; requestAnimationFrame(frame); }
  }

  function change(x, y, zoom) {
    view.zoom = Math.min(20000, Math.max(0.5, zoom));
    view.x = Math.min(1.5, Math.max(-1.5, x));
    view.y = Math.min(1.5, Math.max(-1.5, y));
    lastMove = performance.now();
    draw();
    moved();
  }

  // Zoom by a factor about a place on the canvas, which stays where it is.
  function zoomAt(factor, px = width() / 2, py = height() / 2) {
    flight = null;
    const x = view.x + (px - width() / 2) / scale(), y = view.y - (py - height() / 2) / scale();
    const zoom = Math.min(20000, Math.max(0.5, view.zoom * factor));
    const keep = view.zoom / zoom;
    change(x + (view.x - x) * keep, y + (view.y - y) * keep, zoom);
  }

  function panBy(dx, dy) {
    flight = null;
    change(view.x - dx / scale(), view.y + dy / scale(), view.zoom);
  }

  function goTo(x, y, zoom, swift = false) {
    if (swift || matchMedia("(prefers-reduced-motion: reduce)").matches) { flight = null; change(x, y, zoom); return; }
    flight = { from: { ...view }, to: { x, y, zoom }, began: performance.now() };
    draw();
  }

  function fly(now) {
    const t = Math.min(1, Math.max(0, (now - flight.began) / 450)), s = t * t * (3 - 2 * t);
    const { from, to } = flight;
    if (t === 1) flight = null;
    change(from.x + (to.x - from.x) * s, from.y + (to.y - from.y) * s, from.zoom * Math.pow(to.zoom / from.zoom, s));
  }

  listen(canvas, { zoomAt, panBy });
  new ResizeObserver(draw).observe(canvas);
  return {
    view, rate, setPoints, setColours, put, pick, toScreen, zoomAt, panBy, goTo, draw, size: () => n,
    where: (k) => [places[2 * k], places[2 * k + 1]],
    indexed: () => index !== null,
  };
}

// Pointers and wheel; keys are the page's. A press that does not move is a click, and the canvas says so itself.
function listen(canvas, { zoomAt, panBy }) {
  const down = new Map();
  let far = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    zoomAt(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0018)), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (down.size === 1) far = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const here = [event.offsetX, event.offsetY];
    const gap = () => { const [a, b] = [...down.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
    if (down.size === 1) {
      far += Math.hypot(here[0] - before[0], here[1] - before[1]);
      if (far > 4) panBy(here[0] - before[0], here[1] - before[1]);
      down.set(event.pointerId, here);
    } else if (down.size === 2) {
      far = 99;
      const was = gap();
      down.set(event.pointerId, here);
      const [a, b] = [...down.values()];
      zoomAt(gap() / (was || 1), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      panBy((here[0] - before[0]) / 2, (here[1] - before[1]) / 2);
    }
  });
  const up = (event) => {
    if (down.delete(event.pointerId) && !down.size && far <= 4 && event.type === "pointerup") {
      canvas.dispatchEvent(new CustomEvent("pick", { detail: [event.offsetX, event.offsetY, event.pointerType] }));
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("dblclick", (event) => zoomAt(2, event.offsetX, event.offsetY));
}

function link(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}
