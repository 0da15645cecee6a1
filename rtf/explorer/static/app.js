// The page: what is asked of the server, what is shown of it, and the address that leads back to it.
// Names and other text from data are only ever set as text.
import { key, lightCurve, mini, probabilities, day, svg } from "/static/charts.js";
import { classColour, rgb, scale, UNKNOWN } from "/static/colours.js";
import { makeScatter } from "/static/scatter.js";

const $ = (id) => document.getElementById(id);
const state = {
  tab: "tonight", object: null, days: 1, by: "strangeness", colour: "class", hidden: new Set(), minDetections: 0,
  minStrangeness: 0, maxDays: 0, own: null,
};
let about = { classes: [], n: 0, newest: 0 }, map = null, columns = null, scatter = null, marks = new Map();
let list = [], near = [], news = 0, asking = 0;

// ---- small helpers

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [k, value] of Object.entries(attributes)) {
    if (k.startsWith("on")) made.addEventListener(k.slice(2), value);
    else if (k === "class") made.className = value;
    else if (value === true) made.setAttribute(k, "");
    else if (value !== false && value != null) made.setAttribute(k, value);
  }
  made.append(...children.filter((c) => c != null && c !== ""));
  return made;
}

async function ask(path, values = {}, options = {}) {
  const query = new URLSearchParams(values).toString();
  let answer;
  try {
    answer = await fetch(query ? `${path}?${query}` : path, options);
  } catch {
    throw new Error("The explorer does not answer: is it still running?");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(typeof told.detail === "string" ? told.detail : `the explorer answered ${answer.status}`);
  }
  return answer;
}
const askJson = async (...all) => (await ask(...all)).json();
const id = (one) => `${one.survey}:${one.object_id}`;
const fixed = (value, digits) => (value == null ? "–" : value.toFixed(digits));
const waiting = (text) => el("p", { class: "spin quiet" }, text);
const failed = (error) => el("p", { class: "error" }, error.message);
const number = (n) => n.toLocaleString("en");
const chip = (name) => {
  const dot = el("span", { class: "dot" });
  dot.style.background = name ? classColour(name) : UNKNOWN;
  return el("span", { class: "chip" }, dot, name ?? "class unknown");
};

function sexagesimal(ra, dec) {
  const part = (v, digits) => {
    const whole = Math.round(v * 3600 * 10 ** digits) / 10 ** digits;
    const h = Math.floor(whole / 3600), m = Math.floor((whole - h * 3600) / 60), s = whole - h * 3600 - m * 60;
    return `${String(h).padStart(2, "0")}:${String(m).padStart(2, "0")}:${s.toFixed(digits).padStart(3 + digits, "0")}`;
  };
  return `${part(ra / 15, 2)} ${dec < 0 ? "−" : "+"}${part(Math.abs(dec), 1)}`;
}

// ---- the address: all that is looked at stands in it

function address() {
  const found = new URLSearchParams();
  if (state.object) found.set("object", state.object);
  if (state.tab !== "tonight") found.set("tab", state.tab);
  if (state.days !== 1) found.set("days", state.days);
  if (state.by !== "strangeness") found.set("by", state.by);
  if (state.colour !== "class") found.set("colour", state.colour);
  if (state.hidden.size) found.set("hide", [...state.hidden].join(","));
  if (state.minDetections) found.set("detections", state.minDetections);
  if (state.minStrangeness) found.set("strangeness", state.minStrangeness);
  if (state.maxDays) found.set("within", state.maxDays);
  if (scatter && (scatter.view.zoom !== 1 || scatter.view.x || scatter.view.y)) {
    found.set("view", [scatter.view.x.toFixed(5), scatter.view.y.toFixed(5), scatter.view.zoom.toPrecision(5)].join(","));
  }
  return `#${found}`;
}

const go = () => { if (address() !== location.hash) history.pushState(null, "", address()); };
let later = 0;
const stay = () => { clearTimeout(later); later = setTimeout(() => history.replaceState(null, "", address()), 250); };

function readAddress() {
  const found = new URLSearchParams(location.hash.slice(1));
  const real = (name, least = 0) => { const v = Number(found.get(name)); return Number.isFinite(v) && v > least ? v : 0; };
  state.object = found.get("object");
  state.tab = ["tonight", "source", "like", "marks"].includes(found.get("tab")) ? found.get("tab") : "tonight";
  state.days = real("days") || 1;
  state.by = found.get("by") === "marks" ? "marks" : "strangeness";
  state.colour = ["strangeness", "night"].includes(found.get("colour")) ? found.get("colour") : "class";
  state.hidden = new Set((found.get("hide") ?? "").split(",").filter((x) => /^-?\d+$/.test(x)).map(Number));
  [state.minDetections, state.minStrangeness, state.maxDays] = [real("detections"), real("strangeness"), real("within")];
  const view = (found.get("view") ?? "").split(",").map(Number);
  return view.length === 3 && view.every(Number.isFinite) && view[2] > 0 ? view : [0, 0, 1];
}

