"""Villar: a rise, a plateau that declines in a straight line, and an exponential fall.

F(t) = amplitude / (1 + exp(-x / rise)) × (1 - drop x / plateau) for x = t - t0 before the plateau's end, and
amplitude / (1 + exp(-x / rise)) × (1 - drop) exp(-(x - plateau) / fall) after it: Villar et al. 2019, eq. 1,
with the slope of Sánchez-Sáez et al. 2021: drop, 0 to 1, is the share of the flux lost along the plateau.

Notable:
- the published function has a corner at the end of the plateau. Both parts are one expression in the time
  after it, s = max(x - plateau, 0): (1 - drop (x - s) / plateau) exp(-s / fall). Replacing s by
  JOIN ln(1 + exp((x - plateau) / JOIN)) rounds the corner
- computed in logarithms: nothing overflows however long the wait
- fits work with unbounded coordinates (..., 6): ln amplitude, t0, ln rise, ln fall, ln plateau, logit drop
"""

import numpy as np
from scipy.special import expit

#: Parameters of one band, in the order of every (..., 6) array of values.
NAMES = ("amplitude", "t0", "rise", "fall", "plateau", "drop")
JOIN = 3.0  # days over which the end of the plateau is rounded
_DENSER_AT_FIRST = np.linspace(0.0, 1.0, 121) ** 2
#: g, then i of a class against r: colour at peak [mag], then differences of the other coordinates. Medians of
#: fits of this function: for SN Ia in g and r to 1,115 of the Bright Transient Survey, for TDE to 35 of the
#: Transient Name Server, of all splits, else to light curves of the physical models, at ZTF's cadence.
TYPICAL = {
    "SN Ia": ([-0.15, -0.8, -0.24, -0.65, -0.08, -0.23], [0.61, 0.2, 0.16, 0.32, -0.01, 0.01]),
    "SN Ib": ([0.32, -1.3, -0.3, -0.36, -0.1, 0.49], [-0.05, 0.8, 0.15, 0.16, 0.04, -0.2]),
    "SN Ic": ([0.29, -1.3, -0.32, -0.36, -0.11, 0.45], [-0.03, 0.8, 0.15, 0.17, 0.03, -0.2]),
    "SN II": ([0.08, -1.2, -0.36, -0.43, -0.25, 0.6], [0.07, 0.9, 0.16, 0.18, 0.07, -0.21]),
    "SN IIP": ([0.16, -2.0, -0.36, -0.05, -0.3, 1.12], [-0.03, 1.1, 0.16, 0.18, 0.04, -0.42]),
    "SN IIn": ([0.12, -1.4, -0.06, -0.13, -0.09, -0.11], [0.07, 0.9, 0.1, 0.09, 0.05, -0.02]),
    "SN IIb": ([0.3, -1.6, -0.15, -0.38, -0.09, 0.42], [-0.04, 0.9, 0.14, 0.15, 0.03, -0.19]),
    "TDE": ([-0.2, -1.5, -0.22, -0.11, -0.03, -0.24], [0.25, 0.7, 0.13, 0.13, 0.02, 0.13]),
}  # fmt: skip


def _log_shape(since, rise, fall, plateau, drop):
    after = JOIN * np.logaddexp(0.0, (since - plateau) / JOIN)
    return np.log1p(-drop * (since - after) / plateau) - after / fall - np.logaddexp(0.0, -since / rise)


def from_coordinates(x):
    """Values (..., 6), as `NAMES`, of coordinates (..., 6)."""
    amplitude, rise, fall, plateau = np.moveaxis(np.exp(x[..., [0, 2, 3, 4]]), -1, 0)
    return np.stack([amplitude, x[..., 1], rise, fall, plateau, expit(x[..., 5])], -1)


def to_coordinates(values):
    """Coordinates (..., 6) of values (..., 6), with 0 < drop < 1."""
    amplitude, t0, rise, fall, plateau, drop = np.moveaxis(np.asarray(values, float), -1, 0)
    logs = [np.log(v) for v in (rise, fall, plateau)]
    return np.stack([np.log(amplitude), t0, *logs, np.log(drop / (1 - drop))], -1)


def log_flux(time, x):
    """ln of the flux at `time` (...) and coordinates `x` (..., 6), whose leading axes broadcast."""
    rise, fall, plateau = np.moveaxis(np.exp(x[..., 2:5]), -1, 0)
    return x[..., 0] + _log_shape(time - x[..., 1], rise, fall, plateau, expit(x[..., 5]))


def log_flux_gradient(time, x):
    """ln of the flux (T,) at coordinates `x` (6,), and its derivatives (T, 6) by them."""
    rise, fall, plateau = np.exp(x[2:5])
    drop = expit(x[5])
    since = time - x[1]
    before, over = expit(-since / rise), expit((since - plateau) / JOIN)
    after = JOIN * np.logaddexp(0.0, (since - plateau) / JOIN)
    along = (since - after) / plateau
    line = 1 - drop * along
    by_time = -drop * (1 - over) / (plateau * line) - over / fall + before / rise
    by_plateau = -drop * (over - along) / line + over * plateau / fall
    by_drop = -along / line * drop * (1 - drop)
    gradient = [np.ones_like(since), -by_time, -before * since / rise, after / fall, by_plateau, by_drop]
    return x[0] + np.log(line) - after / fall - np.logaddexp(0.0, -since / rise), np.stack(gradient, -1)


def peak(x) -> tuple[float, float]:
    """Time of the maximum at coordinates `x` (6,), to about 0.01 d, and ln of the flux there."""
    rise, fall, plateau = np.exp(x[2:5])
    # It lies between half-light and where even a level plateau has turned down.
    low, high = -3 * rise, plateau + rise * np.log1p(fall / rise) + 3 * JOIN
    since = low + (high - low) * _DENSER_AT_FIRST
    log_shape = _log_shape(since, rise, fall, plateau, expit(x[5]))
    best = min(max(int(np.argmax(log_shape)), 1), len(since) - 2)
    # The parabola through the highest point and its neighbours.
    left, right = since[best - 1] - since[best], since[best + 1] - since[best]
    down, up = (log_shape[best - 1] - log_shape[best]) / left, (log_shape[best + 1] - log_shape[best]) / right
    bend = (up - down) / (right - left)
    slope = up - bend * right
    time = x[1] + since[best] - 0.5 * slope / bend
    return float(time), float(x[0] + log_shape[best] - 0.25 * slope**2 / bend)
