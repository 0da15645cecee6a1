"""When and how deep the survey looks: an observing log of fields, drawn from a model or given by the user.

Notable:
- a cadence has `draw_place(rng) -> Place`, a line of sight that it observes,
  `visits(place, start, end) -> Visits`, and `span()`, when sources can begin in it [MJD]
- the model: a field of 7 degrees is revisited every 1, 2 or 3 nights (partnership, second and first public
  survey, Bellm et al. 2019, 2022), in g and r on most nights and in one of them on the rest, and in i seldom
  or not at all. Clouds and seeing belong to the night, and so to all fields; the Moon takes depth, more in g;
  a field has a season
- shares, hours and depths are by 2,450 real SN Ia of ZTF, the training split of
  `experiments/real_supernovae.yaml`, after a first setting by those of the Bright Transient Survey
- a field's log is drawn when it is first asked for, from the seed and the field's number
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from rtf.alerts.surveys import survey_named
from rtf.simulation.sky import Place, draw_place, draw_position

_FULL_MOON, _MONTH = 58149.56, 29.5306  # a full moon [MJD] and the synodic month [day]
_EQUINOX, _YEAR = 58197.68, 365.25  # the Sun crosses right ascension 0 at this date [MJD]; year [day]
#: 5-sigma depth of a 30 s exposure in a dark clear night [mag], g, r, i, and what the full Moon takes.
DARK_DEPTH = np.array([21.2, 21.05, 20.1])
_MOON = np.array([1.21, 0.91, 0.5])
#: Shares of fields by nights between visits.
_INTERVALS, _INTERVAL_SHARES = np.array([1, 2, 3]), np.array([0.1, 0.6, 0.3])
#: Solar midnight at Palomar [day, UT], and a winter solstice [MJD].
_MIDNIGHT, _SOLSTICE = 0.307, 58108.7
#: Side of a field, declination of the lowest row and latitude of Palomar [degree]; median seeing in r at the
#: zenith [pixel of 1.01 arcsec].
FIELD_SIDE, _SOUTHERNMOST, _LATITUDE, SEEING = 7.0, -28.0, 33.36, 2.0
#: Mean length of spells of clear nights, of lost ones, of the few long losses, and the share of those.
FAIR_SPELL, FOUL_SPELL, LONG_SPELL, LONG_SHARE = 5.7, 1.8, 7.1, 0.13
#: Median loss of depth to haze by night, how much of it the next night has, and mean loss by visit [mag];
#: share of nights with both g and r, its scatter between seasons; scatter of the hour of the first exposure
#: [day].
NIGHT_LOSS, NIGHT_MEMORY, VISIT_LOSS = 0.31, 0.67, 0.19
PAIRS, PAIRS_SCATTER, HOUR_SCATTER = 0.73, 0.25, 0.022
REPEAT_GAP = (-3.2, -1.4)  # log10 of the time between repeated exposures of a band [day], uniform
#: Half the length of the usable night, mean and seasonal amplitude, and hour angles of fields [day].
HALF_NIGHT, HALF_NIGHT_SEASON, HOUR_ANGLES = 0.178, 0.05, (-0.08, 0.15)
SLIPS = 0.2  # share of visits that come a night late
SEASON_LAG = 8.0  # days after opposition at which seasons have their middle
#: Median time between the exposures of a pair [day], and its scatter (ln), within a season and between them.
PAIR_GAP, PAIR_GAP_SCATTER, PAIR_GAP_SEASONS = 0.048, 0.4, 0.25
_BEFORE, _AFTER = 60, 520  # nights before and after the survey's own for which the log is drawn


class Visits(NamedTuple):
    """Exposures of one position in order of time, (V,) each."""

    mjd: np.ndarray  # float64 [day]
    band: np.ndarray  # int8
    depth: np.ndarray  # 5-sigma limiting magnitude of a point source [mag]
    fwhm: np.ndarray  # seeing [pixel of 1.01 arcsec]
    moon: np.ndarray  # illuminated fraction
    field: np.ndarray  # int32

    def between(self, start: float, end: float) -> "Visits":
        """The visits from `start` to `end` [MJD]."""
        rows = slice(*np.searchsorted(self.mjd, [start, end]))
        return Visits(*(column[rows] for column in self))


def moonlight(mjd):
    """Illuminated fraction of the Moon."""
    return 0.5 * (1 + np.cos(2 * np.pi * (mjd - _FULL_MOON) / _MONTH))


def season(mjd: float, ra: float, dec: float) -> tuple[float, float]:
    """Start and end [MJD] of the season nearest to `mjd` in which a field is up at night."""
    opposition = _EQUINOX + SEASON_LAG + ((ra - 180) % 360) / 360 * _YEAR
    middle = opposition + round((mjd - opposition) / _YEAR) * _YEAR
    half = _half_season(dec)
    return middle - half, middle + half


def _half_season(dec: float) -> float:
    return 0.5 * min(max(195 + 1.2 * dec, 145.0), 300.0)


#: Declination of each row of fields [degree], fields in it, and number of its first.
_ROWS = [_SOUTHERNMOST + k * FIELD_SIDE for k in range(17)]
_COUNT = [max(math.ceil(360 * math.cos(math.radians(dec)) / FIELD_SIDE), 1) for dec in _ROWS]
_FIRST = [sum(_COUNT[:k]) for k in range(len(_COUNT))]


def field_of(ra: float, dec: float) -> int:
    """Number of the field whose centre is nearest in declination, then in right ascension [degree]."""
    row = min(max(round((dec - _SOUTHERNMOST) / FIELD_SIDE), 0), len(_ROWS) - 1)
    return _FIRST[row] + int(ra / 360 * _COUNT[row]) % _COUNT[row]


def field_centre(field: int) -> tuple[float, float]:
    """Right ascension and declination [degree] of a field of the grid."""
    row = bisect_right(_FIRST, field) - 1
    return (field - _FIRST[row] + 0.5) / _COUNT[row] * 360, _ROWS[row]


@dataclass(frozen=True)
class ObservingModel:
    """A ZTF-like observing log."""

    seed: int = 0
    mjd_start: float = 58800.0  # when sources begin; the log reaches beyond on both sides
    mjd_end: float = 60200.0
    i_share: float = 0.05  # chance that a field is in the i-band survey, with a visit every four nights
    repeats: float = 0.14  # mean chance, by field and season, of a second visit in the night and band

    def span(self) -> tuple[float, float]:
        return self.mjd_start, self.mjd_end

    def draw_place(self, rng: np.random.Generator) -> Place:
        """A line of sight, uniform over the sky that Palomar sees."""
        ra, dec = draw_position(rng)
        return draw_place(rng, ra, dec, field_of(ra, dec))

    def visits(self, place: Place, start: float, end: float) -> Visits:
        """The visits to `place` from `start` to `end` [MJD]."""
        return _field_log(self, place.field).between(start, end)


@lru_cache(4)
def _weather(model: ObservingModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By night from `_BEFORE` nights before the survey: clear or lost, loss of depth [mag], ln of seeing."""
    count = int(np.ceil(model.mjd_end) - np.floor(model.mjd_start)) + _BEFORE + _AFTER
    rng = np.random.default_rng([model.seed, 1 << 40])
    # Clouds come in spells of some days, a few of them long.
    fair = rng.geometric(1 / FAIR_SPELL, count)
    foul = rng.geometric(1 / np.where(rng.random(count) < LONG_SHARE, LONG_SPELL, FOUL_SPELL))
    clear = np.repeat(np.tile([True, False], count), np.stack([fair, foul], 1).reshape(-1))[:count]
    # Haze remembers `NIGHT_MEMORY` of itself from night to night, at unit variance.
    kick = np.sqrt(1 - NIGHT_MEMORY**2) * rng.standard_normal(count)
    haze = lfilter([1.0], [1.0, -NIGHT_MEMORY], kick)
    return (clear, NIGHT_LOSS * np.exp(0.9 * haze), 0.12 * rng.standard_normal(count))


