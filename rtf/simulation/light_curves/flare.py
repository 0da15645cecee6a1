"""Flares of an active M dwarf: minutes up, hours down, hot on a red star, and again and again.

The template of Davenport et al. (2014) in units of the full width at half maximum: a quartic
rise, then a fast and a slow exponential; a black body of constant temperature (Kowalski et al. 2013). What
an alert stream holds of such a star are visits that happened to fall into one of its greatest flares.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio

PRIORS = {
    "width": log_normal(0.025, 0.5),  # full width at half maximum of the greatest flare [d]: 36 minutes
    "quiescent": normal(11.5, 0.8),  # absolute r magnitude of the star, M3 to M5
    "temperature": log_normal(10000.0, 0.1),  # [K]
}
WATCHED, FLARES = 200.0, 1000  # days in which the flares happen, and how many on average
_INDEX = 1.5
_OVER = 20.0  # a flare is over after so many widths: 0.1 % of its peak


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one star, with the seed of its flares; `amplitude` [mag] is that of the greatest."""
    parameters = drawn(rng, PRIORS)
    amplitude = 0.8 + 0.5 * rng.exponential()
    magnitude = parameters["quiescent"] - 2.5 * np.log10(10 ** (0.4 * amplitude) - 1)
    return parameters | {"amplitude": amplitude, "magnitude": magnitude, "seed": int(rng.integers(2**62))}


def template(time):
    """Flare of peak 1 at `time` (T,) 0, in units of its full width at half maximum; it begins at -1."""
    rise = np.clip(time, -1.0, 0.0)
    rise = 1 + 1.941 * rise - 0.175 * rise**2 - 2.246 * rise**3 - 1.125 * rise**4
    fall = np.maximum(time, 0.0)
    fall = (0.6890 * np.exp(-1.600 * fall) + 0.3030 * np.exp(-0.2783 * fall)) / 0.992
    return np.where(time < -1, 0.0, np.where(time < 0, np.maximum(rise, 0.0), fall))


def flares(parameters: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start [d], peak relative to the greatest and width [d] of each flare, (K,) in order of time.

    Peaks follow a power law of cumulative index -1.5; lesser flares are shorter, as peak^0.3.
    """
    rng = np.random.default_rng(parameters["seed"])
    start = np.sort(rng.uniform(0, WATCHED, max(rng.poisson(FLARES), 1)))
    peak = (1 - rng.random(len(start))) ** (-1 / _INDEX)
    peak /= peak.max()
    return start, peak, parameters["width"] * peak**0.3


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) of the flares alone at `phase` (T,) days."""
    phase = np.asarray(phase, float)
    start, peak, width = flares(parameters)
    light = np.zeros(len(phase))
    first = np.searchsorted(phase, start)
    last = np.searchsorted(phase, start + (1 + _OVER) * width)
    for k in np.flatnonzero(last > first):
        rows = slice(first[k], last[k])
        light[rows] += peak[k] * template((phase[rows] - start[k]) / width[k] - 1)
    return absolute(parameters["magnitude"]) * light * black_body_ratio(parameters["temperature"], wavelength)
