"""Dwarf novae: outbursts of an accretion disc that come back.

An outburst in magnitudes: a rise, a slow decline for `plateau` days, then a steep one; every third is a
longer and brighter superoutburst (Warner 1995; Cannizzo 2012 for the plateau; Otulakowska-Hypka et al. 2016
for the statistics). Outbursts are hot and blue; quiescence is subtracted with the reference image.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio

PRIORS = {
    "recurrence": log_normal(90.0, 0.9, 12.0),  # [d]
    "great_plateau": log_normal(13.0, 0.25),  # of superoutbursts [d]
    "rise": log_normal(0.8, 0.4),  # [d]
    "slope": normal(0.11, 0.03, 0.02),  # of the plateau [mag / d]
    "decline": log_normal(0.7, 0.35),  # after it [mag / d]
    "amplitude": normal(4.0, 1.2, 1.5),  # of the brightest outburst above quiescence in r [mag]
    "magnitude": normal(4.5, 0.9),  # of the brightest outburst's light above quiescence (Patterson 2011)
}
_WATCHED = 400.0  # days


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one dwarf nova.

    Of each outburst `start` and `plateau` [d], and its peak `below` the brightest [mag]: half-normal 0.3,
    superoutbursts 0.5 brighter. Dust on the way is the Galaxy's.
    """
    parameters = drawn(rng, PRIORS)
    recurrence, great_plateau = parameters.pop("recurrence"), parameters.pop("great_plateau")
    count = int(min(1 + _WATCHED // recurrence, 30))
    start = np.concatenate([[0.0], np.cumsum(recurrence * rng.gamma(9.0, 1 / 9.0, count - 1))])
    start = start[start < _WATCHED - 10]
    great = (np.arange(len(start)) + rng.integers(3)) % 3 == 0
    plateau = np.where(great, great_plateau, 3.5 * np.exp(0.5 * rng.standard_normal(len(start))))
    below = 0.3 * np.abs(rng.standard_normal(len(start))) + np.where(great, 0.0, 0.5)
    temperature = 13000 * np.exp(0.2 * rng.standard_normal())  # [K]
    outbursts = {"start": start, "below": below - below.min(), "plateau": plateau}
    return parameters | outbursts | {"temperature": temperature}


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) above quiescence at `phase` days after the first outburst begins."""
    age = phase - parameters["start"][:, None]  # (outbursts, T)
    after = age - parameters["rise"]
    flat = np.clip(after, 0.0, parameters["plateau"][:, None])
    below = parameters["below"][:, None]
    fade = below + parameters["slope"] * flat
    fade += parameters["decline"] * np.maximum(after - parameters["plateau"][:, None], 0.0)
    # The rise starts from quiescence.
    fade -= np.maximum(parameters["amplitude"] - below, 0.3) * np.minimum(after, 0.0) / parameters["rise"]
    quiescent = absolute(parameters["amplitude"])
    light = np.maximum(absolute(fade.min(0)) - quiescent, 0.0) / (1 - quiescent)
    return absolute(parameters["magnitude"]) * light * black_body_ratio(parameters["temperature"], wavelength)
