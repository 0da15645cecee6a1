"""Shock cooling of an extended envelope: what shines first of SN IIb and of a fast blue transient.

A shock heats `envelope_mass` at `envelope_radius`; density falls as v^-n outside and v^-delta inside the
velocity v_t; with the diffusion time t_d = sqrt(3 kappa K M / ((n - 1) v_t c)) (Piro, Haynie & Yao 2021)
  L(t < t_d) = pi (n - 1) / (3 (n - 5)) c R v_t² / kappa (t_d / t)^(4 / (n - 2))
  L(t > t_d) = the same at t_d, times exp(-(t² / t_d² - 1) / 2)
and a photosphere that grows as t^((n - 3) / (n - 1)), then recedes; black body, not below the floor.
"""

import numpy as np

from rtf.simulation.light_curves.diffusion import DAY, LIGHT, SUN
from rtf.simulation.light_curves.priors import log_normal
from rtf.simulation.light_curves.spectrum import black_body, effective_temperature

_N, _DELTA = 10.0, 1.1
_K = (_N - 3) * (3 - _DELTA) / (4 * np.pi * (_N - _DELTA))
_RADIUS_OF_SUN = 6.957e10  # [cm]
PRIORS = {
    "IIb": {
        "envelope_mass": log_normal(0.045, 0.5),  # [Sun] (Pellegrino et al. 2023: 0.01 to 0.1)
        # [Sun], up to the 500 of Pellegrino et al. 2023: in half the first peak is above the second in g
        "envelope_radius": log_normal(50.0, 1.0),
        "envelope_energy": log_normal(6e49, 0.5),  # [erg]
    },
    "FBOT": {
        "envelope_mass": log_normal(0.25, 0.5),
        "envelope_radius": log_normal(1400.0, 0.7),  # circumstellar matter of 10^14 cm (Ho et al. 2019, 2023)
        "envelope_energy": log_normal(1e51, 0.5),
    },
}
#: Floor [K] and opacity [cm2/g], that of hydrogen in IIb; fast blue transients stay blue (Ho et al. 2023).
CONSTANTS = {
    "IIb": {"envelope_floor": 5500.0, "envelope_opacity": 0.34},
    "FBOT": {"envelope_floor": 9000.0, "envelope_opacity": 0.2},
}


def bolometric(age, parameters: dict):
    """Bolometric luminosity [erg / s] (T,) and photospheric temperature [K] (T,) at `age` (T,) > 0 [d]."""
    mass = parameters["envelope_mass"] * SUN
    energy, opacity = parameters["envelope_energy"], parameters["envelope_opacity"]
    radius = parameters["envelope_radius"] * _RADIUS_OF_SUN
    turn = np.sqrt((5 - _DELTA) * (_N - 5) / ((3 - _DELTA) * (_N - 3))) * np.sqrt(2 * energy / mass)
    column = 3 * opacity * _K * mass / (_N - 1)
    t_diffusion, t_photosphere = np.sqrt(column / (turn * LIGHT)), np.sqrt(column / (2 * turn**2))
    t = age * DAY
    late = np.maximum(t / t_diffusion, 1.0)
    early = np.minimum(t / t_diffusion, 1.0)
    light = np.pi * (_N - 1) / (3 * (_N - 5)) * LIGHT * radius * turn**2 / opacity
    light = light * early ** (-4 / (_N - 2)) * np.exp(-0.5 * np.minimum(late**2 - 1, 1000.0))
    place = t / t_photosphere
    inside = (_DELTA - 1) / (_N - 1) * (np.maximum(place, 1.0) ** 2 - 1) + 1
    size = turn * t * np.minimum(place, 1.0) ** (-2 / (_N - 1)) * inside ** (-1 / (_DELTA - 1))
    return light, np.maximum(effective_temperature(light, size), parameters["envelope_floor"])


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after the shock leaves the envelope."""
    light, temperature = bolometric(np.maximum(phase, 0.01), parameters)
    return np.where(phase > 0, black_body(light, temperature, wavelength), 0.0)
