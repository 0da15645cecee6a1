"""Forecasts of light curves without a network: what a fingerprint that forecasts has to beat.

Notable:
- each takes what was seen of one source and gives magnitudes at other times, of the past or the future
- `persistence`: the last magnitude seen before that time in that band
- `LightCurveGP`: a Gaussian process in time and band whose five numbers are those most likely on the training
  split. It is the stronger of the two, and says how uncertain it is
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from rtf.alerts.history import Detections
from rtf.features.view import view

_FIT_SOURCES, _FIT_DETECTIONS = 200, 60
#: Some catalogues give an error of 0 [mag].
_LEAST_ERROR = 1e-3


class Seen(NamedTuple):
    """Detections of one source, by time: (L,) each."""

    mjd: np.ndarray
    band: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray


def each_source(detections: Detections) -> list[Seen]:
    """What was seen of every source."""
    d = detections
    columns = d.mjd, d.band.astype(int), d.mag.astype(float), d.magerr.astype(float)
    return [Seen(*(c[a:b] for c in columns)) for a, b in pairwise(detections.offset)]


def predicted(method: Callable, seen: Detections, targets: Detections) -> np.ndarray:
    """Apply a method source by source: (D,), or (K, D) for a method of K answers, at the D targets."""
    both = zip(each_source(seen), each_source(targets), strict=True)
    return np.concatenate([method(own, asked.mjd, asked.band) for own, asked in both], axis=-1)


def persistence(seen: Seen, mjd: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Magnitudes (Q,): the last seen up to then in the band, else in any band, else the first."""
    answer = seen.mag[np.maximum(np.searchsorted(seen.mjd, mjd, "right") - 1, 0)]
    for b in np.unique(band):
        own, asked = seen.band == b, np.flatnonzero(band == b)
        before = np.searchsorted(seen.mjd[own], mjd[asked], "right") - 1
        known = before >= 0
        answer[asked[known]] = seen.mag[own][before[known]]
    return answer


@dataclass(frozen=True)
class LightCurveGP:
    """A Gaussian process of magnitudes in time and band, the same for all sources.

    A source's magnitudes are a constant of its own (normal about `mean` with standard deviation `offset`),
    plus a Matern-3/2 process of standard deviation `amplitude` [mag] and scale `days` that correlates by
    `correlation` between bands, plus `scatter` [mag], which counts as part of the light curve, plus errors.
    """

    mean: float
    offset: float
    amplitude: float
    days: float
    correlation: float
    scatter: float

    def __call__(self, seen: Seen, mjd: np.ndarray, band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Magnitudes and standard deviations, (Q,) each, given what was seen."""
        solve, residual = self._factor(seen), seen.mag - self.mean
        across = self._covariance(mjd, band, seen.mjd, seen.band)
        answer = self.mean + across @ cho_solve(solve, residual)
        explained = np.einsum("ql,lq->q", across, cho_solve(solve, across.T))
        variance = self.offset**2 + self.amplitude**2 + self.scatter**2 - explained
        return answer, np.sqrt(np.maximum(variance, 1e-12))

    def log_likelihood(self, seen: Seen) -> float:
        """Log of the probability density of what was seen."""
        factor, residual = self._factor(seen), seen.mag - self.mean
        norm = np.log(np.diag(factor[0])).sum() + 0.5 * len(residual) * np.log(2 * np.pi)
        return float(-0.5 * residual @ cho_solve(factor, residual) - norm)

    def _factor(self, seen: Seen):
        covariance = self._covariance(seen.mjd, seen.band, seen.mjd, seen.band)
        noise = np.maximum(seen.magerr, _LEAST_ERROR) ** 2 + self.scatter**2
        return cho_factor(covariance + np.diag(noise), lower=True, check_finite=False)

    def _covariance(self, mjd, band, mjd2, band2) -> np.ndarray:
        distance = np.sqrt(3) * np.abs(mjd[:, None] - mjd2) / self.days
        matern = (1 + distance) * np.exp(-distance)
        alike = np.where(band[:, None] == band2, 1.0, self.correlation)
        return self.offset**2 + self.amplitude**2 * alike * matern


def fit_gp(train: Detections, seed: int = 0) -> LightCurveGP:
    """The process under which 200 training sources, drawn with `seed`, are most likely."""
    long = np.flatnonzero(train.length >= 2)
    if not len(long):
        raise ValueError("the training split has no source of two detections: nothing to fit a process on")
    chosen = np.random.default_rng(seed).permutation(long)[:_FIT_SOURCES]
    sources = each_source(view(train.take(np.sort(chosen)), _FIT_DETECTIONS))
    level = [np.median(s.mag) for s in sources]
    mean, offset = float(np.mean(level)), max(float(np.std(level)), 0.1)

    def process(x) -> LightCurveGP:
        amplitude, days, odds, scatter = (float(v) for v in np.exp(np.clip(x, -7, 7)))
        return LightCurveGP(mean, offset, amplitude, days, odds / (1 + odds), scatter)

    def cost(x) -> float:
        return -sum(process(x).log_likelihood(s) for s in sources)

    start = np.array([np.log(0.7), np.log(20.0), 1.0, np.log(0.05)])
    options = {"maxfev": 150, "xatol": 0.02, "fatol": 0.5}
    return process(minimize(cost, start, method="Nelder-Mead", options=options).x)
