"""AGN: a damped random walk in magnitude, the same in all bands but larger in the blue.

The walk is a stationary Gaussian process with covariance sigma² exp(-|dt| / tau) (Kelly et al. 2009; MacLeod
et al. 2010), structure function SF² = 2 sigma² (1 - exp(-|dt| / tau)). The survey sees the difference
to a reference image, taken near the mean: half of it is negative, and a survey of positive subtractions
loses that half.

Parameters (rest frame)
-----------------------
tau [d] : log-normal about 150 (0.7), within [20, 1500]
sigma [mag] : in r, log-normal about 0.22 (0.4): what reaches an alert stream is more variable than the
    SF_infinity = 0.2 mag of MacLeod et al. (2010)
blue : amplitude in g over r, normal(1.2, 0.06); i over r is its inverse (Wilhite et al. 2005)
reference [mag] : of the reference image against the mean, normal(0, sigma / 2)
colour [mag] : g - r of the varying light, normal(0.05, 0.12)
seed : of the walk itself; a walk depends on the times it is asked for
"""

import numpy as np


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one AGN, see the file's docstring."""
    normal = rng.standard_normal(5)
    sigma = 0.22 * np.exp(0.4 * normal[1])
    return {
        "tau": float(np.clip(150 * np.exp(0.7 * normal[0]), 20, 1500)),
        "sigma": sigma,
        "blue": 1.2 + 0.06 * normal[2],
        "reference": 0.5 * sigma * normal[3],
        "colour": 0.05 + 0.12 * normal[4],
        "seed": int(rng.integers(2**62)),
    }


def damped_random_walk(time, tau: float, rng: np.random.Generator):
    """A walk of unit variance at ascending `time` (T,), exact at any spacing (Kelly et al. 2009, eq. 4)."""
    walk = np.empty(len(time))
    kick = rng.standard_normal(len(time))
    memory = np.exp(-np.diff(time, prepend=-np.inf) / tau)
    kick *= np.sqrt(1 - memory**2)
    value = 0.0
    for k, (m, e) in enumerate(zip(memory.tolist(), kick.tolist())):
        value = m * value + e
        walk[k] = value
    return walk


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Difference flux relative to the nucleus in r (T,), of either sign."""
    walk = damped_random_walk(phase, parameters["tau"], np.random.default_rng(parameters["seed"]))
    gain = np.array([parameters["blue"], 1.0, 1 / parameters["blue"]])[band]
    colour = np.array([parameters["colour"], 0.0, -parameters["colour"]])[band]
    level = 10 ** (-0.4 * gain * parameters["sigma"] * walk)
    reference = 10 ** (-0.4 * gain * parameters["reference"])
    return (level - reference) * 10 ** (-0.4 * colour)