@lru_cache(2048)
def _field_log(model: ObservingModel, field: int) -> Visits:
    ra, dec = field_centre(field)
    rng = np.random.default_rng([model.seed, 1 << 41, field])
    clear, haze, seeing = _weather(model)
    count = len(clear)
    night = np.floor(model.mjd_start) - _BEFORE + np.arange(count)
    dice = rng.random((5, count))

    # The programme of a field changes from season to season.
    opposition = _EQUINOX + ((ra - 180) % 360) / 360 * _YEAR
    year = np.round((night - opposition) / _YEAR).astype(int)
    year -= year.min()
    years = year.max() + 1
    interval = rng.choice(_INTERVALS, years, p=_INTERVAL_SHARES)[year]
    both = np.clip(PAIRS + PAIRS_SCATTER * rng.standard_normal(years), 0.1, 1.0)[year]  # nights with g and r
    first = rng.uniform(0.15, 0.75, years)[year]  # chance that r comes first, or alone
    hour_angle = rng.uniform(*HOUR_ANGLES, years)[year]
    pair_gap = PAIR_GAP * np.exp(PAIR_GAP_SEASONS * rng.standard_normal(years))[year]
    spread = HOUR_SCATTER * np.exp(0.4 * rng.standard_normal(years))[year]

    # Scheduling slips: a visit due every `interval` nights comes a night late now and then.
    due = (np.arange(count) + (interval * dice[0, 0]).astype(int)) % interval == 0
    slip = dice[1] < SLIPS
    due = (due & ~slip) | np.roll(due & slip, 1)
    after = (night - opposition + _YEAR / 2) % _YEAR - _YEAR / 2  # days after opposition
    keep = np.flatnonzero(due & clear & (np.abs(after - SEASON_LAG) < _half_season(dec)))
    dice, night, after, both = dice[:, keep], night[keep], after[keep], both[keep]
    edge = np.abs(after - SEASON_LAG) / _half_season(dec)

    pair = dice[2] < both
    first_band = (dice[3] < first[keep]).astype(np.int8)
    # The first exposure comes at much the same hour angle, 4 minutes earlier every night, or else at what is
    # nearest of the night; `middle` is how far from dusk and dawn that is, 0 to 1.
    half = HALF_NIGHT + HALF_NIGHT_SEASON * np.cos(2 * np.pi * (night - _SOLSTICE) / _YEAR)
    wanted = hour_angle[keep] - after / _YEAR
    scatter = rng.standard_normal(len(night)) * spread[keep]
    hour = np.clip(half * np.tanh(wanted / half) + scatter, -half, half)
    base, middle = night + (_MIDNIGHT + hour), 1 - (hour / half) ** 2
    gap = pair_gap[keep] * (0.82 + 0.4 * middle) * np.exp(PAIR_GAP_SCATTER * rng.standard_normal(len(night)))
    gap = np.minimum(gap, 0.2)
    red = (dice[4] < 0.25) & (rng.random() < model.i_share)
    order = np.concatenate([np.arange(len(night)), np.flatnonzero(pair), np.flatnonzero(red)])
    mjd = np.concatenate([base, (base + gap)[pair], (base - 0.03)[red]])
    band = np.concatenate([first_band, 1 - first_band[pair], np.full(red.sum(), 2)]).astype(np.int8)
    often = (model.repeats * rng.exponential(size=years))[year][keep][order]
    again = np.flatnonzero(rng.random(len(mjd)) < often)
    mjd = np.concatenate([mjd, mjd[again] + 10 ** rng.uniform(*REPEAT_GAP, len(again))])
    band, order = np.concatenate([band, band[again]]), np.concatenate([order, order[again]])
    by_time = np.lexsort((band, mjd))
    mjd, band, order = mjd[by_time], band[by_time], order[by_time]

    edge, night_number = edge[order], keep[order]
    moon = moonlight(mjd)
    normal = rng.standard_normal((2, len(mjd)))
    fwhm = SEEING * np.exp(seeing[night_number] + 0.13 * normal[0]) * (1 + 0.25 * edge**4)
    fwhm *= np.cos(np.radians(min(abs(dec - _LATITUDE), 60.0))) ** -0.4
    loss = _MOON[band] * moon**3 * (0.4 + 1.2 * rng.random(len(mjd))) + rng.exponential(VISIT_LOSS, len(mjd))
    depth = DARK_DEPTH[band] - loss - haze[night_number] - 1.2 * np.log10(fwhm / SEEING)
    depth += 0.08 * normal[1] - 0.2 * edge**4
    return Visits(_julian(mjd), band, depth, fwhm, moon, np.full(len(mjd), field, np.int32))


