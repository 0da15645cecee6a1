"""How far class probabilities can be believed: calibration error, log-likelihood, reliability diagram.

Notable:
- the probability of the predicted class (top label) is judged, in bins of equal width as Guo et al. (2017,
  arXiv:1706.04599) have it: the bins are then the same for every model and every resample
- weights (B, N) score many bootstrap resamples at once
- the diagram shows the interval of every bin and how many sources lie in it: bins of few sources scatter
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.statistics import Estimate, bootstrap
from rtf.figures import DPI
from rtf.files import whole

N_BINS = 15

#: Probabilities below this count as this in the log-likelihood: single precision knows nothing smaller.
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width of the confidence.

    Attributes
    ----------
    edges : (n_bins + 1,) from 0 to 1
    count : (n_bins,) int64, sources
    confidence : (n_bins,) mean probability of the predicted class, NaN in an empty bin
    accuracy : (n_bins,) an `Estimate` a bin: share predicted right, NaN in an empty bin
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: tuple[Estimate, ...]


def expected_calibration_error(
    probability: np.ndarray, label: np.ndarray, n_bins: int = N_BINS, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Mean over sources of |accuracy - confidence| of the bin their confidence falls in.

    ECE = sum_b N_b / N |accuracy_b - confidence_b| over `n_bins` bins ((b - 1) / n_bins, b / n_bins] of the
    largest probability (Guo et al. 2017, equation 5).

    Parameters
    ----------
    probability : (N, C), rows sum to 1
    label : (N,) int, the right column; all known
    n_bins : bins of equal width
    weights : (B, N) counts of resamples, or None for the sample itself

    Returns
    -------
    a float, or (B,) with `weights`

    Raises
    ------
    ValueError : no sources, shapes that differ, probabilities that are none, labels that are no column
    """
    probability, label = checked(probability, label)
    confidence, right, bins = _top(probability, label, n_bins)
    gap = np.zeros((len(label), n_bins))
    gap[np.arange(len(label)), bins] = right - confidence
    counts = np.ones((1, len(label))) if weights is None else np.asarray(weights, float)
    error = np.abs(counts @ gap).sum(1) / counts.sum(1)
    return float(error[0]) if weights is None else error


def negative_log_likelihood(
    probability: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None
) -> float | np.ndarray:
    """Mean of -ln(probability of the right class) [nat]; arguments, result and errors as above."""
    probability, label = checked(probability, label)
    right = -np.log(np.maximum(probability[np.arange(len(label)), label], _SMALLEST))
    if weights is None:
        return float(right.mean())
    weights = np.asarray(weights, float)
    return weights @ right / weights.sum(1)


def reliability(
    probability: np.ndarray,
    label: np.ndarray,
    *,
    n_bins: int = N_BINS,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Reliability:
    """Accuracy with its interval and mean confidence of each bin; arguments as the error above."""
    probability, label = checked(probability, label)
    confidence, right, bins = _top(probability, label, n_bins)
    member = (bins[:, None] == np.arange(n_bins)).astype(float)

    def share_right(counts):
        counts = counts.astype(float)
        with np.errstate(invalid="ignore"):
            return counts @ (member * right[:, None]) / (counts @ member)

    accuracy = bootstrap(share_right, len(label), n_resamples=n_bootstrap, seed=seed)
    count = member.sum(0)
    with np.errstate(invalid="ignore"):
        mean = confidence @ member / count
    return Reliability(np.linspace(0, 1, n_bins + 1), count.astype(np.int64), mean, tuple(accuracy))


def reliability_figure(
    panels: Mapping[str, tuple[Reliability, str]],
    path: str | os.PathLike,
    title: str = "",
    n_columns: int = 2,
) -> None:
    """Draw reliability diagrams as PNG, one panel each with the number of sources in each bin below it.

    Parameters
    ----------
    panels : title -> (reliability, a line of text below the title)
    path : of the PNG, written whole

    Raises
    ------
    ValueError : nothing to draw
    """
    if not panels:
        raise ValueError("no reliability diagram to draw")
    n_columns = min(n_columns, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(4.6 * n_columns + 0.4, 6.0 * n_rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(2 * n_rows, n_columns, height_ratios=[3.2, 1] * n_rows)
    for k, (name, (found, text)) in enumerate(panels.items()):
        row, column = divmod(k, n_columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _diagram(upper, lower, found)
        upper.set_title(f"{name}\n{text}", fontsize=10)
        if column == 0:
            upper.set_ylabel("share predicted right")
            lower.set_ylabel("sources")
        lower.set_xlabel("probability of the predicted class")
    if title:
        figure.suptitle(title, fontsize=13)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _diagram(upper, lower, found: Reliability) -> None:
    filled = found.count > 0
    value, low, high = (
        np.array([getattr(e, end) for e in found.accuracy])[filled] for end in ("value", "low", "high")
    )
    confidence = found.confidence[filled]
    upper.plot([0, 1], [0, 1], color="0.55", linewidth=1, linestyle="--", zorder=1)
    upper.vlines(confidence, value, confidence, color="#d95f02", linewidth=5, alpha=0.35, zorder=2)
    error = np.maximum([value - low, high - value], 0)
    # resamples of a bin of one source do not vary: an interval of no width says nothing there
    error[:, found.count[filled] < 2] = np.nan
    upper.errorbar(
        confidence, value, error, fmt="o", color="#1f4e79", ecolor="#1f4e79", elinewidth=1.1, capsize=2,
        markersize=5, zorder=3,
    )  # fmt: skip
    upper.set_xlim(0, 1.01)
    upper.set_ylim(-0.02, 1.02)
    upper.tick_params(labelbottom=False)
    width = np.diff(found.edges)
    lower.bar(found.edges[:-1], found.count, width, align="edge", color="#8fb3d1", edgecolor="white")
    lower.set_ylim(0, 1.3 * found.count.max())
    for left, w, count in zip(found.edges[:-1], width, found.count, strict=True):
        if count:
            lower.text(left + w / 2, count, f"{count:,}", ha="center", va="bottom", fontsize=6.5, color="0.3")
    for axes in (upper, lower):
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)


def error_by_chance(probability: np.ndarray, n_bins: int) -> float:
    """The expected calibration error if every source were right with its own confidence.

    The gap of a bin is then normal with variance sum p (1 - p), and the mean of a half-normal is
    sqrt(2 / pi) of its sigma.
    """
    confidence = probability.max(1)
    variance = np.bincount(_bin(confidence, n_bins), confidence * (1 - confidence), n_bins)
    return float(np.sqrt(2 / np.pi) * np.sqrt(variance).sum() / len(confidence))


def _top(probability, label, n_bins: int):
    prediction = probability.argmax(1)
    confidence = probability[np.arange(len(label)), prediction]
    return confidence, (prediction == label).astype(float), _bin(confidence, n_bins)


def _bin(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    return np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)


def checked(probability, label) -> tuple[np.ndarray, np.ndarray]:
    probability, label = np.asarray(probability, float), np.asarray(label).astype(np.int64)
    if probability.ndim != 2 or label.shape != probability.shape[:1]:
        raise ValueError(f"one label a row of probabilities, got {probability.shape} and {label.shape}")
    if not len(label):
        raise ValueError("no sources to calibrate on")
    if not (probability >= 0).all() or np.abs(probability.sum(1) - 1).max() > 1e-3:
        raise ValueError("probabilities must be at least 0 and sum to 1 in every row")
    if label.min() < 0 or label.max() >= probability.shape[1]:
        raise ValueError(f"labels must lie between 0 and {probability.shape[1] - 1}")
    return probability, label
