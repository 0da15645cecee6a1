"""AGN: a damped random walk in magnitude, the same at all wavelengths but larger in the blue.

The walk is a stationary Gaussian process with covariance sigma² exp(-|dt| / tau) (Kelly et al. 2009; MacLeod
et al. 2010), structure function SF² = 2 sigma² (1 - exp(-|dt| / tau)). The survey sees the difference
to a reference image, taken near the mean: half of it is negative. There is no start: the walk goes on before
phase 0. Drawn exactly at the phases asked for, it is another walk at other phases.

Parameters (rest frame)
-----------------------
magnitude : of the nucleus in its mean state, normal(-22.0, 1.2)
tau [d] : log-normal about 150 (0.7), within [20, 1500]
sigma [mag] : at 6366 Angstrom, log-normal about 0.22 (0.4): what reaches an alert stream is more variable
    than the SF_infinity = 0.2 mag of MacLeod et al. (2010)
blue : the amplitude goes as wavelength^-blue, normal(0.6, 0.2) (0.48: MacLeod et al. 2010)
reference [mag] : of the reference image against the mean, normal(0, sigma / 2)
slope : f_nu of the varying light goes as wavelength^slope, normal(0.15, 0.4) (0.44 for all the light: Vanden
    Berk et al. 2001; -0.33 for a disc)
host_dust [mag] : E(B-V), exponential of mean 0.03
seed : of the walk
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one AGN, see the file's docstring."""
    normal = rng.standard_normal(6)
    sigma = 0.22 * np.exp(0.4 * normal[1])
    return {
        "magnitude": -22.0 + 1.2 * normal[5],
        "tau": float(np.clip(150 * np.exp(0.7 * normal[0]), 20, 1500)),
        "sigma": sigma,
        "blue": 0.6 + 0.2 * normal[2],
        "reference": 0.5 * sigma * normal[3],
        "slope": 0.15 + 0.4 * normal[4],
        "host_dust": 0.03 * rng.exponential(),
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
