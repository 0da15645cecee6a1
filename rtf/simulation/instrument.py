"""What differs from survey to survey in the simulation, as data and functions: one `Instrument` for each."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from rtf.alerts.surveys import Survey
from rtf.simulation.populations import Sample
from rtf.simulation.scene import Field


@dataclass(frozen=True, eq=False)
class Instrument:
    """A survey as it is simulated."""

    survey: Survey
    sample: Sample  # what it follows, through which filters
    field: Field  # how deep its images are around a source
    #: (seed, first, last MJD) -> cadence (`rtf.simulation.cadence`)
    cadence: Callable
    #: (mjd, ra, dec) -> start and end [MJD] of the season nearest to it
    season: Callable
    #: (rng, visits, flux (V,) with zero point 25, host scene) -> detections, a tuple of (L,) columns
    detect: Callable
    #: (rng, visits, detections, scene, place, event) -> metadata (L, F) and positions (L, 2) [degree]
    metadata: Callable
    #: (rng, visits, detections, scene, place) -> cutouts, one triplet a row
    stamps: Callable
    #: (survey's seed, source number) -> name of the object, as its packets have it
    name: Callable
    #: (source) -> packets, and (packets) -> the content of an Avro file for each
    packets: Callable
    containers: Callable
    #: (packets of a source) -> counts of what their histories tell: `past` and `non_detections`
    told: Callable
    id_field: str  # of a packet, the name of its file
    limits: bool  # whether histories tell of visits that saw nothing
    signed: bool  # whether negative detections are always kept


def lazily(module: str, function: str) -> Callable:
    """A function whose module is imported when it is first called: galsim and fastavro are slow to import."""
    return lambda *given: getattr(import_module(module), function)(*given)


def instrument_named(name: str) -> Instrument:
    """The instrument of a survey's name; ValueError names those there are."""
    from rtf.simulation import lsst, ztf

    known = {"ztf": ztf.ZTF, "lsst": lsst.LSST}
    if name not in known:
        raise ValueError(f"no simulation of survey {name!r}; there are {', '.join(known)}")
    return known[name]
