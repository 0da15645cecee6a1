"""When and how deep LSST looks: wide-fast-deep fields and a few deep drilling fields.

Notable:
- a wide field has some 80 visits a year, in season, in pairs half an hour apart in neighbouring bands. Pairs
  are drawn so that u g r i z y get about .07 .10 .22 .23 .18 .19 of the visits; u is mounted in dark nights,
  y in bright ones
- a deep field has a sequence of visits in several bands every few nights, 40 s apart within a band, which is
  what the alerts of February and March 2026 look like
- weather belongs to the night and so to all fields
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rtf.alerts.surveys.lsst import LSST
from rtf.simulation.cadence import Visits, moonlight
from rtf.simulation.sky import Place, draw_place, draw_position

_EQUINOX, _YEAR = 58197.68, 365.25  # the Sun crosses right ascension 0 at this date [MJD]; year [day]
SOUTH, NORTH, _LATITUDE = -70.0, 10.0, -30.24  # declinations of the wide fields, latitude of Cerro Pachon
_SIDE = 3.0  # of a field [degree]
#: Single-visit 5-sigma depth in g r i u z y, dark and clear [mag]; what the full Moon takes.
DARK_DEPTH = np.array([24.5, 24.0, 23.4, 23.7, 22.7, 22.0])
_MOON = np.array([0.9, 0.55, 0.3, 1.3, 0.15, 0.05])
SEEING, _SEEING_SCATTER = 0.85, 0.17  # median FWHM in r at the zenith [arcsec], scatter in ln
PIXEL = LSST.pixel
_CLEAR = 0.78  # share of nights
_NIGHTS_BETWEEN = 3.0  # mean number of clear nights without a visit between two nights with one
_PAIR_GAP, _PAIR_SCATTER = 0.023, 0.25  # [day]; scatter in ln
_MIDNIGHT, _HALF_NIGHT = 0.195, 0.17  # solar midnight in Chile [day, UT]; usable half of a night [day]
DARK = 0.4  # illuminated fraction of the Moon up to which u is mounted, else y
#: Pairs of bands and their shares, in dark nights and in bright ones.
_DARK_PAIRS = {"ug": 0.32, "gr": 0.13, "ri": 0.45, "iz": 0.10}
_BRIGHT_PAIRS = {"ri": 0.33, "iz": 0.11, "zy": 0.44, "yy": 0.12}
#: COSMOS, ELAIS S1, XMM-LSS, Extended Chandra Deep Field South, Euclid Deep Field South: ra and dec [degree].
_DEEP = ((150.1, 2.2), (9.45, -44.0), (35.7, -4.8), (53.1, -28.1), (61.2, -48.4))
_DEEP_FIELD = 1 << 20  # number of the first
_DEEP_RADIUS = 1.7  # [degree]
_DEEP_NIGHTS = 3.0  # mean nights between sequences
#: Mean number of visits of a sequence by band, g r i u z y, of which a night has some of the bands.
_SEQUENCE = np.array([7.0, 6.0, 10.0, 5.0, 6.0, 4.0])
_SHORT = 40.0 / 86400  # between exposures of a sequence [day]
_BEFORE, _AFTER = 60, 520


@dataclass(frozen=True)
class LsstCadence:
    """An LSST-like observing log."""

    seed: int = 0
    mjd_start: float = 61000.0  # when sources begin; the log reaches beyond on both sides
    mjd_end: float = 62400.0
    deep: float = 0.15  # share of sources in deep drilling fields

    def span(self) -> tuple[float, float]:
        return self.mjd_start, self.mjd_end

    def draw_place(self, rng: np.random.Generator) -> Place:
        """A line of sight: in a deep field, or uniform over the wide ones."""
        if rng.random() < self.deep:
            k = int(rng.integers(len(_DEEP)))
            ra, dec = _DEEP[k]
            distance, angle = _DEEP_RADIUS * math.sqrt(rng.random()), 2 * math.pi * rng.random()
            ra = (ra + distance * math.sin(angle) / math.cos(math.radians(dec))) % 360
            return draw_place(rng, ra, dec + distance * math.cos(angle), _DEEP_FIELD + k)
        ra, dec = draw_position(rng, SOUTH, NORTH)
        row = int((dec - SOUTH) / _SIDE)
        return draw_place(rng, ra, dec, 128 * row + int(ra / _SIDE))

    def visits(self, place: Place, start: float, end: float) -> Visits:
        """The visits to `place` from `start` to `end` [MJD, TAI]; `fwhm` in pixels of 0.2 arcsec."""
        return _field_log(self, place.field).between(start, end)


def season(mjd: float, ra: float, dec: float) -> tuple[float, float]:
    """Start and end [MJD] of the season nearest to `mjd` in which a field is up at night."""
    opposition = _EQUINOX + ((ra - 180) % 360) / 360 * _YEAR
    middle = opposition + round((mjd - opposition) / _YEAR) * _YEAR
    half = _half_season(dec)
    return middle - half, middle + half


def _half_season(dec: float) -> float:
    return min(max(105.0 - 0.5 * (dec + 30.0), 90.0), 125.0)


def _centre(field: int) -> tuple[float, float]:
    if field >= _DEEP_FIELD:
        return _DEEP[field - _DEEP_FIELD]
    return (field % 128 + 0.5) * _SIDE, SOUTH + (field // 128 + 0.5) * _SIDE


@lru_cache(4)
def _weather(model: LsstCadence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By night: clear or lost, loss of depth to clouds [mag], ln of seeing over the median."""
    count = int(np.ceil(model.mjd_end) - np.floor(model.mjd_start)) + _BEFORE + _AFTER
    rng = np.random.default_rng([model.seed, 1 << 42])
    return (
        rng.random(count) < _CLEAR, 0.08 * rng.exponential(size=count),
        _SEEING_SCATTER * rng.standard_normal(count),
    )  # fmt: skip


