"""SN IIn: the shock runs into circumstellar gas, so the light rises slowly, stays long and stays blue.

f(t) ∝ exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)), peak 1 at r (Bazin et al. 2009). The rise is the
diffusion through the inner wind, the fall the time in which the shock crosses it (Chatzopoulos et al. 2012);
their numbers are free here because wind masses of real ones span three decades. The colour is that of a
photosphere in the shell, a slowly cooling black body.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio

# Centres after the sources named; scatters, and the colour, by the 98 real SN IIn of the training split of
# `experiments/real_supernovae.yaml`, which vary more than the samples of these papers.
PRIORS = {
    "rise": log_normal(8.5, 0.75),  # [d]; 20 to 50 days to the peak (Nyholm et al. 2020)
    "fall": log_normal(50.0, 0.8),  # [d], at least twice the rise (0.013 to 0.027 mag a day, the same paper)
    "cool_temperature": log_normal(7000.0, 0.27),  # [K], from 15 000 K
    "cool_time": log_normal(35.0, 0.3),  # e-folding time [d]
    "magnitude": normal(-18.7, 0.9),  # Kiewe et al. 2012; Nyholm et al. 2020
}
_DUST = 0.14


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one SN IIn."""
    parameters = drawn(rng, PRIORS, _DUST)
    return parameters | {"fall": max(parameters["fall"], 2 * parameters["rise"])}


def shape(time, rise: float, fall: float):
    """The Bazin function with its peak at 1; `time` (T,) since t0, days."""
    peak = rise * np.log(fall / rise - 1)
    top = np.exp(-peak / fall) / (1 + np.exp(-peak / rise))
    return np.exp(-time / fall) / (1 + np.exp(-np.clip(time / rise, -50, 50))) / top


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after first light, 5 rises before t0."""
    rise, fall = parameters["rise"], parameters["fall"]
    age = np.maximum(phase, 0.0)
    cool = parameters["cool_temperature"]
    temperature = cool + (15000 - cool) * np.exp(-age / parameters["cool_time"])
    light = absolute(parameters["magnitude"]) * shape(age - 5 * rise, rise, fall)
    return np.where(phase > 0, light * black_body_ratio(temperature, wavelength), 0.0)