// ---- the map

async function loadMap() {
  const answer = await ask("/api/map");
  const version = Number(answer.headers.get("x-version"));
  const data = await received(answer);
  const n = new DataView(data).getUint32(0, true), start = new DataView(data).getFloat64(8, true);
  let at = 16;
  const take = (Kind, name) => {
    // room for points that come later
    const held = new Kind(Math.ceil(n * 1.1) + 1024);
    held.set(new Kind(data, at, n));
    at += n * Kind.BYTES_PER_ELEMENT;
    return [name, held];
  };
  columns = Object.fromEntries([
    take(Float32Array, "x"), take(Float32Array, "y"), take(Float32Array, "mjd"), take(Float32Array, "strangeness"),
    take(Uint16Array, "detections"), take(Int8Array, "label"),
  ]);
  map = { n, start, version };
  scatter.setPoints(columns.x.subarray(0, n), columns.y.subarray(0, n));
  recolour();
}

async function received(answer) {
  const size = Number(answer.headers.get("content-length")), reader = answer.body.getReader(), parts = [];
  let got = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    got += value.length;
    if (size > 4e6) wait(`receiving the map: ${(got / 1e6).toFixed(0)} of ${(size / 1e6).toFixed(0)} MB`, got, size);
  }
  const whole = new Uint8Array(got);
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole.buffer;
}

const isDark = () => document.documentElement.dataset.theme === "dark";

// A function that writes colour and visibility of point k.
function painter() {
  const dark = isDark(), table = scale(dark), alpha = map.n > 200000 ? 150 : 215;
  const byClass = Object.fromEntries(about.classes.map((name, k) => [k, rgb(classColour(name))]));
  byClass[-1] = rgb(UNKNOWN);
  const { label, mjd, strangeness, detections } = columns;
  let first = Infinity, last = -Infinity;
  for (let k = 0; k < map.n; k++) { if (mjd[k] < first) first = mjd[k]; if (mjd[k] > last) last = mjd[k]; }
  map.first = first + map.start; map.last = last + map.start;
  const since = state.maxDays ? last - state.maxDays : -Infinity;
  const hidden = new Uint8Array(256);
  for (const k of state.hidden) hidden[k & 255] = 1;
  return (k, out, at) => {
    const c = label[k];
    const seen = !hidden[c & 255] && detections[k] >= state.minDetections && mjd[k] >= since
      && !(state.minStrangeness && !(strangeness[k] >= state.minStrangeness)) && columns.x[k] === columns.x[k];
    let colour;
    if (state.colour === "class") colour = byClass[c];
    else if (state.colour === "night") colour = table[Math.round((255 * (mjd[k] - first)) / (last - first || 1))];
    else colour = strangeness[k] === strangeness[k] ? table[Math.round(255 * Math.min(1, Math.max(0, strangeness[k])))] : byClass[-1];
    out[at] = colour[0]; out[at + 1] = colour[1]; out[at + 2] = colour[2];
    out[at + 3] = seen ? alpha : 0;
    if (seen) map.shown += 1;
  };
}

function recolour() {
  if (!columns) return;
  map.shown = 0;
  scatter.setColours(painter());
  drawLegend();
  drawCount();
}

function drawCount() {
  if (!map) return;
  const all = map.shown === map.n ? `${number(map.n)} objects` : `${number(map.shown)} of ${number(map.n)} objects shown`;
  $("count").textContent = all;
  $("news").textContent = news ? `● ${number(news)} new or changed since you opened the page` : "";
}

function drawLegend() {
  const body = $("legend-body");
  body.replaceChildren();
  $("legend").querySelector("summary").textContent = state.colour === "night" ? "night of the newest alert" : state.colour;
  if (state.colour !== "class") {
    const table = scale(isDark()), ramp = svg("svg", { width: 170, height: 30, viewBox: "0 0 170 30" });
    for (let k = 0; k < 85; k++) ramp.append(svg("rect", { x: 2 * k, y: 0, width: 2.2, height: 12, fill: `rgb(${table[3 * k]})` }));
    const ends = state.colour === "night" ? [day(map.first), day(map.last)] : ["0: usual", "1: strange"];
    ramp.append(svg("text", { x: 0, y: 26 }, ends[0]), svg("text", { x: 170, y: 26, "text-anchor": "end" }, ends[1]));
    body.append(ramp);
    return;
  }
  const counts = new Map();
  for (let k = 0; k < map.n; k++) counts.set(columns.label[k], (counts.get(columns.label[k]) ?? 0) + 1);
  for (const [label, n] of [...counts].sort((a, b) => b[1] - a[1])) {
    const name = label >= 0 ? about.classes[label] : null, shown = !state.hidden.has(label);
    const toggle = (event) => {
      if (event.shiftKey || event.detail === 2) state.hidden = new Set([...counts.keys()].filter((c) => c !== label));
      else if (shown) state.hidden.add(label);
      else state.hidden.delete(label);
      recolour(); go();
      body.querySelector(`[data-label="${label}"]`)?.focus();
    };
    const entry = chip(name);
    body.append(el("button", { type: "button", "aria-pressed": String(shown), "data-label": label, onclick: toggle,
      title: "Show or hide; with shift, this one alone" }, ...entry.childNodes, el("span", { class: "n" }, number(n))));
  }
}

