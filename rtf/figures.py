"""Pictures of results: confusion matrices and reconstructed light curves.

Notable:
- figures are made without pyplot: no global state, no display, nothing to close
- bands differ by marker as well as by colour, and the colours by lightness, so that colour is never alone
- the confusion matrix is coloured by row share (one lightness ramp), with counts and percentages in it
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtf.alerts.history import BANDS
from rtf.files import whole

DPI = 130

#: Colour and marker of each band: the field's green, red and goldenrod, of three lightnesses.
BAND_STYLE = {"g": ("#1b8a4b", "o"), "r": ("#b2182b", "s"), "i": ("#daa520", "D")}


@dataclass(frozen=True)
class LightCurve:
    """A source as observed and as reconstructed, L detections in the same order.

    Attributes
    ----------
    object_id, class_name : for the title
    dt : (L,) days since first detection
    mag, magerr : (L,) AB magnitude and 1-sigma error
    band : (L,) int, index into `BANDS`
    predicted_dt, predicted_mag, predicted_band : (L,), the same, reconstructed
    """

    object_id: str
    class_name: str
    dt: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    band: np.ndarray
    predicted_dt: np.ndarray
    predicted_mag: np.ndarray
    predicted_band: np.ndarray


def confusion_figure(
    confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike, title: str = ""
) -> None:
    """Draw a confusion matrix as PNG; a class without sources has an empty row.

    Parameters
    ----------
    confusion : (C, C) counts, rows true, columns predicted
    class_names : C names
    path : of the PNG, written whole

    Raises
    ------
    ValueError : a matrix that does not fit the names
    """
    confusion = np.asarray(confusion)
    n = len(class_names)
    if confusion.shape != (n, n):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {n} class names")
    total = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(total, 1)

    side = 0.78 * n + 1.2
    figure = Figure(figsize=(max(side + 1.6, 5.2), max(side, 4.2)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        count = confusion[i, j]
        if not total[i, 0]:
            axes.text(j, i, "–", ha="center", va="center", color="0.6")
            continue
        colour = "white" if share[i, j] > 0.6 else ("black" if count else "0.6")
        percent = f"{100 * share[i, j]:.0f} %"
        if count and share[i, j] < 0.005:
            percent = "<1 %"
        axes.text(
            j, i - 0.14, f"{count:,}", ha="center", va="center", color=colour, fontsize=10,
            fontweight="bold" if i == j else "normal",
        )  # fmt: skip
        if count:
            axes.text(j, i + 0.20, percent, ha="center", va="center", color=colour, fontsize=8)
    rows = [f"{name}  ({int(k):,})" for name, k in zip(class_names, total[:, 0], strict=True)]
    axes.set_xticks(range(n), class_names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), rows)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (sources)")
    if title:
        axes.set_title(title, fontsize=12, pad=10)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.ax.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(False)
    _write(figure, path)


def light_curve_figure(
    curves: Sequence[LightCurve],
    path: str | os.PathLike,
    title: str = "",
    *,
    n_columns: int | None = None,
) -> None:
    """Draw observed and reconstructed light curves as PNG, one panel a source.

    Parameters
    ----------
    curves : sources in the order of the panels
    path : of the PNG, written whole
    n_columns : panels in a row (default: one for one source, two up to four, three beyond)

    Raises
    ------
    ValueError : no sources, a source without detections, columns of unequal length, numbers not finite
    """
    if not curves:
        raise ValueError("no light curves to draw")
    for curve in curves:
        _check(curve)
    n = len(curves)
    n_columns = min(n, n_columns or (1 if n == 1 else 2 if n <= 4 else 3))
    n_rows = -(-n // n_columns)
    width, height = (7.2, 4.4) if n_columns == 1 else (4.4, 3.2)
    figure = Figure(figsize=(width * n_columns, height * n_rows + 0.6), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, curve in zip(panels.flat, curves):
        _light_curve(axes, curve)
    for axes in panels.flat[n:]:
        axes.set_visible(False)
    # Labels at the rim: under the lowest panel of each column, left of each row.
    for column in range(n_columns):
        lowest = (n - 1 - column) // n_columns
        panels[lowest, column].set_xlabel("days since first detection")
    for row in panels[:, 0]:
        row.set_ylabel("magnitude (AB)")
    used = sorted({int(b) for c in curves for b in (*c.band, *c.predicted_band)})
    figure.legend(
        handles=_legend(used), loc="outside lower center", ncols=len(used) + 2, frameon=False, fontsize=10,
        handletextpad=0.5, columnspacing=1.8,
    )  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=13)
    _write(figure, path)


def _light_curve(axes, curve: LightCurve) -> None:
    for index, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        seen = np.asarray(curve.band) == index
        axes.errorbar(
            np.asarray(curve.dt)[seen], np.asarray(curve.mag)[seen], np.asarray(curve.magerr)[seen],
            fmt=marker, color=colour, ecolor=colour, markersize=5, markeredgecolor="white",
            markeredgewidth=0.5, elinewidth=1, alpha=0.85, zorder=2,
        )  # fmt: skip
        own = np.flatnonzero(np.asarray(curve.predicted_band) == index)
        own = own[np.argsort(np.asarray(curve.predicted_dt)[own], kind="stable")]
        axes.plot(
            np.asarray(curve.predicted_dt)[own], np.asarray(curve.predicted_mag)[own],
            color=colour, marker=marker, markersize=6.5, markerfacecolor="none", markeredgewidth=1.2,
            linewidth=0.9, zorder=3,
        )  # fmt: skip
    error = np.median(np.abs(np.subtract(curve.predicted_mag, curve.mag, dtype=float)))
    axes.set_title(
        f"{curve.class_name}  ·  {curve.object_id}\n"
        f"{len(curve.dt)} detections, median |Δmag| = {error:.2f} mag",
        fontsize=10,
    )
    # Both kinds of points set the range; a single huge error bar must not.
    mag = np.concatenate([curve.mag, curve.predicted_mag])
    margin = max(0.08 * np.ptp(mag), np.median(curve.magerr), 0.05) * 1.3
    axes.set_ylim(mag.max() + margin, mag.min() - margin)  # bright is up
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _legend(bands: list[int]) -> list[Line2D]:
    handles = []
    for index in bands:
        colour, marker = BAND_STYLE[BANDS[index]]
        label = f"{BANDS[index]} band"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=label))
    handles.append(Line2D([], [], color="0.3", marker="o", linestyle="none", label="observed (1σ error)"))
    handles.append(
        Line2D([], [], color="0.3", marker="o", markerfacecolor="none", linewidth=0.9, label="reconstructed")
    )
    return handles


def _check(curve: LightCurve) -> None:
    length = len(curve.dt)
    if not length:
        raise ValueError(f"{curve.object_id}: no detections to draw")
    for name in ("dt", "mag", "magerr", "band", "predicted_dt", "predicted_mag", "predicted_band"):
        column = np.asarray(getattr(curve, name))
        if column.shape != (length,) or not np.isfinite(column).all():
            raise ValueError(f"{curve.object_id}: {name} must hold {length} finite numbers")


def _write(figure: Figure, path: str | os.PathLike) -> None:
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI)  # in the format of the suffix
