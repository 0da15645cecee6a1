"""Dwarf novae: outbursts of an accretion disc that come back.

An outburst in magnitudes: a rise of `rise` days, a slow decline for `plateau` days, then a steep one; every
few outbursts a longer and brighter superoutburst (Warner 1995; Cannizzo 2012 for the plateau;
Otulakowska-Hypka et al. 2016 for the statistics). Outbursts are hot and blue; quiescence is subtracted with
the reference image.

Parameters (rest frame; these are stars in our Galaxy)
----------
magnitude : of the brightest outburst's light above quiescence, normal(4.5, 0.9) (Patterson 2011)
start [d] : of each outburst (outbursts,)
below [mag] : each outburst's peak below the brightest, half-normal 0.3; superoutbursts 0.5 brighter
plateau [d] : normal outburst log-normal about 3.5 (0.5); superoutburst about 13 (0.25), every third
recurrence [d] : log-normal about 90 (0.9), at least 12
rise [d] : log-normal about 0.8 (0.4)
slope [mag / d] : of the plateau, normal(0.11, 0.03), at least 0.02
decline [mag / d] : after it, log-normal about 0.7 (0.35)
amplitude [mag] : of the brightest outburst above quiescence in r, normal(4.0, 1.2), at least 1.5
temperature [K] : log-normal about 13 000 (0.2)
host_dust [mag] : E(B-V) of the star itself, 0: dust on the way is the Galaxy's
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio

_WATCHED = 400.0  # days


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one dwarf nova, see the file's docstring."""
    normal = rng.standard_normal(7)
    recurrence = max(90 * np.exp(0.9 * normal[0]), 12.0)
    count = int(min(1 + _WATCHED // recurrence, 30))
    start = np.concatenate([[0.0], np.cumsum(recurrence * rng.gamma(9.0, 1 / 9.0, count - 1))])
    start = start[start < _WATCHED - 10]
    count = len(start)
    great = (np.arange(count) + rng.integers(3)) % 3 == 0
    plateau = np.where(great, 13 * np.exp(0.25 * normal[1]), 3.5 * np.exp(0.5 * rng.standard_normal(count)))
    below = 0.3 * np.abs(rng.standard_normal(count)) + np.where(great, 0.0, 0.5)
    return {
        "magnitude": 4.5 + 0.9 * normal[6],
        "start": start,
        "below": below - below.min(),
        "plateau": plateau,
        "rise": 0.8 * np.exp(0.4 * normal[2]),
        "slope": max(0.11 + 0.03 * normal[3], 0.02),
        "decline": 0.7 * np.exp(0.35 * normal[4]),
        "amplitude": max(4.0 + 1.2 * normal[5], 1.5),
        "temperature": 13000 * np.exp(0.2 * rng.standard_normal()),
        "host_dust": 0.0,
    }


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