function overlay() {
  const rings = [];
  const ring = (x, y, kind, title) => {
    const [px, py] = scatter.toScreen(x, y);
    const made = el("div", { class: `ring ${kind}` });
    made.style.left = `${px}px`; made.style.top = `${py}px`;
    rings.push(made);
  };
  for (const one of near) if (one.x != null) ring(one.x, one.y, "near");
  for (const one of state.own?.sources ?? []) ring(one.x, one.y, "own");
  if (overlay.at) ring(...overlay.at, "");
  const lasting = [...$("overlay").querySelectorAll(".new")];
  $("overlay").replaceChildren(...rings, ...lasting);
}

function wait(text, done = 0, of = 0, error = false) {
  $("waiting").hidden = !text;
  $("waiting").classList.toggle("error", error);
  $("doing").textContent = text ? text[0].toUpperCase() + text.slice(1) + (error || /MB|of \d/.test(text) ? "" : "…") : "";
  $("progress").hidden = error;
  if (of) { $("progress").max = of; $("progress").value = done; } else $("progress").removeAttribute("value");
}

function watchMap() {
  const canvas = $("canvas"), tip = $("tip");
  let hovered = null, timer = 0;
  const hide = () => { hovered = null; tip.hidden = true; };
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons || event.pointerType === "touch" || !map) return hide();
    const k = scatter.pick(event.offsetX, event.offsetY);
    canvas.style.cursor = k == null ? "" : "pointer";
    if (k == null) return hide();
    tip.style.left = `${Math.min(event.offsetX + 14, canvas.clientWidth - 190)}px`;
    tip.style.top = `${event.offsetY + (event.offsetY > canvas.clientHeight - 90 ? -64 : 14)}px`;
    if (k === hovered) return;
    hovered = k;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const one = await askJson("/api/point", { number: k }).catch(() => null);
      if (hovered !== k || !one) return;
      tip.replaceChildren(el("b", {}, one.object_id), el("small", {}, chip(one.class)),
        el("small", {}, `${one.n_detections} detections, strangeness ${fixed(one.strangeness, 4)}, ${day(one.mjd)}`));
      tip.hidden = false;
    }, 35);
  });
  canvas.addEventListener("pointerleave", hide);
  canvas.addEventListener("pick", async ({ detail: [x, y, kind] }) => {
    const k = map && scatter.pick(x, y, kind === "touch" ? 20 : 9);
    if (k != null) openNumber(k);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = 60, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) scatter.panBy(...moves[event.key]);
    else if (event.key === "Enter" && map) {
      const k = scatter.pick(canvas.clientWidth / 2, canvas.clientHeight / 2, 60);
      if (k != null) openNumber(k);
    } else return;
    event.preventDefault();
  });
  for (const button of $("zoom").children) {
    button.addEventListener("click", () => (Number(button.dataset.zoom) ? scatter.zoomAt(Number(button.dataset.zoom)) : scatter.goTo(0, 0, 1)));
  }
}

const openNumber = async (k) => {
  try { open(await askJson("/api/point", { number: k })); } catch (error) { note(error.message); }
};
const note = (text) => { $("note").textContent = text; $("note").title = text; };

// ---- sources

function open(one) {
  state.object = id(one);
  state.tab = "source";
  go();
  show();
}

const linkTo = (one) => {
  const now = { ...state };
  Object.assign(state, { object: id(one), tab: "source" });
  const found = address();
  Object.assign(state, now);
  return found;
};
const link = (one, ...children) =>
  el("a", { href: linkTo(one), onclick: (event) => { if (event.ctrlKey || event.metaKey || event.shiftKey) return; event.preventDefault(); open(one); } }, ...children);

function markButtons(one) {
  const made = el("span", { class: "marks" });
  const paint = () => {
    made.replaceChildren(...[["interesting", "★"], ["boring", "✕"]].map(([mark, sign]) => el("button", {
      type: "button", title: `${mark} (${mark[0]})`, "aria-label": `${mark}: ${one.object_id}`, "aria-pressed": String(marks.get(id(one)) === mark),
      onclick: () => setMark(one, marks.get(id(one)) === mark ? null : mark),
    }, sign)));
  };
  paint();
  made.addEventListener("repaint", paint);
  made.dataset.object = id(one);
  return made;
}