def _julian(mjd: np.ndarray) -> np.ndarray:
    """Times that survive the way through a Julian date, in which alerts are sent, to the bit."""
    return (mjd + 2400000.5) - 2400000.5


@dataclass(frozen=True)
class VisitLog:
    """A log of the user's own: parquet or CSV, one row a visit.

    Columns are `mjd` [day], `band` (the survey's letters; of ZTF also 1, 2, 3), `limmag` (5-sigma limiting
    magnitude), the pointing as `ra`, `dec` [degree] or, where every source of a field is seen in all its
    visits, as a number `field`; optionally `fwhm` [arcsec]. A pointing sees sources within `radius` [degree].
    An SQLite file (.db, .sqlite) is a run of Rubin's OpSim, with its table `observations`.
    """

    path: str
    radius: float = 3.5
    survey: str = "ztf"

    def span(self) -> tuple[float, float]:
        """First and last visit of the log [MJD]."""
        mjd = _read_log(self.path, self.survey).visits.mjd
        return float(mjd[0]), float(mjd[-1])

    def draw_place(self, rng: np.random.Generator) -> Place:
        """A line of sight within a random pointing, or in a random field, at a random position."""
        table = _read_log(self.path, self.survey)
        k = int(rng.integers(len(table.number)))
        if table.centre is None:
            return draw_place(rng, *draw_position(rng), int(table.number[k]))
        ra, dec = table.centre[k]
        distance, angle = np.radians(self.radius) * np.sqrt(rng.random()), 2 * np.pi * rng.random()
        east, north = distance * np.sin(angle), distance * np.cos(angle)
        sine = np.sin(np.radians(dec)) * np.cos(distance) + np.cos(np.radians(dec)) * north
        dec_here = float(np.degrees(np.arcsin(np.clip(sine, -1, 1))))
        ra_here = (ra + np.degrees(east) / max(np.cos(np.radians(dec_here)), 1e-3)) % 360
        return draw_place(rng, float(ra_here), dec_here, int(table.number[k]))

    def visits(self, place: Place, start: float, end: float) -> Visits:
        """The visits to `place` from `start` to `end` [MJD]."""
        table = _read_log(self.path, self.survey)
        if table.centre is None:
            seen = table.visits.field == place.field
        else:
            ra, dec = np.radians(table.centre.T)
            here = np.radians([place.ra, place.dec])
            cosine = np.sin(dec) * np.sin(here[1]) + np.cos(dec) * np.cos(here[1]) * np.cos(ra - here[0])
            near = table.number[cosine >= np.cos(np.radians(self.radius))]
            seen = np.isin(table.visits.field, near) | (table.visits.field == place.field)
        return Visits(*(column[seen] for column in table.visits)).between(start, end)


