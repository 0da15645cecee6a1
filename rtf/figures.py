"""How figures look: colours, axes, legends, and the light-curve panel and confusion matrix that many show.

Notable:
- figures are made without pyplot: no global state, no display, nothing to close
- names from data go through `literal`: matplotlib would read `$` in them as mathematics
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtf.alerts.surveys import BANDS
from rtf.classes import FINE, UNKNOWN
from rtf.files import whole

DPI = 130

#: Colours of the lightness range that prints, and markers, in the order in which things are drawn.
COLOURS = ("#1f4e9c", "#d9822b", "#1b8a4b", "#b2182b", "#7b4ea3", "#3aa6b9", "#8c6d1f", "#d6599a")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
#: Colour and marker of each band, by wavelength; green, red and goldenrod as the field has them.
BAND_STYLE = {
    "u": ("#3a4fb0", "v"), "g": ("#1b8a4b", "o"), "r": ("#b2182b", "s"), "i": ("#daa520", "D"),
    "z": ("#7b4ea3", "^"), "y": ("#5c4033", "P"),
}  # fmt: skip


def literal(text: str) -> str:
    """Text that matplotlib draws as it is: no mathematics, and no label hidden by a leading underscore."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure in the format of the suffix, whole or not at all."""
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def tidy(*panels) -> None:
    """Give axes a light grid behind the data and no frame."""
    for axes in panels:
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)


def grid_of(n: int, width: float, height: float, n_columns: int = 3, margin: float = 0.9, **shared):
    """A figure of n panels, and their axes; panels that are left over are hidden.

    Width and height are those of a panel; the margin below all is for title and legend [inch].
    """
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(width * n_columns, height * n_rows + margin), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, **shared)
    for axes in panels.flat[n:]:
        axes.set_visible(False)
    return figure, list(panels.flat[:n])


def rim_labels(panels: Sequence, x: str, y: str = "") -> None:
    """Label the lowest panel of each column and the first of each row."""
    lowest = {axes.get_subplotspec().colspan.start: axes for axes in panels}  # the last of each column stays
    for axes in panels:
        if axes in lowest.values():
            axes.set_xlabel(x)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(y)


def legend(figure: Figure, panels) -> None:
    """One legend below all panels, each entry once, the published last."""
    found = [entry for axes in panels for entry in zip(*axes.get_legend_handles_labels())]
    entries = {name: handle for handle, name in reversed(found)}  # the first handle of each name
    names = sorted(dict.fromkeys(name for _, name in found), key=lambda name: "published" in name)
    if names:
        width = int(figure.get_figwidth() * 11 / (max(map(len, names)) + 8))
        style = {"loc": "outside lower center", "frameon": False, "fontsize": 9.5}
        handles = [entries[name] for name in names]
        figure.legend(handles, names, ncols=max(1, min(len(names), width)), **style)


def stretched(image: np.ndarray) -> np.ndarray:
    """A stamp (h, w) from 0 (2 sigma below the sky) to 1 (its brightest pixel), asinh between; NaN stays NaN.

    The softening is the noise of the sky itself (Lupton, Gunn & Szalay 1999, AJ 118, 1406).
    """
    sky = np.nanmedian(image)
    sigma = 1.4826 * np.nanmedian(np.abs(image - sky)) or 1.0
    scaled = np.arcsinh((image - sky) / (2 * sigma))
    low, high = np.arcsinh(-1.0), max(float(np.nanmax(scaled)), np.arcsinh(2.5))
    return (scaled - low) / (high - low)


def whiskers(estimates: Sequence) -> np.ndarray:
    """(2, N) lengths below and above of intervals, for `errorbar`; 0 where there is none."""
    ends = [(max(e.value - e.low, 0.0), max(e.high - e.value, 0.0)) for e in estimates]
    return np.nan_to_num(np.array(ends, float).reshape(-1, 2).T)