async function setMark(one, mark) {
  const before = marks.get(id(one));
  const put = (value) => {
    if (value) marks.set(id(one), value); else marks.delete(id(one));
    for (const node of document.querySelectorAll(".marks")) if (node.dataset.object === id(one)) node.dispatchEvent(new Event("repaint"));
  };
  put(mark);
  try {
    const body = JSON.stringify({ survey: one.survey, object_id: one.object_id, mark });
    await ask("/api/mark", {}, { method: "POST", headers: { "content-type": "application/json" }, body });
    note(about.marks_kept ? "" : "marks are forgotten when the explorer ends: start it with marks=FILE.csv to keep them");
    if (state.by === "marks" && state.tab === "tonight") showTonight(true);
  } catch (error) {
    put(before);
    note(`not marked: ${error.message}`);
  }
}

// Small light curves are asked for when they come into sight, a few at a time.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    queue.push(entry.target);
  }
  pump();
}, { rootMargin: "100px" });
const queue = [], kept = new Map();
let running = 0;
async function pump() {
  while (running < 4 && queue.length) {
    const target = queue.shift(), { survey, name } = target.dataset, key = `${survey}:${name}`;
    if (!target.isConnected) continue;
    running += 1;
    (kept.has(key) ? Promise.resolve(kept.get(key)) : askJson("/api/light", { survey, object_id: name }))
      .then((light) => {
        if (kept.size > 500) kept.clear();
        kept.set(key, light);
        target.replaceChildren(mini(light, 96, Number(target.dataset.high)));
      })
      .catch(() => target.replaceChildren(el("small", { class: "quiet" }, "no light curve")))
      .finally(() => { running -= 1; pump(); });
  }
}
function miniOf(one, high = 46) {
  const made = el("div", { class: "mini", "data-survey": one.survey, "data-name": one.object_id, "data-high": high });
  if (about.light) seen.observe(made);
  return made;
}

function listOf(rows) {
  list = rows;
  const made = el("ol", { class: "list" });
  rows.forEach((one, k) => {
    made.append(el("li", { class: id(one) === state.object ? "open" : "" },
      el("span", { class: "place" }, String(k + 1)),
      el("div", { class: "name" }, link(one, one.object_id), el("small", {}, chip(one.class),
        el("span", {}, `${one.n_detections} det.`), el("span", {}, one.strangeness == null ? "strangeness unknown" : `strange ${one.strangeness.toFixed(4)}`))),
      miniOf(one), markButtons(one)));
  });
  return made;
}

async function showTonight(quietly = false) {
  const mine = ++asking, content = $("content");
  const pick = (name, value, choices, set) => el("select", { "aria-label": name, onchange: (e) => { set(e.target.value); go(); showTonight(); } },
    ...choices.map(([v, text]) => el("option", { value: v, selected: String(v) === String(value) }, text)));
  const spans = [[1, "newest 24 hours"], [7, "newest 7 days"], [30, "newest 30 days"], [365, "newest year"], [100000, "whole archive"]];
  if (!spans.some(([d]) => d === state.days)) spans.push([state.days, `newest ${state.days} days`]);
  const head = el("div", { class: "row" },
    pick("How long", state.days, spans, (v) => { state.days = Number(v); }),
    el("label", { class: "quiet" }, "ordered by ", pick("Order", state.by, [["strangeness", "strangeness"], ["marks", "my marks"]], (v) => { state.by = v; })));
  if (!quietly) content.replaceChildren(head, waiting(state.by === "marks" ? "fitting a probe to your marks" : "looking for the strangest"));
  try {
    const rows = await askJson("/api/tonight", { days: state.days, order: state.by, most: 100 });
    if (mine !== asking || state.tab !== "tonight") return;
    const good = [...marks.values()].filter((m) => m === "interesting").length;
    const told = state.by === "marks" && !good ? "Mark a source as interesting (★) and the list follows; until then the strangest come first."
      : state.by === "marks" ? `A linear probe on ${marks.size} marks orders the list.` : "";
    const newest = about.newest ? `Up to ${day(about.newest)} (UTC), MJD ${about.newest.toFixed(3)}.` : "";
    content.replaceChildren(head, el("p", { class: "quiet" }, [newest, told].filter(Boolean).join(" ")),
      rows.length ? listOf(rows) : el("p", { class: "quiet" }, "No alert in this time."));
  } catch (error) {
    if (mine === asking) content.replaceChildren(head, failed(error));
  }
}

