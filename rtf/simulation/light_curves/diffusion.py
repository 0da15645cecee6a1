"""Heat that diffuses out of expanding ejecta: the bolometric light of every centrally heated explosion.

L(t) = exp(-t²/tau²) ∫₀ᵗ heat(s) (2 s / tau²) exp(s²/tau²) ds (Arnett 1982, for a diffusion time `tau`), and
what of it does not escape as gamma rays. Nickel, magnetars and r-process heating differ in `heat` alone.
"""

import numpy as np

DAY = 86400.0  # [s]
SUN = 1.989e33  # [g]
LIGHT = 2.998e10  # [cm / s]
_BETA = 13.8  # of the density profile (Arnett 1982)


def diffusion_time(mass: float, velocity: float, opacity: float) -> float:
    """tau [d] of ejecta of `mass` [Sun], `velocity` [km / s], `opacity` [cm2 / g] (Arnett 1982)."""
    return float(np.sqrt(2 * opacity * mass * SUN / (_BETA * LIGHT * velocity * 1e5)) / DAY)


def trapped(time, scale: float):
    """Share (T,) of gamma rays that stay, 1 - exp(-(scale / t)²) (Clocchiatti & Wheeler 1997)."""
    return -np.expm1(-((scale / time) ** 2))


def diffused(time, heat, tau: float) -> np.ndarray:
    """Light (T,) on ascending grid `time` (T,) [d] of the `heat` (T,) deposited, in its unit.

    With x = t / tau the light obeys dL/d(x²) = heat - L, summed exactly for heat that is linear in x² between
    the grid's points. From 22 `tau` on, where exp(x²) would overflow, the light is the heat (to 0.2 %).
    """
    inside = int(np.searchsorted(time, 22 * tau))
    x2, fed = (time[:inside] / tau) ** 2, heat[:inside]
    grown = np.exp(x2)
    slope = (fed[1:] - fed[:-1]) / (x2[1:] - x2[:-1])
    lag = np.empty(inside)
    lag[:1] = fed[:1]
    lag[1:] = heat[0] + np.cumsum(slope * (grown[1:] - grown[:-1]))
    light = heat.copy()
    light[:inside] -= lag / grown
    return light
