"""Villar: a rise, a plateau that declines in a straight line, and an exponential fall.

F(t) = amplitude / (1 + exp(-x / rise)) × (1 - drop x / plateau) for x = t - t0 before the plateau's end, and
amplitude / (1 + exp(-x / rise)) × (1 - drop) exp(-(x - plateau) / fall) after it: Villar et al. 2019, eq. 1,
in the parametrisation of Sánchez-Sáez et al. 2021 for its slope. There drop, 0 to 1, is the share of the flux
that is lost along the plateau, which can so neither rise nor become negative.

Notable:
- the published function has a corner at the end of the plateau. Both parts are one expression in the time
  after it, s = max(x - plateau, 0): (1 - drop (x - s) / plateau) exp(-s / fall). Replacing s by
  join ln(1 + exp((x - plateau) / join)) rounds the corner over `join` days, and for join = 0 it is the
  published function. Sánchez-Sáez et al. blend the two parts by a sigmoid instead, which lets the
  exponential reach back over the plateau and explode where the fall is quicker than the blend
- computed in logarithms: nothing overflows however long the wait
- with drop near 1, a short plateau and a slow fall it follows a type Ia supernova into its tail, which
  Bazin's function cannot: of 1,553 real ones the median chi2 per degree of freedom is 0.40 against 0.57, and
  99 % are below 3, against 90 %
- as a model of a source it stands in for any supernova class and for TDE, see
  `rtf.simulation.light_curves.empirical`

Parameters (rest frame), of each band; `amplitude_g`, `rise_r` and so on
------------------------------------------------------------------------
amplitude : flux scale, such that r peaks at 1; colours at peak are normal about the class's
t0 [d] : when the rise is half done
rise [d] : e-folding time of the early flux, log-normal
fall [d] : e-folding time after the plateau, log-normal
plateau [d] : its length from t0, log-normal
drop : share of the flux lost along the plateau, logit-normal
and magnitude [mag], absolute peak, normal; host_dust [mag], E(B-V), exponential of mean 0.1

Means and spreads (`POPULATION`) are medians and half the central 68 % of fits of this very function
(`rtf.simulation.fitting`): for SN Ia in g and r to 1,115 of the Bright Transient Survey, for TDE to 35 of the
Transient Name Server, else to light curves of the physical models of the classes, at ZTF's cadence
(plateaus of SN IIP as in `plateau.py`). They lie within Villar et al.'s priors: rise uniform to 50 d, fall to
300 d, plateau normal about 5 or 60 d.
Absolute magnitudes: Li et al. 2011, Richardson et al. 2014, Perley et al. 2020; TDE van Velzen et al. 2021.
"""

import sys

import numpy as np
from scipy.special import expit

from rtf.simulation.light_curves.empirical import draw_bands, luminosity_of_bands

#: Parameters of one band, in the order of every (..., 6) array of values.
NAMES = ("amplitude", "t0", "rise", "fall", "plateau", "drop")
#: Days over which fits and sources round the end of the plateau.
JOIN = 3.0
_DENSER_AT_FIRST = np.linspace(0.0, 1.0, 121) ** 2

