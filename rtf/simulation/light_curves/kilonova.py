"""Kilonova: neutron-rich matter of a merger heated by the r-process, one zone each for blue and red ejecta.

Heat 2e10 erg/s/g t_d^-1.3 (Metzger 2019), of which a share thermalises,
0.36 [exp(-a t) + ln(1 + 2 b t^d) / (2 b t^d)] (Barnes et al. 2016), diffuses out. Lanthanides make
the red component opaque and slow, so that the sum reddens within days.
Photospheres do not cool below 2 500 K (recombination of lanthanides, Barnes & Kasen 2013).
"""

import numpy as np

from rtf.simulation.light_curves.diffusion import SUN, diffused, diffusion_time
from rtf.simulation.light_curves.priors import drawn, log_normal, peak_magnitude
from rtf.simulation.light_curves.spectrum import black_body, photosphere

PRIORS = {  # Villar et al. 2017 for GW170817: 0.020, and 0.047 of the middle one of three
    "blue_mass": log_normal(0.02, 0.6),  # [Sun]
    "red_mass": log_normal(0.045, 0.5),
    "blue_velocity": log_normal(75000.0, 0.15),  # [km/s]
    "red_velocity": log_normal(45000.0, 0.15),
    "blue_opacity": log_normal(0.7, 0.25),  # [cm2/g]
    "red_opacity": log_normal(3.5, 0.25),
}
_DUST = 0.05
#: Coefficients a, b, d of thermalisation for the masses and velocities here (Barnes et al. 2016, table 1).
_THERMAL = {"blue": (1.31, 0.21, 1.13), "red": (0.56, 0.17, 0.74)}
_FLOOR = 2500.0
_TIME = np.geomspace(0.01, 60.0, 90)
_PEAK_PHASE = np.geomspace(0.1, 10.0, 40)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one kilonova."""
    parameters = drawn(rng, PRIORS, _DUST)
    return parameters | {"magnitude": peak_magnitude(luminosity, _PEAK_PHASE, parameters)}


def heating(age, component: str):
    """Heat [erg / s / g] (T,) that thermalises at `age` (T,) [d] in the `component` "blue" or "red"."""
    a, b, d = _THERMAL[component]
    depth = 2 * b * age**d
    return 2e10 * age**-1.3 * 0.36 * (np.exp(-a * age) + np.log1p(depth) / depth)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after the merger."""
    age = np.maximum(phase, _TIME[0])
    total = 0.0
    for component in ("blue", "red"):
        mass, velocity = parameters[f"{component}_mass"], parameters[f"{component}_velocity"]
        tau = diffusion_time(mass, velocity, parameters[f"{component}_opacity"])
        light = np.interp(age, _TIME, diffused(_TIME, mass * SUN * heating(_TIME, component), tau))
        total = total + black_body(light, photosphere(light, age, velocity, _FLOOR), wavelength)
    return np.where(phase > 0, total, 0.0)
