"""Superluminous supernovae: a new-born magnetar spins down inside the ejecta (Kasen & Bildsten 2010).

The dipole radiates L(t) = (E / t_p) / (1 + t / t_p)², E = 2.6e52 erg P^-2, t_p = 1.3e5 s P² B^-2 (Nicholl
et al. 2017, for 1.4 solar masses), and heats the ejecta through `diffusion.diffused`; later its
gamma rays leak. The photosphere expands until it reaches the floor temperature; the ultraviolet is absorbed
linearly below 3000 Angstrom (the same).

Parameters (rest frame), after the posteriors of Nicholl et al. (2017) and Chen et al. (2023)
-----------------------
period [ms] : P, log-normal about 2.6 (0.45), at least 0.8
field [1e14 G] : B, log-normal about 0.9 (0.5)
mass [Sun] : of the ejecta, log-normal about 5 (0.45)
velocity [km/s] : log-normal about 10 500 (0.2)
opacity [cm2/g] : log-normal about 0.15 (0.15); gamma rays 0.03 (0.5)
floor [K] : normal(6500, 700)
host_dust [mag] : E(B-V), exponential of mean 0.06: dwarf galaxies
magnitude : peak of the model
"""

import numpy as np

from rtf.simulation.light_curves.diffusion import DAY, SUN, diffused, diffusion_time, trapped
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, black_body, photosphere

_TIME = np.geomspace(0.3, 600.0, 110)
_PEAK_PHASE = np.geomspace(6.0, 160.0, 45)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one superluminous supernova, see the file's docstring."""
    normal = rng.standard_normal(7)
    parameters = {
        "period": max(2.6 * np.exp(0.45 * normal[0]), 0.8),
        "field": 0.9 * np.exp(0.5 * normal[1]),
        "mass": 5.0 * np.exp(0.45 * normal[2]),
        "velocity": 10500 * np.exp(0.2 * normal[3]),
        "opacity": 0.15 * np.exp(0.15 * normal[4]),
        "gamma_opacity": 0.03 * np.exp(0.5 * normal[5]),
        "floor": 6500 + 700 * normal[6],
    }
    peak = luminosity(_PEAK_PHASE, R_WAVELENGTH, parameters).max()
    return parameters | {"magnitude": float(-2.5 * np.log10(peak)), "host_dust": 0.06 * rng.exponential()}


def spin_down(age, parameters: dict):
    """What the magnetar radiates [erg / s] (T,) at `age` (T,) [d]; its integral over all time is E."""
    energy = 2.6e52 / parameters["period"] ** 2
    timescale = 1.3e5 * (parameters["period"] / parameters["field"]) ** 2  # [s]
    return energy / timescale / (1 + age * DAY / timescale) ** 2


def gamma_time(parameters: dict) -> float:
    """Age [d] from which gamma rays leave, of 3 kappa M / (4 pi v²) (Wang et al. 2015)."""
    column = 3 * parameters["gamma_opacity"] * parameters["mass"] * SUN / (4 * np.pi)
    return float(np.sqrt(column) / (parameters["velocity"] * 1e5) / DAY)


def bolometric(age, parameters: dict):
    """Bolometric luminosity [erg / s] (T,) at `age` (T,) days after explosion."""
    tau = diffusion_time(parameters["mass"], parameters["velocity"], parameters["opacity"])
    light = diffused(_TIME, spin_down(_TIME, parameters), tau) * trapped(_TIME, gamma_time(parameters))
    return np.interp(age, _TIME, light)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after explosion."""
    age = np.maximum(phase, _TIME[0])
    light = bolometric(age, parameters)
    temperature = photosphere(light, age, parameters["velocity"], parameters["floor"])
    absorbed = np.minimum(np.asarray(wavelength) / 3000.0, 1.0)
    return np.where(phase > 0, black_body(light, temperature, wavelength) * absorbed, 0.0)
