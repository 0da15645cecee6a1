"""Pictures of fitted light curves: detections with their errors, and the curve of each band through them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtf.alerts.history import BANDS
from rtf.figures import BAND_STYLE, DPI
from rtf.files import whole

_COLUMNS = 3
_BELOW = 1.0  # magnitudes shown below the faintest detection


@dataclass(frozen=True)
class FittedCurve:
    """A source and its fit.

    Attributes
    ----------
    title : of the panel
    mjd, band, mag, magerr : (L,) detections
    curve_mjd : (T,) where the curves are drawn [MJD]
    curve_mag : (3, T) of g, r, i, NaN where there is none
    """

    title: str
    mjd: np.ndarray
    band: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    curve_mjd: np.ndarray
    curve_mag: np.ndarray


def fitted_figure(curves: Sequence[FittedCurve], path: str | os.PathLike, title: str = "") -> None:
    """Draw fits as PNG, one panel a source.

    Raises
    ------
    ValueError : no fits
    """
    if not curves:
        raise ValueError("no fits to draw")
    n_columns = min(len(curves), _COLUMNS)
    n_rows = -(-len(curves) // n_columns)
    figure = Figure(figsize=(4.4 * n_columns, 3.1 * n_rows + 0.6), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, curve in zip(panels.flat, curves):
        _panel(axes, curve)
    for axes in panels.flat[len(curves) :]:
        axes.set_visible(False)
    for row in panels[:, 0]:
        row.set_ylabel("magnitude (AB)")
    used = sorted({int(b) for curve in curves for b in curve.band})
    handles = []
    for name in (BANDS[b] for b in used):
        colour, marker = BAND_STYLE[name]
        handles.append(Line2D([], [], color=colour, marker=marker, label=f"{name} band, detections and fit"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=13)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _panel(axes, curve: FittedCurve) -> None:
    start = curve.mjd.min()
    for b, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        own = curve.band == b
        axes.errorbar(
            curve.mjd[own] - start, curve.mag[own], curve.magerr[own], fmt=marker, color=colour,
            markersize=4, markeredgecolor="white", markeredgewidth=0.5, elinewidth=1, alpha=0.85,
        )  # fmt: skip
        axes.plot(curve.curve_mjd - start, curve.curve_mag[b], color=colour, linewidth=1.2)
    axes.set_ylim(curve.mag.max() + _BELOW, curve.mag.min() - 0.5)  # bright is up
    axes.set_title(curve.title, fontsize=9)
    axes.set_xlabel("days since first detection", fontsize=9)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
