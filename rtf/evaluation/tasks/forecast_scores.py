"""Scores of predicted magnitudes: errors, gains over a baseline, coverage, with intervals.

Notable:
- a group is any set of detections; all its numbers come from the same resamples of all test sources
- medians and shares are over detections, intervals over sources (cluster bootstrap)
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from rtf.evaluation.metrics import WeightedMedian
from rtf.evaluation.statistics import Estimate, bootstrap
from rtf.evaluation.tasks.physical import NoiseFloor

#: Central intervals whose coverage is reported.
LEVELS = (0.68, 0.95)


@dataclass(frozen=True)
class Answers:
    """Predictions of T detections beside what was observed.

    Attributes
    ----------
    source : (T,) int, index of the test source
    ahead : (T,) days after the last detection shown before the cut; NaN where that has no meaning
    observed, magerr : (T,) magnitude and its error
    predicted : {method: (T,) magnitude}, of "model" and of the baselines where they apply
    sigma : {method: (T,) standard deviation of the light curve}, of "model" and "gp"
    """

    source: np.ndarray
    ahead: np.ndarray
    observed: np.ndarray
    magerr: np.ndarray
    predicted: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]

    def pull(self, method: str) -> np.ndarray:
        """(T,) observed minus predicted, over the standard deviation of that difference."""
        deviation = np.hypot(self.sigma[method], self.magerr)
        return (self.observed - self.predicted[method]) / deviation


@dataclass(frozen=True)
class ForecastRow:
    """One group of detections.

    Attributes
    ----------
    asked : "forecast", "shown" or "interpolation"
    n_shown : N, or None: two thirds of what there is
    window : days ahead, from and to, or None
    n_sources, n_detections : in the group
    error : {method: median |predicted - observed| [mag]}
    gain : median |Δmag| of the Gaussian process less that of the model [mag]: above 0 the model is better
    noise_floor : median |Δmag| that the noiseless magnitudes would have [mag]
    coverage : {method: {level: share of observations within it}}
    pull : {method: standard deviation of the pull}
    """

    asked: str
    n_shown: int | None
    window: tuple[float, float] | None
    n_sources: int
    n_detections: int
    error: dict[str, Estimate]
    gain: Estimate | None
    noise_floor: Estimate
    coverage: dict[str, dict[float, Estimate]]
    pull: dict[str, Estimate]


def within(answers: Answers, window: tuple[float, float] | None) -> np.ndarray:
    """(T,) bool: the detections more days ahead than the window's first number, up to its second.

    A window from 0 holds those of the last shown moment as well; None holds all.
    """
    if window is None:
        return np.ones(len(answers.source), bool)
    low, high = window
    return ((answers.ahead > low) | ((low == 0) & (answers.ahead >= 0))) & (answers.ahead <= high)


def evaluate_group(
    answers: Answers, member: np.ndarray, asked: str, n_shown, window, n_sources: int, seed, n_bootstrap
) -> ForecastRow:
    """One row: errors, coverages and pulls of the detections `member` (T,), with intervals."""
    sources, own = np.unique(answers.source[member], return_inverse=True)
    error = {m: np.abs(p - answers.observed)[member] for m, p in answers.predicted.items()}
    pull = {m: answers.pull(m)[member] for m in answers.sigma}
    statistics = {("error", m): WeightedMedian(e, own) for m, e in error.items()}
    statistics["noise_floor",] = NoiseFloor(answers.magerr[member], own, len(sources))
    for m, z in pull.items():
        for level in LEVELS:
            statistics["coverage", m, level] = _mean(np.abs(z) <= ndtri(0.5 + level / 2), own, len(sources))
        statistics["pull", m] = _deviation(z, own, len(sources))

    def all_cells(counts):
        counts = counts[:, sources]
        cells = {key: statistic(counts) for key, statistic in statistics.items()}
        gain = cells["error", "gp"] - cells["error", "model"] if ("error", "gp") in cells else None
        return np.column_stack([*cells.values()] + ([] if gain is None else [gain]))

    cells = bootstrap(all_cells, n_sources, n_resamples=n_bootstrap, seed=seed, width=len(own) // 4)
    found = dict(zip(statistics, cells))
    return ForecastRow(
        asked, n_shown, window, len(sources), len(own),
        error={m: found["error", m] for m in error},
        gain=cells[-1] if "gp" in error else None,
        noise_floor=found["noise_floor",],
        coverage={m: {level: found["coverage", m, level] for level in LEVELS} for m in pull},
        pull={m: found["pull", m] for m in pull},
    )  # fmt: skip


def _mean(value: np.ndarray, source: np.ndarray, n_sources: int):
    """Weighted mean over detections: counts (B, N) -> (B,), NaN where none has weight."""
    total = np.bincount(source, value, minlength=n_sources)
    number = np.bincount(source, minlength=n_sources).astype(float)

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            return (counts @ total) / (counts @ number)

    return statistic


def _deviation(value: np.ndarray, source: np.ndarray, n_sources: int):
    """Weighted standard deviation over detections."""
    first, second = _mean(value, source, n_sources), _mean(value**2, source, n_sources)
    return lambda counts: np.sqrt(np.maximum(second(counts) - first(counts) ** 2, 0.0))
