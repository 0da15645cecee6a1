"""What the stretch of stamps does: raw cutouts beside ways to prepare them for a network.

    python -m rtf.features.stamp_figure ALERTS OUT.png

Notable:
- a column has one grey scale, because a network sees numbers, not a picture scaled to look well
- what was not measured is blue as long as a preparation leaves it unfilled
- edge stamps and masked ones come first, then the brightest and an even choice of the others
"""

import argparse
import os
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.read import read_histories
from rtf.features.stamps import KINDS, prepare_stamp
from rtf.figures import literal, save

Triplet = Sequence[np.ndarray]

_UNMEASURED = "#7aa6d8"


def min_max(image: np.ndarray) -> np.ndarray:
    """A stamp scaled linearly to [0, 1], NaN staying NaN."""
    low, high = np.nanmin(image), np.nanmax(image)
    return (image - low) / (high - low if high > low else 1)


def z_score(image: np.ndarray) -> np.ndarray:
    """A stamp with mean 0 and standard deviation 1, NaN staying NaN."""
    return (image - np.nanmean(image)) / (np.nanstd(image) or 1)


#: Title, function of a padded stamp, and the values shown black and white.
PREPARATIONS = (
    ("minimum to maximum, linear", min_max, 0, 1),
    ("mean 0, deviation 1, linear", z_score, -1, 4),
    ("in units of the noise, asinh (used)", prepare_stamp, -1, 6),
)


def stamp_preparation_figure(
    triplets: Sequence[Triplet], names: Sequence[str], path: str | os.PathLike
) -> None:
    """Draw each triplet of stamps under every preparation, one triplet a row, as PNG.

    Parameters
    ----------
    triplets : for each source its science, template and difference stamp, (h, w) each with at most 63 pixels
        a side, unprepared, NaN where nothing was measured
    names : of the sources
    path : of the PNG, written whole

    Raises
    ------
    ValueError : no triplets, or not as many names
    """
    if not len(triplets) or len(triplets) != len(names):
        raise ValueError(f"{len(triplets)} triplets of stamps and {len(names)} names")
    grey = colormaps["gray"].with_extremes(bad=_UNMEASURED)
    figure = Figure(figsize=(10.5, 1.1 * len(triplets) + 0.7), layout="constrained")
    figure.get_layout_engine().set(wspace=0.01, hspace=0.01, w_pad=0.02, h_pad=0.02)
    # An empty column between the preparations keeps all panels of one size.
    widths = [1, 1, 1, 0.1, 1, 1, 1, 0.1, 1, 1, 1]
    panels = figure.subplots(len(triplets), len(widths), squeeze=False, width_ratios=widths)
    for axes in panels[:, 3::4].ravel():
        axes.remove()
    for k, (title, prepare, black, white) in enumerate(PREPARATIONS):
        group = panels[:, 4 * k : 4 * k + 3]
        group[0, 1].set_title(title, fontsize=10)
        for row, triplet in zip(group, triplets, strict=True):
            for axes, image in zip(row, triplet, strict=True):
                axes.imshow(prepare(pad_cutout(image)), cmap=grey, vmin=black, vmax=white, origin="lower")
                axes.set(xticks=[], yticks=[])
        for axes, kind in zip(group[-1], KINDS, strict=True):
            axes.set_xlabel(kind, fontsize=8)
    for axes, name in zip(panels[:, 0], names, strict=True):
        axes.set_ylabel(literal(name), fontsize=7, rotation=0, ha="right", va="center")
    save(figure, path)


def choose(triplets: Sequence[Triplet], n: int) -> np.ndarray:
    """Which `n` triplets to show: a third with pixels missing, a sixth the brightest, the rest any."""
    missing = np.array([np.isnan([pad_cutout(image) for image in t]).mean() for t in triplets])
    peak = np.array([max(np.nanmax(prepare_stamp(image)) for image in t) for t in triplets])
    masked = [k for k in np.argsort(-missing, kind="stable")[: n // 3] if missing[k] > 0]
    bright = [k for k in np.argsort(-peak, kind="stable") if k not in masked][: n // 6]
    rest = [k for k in range(len(triplets)) if k not in masked and k not in bright]
    wanted = min(n - len(masked) - len(bright), len(rest))
    spread = [rest[k] for k in np.linspace(0, len(rest) - 1, wanted).astype(int)]
    return np.array([*masked, *bright, *spread], int)


def main() -> None:
    parser = argparse.ArgumentParser(description=stamp_preparation_figure.__doc__.splitlines()[0])
    parser.add_argument("alerts", help="alerts with cutouts, in any format")
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("-n", type=int, default=12, help="sources to show")
    arguments = parser.parse_args()
    triplets, names = [], []
    for history in read_histories(arguments.alerts, cutouts=True):
        whole_ones = [c for c in history.cutouts or [] if None not in c]
        if whole_ones:
            triplets.append([decode_cutout(stamp) for stamp in whole_ones[-1]])
            names.append(history.object_id)
    if not triplets:
        parser.error(f"{arguments.alerts}: no detection has all three stamps")
    chosen = choose(triplets, arguments.n)
    stamp_preparation_figure([triplets[k] for k in chosen], [names[k] for k in chosen], arguments.out)


if __name__ == "__main__":
    main()