async function showSource() {
  const mine = ++asking, content = $("content");
  const [survey, ...rest] = (state.object ?? "").split(":"), name = rest.join(":");
  if (!state.object || !name) {
    near = []; overlay.at = null; overlay();
    content.replaceChildren(el("p", { class: "quiet" }, "No source is open. Click on a point of the map, choose one of tonight's list, or search for a name."));
    return;
  }
  content.replaceChildren(el("h2", {}, name), waiting("reading the source"));
  let one;
  try {
    one = await askJson("/api/source", { survey, object_id: name });
  } catch (error) {
    if (mine === asking) content.replaceChildren(el("h2", {}, name), failed(error));
    return;
  }
  if (mine !== asking) return;
  if (one.mark) marks.set(id(one), one.mark);
  overlay.at = one.x == null ? null : [one.x, one.y];
  near = [];
  bringIntoSight(one);
  overlay();
  const p = one.class && one.alerts.probabilities[one.class], last = p?.[p.length - 1];
  const facts = [["class", el("span", {}, chip(one.class), last == null ? "" : `\u00a0${(100 * last).toFixed(0)}\u00a0%`)],
    ["strangeness", fixed(one.strangeness, 4)], ["detections", String(one.n_detections)],
    ["newest alert", el("span", { title: `MJD ${one.mjd}` }, day(one.mjd))],
    ["position", one.ra == null ? "unknown" : el("span", { title: sexagesimal(one.ra, one.dec) }, `${one.ra.toFixed(5)} ${one.dec < 0 ? "−" : "+"}${Math.abs(one.dec).toFixed(5)}`)],
    ["survey", one.survey]];
  const elsewhere = /^ZTF\d\d[a-z]{7}$/.test(name) ? el("p", { class: "quiet" }, "Elsewhere: ",
    ...[["ALeRCE", `https://alerce.online/object/${name}`], ["Fink", `https://fink-portal.org/${name}`], ["Lasair", `https://lasair-ztf.lsst.ac.uk/objects/${name}/`]]
      .flatMap(([site, href], k) => [k ? " · " : "", el("a", { href, target: "_blank", rel: "noreferrer noopener" }, site)])) : "";
  const width = Math.max(300, content.clientWidth - 28);
  const figure = el("div"), keys = el("div"), told = el("p", { class: "quiet" });
  const nearby = el("div", {}, waiting("looking for what is alike"));
  content.replaceChildren(
    el("div", { class: "row" }, el("h2", {}, name), el("span", { class: "end" }, markButtons(one))),
    el("dl", { class: "facts" }, ...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])), elsewhere,
    el("h3", {}, "Light curve"), figure, keys, told, ...stamps(one),
    el("h3", {}, "Class probabilities as alerts came in"), chances(one.alerts, width),
    el("h3", {}, "Most alike"), nearby);
  content.scrollTop = 0;
  if (one.light) {
    const redraw = (curve) => {
      figure.replaceChildren(lightCurve(one.light, curve, width));
      keys.replaceChildren(key(one.light, curve));
    };
    redraw(null);
    told.className = "spin quiet"; told.textContent = "asking the decoder for its curve";
    askJson("/api/curve", { survey, object_id: name }).then((curve) => {
      if (mine !== asking) return;
      redraw(curve); told.className = "quiet";
      told.textContent = one.light.left_out ? `The oldest ${number(one.light.left_out)} detections are not drawn.` : "";
    }).catch((error) => { told.className = "quiet"; told.textContent = `No curve: ${error.message}`; });
  } else figure.append(el("p", { class: "quiet" }, one.why_not));
  try {
    near = await askJson("/api/neighbours", { survey, object_id: name, k: 9 });
    if (mine !== asking) { near = []; return; }
    nearby.replaceChildren(neighbours(near));
    overlay();
  } catch (error) { nearby.replaceChildren(failed(error)); }
}

function neighbours(rows) {
  if (!rows.length) return el("p", { class: "quiet" }, "The archive holds nothing else.");
  return el("div", { class: "near-grid" }, ...rows.map((other) => link(other, el("b", { title: other.object_id }, other.object_id), miniOf(other, 62),
    el("small", {}, chip(other.class), el("span", { title: "cosine distance of fingerprints" }, other.distance.toFixed(3))))));
}

function chances(alerts, width) {
  const names = Object.keys(alerts.probabilities);
  if (!names.length) return el("p", { class: "quiet" }, "The archive has no class probabilities of it.");
  if (alerts.mjd.length > 1) return probabilities(alerts, classColour, width);
  return bars(Object.fromEntries(names.map((n) => [n, alerts.probabilities[n][0]])), "One row of the archive: encode with per=alert for one after each alert.");
}

function bars(values, told) {
  const made = el("div", { class: "probability" });
  for (const [name, p] of Object.entries(values).sort((a, b) => b[1] - a[1]).slice(0, 6)) {
    const bar = el("div");
    bar.style.width = `${100 * p}%`; bar.style.background = classColour(name);
    made.append(el("span", {}, name), el("div", { class: "track" }, bar), el("span", { class: "n" }, (p ?? 0).toFixed(2)));
  }
  return el("div", {}, made, told ? el("p", { class: "quiet" }, told) : "");
}

