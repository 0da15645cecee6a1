"""SN IIn: the shock runs into circumstellar gas, so the light rises slowly, stays long and stays blue.

f(t) ∝ exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)) (Bazin et al. 2009), scaled to peak 1 in r, times a
slowly cooling black body.

Parameters (rest frame)
-----------------------
rise [d] : log-normal about 6 (0.45), that is 20 to 50 days to the peak (Nyholm et al. 2020)
fall [d] : log-normal about 75 (0.45)
t0 [d] : 5 rise after the first light, so that the start is 1 % of the peak
temperature : 12 000 K falling to 6 800 K (scatter 8 %) with e-folding time 40 d (0.3)
host_dust [mag] : E(B-V), exponential of mean 0.08
"""

import numpy as np

from rtf.simulation.light_curves.blackbody import ratio_to_r


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one SN IIn, see the file's docstring."""
    normal = rng.standard_normal(4)
    return {
        "rise": 6 * np.exp(0.45 * normal[0]),
        "fall": 75 * np.exp(0.45 * normal[1]),
        "cool_temperature": 6800 * np.exp(0.08 * normal[2]),
        "cool_time": 40 * np.exp(0.3 * normal[3]),
        "host_dust": 0.08 * rng.exponential(),
    }


def bazin(time, rise: float, fall: float):
    """The Bazin function with its peak at 1; `time` (T,) since t0, days."""
    peak = rise * np.log(max(fall / rise - 1, 1e-3))
    top = np.exp(-peak / fall) / (1 + np.exp(-peak / rise))
    return np.exp(-time / fall) / (1 + np.exp(-np.clip(time / rise, -50, 50))) / top


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Flux relative to the r-band peak (T,) at `phase` days after first light."""
    rise, fall = parameters["rise"], max(parameters["fall"], 2 * parameters["rise"])
    cool = parameters["cool_temperature"]
    temperature = cool + (12000 - cool) * np.exp(-np.maximum(phase, 0.0) / parameters["cool_time"])
    flux = bazin(phase - 5 * rise, rise, fall) * ratio_to_r(temperature, band, redshift)
    return np.where(phase > 0, flux, 0.0)
