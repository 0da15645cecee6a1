"""SN IIn: the shock runs into circumstellar gas, so the light rises slowly, stays long and stays blue.

f(t) ∝ exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)), peak 1 at r (Bazin et al. 2009). The rise is the
diffusion through the inner wind, the fall the time in which the shock crosses it (Chatzopoulos et al. 2012);
their numbers are free here because wind masses of real ones span three decades. The colour is that of a
photosphere in the shell, a slowly cooling black body.

Parameters (rest frame)
-----------------------
magnitude : normal(-18.7, 0.9) (Kiewe et al. 2012; Nyholm et al. 2020)
rise [d] : log-normal about 6 (0.45), that is 20 to 50 days to the peak (Nyholm et al. 2020)
fall [d] : log-normal about 60 (0.45), at least twice the rise (Nyholm et al. 2020: 0.013 to 0.027 mag a day)
start : the first light is 5 rises before t0, at 1 % of the peak
temperature : 12 000 K falling to 6 800 K (scatter 8 %) with e-folding time 40 d (0.3)
host_dust [mag] : E(B-V), exponential of mean 0.08
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one SN IIn, see the file's docstring."""
    normal = rng.standard_normal(5)
    rise = 6 * np.exp(0.45 * normal[0])
    return {
        "magnitude": -18.7 + 0.9 * normal[4],
        "rise": rise,
        "fall": max(60 * np.exp(0.45 * normal[1]), 2 * rise),
        "cool_temperature": 6800 * np.exp(0.08 * normal[2]),
        "cool_time": 40 * np.exp(0.3 * normal[3]),
        "host_dust": 0.08 * rng.exponential(),
    }


def shape(time, rise: float, fall: float):
    """The Bazin function with its peak at 1; `time` (T,) since t0, days."""
    peak = rise * np.log(fall / rise - 1)
    top = np.exp(-peak / fall) / (1 + np.exp(-peak / rise))
    return np.exp(-time / fall) / (1 + np.exp(-np.clip(time / rise, -50, 50))) / top


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after first light."""
    rise, fall = parameters["rise"], parameters["fall"]
    age = np.maximum(phase, 0.0)
    cool = parameters["cool_temperature"]
    temperature = cool + (12000 - cool) * np.exp(-age / parameters["cool_time"])
    light = absolute(parameters["magnitude"]) * shape(age - 5 * rise, rise, fall)
    return np.where(phase > 0, light * black_body_ratio(temperature, wavelength), 0.0)