function stamps(one) {
  const which = one.stamps;
  if (!which.length) return [];
  let at = which.length - 1;
  const pictures = el("div", { class: "stamps" }), text = el("span", { class: "quiet" });
  const paint = () => {
    const { detection, mjd, band, value, unit } = which[at];
    text.textContent = `${day(mjd)}, ${band}, ${value.toFixed(2)} ${unit} (${at + 1} of ${which.length})`;
    pictures.replaceChildren(...["science", "template", "difference"].map((kind) => el("figure", {},
      el("img", { src: `/api/stamp?${new URLSearchParams({ survey: one.survey, object_id: one.object_id, detection, kind })}`, alt: `${kind} stamp`,
        onerror: (event) => event.target.replaceWith(el("p", { class: "quiet" }, "not sent")) }), el("figcaption", {}, kind))));
  };
  const step = (by) => { at = Math.min(which.length - 1, Math.max(0, at + by)); paint(); };
  paint();
  return [el("h3", {}, "Cutouts"), el("div", { class: "row" }, el("button", { type: "button", "aria-label": "Earlier cutouts", onclick: () => step(-1) }, "‹"),
    el("button", { type: "button", "aria-label": "Later cutouts", onclick: () => step(1) }, "›"), text), pictures];
}

function bringIntoSight(one) {
  if (one.x == null || !map) return;
  const [x, y] = scatter.toScreen(one.x, one.y), w = $("canvas").clientWidth, h = $("canvas").clientHeight;
  if (x < 30 || y < 30 || x > w - 30 || y > h - 30) scatter.goTo(one.x, one.y, scatter.view.zoom);
}

// ---- light curves of one's own

function showLike() {
  asking += 1;
  const content = $("content");
  const choose = el("input", { type: "file", accept: ".csv,text/csv", "aria-label": "Light-curve table", onchange: (e) => e.target.files[0] && like(e.target.files[0]) });
  const head = [el("p", {}, "Drop a CSV file with the columns object_id, mjd, band (a letter), mag and magerr anywhere on the page, or choose one. ",
    "Rows with limmag and no mag are upper limits. It stays on this machine, is encoded, and is forgotten."), el("div", { class: "row" }, choose)];
  if (!state.own) { content.replaceChildren(...head); return; }
  if (state.own.error) { content.replaceChildren(...head, failed(state.own.error)); return; }
  if (state.own.waiting) { content.replaceChildren(...head, waiting(state.own.waiting)); return; }
  const width = Math.max(300, content.clientWidth - 28);
  near = state.own.sources[0].neighbours;
  overlay();
  content.replaceChildren(...head, ...state.own.notes.map((text) => el("p", { class: "error" }, text)), ...state.own.sources.flatMap((one) => [
    el("h2", {}, one.object_id),
    el("p", { class: "quiet" }, `${one.n_detections} detections seen, strangeness ${fixed(one.strangeness, 3)}; marked on the map by a diamond`),
    lightCurve(one.light, one.curve, width), key(one.light, one.curve), el("h3", {}, "Class probabilities"), bars(one.probabilities, ""),
    el("h3", {}, "Most alike"), neighbours(one.neighbours)]));
}

async function like(file) {
  Object.assign(state, { tab: "like", object: null });
  go();
  state.own = { waiting: `encoding ${file.name}` };
  show();
  try {
    if (file.size > 4 << 20) throw new Error(`${file.name} has more than 4 MB: take the sources you look for out of it`);
    const answer = await ask("/api/like", {}, { method: "POST", headers: { "content-type": "text/csv" }, body: await file.arrayBuffer() });
    state.own = await answer.json();
    const [first] = state.own.sources;
    if (first) bringIntoSight(first);
  } catch (error) { state.own = { error, sources: [] }; }
  if (state.tab === "like") show();
}

function watchDrops() {
  let depth = 0;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; $("drop").hidden = false; } });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) $("drop").hidden = true; });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0; $("drop").hidden = true;
    if (event.dataTransfer.files[0]) like(event.dataTransfer.files[0]);
  });
}

// ---- marks

async function showMarks() {
  const mine = ++asking, content = $("content");
  content.replaceChildren(waiting("reading your marks"));
  try {
    const rows = await askJson("/api/marks");
    if (mine !== asking) return;
    marks = new Map(rows.map((one) => [id(one), one.mark]));
    const kept = about.marks_kept ? "They are kept in the file that the explorer was started with." : "They are forgotten when the explorer ends: start it with marks=FILE.csv to keep them.";
    if (!rows.length) {
      content.replaceChildren(el("p", { class: "quiet" }, `No marks yet. Mark sources as interesting (★ or i) or boring (✕ or b), and tonight's list can be ordered by them. ${kept}`));
      return;
    }
    content.replaceChildren(el("div", { class: "row" }, el("span", { class: "quiet" }, `${number(rows.length)} marks. ${kept}`),
      el("a", { class: "end", href: "/api/marks.csv", download: "marks.csv" }, "Download CSV")),
      el("ol", { class: "list" }, ...rows.slice(0, 500).map((one) => el("li", {}, el("span", { class: "place" }, one.mark === "interesting" ? "★" : "✕"),
        el("div", { class: "name" }, link(one, one.object_id), el("small", {}, one.time.replace("T", " ").replace("+00:00", " UTC"))), miniOf(one), markButtons(one)))));
    list = rows;
  } catch (error) { if (mine === asking) content.replaceChildren(failed(error)); }
}

