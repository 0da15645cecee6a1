"""AGN: a damped random walk in magnitude, the same at all wavelengths but larger in the blue.

The walk is a stationary Gaussian process with covariance sigma² exp(-|dt| / tau) (Kelly et al. 2009; MacLeod
et al. 2010). The survey sees the difference to a reference image, taken near the mean, of either sign. There
is no start: the walk goes on before phase 0. Drawn at other phases it is another walk.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute

PRIORS = {
    "tau": log_normal(150.0, 0.7, 20.0),  # [d], at most 1500
    # [mag] at 6366 Angstrom: what reaches an alert stream is more variable than the SF_infinity = 0.2 mag of
    # MacLeod et al. (2010)
    "sigma": log_normal(0.22, 0.4),
    "blue": normal(0.6, 0.2),  # amplitude ∝ wavelength^-blue (0.48: MacLeod et al. 2010)
    "reference": normal(0.0, 0.5),  # reference image against the mean, in units of sigma
    # Varying f_nu ∝ wavelength^slope (0.44 for all the light: Vanden Berk et al. 2001; -0.33 for a disc)
    "slope": normal(0.15, 0.4),
    "magnitude": normal(-22.0, 1.2),  # of the nucleus in its mean state
}
_DUST = 0.03


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one AGN, `reference` in mag, and the seed of its walk."""
    parameters = drawn(rng, PRIORS, _DUST)
    return parameters | {
        "tau": float(min(parameters["tau"], 1500)),
        "reference": parameters["reference"] * parameters["sigma"],
        "seed": int(rng.integers(2**62)),
    }


def damped_random_walk(time, tau: float, rng: np.random.Generator):
    """A walk of unit variance at ascending `time` (T,), exact at any spacing (Kelly et al. 2009, eq. 4)."""
    kick = rng.standard_normal(len(time))
    memory = np.exp(-np.diff(time, prepend=-np.inf) / tau)
    kick *= np.sqrt(1 - memory**2)
    walk, value = [], 0.0
    for m, e in zip(memory.tolist(), kick.tolist()):
        value = m * value + e
        walk.append(value)
    return np.array(walk)


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,), of either sign, that the nucleus has more than in the reference image."""
    walk = damped_random_walk(phase, parameters["tau"], np.random.default_rng(parameters["seed"]))
    ratio = wavelength / R_WAVELENGTH
    gain = ratio ** -parameters["blue"]
    level = absolute(gain * parameters["sigma"] * walk)
    reference = absolute(gain * parameters["reference"])
    return absolute(parameters["magnitude"]) * (level - reference) * ratio ** parameters["slope"]
