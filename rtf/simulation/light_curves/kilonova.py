"""Kilonova: neutron-rich matter of a merger heated by the r-process, one zone each for blue and red ejecta.

Heat 2e10 erg/s/g t_d^-1.3 (Metzger 2019), of which a share thermalises,
0.36 [exp(-a t) + ln(1 + 2 b t^d) / (2 b t^d)] (Barnes et al. 2016), diffuses out. Lanthanides make
the red component opaque and slow, so that the sum reddens within days.

Parameters (rest frame)
-----------------------
blue_mass [Sun] : log-normal about 0.02 (0.6); red_mass about 0.045 (0.5) (Villar et al. 2017 for
    GW170817: 0.020, and 0.047 of the middle one of three)
blue_velocity [km/s] : log-normal about 75 000 (0.15); red_velocity 45 000 (0.15)
blue_opacity [cm2/g] : log-normal about 0.7 (0.25); red_opacity 3.5 (0.25)
host_dust [mag] : E(B-V), exponential of mean 0.05
magnitude : peak of the model
Fixed: photospheres do not cool below 2 500 K (recombination of lanthanides, Barnes & Kasen 2013).
"""

import numpy as np

from rtf.simulation.light_curves.diffusion import SUN, diffused, diffusion_time
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, black_body, photosphere

#: Coefficients a, b, d of thermalisation for the masses and velocities here (Barnes et al. 2016, table 1).
_THERMAL = {"blue": (1.31, 0.21, 1.13), "red": (0.56, 0.17, 0.74)}
_FLOOR = 2500.0
_TIME = np.geomspace(0.01, 60.0, 90)
_PEAK_PHASE = np.geomspace(0.1, 10.0, 40)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one kilonova, see the file's docstring."""
    normal = rng.standard_normal(6)
    parameters = {
        "blue_mass": 0.02 * np.exp(0.6 * normal[0]),
        "red_mass": 0.045 * np.exp(0.5 * normal[1]),
        "blue_velocity": 75000 * np.exp(0.15 * normal[2]),
        "red_velocity": 45000 * np.exp(0.15 * normal[3]),
        "blue_opacity": 0.7 * np.exp(0.25 * normal[4]),
        "red_opacity": 3.5 * np.exp(0.25 * normal[5]),
    }
    peak = luminosity(_PEAK_PHASE, R_WAVELENGTH, parameters).max()
    return parameters | {"magnitude": float(-2.5 * np.log10(peak)), "host_dust": 0.05 * rng.exponential()}


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
