"""Bazin: an exponential rise that turns into an exponential fall, the plainest shape of a transient.

F(t) = amplitude exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)) + offset (Bazin et al. 2009, eq. 1), with
t0 [d] when the rise is half done, rise and fall [d] e-folding times. For fall > rise it has a peak, before
which the flux grows as exp(t / growth), 1 / growth = 1 / rise - 1 / fall.

Notable:
- computed as 1 / (exp(x / fall) + exp(-x / growth)) in logarithms: nothing overflows however long the wait
- fits work with unbounded coordinates (..., 4): ln amplitude, t0, ln growth, ln fall
- no plateau and no second bump: classes differ by time scales and colours alone
"""

import numpy as np
from scipy.special import expit

#: Parameters of one band, in the order of every (..., 4) array of values.
NAMES = ("amplitude", "t0", "rise", "fall")
#: g, then i of a class against r: colour at peak [mag], then differences of the other coordinates. Medians of
#: fits of this function: for SN Ia in g and r to 984 of the Bright Transient Survey, for TDE to 35 of the
#: Transient Name Server, of all splits, else to light curves of the physical models, at ZTF's cadence.
TYPICAL = {
    "SN Ia": ([-0.18, 0.8, -0.12, -0.57], [0.62, -0.8, 0.14, 0.31]),
    "SN Ib": ([0.25, -0.5, -0.3, -0.57], [-0.04, 0.9, 0.13, 0.19]),
    "SN Ic": ([0.19, -0.5, -0.3, -0.57], [-0.03, 0.9, 0.13, 0.19]),
    "SN II": ([0.06, -1.6, -0.37, -0.59], [0.07, 0.9, 0.16, 0.21]),
    "SN IIP": ([0.28, -3.0, -0.5, -0.66], [-0.05, 1.5, 0.17, 0.34]),
    "SN IIn": ([0.13, -1.3, -0.06, -0.13], [0.06, 0.7, 0.09, 0.09]),
    "SN IIb": ([0.19, -1.2, -0.21, -0.55], [-0.04, 0.9, 0.1, 0.19]),
    "TDE": ([-0.2, -2.0, -0.17, -0.06], [0.26, 0.2, 0.06, -0.02]),
}  # fmt: skip


def bazin(time, amplitude, t0, rise, fall, offset=0.0):
    """Flux at `time` [d], in the unit of `amplitude`; arguments broadcast. Needs fall > rise > 0."""
    growth = 1 / (1 / np.asarray(rise) - 1 / np.asarray(fall))
    return amplitude * np.exp(-np.logaddexp((time - t0) / fall, -(time - t0) / growth)) + offset


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
