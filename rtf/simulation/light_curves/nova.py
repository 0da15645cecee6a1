"""Novae: one eruption, the faster the brighter, that fades as a power law of time.

f(t) = (1 + t / s)^-power after a rise within days (Strope et al. 2010; Hachisu & Kato 2006), with s such
that two magnitudes take `t2` days; M_V = -7.92 - 0.81 arctan((1.32 - log10 t2) / 0.23) (the relation of
maximum magnitude and rate of decline, Della Valle & Livio 1995). A warm black body with H alpha in emission,
which r sees.

Parameters (rest frame; these are stars in our Galaxy)
----------
t2 [d] : log-normal about 25 (0.7), at least 3
magnitude : of the relation, with scatter 0.6
rise [d] : log-normal about 1.0 (0.4)
power : normal(1.5, 0.2), at least 1
temperature [K] : log-normal about 8 000 (0.15)
h_alpha [mag] : by how much the line brightens r, normal(0.2, 0.08), at least 0
amplitude [mag] : above quiescence in r, normal(11.5, 1.5), at least 8 (Strope et al. 2010)
host_dust [mag] : E(B-V) of the star itself, 0: dust on the way is the Galaxy's
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute, black_body_ratio

_PEAK_AGE = np.geomspace(0.1, 20.0, 40)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one nova, see the file's docstring."""
    normal = rng.standard_normal(7)
    t2 = max(25 * np.exp(0.7 * normal[0]), 3.0)
    power = max(1.5 + 0.2 * normal[1], 1.0)
    parameters = {
        "magnitude": -7.92 - 0.81 * np.arctan((1.32 - np.log10(t2)) / 0.23) + 0.6 * normal[2],
        "t2": t2,
        "scale": t2 / (10 ** (0.8 / power) - 1),
        "power": power,
        "rise": 1.0 * np.exp(0.4 * normal[3]),
        "temperature": 8000 * np.exp(0.15 * normal[4]),
        "h_alpha": max(0.2 + 0.08 * normal[5], 0.0),
        "amplitude": max(11.5 + 1.5 * normal[6], 8.0),
        "host_dust": 0.0,
    }
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
    return (
        absolute(parameters["magnitude"] + line) * light
        * black_body_ratio(parameters["temperature"], wavelength)
    )  # fmt: skip