// ---- search

function watchSearch() {
  const box = $("query"), found = $("found");
  let timer = 0, rows = [], at = -1, turn = 0;
  const close = () => { found.hidden = true; at = -1; };
  const paint = () => {
    found.replaceChildren(...(rows.length ? rows.map((one, k) => el("li", { role: "option", "aria-selected": String(k === at),
      onmousedown: (event) => { event.preventDefault(); close(); open(one); } }, el("span", {}, one.object_id), chip(one.class),
      el("small", { class: "quiet" }, one.separation == null ? `${one.n_detections} det.` : `${one.separation.toFixed(1)}″`)))
      : [el("li", { class: "empty" }, "nothing found")]));
    found.hidden = false;
  };
  const look = async () => {
    const text = box.value.trim(), mine = ++turn;
    if (!text) return close();
    const place = position(text);
    try {
      const answer = place ? await askJson("/api/around", { ...place, radius: place.radius ?? 60 }) : await askJson("/api/names", { q: text });
      if (mine !== turn) return;
      rows = answer; at = rows.length ? 0 : -1;
      paint();
    } catch (error) { found.replaceChildren(el("li", { class: "empty" }, error.message)); found.hidden = false; }
  };
  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 150); });
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      at = Math.min(rows.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)));
      paint(); event.preventDefault();
    } else if (event.key === "Escape") { close(); box.blur(); }
  });
  $("search").addEventListener("submit", async (event) => {
    event.preventDefault();
    clearTimeout(timer);
    const k = at;
    await look();
    const one = rows[Math.max(0, k)];
    if (one) { close(); box.blur(); open(one); }
  });
}

// "150.1 -2.2", "150.1, -2.2, 30" (arcsec), "10:00:24.5 +02:12:00"; null for a name.
function position(text) {
  const parts = text.replace(/[−–]/g, "-").split(/[\s,]+/).filter(Boolean);
  if (parts.length < 2 || parts.length > 3) return null;
  const angle = (t) => {
    if (/^[+-]?\d+(\.\d+)?$/.test(t)) return Number(t);
    const m = /^([+-]?)(\d+):(\d+)(?::(\d+(?:\.\d+)?))?$/.exec(t);
    return m ? (m[1] === "-" ? -1 : 1) * (Number(m[2]) + Number(m[3]) / 60 + Number(m[4] ?? 0) / 3600) : NaN;
  };
  const [ra, dec] = [angle(parts[0]) * (parts[0].includes(":") ? 15 : 1), angle(parts[1])], radius = Number(parts[2] ?? 60);
  return [ra, dec, radius].every(Number.isFinite) ? { ra, dec, radius } : null;
}

// ---- all together

