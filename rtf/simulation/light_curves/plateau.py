"""SN II and IIP: fast rise, plateau or linear decline, drop, radioactive tail.

r-band magnitude after the rise (Olivares et al. 2010; Valenti et al. 2016, eq. 1): a straight line of slope
`decline`, a Fermi-Dirac step of depth `drop` at `end` with width `width`, then the decay of 56Co,
0.98 mag / 100 d, included in the line after the step. At first the hot envelope makes it brighter by
`early` exp(-t / 25 d). The rise is 1 - exp(-(t / rise)²) (rise times of Gonzalez-Gaitan et al. 2015). Colours
are a cooling black body that stops at hydrogen recombination, with iron blanketing in the blue that grows
over the plateau, so that g declines faster.
"""

import numpy as np

from rtf.simulation.light_curves.priors import drawn, log_normal, normal
from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio, blanketing

# Numbers without a source are by 485 real SN II of ZTF, the training split of
# `experiments/real_supernovae.yaml`: their rise and decline, and g - r by days since the first detection
# (-0.03 after 7 days, 0.2 after 20, 0.6 after 35, 0.9 after 70).
_SHARED = {
    "width": normal(5.0, 1.2, 2.0),  # [d]
    "rise": log_normal(8.0, 0.7),  # [d]
    "cool_time": log_normal(14.0, 0.4),  # of the temperature from 20 000 K [d]
    "cool_temperature": log_normal(5600.0, 0.08),  # [K]
    # Of g, reached over 80 days [mag]
    "blanketing": normal(0.4, 0.25, 0.0),
}
_EARLY = {"early": normal(0.25, 0.3, 0.0)}  # [mag]
#: Magnitudes are brighter by 0.5 (decline - typical), at most 1 mag: the fast decliners are the luminous
#: (Li et al. 2011; Anderson et al. 2014).
PRIORS = {
    "IIP": {
        "decline": normal(0.35, 0.25, -0.3),  # [mag / 100 d]
        "end": normal(105.0, 11.0, 75.0),  # [d]
        "drop": normal(2.0, 0.4, 0.8),  # [mag]
        **_SHARED,
        "magnitude": normal(-16.8, 0.8),
        **_EARLY,
    },
    "II": {  # holds linear ones
        # Less `RISING`; Anderson et al. 2014 find -0.5 to 3.5 in V
        "decline": log_normal(0.65, 1.1),
        "end": normal(95.0, 16.0, 55.0),
        "drop": normal(1.3, 0.5, 0.3),
        **_SHARED,
        "magnitude": normal(-17.1, 0.8),
        **_EARLY,
    },
}
RISING = 0.45  # taken off the decline of `II` [mag / 100 d]
_DUST = 0.08
_TAIL = 0.0098  # mag / d, full trapping of 56Co
_PEAK_AGE = np.concatenate([np.arange(2.0, 30.0, 1.0), np.arange(30.0, 150.0, 6.0)])


def draw(rng: np.random.Generator, kind: str) -> dict:
    """Parameters of one hydrogen-rich supernova of `kind` IIP or II."""
    parameters = drawn(rng, PRIORS[kind], _DUST)
    parameters["magnitude"] -= 0.5 * min(parameters["decline"] - PRIORS[kind]["decline"].centre, 2.0)
    if kind == "II":
        parameters["decline"] -= RISING
    return parameters | {"top": float(shape(_PEAK_AGE, parameters).max())}


def magnitude(age, parameters: dict):
    """r magnitude (T,) relative to the start of the line, without the rise."""
    line = 0.01 * parameters["decline"] * np.minimum(age, parameters["end"])
    line = line - parameters["early"] * np.exp(-age / 25)
    line = line + _TAIL * np.maximum(age - parameters["end"], 0.0)
    step = np.clip((age - parameters["end"]) / parameters["width"], -30, 30)
    return line + parameters["drop"] / (1 + np.exp(-step))


def shape(age, parameters: dict):
    """r light (T,) relative to the start of the line, with the rise; its peak is the parameter `top`."""
    return -np.expm1(-((age / parameters["rise"]) ** 2)) * 10 ** (-0.4 * magnitude(age, parameters))


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` rest-frame days after explosion."""
    age = np.maximum(phase, 0.0)
    cool = parameters["cool_temperature"]
    temperature = cool + (20000 - cool) * np.exp(-age / parameters["cool_time"])
    blanket = parameters["blanketing"] * np.minimum(age / 80, 1.0) * blanketing(wavelength)
    light = absolute(parameters["magnitude"] + blanket) / parameters["top"] * shape(age, parameters)
    return light * black_body_ratio(temperature, wavelength)
