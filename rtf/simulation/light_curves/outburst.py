"""Cataclysmic variables: dwarf-nova outbursts that come back, and some novae that do not.

A dwarf nova's outburst in magnitudes: a rise of `rise` days, a slow plateau decline for `plateau` days, then
a steep decline; every few outbursts a longer superoutburst (Warner 1995; Cannizzo 2012 for the plateau;
Otulakowska-Hypka et al. 2016 for the statistics). A nova fades as a power law of time (Strope et al. 2010).
Outbursts are hot and blue; quiescence is subtracted with the reference image.

Parameters (days are the observer's: these are stars in our Galaxy)
----------
nova : 12 % of sources
rise [d] : log-normal about 0.8 (0.4)
plateau [d] : normal outburst log-normal about 3.5 (0.5); superoutburst about 13 (0.25), every third
slope [mag / d] : of the plateau, normal(0.11, 0.03), at least 0.02
decline [mag / d] : after it, log-normal about 0.7 (0.35)
recurrence [d] : log-normal about 90 (0.9), at least 12
peaks [mag] : each outburst's peak below the brightest, half-normal 0.3; superoutbursts 0.5 brighter
amplitude [mag] : above quiescence, normal(4.0, 1.2), at least 1.2; novae 9
temperature [K] : log-normal about 13 000 (0.2); novae 8 000 and H alpha, r brighter by 0.2 mag
"""

import numpy as np

from rtf.simulation.light_curves.blackbody import ratio_to_r


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one cataclysmic variable, see the file's docstring."""
    normal = rng.standard_normal(8)
    nova = rng.random() < 0.12
    recurrence = max(90 * np.exp(0.9 * normal[0]), 12.0)
    count = 1 if nova else int(min(1 + 420 // recurrence, 30))
    start = np.concatenate([[1.0], 1.0 + np.cumsum(recurrence * rng.gamma(9.0, 1 / 9.0, count - 1))])
    great = (np.arange(count) + rng.integers(3)) % 3 == 0
    plateau = np.where(great, 13 * np.exp(0.25 * normal[1]), 3.5 * np.exp(0.5 * rng.standard_normal(count)))
    below = 0.3 * np.abs(rng.standard_normal(count)) + np.where(great, 0.0, 0.5)
    return {
        "nova": float(nova),
        "start": start,
        "plateau": plateau,
        "below": below - below.min(),
        "rise": 0.8 * np.exp(0.4 * normal[2]),
        "slope": max(0.11 + 0.03 * normal[3], 0.02),
        "decline": 0.7 * np.exp(0.35 * normal[4]),
        "amplitude": 9.0 if nova else max(4.0 + 1.2 * normal[5], 1.2),
        "temperature": (8000 if nova else 13000) * np.exp(0.2 * normal[6]),
        "power": 1.4 + 0.2 * normal[7],
        "fade_time": 8 * np.exp(0.6 * normal[1]),
        "host_dust": 0.08 * rng.exponential(),
    }


def relative_flux(phase, band, parameters: dict, redshift: float = 0.0):
    """Flux above quiescence relative to the brightest peak (T,) at `phase` days of watching."""
    if parameters["nova"]:
        age = np.maximum(phase - parameters["start"][0], 0.0)
        light = np.exp(-np.log1p(age / parameters["fade_time"]) * parameters["power"])
        light = light * -np.expm1(-age / parameters["rise"])
    else:
        age = phase - parameters["start"][:, None]  # (outbursts, T)
        after = np.maximum(age - parameters["rise"], 0.0)
        flat = np.minimum(after, parameters["plateau"][:, None])
        steep = np.maximum(after - parameters["plateau"][:, None], 0.0)
        before = 4.0 * np.maximum(parameters["rise"] - age, 0.0) / parameters["rise"]
        fade = (
            parameters["below"][:, None] + before + parameters["slope"] * flat + parameters["decline"] * steep
        )
        quiescent = 10 ** (-0.4 * parameters["amplitude"])
        light = np.maximum((10 ** (-0.4 * fade)).max(0) - quiescent, 0.0)
    h_alpha = np.where((band == 1) & (parameters["nova"] > 0), 10**0.08, 1.0)
    return light * h_alpha * ratio_to_r(parameters["temperature"], band, redshift)
