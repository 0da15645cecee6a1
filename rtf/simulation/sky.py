"""Where on the sky, and what: positions, Galactic latitude, the dust of the Milky Way, and events.

Notable:
- scalars go through `math`, which is ten times faster for them than NumPy
- no dust map is shipped: E(B-V) is a plane-parallel disc with log-normal patches, which has the right median
  (0.03 mag at the pole) and the right trend, not the right clouds
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: Extinction in g, r, i per E(B-V), R_V = 3.1 (Schlafly & Finkbeiner 2011, table 6) [mag].
EXTINCTION = np.array([3.172, 2.271, 1.682])
#: Scale height of the dust [kpc], and E(B-V) towards the pole [mag] (Schlegel, Finkbeiner & Davis 1998).
DUST_HEIGHT, DUST_POLE, _PATCHES = 0.12, 0.03, 0.4
#: Half the thickness seen edge-on, in scale heights: what the disc's radius leaves of 1 / sin 0.
_EDGE = 20.0
_POLE_RA, _POLE_DEC = 192.85948, 27.12825  # the north Galactic pole, J2000 [degree]
_SOUTH, _NORTH = -28.0, 85.0  # what Palomar sees [degree]


class Place(NamedTuple):
    """A line of sight."""

    ra: float  # [degree]
    dec: float
    latitude: float  # Galactic [degree]
    dust: float  # E(B-V) of the Milky Way through its whole disc [mag]
    field: int  # of the survey's grid, or of the user's log


class Event(NamedTuple):
    """The light of one source, above the atmosphere, as a light-curve backend draws it."""

    name: str  # class (`rtf.classes.FINE`)
    redshift: float  # 0 for stars of our Galaxy
    distance_modulus: float  # [mag]
    magnitude: float  # apparent AB, of the brightest difference flux in r, dust included; of AGN, nucleus
    duration: float  # observer-frame days after its start for which it is watched
    #: (days since its start (V,) ascending, band (V,) int) -> (V,) difference flux, dust included, with zero
    #: point 25; negative where fainter than the reference
    flux: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parameters: dict  # of the light-curve model


def galactic_latitude(ra: float, dec: float) -> float:
    """Galactic latitude [degree] of an ICRS position [degree]."""
    dec, pole = math.radians(dec), math.radians(_POLE_DEC)
    cosine = math.cos(dec) * math.cos(pole) * math.cos(math.radians(ra - _POLE_RA))
    return math.degrees(math.asin(max(-1.0, min(1.0, math.sin(dec) * math.sin(pole) + cosine))))


def draw_position(
    rng: np.random.Generator, south: float = _SOUTH, north: float = _NORTH
) -> tuple[float, float]:
    """Right ascension and declination [degree], uniform between two declinations: what Palomar sees."""
    low, high = math.sin(math.radians(south)), math.sin(math.radians(north))
    return 360 * rng.random(), math.degrees(math.asin(low + (high - low) * rng.random()))


def draw_place(rng: np.random.Generator, ra: float, dec: float, field: int) -> Place:
    """The line of sight at a position, with its share of dust."""
    latitude = galactic_latitude(ra, dec)
    dust = DUST_POLE / _thickness(latitude) * math.exp(_PATCHES * rng.standard_normal())
    return Place(ra, dec, latitude, dust, field)


def dust_before(place: Place, distance: float) -> float:
    """E(B-V) [mag] in front of a star at `distance` [kpc]."""
    return place.dust * -math.expm1(-distance * _thickness(place.latitude) / DUST_HEIGHT)


def _thickness(latitude: float) -> float:
    """Height gained per distance along a line of sight."""
    return max(abs(math.sin(math.radians(latitude))), 1 / _EDGE)
