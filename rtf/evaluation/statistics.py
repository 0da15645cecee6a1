"""Scores of test sources with bootstrap intervals.

Notable:
- test sources are resampled with replacement. A resample is a row of counts, "how often was each source
  drawn", so a statistic is computed for many resamples at once as a weighted one: `counts (B, N) -> (B,)`
- sources are drawn, never detections: the detections of one source share its count (cluster bootstrap)
- the same seed draws the same resamples, so two models on the same sources are compared in pairs
- a statistic that does not exist in a resample (the recall of a class nobody drew) is NaN there, and the
  interval is that of the resamples in which it exists; classes without weight are left out of means
- tied scores count half in the AUC, as in the Mann-Whitney statistic

Reference: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

N_RESAMPLES = 1000
LEVEL = 0.95  # probability that an interval should hold

# Statistics hold a few arrays of this many numbers at a time; more would only leave the cache sooner.
_CELLS = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; NaN where it does not exist.

    Attributes
    ----------
    value : the statistic of the sample itself
    low, high : ends of its interval
    """

    value: float
    low: float
    high: float


def format_estimate(estimate: Estimate, digits: int = 3) -> str:
    """`0.874 [0.861, 0.886]`; a dash where there is no value, no brackets where there is no interval."""
    if not np.isfinite(estimate.value):
        return "–"
    value = f"{estimate.value:,.{digits}f}"
    if not (np.isfinite(estimate.low) and np.isfinite(estimate.high)):
        return value
    return f"{value} [{estimate.low:,.{digits}f}, {estimate.high:,.{digits}f}]"


def resample_counts(
    n_sources: int, n_resamples: int = N_RESAMPLES, seed: int = 0, width: int | None = None
) -> Iterator[np.ndarray]:
    """How often each source is drawn in each resample, some resamples at a time.

    Yields (b, N) int32, rows that sum to N: one multinomial draw each, the same however many come at a time.
    `width` is the number of columns of the widest array that the statistic makes, and sets b.
    """
    if n_sources < 1:
        raise ValueError("cannot resample an empty set of sources")
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // max(n_sources, width or 0))
    for start in range(0, n_resamples, rows):
        b = min(rows, n_resamples - start)
        # Counting N uniform draws is a multinomial draw, several times faster than N binomials a row.
        drawn = rng.integers(0, n_sources, (b, n_sources)) + n_sources * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n_sources).reshape(b, n_sources).astype(np.int32)


def interval(value: float, resampled: np.ndarray) -> Estimate:
    """The percentile interval of a statistic from its values (B,) in the resamples; NaN is left out."""
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(defined):
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    n_sources: int,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    width: int | None = None,
) -> Estimate | list[Estimate]:
    """A statistic of the sources with its bootstrap interval.

    Parameters
    ----------
    statistic : from counts (B, N) to (B,), or to (B, K) for K statistics of the same resamples
    n_sources : N
    width : see `resample_counts`

    Returns
    -------
    an `Estimate`, or a list of K

    Raises
    ------
    ValueError : no sources
    """
    resamples = resample_counts(n_sources, n_resamples, seed, width)
    value = np.asarray(statistic(np.ones((1, n_sources), np.int32)), float)[0]
    resampled = np.concatenate([np.asarray(statistic(counts), float) for counts in resamples])
    if value.ndim == 0:
        return interval(value, resampled)
    return [interval(v, r) for v, r in zip(value, resampled.T, strict=True)]


