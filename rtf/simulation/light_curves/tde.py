"""TDE: Gaussian rise, power-law decline by fall-back, hot black body of constant temperature.

f(t) = exp(-(t - tp)² / (2 rise²)) before the peak, ((t - tp + t0) / t0)^p after it
(van Velzen et al. 2021, eq. 1 and 2); p = -5/3 (Rees 1988; Phinney 1989).

Parameters (rest frame)
-----------------------
rise [d] : sigma of the Gaussian, log-normal about 11 (0.4)
t0 [d] : log-normal about 45 (0.45)
power : -5/3 with scatter 0.15 (van Velzen et al. 2021 find a spread about -5/3)
temperature [K] : log-normal about 16 000 (0.25), constant; the cool end of van Velzen et al. 2021,
    which g - r of 46 real ones asks for
host_dust [mag] : E(B-V), exponential of mean 0.04: dusty nuclei are not found in the optical
"""

import numpy as np

from rtf.simulation.light_curves.blackbody import ratio_to_r


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one TDE, see the file's docstring."""
    normal = rng.standard_normal(4)
    return {
        "rise": 11 * np.exp(0.4 * normal[0]),
        "t0": 45 * np.exp(0.45 * normal[1]),
        "power": -5 / 3 + 0.15 * normal[2],
        "temperature": 16000 * np.exp(0.25 * normal[3]),
        "host_dust": 0.04 * rng.exponential(),
    }


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Flux relative to the r-band peak (T,) at `phase` days; the peak is at 3 `rise`."""
    since = phase - 3 * parameters["rise"]
    rising = np.exp(-0.5 * (np.minimum(since, 0.0) / parameters["rise"]) ** 2)
    falling = (1 + np.maximum(since, 0.0) / parameters["t0"]) ** parameters["power"]
    light = np.where(phase > 0, rising * falling, 0.0)
    return light * ratio_to_r(parameters["temperature"], band, redshift)
