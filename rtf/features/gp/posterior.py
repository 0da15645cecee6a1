"""The Gaussian process given its kernel: posterior mean, its derivatives, and variance, of many light curves.

Light curves of equal length are stacked without padding, and each covariance is inverted on its own. Slope
and curvature are those of the mean itself, not differences. Arrays run over light curves P, then detections n
or times T. Source: Rasmussen & Williams 2006, chapter 2.
"""

from typing import NamedTuple

import numpy as np


class Fit(NamedTuple):
    """Gaussian processes of P light curves of n detections each, of prior mean 0."""

    days: np.ndarray  # (P, n) times of the detections [day]
    power: np.ndarray  # (P,) squared amplitude of the kernel [mag^2]
    rate: np.ndarray  # (P,) sqrt(3) / length of the kernel [1/day]
    weights: np.ndarray  # (P, n) [1/mag], the inverse covariance times the magnitudes
    inverse: np.ndarray  # (P, n, n) [1/mag^2], the inverse covariance of the detections


def condition(days, y, variance, amplitude, length) -> Fit:
    """Gaussian processes through (P, n) magnitudes `y` with kernels of (P,) `amplitude` and `length`."""
    power, rate = amplitude * amplitude, np.sqrt(3.0) / length
    x = np.abs(days[:, :, None] - days[:, None, :]) * rate[:, None, None]
    covariance = power[:, None, None] * (1.0 + x) * np.exp(-x)
    diagonal = np.arange(days.shape[1])
    covariance[:, diagonal, diagonal] += variance
    inverse = np.linalg.inv(covariance)
    return Fit(days, power, rate, (inverse @ y[:, :, None])[:, :, 0], inverse)


def mean_and_derivatives(fit: Fit, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean [mag], slope [mag/day] and curvature [mag/day^2], (P, T) each, at times `at` [day]."""
    return _from_basis(fit, *_basis(fit, at))


def curve(fit: Fit, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, slope and curvature as above, and the variance [mag^2] of the noiseless curve, (P, T) each."""
    decay, linear, odd = _basis(fit, at)
    kernel = decay + linear
    explained = ((kernel @ fit.inverse) * kernel).sum(-1)
    power = fit.power[:, None]
    return *_from_basis(fit, decay, linear, odd), np.maximum(power - power * power * explained, 0.0)


def _basis(fit: Fit, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """exp(-|x|) times 1, |x| and x, of time differences x in units of the kernel: (P, T, n) each."""
    x = (at[:, :, None] - fit.days[:, None, :]) * fit.rate[:, None, None]
    distance = np.abs(x)
    decay = np.exp(-distance)
    distance *= decay
    x *= decay
    return decay, distance, x


def _from_basis(fit: Fit, *basis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = (fit.power[:, None] * fit.weights)[:, :, None]
    constant, linear, odd = ((part @ weights)[:, :, 0] for part in basis)
    rate = fit.rate[:, None]
    return constant + linear, -rate * odd, rate * rate * (linear - constant)
