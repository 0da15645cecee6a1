"""Bazin: an exponential rise that turns into an exponential fall, the plainest shape of a transient.

F(t) = amplitude exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)) + offset (Bazin et al. 2009, eq. 1). For
fall > rise it has a peak, before which the flux grows as exp(t / growth), 1 / growth = 1 / rise - 1 / fall.

Notable:
- computed as 1 / (exp(x / fall) + exp(-x / growth)) in logarithms: nothing overflows however long the wait
- as a model of a source it stands in for any supernova class and for TDE, see
  `rtf.simulation.light_curves.empirical`
- no plateau and no second bump: classes differ by time scales and colours alone

Parameters (rest frame), of each band; `amplitude_g`, `rise_r` and so on
------------------------------------------------------------------------
amplitude : flux scale, such that r peaks at 1; colours at peak are normal about the class's
t0 [d] : when the rise is half done
rise [d] : time scale of the rise, by way of growth, log-normal
fall [d] : e-folding time of the decline, log-normal
and magnitude [mag], absolute peak, normal; host_dust [mag], E(B-V), exponential of mean 0.1

Means and spreads (`POPULATION`) are medians and half the central 68 % of fits of this very function
(`rtf.simulation.fitting`): for SN Ia in g and r to 984 of the Bright Transient Survey, for TDE to 35 of the
Transient Name Server, else to light curves of the physical models of the classes, at ZTF's cadence.
Absolute magnitudes: Li et al. 2011, Richardson et al. 2014, Perley et al. 2020; TDE van Velzen et al. 2021.
"""

import sys

import numpy as np
from scipy.special import expit

from rtf.simulation.light_curves.empirical import draw_bands, luminosity_of_bands

#: Parameters of one band, in the order of every (..., 4) array of values.
NAMES = ("amplitude", "t0", "rise", "fall")

# Rows r, g, i; columns magnitude or colour [mag], t0 [d], ln growth, ln fall; mean, then spread.
POPULATION = {
    "SN Ia": ([[-19.15, 0, 1.40, 3.17], [-0.18, 0.8, -0.12, -0.57], [0.62, -0.8, 0.14, 0.31]],
              [[0.25, 0, 0.26, 0.16], [0.13, 1.2, 0.20, 0.15], [0.13, 1.5, 0.16, 0.19]]),
    "SN Ib": ([[-17.3, 0, 0.76, 3.67], [0.25, -0.5, -0.30, -0.57], [-0.04, 0.9, 0.13, 0.19]],
              [[0.7, 0, 0.27, 0.21], [0.16, 1.0, 0.16, 0.24], [0.13, 0.7, 0.05, 0.13]]),
    "SN Ic": ([[-17.5, 0, 0.69, 3.66], [0.19, -0.5, -0.30, -0.57], [-0.03, 0.9, 0.13, 0.19]],
              [[0.8, 0, 0.28, 0.25], [0.18, 1.1, 0.13, 0.23], [0.13, 0.6, 0.05, 0.16]]),
    "SN II": ([[-17.2, 0, 1.18, 3.86], [0.06, -1.6, -0.37, -0.59], [0.07, 0.9, 0.16, 0.21]],
              [[0.9, 0, 0.60, 0.28], [0.11, 1.4, 0.11, 0.20], [0.07, 1.0, 0.07, 0.19]]),
    "SN IIP": ([[-16.9, 0, 1.50, 4.42], [0.28, -3.0, -0.50, -0.66], [-0.05, 1.5, 0.17, 0.34]],
               [[0.8, 0, 0.60, 0.40], [0.18, 2.0, 0.20, 0.30], [0.09, 1.2, 0.15, 0.20]]),
    "SN IIn": ([[-18.7, 0, 1.83, 4.31], [0.13, -1.3, -0.06, -0.13], [0.06, 0.7, 0.09, 0.09]],
               [[0.9, 0, 0.46, 0.46], [0.09, 0.8, 0.13, 0.08], [0.06, 0.9, 0.09, 0.10]]),
    "SN IIb": ([[-17.1, 0, 1.16, 3.67], [0.19, -1.2, -0.21, -0.55], [-0.04, 0.9, 0.10, 0.19]],
               [[0.7, 0, 0.49, 0.23], [0.18, 1.5, 0.28, 0.23], [0.12, 0.8, 0.10, 0.12]]),
    "TDE": ([[-19.6, 0, 1.96, 4.11], [-0.20, -2.0, -0.17, -0.06], [0.26, 0.2, 0.06, -0.02]],
            [[0.9, 0, 0.60, 0.50], [0.15, 1.5, 0.17, 0.15], [0.12, 0.8, 0.09, 0.16]]),
}  # fmt: skip


def bazin(time, amplitude, t0, rise, fall, offset=0.0):
    """Flux at `time` [d], in the unit of `amplitude`; arguments broadcast. Needs fall > rise > 0."""
    growth = 1 / (1 / np.asarray(rise) - 1 / np.asarray(fall))
    return amplitude * np.exp(-np.logaddexp((time - t0) / fall, -(time - t0) / growth)) + offset


def draw(rng: np.random.Generator, kind: str = "SN Ia") -> dict:
    """Parameters of one source of class `kind`, see the file's docstring."""
    mean, spread = np.array(POPULATION[kind], float)
    return draw_bands(rng, sys.modules[__name__], mean, spread)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) `phase` (T,) rest-frame days after the beginning, at `wavelength` (T,)."""
    return luminosity_of_bands(phase, wavelength, parameters, sys.modules[__name__])


# What a fit works with: coordinates (..., 4), unbounded: ln amplitude, t0, ln growth, ln fall.


def from_coordinates(x):
    """Values (..., 4), as `NAMES`, of coordinates (..., 4)."""
    amplitude, t0, growth, fall = np.exp(x[..., 0]), x[..., 1], np.exp(x[..., 2]), np.exp(x[..., 3])
    return np.stack([amplitude, t0, 1 / (1 / growth + 1 / fall), fall], -1)


def to_coordinates(values):
    """Coordinates (..., 4) of values (..., 4)."""
    amplitude, t0, rise, fall = np.moveaxis(np.asarray(values, float), -1, 0)
    return np.stack([np.log(amplitude), t0, -np.log(1 / rise - 1 / fall), np.log(fall)], -1)


def log_flux(time, x):
    """ln of the flux at `time` (...) and coordinates `x` (..., 4), whose leading axes broadcast."""
    since = time - x[..., 1]
    return x[..., 0] - np.logaddexp(since * np.exp(-x[..., 3]), -since * np.exp(-x[..., 2]))


def log_flux_gradient(time, x):
    """ln of the flux (T,) at coordinates `x` (4,), and its derivatives (T, 4) by them."""
    growth, fall = np.exp(x[2]), np.exp(x[3])
    since = time - x[1]
    falling = expit(since / fall + since / growth)
    down, up = falling / fall, (1 - falling) / growth
    gradient = np.stack([np.ones_like(since), down - up, -up * since, down * since], -1)
    return x[0] - np.logaddexp(since / fall, -since / growth), gradient


def peak(x) -> tuple[float, float]:
    """Time of the maximum at coordinates `x` (4,), and ln of the flux there."""
    time = float(x[1] + (x[3] - x[2]) / (np.exp(-x[3]) + np.exp(-x[2])))
    return time, float(log_flux(time, x))
