"""What parts of the simulation hand to each other: an event in the sky, and a source as the survey saw it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rtf.alerts.history import SourceHistory
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections
from rtf.simulation.sky import Place


class Event(NamedTuple):
    """The light of one source, above the atmosphere, as a light-curve backend draws it.

    Attributes
    ----------
    name : class (`rtf.classes.FINE`)
    redshift, distance_modulus : redshift 0 for stars of our Galaxy; [mag]
    magnitude : apparent AB magnitude of the brightest difference flux in r, dust included; of AGN, nucleus
    duration : observer-frame days after its start for which it is watched
    flux : (days since its start (V,) ascending, band (V,) int) -> (V,) difference flux, dust included, with
        zero point 25; negative where fainter than the reference
    parameters : of the light-curve model
    """

    name: str
    redshift: float
    distance_modulus: float
    magnitude: float
    duration: float
    flux: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parameters: dict


class SimulatedSource(NamedTuple):
    """A source as the survey saw it, and the truth behind it: event, place, scene, start."""

    alerts: SourceHistory  # all that is sent of it, negative subtractions included, with cutouts if asked for
    positive: np.ndarray  # (L,) bool, sign of each alert's subtraction
    positions: np.ndarray  # (L, 2) right ascension and declination measured in each alert [degree]
    detections: Detections  # the same alerts by visit
    visits: Visits  # all to its place from 30 days before its start until it is no longer watched
    event: Event
    place: Place
    scene: object
    start: float  # when the event began [MJD]
