"""SN Ia: a g, r, i template of the normal type, stretched in time, with the second r and i bump.

A fireball rise (flux grows as time squared, Riess et al. 1999) joins smoothly a table of magnitudes after
explosion; tables are in the shape of published normal SN Ia in these bands (Hsiao et al. 2007; Folatelli et
al. 2010) with nodes adjusted to the medians of the Bright Transient Survey (Fremling et al. 2020). The time
axis is stretched and luminosity follows stretch (Phillips 1993; slope of Guy et al. 2007).

Parameters (rest frame)
-----------------------
stretch : split normal about 0.99, -0.10 and +0.07, in [0.65, 1.25]; the faint tail holds 91bg-likes
magnitude_offset [mag] : -1.4 (stretch - 1) + normal(0, 0.12)
colour [mag] : g - r intrinsic scatter, normal(0, 0.08)
bump : how strong the second r and i maximum is, normal(1, 0.15), and weaker at low stretch (Kasen 2006)
host_dust [mag] : E(B-V), exponential of mean 0.11 (Jha et al. 2007 find 0.15; a magnitude-limited
    sample keeps the unreddened)
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

RISE = 18.0  # rest-frame days from explosion to the phase zero of the tables, at stretch 1

_AGE = np.array([-17.8, -16, -14, -12, -10, -7, -5, -2.5, 0, 2.5, 5, 7.5, 10, 12.5, 15, 17.5, 20, 25, 30, 35,
                 40, 50, 60, 80, 100, 200])  # fmt: skip
_G = np.array([7.0, 3.7, 2.15, 1.25, 0.74, 0.29, 0.13, 0.02, 0.0, 0.05, 0.15, 0.30, 0.49, 0.71, 1.00, 1.26,
               1.50, 1.98, 2.35, 2.60, 2.79, 3.02, 3.20, 3.47, 3.80, 5.5])  # fmt: skip
_R = np.array([7.0, 3.8, 2.20, 1.24, 0.73, 0.29, 0.14, 0.03, 0.0, 0.02, 0.10, 0.23, 0.40, 0.54, 0.64, 0.70,
               0.75, 0.87, 1.15, 1.47, 1.73, 2.10, 2.45, 3.08, 3.55, 5.8])  # fmt: skip
_I = np.array([7.0, 3.6, 2.00, 1.10, 0.66, 0.25, 0.10, 0.00, 0.03, 0.12, 0.26, 0.42, 0.56, 0.66, 0.68, 0.65,
               0.60, 0.53, 0.66, 0.96, 1.26, 1.72, 2.10, 2.85, 3.40, 5.8])  # fmt: skip
#: Without the bump r and i would decline along this straighter path.
_R_SMOOTH = np.interp(_AGE, [-17.8, 7.5, 40, 200], [0, 0.23, 1.73, 5.8])
_I_SMOOTH = np.interp(_AGE, [-17.8, 7.5, 40, 200], [0, 0.42, 1.30, 5.8])
_PEAK = np.array([-0.15, 0.0, 0.55])  # magnitude at phase zero relative to r, redshift 0.06

# A fine linear grid evaluates 20 times faster than the interpolator.
_GRID = np.arange(-17.8, 200.0, 0.25)
_TABLE = np.array([PchipInterpolator(_AGE, node)(_GRID) for node in (_G, _R, _I)])
_BUMP = np.array([
    np.where((_GRID > 7.5) & (_GRID < 40), np.interp(_GRID, _AGE, smooth) - table, 0.0)
    for smooth, table in ((_G, _TABLE[0]), (_R_SMOOTH, _TABLE[1]), (_I_SMOOTH, _TABLE[2]))
])  # fmt: skip
_BUMP[0] = 0.0


def draw(rng: np.random.Generator, kind: str = "") -> dict:
    """Parameters of one SN Ia, see the file's docstring."""
    normal = rng.standard_normal(4)
    stretch = float(np.clip(0.99 + (0.07 if normal[0] > 0 else 0.10) * normal[0], 0.65, 1.25))
    return {
        "stretch": stretch,
        "magnitude_offset": -1.4 * (stretch - 1) + 0.12 * normal[1],
        "colour": 0.08 * normal[2],
        "bump": float(np.clip(1 + 0.15 * normal[3] + 1.5 * (stretch - 1), 0.2, 1.5)),
        "host_dust": 0.11 * rng.exponential(),
    }


def relative_flux(phase, band, parameters: dict, redshift: float):
    """Flux relative to the r-band peak (T,) at `phase` days after explosion."""
    age = phase / parameters["stretch"] - RISE
    place = np.clip((age - _GRID[0]) * 4.0, 0, len(_GRID) - 2)
    cell = place.astype(np.int64)
    part = place - cell
    magnitude = _TABLE[band, cell] * (1 - part) + _TABLE[band, cell + 1] * part
    magnitude = magnitude + (1 - parameters["bump"]) * _BUMP[band, cell]
    # Bands look bluer with redshift, where a SN Ia is fainter: a linear K-correction about redshift 0.06.
    tilt = _PEAK + (parameters["colour"] + 1.8 * (redshift - 0.06)) * np.array([0.5, -0.5, -1.0])
    return np.where(age > _GRID[0], 10 ** (-0.4 * (magnitude + tilt[band])), 0.0)
