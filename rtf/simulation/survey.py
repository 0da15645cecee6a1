"""A labelled survey of sources that nobody observed, spoken in the language of the alert readers.

Notable:
- a source depends on (`seed`, its number) alone, not on how the survey is cut into units or on other sources
- a source that the survey would not have followed is drawn again, with the same class, until one is accepted:
  the class shares are the configured ones, up to binomial scatter
- truth that only the simulation has (redshift, parameters) is in `simulate_source`, for tests and notebooks
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtf.alerts.history import SourceHistory
from rtf.alerts.report import ReadReport
from rtf.classes import FINE
from rtf.simulation import cadence, populations
from rtf.simulation.detections import Detections, alternating, detect, magnitude_to_flux
from rtf.simulation.light_curves import MODELS
from rtf.simulation.metadata import draw_metadata

#: Sources in a unit of work.
CHUNK = 256
#: A class that yields nothing after so many draws is impossible under the settings.
_PATIENCE = 2000
#: Median detections a year before the history begins, of sources that were always there.
_EARLIER = {"AGN": 12.0, "Cataclysmic": 2.0}


@dataclass(frozen=True)
class SimulatedSurvey:
    """A ZTF-like survey with the protocol of a reader (`units`, `read`).

    Attributes
    ----------
    n_sources : accepted sources
    seed : of the whole survey
    classes : class name to share, any scale; None for the published shares (`populations.SHARES`)
    min_detections : fewest detections within `window` of the first, for a source to be accepted
    window : days
    mjd_start, mjd_end : when sources begin [MJD]
    i_share : chance that a field has i-band visits
    repeats : chance that a visit is repeated the same night in the same band; about 0.1 in alert streams
    alternate_bands : thin each source to bands that alternate, which no alert stream does but the table of
        real SN Ia that the survey is compared with (`rtf.simulation.detections.alternating`)
    """

    n_sources: int
    seed: int = 0
    classes: dict | None = field(default=None, hash=False)
    min_detections: int = 3
    window: float = 100.0
    mjd_start: float = 58800.0
    mjd_end: float = 60200.0
    i_share: float = 0.05
    repeats: float = 0.0
    alternate_bands: bool = False

    def __post_init__(self):
        unknown = set(self.shares) - set(FINE)
        if unknown:
            raise ValueError(f"no light-curve model for class {sorted(unknown)}; known: {', '.join(FINE)}")
        if not self.shares or min(self.shares.values()) < 0 or sum(self.shares.values()) <= 0:
            raise ValueError(f"class shares must be positive, not {self.shares}")

    @property
    def shares(self) -> dict:
        return dict(populations.SHARES if self.classes is None else self.classes)

    def units(self, path: Path | None = None) -> list[tuple[int, int]]:
        """First and one past the last source number of each chunk; `path` is not used."""
        return [(k, min(k + CHUNK, self.n_sources)) for k in range(0, self.n_sources, CHUNK)]

    def read(self, unit: tuple[int, int], report: ReadReport) -> Iterator[SourceHistory]:
        """The sources of one chunk; counts their detections, and the negative ones left out."""
        for number in range(*unit):
            history, truth = simulate_source(self, number)
            report.count("detections", len(history))
            if truth["negative"]:
                report.count("negative", truth["negative"])
            yield history


def simulate_source(survey: SimulatedSurvey, number: int) -> tuple[SourceHistory, dict]:
    """Source `number` of a survey, and the truth behind it.

    Returns
    -------
    history : as a reader yields it, without cutouts
    truth : class name, redshift, parameters, apparent r scale [mag], dust E(B-V), host, start [MJD],
        visits, and the number of negative detections

    Raises
    ------
    RuntimeError : the settings leave no source of the class to accept
    """
    rng = np.random.default_rng([survey.seed, number])
    names = sorted(survey.shares, key=FINE.index)
    edges = np.cumsum([survey.shares[name] for name in names])
    name = names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right").clip(max=len(names) - 1))]
    for _ in range(_PATIENCE):
        drawn = _draw(survey, rng, name)
        if drawn is not None:
            break
    else:
        raise RuntimeError(f"no {name} with {survey.min_detections} detections in {_PATIENCE} draws")
    visits, detections, truth = drawn
    metadata = draw_metadata(rng, visits, detections, truth["host"], truth["dec"], _EARLIER.get(name, 0.0))
    visit = detections.visit
    history = SourceHistory(
        object_id=f"SIM{survey.seed}_{number:07d}",
        mjd=visits.mjd[visit],
        band=visits.band[visit].astype(np.int8),
        mag=detections.mag.astype(np.float32),
        magerr=detections.magerr.astype(np.float32),
        metadata=metadata,
        # Twelve bits hold the visits of a source, the next 36 its number, the rest the seed.
        candid=((np.int64(survey.seed) & 0x7FFF) << 48 | np.int64(number) << 12) + 1 + visit.astype(np.int64),
        ra=truth["ra"],
        dec=truth["dec"],
        label=FINE.index(name),
    )
    return history, truth


def _draw(survey: SimulatedSurvey, rng: np.random.Generator, name: str):
    """One try: visits, detections and truth of a source of class `name`, or None if it is not followed."""
    model = MODELS[name]
    ra, dec = cadence.draw_position(rng)
    start = float(rng.uniform(survey.mjd_start, survey.mjd_end))
    opening, closing = cadence.season(start, ra, dec)
    # Spectrographs go to what was found on the rise: not to one that began long before the season or ends it.
    if start > closing - 20 or start < opening - 14:
        return None
    visits = cadence.draw_visits(
        rng, start - 3, start + model.duration, ra, dec, survey.i_share, survey.repeats
    )
    if len(visits.mjd) < survey.min_detections:
        return None
    parameters = model.module.draw(rng, model.kind)
    dust = 0.04 * np.exp(0.7 * rng.standard_normal()) + parameters.get("host_dust", 0.0)
    redshift, peak = populations.draw_brightness(rng, name, parameters, dust)
    phase = (visits.mjd - start) / (1 + redshift)
    shape = model.module.relative_flux(phase, visits.band, parameters, redshift)
    flux = shape * magnitude_to_flux(peak + populations.EXTINCTION[visits.band] * dust)
    detections, negative = detect(rng, visits, flux)
    if survey.alternate_bands:
        kept = alternating(visits.band[detections.visit])
        detections = Detections(*(column[kept] for column in detections))
    early = visits.mjd[detections.visit]
    if len(early) < survey.min_detections or early[survey.min_detections - 1] > early[0] + survey.window:
        return None
    host = populations.draw_host(rng, name, redshift, peak, parameters)
    truth = {
        "class": name, "redshift": redshift, "parameters": parameters, "peak": peak, "dust": dust,
        "host": host, "ra": ra, "dec": dec, "start": start, "visits": visits, "negative": negative,
    }  # fmt: skip
    return visits, Detections(*detections), truth
