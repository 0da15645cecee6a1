"""A labelled survey of sources that nobody observed, spoken in the language of the alert readers.

Notable:
- a source depends on (`seed`, its number) and the settings alone, not on how the survey is cut into units or
  on other sources; with stamps or without, its light curve and metadata are the same
- a source that the survey would not have followed is drawn again, with the same class, until one is
  accepted: the class shares are the configured ones, up to binomial scatter. With `classes="rates"` the
  class is drawn again too, so that shares follow from volumetric rates and what the survey finds
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtf.alerts.history import NO_CANDID, SourceHistory
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import MJD_ZERO, sound_limits
from rtf.classes import FINE
from rtf.simulation import populations
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import HISTORY_DAYS, Detections, alternating
from rtf.simulation.instrument import Instrument, instrument_named
from rtf.simulation.scene import Scene, add_field, draw_host
from rtf.simulation.sky import Event, Place

CHUNK, CHUNK_STAMPS = 256, 32  # sources in a unit of work, without stamps and with them
_PATIENCE = 20000  # a class that yields nothing after so many draws is impossible under the settings
#: A source begins at least so many days before the end of its season.
WITHIN_SEASON = 15


@dataclass(frozen=True)
class SimulatedSurvey:
    """A survey like ZTF or LSST with the protocol of a reader (`units`, `read`)."""

    n_sources: int  # accepted ones
    seed: int = 0
    #: Class name to share, any scale; None for `populations.SHARES`; "rates" for `populations.POPULATIONS`
    classes: dict | str | None = field(default=None, hash=False)
    #: Fewest positive detections within so many days of the first, for a source to be accepted
    min_detections: int = 3
    window: float = 100.0
    mjd_start: float = 58800.0  # when sources begin [MJD], as far as the cadence has visits then
    mjd_end: float = 60200.0
    cadence: object = None  # see `rtf.simulation.cadence`; None for the observing model of these dates
    backend: Callable | None = (
        None  # (rng, class name, place, sample) -> Event | None; None: parametric models
    )
    stamps: bool = False  # draw the three cutouts of every alert
    negative: bool = False  # keep negative subtractions in the histories
    survey: str = "ztf"  # or "lsst" (`rtf.simulation.instrument`)
    alternate_bands: bool = False  # thin each source as the table of real SN Ia is (`detections.alternating`)

    def __post_init__(self):
        if isinstance(self.classes, str) and self.classes != "rates":
            raise ValueError(f'classes is a mapping of class to share, or "rates", not {self.classes!r}')
        if unknown := set(self.shares) - set(known := populations.POPULATIONS):
            raise ValueError(f"no light-curve model for class {sorted(unknown)}; known: {', '.join(known)}")
        if not self.shares or min(self.shares.values()) < 0 or sum(self.shares.values()) <= 0:
            raise ValueError(f"class shares must be positive, not {self.shares}")
        if self.cadence is None:
            cadence = self.instrument.cadence(self.seed, self.mjd_start, self.mjd_end)
            object.__setattr__(self, "cadence", cadence)
        first, last = self.cadence.span()
        start, end = max(self.mjd_start, first), min(self.mjd_end, last)
        if start >= end:
            raise ValueError(
                f"the visits of {self.cadence} are from MJD {first:.0f} to {last:.0f}, sources would begin "
                f"from {self.mjd_start:.0f} to {self.mjd_end:.0f}: set mjd_start and mjd_end among them"
            )
        object.__setattr__(self, "mjd_start", start)
        object.__setattr__(self, "mjd_end", end)

    @property
    def instrument(self) -> Instrument:
        return instrument_named(self.survey)

    @property
    def shares(self) -> dict:
        if self.classes == "rates":
            return {
                name: populations.followed_rate(name, self.instrument.sample) for name in populations.SHARES
            }
        return dict(populations.SHARES if self.classes is None else self.classes)

    def units(self, path: Path | None = None) -> list[tuple[int, int]]:
        """First and one past the last source number of each chunk; `path` is not used."""
        chunk = CHUNK_STAMPS if self.stamps else CHUNK
        return [(k, min(k + chunk, self.n_sources)) for k in range(0, self.n_sources, chunk)]

    def read(self, unit: tuple[int, int], report: ReadReport) -> Iterator[SourceHistory]:
        """The sources of one unit; counts their detections, and the negative ones left out."""
        for number in range(*unit):
            source = simulate_source(self, number)
            history = history_of(source, self.negative or self.instrument.signed)
            report.count("detections", len(history))
            if len(history) < len(source.alerts):
                report.count("negative", len(source.alerts) - len(history))
            yield history


class SimulatedSource(NamedTuple):
    """A source as the survey saw it, and the truth behind it: event, place, scene, start."""

    alerts: SourceHistory  # all that is sent of it, negative subtractions included, with cutouts if asked for
    positive: np.ndarray  # (L,) bool, sign of each alert's subtraction
    positions: np.ndarray  # (L, 2) right ascension and declination measured in each alert [degree]
    detections: Detections  # the same alerts by visit
    visits: Visits  # all to its place from 30 days before its start until it is no longer watched
    event: Event
    place: Place
    scene: Scene
    start: float  # when the event began [MJD]


def history_of(source: SimulatedSource, negative: bool = False) -> SourceHistory:
    """The history that a reader makes of a source's packets, `negative` subtractions kept or left out."""
    if negative or source.positive.all():
        return source.alerts
    return source.alerts.select(np.flatnonzero(source.positive))


