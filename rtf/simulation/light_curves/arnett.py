"""SN Ib, Ic, IIb and fast blue transients: radioactive heat that diffuses out (Arnett 1982).

The heat of 56Ni and 56Co (Nadyozhin 1994), less the gamma rays that escape, goes through
`diffusion.diffused`. The photosphere expands at constant velocity until it reaches the floor temperature, and
warms by 15 % from day 45 to 105 as the ejecta turn transparent; iron lines take more and more of the blue.
IIb begin with `shock_cooling`. Fast blue transients have more of that and less nickel, for many turn out to
be stripped supernovae in dense matter (Ho et al. 2023).
"""

import numpy as np

from rtf.simulation.light_curves import shock_cooling
from rtf.simulation.light_curves.diffusion import diffused, trapped
from rtf.simulation.light_curves.priors import Prior, drawn, log_normal, normal, peak_magnitude
from rtf.simulation.light_curves.spectrum import black_body, blanketing, photosphere


def _priors(nickel, tau_m, scatter, velocity, floor=5000.0, t_gamma=60.0) -> dict[str, Prior]:
    return {
        # [Sun] (the low side of Anderson 2019, as Meza & Anderson 2020 find without Arnett's rule)
        "nickel_mass": log_normal(nickel, 0.75),
        # Diffusion time [d]: a rise in 10 to 22 days (Taddia et al. 2015, 2018; Prentice et al. 2016)
        "tau_m": log_normal(tau_m, scatter),
        "t_gamma": log_normal(t_gamma, 0.25),  # [d], by the decline of r in 30 days of 201 real ones
        "velocity": log_normal(velocity, 0.25),  # of the photosphere [km/s] (Taddia et al. 2018), wider
        "floor": normal(floor, 300.0),  # [K]
        # Of g once cool [mag]: g - r is 0.9 and r - i 0.2 thirty days after the peak, as in 3 real SN Ic
        "blanketing": normal(0.2, 0.1, 0.0),
    }


PRIORS = {
    "Ib": _priors(0.105, 10.0, 0.38, 8000.0),
    "Ic": _priors(0.14, 9.0, 0.42, 9000.0),  # wide for the broad-lined
    "IIb": _priors(0.085, 10.0, 0.33, 7500.0) | shock_cooling.PRIORS["IIb"],
    "FBOT": _priors(0.03, 6.0, 0.20, 15000.0, 6500.0, 30.0) | shock_cooling.PRIORS["FBOT"],
}
_DUST = 0.2  # Stritzinger et al. 2018
_TIME = np.geomspace(0.2, 500.0, 110)
#: Of one solar mass of 56Ni and its daughter [erg / s] (Nadyozhin 1994).
_HEAT = 6.45e43 * np.exp(-_TIME / 8.8) + 1.45e43 * np.exp(-_TIME / 111.3)
_PEAK_PHASE = np.arange(6.0, 40.0, 1.5)
_PEAK_PHASE_WITH_ENVELOPE = np.geomspace(0.25, 40.0, 40)


def draw(rng: np.random.Generator, kind: str) -> dict:
    """Parameters of one source of `kind` Ib, Ic, IIb or FBOT."""
    parameters = drawn(rng, PRIORS[kind], _DUST) | shock_cooling.CONSTANTS.get(kind, {})
    phase = _PEAK_PHASE_WITH_ENVELOPE if kind in shock_cooling.PRIORS else _PEAK_PHASE
    return parameters | {"magnitude": peak_magnitude(luminosity, phase, parameters)}


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
