"""When and how deep the survey looks at one position: a ZTF-like sequence of visits.

Notable:
- a field is revisited every 1, 2 or 3 nights (partnership, second and first public survey, Bellm et al. 2019,
  2022), in g and r on two nights of three and in one of them on the rest, and in i seldom or not at all
- nights are lost to clouds in spells and to the Moon; a field has a season, and the Sun takes the rest
- depth varies with moonlight (more in g), clouds and airmass
"""

from typing import NamedTuple

import numpy as np

#: A full moon [MJD] and the synodic month [day].
_FULL_MOON, _MONTH = 58149.56, 29.5306
#: The Sun crosses right ascension 0 at this date [MJD]; year [day].
_EQUINOX, _YEAR = 58197.68, 365.25
#: 5-sigma depth of a 30 s exposure in a dark clear night [mag], g, r, i, and what the full Moon takes.
DARK_DEPTH = np.array([20.85, 20.72, 20.00])
_MOON = np.array([1.0, 0.65, 0.4])
#: Shares of fields by nights between visits.
_INTERVALS, _INTERVAL_SHARES = np.array([1, 2, 3]), np.array([0.22, 0.38, 0.40])


class Visits(NamedTuple):
    """Exposures of one position in order of time.

    Attributes
    ----------
    mjd : (V,) float64 [day]
    band : (V,) int8
    depth : (V,) float, 5-sigma limiting magnitude of a point source [mag]
    fwhm : (V,) float, seeing [pixel of 1.01 arcsec]
    moon : (V,) float, illuminated fraction
    """

    mjd: np.ndarray
    band: np.ndarray
    depth: np.ndarray
    fwhm: np.ndarray
    moon: np.ndarray


def draw_position(rng: np.random.Generator) -> tuple[float, float]:
    """Right ascension and declination [degree], uniform over the sky that Palomar sees."""
    low, high = np.sin(np.radians([-28.0, 85.0]))
    return float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(low, high))))


def season(mjd: float, ra: float, dec: float) -> tuple[float, float]:
    """Start and end [MJD] of the season nearest to `mjd` in which a field is up at night."""
    opposition = _EQUINOX + ((ra - 180) % 360) / 360 * _YEAR
    middle = opposition + np.round((mjd - opposition) / _YEAR) * _YEAR
    half = 0.5 * np.clip(215 + 1.3 * dec, 160, 330)
    return float(middle - half), float(middle + half)


def _in_season(night, ra: float, dec: float):
    opposition = _EQUINOX + ((ra - 180) % 360) / 360 * _YEAR
    away = np.abs((night - opposition + _YEAR / 2) % _YEAR - _YEAR / 2)
    half = 0.5 * np.clip(215 + 1.3 * dec, 160, 330)
    return away < half, away / half


def draw_visits(
    rng: np.random.Generator, start: float, end: float, ra: float, dec: float, i_share: float, repeats: float
) -> Visits:
    """The visits between `start` and `end` [MJD] to the field at (`ra`, `dec`) [degree].

    Parameters
    ----------
    i_share : chance that a field is in the i-band survey, with a visit every four nights
    repeats : chance that a visit is repeated within the night in the same band (overlapping fields)
    """
    interval = _INTERVALS[np.searchsorted(np.cumsum(_INTERVAL_SHARES), rng.random() * 0.999999)]
    both = np.clip(0.68 + 0.15 * rng.standard_normal(), 0.3, 1.0)  # how often a night has g and r
    clear_share = 0.64
    night = np.arange(np.floor(start), np.ceil(end))
    count = len(night)
    dice = rng.random((6, count))

    # Scheduling slips: a visit due every `interval` nights comes a night early or late now and then.
    due = (np.arange(count) + int(interval * dice[0, 0])) % interval == 0
    slip = dice[1] < 0.25
    due = (due & ~slip) | (np.roll(due & slip, 1))
    # Clouds come in spells of some days: a two-state chain, its runs laid out at once.
    runs = rng.geometric(np.tile([0.18, 0.18 * clear_share / (1 - clear_share)], count // 2 + 2))
    clear = np.repeat(np.tile([True, False], count // 2 + 2), runs)
    shift = int(dice[0, -1] * 8) if len(clear) >= count + 8 else 0
    clear = clear[shift : shift + count]
    up, edge = _in_season(night, ra, dec)
    keep = np.flatnonzero(due & clear & up)
    if not len(keep):
        empty = np.empty(0)
        return Visits(empty, np.empty(0, np.int8), empty, empty, empty)
    dice, night, edge = dice[:, keep], night[keep], edge[keep]

    pair = dice[2] < both
    first_band = (dice[3] < 0.5).astype(np.int8)
    # A schedule returns to a field at much the same hour.
    hour = np.clip(rng.uniform(0.16, 0.44) + 0.045 * rng.standard_normal(len(night)), 0.10, 0.5)
    gap = np.minimum(1.1 / 24 * np.exp(0.6 * rng.standard_normal(len(night))), 0.2)
    base = night + hour
    mjd, band = [base, (base + gap)[pair]], [first_band, (1 - first_band)[pair]]
    edges = [edge, edge[pair]]
    if rng.random() < i_share:
        red = dice[4] < 0.25
        mjd.append((base - 0.03)[red])
        band.append(np.full(red.sum(), 2, np.int8))
        edges.append(edge[red])
    mjd, band, edge = np.concatenate(mjd), np.concatenate(band), np.concatenate(edges)
    if repeats:
        again = rng.random(len(mjd)) < repeats
        mjd = np.concatenate([mjd, mjd[again] + rng.choice([0.0005, 0.02], again.sum())])
        band, edge = np.concatenate([band, band[again]]), np.concatenate([edge, edge[again]])
    order = np.lexsort((band, mjd))
    mjd, band, edge = mjd[order], band[order], edge[order]

    moon = 0.5 * (1 + np.cos(2 * np.pi * (mjd - _FULL_MOON) / _MONTH))
    normal = rng.standard_normal((2, len(mjd)))
    fwhm = 2.0 * np.exp(0.18 * normal[0]) * (1 + 0.25 * edge**4)
    loss = _MOON[band] * moon**3 * rng.random(len(mjd)) * 1.4 + rng.exponential(0.3, len(mjd))
    depth = DARK_DEPTH[band] - loss - 1.2 * np.log10(fwhm / 2.0) + 0.08 * normal[1] - 0.2 * edge**4
    return Visits(mjd, band, depth, fwhm, moon)
