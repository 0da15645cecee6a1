"""Reconstruction in physical units: magnitudes, days and the right band, detection by detection.

Notable:
- medians of absolute differences over detections, with intervals over sources (cluster bootstrap)
- next to each: the photometric-noise floor, which no reconstruction of noisy data can be expected to pass,
  and a baseline that knows only the training split's medians
- rows: all detections, those of each fine class, of each (true) band, of sources of like length
- a group without detections has no row; sources without a class are in every other row, and counted
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from rtf.alerts.history import BANDS
from rtf.classes import FINE, UNKNOWN
from rtf.evaluation.metrics import WeightedMedian
from rtf.evaluation.statistics import N_RESAMPLES, Estimate, bootstrap

# Median of |x| for x normal with standard deviation 1.
_NORMAL_MEDIAN = 0.6744897501960817

#: Fewest and most detections of the sources in a row: a fingerprint has only so much room.
LENGTHS = {"1 to 9": (1, 9), "10 to 19": (10, 19), "20 to 49": (20, 49), "50 or more": (50, np.inf)}


@dataclass(frozen=True)
class Photometry:
    """Detections, true or reconstructed.

    Attributes
    ----------
    mag : (D,) AB magnitude
    dt : (D,) days since the source's first detection
    band : (D,) int, index into `BANDS`
    """

    mag: np.ndarray
    dt: np.ndarray
    band: np.ndarray


@dataclass(frozen=True)
class TrainingConstants:
    """What the baseline predicts for every detection: median magnitude, median dt [day], commonest band."""

    mag: float
    dt: float
    band: int


@dataclass(frozen=True)
class PhysicalRow:
    """One group of detections.

    Attributes
    ----------
    kind : "all", "class", "band" or "length" (number of detections of the source)
    group : "all", or the name of the class or band
    n_sources, n_detections : sources with a detection in the group, and detections
    mag : median |reconstructed - observed magnitude| [mag]
    dt : median |reconstructed - observed time| [day]
    band : share of detections whose band is right
    noise_floor : see `noise_floor` [mag]
    baseline_mag, baseline_dt, baseline_band : the same of the training constants
    """

    kind: str
    group: str
    n_sources: int
    n_detections: int
    mag: Estimate
    dt: Estimate
    band: Estimate
    noise_floor: Estimate
    baseline_mag: Estimate
    baseline_dt: Estimate
    baseline_band: Estimate


@dataclass(frozen=True)
class PhysicalResult:
    """Reconstruction of a split; `n_unknown` of its `n_sources` sources have no class."""

    rows: tuple[PhysicalRow, ...]
    constants: TrainingConstants
    n_sources: int
    n_unknown: int
    n_resamples: int
    seed: int


def training_constants(train: Photometry) -> TrainingConstants:
    """The baseline's constants from the training split's detections.

    Raises
    ------
    ValueError : no detections
    """
    if not len(train.mag):
        raise ValueError("the training split holds no detections")
    commonest = int(np.bincount(train.band, minlength=len(BANDS)).argmax())
    return TrainingConstants(float(np.median(train.mag)), float(np.median(train.dt)), commonest)


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


def evaluate_physical(
    true: Photometry,
    predicted: Photometry,
    magerr: np.ndarray,
    source: np.ndarray,
    label: np.ndarray,
    constants: TrainingConstants,
    *,
    class_names: Sequence[str] = FINE,
    seed: int = 0,
    n_bootstrap: int = N_RESAMPLES,
) -> PhysicalResult:
    """Compare reconstructed detections with the observed ones.

    Parameters
    ----------
    true, predicted : D detections each, in the same order
    magerr : (D,) observed 1-sigma errors [mag]; some catalogues give 0, which is taken as 1e-6
    source : (D,) int, which source a detection belongs to: index into `label`
    label : (N,) int, class of each source: index into `class_names`, -1 unknown
    constants : of the training split, for the baseline
    seed, n_bootstrap : of the bootstrap over sources

    Raises
    ------
    ValueError : no detections, lengths that differ, numbers that are not finite, negative errors, or
        indices out of range
    """
    source, label = np.asarray(source, np.int64), np.asarray(label, np.int64)
    _check(true, predicted, magerr, source, label, len(class_names))
    n_sources = len(label)
    magerr = np.maximum(magerr, 1e-6)
    difference = {
        "mag": np.abs(np.subtract(predicted.mag, true.mag, dtype=float)),
        "dt": np.abs(np.subtract(predicted.dt, true.dt, dtype=float)),
        "baseline_mag": np.abs(constants.mag - np.asarray(true.mag, float)),
        "baseline_dt": np.abs(constants.dt - np.asarray(true.dt, float)),
    }
    right = {"band": predicted.band == true.band, "baseline_band": constants.band == true.band}

    def row(kind: str, group: str, member: np.ndarray) -> PhysicalRow:
        sources, own = np.unique(source[member], return_inverse=True)
        statistics = {k: WeightedMedian(v[member], own) for k, v in difference.items()}
        statistics |= {k: _share(v[member], own, len(sources)) for k, v in right.items()}
        statistics["noise_floor"] = NoiseFloor(magerr[member], own, len(sources))

        def all_cells(counts):
            counts = counts[:, sources]
            return np.column_stack([statistic(counts) for statistic in statistics.values()])

        # Every group is cut from the same resamples of all sources.
        cells = bootstrap(all_cells, n_sources, n_resamples=n_bootstrap, seed=seed, width=len(own) // 4)
        return PhysicalRow(kind, group, len(sources), len(own), **dict(zip(statistics, cells, strict=True)))

    groups = [("all", "all", np.ones(len(source), bool))]
    groups += [("class", name, label[source] == c) for c, name in enumerate(class_names)]
    groups += [("band", name, true.band == b) for b, name in enumerate(BANDS)]
    length = np.bincount(source, minlength=n_sources)[source]
    groups += [("length", name, (length >= low) & (length <= high)) for name, (low, high) in LENGTHS.items()]
    rows = tuple(row(*group) for group in groups if group[2].any())
    return PhysicalResult(rows, constants, n_sources, int((label == UNKNOWN).sum()), n_bootstrap, seed)


def _share(hit: np.ndarray, source: np.ndarray, n_sources: int):
    """Weighted share of detections that hit: counts (B, N) -> (B,), NaN where none has weight."""
    hits = np.bincount(source, hit, minlength=n_sources)
    total = np.bincount(source, minlength=n_sources).astype(float)

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            return counts @ hits / (counts @ total)

    return statistic


def _check(true, predicted, magerr, source, label, n_classes: int) -> None:
    columns = {
        "mag": true.mag, "dt": true.dt, "band": true.band, "magerr": magerr, "predicted mag": predicted.mag,
        "predicted dt": predicted.dt, "predicted band": predicted.band, "source": source,
    }  # fmt: skip
    if not len(source):
        raise ValueError("no detections to compare")
    for name, column in columns.items():
        if np.shape(column) != source.shape:
            raise ValueError(f"{name}: shape {np.shape(column)} for {len(source)} detections")
        bad = ~np.isfinite(column)
        if bad.any():
            raise ValueError(f"{name}: {bad.sum()} of {len(source)} numbers are not finite")
    if (np.asarray(magerr) < 0).any():
        raise ValueError(f"magerr: {(np.asarray(magerr) < 0).sum()} errors are negative")
    if source.min() < 0 or source.max() >= len(label):
        raise ValueError(f"source indices must lie between 0 and {len(label) - 1}")
    if label.min() < UNKNOWN or label.max() >= n_classes:
        raise ValueError(f"labels must lie between -1 and {n_classes - 1}")
