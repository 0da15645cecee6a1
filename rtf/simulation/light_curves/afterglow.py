"""GRB afterglow seen on its axis: synchrotron light of a decelerating jet, broken power laws in time.

For electrons of index p, between the typical and the cooling frequency, f ∝ nu^-(p-1)/2 and, in a uniform
medium, t^-3(p-1)/4, t^-p after the jet break (Sari, Piran & Narayan 1998; Sari, Piran & Halpern 1999). Before
the deceleration time it rises as t². Pieces join smoothly (Beuermann et al. 1999). The colour never changes.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal, peak_magnitude
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute

PRIORS = {
    "index": normal(2.35, 0.2, 2.05),  # p
    "day_magnitude": normal(-23.3, 1.6),  # at one day before the jet break's loss (Kann et al. 2010)
    "onset": log_normal(0.002, 0.8),  # deceleration [d] (Liang et al. 2010)
    "jet_break": log_normal(0.6, 0.8),  # [d] (Zeh et al. 2006; Wang et al. 2018)
}
_DUST = 0.04  # Kann et al. 2010: A_V 0.2 with much of it SMC-like
_RISE, _SHARP = 2.0, 2.0  # power of the rise, and sharpness of the joints
_PEAK_PLACE = np.geomspace(0.3, 5.0, 40)  # in units of the onset


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one afterglow."""
    parameters = drawn(rng, PRIORS, _DUST)
    peak = peak_magnitude(luminosity, _PEAK_PLACE * parameters["onset"], parameters)
    return parameters | {"magnitude": peak}


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after the burst."""
    p, age = parameters["index"], np.maximum(phase, 1e-5)
    before, after = 0.75 * (p - 1), p
    place, broken = age / parameters["onset"], age / parameters["jet_break"]
    onset = (1 + place ** (-_SHARP * (_RISE + before))) ** (-1 / _SHARP)
    jet = (1 + broken ** (_SHARP * (after - before))) ** (-1 / _SHARP)
    spectrum = (wavelength / R_WAVELENGTH) ** (0.5 * (p - 1))
    light = absolute(parameters["day_magnitude"]) * age**-before * onset * jet * spectrum
    return np.where(phase > 0, light, 0.0)
