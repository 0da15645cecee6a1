"""SN Ia: an empirical spectral surface of the normal type, stretched in time, with the second r and i bump.

A fireball rise (flux grows as time squared, Riess et al. 1999) joins a table of magnitudes by age at four
emitted wavelengths, interpolated in log wavelength.
Tables are in the shape of published normal SN Ia (Hsiao et al. 2007; Folatelli et al. 2010; U of Jha et al.
2006), adjusted to the median g and r by phase of 2,450 real SN Ia of ZTF: the training split of
`experiments/real_supernovae.yaml`, none of its test split. Luminosity follows the stretch of the time axis
(Phillips 1993; slope of Guy et al. 2007).
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from rtf.simulation.light_curves.priors import drawn, normal
from rtf.simulation.light_curves.spectrum import R_WAVELENGTH, absolute

RISE = 18.0  # rest-frame days from explosion to the phase zero of the tables, at stretch 1
PRIORS = {
    "stretch": normal(0.0, 1.0),  # about 0.97, in units of 0.10 below and 0.07 above: the tail is 91bg-like
    "magnitude": normal(0.0, 0.12),  # about -19.25 - 1.4 (stretch - 1)
    "colour": normal(0.0, 0.075),  # intrinsic scatter of the slope from 4500 to 6000 A [mag]
    "bump": normal(1.0, 0.15),  # of the second r and i maximum, weaker at low stretch (Kasen 2006)
    "rise": normal(1.0, 0.06),  # the rising part alone is stretched so much more (Miller et al. 2020)
}
#: Mean E(B-V) of dusty and clean hosts [mag], share of the dusty: in the volume, by g - r at the peak
#: of the same real ones (Jha et al. 2007 find 0.15 in a limited sample, which keeps the unreddened).
DUSTY, CLEAN, DUSTY_SHARE = 0.45, 0.08, 0.35

#: Emitted wavelengths of the tables [Angstrom]; the upper three are the survey's bands at redshift 0.06.
_WAVELENGTH = np.array([3500.0, 4477.0, 6006.0, 7386.0])
_AGE = np.array([-17.8, -16, -14, -12, -10, -7, -5, -2.5, 0, 2.5, 5, 7.5, 10, 12.5, 15, 17.5, 20, 25, 30, 35,
                 40, 50, 60, 80, 100, 200])  # fmt: skip
_G = np.array([7.0, 3.8, 2.28, 1.42, 0.90, 0.33, 0.13, 0.02, 0.0, 0.06, 0.16, 0.31, 0.51, 0.73, 1.00, 1.29,
               1.48, 1.94, 2.31, 2.55, 2.76, 3.00, 3.15, 3.42, 3.75, 5.5])  # fmt: skip
_R = np.array([7.0, 3.9, 2.35, 1.38, 0.89, 0.36, 0.18, 0.06, 0.01, 0.0, 0.06, 0.17, 0.32, 0.49, 0.60, 0.67,
               0.73, 0.84, 1.05, 1.34, 1.64, 2.01, 2.33, 2.96, 3.45, 5.8])  # fmt: skip
_I = np.array([7.0, 3.7, 2.14, 1.24, 0.79, 0.28, 0.10, 0.00, 0.03, 0.12, 0.26, 0.42, 0.56, 0.66, 0.68, 0.65,
               0.60, 0.53, 0.66, 0.96, 1.26, 1.72, 2.10, 2.85, 3.40, 5.8])  # fmt: skip
#: The ultraviolet leads and fades faster: U - B grows by 0.6 mag in the two weeks after the peak.
_U = _G + np.interp(_AGE, [-16, -8, -3, 0, 5, 10, 15, 30, 60, 200], [0.1, -0.08, -0.06, 0, 0.16, 0.36, 0.52,
                                                                     0.7, 0.5, 0.4])  # fmt: skip
#: Without the bump r and i would decline along this straighter path, by their rows.
_SMOOTH = {2: [0, 0.22, 1.66, 5.8], 3: [0, 0.42, 1.30, 5.8]}
#: Iron lines take the ultraviolet: so many magnitudes more per e-fold of wavelength below this [Angstrom].
_UV_EDGE, _UV_SLOPE = 3300.0, 4.0
_PEAK = np.array([0.26, -0.18, 0.0, 0.55])  # magnitude at age zero relative to 6006 A

_GRID = np.arange(-17.8, 200.0, 0.25)
_TABLE = np.array([PchipInterpolator(_AGE, node)(_GRID) for node in (_U, _G, _R, _I)]) + _PEAK[:, None]
_INSIDE = (_GRID > 7.5) & (_GRID < 40)
_BUMP = np.zeros_like(_TABLE)
for _row, _path in _SMOOTH.items():
    _smooth = np.interp(_GRID, _AGE, np.interp(_AGE, [-17.8, 7.5, 40, 200], _path))
    _BUMP[_row] = np.where(_INSIDE, _smooth + _PEAK[_row] - _TABLE[_row], 0.0)


def _between(wavelength):
    """Cell and part of it, in log wavelength, extrapolating the outermost slopes."""
    place = np.log(np.asarray(wavelength, float))
    cell = np.clip(np.searchsorted(np.log(_WAVELENGTH), place) - 1, 0, len(_WAVELENGTH) - 2)
    low, high = np.log(_WAVELENGTH)[cell], np.log(_WAVELENGTH)[cell + 1]
    return cell, (place - low) / (high - low)


_cell, _part = _between(R_WAVELENGTH)
_PEAK_AT_R = float(((1 - _part) * _TABLE[_cell] + _part * _TABLE[_cell + 1]).min())


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one SN Ia."""
    parameters = drawn(rng, PRIORS)
    side = parameters["stretch"]
    stretch = float(np.clip(0.97 + (0.07 if side > 0 else 0.10) * side, 0.65, 1.25))
    return parameters | {
        "stretch": stretch,
        "magnitude": -19.25 - 1.4 * (stretch - 1) + parameters["magnitude"],
        "bump": float(np.clip(parameters["bump"] + 1.5 * (stretch - 1), 0.2, 1.5)),
        "rise": float(np.clip(parameters["rise"], 0.75, 1.25)),
        "host_dust": (DUSTY if rng.random() < DUSTY_SHARE else CLEAN) * rng.exponential(),
    }


def luminosity(phase, wavelength, parameters: dict):
    """Spectral luminosity (T,) at `phase` days after explosion and `wavelength`; see `spectrum`."""
    age = phase / parameters["stretch"] - RISE * parameters["rise"]
    age = np.where(age < 0, age / parameters["rise"], age)
    row = np.clip((age - _GRID[0]) * 4.0, 0, len(_GRID) - 1.001)
    early = row.astype(np.int64)
    late_part = row - early
    cell, red_part = _between(wavelength)

    def interpolate(table):
        cells = (cell, cell + 1)
        blue, red = (table[k, early] * (1 - late_part) + table[k, early + 1] * late_part for k in cells)
        return blue * (1 - red_part) + red * red_part

    magnitude = interpolate(_TABLE) + (1 - parameters["bump"]) * interpolate(_BUMP)
    tilt = -parameters["colour"] * np.log(wavelength / R_WAVELENGTH) / np.log(6006 / 4477)
    tilt = tilt + _UV_SLOPE * np.maximum(np.log(_UV_EDGE / wavelength), 0.0)
    light = absolute(parameters["magnitude"] + magnitude - _PEAK_AT_R + tilt)
    return np.where(age > _GRID[0], light, 0.0)