def simulate_source(survey: SimulatedSurvey, number: int) -> SimulatedSource:
    """Source `number` of a survey; RuntimeError where the settings leave none of the class to accept."""
    rng = np.random.default_rng([survey.seed, number])
    instrument = survey.instrument
    shares = survey.shares
    names = sorted((name for name, share in shares.items() if share > 0), key=FINE.index)
    edges = np.cumsum([shares[name] for name in names])
    for attempt in range(_PATIENCE):
        if attempt == 0 or survey.classes == "rates":
            name = names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        place, start, event = _begin(survey, rng, name)
        host = draw_host(rng, event, place)
        visits, detections = observe(survey, rng, place, start, event, host)
        if detections is not None:
            break
    else:
        raise RuntimeError(f"no {name} with {survey.min_detections} detections among {_PATIENCE}")
    scene = add_field(rng, host, place, instrument.field)
    metadata, positions = instrument.metadata(rng, visits, detections, scene, place, event)
    visit = detections.visit
    # Of several positions that packets report, readers keep the smallest.
    ra, dec = positions[np.lexsort(positions.T)][0]
    # Twelve bits hold the visits of a source, the next 36 its number, the rest the seed.
    candid = ((np.int64(survey.seed) & 0x7FFF) << 48 | np.int64(number) << 12) + 1 + visit.astype(np.int64)
    # Forced photometry has no id of its own: the reader gives it none.
    candid[~detections.identified] = NO_CANDID
    alerts = SourceHistory(
        instrument.name(survey.seed, number), visits.mjd[visit], visits.band[visit].astype(np.int8),
        detections.mag.astype(np.float32), detections.magerr.astype(np.float32), metadata, candid,
        ra=float(ra), dec=float(dec), label=FINE.index(event.name), survey=instrument.survey,
    )  # fmt: skip
    if (
        instrument.limits and not survey.alternate_bands
    ):  # which leaves out detections: not every visit without one saw nothing
        alerts.limits = _limits(visits, visit)
    if survey.stamps:
        stamp_rng = np.random.default_rng([survey.seed, number, 1])
        alerts.cutouts = instrument.stamps(stamp_rng, visits, detections, scene, place)
    return SimulatedSource(
        alerts, detections.positive, positions, detections, visits, event, place, scene, start
    )


def _limits(visits: Visits, detected: np.ndarray) -> np.ndarray:
    """(K, 3) the visits without an alert that the histories of alerts tell of."""
    jd = visits.mjd + MJD_ZERO
    told = np.zeros(len(jd) + 1, int)
    np.add.at(told, np.searchsorted(jd, jd[detected] - HISTORY_DAYS), 1)
    np.add.at(told, detected, -1)
    missed = np.cumsum(told)[:-1] > 0
    missed[detected] = False
    return sound_limits(visits.mjd[missed], visits.band[missed], visits.depth[missed])


def _begin(survey: SimulatedSurvey, rng: np.random.Generator, name: str) -> tuple[Place, float, Event]:
    """A source of a class that is followed, and when [MJD] it begins."""
    instrument = survey.instrument
    known = instrument.sample.populations
    for _ in range(_PATIENCE):
        place = survey.cadence.draw_place(rng)
        start = float(rng.uniform(survey.mjd_start, survey.mjd_end))
        opening, closing = instrument.season(start, place.ra, place.dec)
        if opening - known[name].early <= start <= closing - WITHIN_SEASON:
            event = (survey.backend or populations.draw_event)(rng, name, place, instrument.sample)
            if event is not None:
                return place, start, event
    raise RuntimeError(f"no {name} that is followed in {_PATIENCE} draws")


def observe(survey: SimulatedSurvey, rng, place: Place, start: float, event: Event, host: Scene):
    """The visits to a source and its detections; None for these where they are too few."""
    visits = survey.cadence.visits(place, start - HISTORY_DAYS, start + event.duration)
    if len(visits.mjd) < survey.min_detections:
        return visits, None
    flux = event.flux(visits.mjd - start, visits.band)
    detections = survey.instrument.detect(rng, visits, flux, host)
    if survey.alternate_bands:
        kept = alternating(visits.band[detections.visit])
        detections = type(detections)(*(column[kept] for column in detections))
    seen = visits.mjd[detections.visit[detections.counted]]
    if len(seen) < survey.min_detections or seen[survey.min_detections - 1] > seen[0] + survey.window:
        return visits, None
    return visits, detections
