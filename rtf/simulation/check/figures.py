"""Pictures of two samples side by side: quantiles, histograms, importances, and sheets in random order.

Notable:
- real is always grey, simulated always orange, and each panel says how many of each it shows
- the shaded band of a quantile plot resamples sources, not detections: where the diagonal runs within it, the
  samples do not differ beyond chance
- figures are made without pyplot: no global state, no display, nothing to close
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rtf.alerts.history import SourceHistory
from rtf.files import whole

DPI = 120
REAL, SIMULATED = "#444444", "#d95f02"
_LEVELS = np.concatenate([[1, 2.5], np.arange(5, 100, 5), [97.5, 99]])
_RESAMPLES = 100
_MISSING = "#4477aa"
_BAND_COLOURS = ("#1b8a4b", "#b2182b", "#daa520")
_BAND_MARKERS = "osD"


@dataclass(frozen=True)
class Panel:
    """One quantity of both samples.

    Attributes
    ----------
    name : with its unit in brackets
    real, simulated : of each source, the values it contributes; NaN are left out
    log : logarithmic axes, values that are not positive left out
    """

    name: str
    real: Sequence[np.ndarray]
    simulated: Sequence[np.ndarray]
    log: bool = False

    def flat(self) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """Of each side the values (V,), in log10 if `log`; the source of each (V,); and the sources there."""
        sides = []
        for side in (self.real, self.simulated):
            source = np.repeat(np.arange(len(side)), [len(values) for values in side])
            values = np.concatenate([np.empty(0), *side]).astype(np.float64)
            good = np.isfinite(values) & ((values > 0) | (not self.log))
            values = np.log10(values[good]) if self.log else values[good]
            sides.append((values, source[good], len(side)))
        return sides


def quantile_figure(panels: Sequence[Panel], path: Path, title: str, seed: int = 0) -> None:
    """Quantiles of the simulated sample against those of the real one, from 1 to 99 %."""
    figure, axes = _grid(len(panels), title)
    rng = np.random.default_rng(seed)
    for ax, panel in zip(axes, panels):
        _name(ax, panel)
        sides = panel.flat()
        if min(len(values) for values, *_ in sides) < 5:
            ax.text(0.5, 0.5, "too few values", ha="center", transform=ax.transAxes, color="0.5")
            continue
        real, simulated = (np.percentile(values, _LEVELS) for values, *_ in sides)
        low, high = _difference_band(rng, sides)
        ends = [min(real[0], simulated[0]), max(real[-1], simulated[-1])]
        ax.plot(ends, ends, color=REAL, linewidth=0.8)
        ax.fill_between(real, real + low, real + high, color=SIMULATED, alpha=0.25, linewidth=0)
        ax.plot(real, simulated, color=SIMULATED, marker="o", markersize=2.5, linewidth=0.8)
        middle = len(_LEVELS) // 2
        ax.plot(real[middle], simulated[middle], "o", color=SIMULATED, markersize=6, markeredgecolor="black")
        margin = 0.06 * (ends[1] - ends[0] or 1.0)
        ax.set_xlim(ends[0] - margin, ends[1] + margin)
        ax.set_ylim(ends[0] - margin, ends[1] + margin)
        _ticks(ax, panel.log, "xy")
        ax.set_xlabel("real", fontsize=8, labelpad=1)
        ax.set_ylabel("simulated", fontsize=8, labelpad=1)
    figure.supxlabel(
        "dots: quantiles of 1 to 99 %, large: median; shaded: 95 % of resampled sources; line: equal",
        fontsize=9,
    )
    _write(figure, path)


def histogram_figure(panels: Sequence[Panel], path: Path, title: str) -> None:
    """Histograms of both samples, each of unit area.

    They end at 0.5 and 99.5 % of the values, and at six interquartile ranges beyond the quartiles.
    """
    figure, axes = _grid(len(panels), title)
    for ax, panel in zip(axes, panels):
        _name(ax, panel)
        (real, *_), (simulated, *_) = panel.flat()
        both = np.concatenate([real, simulated])
        if not len(both):
            ax.text(0.5, 0.5, "no value on either side", ha="center", transform=ax.transAxes, color="0.5")
            continue
        bins = _bins([side for side in (real, simulated) if len(side)], panel.log)
        for side, style in (
            (real, {"color": REAL, "alpha": 0.35, "histtype": "stepfilled"}),
            (simulated, {"color": SIMULATED, "histtype": "step", "linewidth": 1.3}),
        ):
            if len(side):
                ax.hist(side, bins, weights=np.full(len(side), 1 / len(side) / (bins[1] - bins[0])), **style)
        ax.set_yticks([])
        _ticks(ax, panel.log, "x")
    handles = [_patch(REAL, "real", 0.35), _patch(SIMULATED, "simulated")]
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, fontsize=9)
    _write(figure, path)


def importance_figure(result, path: Path, title: str, top: int = 18) -> None:
    """What gives the simulation away: importance on held-out sources, and area of each column alone.

    Parameters
    ----------
    result : `rtf.simulation.check.two_sample.TwoSample`
    """
    features = result.features[:top][::-1]
    figure = Figure(figsize=(9.5, 0.29 * len(features) + 1.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(features))
    left.barh(rows, [f.importance for f in features], color=SIMULATED, height=0.65)
    left.set_yticks(rows, [f"{f.name} [{f.unit}]" if f.unit else f.name for f in features], fontsize=8)
    left.set_xlabel("loss of ROC-AUC when shuffled", fontsize=9)
    right.hlines(rows, 0.5, [f.auc for f in features], color="0.8")
    right.plot([f.auc for f in features], rows, "o", color=REAL, markersize=5)
    right.set_xlabel("ROC-AUC of the column alone", fontsize=9)
    right.set_xlim(0.49, max(0.75, *(f.auc + 0.02 for f in features)))
    for ax in (left, right):
        ax.grid(axis="x", color="0.92")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="x", labelsize=8)
    low, high = result.interval
    figure.suptitle(
        f"{title}: ROC-AUC {result.auc:.3f} [{low:.3f}, {high:.3f}], "
        f"{result.n_real:,} real, {result.n_simulated:,} simulated",
        fontsize=11,
    )
    _write(figure, path)


def light_curve_sheet(
    real: Sequence[SourceHistory], simulated: Sequence[SourceHistory], path: Path, title: str, seed: int = 0
) -> list[tuple[int, str, str]]:
    """Ten real and ten simulated light curves in random order; returns the key (number, side, object)."""
    order = _shuffled(real, simulated, 10, seed)
    used = {int(band) for _, history in order for band in history.band}
    figure, axes = _grid(len(order), title, columns=5, size=(2.6, 2.0))
    for number, (ax, (_, history)) in enumerate(zip(axes, order), 1):
        days = history.mjd - history.mjd[0]
        for band, (colour, marker) in enumerate(zip(_BAND_COLOURS, _BAND_MARKERS)):
            k = history.band == band
            if band not in used:
                continue
            ax.errorbar(
                days[k], history.mag[k], history.magerr[k], fmt=marker, color=colour, markersize=3,
                elinewidth=0.7, alpha=0.85, label=f"{'gri'[band]} band",
            )  # fmt: skip
        ax.invert_yaxis()
        ax.tick_params(labelsize=7)
        ax.set_title(str(number), fontsize=9, fontweight="bold", loc="left", pad=2)
        if number % 5 == 1:
            ax.set_ylabel("magnitude (AB)", fontsize=8)
        if number > len(order) - 5:
            ax.set_xlabel("days since first detection", fontsize=8)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False, fontsize=9
    )
    _write(figure, path)
    return _key(order)


def stamp_sheet(
    real: Sequence[tuple[str, list[np.ndarray]]],
    simulated: Sequence[tuple[str, list[np.ndarray]]],
    path: Path,
    title: str,
    seed: int = 0,
    each: int = 12,
) -> list[tuple[int, str, str]]:
    """Triplets of both sides in random order, asinh stretch; returns the key (number, side, object).

    Parameters
    ----------
    real, simulated : name and the three images of each detection, NaN where missing; either side may be empty
    each : triplets of a side
    """
    order = _shuffled(real, simulated, each, seed)
    columns = 4
    rows = -(-len(order) // columns)
    figure = Figure(figsize=(4.0 * columns, 1.5 * rows + 0.7), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, 3 * columns, squeeze=False))
    for ax in axes.flat:
        ax.set_axis_off()
    shades = colormaps["gray"].with_extremes(bad=_MISSING)
    for k, (_, (_, images)) in enumerate(order):
        for kind, image in enumerate(images):
            ax = axes[k // columns, 3 * (k % columns) + kind]
            ax.imshow(stretched(image), cmap=shades, vmin=0, vmax=1, origin="lower", interpolation="nearest")
            if kind == 0:
                ax.text(2, 54, str(k + 1), color="#ffdd33", fontsize=10, fontweight="bold")
    figure.suptitle(
        f"{title}\nscience, template, difference; 63 × 63 pixels of 1.01 arcsec; blue: missing", fontsize=11
    )
    _write(figure, path)
    return _key(order)


def profile_figure(profiles: dict, path: Path, title: str) -> None:
    """Median radial profiles of each kind of stamp with the middle 68 % of sources.

    Parameters
    ----------
    profiles : kind to (radius (R,), {side: (N, R) profiles})
    """
    figure = Figure(figsize=(4.2 * len(profiles), 3.6), layout="constrained")
    for ax, (kind, (radius, sides)) in zip(
        np.atleast_1d(figure.subplots(1, len(profiles))), profiles.items()
    ):
        for (side, rows), colour in zip(sides.items(), (REAL, SIMULATED)):
            if not len(rows):
                continue
            low, middle, high = np.nanpercentile(rows, [16, 50, 84], axis=0)
            ax.fill_between(radius, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(radius, middle, color=colour, marker=".", label=f"{side}, {len(rows):,} stamps")
        ax.axhline(0, color="0.8", linewidth=0.8)
        ax.set_title(kind, fontsize=10)
        ax.set_xlabel("radius [pixel of 1.01 arcsec]", fontsize=9)
        ax.set_ylabel("brightness / innermost", fontsize=9)
        ax.set_ylim(-0.15, 1.1)
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    _write(figure, path)


def share_figure(names: Sequence[str], sides: dict, path: Path, title: str) -> None:
    """Class shares with intervals on a logarithmic axis.

    Parameters
    ----------
    sides : name of the side to (share (C,), low (C,), high (C,))
    """
    figure = Figure(figsize=(7.5, 0.36 * len(names) + 1.4), layout="constrained")
    ax = figure.subplots()
    rows = np.arange(len(names))[::-1]
    for offset, (side, (share, low, high)), colour in zip(
        (0.16, -0.16), sides.items(), (REAL, SIMULATED), strict=True
    ):
        ax.errorbar(
            share, rows + offset, xerr=[share - low, high - share], fmt="o", color=colour, markersize=5,
            elinewidth=1.2, capsize=2, label=side,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(rows, names)
    ax.set_xlabel("share of the sources with a fine class")
    ax.grid(axis="x", color="0.92")
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=11)
    _write(figure, path)


def stretched(image: np.ndarray) -> np.ndarray:
    """An image from 0 (2 sigma below the sky) to 1 (its brightest pixel), asinh in between; NaN stay.

    The softening is the noise of the sky itself (Lupton, Gunn & Szalay 1999, AJ 118, 1406).
    """
    sky = np.nanmedian(image)
    sigma = 1.4826 * np.nanmedian(np.abs(image - sky)) or 1.0
    scaled = np.arcsinh((image - sky) / (2 * sigma))
    low, high = np.arcsinh(-1.0), max(float(np.nanmax(scaled)), np.arcsinh(2.5))
    return (scaled - low) / (high - low)


def _bins(sides: list[np.ndarray], log: bool) -> np.ndarray:
    """Edges of common bins; of whole numbers, bins with whole numbers in their middle."""
    ends = []
    for side in sides:
        low, first, third, high = np.percentile(side, [0.5, 25, 75, 99.5])
        far = 6 * (third - first) or np.inf
        ends.append((max(low, first - far), min(high, third + far)))
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    if high <= low:
        return np.linspace(low - 0.5, low + 0.5, 12)
    if not log and high - low <= 60 and all(np.all(side == np.round(side)) for side in sides):
        return np.arange(np.floor(low), np.ceil(high) + 2, max(1, round((high - low) / 30))) - 0.5
    return np.linspace(low, high, 31)


def _difference_band(rng, sides) -> tuple[np.ndarray, np.ndarray]:
    """95 % band of the simulated minus the real quantiles when the sources of both are drawn again."""
    differences = np.empty((_RESAMPLES, len(_LEVELS)))
    for k in range(_RESAMPLES):
        drawn = []
        for values, source, n in sides:
            counts = rng.multinomial(n, np.full(n, 1 / n))[source]
            again = np.repeat(values, counts)
            drawn.append(np.percentile(again if len(again) else values, _LEVELS))
        differences[k] = drawn[1] - drawn[0]
    return tuple(np.percentile(differences, [2.5, 97.5], axis=0))


def _grid(n: int, title: str, columns: int | None = None, size: tuple[float, float] = (2.9, 2.5)):
    columns = columns or (4 if n <= 16 else 6)
    rows = -(-n // columns)
    width, height = size[0] * columns, size[1] * rows + 1.0
    # Fixed margins [inch]: thirty panels take matplotlib's own layout many seconds.
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.15 / width, bottom=0.85 / height, top=1 - 0.85 / height,
        wspace=0.32, hspace=0.5,
    )  # fmt: skip
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[n:]:
        ax.set_visible(False)
    figure.text(0.5, 1 - 0.3 / height, title, fontsize=12, ha="center")
    return figure, axes[:n]


def _name(ax, panel: Panel) -> None:
    (real, *_), (simulated, *_) = panel.flat()
    ax.set_title(f"{panel.name}\n{len(real):,} real, {len(simulated):,} simulated", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)


def _ticks(ax, log: bool, which: str) -> None:
    """Few ticks; on an axis that holds a log10, labelled with the quantity itself."""
    for axis in (getattr(ax, f"{w}axis") for w in which):
        if not log:
            axis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
            continue
        low, high = axis.get_view_interval()
        steps = (1, 2, 5) if high - low < 2.5 else (1,)
        ticks = [s * 10.0**k for k in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps]
        ticks = [tick for tick in ticks if low <= np.log10(tick) <= high]
        axis.set_ticks(np.log10(ticks), [f"{tick:g}" for tick in ticks])


def _shuffled(real, simulated, each: int, seed: int) -> list:
    """(side, item) of at most `each` of both sides, in random order."""
    rng = np.random.default_rng(seed)
    order = []
    for side, items in (("real", real), ("simulated", simulated)):
        order += [(side, items[k]) for k in rng.permutation(len(items))[:each]]
    return [order[k] for k in rng.permutation(len(order))]


def _key(order: list) -> list[tuple[int, str, str]]:
    names = [item.object_id if isinstance(item, SourceHistory) else item[0] for _, item in order]
    return [(k, side, name) for k, ((side, _), name) in enumerate(zip(order, names), 1)]


def _patch(colour: str, label: str, alpha: float | None = None):
    if alpha is None:
        return Patch(facecolor="none", edgecolor=colour, label=label)
    return Patch(color=colour, alpha=alpha, label=label)


def _write(figure: Figure, path: Path) -> None:
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
