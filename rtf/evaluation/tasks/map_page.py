"""A map of fingerprints as one HTML page that needs nothing else: no server, no library, no network.

Notable:
- data, style and script stand in the page, whose content policy forbids every request
- light curves are packed as 16-bit integers (7 bytes a detection), so that thousands of sources stay at a few
  megabytes
- a class is told by shape as well as by colour; everything that the mouse does, keys and fingers do too
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from rtf.alerts.history import BANDS, Detections
from rtf.figures import BAND_STYLE
from rtf.files import whole

#: Packed magnitudes and their errors are thousandths, days a share of the longest light curve.
_PER_MAG = 1000
_TOP = 65535


def write_page(
    path: str | os.PathLike,
    title: str,
    maps: Mapping[str, tuple[np.ndarray, str]],
    object_id: Sequence[str],
    label: np.ndarray,
    seen: Detections,
    classes: Sequence[tuple[int, str, str, str]],
) -> None:
    """Write the page.

    Parameters
    ----------
    title : of the page
    maps : name -> (N, 2) finite places of the sources, and a line on how they were made
    object_id : N names
    label : (N,) int
    seen : the detections of the sources as the model saw them
    classes : label, name, colour and shape ("o", "s", "D", "^", "v", "P", "X", "*") in drawing order

    Raises
    ------
    ValueError : lengths that differ, places that are not finite, a label that is no class
    """
    n = len(object_id)
    places = [np.asarray(xy, float) for xy, _ in maps.values()]
    if len(label) != n or len(seen) != n or any(xy.shape != (n, 2) for xy in places):
        raise ValueError(f"{n} object ids, but other numbers of labels, light curves or places")
    if not all(np.isfinite(xy).all() for xy in places):
        raise ValueError("places on the map must be finite")
    index = {c: k for k, (c, *_) in enumerate(classes)}
    absent = sorted(set(np.asarray(label).tolist()) - set(index))
    if absent:
        raise ValueError(f"labels {absent} are not among the classes of the map")
    data = {
        "title": title,
        "classes": [{"name": name, "colour": colour, "shape": shape} for _, name, colour, shape in classes],
        "bands": [
            {"name": name, "colour": BAND_STYLE[name][0], "shape": BAND_STYLE[name][1]} for name in BANDS
        ],
        "id": [str(x) for x in object_id],
        "cls": [index[c] for c in np.asarray(label).tolist()],
        "maps": [
            {"name": name, "how": how, "xy": np.round(_unit(xy), 4).ravel().tolist()}
            for (name, (_, how)), xy in zip(maps.items(), places, strict=True)
        ],
        **pack(seen),
    }
    # "<" could end the script; JSON may write it as an escape
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    with whole(path) as temporary:
        temporary.write_text(PAGE.replace("/*DATA*/", text), encoding="utf-8")


def pack(seen: Detections) -> dict:
    """Light curves as base64 of little-endian uint16 and bytes, with what unpacks them."""
    day = seen.mjd - np.repeat(seen.mjd[seen.offset[:-1]], seen.length)
    longest = max(float(day.max(initial=0)), 1e-3)
    numbers = {"day": day / longest * _TOP, "mag": seen.mag * _PER_MAG, "err": seen.magerr * _PER_MAG}
    packed = {k: _base64(np.clip(np.rint(v), 0, _TOP).astype("<u2")) for k, v in numbers.items()}
    return {
        "length": seen.length.tolist(), "dayUnit": longest / _TOP, "magUnit": 1 / _PER_MAG,
        "band": _base64(seen.band.astype(np.uint8)), **packed,
    }  # fmt: skip


def _unit(xy: np.ndarray) -> np.ndarray:
    """Places moved and scaled, alike in both directions, into the unit square."""
    low, high = xy.min(0), xy.max(0)
    return 0.5 + (xy - (low + high) / 2) / max((high - low).max(), 1e-12)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


PAGE = r"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Fingerprints</title><style>
:root{font:15px/1.4 system-ui,sans-serif;color:#222;background:#fff}
body{margin:0;display:flex;flex-direction:column;height:100vh}
header{display:flex;flex-wrap:wrap;gap:.5rem 1.2rem;align-items:center;padding:.5rem .8rem;border-bottom:1px solid #ddd}
h1{font-size:1.05rem;margin:0}#how{color:#555;font-size:.85rem;flex-basis:100%}
button,input{font:inherit;border:1px solid #999;border-radius:4px;background:#fff;padding:.15rem .5rem;color:inherit}
button[aria-pressed=true]{background:#1f4e79;color:#fff}
:focus-visible{outline:3px solid #e69f00;outline-offset:1px}
main{flex:1;display:flex;min-height:0}#plot{flex:1;position:relative;min-width:0}
canvas{position:absolute;inset:0;width:100%;height:100%;touch-action:none;cursor:crosshair}
#legend{width:12.5rem;overflow:auto;padding:.5rem;border-left:1px solid #ddd;box-sizing:border-box}
#legend button{display:flex;width:100%;gap:.4rem;align-items:center;border:0;padding:.15rem;text-align:left}
#legend button span{flex:1}#legend button[aria-pressed=true]{background:none;color:inherit}
#legend button[aria-pressed=false]{opacity:.35;text-decoration:line-through;background:none}
#card{position:absolute;pointer-events:none;background:#fffffff2;border:1px solid #888;border-radius:6px;
 padding:.4rem .5rem;box-shadow:0 2px 8px #0003;width:260px}#card b{display:block}
#card svg{display:block}#status{font-size:.85rem;color:#555}
@media(max-width:640px){main{flex-direction:column}#legend{width:auto;max-height:26vh;columns:2;border:0;border-top:1px solid #ddd}}
</style></head><body>
<header><h1 id="title"></h1><div id="maps" role="group" aria-label="map"></div>
<label>object id <input id="search" list="ids" autocomplete="off" size="16"></label><datalist id="ids"></datalist>
<button id="reset">whole map</button><span id="status" role="status"></span><div id="how"></div></header>
<main><div id="plot"><canvas id="canvas" tabindex="0" role="img" aria-label="map of sources: arrow keys go from source to source, plus and minus zoom, escape leaves"></canvas>
<div id="card" hidden></div></div><div id="legend" role="group" aria-label="classes"></div></main>
<script id="data" type="application/json">/*DATA*/</script>
<script>
"use strict";
const D = JSON.parse(document.getElementById("data").textContent), $ = id => document.getElementById(id);
const bytes = s => Uint8Array.from(atob(s), c => c.charCodeAt(0));
const u16 = s => { const b = bytes(s), v = new DataView(b.buffer); return Uint16Array.from({length: b.length / 2}, (_, k) => v.getUint16(2 * k, true)); };
const day = u16(D.day), mag = u16(D.mag), err = u16(D.err), band = bytes(D.band), N = D.id.length;
const start = [0]; for (const l of D.length) start.push(start[start.length - 1] + l);
const shown = D.classes.map(() => true);
// classes come in drawing order: what is drawn last lies on top
const order = [...Array(N).keys()].sort((a, b) => D.cls[a] - D.cls[b]);
let map = 0, zoom = 1, cx = .5, cy = .5, chosen = -1, pinned = false;
const canvas = $("canvas"), pen = canvas.getContext("2d");

// the outline of a marker about 0, 0
function outline(p, shape, r) {
  const poly = pts => pts.forEach(([x, y], k) => k ? p.lineTo(x * r, y * r) : p.moveTo(x * r, y * r));
  p.beginPath();
  if (shape === "o") p.arc(0, 0, r, 0, 7);
  else if (shape === "s") poly([[-.9, -.9], [.9, -.9], [.9, .9], [-.9, .9]]);
  else if (shape === "D") poly([[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]]);
  else if (shape === "^") poly([[0, -1.2], [1.1, .9], [-1.1, .9]]);
  else if (shape === "v") poly([[0, 1.2], [1.1, -.9], [-1.1, -.9]]);
  else if (shape === "*") poly([...Array(10).keys()].map(k => { const a = Math.PI * (k / 5 - .5), q = k % 2 ? .6 : 1.5; return [q * Math.cos(a), q * Math.sin(a)]; }));
  else { const plus = [[-.4, -1.2], [.4, -1.2], [.4, -.4], [1.2, -.4], [1.2, .4], [.4, .4], [.4, 1.2], [-.4, 1.2], [-.4, .4], [-1.2, .4], [-1.2, -.4], [-.4, -.4]];
    poly(shape === "X" ? plus.map(([x, y]) => [(x - y) * .75, (x + y) * .75]) : plus); }
  p.closePath();
}
function size() { const b = canvas.getBoundingClientRect(); return [b.width, b.height]; }
function scale() { const [w, h] = size(); return .92 * Math.min(w, h) * zoom; }
function at(k) { const [w, h] = size(), s = scale(), xy = D.maps[map].xy; return [w / 2 + (xy[2 * k] - cx) * s, h / 2 - (xy[2 * k + 1] - cy) * s]; }
function draw() {
  const [w, h] = size(), ratio = window.devicePixelRatio || 1;
  canvas.width = w * ratio; canvas.height = h * ratio;
  const radius = Math.min(6, (N > 2000 ? 2.6 : 3.6) * Math.pow(zoom, .25));
  for (const k of order) {
    if (!shown[D.cls[k]]) continue;
    const [x, y] = at(k), c = D.classes[D.cls[k]];
    if (x < -9 || y < -9 || x > w + 9 || y > h + 9) continue;
    pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    outline(pen, c.shape, radius); pen.globalAlpha = .85; pen.fillStyle = c.colour; pen.fill();
    pen.globalAlpha = 1; pen.lineWidth = .5; pen.strokeStyle = "#fff"; pen.stroke();
  }
  if (chosen >= 0) {
    const [x, y] = at(chosen); pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    pen.beginPath(); pen.arc(0, 0, 10, 0, 7); pen.lineWidth = 2; pen.strokeStyle = "#000"; pen.stroke();
  }
  card();
}
function svg(name, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  return e;
}
function lightCurve(k) {
  const a = start[k], b = start[k + 1], W = 260, H = 150, L = 36, R = 8, T = 8, B = 30;
  let lo = Infinity, hi = -Infinity, end = 1e-9;
  for (let j = a; j < b; j++) { lo = Math.min(lo, mag[j]); hi = Math.max(hi, mag[j]); end = Math.max(end, day[j]); }
  const pad = Math.max(.08 * (hi - lo), 50); lo -= pad; hi += pad;
  const X = d => L + d / end * (W - L - R), Y = m => T + (m - lo) / (hi - lo) * (H - T - B);  // bright is up
  const s = svg("svg", {width: W, height: H, viewBox: `0 0 ${W} ${H}`, "font-size": 10, fill: "#444"});
  s.append(svg("rect", {x: L, y: T, width: W - L - R, height: H - T - B, fill: "none", stroke: "#bbb"}));
  for (const q of [.1, .5, .9]) { const m = lo + q * (hi - lo); s.append(svg("text", {x: L - 4, y: Y(m) + 3, "text-anchor": "end"}, (m * D.magUnit).toFixed(1))); }
  for (const q of [0, .5, 1]) s.append(svg("text", {x: X(q * end), y: H - B + 12, "text-anchor": q ? q < 1 ? "middle" : "end" : "start"}, (q * end * D.dayUnit).toFixed(0)));
  s.append(svg("text", {x: (L + W - R) / 2, y: H - 4, "text-anchor": "middle"}, "days since first detection; magnitude"));
  const used = new Set();
  for (let j = a; j < b; j++) {
    const c = D.bands[band[j]], x = X(day[j]), y = Y(mag[j]); used.add(band[j]);
    s.append(svg("line", {x1: x, x2: x, y1: Math.max(T, Y(mag[j] - err[j])), y2: Math.min(H - B, Y(mag[j] + err[j])), stroke: c.colour}));
    s.append(c.shape === "o" ? svg("circle", {cx: x, cy: y, r: 2.6, fill: c.colour}) : svg("rect", {x: x - 2.3, y: y - 2.3, width: 4.6, height: 4.6, fill: c.colour, ...(c.shape === "D" ? {transform: `rotate(45 ${x} ${y})`} : {})}));
  }
  [...used].sort().forEach((q, k) => s.append(svg("text", {x: W - R - 4 - 12 * (used.size - 1 - k), y: T + 11, fill: D.bands[q].colour, "font-weight": "bold", "text-anchor": "end"}, D.bands[q].name)));
  return s;
}
function card() {
  const box = $("card"); box.hidden = chosen < 0; if (chosen < 0) { box.dataset.k = ""; return; }
  if (box.dataset.k !== String(chosen)) {
    const name = document.createElement("b"), text = document.createElement("span");
    name.textContent = D.id[chosen];
    text.textContent = `${D.classes[D.cls[chosen]].name} · ${D.length[chosen]} detection${D.length[chosen] === 1 ? "" : "s"}`;
    box.replaceChildren(name, text, lightCurve(chosen)); box.dataset.k = chosen;
    $("status").textContent = `${D.id[chosen]}, ${D.classes[D.cls[chosen]].name}`;
  }
  const [w, h] = size(), [x, y] = at(chosen), bw = box.offsetWidth, bh = box.offsetHeight;
  box.style.left = Math.max(4, x + 16 + bw > w ? x - bw - 16 : x + 16) + "px";
  box.style.top = Math.max(4, Math.min(y - bh / 2, h - bh - 4)) + "px";
}
function nearest(x, y, reach, allowed = () => true) {
  let best = -1, least = reach * reach;
  for (let i = N - 1; i >= 0; i--) { const k = order[i]; if (!shown[D.cls[k]]) continue;
    const [px, py] = at(k), d = (px - x) ** 2 + (py - y) ** 2; if (d < least && allowed(px - x, py - y, k)) { least = d; best = k; } }
  return best;
}
function go(k) { const xy = D.maps[map].xy, [x, y] = at(k), [w, h] = size(); chosen = k; pinned = true;
  if (x < 20 || y < 20 || x > w - 20 || y > h - 20) { cx = xy[2 * k]; cy = xy[2 * k + 1]; } draw(); }
function zoomBy(f, x, y) { const [w, h] = size(), s = scale(), dx = (x - w / 2) / s, dy = (h / 2 - y) / s;
  const old = zoom; zoom = Math.min(80, Math.max(.8, zoom * f)); cx += dx * (1 - old / zoom); cy += dy * (1 - old / zoom); draw(); }
function reset() { zoom = 1; cx = cy = .5; draw(); }
const fingers = new Map(); let moved = 0, gap = 0;
canvas.onpointerdown = e => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, [e.offsetX, e.offsetY]); if (fingers.size === 1) moved = 0; gap = 0; };
canvas.onpointermove = e => {
  const was = fingers.get(e.pointerId);
  if (!was) { if (!pinned) { const k = nearest(e.offsetX, e.offsetY, 14); if (k !== chosen) { chosen = k; draw(); } } return; }
  fingers.set(e.pointerId, [e.offsetX, e.offsetY]);
  if (fingers.size === 2) { const [p, q] = [...fingers.values()], g = Math.hypot(p[0] - q[0], p[1] - q[1]); moved = 99; if (gap) zoomBy(g / gap, (p[0] + q[0]) / 2, (p[1] + q[1]) / 2); gap = g; return; }
  const dx = e.offsetX - was[0], dy = e.offsetY - was[1]; moved += Math.abs(dx) + Math.abs(dy);
  if (moved > 4) { cx -= dx / scale(); cy += dy / scale(); draw(); }
};
canvas.onpointerup = canvas.onpointercancel = e => { fingers.delete(e.pointerId); gap = 0;
  if (e.type === "pointerup" && moved <= 4) { chosen = nearest(e.offsetX, e.offsetY, 22); pinned = chosen >= 0; draw(); } };
canvas.onpointerleave = () => { if (!pinned && !fingers.size) { chosen = -1; draw(); } };
canvas.addEventListener("wheel", e => { e.preventDefault(); zoomBy(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY); }, {passive: false});
canvas.ondblclick = reset;
canvas.onkeydown = e => {
  const [w, h] = size(), way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key];
  if (way) { const from = chosen < 0 ? [w / 2, h / 2] : at(chosen);
    const k = nearest(from[0], from[1], 1e6, (dx, dy, k) => k !== chosen && (chosen < 0 || dx * way[0] + dy * way[1] > Math.abs(dx * way[1] + dy * way[0]))); if (k >= 0) go(k); }
  else if (e.key === "+" || e.key === "=") zoomBy(1.3, w / 2, h / 2); else if (e.key === "-") zoomBy(1 / 1.3, w / 2, h / 2);
  else if (e.key === "Escape") { chosen = -1; pinned = false; draw(); } else return;
  e.preventDefault();
};
function search() { const text = $("search").value.trim().toLowerCase(); if (!text) return;
  let k = D.id.findIndex(x => x.toLowerCase() === text); if (k < 0) k = D.id.findIndex(x => x.toLowerCase().includes(text));
  if (k < 0) { $("status").textContent = `no source ${text}`; return; }
  if (!shown[D.cls[k]]) $("legend").children[legendAt[D.cls[k]]].click(); go(k); }
$("search").oninput = () => { const text = $("search").value.trim().toLowerCase(), found = text ? D.id.filter(x => x.toLowerCase().includes(text)).slice(0, 20) : [];
  $("ids").replaceChildren(...found.map(x => { const o = document.createElement("option"); o.value = x; return o; })); if (D.id.includes($("search").value)) search(); };
$("search").onkeydown = e => { if (e.key === "Enter") search(); };
$("reset").onclick = reset;
$("title").textContent = document.title = D.title;
D.maps.forEach((m, k) => { const b = document.createElement("button"); b.textContent = m.name;
  b.onclick = () => { map = k; [...$("maps").children].forEach((x, j) => x.setAttribute("aria-pressed", j === k)); $("how").textContent = m.how; reset(); }; $("maps").append(b, " "); });
const legendAt = [];
D.classes.map((c, k) => k).reverse().forEach((k, place) => { legendAt[k] = place;
  const c = D.classes[k], b = document.createElement("button"), dot = document.createElement("canvas"), text = document.createElement("span"), count = document.createElement("i");
  dot.width = dot.height = 32; dot.style.cssText = "position:static;width:16px;height:16px"; const p = dot.getContext("2d"); p.translate(16, 16); outline(p, c.shape, 9); p.fillStyle = c.colour; p.fill();
  text.textContent = c.name; count.textContent = D.cls.filter(x => x === k).length.toLocaleString("en"); b.setAttribute("aria-pressed", true); b.append(dot, text, count);
  b.onclick = () => { shown[k] = !shown[k]; b.setAttribute("aria-pressed", shown[k]); if (chosen >= 0 && !shown[D.cls[chosen]]) { chosen = -1; pinned = false; } draw(); };
  $("legend").append(b); });
new ResizeObserver(draw).observe($("plot"));
$("maps").children[0].click();
</script></body></html>
"""  # noqa: E501