class LightCurve(NamedTuple):
    """A source of L detections as observed and as rebuilt, in the same order; arrays are (L,)."""

    object_id: str
    class_name: str
    dt: np.ndarray  # days since first detection
    mag: np.ndarray  # AB
    magerr: np.ndarray  # 1 sigma
    band: np.ndarray  # index into `BANDS`
    predicted_dt: np.ndarray
    predicted_mag: np.ndarray
    predicted_band: np.ndarray

    @property
    def error(self) -> float:
        """Median |Δmag| of the rebuilt detections."""
        return float(np.median(np.abs(np.subtract(self.predicted_mag, self.mag, dtype=float))))


def class_name(label: int) -> str:
    """The name of a fine class, "unknown class" for -1."""
    return FINE[label] if label != UNKNOWN else "unknown class"


def rebuilt_light_curves(rebuilt, names, labels) -> list[LightCurve]:
    """One `LightCurve` for each source of a reconstruction (`Fingerprinter.reconstruct`)."""
    seen, curves = rebuilt.seen, []
    columns = (seen.mag, seen.magerr, seen.band, rebuilt.dt, rebuilt.mag, rebuilt.band)
    for k, (name, label) in enumerate(zip(names, labels, strict=True)):
        rows = slice(*seen.offset[k : k + 2])
        day = seen.mjd[rows] - seen.mjd[rows][0]
        curves.append(LightCurve(str(name), class_name(label), day, *(x[rows] for x in columns)))
    return curves


def draw_detections(axes, days, mag, magerr, band, *, hollow: bool = False, size: float = 5) -> None:
    """Detections with their errors, coloured by band; hollow ones stand apart (later, or not shown)."""
    for b, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        columns = (np.asarray(x)[np.asarray(band) == b] for x in (days, mag, magerr))
        face, edge, width = ("white", colour, 1.0) if hollow else (colour, "white", 0.5)
        axes.errorbar(
            *columns, fmt=marker, color=colour, markersize=size, markerfacecolor=face, markeredgecolor=edge,
            markeredgewidth=width, elinewidth=1, alpha=0.85, zorder=2,
        )  # fmt: skip


def draw_light_curve(axes, curve: LightCurve, size: float = 5) -> None:
    """Observed detections, and over them the rebuilt ones, joined in order of time; bright is up."""
    draw_detections(axes, curve.dt, curve.mag, curve.magerr, curve.band, size=size)
    order = np.argsort(curve.predicted_dt, kind="stable")
    dt, mag, band = (x[order] for x in (curve.predicted_dt, curve.predicted_mag, curve.predicted_band))
    for b, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        style = {"marker": marker, "markersize": 1.3 * size, "markerfacecolor": "none", "linewidth": 0.9}
        axes.plot(dt[band == b], mag[band == b], color=colour, markeredgewidth=1.2, zorder=3, **style)
    # Both kinds of points set the range; a single huge error bar must not.
    mag = np.concatenate([curve.mag, curve.predicted_mag])
    margin = max(0.08 * np.ptp(mag), np.median(curve.magerr), 0.05) * 1.3
    axes.set_ylim(mag.max() + margin, mag.min() - margin)
    tidy(axes)


def band_handles(bands, **more: dict) -> list[Line2D]:
    """Legend entries of bands (indices), then one grey entry for each of `more`: label -> line settings."""
    handles, used = [], {BANDS[int(b)] for b in np.unique(bands)}
    for name, (colour, marker) in BAND_STYLE.items():
        if name in used:
            handles.append(
                Line2D([], [], color=colour, marker=marker, linestyle="none", label=f"{name} band")
            )
    grey = {"color": "0.3", "marker": "o", "linestyle": "none"}
    return handles + [Line2D([], [], **grey | style, label=label) for label, style in more.items()]


OBSERVED = {"observed (1σ error)": {}}
REBUILT = {"reconstructed": {"markerfacecolor": "none", "linestyle": "-", "linewidth": 0.9}}


