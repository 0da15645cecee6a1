"""TDE: Gaussian rise, power-law decline by fall-back, hot black body of constant temperature.

f(t) = exp(-(t - tp)² / (2 rise²)) before the peak, ((t - tp + t0) / t0)^p after it
(van Velzen et al. 2021, eq. 1 and 2); p = -5/3 (Rees 1988; Phinney 1989).

Parameters (rest frame)
-----------------------
magnitude : normal(-19.45, 0.9): -19.6 in g (van Velzen et al. 2021; Hammerstein et al. 2023)
rise [d] : sigma of the Gaussian, log-normal about 14 (0.5), 6 to 30 (van Velzen et al. 2021)
t0 [d] : log-normal about 85 (0.45): real ones fade by 0.36, 0.57, 0.8 and 1.2 mag in r within 20, 40, 60 and
    100 observed days (medians of 32, 26, 13 and 7)
power : -5/3 with scatter 0.15 (van Velzen et al. 2021 find a spread about -5/3)
temperature [K] : log-normal about 18 000 (0.25), constant (van Velzen et al. 2021: 12 000 to 35 000)
host_dust [mag] : E(B-V), exponential of mean 0.10: with it g - r agrees with 38 real ones, whose median
    is -0.17 and 16 % of whom are redder than 0.07
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one TDE, see the file's docstring."""
    normal = rng.standard_normal(5)
    return {
        "magnitude": -19.45 + 0.9 * normal[4],
        "rise": 14 * np.exp(0.5 * normal[0]),
        "t0": 85 * np.exp(0.45 * normal[1]),
        "power": -5 / 3 + 0.15 * normal[2],
        "temperature": 18000 * np.exp(0.25 * normal[3]),
        "host_dust": 0.10 * rng.exponential(),
    }


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days; the peak is at 3 `rise`."""
    since = phase - 3 * parameters["rise"]
    rising = np.exp(-0.5 * (np.minimum(since, 0.0) / parameters["rise"]) ** 2)
    falling = (1 + np.maximum(since, 0.0) / parameters["t0"]) ** parameters["power"]
    light = np.where(phase > 0, rising * falling, 0.0) * absolute(parameters["magnitude"])
    return light * black_body_ratio(parameters["temperature"], wavelength)
