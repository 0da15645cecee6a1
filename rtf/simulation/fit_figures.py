"""Pictures of fitted light curves: detections with their errors, and the curve of each band through them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from rtf.alerts.history import BANDS
from rtf.figures import BAND_STYLE, band_handles, draw_detections, grid_of, literal, rim_labels, tidy

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


def fitted_figure(curves: Sequence[FittedCurve], title: str = "") -> Figure:
    """Draw fits, one panel a source.

    Raises
    ------
    ValueError : no fits
    """
    if not curves:
        raise ValueError("no fits to draw")
    figure, panels = grid_of(len(curves), 4.4, 3.1, margin=0.6)
    for axes, curve in zip(panels, curves):
        start = curve.mjd.min()
        draw_detections(axes, curve.mjd - start, curve.mag, curve.magerr, curve.band, size=4)
        for b, name in enumerate(BANDS):
            axes.plot(curve.curve_mjd - start, curve.curve_mag[b], color=BAND_STYLE[name][0], linewidth=1.2)
        axes.set_ylim(curve.mag.max() + _BELOW, curve.mag.min() - 0.5)  # bright is up
        axes.set_title(literal(curve.title), fontsize=9)
        tidy(axes)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    handles = band_handles(b for curve in curves for b in curve.band)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.suptitle(literal(title), fontsize=13)
    return figure
