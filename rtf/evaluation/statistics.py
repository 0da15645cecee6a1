"""Scores of test sources with bootstrap intervals.

Notable:
- a resample of the test sources is a row of counts, how often each was drawn; a statistic is computed for
  many at once as a weighted one: `counts (B, N) -> (B,)`. Detections share the count of their source
- the same seed draws the same resamples, so two models on the same sources are compared in pairs
- what does not exist in a resample (the recall of a class nobody drew) is NaN there and left out

Reference: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf

N_RESAMPLES = 1000
LEVEL = 0.95  # probability that an interval should hold

# Statistics hold a few arrays of this many numbers at a time; more would only leave the cache sooner.
_CELLS = 2_000_000


class Estimate(NamedTuple):
    """A number and the ends of its interval; NaN where it does not exist."""

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
    """Yield how often each source is drawn, (b, N) int32, the same draws however many come at a time.

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
    statistic: Callable[[np.ndarray], np.ndarray], n_sources: int, *, n_resamples: int = N_RESAMPLES,
    seed: int = 0, width: int | None = None,
) -> Estimate | list[Estimate]:  # fmt: skip
    """A statistic of N sources with its bootstrap interval.

    It goes from counts (B, N) to (B,), or to (B, K) for a list of K; `width`: see `resample_counts`.
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
        left, right = (np.searchsorted(score[rest, c], score[positive, c], x) for x in ("left", "right"))
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


def macro_f1(label: np.ndarray, prediction: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Mean over the classes with weight of 2 TP / (2 TP + FP + FN): arguments as `recall`, (B,)."""
    weights = np.asarray(weights, float)
    member, given = (x[:, None] == np.arange(n_classes) for x in (label, prediction))
    there, named, right = (weights @ x.astype(float) for x in (member, given, member & given))
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean_over_classes(np.where(there > 0, 2 * right / (there + named), np.nan))


def weighted_median(values: np.ndarray, source: np.ndarray):
    """Median over detections (D,) under whole-number counts of their sources: counts (B, N) -> (B,).

    NaN where no detection has weight.
    """
    order = np.argsort(values, kind="stable")
    values, source = np.asarray(values, float)[order], source[order]

    def statistic(counts):
        median = np.full(len(counts), np.nan)
        cumulative = np.cumsum(counts[:, source], axis=1)
        for b in np.flatnonzero(cumulative[:, -1:].any(axis=1)):
            total = cumulative[b, -1]
            # The two middle ranks of the repeated sample, the same one where the total is odd.
            middle = np.searchsorted(cumulative[b], ((total - 1) // 2, total // 2), side="right")
            median[b] = values[middle].mean()
        return median

    return statistic


def weighted_mean(values: np.ndarray, source: np.ndarray, n_sources: int):
    """Mean over detections (D,) under counts of their sources: counts (B, N) -> (B,), NaN without weight."""
    total = np.bincount(source, values, minlength=n_sources)
    number = np.bincount(source, minlength=n_sources).astype(float)

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            return counts @ total / (counts @ number)

    return statistic


# Median of |x| for x normal with standard deviation 1.
_NORMAL_MEDIAN = 0.6744897501960817


def noise_floor(magerr: np.ndarray) -> float:
    """Median |Δmag| that the noiseless magnitudes would have against the observed ones.

    With independent normal errors the median m solves mean_i erf(m / (√2 σ_i)) = 1/2. It takes the survey's
    errors (D,) at their word, 1 sigma; a model comes below it only by remembering the noise.
    """
    sigma = np.asarray(magerr, float)
    if not len(sigma) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError("the noise floor needs detections whose errors are all finite and positive")
    low, high = _NORMAL_MEDIAN * sigma.min(), _NORMAL_MEDIAN * sigma.max()
    if high - low <= 1e-9 * high:
        return float(low)

    def excess(m: float) -> float:
        return erf(m / (np.sqrt(2) * sigma)).mean() - 0.5

    return float(brentq(excess, 0.999 * low, 1.001 * high, xtol=1e-12, rtol=1e-9))


def weighted_noise_floor(magerr: np.ndarray, source: np.ndarray, n_sources: int):
    """`noise_floor` of detections (D,) under counts of their sources: counts (B, N) -> (B,).

    The sum over a source's detections is tabulated on a grid of m, fine about the unweighted floor, so that
    a resample costs one matrix product; interpolation on it is right to 1e-4 of the floor.
    """
    sigma = np.asarray(magerr, float)
    ends = _NORMAL_MEDIAN * np.array([sigma.min(), sigma.max()])
    fine = np.clip(noise_floor(sigma) * np.exp(np.linspace(-1, 1, 129)), *ends)
    grid = np.unique(np.append(ends, fine))
    # Below: per source, how many detections are expected to lie below m, less half of them.
    excess = np.column_stack([
        np.bincount(source, erf(m / (np.sqrt(2) * sigma)) - 0.5, minlength=n_sources) for m in grid
    ])  # fmt: skip
    present = np.bincount(source, minlength=n_sources)

    def statistic(counts):
        floor = np.array([np.interp(0.0, row, grid) for row in counts @ excess])
        return np.where(counts @ present > 0, floor, np.nan)

    return statistic