function show() {
  for (const tab of document.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", String(tab.dataset.tab === state.tab));
  if (state.tab !== "source") near = [];
  if (!state.object) overlay.at = null;
  document.title = state.object && state.tab === "source" ? `${state.object.split(":").slice(1).join(":")} · RTF explorer` : "RTF explorer";
  ({ tonight: showTonight, source: showSource, like: showLike, marks: showMarks })[state.tab]();
  overlay();
}

function fillControls() {
  $("colour").value = state.colour;
  $("min-detections").value = state.minDetections || "";
  $("min-strangeness").value = state.minStrangeness || "";
  $("max-days").value = state.maxDays || "";
}

function watchControls() {
  $("colour").addEventListener("change", () => { state.colour = $("colour").value; recolour(); go(); });
  $("filter-button").addEventListener("click", () => {
    $("filters").hidden = !$("filters").hidden;
    $("filter-button").setAttribute("aria-expanded", String(!$("filters").hidden));
  });
  const read = () => {
    const value = (name) => Math.max(0, Number($(name).value) || 0);
    [state.minDetections, state.minStrangeness, state.maxDays] = [value("min-detections"), value("min-strangeness"), value("max-days")];
    recolour(); stay();
  };
  for (const name of ["min-detections", "min-strangeness", "max-days"]) $(name).addEventListener("input", read);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("no-filters").addEventListener("click", () => { state.hidden = new Set(); setTimeout(read); });
  $("home").addEventListener("click", (event) => {
    event.preventDefault();
    Object.assign(state, { tab: "tonight", object: null });
    scatter.goTo(0, 0, 1);
    overlay.at = null;
    go(); show();
  });
  for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => { state.tab = tab.dataset.tab; go(); show(); });
  $("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark", true));
  $("help-button").addEventListener("click", () => $("help").showModal());
  addEventListener("popstate", () => {
    const view = readAddress();
    fillControls(); recolour(); show();
    scatter.goTo(...view);
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const turn = (by) => {
      if (!list.length) return;
      const at = list.findIndex((one) => id(one) === state.object);
      open(list[Math.min(list.length - 1, Math.max(0, at < 0 ? 0 : at + by))]);
    };
    const mark = (value) => {
      const [survey, ...rest] = (state.object ?? "").split(":");
      if (rest.length && state.tab === "source") setMark({ survey, object_id: rest.join(":") }, value);
    };
    const keys = {
      "/": () => $("query").focus(), "?": () => $("help").showModal(), j: () => turn(1), k: () => turn(-1),
      i: () => mark("interesting"), b: () => mark("boring"), u: () => mark(null), t: () => { state.tab = "tonight"; go(); show(); },
      "+": () => scatter.zoomAt(1.5), "=": () => scatter.zoomAt(1.5), "-": () => scatter.zoomAt(1 / 1.5), 0: () => scatter.goTo(0, 0, 1),
      Escape: () => { if (state.object) { state.object = null; overlay.at = null; state.tab = "tonight"; go(); show(); } },
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
}

function setTheme(theme, keep) {
  document.documentElement.dataset.theme = theme;
  if (keep) { try { localStorage.setItem("theme", theme); } catch { /* a private window */ } }
  recolour();
}

function listenToNews() {
  const events = new EventSource(`/api/events?since=${map?.version ?? 0}`);
  events.addEventListener("status", async (event) => {
    const told = JSON.parse(event.data);
    note(told.model_note);
    if (told.error) return wait(`The map could not be made. ${told.error}`, 0, 0, true);
    if (!told.ready) return wait(told.doing, told.done, told.of);
    if (!map) await begin();
    else wait("");
  });
  events.addEventListener("points", async (event) => {
    const told = JSON.parse(event.data);
    if (!map || told.version <= map.version) return;
    map.version = told.version;
    about = await askJson("/api/status").catch(() => about);
    news += told.points.length || told.n - map.n;
    let fits = !told.many;
    if (fits) {
      const paint = painter();
      for (const one of told.points.sort((a, b) => a.number - b.number)) {
        const k = one.number;
        fits &&= k < columns.x.length;
        if (!fits) break;
        columns.x[k] = one.x ?? NaN; columns.y[k] = one.y ?? NaN; columns.mjd[k] = one.mjd - map.start;
        columns.strangeness[k] = one.strangeness ?? NaN; columns.detections[k] = Math.min(65535, one.n_detections); columns.label[k] = one.label;
        fits &&= scatter.put(k, columns.x[k], columns.y[k], paint);
        map.n = Math.max(map.n, k + 1);
        kept.delete(one.object_id);
        if (fits && one.x != null) flash(one);
      }
    }
    if (!fits) await loadMap();
    else recolour();
    if (state.tab === "tonight" && $("content").scrollTop < 40) showTonight(true);
    else if (state.tab === "source" && told.points.some((one) => id(one) === state.object)) showSource();
  });
  events.onerror = () => note("The explorer does not answer; the page goes on when it does.");
}

function flash(one) {
  if ($("overlay").querySelectorAll(".new").length > 60) return;
  const [x, y] = scatter.toScreen(one.x, one.y), made = el("div", { class: "ring new" });
  made.style.left = `${x}px`; made.style.top = `${y}px`;
  made.addEventListener("animationend", () => made.remove());
  $("overlay").append(made);
}

let begun = false;
async function begin() {
  if (begun) return;
  begun = true;
  wait("asking for the map");
  try {
    about = await askJson("/api/status");
    $("archive").textContent = about.archive;
    marks = new Map((await askJson("/api/marks")).map((one) => [id(one), one.mark]));
    await loadMap();
    note(about.model_note);
    wait("");
    show();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    begun = false;
    wait(error.message, 0, 0, true);
  }
}

function start() {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* a private window */ }
  setTheme(theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"), false);
  const view = readAddress();
  fillControls();
  if (matchMedia("(max-width: 820px)").matches) $("legend").open = false;
  try {
    scatter = makeScatter($("canvas"), { moved: stay, drawn: overlay });
  } catch (error) {
    wait(error.message, 0, 0, true);
    return;
  }
  scatter.goTo(...view, true);
  watchMap(); watchSearch(); watchControls(); watchDrops();
  listenToNews();
  let wide = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; if (map && state.tab !== "tonight") show(); } });
  window.explorer = { scatter, state };  // for whoever measures
}

start();
