"""SN Ib, Ic, IIb and fast blue transients: radioactive heat that diffuses out (Arnett 1982).

The heat of 56Ni and 56Co (Nadyozhin 1994), less the gamma rays that escape, goes through
`diffusion.diffused`. The photosphere expands at constant velocity until it reaches the floor temperature, and
warms by 15 % from day 45 to 105 as the ejecta turn transparent; iron lines take more and more of the blue.
IIb begin with `shock_cooling`. Fast blue transients have more of that and less nickel, for many turn out to
be stripped supernovae in dense matter (Ho et al. 2023).

Parameters (rest frame)
-----------------------
nickel_mass [Sun] : log-normal about Ib 0.105, Ic 0.14, IIb 0.085, FBOT 0.03 (0.75) (the low
    side of Anderson 2019, as Meza & Anderson 2020 find without Arnett's rule)
tau_m [d] : diffusion time, log-normal about Ib 12 (0.2), Ic 11 (0.28, wide for the broad-lined), IIb 12
    (0.18), FBOT 6 (0.2): this rises in 14 to 21 days (Taddia et al. 2015, 2018; Prentice et al. 2016)
t_gamma [d] : log-normal about 100, FBOT 30 (0.25)
velocity [km/s] : of the photosphere, log-normal about Ib 8000, Ic 9000, IIb 7500, FBOT 15000 (0.15)
    (Taddia et al. 2018)
floor [K] : normal(5000, 300), FBOT normal(6500, 300)
blanketing [mag] : of g once cool, normal(0.2, 0.1), see `spectrum.blanketing`
    (with these g - r is 0.9 and r - i 0.2 thirty days after the peak, as in 3 real SN Ic)
envelope_* : of IIb and FBOT, see `shock_cooling`
host_dust [mag] : E(B-V), exponential of mean 0.15 (Stritzinger et al. 2018)
magnitude : peak of the model, the brighter of the two in IIb
"""

import numpy as np

from rtf.simulation.light_curves import shock_cooling
from rtf.simulation.light_curves.diffusion import diffused, trapped
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, black_body, blanketing, photosphere

_PRIORS = {  # nickel mass, tau_m and its scatter, velocity, floor, t_gamma
    "Ib": (0.105, 12.0, 0.20, 8000.0, 5000.0, 100.0),
    "Ic": (0.14, 11.0, 0.28, 9000.0, 5000.0, 100.0),
    "IIb": (0.085, 12.0, 0.18, 7500.0, 5000.0, 100.0),
    "FBOT": (0.03, 6.0, 0.20, 15000.0, 6500.0, 30.0),
}
_TIME = np.geomspace(0.2, 500.0, 110)
#: Of one solar mass of 56Ni and its daughter [erg / s] (Nadyozhin 1994).
_HEAT = 6.45e43 * np.exp(-_TIME / 8.8) + 1.45e43 * np.exp(-_TIME / 111.3)
_PEAK_PHASE = np.arange(6.0, 40.0, 1.5)
_PEAK_PHASE_WITH_ENVELOPE = np.geomspace(0.25, 40.0, 40)


def draw(rng: np.random.Generator, kind: str = "Ib") -> dict:
    """Parameters of one source of `kind` Ib, Ic, IIb or FBOT, see the file's docstring."""
    normal = rng.standard_normal(6)
    mass, tau_m, scatter, velocity, floor, t_gamma = _PRIORS[kind]
    parameters = {
        "nickel_mass": mass * np.exp(0.75 * normal[0]),
        "tau_m": tau_m * np.exp(scatter * normal[1]),
        "t_gamma": t_gamma * np.exp(0.25 * normal[2]),
        "velocity": velocity * np.exp(0.15 * normal[3]),
        "floor": floor + 300 * normal[4],
        "blanketing": max(0.2 + 0.1 * normal[5], 0.0),
    }
    age = _PEAK_PHASE
    if kind in ("IIb", "FBOT"):
        parameters |= shock_cooling.draw_envelope(rng, kind)
        age = _PEAK_PHASE_WITH_ENVELOPE
    peak = luminosity(age, R_WAVELENGTH, parameters).max()
    return parameters | {"magnitude": float(-2.5 * np.log10(peak)), "host_dust": 0.15 * rng.exponential()}


def bolometric(age, parameters: dict):
    """Bolometric luminosity [erg / s] (T,) of the nickel alone at `age` (T,) days after explosion."""
    heat = parameters["nickel_mass"] * _HEAT * trapped(_TIME, parameters["t_gamma"])
    return np.interp(age, _TIME, diffused(_TIME, heat, parameters["tau_m"]))


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after explosion."""
    age = np.maximum(phase, _TIME[0])
    light = bolometric(age, parameters)
    temperature = photosphere(light, age, parameters["velocity"], parameters["floor"])
    temperature = temperature * (1 + 0.15 * np.minimum(np.maximum((age - 45) / 60, 0.0), 1.0))
    blanket = parameters["blanketing"] * -np.expm1(-((age / 20) ** 2)) * blanketing(wavelength)
    light = np.where(phase > 0, black_body(light, temperature, wavelength) * 10 ** (-0.4 * blanket), 0.0)
    if "envelope_mass" in parameters:
        light = light + shock_cooling.luminosity(phase, wavelength, parameters)
    return light