#: Seeing of a log that tells none [pixel].
_SEEING = {"ztf": SEEING, "lsst": 0.9 / 0.2}


def _read_opsim(path: str):
    """The visits of an OpSim database as a table with the columns of a log."""
    import sqlite3
    from contextlib import closing

    import pyarrow as pa

    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            names = {row[1] for row in database.execute("pragma table_info(observations)")}
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path}: not an SQLite file ({error})") from error
        wanted = {
            "mjd": "observationStartMJD", "band": "band" if "band" in names else "filter",
            "limmag": "fiveSigmaDepth", "ra": "fieldRA", "dec": "fieldDec",
        }  # fmt: skip
        seeing = [name for name in ("seeingFwhmEff", "seeingFwhmGeom") if name in names]
        wanted |= {"fwhm": seeing[0]} if seeing else {}
        if missing := sorted(set(wanted.values()) - names):
            raise ValueError(f"{path}: its table observations lacks {', '.join(missing)}")
        rows = database.execute(f"select {', '.join(wanted.values())} from observations").fetchall()
    columns = zip(*rows) if rows else [[] for _ in wanted]
    return pa.table({name: pa.array(list(column)) for name, column in zip(wanted, columns)})


class _Log(NamedTuple):
    visits: Visits
    number: np.ndarray  # (F,) of each field
    centre: np.ndarray | None  # (F, 2) ra, dec [degree]


