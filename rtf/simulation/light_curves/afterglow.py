"""GRB afterglow seen on its axis: synchrotron light of a decelerating jet, broken power laws in time.

For electrons of index p, between the typical and the cooling frequency, f ∝ nu^-(p-1)/2 and, in a uniform
medium, t^-3(p-1)/4, t^-p after the jet break (Sari, Piran & Narayan 1998; Sari, Piran & Halpern 1999). Before
the deceleration time it rises as t². Pieces join smoothly (Beuermann et al. 1999). The colour never changes.

Parameters (rest frame)
-----------------------
index : p, normal(2.35, 0.2), at least 2.05; f_nu ∝ nu^-0.68
day_magnitude : absolute at one day before the jet break's loss, normal(-23.3, 1.6) (Kann et al. 2010)
onset [d] : deceleration, log-normal about 0.002 (0.8) (Liang et al. 2010)
jet_break [d] : log-normal about 0.6 (0.8) (Zeh et al. 2006; Wang et al. 2018)
host_dust [mag] : E(B-V), exponential of mean 0.04 (Kann et al. 2010: A_V 0.2 with much of it SMC-like)
magnitude : peak, at the onset
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute

_RISE = 2.0
_SHARP = 2.0  # of the joints
_PEAK_PLACE = np.geomspace(0.3, 5.0, 40)  # in units of the onset


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one afterglow, see the file's docstring."""
    normal = rng.standard_normal(4)
    parameters = {
        "index": max(2.35 + 0.2 * normal[0], 2.05),
        "day_magnitude": -23.3 + 1.6 * normal[1],
        "onset": 0.002 * np.exp(0.8 * normal[2]),
        "jet_break": 0.6 * np.exp(0.8 * normal[3]),
    }
    peak = luminosity(_PEAK_PLACE * parameters["onset"], R_WAVELENGTH, parameters).max()
    return parameters | {"magnitude": float(-2.5 * np.log10(peak)), "host_dust": 0.04 * rng.exponential()}


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
