"""How light-curve models draw their parameters: tables of independent priors, one entry a parameter."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rtf.simulation.light_curves.spectrum import R_WAVELENGTH


class Prior(NamedTuple):
    """A normal distribution, or a log-normal one about its median with the scatter in ln; cut at `low`."""

    centre: float
    scatter: float
    low: float
    logarithmic: bool


def normal(centre: float, scatter: float, low: float = -np.inf) -> Prior:
    return Prior(centre, scatter, low, False)


def log_normal(median: float, scatter: float, low: float = 0.0) -> Prior:
    return Prior(median, scatter, low, True)


def drawn(rng: np.random.Generator, priors: dict[str, Prior], dust: float = 0.0) -> dict:
    """A value for each prior, and `host_dust` of mean `dust` [mag], the square of a normal deviate.

    Half the hosts have less than 0.45 of the mean, one in twenty four times as much.
    """
    parameters = {}
    for (name, prior), deviate in zip(priors.items(), rng.standard_normal(len(priors))):
        step = prior.scatter * deviate
        value = prior.centre * np.exp(step) if prior.logarithmic else prior.centre + step
        parameters[name] = max(value, prior.low)
    return parameters | {"host_dust": dust * rng.standard_normal() ** 2 if dust else 0.0}


def peak_magnitude(luminosity: Callable, phase: np.ndarray, parameters: dict) -> float:
    """Absolute magnitude of the peak at `R_WAVELENGTH` among rest-frame days `phase`."""
    return float(-2.5 * np.log10(luminosity(phase, R_WAVELENGTH, parameters).max()))
