"""Pictures of forecasts: calibration, and light curves continued beyond what a fingerprint was shown.

Notable:
- calibration twice: how often observations fall within each central interval (on the diagonal, were
  uncertainties right), and where in the predicted distribution they fall (flat, were it right)
- a light curve is drawn with the deviation of the curve itself (68 and 95 %), without measurement errors:
  observations scatter about it by their own error bars besides
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
)

_GRID = 120
_AFTER = 30.0
#: Forecasts from light (few detections shown) to dark, and the other two kinds; lines differ by dash as well.
_FORECAST = (("#f4a261", "-"), ("#d1495b", "--"), ("#6a1b4d", "-."), ("#2b0a3d", ":"))
_OTHER = {"shown": ("#2a7f9e", "-"), "interpolation": ("#5b8c5a", "--")}


@dataclass(frozen=True)
class Forecast:
    """One source, what was shown of it, what came, and what its fingerprint said.

    Attributes
    ----------
    title : above the panel
    dt, mag, magerr, band : (L,) all its detections
    n_shown : how many of them the encoder saw
    grid : (G,) days at which the curves are given
    curve, sigma : {band: (G,)} magnitude and its standard deviation
    """

    title: str
    dt: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    band: np.ndarray
    n_shown: int
    grid: np.ndarray
    curve: dict[int, np.ndarray]
    sigma: dict[int, np.ndarray]


def name_of(asked: str, n_shown: int | None) -> str:
    """What a group of questions is called in legends."""
    if asked == "interpolation":
        return "interpolation, hidden third"
    return f"{'forecast from' if asked == 'forecast' else 'the shown'} first {n_shown}"


def calibration_figure(pulls: Mapping[str, tuple[np.ndarray, str]]) -> Figure:
    """Coverage of central intervals and distribution of the predicted probability (PIT).

    Parameters
    ----------
    pulls : {legend: ((T,) pulls, "forecast", "shown" or "interpolation")}; the last of the shown is drawn
    """
    last_shown = [name for name, (_, asked) in pulls.items() if asked == "shown"][-1:]
    drawn = {n: p for n, p in pulls.items() if (p[1] != "shown" or n in last_shown) and len(p[0])}
    figure = Figure(figsize=(10.4, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    nominal = np.linspace(0.01, 0.99, 99)
    edges, k = np.linspace(0, 1, 11), 0
    left.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    right.axhline(1, color="0.6", linewidth=1)
    for name, (pull, asked) in drawn.items():
        colour, dash = _OTHER.get(asked) or _FORECAST[min(k, len(_FORECAST) - 1)]
        k += asked == "forecast"
        style = {"color": colour, "linestyle": dash, "linewidth": 1.6}
        inside = np.searchsorted(np.sort(np.abs(pull)), ndtri(0.5 + nominal / 2), "right") / len(pull)
        left.plot(nominal, inside, label=f"{name}  ({len(pull):,})", **style)
        density = np.histogram(ndtr(pull), edges)[0] * (len(edges) - 1) / len(pull)
        right.stairs(density, edges, **style)
    left.text(0.30, 0.86, "too wide", color="0.5", fontsize=9, ha="center")
    left.text(0.70, 0.14, "too narrow", color="0.5", fontsize=9, ha="center")
    left.set(xlabel="predicted central interval", ylabel="share of observations within it")
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    right.set(xlabel="predicted probability of a brighter magnitude (PIT)", ylabel="density")
    right.set(xlim=(0, 1), ylim=(0, None))
    right.text(0.01, 0.01, "brighter than predicted", transform=right.transAxes, color="0.5", fontsize=9)
    right.text(
        0.99, 0.01, "fainter than predicted", transform=right.transAxes, color="0.5", fontsize=9, ha="right"
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle("Calibration of predicted magnitudes, test split (detections in brackets)", fontsize=12)
    tidy(left, right)
    return figure


def forecast_curves(
    model, detections: Detections, n_shown: int, names: Sequence[str], labels: Sequence[int]
) -> list[Forecast]:
    """Curves of sources from the fingerprints of their first detections.

    They run to 30 days after the last detection shown, in the bands the source was seen in until then.
    """
    latent = model.encode(detections, first=n_shown).latent
    curves = []
    for k, (name, label) in enumerate(zip(names, labels, strict=True)):
        rows = slice(*detections.offset[k : k + 2])
        dt = detections.mjd[rows] - detections.mjd[rows][0]
        shown = min(n_shown, len(dt))
        until = dt[shown - 1] + _AFTER
        near = dt <= until
        band = detections.band[rows][near].astype(int)
        grid = np.linspace(0, until, _GRID)
        bands = np.unique(band)
        asked = np.broadcast_to(grid, (len(bands), _GRID)), np.repeat(bands[:, None], _GRID, 1)
        mag, sigma = model.query(np.repeat(latent[k : k + 1], len(bands), 0), *asked)
        title = literal(f"{class_name(label)}  ·  {name}")
        columns = (dt, detections.mag[rows], detections.magerr[rows])
        columns = (np.asarray(c, float)[near] for c in columns)
        of_band = (dict(zip(bands.tolist(), x)) for x in (mag, sigma))
        curves.append(Forecast(title, *columns, band, shown, grid, *of_band))
    return curves


def forecast_figure(curves: Sequence[Forecast], n_shown: int) -> Figure:
    """Draw forecasts, one panel a source: shown detections filled, later ones open."""
    figure, panels = grid_of(len(curves), 4.4, 3.3)
    for axes, curve in zip(panels, curves):
        _panel(axes, curve)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    marks = {"shown (1σ error)": {}, "later, not shown": {"markerfacecolor": "white"}}
    handles = band_handles([b for c in curves for b in c.curve], **marks)
    handles.append(Patch(color="0.3", alpha=0.3, label="68 % and 95 % of the curve"))
    handles.append(Line2D([], [], color="0.55", linestyle=":", label="last detection shown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(
        f"Light curves from fingerprints of the first {n_shown} detections, from well to badly forecast",
        fontsize=12,
    )
    return figure


def _panel(axes, curve: Forecast) -> None:
    shown = np.arange(len(curve.dt)) < curve.n_shown
    cut = curve.dt[curve.n_shown - 1]
    axes.axvspan(cut, max(curve.grid[-1], cut), color="0.96", zorder=0)
    axes.axvline(cut, color="0.55", linewidth=1, linestyle=":", zorder=1)
    for b, mag in curve.curve.items():
        colour = BAND_STYLE[BANDS[b]][0]
        for width, alpha in ((1.96, 0.10), (1.0, 0.18)):
            spread = width * curve.sigma[b]
            axes.fill_between(curve.grid, mag - spread, mag + spread, color=colour, alpha=alpha, linewidth=0)
        axes.plot(curve.grid, mag, color=colour, linewidth=1.4, zorder=2)
    for own, hollow in ((shown, False), (~shown, True)):
        columns = (curve.dt[own], curve.mag[own], curve.magerr[own], curve.band[own])
        draw_detections(axes, *columns, hollow=hollow)
    axes.set_title(_caption(curve), fontsize=9.5)
    # Observations and curves set the range; a wide uncertainty must not.
    mag = np.concatenate([curve.mag, *curve.curve.values()])
    margin = max(0.08 * np.ptp(mag), 0.15)
    axes.set_ylim(mag.max() + margin, mag.min() - margin)  # bright is up
    axes.set_xlim(-0.02 * curve.grid[-1], curve.grid[-1])
    tidy(axes)


def _caption(curve: Forecast) -> str:
    later = np.arange(len(curve.dt)) >= curve.n_shown
    if not later.any():
        return f"{curve.title}\nno later detection within {_AFTER:.0f} days"
    found = [np.interp(t, curve.grid, curve.curve[b]) for t, b in zip(curve.dt[later], curve.band[later])]
    error = np.median(np.abs(np.array(found) - curve.mag[later]))
    return f"{curve.title}\n{later.sum()} later detections, median |Δmag| = {error:.2f} mag"
