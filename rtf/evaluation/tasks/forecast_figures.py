"""Pictures of forecasts: calibration, and light curves continued beyond what a fingerprint was shown.

Notable:
- calibration twice: how often observations fall within each central interval (on the diagonal, were
  uncertainties right), and where in the predicted distribution they fall (flat, were it right)
- a light curve is drawn with the deviation of the curve itself (68 and 95 %), without measurement errors:
  observations scatter about it by their own error bars besides
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtr, ndtri

from rtf.alerts.history import BANDS, Detections
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

_GRID = 120
_AFTER = 30.0
#: Forecasts from light (few detections shown) to dark, and the other two kinds; lines differ by dash as well.
_FORECAST = (("#f4a261", "-"), ("#d1495b", "--"), ("#6a1b4d", "-."), ("#2b0a3d", ":"))
_OTHER = {"shown": ("#2a7f9e", "-"), "interpolation": ("#5b8c5a", "--")}


def calibration_figure(pulls: Mapping[tuple[str, int | None], np.ndarray]) -> Figure:
    """Coverage of central intervals and distribution of the predicted probability (PIT).

    Parameters
    ----------
    pulls : by what was asked ("forecast", "shown" or "interpolation") and detections shown, (T,) pulls; of
        those shown the last is drawn
    """
    last = [key for key in pulls if key[0] == "shown"][-1:]
    figure = Figure(figsize=(10.4, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    nominal = np.linspace(0.01, 0.99, 99)
    edges, colours = np.linspace(0, 1, 11), iter(_FORECAST * 9)
    left.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    right.axhline(1, color="0.6", linewidth=1)
    for (asked, n), pull in pulls.items():
        if not len(pull) or (asked == "shown" and (asked, n) not in last):
            continue
        name = {"forecast": f"forecast from first {n}", "shown": f"the shown first {n}"}.get(asked)
        colour, dash = _OTHER.get(asked) or next(colours)
        style = {"color": colour, "linestyle": dash, "linewidth": 1.6}
        inside = np.searchsorted(np.sort(np.abs(pull)), ndtri(0.5 + nominal / 2), "right") / len(pull)
        label = f"{name or 'interpolation, hidden third'}  ({len(pull):,})"
        left.plot(nominal, inside, label=label, **style)
        density = np.histogram(ndtr(pull), edges)[0] * (len(edges) - 1) / len(pull)
        right.stairs(density, edges, **style)
    grey = {"color": "0.5", "fontsize": 9}
    left.text(0.30, 0.86, "too wide", ha="center", **grey)
    left.text(0.70, 0.14, "too narrow", ha="center", **grey)
    left.set(xlabel="predicted central interval", ylabel="share of observations within it")
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    right.set(xlabel="predicted probability of a brighter magnitude (PIT)", ylabel="density")
    right.set(xlim=(0, 1), ylim=(0, None))
    right.text(0.01, 0.01, "brighter than predicted", transform=right.transAxes, **grey)
    right.text(0.99, 0.01, "fainter than predicted", transform=right.transAxes, ha="right", **grey)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle("Calibration of predicted magnitudes, test split (detections in brackets)", fontsize=12)
    tidy(left, right)
    return figure


def forecast_figure(
    model, detections: Detections, n_shown: int, names: Sequence[str], labels: Sequence[int]
) -> Figure:
    """Draw forecasts from first detections, one panel a source: those shown are filled, later ones open.

    Curves run to 30 days after the last detection shown, in the bands the source was seen in until then.
    """
    latent = model.encode(detections, first=n_shown).latent
    figure, panels = grid_of(len(names), 4.4, 3.3)
    for k, (axes, name, label) in enumerate(zip(panels, names, labels, strict=True)):
        rows = slice(*detections.offset[k : k + 2])
        days = detections.mjd[rows] - detections.mjd[rows][0]
        shown = np.arange(len(days)) < n_shown
        cut = days[shown][-1]
        near = days <= cut + _AFTER
        columns = (detections.mag[rows], detections.magerr[rows], detections.band[rows].astype(int))
        mag, magerr, band = (column[near] for column in columns)
        days, shown = days[near], shown[near]
        for own, hollow in ((shown, False), (~shown, True)):
            draw_detections(axes, days[own], mag[own], magerr[own], band[own], hollow=hollow)

        grid, bands = np.linspace(0, cut + _AFTER, _GRID), np.unique(band)
        asked = np.broadcast_to(grid, (len(bands), _GRID)), np.repeat(bands[:, None], _GRID, 1)
        curves, sigmas = model.query(np.repeat(latent[k : k + 1], len(bands), 0), *asked)
        for b, curve, sigma in zip(bands, curves, sigmas):
            colour = BAND_STYLE[BANDS[b]][0]
            for width, alpha in ((1.96, 0.10), (1.0, 0.18)):
                ends = curve - width * sigma, curve + width * sigma
                axes.fill_between(grid, *ends, color=colour, alpha=alpha, linewidth=0)
            axes.plot(grid, curve, color=colour, linewidth=1.4, zorder=2)
        axes.axvspan(cut, grid[-1], color="0.96", zorder=0)
        axes.axvline(cut, color="0.55", linewidth=1, linestyle=":", zorder=1)

        found = [np.interp(t, grid, curves[bands == b][0]) for t, b in zip(days[~shown], band[~shown])]
        text = f"no later detection within {_AFTER:.0f} days"
        if found:
            error = np.median(np.abs(np.array(found) - mag[~shown]))
            text = f"{len(found)} later detections, median |Δmag| = {error:.2f} mag"
        axes.set_title(f"{literal(f'{class_name(label)}  ·  {name}')}\n{text}", fontsize=9.5)
        # Observations and curves set the range; a wide uncertainty must not.
        both = np.concatenate([mag, curves.ravel()])
        margin = max(0.08 * np.ptp(both), 0.15)
        axes.set_ylim(both.max() + margin, both.min() - margin)  # bright is up
        axes.set_xlim(-0.02 * grid[-1], grid[-1])
        tidy(axes)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    marks = {"shown (1σ error)": {}, "later, not shown": {"markerfacecolor": "white"}}
    handles = band_handles(np.unique(detections.band), **marks)
    handles.append(Patch(color="0.3", alpha=0.3, label="68 % and 95 % of the curve"))
    handles.append(Line2D([], [], color="0.55", linestyle=":", label="last detection shown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    title = f"Light curves from fingerprints of the first {n_shown} detections, from well to badly forecast"
    figure.suptitle(title, fontsize=12)
    return figure
