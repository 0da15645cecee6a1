"""Superluminous supernovae: a new-born magnetar spins down inside the ejecta (Kasen & Bildsten 2010).

The dipole radiates L(t) = (E / t_p) / (1 + t / t_p)², E = 2.6e52 erg P^-2, t_p = 1.3e5 s P² B^-2 (Nicholl
et al. 2017, for 1.4 solar masses), and heats the ejecta through `diffusion.diffused`; later its
gamma rays leak. The photosphere expands until it reaches the floor temperature; the ultraviolet is absorbed
linearly below 3000 Angstrom (the same).
"""

import numpy as np

from rtf.simulation.light_curves.diffusion import DAY, SUN, diffused, diffusion_time, trapped
from rtf.simulation.light_curves.priors import drawn, log_normal, normal, peak_magnitude
from rtf.simulation.light_curves.spectrum import black_body, photosphere

PRIORS = {  # after the posteriors of Nicholl et al. (2017) and Chen et al. (2023)
    "period": log_normal(2.6, 0.45, 0.8),  # P [ms]
    "field": log_normal(0.9, 0.5),  # B [1e14 G]
    "mass": log_normal(5.0, 0.45),  # of the ejecta [Sun]
    "velocity": log_normal(10500.0, 0.2),  # [km/s]
    "opacity": log_normal(0.15, 0.15),  # [cm2/g]
    "gamma_opacity": log_normal(0.03, 0.5),
    "floor": normal(6500.0, 700.0),  # [K]
}
_DUST = 0.06  # dwarf galaxies
_TIME = np.geomspace(0.3, 600.0, 110)
_PEAK_PHASE = np.geomspace(6.0, 160.0, 45)


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one superluminous supernova."""
    parameters = drawn(rng, PRIORS, _DUST)
    return parameters | {"magnitude": peak_magnitude(luminosity, _PEAK_PHASE, parameters)}


def spin_down(age, parameters: dict):
    """What the magnetar radiates [erg / s] (T,) at `age` (T,) [d]; its integral over all time is E."""
    energy = 2.6e52 / parameters["period"] ** 2
    timescale = 1.3e5 * (parameters["period"] / parameters["field"]) ** 2  # [s]
    return energy / timescale / (1 + age * DAY / timescale) ** 2


def bolometric(age, parameters: dict):
    """Bolometric luminosity [erg / s] (T,) at `age` (T,) days after explosion."""
    mass, velocity = parameters["mass"], parameters["velocity"]
    tau = diffusion_time(mass, velocity, parameters["opacity"])
    # Gamma rays leave from an age of 3 kappa M / (4 pi v²) (Wang et al. 2015).
    column = 3 * parameters["gamma_opacity"] * mass * SUN / (4 * np.pi)
    leave = float(np.sqrt(column) / (velocity * 1e5) / DAY)
    light = diffused(_TIME, spin_down(_TIME, parameters), tau) * trapped(_TIME, leave)
    return np.interp(age, _TIME, light)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after explosion."""
    age = np.maximum(phase, _TIME[0])
    light = bolometric(age, parameters)
    temperature = photosphere(light, age, parameters["velocity"], parameters["floor"])
    absorbed = np.minimum(np.asarray(wavelength) / 3000.0, 1.0)
    return np.where(phase > 0, black_body(light, temperature, wavelength) * absorbed, 0.0)
