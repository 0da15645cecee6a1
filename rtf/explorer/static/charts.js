// Light curves and class probabilities as plain SVG. Magnitudes grow downwards, fluxes upwards; days count from the first detection.
const SVG = "http://www.w3.org/2000/svg";
const BANDS = ["u", "g", "r", "i", "z", "y"];

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of children) made.append(child);
  return made;
}

export const dateOf = (mjd) => new Date((mjd - 40587) * 86400000);
export const day = (mjd) => (mjd > 15020 && mjd < 88069 ? dateOf(mjd).toISOString().slice(0, 10) : mjd.toFixed(1));

// About `count` round numbers between two.
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return { at: found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function marker(band, x, y, r, attributes = {}) {
  const shared = { class: `point ${band}`, ...attributes };
  if (band === "r") return svg("rect", { x: x - r * 0.88, y: y - r * 0.88, width: 1.76 * r, height: 1.76 * r, ...shared });
  if (band === "i") return svg("path", { d: `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`, ...shared });
  return svg("circle", { cx: x, cy: y, r, ...shared });
}

const triangle = (band, x, y, r) =>
  svg("path", { d: `M${x - r},${y - r * 0.6}h${2 * r}l${-r},${1.6 * r}z`, class: `limit ${band}` });

const inMagnitudes = (light) => light.unit === "mag";

// From top to bottom.
function range(light, curve, withLimits) {
  const first = light.mjd.length ? light.mjd[0] : 0;
  const last = light.mjd.length ? light.mjd[light.mjd.length - 1] : 1;
  let from = first, to = last;
  const low = [], high = [];
  light.value.forEach((m, k) => {
    const e = inMagnitudes(light) ? Math.min(light.error[k] ?? 0, 0.4) : 0;
    low.push(m - e); high.push(m + e);
  });
  if (withLimits) {
    light.limits.mjd.forEach((t, k) => {
      if (t < first - 30 || t > last + 30) return;
      from = Math.min(from, t); to = Math.max(to, t);
      high.push(light.limits.value[k]);
    });
  }
  if (curve) {
    to = Math.max(to, curve.mjd[curve.mjd.length - 1]);
    const least = Math.min(...low), most = Math.max(...high), beyond = inMagnitudes(light) ? 1 : 0.3 * (most - least);
    for (const band of Object.values(curve.bands)) for (const m of band.value) if (m > least - beyond && m < most + beyond) { low.push(m); high.push(m); }
  }
  const pad = Math.max(1, 0.03 * (to - from));
  const least = Math.min(...low), most = Math.max(...high);
  const margin = Math.max(inMagnitudes(light) ? 0.12 : 1e-3, 0.06 * (most - least)), y = [least - margin, most + margin];
  return { first, x: [from - pad, to + pad], y: inMagnitudes(light) ? y : y.reverse() };
}

// Fluxes without the few that are far from all others: those are drawn at the edge.
function withoutStrays(light) {
  if (inMagnitudes(light) || light.value.length < 20) return light;
  const sorted = [...light.value].sort((a, b) => a - b), n = sorted.length;
  const [low, high] = [sorted[Math.floor(0.02 * n)], sorted[Math.ceil(0.98 * n) - 1]], room = 0.3 * (high - low);
  return { ...light, value: light.value.map((m) => Math.max(low - room, Math.min(high + room, m))) };
}

export function lightCurve(given, curve, width) {
  const light = withoutStrays(given);
  const height = Math.round(Math.min(330, Math.max(230, width * 0.66)));
  const box = { left: 44, right: 10, top: 38, bottom: 36 };
  const { first, x, y } = range(light, curve, true);
  const px = (t) => box.left + ((t - x[0]) / (x[1] - x[0])) * (width - box.left - box.right);
  const py = (m) => box.top + ((m - y[0]) / (y[1] - y[0])) * (height - box.top - box.bottom);
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img" });
  const name = `Light curve: ${light.mjd.length} detections, ${light.limits.mjd.length} upper limits`;
  drawing.append(svg("title", {}, name));
  const clip = `clip${Math.random().toString(36).slice(2)}`;
  drawing.append(svg("clipPath", { id: clip }, svg("rect", { x: box.left, y: box.top, width: width - box.left - box.right, height: height - box.top - box.bottom })));

  const days = ticks(x[0] - first, x[1] - first, width / 75);
  for (const d of days.at) {
    const at = px(first + d);
    drawing.append(svg("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: height - box.bottom }));
    drawing.append(svg("text", { x: at, y: height - box.bottom + 15, "text-anchor": "middle" }, d.toFixed(days.digits)));
  }
  const values = ticks(Math.min(...y), Math.max(...y), 7);
  for (const m of values.at) {
    drawing.append(svg("line", { class: "grid", x1: box.left, x2: width - box.right, y1: py(m), y2: py(m) }));
    drawing.append(svg("text", { x: box.left - 6, y: py(m) + 4, "text-anchor": "end" }, m.toFixed(values.digits)));
  }
  if (x[0] > 15020 && x[1] < 88069) {
    const dates = ticks(0, width - box.left - box.right, (width - box.left) / 105).at;
    for (const along of dates) {
      const at = box.left + along, mjd = x[0] + (along / (width - box.left - box.right)) * (x[1] - x[0]);
      const anchor = along === 0 ? "start" : at > width - 40 ? "end" : "middle";
      drawing.append(svg("line", { class: "axis", x1: at, x2: at, y1: box.top - 4, y2: box.top }));
      drawing.append(svg("text", { x: at, y: box.top - 9, "text-anchor": anchor }, day(mjd)));
    }
    drawing.append(svg("text", { x: width - box.right, y: 11, "text-anchor": "end" }, "date (UTC)"));
  }
  drawing.append(svg("path", { class: "axis", fill: "none", d: `M${box.left},${box.top}V${height - box.bottom}H${width - box.right}V${box.top}z` }));
  drawing.append(svg("text", { x: (box.left + width - box.right) / 2, y: height - 4, "text-anchor": "middle" }, "days since first detection"));
  drawing.append(svg("text", { x: 0, y: 11, "text-anchor": "start" }, inMagnitudes(light) ? "mag (AB)" : `flux (${light.unit})`));

  const inside = svg("g", { "clip-path": `url(#${clip})` });
  drawing.append(inside);
  if (curve) {
    for (const [band, { value, sigma }] of Object.entries(curve.bands)) {
      const there = curve.mjd.map((t, k) => [px(t), value[k], sigma[k]]).filter(([, m, s]) => m !== null && s !== null);
      if (!there.length) continue;
      const up = there.map(([t, m, s]) => `${t.toFixed(1)},${py(m - s).toFixed(1)}`);
      const down = there.map(([t, m, s]) => `${t.toFixed(1)},${py(m + s).toFixed(1)}`).reverse();
      inside.append(svg("path", { class: `area ${band}`, d: `M${up.concat(down).join("L")}z` }));
      inside.append(svg("path", { class: `curve ${band}`, d: `M${there.map(([t, m]) => `${t.toFixed(1)},${py(m).toFixed(1)}`).join("L")}` }));
    }
    inside.append(svg("line", { class: "now", x1: px(curve.last), x2: px(curve.last), y1: box.top, y2: height - box.bottom }));
  }
  light.limits.mjd.forEach((t, k) => {
    const t0 = light.limits.band[k], mark = triangle(t0, px(t), py(light.limits.value[k]), 3.6);
    mark.append(svg("title", {}, `${t0} > ${light.limits.value[k].toFixed(2)} ${light.unit}, ${day(t)}`));
    inside.append(mark);
  });
  const r = light.mjd.length > 300 ? 2 : light.mjd.length > 80 ? 2.6 : 3.3;
  light.mjd.forEach((t, k) => {
    const band = light.band[k], m = light.value[k], e = light.error[k], forced = light.forced[k];
    inside.append(svg("line", { class: `bar ${band}`, x1: px(t), x2: px(t), y1: py(m - e), y2: py(m + e) }));
    const mark = marker(band, px(t), py(m), r, forced ? { class: `point forced ${band}` } : {});
    mark.append(svg("title", {}, `${band} = ${given.value[k].toFixed(2)} ± ${e.toFixed(2)} ${light.unit}${forced ? ", forced" : ""}\nday ${(t - first).toFixed(2)}, MJD ${t.toFixed(3)}, ${day(t)}`));
    inside.append(mark);
  });
  return drawing;
}

export function key(light, curve) {
  const made = document.createElement("div");
  made.className = "key";
  const add = (picture, text) => {
    const entry = document.createElement("span");
    entry.append(svg("svg", { viewBox: "0 0 14 12" }, picture), ` ${text}`);
    made.append(entry);
  };
  for (const band of BANDS) if (light.band.includes(band)) add(marker(band, 7, 6, 3.6), `${band}: detection, 1σ`);
  const forced = light.band.find((_, k) => light.forced[k]);
  if (forced) add(marker(forced, 7, 6, 3.6, { class: `point forced ${forced}` }), "forced photometry");
  const limited = BANDS.find((band) => light.limits.band.includes(band));
  if (limited) add(triangle(limited, 7, 6, 4), "5σ upper limit");
  if (curve) {
    add(svg("path", { d: "M0,6H14", class: "curve any" }), "rebuilt from the fingerprint, with 1σ");
    add(svg("path", { d: "M7,0V12", class: "now" }), "newest alert in it");
  }
  return made;
}

export function mini(given, width = 96, height = 46) {
  const light = withoutStrays(given);
  const drawing = svg("svg", { class: "mini", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  if (!light.mjd.length) return drawing;
  const { x, y } = range(light, null, false);
  for (let k = 0; k < light.mjd.length; k++) {
    const at = 3 + ((light.mjd[k] - x[0]) / (x[1] - x[0])) * (width - 6);
    const high = 3 + ((light.value[k] - y[0]) / (y[1] - y[0])) * (height - 6);
    drawing.append(svg("circle", { class: light.band[k], cx: at.toFixed(1), cy: high.toFixed(1), r: 1.7, stroke: "none" }));
  }
  return drawing;
}

// Class probabilities after each alert, the largest few classes.
export function probabilities(alerts, colourOf, width) {
  const height = 170, box = { left: 44, right: 112, top: 8, bottom: 34 };
  const first = alerts.mjd[0], last = alerts.mjd[alerts.mjd.length - 1];
  const top = Object.entries(alerts.probabilities).sort((a, b) => Math.max(...b[1]) - Math.max(...a[1])).slice(0, 5).filter(([, p]) => Math.max(...p) >= 0.05);
  const pad = Math.max(0.5, 0.03 * (last - first));
  const px = (t) => box.left + ((t - first + pad) / (last - first + 2 * pad)) * (width - box.left - box.right);
  const py = (p) => box.top + (1 - p) * (height - box.top - box.bottom);
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img" });
  drawing.append(svg("title", {}, "Class probabilities after each alert"));
  for (const p of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.append(svg("line", { class: p ? "grid" : "axis", x1: box.left, x2: width - box.right, y1: py(p), y2: py(p) }));
    drawing.append(svg("text", { x: box.left - 6, y: py(p) + 4, "text-anchor": "end" }, p.toFixed(2)));
  }
  const days = ticks(0, last - first, 5);
  for (const d of days.at) drawing.append(svg("text", { x: px(first + d), y: height - box.bottom + 15, "text-anchor": "middle" }, d.toFixed(days.digits)));
  drawing.append(svg("text", { x: (box.left + width - box.right) / 2, y: height - 3, "text-anchor": "middle" }, "days since the first alert in the archive"));
  const names = [];
  for (const [name, p] of top) {
    const colour = colourOf(name), there = p.map((v, k) => [alerts.mjd[k], v]).filter(([, v]) => v !== null);
    drawing.append(svg("path", { class: "line", stroke: colour, d: `M${there.map(([t, v]) => `${px(t).toFixed(1)},${py(v).toFixed(1)}`).join("L")}` }));
    if (there.length < 60) {
      for (const [k, [t, v]] of there.entries()) {
        drawing.append(svg("circle", { cx: px(t), cy: py(v), r: 2.6, fill: colour }, svg("title", {}, `${name}: ${v.toFixed(2)} after ${alerts.n_detections[k]} detections`)));
      }
    }
    names.push([name, colour, there[there.length - 1][1]]);
  }
  let before = -20;  // labels in the order of their lines, none over another
  for (const [name, colour, p] of names.sort((a, b) => b[2] - a[2])) {
    before = Math.max(before + 14, py(p) + 4);
    drawing.append(svg("circle", { cx: width - box.right + 10, cy: before - 4, r: 4, fill: colour }));
    drawing.append(svg("text", { x: width - box.right + 18, y: before }, `${name} ${p.toFixed(2)}`));
  }
  return drawing;
}
