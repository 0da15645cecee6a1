"""Novae: one eruption, the faster the brighter, that fades as a power law of time.

f(t) = (1 + t / s)^-power after a rise within days (Strope et al. 2010; Hachisu & Kato 2006), with s such
that two magnitudes take `t2` days; M_V = -7.92 - 0.81 arctan((1.32 - log10 t2) / 0.23) (the relation of
maximum magnitude and rate of decline, Della Valle & Livio 1995). A warm black body with H alpha in emission,
which r sees.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute, black_body_ratio

PRIORS = {
    "t2": log_normal(25.0, 0.7, 3.0),  # [d]
    "power": normal(1.5, 0.2, 1.0),
    "magnitude": normal(0.0, 0.6),  # about the relation
    "rise": log_normal(1.0, 0.4),  # [d]
    "temperature": log_normal(8000.0, 0.15),  # [K]
    "h_alpha": normal(0.2, 0.08, 0.0),  # by how much the line brightens r [mag]
    "amplitude": normal(11.5, 1.5, 8.0),  # above quiescence in r [mag] (Strope et al. 2010)
}
_PEAK_AGE = np.geomspace(0.1, 20.0, 40)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one nova; dust on the way is the Galaxy's."""
    parameters = drawn(rng, PRIORS)
    t2 = parameters["t2"]
    relation = -7.92 - 0.81 * np.arctan((1.32 - np.log10(t2)) / 0.23)
    parameters["magnitude"] = relation + parameters["magnitude"]
    parameters["scale"] = t2 / (10 ** (0.8 / parameters["power"]) - 1)
    return parameters | {"top": float(shape(_PEAK_AGE, parameters).max())}


def shape(age, parameters: dict):
    """Light (T,) at `age` (T,) [d]; its peak is the parameter `top`."""
    fading = (1 + age / parameters["scale"]) ** -parameters["power"]
    return fading * -np.expm1(-((age / parameters["rise"]) ** 2))


def _line(wavelength):
    return np.exp(-0.5 * ((wavelength - 6563.0) / 350.0) ** 2)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` days after the eruption begins."""
    light = shape(np.maximum(phase, 0.0), parameters) / parameters["top"]
    line = parameters["h_alpha"] * (1 - _line(wavelength) / _line(R_WAVELENGTH))
    light = absolute(parameters["magnitude"] + line) * light
    return light * black_body_ratio(parameters["temperature"], wavelength)
