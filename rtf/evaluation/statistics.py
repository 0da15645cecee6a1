"""Intervals by resampling the test sources with replacement (nonparametric bootstrap).

Notable:
- a resample is a row of counts, "how often was each source drawn", so a statistic is computed for many
  resamples at once as a weighted one: `weights (B, N) -> (B,)` or `(B, K)`
- sources are drawn, never detections: the detections of one source share its count (cluster bootstrap)
- the same seed draws the same resamples, so that two models on the same sources are compared in pairs
- a statistic that does not exist in a resample (the recall of a class nobody drew) is NaN there, and the
  interval is that of the resamples in which it exists

Reference: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 1000
LEVEL = 0.95

# Statistics hold a few arrays of this many numbers at a time; more would only leave the cache sooner.
_CELLS = 2_000_000

Statistic = Callable[[np.ndarray], np.ndarray]


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
    value = f"{estimate.value:.{digits}f}"
    if not (np.isfinite(estimate.low) and np.isfinite(estimate.high)):
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def resample_counts(
    n_sources: int, n_resamples: int = N_RESAMPLES, seed: int = 0, width: int | None = None
) -> Iterator[np.ndarray]:
    """How often each source is drawn in each resample, some resamples at a time.

    Each row is one multinomial draw of `n_sources` from equal probabilities. Rows do not depend on how
    many are yielded at a time.

    Parameters
    ----------
    width : columns of the widest array the statistic makes (default `n_sources`); sets the rows at a time

    Yields
    ------
    (b, N) int32, rows sum to N
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


def interval(value: float, resampled: np.ndarray, level: float = LEVEL) -> Estimate:
    """The percentile interval of a statistic from its values (B,) in the resamples; NaN is left out."""
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(defined):
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def bootstrap(
    statistic: Statistic,
    n_sources: int,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    width: int | None = None,
) -> Estimate | list[Estimate]:
    """A statistic of the sources with its bootstrap interval.

    Parameters
    ----------
    statistic : from counts (B, N) to (B,), or to (B, K) for K statistics of the same resamples
    n_sources : N
    level : probability the interval should hold
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
        return interval(value, resampled, level)
    return [interval(v, r, level) for v, r in zip(value, resampled.T, strict=True)]