def light_curve_figure(curves: Sequence[LightCurve], title: str = "") -> Figure:
    """Draw observed and rebuilt light curves, one panel a source."""
    n_columns = {1: 1, 2: 2, 4: 2}.get(len(curves), 3)
    width, height = (7.2, 4.4) if n_columns == 1 else (4.4, 3.2)
    figure, panels = grid_of(len(curves), width, height, n_columns, 0.6)
    for axes, curve in zip(panels, curves):
        draw_light_curve(axes, curve)
        name = literal(f"{curve.class_name}  ·  {curve.object_id}")
        text = f"{len(curve.dt)} detections, median |Δmag| = {curve.error:.2f} mag"
        axes.set_title(f"{name}\n{text}", fontsize=10)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    used = np.concatenate([np.r_[c.band, c.predicted_band] for c in curves])
    handles = band_handles(used, **OBSERVED, **REBUILT)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.suptitle(literal(title), fontsize=13)
    return figure


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix (C, C) of counts, rows true, without classes nobody has or predicts."""
    confusion = np.asarray(confusion)
    if confusion.shape != (len(class_names),) * 2:
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {len(class_names)} class names")
    used = np.flatnonzero(confusion.sum(0) + confusion.sum(1))
    confusion, names = confusion[np.ix_(used, used)], [literal(class_names[k]) for k in used]
    n, total = len(used), confusion.sum(axis=1)
    share = confusion / np.maximum(total, 1)[:, None]
    side = max(0.78 * n + 1.2, 4.2)
    figure, (axes,) = grid_of(1, side + 1.6, side, margin=0)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        style = {"ha": "center", "color": "white" if share[i, j] > 0.6 else "black"}
        text = f"{confusion[i, j]:,}" if total[i] else "–"
        axes.text(j, i, text, va="bottom", fontweight="bold" if i == j else "normal", **style)
        if confusion[i, j]:
            percent = "<1 %" if share[i, j] < 0.005 else f"{100 * share[i, j]:.0f} %"
            axes.text(j, i, percent, va="top", fontsize=8, **style)
    axes.set_xticks(range(n), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), [f"{name}  ({k:,})" for name, k in zip(names, total)])
    axes.set(xlabel="predicted class", ylabel="true class (sources)")
    axes.set_title(literal(title), fontsize=12)
    figure.colorbar(image, ax=axes, shrink=0.75, format="{x:.0%}", label="share of the true class")
    return figure


def draw_bars(axes, estimates: Sequence, names: Sequence[str], label: str | None = None) -> None:
    """Horizontal bars with their intervals, the first on top, named at the side."""
    y, values = np.arange(len(names)), [e.value for e in estimates]
    axes.barh(y, values, height=0.62, color="#c9d6ea", edgecolor=COLOURS[0], linewidth=0.8, label=label)
    axes.errorbar(values, y, xerr=whiskers(estimates), fmt="none", ecolor="0.2", elinewidth=1.3, capsize=3)
    axes.set_yticks(y, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def draw_band(axes, x: Sequence[float], estimates: Sequence, k: int, label: str) -> None:
    """The k-th line of an axes: values with their intervals as a band about it."""
    low, high, value = ([getattr(e, name) for e in estimates] for name in ("low", "high", "value"))
    axes.fill_between(x, low, high, color=COLOURS[k], alpha=0.15, linewidth=0)
    axes.plot(x, value, color=COLOURS[k], label=literal(label), marker=MARKERS[k], markeredgecolor="white")


def count_axis(axes, counts: Sequence[int | None], labels: Sequence[str]) -> None:
    """A logarithmic axis of numbers of detections, labelled; None (all) stands right of the largest."""
    axes.set_xscale("log")
    axes.set_xticks(count_places(counts), labels, fontsize=8)
    axes.set_xticks([], minor=True)


def count_places(counts: Sequence[int | None]) -> list[float]:
    """Where numbers of detections stand on a `count_axis`."""
    largest = max((n for n in counts if n is not None), default=1)
    return [1.8 * largest if n is None else float(n) for n in counts]
