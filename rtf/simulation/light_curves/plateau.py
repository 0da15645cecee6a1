"""SN II and IIP: fast rise, plateau or linear decline, drop, radioactive tail.

r-band magnitude after the rise (Olivares et al. 2010; Valenti et al. 2016, eq. 1): a straight line of slope
`decline`, a Fermi-Dirac step of depth `drop` at `end` with width `width`, then the decay of 56Co,
0.98 mag / 100 d, included in the line after the step. The rise is 1 - exp(-(t / rise)²)
(rise times of Gonzalez-Gaitan et al. 2015). Colours are a cooling black body that stops at hydrogen
recombination, with iron blanketing in g that grows over the plateau, so that g always declines faster.

Parameters (rest frame)
-----------------------
decline [mag / 100 d] : IIP normal(0.35, 0.25) from -0.3; II (linear) log-normal about 1.7 (0.5)
    (Anderson et al. 2014, V-band s2)
end [d] : IIP normal(105, 11), at least 75; II normal(85, 14), at least 55
drop [mag] : IIP normal(2.0, 0.4); II normal(1.3, 0.5)
width [d] : normal(5, 1.2), at least 2
rise [d] : log-normal about 5 (0.35)
cool_time [d] : of the temperature from 14 000 K to 5 600 K, log-normal about 16 (0.2)
blanketing [mag] : of g, reached over 60 days, normal(0.6, 0.15)
host_dust [mag] : E(B-V), exponential of mean 0.10
"""

import numpy as np

from rtf.simulation.light_curves.blackbody import ratio_to_r

_TAIL = 0.0098  # mag / d, full trapping of 56Co


def draw(rng: np.random.Generator, kind: str = "IIP") -> dict:
    """Parameters of one hydrogen-rich supernova of `kind` IIP or II, see the file's docstring."""
    normal = rng.standard_normal(8)
    plateau = kind == "IIP"
    return {
        "decline": max(0.35 + 0.25 * normal[0], -0.3) if plateau else 1.7 * np.exp(0.5 * normal[0]),
        "end": max(105 + 11 * normal[1], 75.0) if plateau else max(85 + 14 * normal[1], 55.0),
        "drop": max(2.0 + 0.4 * normal[2], 0.8) if plateau else max(1.3 + 0.5 * normal[2], 0.3),
        "width": max(5 + 1.2 * normal[3], 2.0),
        "rise": 5 * np.exp(0.35 * normal[4]),
        "cool_time": 16 * np.exp(0.2 * normal[5]),
        "cool_temperature": 5600 * np.exp(0.05 * normal[6]),
        "blanketing": 0.6 + 0.15 * normal[7],
        "host_dust": 0.10 * rng.exponential(),
    }


def magnitude(age, parameters: dict):
    """r magnitude (T,) relative to the start of the line, without the rise."""
    line = 0.01 * parameters["decline"] * np.minimum(age, parameters["end"])
    line = line + _TAIL * np.maximum(age - parameters["end"], 0.0)
    step = np.clip((age - parameters["end"]) / parameters["width"], -30, 30)
    return line + parameters["drop"] / (1 + np.exp(-step))


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Flux relative to the r-band scale (T,) at `phase` days after explosion."""
    age = np.maximum(phase, 0.0)
    cool = parameters["cool_temperature"]
    temperature = cool + (14000 - cool) * np.exp(-age / parameters["cool_time"])
    blanket = parameters["blanketing"] * np.minimum(age / 60, 1.0)
    rise = -np.expm1(-((age / parameters["rise"]) ** 2))
    fade = magnitude(age, parameters) + np.where(band == 0, blanket, 0.0)
    flux = rise * 10 ** (-0.4 * fade) * ratio_to_r(temperature, band, redshift)
    return np.where(phase > 0, flux, 0.0)