@lru_cache(2048)
def _field_log(model: LsstCadence, field: int) -> Visits:
    ra, dec = _centre(field)
    rng = np.random.default_rng([model.seed, 1 << 43, field])
    clear, haze, seeing = _weather(model)
    night = np.floor(model.mjd_start) - _BEFORE + np.arange(len(clear))
    deep = field >= _DEEP_FIELD
    opposition = _EQUINOX + ((ra - 180) % 360) / 360 * _YEAR
    after = (night - opposition + _YEAR / 2) % _YEAR - _YEAR / 2
    up = clear & (np.abs(after) < _half_season(dec))
    chance = 1 / _DEEP_NIGHTS if deep else 1 / (1 + _NIGHTS_BETWEEN)
    nights = np.flatnonzero(up & (rng.random(len(night)) < chance))
    moon = moonlight(night[nights] + _MIDNIGHT)
    times, bands, of_night = [], [], []
    for k, light in zip(nights.tolist(), moon.tolist()):
        hour = float(np.clip(-after[k] / _YEAR + 0.03 * rng.standard_normal(), -_HALF_NIGHT, _HALF_NIGHT))
        draw = _sequence if deep else _pair
        since, band = draw(rng, light)
        times.append(night[k] + _MIDNIGHT + hour + since)
        bands.append(band)
        of_night.append(np.full(len(band), k))
    if not times:
        empty = np.zeros(0)
        return Visits(empty, empty.astype(np.int8), empty, empty, empty, empty.astype(np.int32))
    mjd, band, of_night = np.concatenate(times), np.concatenate(bands), np.concatenate(of_night)
    order = np.lexsort((band, mjd))
    mjd, band, of_night = mjd[order], band[order], of_night[order]
    light, normal = moonlight(mjd), rng.standard_normal((2, len(mjd)))
    airmass = 1 / np.cos(np.radians(min(abs(dec - _LATITUDE), 55.0))) + 0.15 * rng.random(len(mjd))
    colour = (np.array(LSST.wavelength)[band] / 622.3) ** -0.2
    fwhm = SEEING * np.exp(seeing[of_night] + 0.06 * normal[0]) * colour * airmass**0.6
    depth = DARK_DEPTH[band] - _MOON[band] * light**2 * (0.4 + 1.2 * rng.random(len(mjd))) - haze[of_night]
    depth += -2.5 * np.log10(fwhm / (SEEING * colour)) - 0.12 * (airmass - 1) + 0.06 * normal[1]
    columns = depth, fwhm / PIXEL, light, np.full(len(mjd), field, np.int32)
    return Visits(mjd, band.astype(np.int8), *columns)


def _pair(rng: np.random.Generator, moon: float) -> tuple[np.ndarray, np.ndarray]:
    """Days since the first exposure and bands of a pair of visits."""
    pairs = _DARK_PAIRS if moon < DARK else _BRIGHT_PAIRS
    pair = list(pairs)[int(np.searchsorted(np.cumsum(list(pairs.values()))[:-1], rng.random()))]
    pair = pair if rng.random() < 0.5 else pair[::-1]
    gap = _PAIR_GAP * np.exp(_PAIR_SCATTER * rng.standard_normal())
    return np.array([0.0, gap]), np.array([LSST.bands.index(band) for band in pair])


def _sequence(rng: np.random.Generator, moon: float) -> tuple[np.ndarray, np.ndarray]:
    """Days since the first exposure and bands of a night in a deep field."""
    mounted = [0, 1, 2, 4, 3 if moon < DARK else 5]
    chosen = rng.permutation(mounted)[: 1 + rng.integers(4)]
    band = np.concatenate([np.full(1 + rng.poisson(_SEQUENCE[k]), k) for k in chosen])
    since = np.arange(len(band)) * _SHORT + np.cumsum(np.diff(band, prepend=band[0]) != 0) * 3 * _SHORT
    return since, band
