"""SN II and IIP: fast rise, plateau or linear decline, drop, radioactive tail.

r-band magnitude after the rise (Olivares et al. 2010; Valenti et al. 2016, eq. 1): a straight line of slope
`decline`, a Fermi-Dirac step of depth `drop` at `end` with width `width`, then the decay of 56Co,
0.98 mag / 100 d, included in the line after the step. At first the hot envelope makes it brighter by
`early` exp(-t / 12 d). The rise is 1 - exp(-(t / rise)²) (rise times of Gonzalez-Gaitan et al. 2015). Colours
are a cooling black body that stops at hydrogen recombination, with iron blanketing in the blue that grows
over the plateau, so that g declines faster.

Parameters (rest frame)
-----------------------
decline [mag / 100 d] : IIP normal(0.35, 0.25) from -0.3; II, which holds linear ones, log-normal about
    1.1 (0.6) (Anderson et al. 2014, V-band s2; 16 real SN II fade by 0.44 mag in r within 50 days, 16 % more
    than 1.2)
early [mag] : normal(0.4, 0.2), at least 0 (29 real ones fade by 0.25 mag in r within 15 days)
magnitude : IIP normal(-16.8, 0.8), II normal(-17.1, 0.8), and brighter by 0.5 (decline - typical), at most
    1 mag: the fast decliners are the luminous (Li et al. 2011; Anderson et al. 2014)
end [d] : IIP normal(105, 11), at least 75; II normal(85, 14), at least 55
drop [mag] : IIP normal(2.0, 0.4); II normal(1.3, 0.5)
width [d] : normal(5, 1.2), at least 2
rise [d] : log-normal about 5 (0.35)
cool_time [d] : of the temperature from 14 000 K to 5 600 K, log-normal about 16 (0.2)
blanketing [mag] : of g, reached over 80 days, normal(0.65, 0.15) see `spectrum.blanketing`
    (g - r of 10 real ones: 0.5 after 15 days, 0.7 after 30, 1.0 after 60, with dust)
host_dust [mag] : E(B-V), exponential of mean 0.10
"""

import numpy as np

from rtf.simulation.light_curves.spectrum import absolute, black_body_ratio, blanketing

_TAIL = 0.0098  # mag / d, full trapping of 56Co
_PEAK_AGE = np.concatenate([np.arange(2.0, 30.0, 1.0), np.arange(30.0, 150.0, 6.0)])


def draw(rng: np.random.Generator, kind: str = "IIP") -> dict:
    """Parameters of one hydrogen-rich supernova of `kind` IIP or II, see the file's docstring."""
    normal = rng.standard_normal(10)
    plateau = kind == "IIP"
    typical = 0.35 if plateau else 1.1
    decline = max(0.35 + 0.25 * normal[0], -0.3) if plateau else 1.1 * np.exp(0.6 * normal[0])
    parameters = {
        "magnitude": (-16.8 if plateau else -17.1) + 0.8 * normal[8] - 0.5 * min(decline - typical, 2.0),
        "decline": decline,
        "early": max(0.4 + 0.2 * normal[9], 0.0),
        "end": max(105 + 11 * normal[1], 75.0) if plateau else max(85 + 14 * normal[1], 55.0),
        "drop": max(2.0 + 0.4 * normal[2], 0.8) if plateau else max(1.3 + 0.5 * normal[2], 0.3),
        "width": max(5 + 1.2 * normal[3], 2.0),
        "rise": 5 * np.exp(0.35 * normal[4]),
        "cool_time": 16 * np.exp(0.2 * normal[5]),
        "cool_temperature": 5600 * np.exp(0.05 * normal[6]),
        "blanketing": max(0.65 + 0.15 * normal[7], 0.0),
        "host_dust": 0.10 * rng.exponential(),
    }
    return parameters | {"top": float(shape(_PEAK_AGE, parameters).max())}


def magnitude(age, parameters: dict):
    """r magnitude (T,) relative to the start of the line, without the rise."""
    line = 0.01 * parameters["decline"] * np.minimum(age, parameters["end"])
    line = line - parameters["early"] * np.exp(-age / 12)
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
    temperature = cool + (14000 - cool) * np.exp(-age / parameters["cool_time"])
    blanket = parameters["blanketing"] * np.minimum(age / 80, 1.0) * blanketing(wavelength)
    light = absolute(parameters["magnitude"] + blanket) / parameters["top"] * shape(age, parameters)
    return light * black_body_ratio(temperature, wavelength)