@lru_cache(2)
def _read_log(path: str, survey: str) -> _Log:
    """A user's log; ValueError names file, column and row of what is missing or cannot be used."""
    import pyarrow.csv
    import pyarrow.parquet

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such visit log")
    if str(path).endswith((".db", ".sqlite")):
        table = _read_opsim(path)
    else:
        parquet = str(path).endswith((".parquet", ".pq"))
        table = pyarrow.parquet.read_table(path) if parquet else pyarrow.csv.read_csv(path)
    names = set(table.column_names)
    missing = [name for name in ("mjd", "band", "limmag") if name not in names]
    if not ({"ra", "dec"} <= names or "field" in names):
        missing.append("field (or ra and dec)")
    if missing:
        raise ValueError(f"{path}: a visit log needs column {', '.join(missing)}; it has {sorted(names)}")
    if not table.num_rows:
        raise ValueError(f"{path}: no visit in the log")
    numbers = {name: _numbers(path, table, name) for name in ("mjd", "limmag", "ra", "dec") if name in names}
    facts = survey_named(survey)
    codes = {name: k for k, name in enumerate(facts.bands)}
    if survey == "ztf":  # whose alerts number them
        codes |= {"1": 0, "2": 1, "3": 2}
    band = np.array([codes.get(str(value).strip(), -1) for value in table["band"].to_pylist()], np.int8)
    if band.min() < 0:
        row = int(band.argmin())
        value, known = table["band"][row].as_py(), ", ".join(codes)
        raise ValueError(f"{path}: column band, row {row + 1}: {value!r} is none of {known}")
    if {"ra", "dec"} <= names:
        pointing = np.round(np.stack([numbers["ra"], numbers["dec"]], 1), 3)
        centre, field = np.unique(pointing, axis=0, return_inverse=True)
        fields = np.arange(len(centre))
    else:
        centre, field = None, _numbers(path, table, "field").astype(np.int64)
        fields = np.unique(field)
    mjd = _julian(numbers["mjd"])
    fwhm = (
        _numbers(path, table, "fwhm") / facts.pixel if "fwhm" in names else np.full(len(mjd), _SEEING[survey])
    )
    order = np.lexsort((band, mjd))
    columns = (mjd, band, numbers["limmag"], fwhm, moonlight(mjd), field.astype(np.int32))
    return _Log(Visits(*(column[order] for column in columns)), fields, centre)


def _numbers(path, table, name: str) -> np.ndarray:
    try:
        values = table[name].to_numpy().astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {name} does not hold numbers") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"{path}: column {name}, row {bad[0] + 1}: missing or not finite")
    return values