def accuracy(label: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of right predictions: labels and predictions (N,), weights (B, N) -> (B,)."""
    weights = np.asarray(weights, float)
    return weights @ (label == prediction).astype(float) / weights.sum(1)


def recall(label: np.ndarray, prediction: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Weighted share of each class predicted right: (B, n_classes), NaN where a class has no weight."""
    weights = np.asarray(weights, float)
    member = (label[:, None] == np.arange(n_classes)).astype(float)
    total = weights @ member
    with np.errstate(invalid="ignore"):
        return weights @ (member * (label == prediction)[:, None]) / total


def class_auc(label: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted one-vs-rest ROC-AUC of each class, (B, C), NaN where a class or its rest has no weight.

    AUC = sum over pairs (i of the class, j not) of w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / (W_class W_rest)
    for labels (N,), scores (N, C) and weights (B, N).
    """
    weights = np.asarray(weights, float)
    auc = np.full((len(weights), score.shape[1]), np.nan)
    for c in range(score.shape[1]):
        positive = label == c
        if not positive.any() or positive.all():
            continue
        rest = np.flatnonzero(~positive)
        rest = rest[np.argsort(score[rest, c], kind="stable")]
        below = np.zeros((len(weights), len(rest) + 1))  # weight of the k lowest of the rest
        np.cumsum(weights[:, rest], axis=1, out=below[:, 1:])
        # Between `left` and `right` lie the ties: the mean of both ends counts them half.
        left, right = (
            np.searchsorted(score[rest, c], score[positive, c], side) for side in ("left", "right")
        )
        own = weights[:, positive]
        pairs = np.einsum("bi,bi->b", own, 0.5 * (below[:, left] + below[:, right]))
        with np.errstate(invalid="ignore"):
            auc[:, c] = pairs / (own.sum(1) * below[:, -1])
    return auc


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that have a value: (B, C) -> (B,), NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(values, axis=1)


def balanced_accuracy(label, prediction, weights, n_classes: int) -> np.ndarray:
    """Mean recall of the classes with weight; arguments as `recall`, (B,)."""
    return mean_over_classes(recall(label, prediction, weights, n_classes))


def confusion(label: np.ndarray, prediction: np.ndarray, n_classes: int) -> np.ndarray:
    """(C, C) int64, number of sources of class `row` predicted as class `column`."""
    return np.bincount(label * n_classes + prediction, minlength=n_classes**2).reshape(n_classes, n_classes)


class WeightedMedian:
    """Median of values under whole-number weights of the sources they belong to.

    The values are sorted once. Medians of resamples lie close to that of the sample, so that only the
    values in a window about it are summed up one by one, and for those below it their number in each source
    suffices; a row whose median lies outside the window is done over all values. Exact either way.

    Parameters
    ----------
    values : (D,), finite
    source : (D,) int, column of the weights that a value takes
    window : share of the values in the window
    """

    def __init__(self, values: np.ndarray, source: np.ndarray, window: float = 0.1):
        order = np.argsort(values, kind="stable")
        self.values = np.asarray(values, float)[order]
        self.source = np.asarray(source)[order]
        margin = int(0.5 * window * len(order)) + 50
        self.first = max(0, len(order) // 2 - margin)
        self.last = min(len(order), len(order) // 2 + margin)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Medians (B,) for counts (B, N) of integer type; NaN where no value has weight."""
        if not np.issubdtype(counts.dtype, np.integer):
            raise TypeError(f"weights of a median must be whole numbers, got {counts.dtype}")
        n = counts.shape[1]
        # Sums of whole numbers below 2^53 are exact in float64, and float64 has the fast matrix product.
        exact = counts.astype(float)
        total = (exact @ np.bincount(self.source, minlength=n)).astype(np.int64)
        below = (exact @ np.bincount(self.source[: self.first], minlength=n)).astype(np.int64)
        # The two middle ranks of the repeated sample, the same one where the total is odd.
        ranks = np.column_stack([(total - 1) // 2, total // 2])

        median = np.full(len(counts), np.nan)
        within = slice(self.first, self.last)
        cumulative = np.cumsum(counts[:, self.source[within]], axis=1, dtype=np.int64)
        for b in np.flatnonzero(total):
            row, (low, high) = cumulative[b], ranks[b] - below[b]
            if low >= 0 and high < row[-1]:
                found = self.first + np.searchsorted(row, (low, high), side="right")
            else:
                found = np.searchsorted(np.cumsum(counts[b, self.source]), ranks[b], side="right")
            median[b] = self.values[found].mean()
        return median


def weighted_mean(values: np.ndarray, source: np.ndarray, n_sources: int):
    """Mean over detections under counts of their sources: counts (B, N) -> (B,), NaN where none has weight.

    Parameters
    ----------
    values : (D,); of True and False the mean is a share
    source : (D,) int, the source of each detection
    """
    total = np.bincount(source, values, minlength=n_sources)
    number = np.bincount(source, minlength=n_sources).astype(float)

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            return counts @ total / (counts @ number)

    return statistic


def mean_estimate(values: np.ndarray, *, seed: int, n_resamples: int) -> Estimate:
    """The mean of one value a source, with its interval."""
    return bootstrap(
        lambda counts: counts @ values / counts.sum(1), len(values), seed=seed, n_resamples=n_resamples
    )


# Median of |x| for x normal with standard deviation 1.
_NORMAL_MEDIAN = 0.6744897501960817


def noise_floor(magerr: np.ndarray) -> float:
    """Median |Δmag| that the noiseless magnitudes themselves would have against the observed ones.

    With independent normal errors, |Δmag| of detection i lies below m with probability
    erf(m / (√2 σ_i)); the median of the mixture solves mean_i erf(m / (√2 σ_i)) = 1/2. Found by bisection
    between 0.674 times the smallest and the largest error, where it must lie.

    It takes the survey's errors at their word. A model can come below it only by remembering the noise.

    Parameters
    ----------
    magerr : (D,) 1-sigma errors [mag], finite and positive

    Raises
    ------
    ValueError : no detections, or errors that are not finite and positive
    """
    sigma = np.asarray(magerr, float)
    if not len(sigma) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError("the noise floor needs detections whose errors are all finite and positive")
    low, high = _NORMAL_MEDIAN * sigma.min(), _NORMAL_MEDIAN * sigma.max()
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        if erf(middle / (np.sqrt(2) * sigma)).mean() < 0.5:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


class NoiseFloor:
    """`noise_floor` under weights of the sources: counts (B, N) -> (B,).

    The sum over a source's detections is tabulated once on a grid of m, so that a resample costs one matrix
    product. The grid is fine within a factor e of the unweighted floor, where resamples fall, and ends at
    the bracket; linear interpolation on it is right to 1e-4 of the floor.
    """

    def __init__(self, magerr: np.ndarray, source: np.ndarray, n_sources: int):
        sigma = np.asarray(magerr, float)
        self.centre = noise_floor(sigma)
        ends = _NORMAL_MEDIAN * np.array([sigma.min(), sigma.max()])
        self.grid = np.unique(np.append(ends, np.clip(self.centre * np.exp(np.linspace(-1, 1, 129)), *ends)))
        # Below: per source, how many detections are expected to lie below m, less half of them.
        self.excess = np.column_stack([
            np.bincount(source, erf(m / (np.sqrt(2) * sigma)) - 0.5, minlength=n_sources) for m in self.grid
        ])  # fmt: skip
        self.present = np.bincount(source, minlength=n_sources).astype(float)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        counts = np.asarray(counts, float)
        excess = counts @ self.excess
        empty = counts @ self.present == 0
        if len(self.grid) == 1:  # all errors alike
            return np.where(empty, np.nan, self.grid[0])
        # Rows rise from <= 0 to >= 0; `right` is the first grid point above 0.
        right = np.clip((excess <= 0).sum(axis=1), 1, len(self.grid) - 1)
        row = np.arange(len(counts))
        below, above = excess[row, right - 1], excess[row, right]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = -below / (above - below)
        floor = self.grid[right - 1] + share * (self.grid[right] - self.grid[right - 1])
        return np.where(empty, np.nan, floor)
