"""Pictures of fitted light curves: detections with their errors, and the curve of each band through them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf.alerts.history import BANDS, SourceHistory
from rtf.figures import (
    BAND_STYLE,
    band_handles,
    class_name,
    draw_detections,
    grid_of,
    literal,
    rim_labels,
    tidy,
)  # fmt: skip
from rtf.simulation.fitting import Fit, curve_magnitude

#: Days about the brightest detection that are shown.
_SHOWN = 250.0


def fitted_figure(fits: Sequence[tuple[Fit, SourceHistory]], title: str = "") -> Figure:
    """Draw fits and the detections behind them, one panel a source.

    Raises
    ------
    ValueError : no fits
    """
    if not fits:
        raise ValueError("no fits to draw")
    figure, panels = grid_of(len(fits), 4.4, 3.1, margin=0.6)
    for axes, (fit, history) in zip(panels, fits):
        brightest = history.mjd[np.argmin(history.mag)]
        near = history.select(np.flatnonzero(np.abs(history.mjd - brightest) < _SHOWN))
        start = near.mjd[0]
        draw_detections(axes, near.mjd - start, near.mag, near.magerr, near.band, size=4)
        time = np.linspace(start - 20, near.mjd[-1] + 20, 300)
        for b, name in enumerate(BANDS):
            axes.plot(time - start, curve_magnitude(fit, time, b), color=BAND_STYLE[name][0], linewidth=1.2)
        axes.set_ylim(near.mag.max() + 1.0, near.mag.min() - 0.5)  # bright is up
        name = literal(f"{class_name(fit.label)}  ·  {fit.object_id}")
        axes.set_title(f"{name}\n{fit.n.sum()} detections, chi2 / dof = {fit.chi2:.2f}", fontsize=9)
        tidy(axes)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    handles = band_handles(np.concatenate([history.band for _, history in fits]))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.suptitle(literal(title), fontsize=13)
    return figure
