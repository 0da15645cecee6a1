"""The picture of a gallery: one row a source, from its cutouts to its class probabilities.

Notable:
- the upper three stamps are the pixels as sent, asinh, each on its own grey scale; the lower three are what a
  network sees, all on one scale; blue was not measured
- neighbours are drawn over at least the time and magnitude range of the source itself, moved to its
  brightness, so that likeness of shape can be seen; by how much is said
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtf.alerts.cutouts import pad_cutout
from rtf.alerts.history import BANDS
from rtf.classes import FINE
from rtf.features.stamps import KINDS, prepare_stamp
from rtf.figures import BAND_STYLE, DPI, LightCurve
from rtf.files import whole

_UNMEASURED = "#7aa6d8"
_SHOWN = 5  # most probable classes


@dataclass(frozen=True)
class Neighbour:
    """A training source near in fingerprint: days since first detection, magnitudes and bands (L,)."""

    object_id: str
    class_name: str
    cosine: float
    dt: np.ndarray
    mag: np.ndarray
    band: np.ndarray


@dataclass(frozen=True)
class Entry:
    """A source of the gallery.

    Attributes
    ----------
    object_id, type : name, and type of a catalogue
    curve : observed and reconstructed
    cutouts : science, template and difference image (h, w) as sent, or None
    neighbours : nearest first
    probability : (15,) of `FINE`, NaN unknown
    """

    object_id: str
    type: str
    curve: LightCurve
    cutouts: Sequence[np.ndarray] | None
    neighbours: Sequence[Neighbour]
    probability: np.ndarray


def gallery_figure(entries: Sequence[Entry], path: str | os.PathLike, read_by: str, title: str = "") -> None:
    """Draw the gallery as PNG.

    Parameters
    ----------
    read_by : what gave the probabilities
    title : above the neighbours

    Raises
    ------
    ValueError : no sources
    """
    if not entries:
        raise ValueError("no sources to draw")
    n_near = max(len(e.neighbours) for e in entries)
    figure = Figure(figsize=(10.6 + 1.5 * n_near, 2.35 * len(entries) + 0.9), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.04, hspace=0.03, wspace=0.02)
    # every source is two grid rows: two rows of stamps beside panels of full height
    grid = figure.add_gridspec(
        2 * len(entries), 3 + 1 + n_near + 1, width_ratios=[0.85] * 3 + [3.6] + [1.35] * n_near + [2.4]
    )
    for k, entry in enumerate(entries):
        both = slice(2 * k, 2 * k + 2)
        _stamps(figure, grid, k, entry)
        axes = figure.add_subplot(grid[both, 3])
        limits = _light_curve(axes, entry)
        panels = [figure.add_subplot(grid[both, 4 + j]) for j in range(len(entry.neighbours))]
        for near, neighbour in zip(panels, entry.neighbours, strict=True):
            _neighbour(near, neighbour, *limits)
        bars = figure.add_subplot(grid[both, 4 + n_near])
        _probabilities(bars, entry.probability)
        if k == len(entries) - 1:
            axes.set_xlabel("days since first detection", fontsize=8)
            bars.set_xlabel(f"probability ({read_by})", fontsize=8)
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="none", label=f"{b} band")
        for b, (c, m) in BAND_STYLE.items()
    ]
    handles.append(
        Line2D([], [], color="0.3", marker="o", markerfacecolor="none", linewidth=0.9, label="reconstructed")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.suptitle(
        "Cutouts as sent (upper) and as a network sees them (lower)  ·  light curve and reconstruction  ·  "
        f"{title}  ·  class probabilities",
        fontsize=11,
    )
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _stamps(figure, grid, k: int, entry: Entry) -> None:
    if entry.cutouts is None:
        axes = figure.add_subplot(grid[2 * k : 2 * k + 2, :3])
        axes.text(0.5, 0.5, "no cutouts", ha="center", va="center", color="0.5")
        axes.set_axis_off()
        return
    grey = colormaps["gray"].with_extremes(bad=_UNMEASURED)
    for j, (kind, image) in enumerate(zip(KINDS, entry.cutouts, strict=True)):
        raw = pad_cutout(image)
        missing = ~np.isfinite(raw)
        prepared = np.where(missing, np.nan, prepare_stamp(raw))
        scaled = np.arcsinh(raw)
        for row, (shown, limits) in enumerate(((scaled, (None, None)), (prepared, (-1, 6)))):
            axes = figure.add_subplot(grid[2 * k + row, j])
            axes.imshow(shown, cmap=grey, vmin=limits[0], vmax=limits[1], origin="lower")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(kind, fontsize=7, pad=2)


def _light_curve(axes, entry: Entry) -> tuple[tuple[float, float], tuple[float, float]]:
    c = entry.curve
    for index, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        seen = np.asarray(c.band) == index
        axes.errorbar(
            c.dt[seen], c.mag[seen], c.magerr[seen], fmt=marker, color=colour, markersize=4.5,
            markeredgecolor="white", markeredgewidth=0.4, elinewidth=0.8, alpha=0.85, zorder=2,
        )  # fmt: skip
        own = np.flatnonzero(np.asarray(c.predicted_band) == index)
        own = own[np.argsort(c.predicted_dt[own], kind="stable")]
        axes.plot(
            c.predicted_dt[own], c.predicted_mag[own], color=colour, marker=marker, markersize=5.5,
            markerfacecolor="none", linewidth=0.8, zorder=3,
        )  # fmt: skip
    mag = np.concatenate([c.mag, c.predicted_mag])
    day = np.concatenate([c.dt, c.predicted_dt])
    margin = max(0.1 * np.ptp(mag), float(np.median(c.magerr)), 0.1)
    width = max(0.05 * np.ptp(day), 0.5)
    limits = (day.min() - width, day.max() + width), (mag.max() + margin, mag.min() - margin)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])  # bright is up
    axes.set_title(f"{entry.object_id}  ·  {entry.type}  ·  {len(c.dt)} detections", fontsize=9)
    axes.set_ylabel("mag (AB)", fontsize=8)
    _tidy(axes)
    return limits


def _neighbour(axes, neighbour: Neighbour, days, mags) -> None:
    # the magnitude of a neighbour may lie anywhere: centred on the source's own range, same scale
    shift = np.median(neighbour.mag) - np.mean(mags)
    for index, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        seen = np.asarray(neighbour.band) == index
        axes.plot(neighbour.dt[seen], neighbour.mag[seen] - shift, marker, color=colour, markersize=2.8)
    axes.set_xlim(days[0], max(days[1], neighbour.dt.max() + 1))
    middle = neighbour.mag - shift
    axes.set_ylim(max(mags[0], middle.max() + 0.1), min(mags[1], middle.min() - 0.1))
    axes.set_title(f"{neighbour.class_name}\ncos {neighbour.cosine:.2f}", fontsize=7.5)
    axes.set_yticks([])
    axes.text(
        0.97,
        0.03,
        f"{abs(shift):.1f} mag {'fainter' if shift > 0 else 'brighter'}",
        transform=axes.transAxes,
        ha="right",
        fontsize=6,
        color="0.4",
    )
    _tidy(axes)
    axes.tick_params(labelsize=6)


def _probabilities(axes, probability: np.ndarray) -> None:
    known = np.flatnonzero(np.isfinite(probability))
    if not len(known):
        axes.text(0.5, 0.5, "no classifier", ha="center", va="center", color="0.5")
        axes.set_axis_off()
        return
    best = known[np.argsort(-probability[known], kind="stable")][:_SHOWN]
    axes.barh(range(len(best)), probability[best], color="#5b8db8", height=0.7)
    for row, c in enumerate(best):
        axes.text(probability[c] + 0.02, row, f"{probability[c]:.2f}", va="center", fontsize=7)
    axes.set_yticks(range(len(best)), [FINE[c] for c in best], fontsize=8)
    axes.set_xlim(0, 1.15)
    axes.set_xticks([0, 0.5, 1])
    axes.set_ylim(_SHOWN - 0.4, -0.6)
    _tidy(axes)


def _tidy(axes) -> None:
    axes.grid(color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
