"""Pictures of two samples side by side: histograms, and sheets in random order.

Real is always grey and simulated always orange; the sheets tell neither, their keys do.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rtf.documents import Table, to_csv, write_text
from rtf.figures import band_handles, draw_detections, grid_of, rim_labels, save, stretched, tidy

SIDES, COLOURS = ("real", "simulated"), ("#444444", "#d95f02")
_PANELS, _SHOWN = 16, 10  # histograms of a part, and sources of a side on a sheet


def histogram_figure(result, names: list, sides: Sequence[np.ndarray], path: Path, title: str) -> None:
    """Histograms of the columns that give most away, of K `names` and both `sides` (N, K)."""
    shown = result.features[:_PANELS]
    figure, panels = grid_of(len(shown), 2.9, 2.3, 4)
    styles = ({"alpha": 0.35, "histtype": "stepfilled"}, {"histtype": "step", "linewidth": 1.3})
    for axes, feature in zip(panels, shown):
        k = names.index(feature.name)
        present = [side[np.isfinite(side[:, k]), k] for side in sides]
        axes.set_title(feature.name, fontsize=9)
        tidy(axes)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
        if not min(map(len, present)):
            axes.text(0.5, 0.5, "one side has no value", ha="center", transform=axes.transAxes, color="0.5")
            continue
        bins, log = _bins(present)
        for values, colour, style in zip(present, COLOURS, styles):
            axes.hist(values, bins, weights=np.full(len(values), 1 / len(values)), color=colour, **style)
        if log:
            axes.set_xscale("log")
    real = Patch(color=COLOURS[0], alpha=0.35, label=SIDES[0])
    simulated = Patch(facecolor="none", edgecolor=COLOURS[1], label=SIDES[1])
    figure.legend(handles=[real, simulated], loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"{title}: the numbers that give most away, shares of the sources", fontsize=12)
    save(figure, path)


def _bins(sides: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
    """Edges of common bins from 0.5 to 99.5 %, and whether they are logarithmic."""
    ends = np.array([np.percentile(side, [0.5, 99.5]) for side in sides])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if low > 0 and high > 300 * low:
        return np.geomspace(low, high, 31), True
    if high - low <= 60 and all(np.all(side == np.round(side)) for side in sides):
        return np.arange(np.floor(low), np.ceil(high) + 2, max(1, round((high - low) / 30))) - 0.5, False
    return np.linspace(low, high, 31) if high > low else np.linspace(low - 0.5, low + 0.5, 12), False


def draw_sheets(folder: Path, sides: list[list], triplets: list[list], seed: int) -> dict[str, str]:
    """Draw light curves and stamps of both sides in random order, with their keys; captions by file name."""
    curves = [[(history.object_id, history) for history, _ in own] for own in sides]
    captions = {}
    for name, items, draw in (("light_curves", curves, light_curve_sheet), ("stamps", triplets, stamp_sheet)):
        if all(items):
            rng = np.random.default_rng(seed)
            order = [(s, own[k]) for s, own in zip(SIDES, items) for k in rng.permutation(len(own))[:_SHOWN]]
            order = [order[k] for k in rng.permutation(len(order))]
            draw([one[1] for _, one in order], folder / f"{name}_sheet.png")
            key = [(str(k), side, one[0]) for k, (side, one) in enumerate(order, 1)]
            write_text(folder / f"{name}_key.csv", to_csv(Table("", ("number", "side", "object_id"), key)))
            captions[f"{name}_sheet.png"] = f"{name.capitalize().replace('_', ' ')}; key: {name}_key.csv."
    return captions


def light_curve_sheet(histories: Sequence, path: Path) -> None:
    """Numbered light curves, bright is up."""
    figure, panels = grid_of(len(histories), 2.7, 2.1, 5)
    for number, (axes, history) in enumerate(zip(panels, histories), 1):
        days = history.mjd - history.mjd[0]
        draw_detections(axes, days, history.mag, history.magerr, history.band, size=4)
        axes.invert_yaxis()
        axes.set_title(str(number), fontsize=10, fontweight="bold", loc="left")
        tidy(axes)
    rim_labels(panels, "days", "magnitude (AB)")
    handles = band_handles(np.concatenate([history.band for history in histories]))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle("Which are real? Days since the first detection", fontsize=12)
    save(figure, path)


def stamp_sheet(triplets: Sequence[list[np.ndarray]], path: Path) -> None:
    """Numbered triplets (63, 63) each, asinh stretch, NaN in blue."""
    figure, panels = grid_of(3 * len(triplets), 1.33, 1.45, 12, margin=0.8)
    shades = colormaps["gray"].with_extremes(bad="#4477aa")
    for k, (axes, image) in enumerate(zip(panels, (image for images in triplets for image in images))):
        axes.set_axis_off()
        axes.imshow(stretched(image), cmap=shades, vmin=0, vmax=1, origin="lower", interpolation="nearest")
        if k % 3 == 0:
            axes.text(2, 53, str(k // 3 + 1), color="#ffdd33", fontsize=11, fontweight="bold")
    figure.suptitle("Which are real? Science, template, difference; blue: missing", fontsize=12)
    save(figure, path)