# Rows r, g, i; columns magnitude or colour [mag], t0 [d], ln rise, ln fall, ln plateau, logit drop; means,
# then spreads.
POPULATION = {
    "SN Ia": (
        [[-19.15, 0, 1.24, 3.30, 2.82, 0.04], [-0.15, -0.8, -0.24, -0.65, -0.08, -0.23],
         [0.61, 0.2, 0.16, 0.32, -0.01, 0.01]],
        [[0.25, 0, 0.20, 0.21, 0.18, 0.70], [0.13, 0.8, 0.13, 0.35, 0.11, 0.50],
         [0.12, 0.8, 0.11, 0.23, 0.15, 0.35]]),
    "SN Ib": (
        [[-17.3, 0, 0.98, 3.98, 3.01, 0.41], [0.32, -1.3, -0.30, -0.36, -0.10, 0.49],
         [-0.05, 0.8, 0.15, 0.16, 0.04, -0.20]],
        [[0.7, 0, 0.21, 0.21, 0.15, 0.19], [0.13, 0.7, 0.11, 0.20, 0.08, 0.25],
         [0.08, 0.5, 0.03, 0.12, 0.07, 0.15]]),
    "SN Ic": (
        [[-17.5, 0, 0.95, 3.96, 2.95, 0.47], [0.29, -1.3, -0.32, -0.36, -0.11, 0.45],
         [-0.03, 0.8, 0.15, 0.17, 0.03, -0.20]],
        [[0.8, 0, 0.27, 0.22, 0.16, 0.24], [0.14, 0.7, 0.11, 0.19, 0.09, 0.32],
         [0.09, 0.5, 0.03, 0.12, 0.07, 0.14]]),
    "SN II": (
        [[-17.2, 0, 0.85, 3.83, 3.17, -0.57], [0.08, -1.2, -0.36, -0.43, -0.25, 0.60],
         [0.07, 0.9, 0.16, 0.18, 0.07, -0.21]],
        [[0.9, 0, 0.64, 0.32, 0.49, 0.46], [0.11, 1.1, 0.11, 0.26, 0.16, 0.48],
         [0.07, 0.7, 0.06, 0.16, 0.07, 0.21]]),
    "SN IIP": (
        [[-16.9, 0, 1.00, 3.50, 4.45, -0.84], [0.16, -2.0, -0.36, -0.05, -0.30, 1.12],
         [-0.03, 1.1, 0.16, 0.18, 0.04, -0.42]],
        [[0.8, 0, 0.50, 0.50, 0.20, 0.48], [0.16, 1.5, 0.20, 0.30, 0.20, 0.40],
         [0.07, 0.5, 0.16, 0.21, 0.07, 0.32]]),
    "SN IIn": (
        [[-18.7, 0, 1.80, 4.30, 3.18, -0.87], [0.12, -1.4, -0.06, -0.13, -0.09, -0.11],
         [0.07, 0.9, 0.10, 0.09, 0.05, -0.02]],
        [[0.9, 0, 0.45, 0.46, 0.28, 0.38], [0.09, 0.8, 0.12, 0.08, 0.07, 0.29],
         [0.07, 0.5, 0.07, 0.11, 0.04, 0.18]]),
    "SN IIb": (
        [[-17.1, 0, 1.41, 3.95, 2.83, 0.60], [0.30, -1.6, -0.15, -0.38, -0.09, 0.42],
         [-0.04, 0.9, 0.14, 0.15, 0.03, -0.19]],
        [[0.7, 0, 0.37, 0.23, 0.23, 0.25], [0.12, 0.8, 0.25, 0.19, 0.10, 0.30],
         [0.09, 0.5, 0.10, 0.13, 0.06, 0.15]]),
    "TDE": (
        [[-19.6, 0, 1.62, 3.94, 3.14, -0.92], [-0.20, -1.5, -0.22, -0.11, -0.03, -0.24],
         [0.25, 0.7, 0.13, 0.13, 0.02, 0.13]],
        [[0.9, 0, 0.52, 0.50, 0.50, 0.78], [0.14, 0.9, 0.15, 0.20, 0.09, 0.27],
         [0.08, 0.5, 0.08, 0.13, 0.08, 0.15]]),
}  # fmt: skip


def villar(time, amplitude, t0, rise, fall, plateau, drop, join=0.0):
    """Flux at `time` [d], in the unit of `amplitude`; arguments broadcast, except `join` [d].

    Needs rise, fall, plateau > 0 and 0 <= drop < 1. `join` 0 has the published corner.
    """
    return amplitude * np.exp(_log_shape(time - t0, rise, fall, plateau, drop, join))


def _log_shape(since, rise, fall, plateau, drop, join):
    after = _after(since - plateau, join)
    return np.log1p(-drop * (since - after) / plateau) - after / fall - np.logaddexp(0.0, -since / rise)


def _after(time, join):
    """max(time, 0), rounded over `join` days."""
    return join * np.logaddexp(0.0, time / join) if join else np.maximum(time, 0.0)


def draw(rng: np.random.Generator, kind: str = "SN Ia") -> dict:
    """Parameters of one source of class `kind`, see the file's docstring."""
    mean, spread = np.array(POPULATION[kind], float)
    return draw_bands(rng, sys.modules[__name__], mean, spread)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) `phase` (T,) rest-frame days after the beginning, at `wavelength` (T,)."""
    return luminosity_of_bands(phase, wavelength, parameters, sys.modules[__name__])


# What a fit works with: coordinates (..., 6), unbounded: ln amplitude, t0, ln rise, ln fall, ln plateau,
# ln drop / (1 - drop).


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
    scale = np.exp(x[..., 2:5])
    rise, fall, plateau = scale[..., 0], scale[..., 1], scale[..., 2]
    return x[..., 0] + _log_shape(time - x[..., 1], rise, fall, plateau, expit(x[..., 5]), JOIN)


def log_flux_gradient(time, x):
    """ln of the flux (T,) at coordinates `x` (6,), and its derivatives (T, 6) by them."""
    rise, fall, plateau = np.exp(x[2:5])
    drop = expit(x[5])
    since = time - x[1]
    before, over = expit(-since / rise), expit((since - plateau) / JOIN)
    after = _after(since - plateau, JOIN)
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
    log_shape = _log_shape(since, rise, fall, plateau, expit(x[5]), JOIN)
    best = min(max(int(np.argmax(log_shape)), 1), len(since) - 2)
    # The parabola through the highest point and its neighbours.
    left, right = since[best - 1] - since[best], since[best + 1] - since[best]
    down, up = (log_shape[best - 1] - log_shape[best]) / left, (log_shape[best + 1] - log_shape[best]) / right
    bend = (up - down) / (right - left)
    slope = up - bend * right
    time = x[1] + since[best] - 0.5 * slope / bend
    return float(time), float(x[0] + log_shape[best] - 0.25 * slope**2 / bend)
