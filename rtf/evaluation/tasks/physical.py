"""Reconstruction in physical units: how far is the rebuilt light curve, in magnitudes, days and bands?

Notable:
- medians of absolute differences over detections, with intervals over sources (cluster bootstrap)
- beside each the photometric-noise floor, and a baseline that knows only the training split's medians
- groups: all detections, those of each fine class, of each (true) band, of sources of like length
- a decoder that is asked for a time and a band is given both: it has no score of them
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rtf.alerts.history import Detections
from rtf.alerts.surveys import BANDS
from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Rebuilt
from rtf.evaluation.record import CONSTANTS, Record, detection_records, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.statistics import weighted_mean, weighted_median, weighted_noise_floor
from rtf.figures import light_curve_figure, rebuilt_light_curves

NOISE = "noise floor"
ROWS = {"group": "group", "by": "method"}
SCORES = ("mag", "dt", "band", "detections")
#: Fewest and most detections of the sources in a group: a fingerprint has only so much room.
LENGTHS = {"1 to 9": (1, 9), "10 to 19": (10, 19), "20 to 49": (20, 49), "50 or more": (50, np.inf)}
#: Some catalogues give an error of 0 [mag].
LEAST_ERROR = 1e-6


class Constants(NamedTuple):
    """What the baseline answers for every detection: median magnitude, median days, commonest band."""

    mag: float
    dt: float
    band: int

    def __str__(self) -> str:
        return f"{self.mag:.2f} mag, {self.dt:.1f} d, {BANDS[self.band]} band"


def physical(given: Inputs) -> Evaluated:
    """Score the rebuilt test split, and draw the median-error source of each class."""
    rebuilt, test = given.rebuilt, given.split("test")
    constants = training_constants(given.view("train"))
    answers = {"mag": rebuilt.mag, "dt": rebuilt.dt, "band": rebuilt.band}
    notes = [given.how, f"Training constants: {constants}. Noise floor: what the noiseless magnitudes give."]
    if hasattr(given.model.model.decoder, "at"):
        answers = {"mag": rebuilt.mag}
        notes.append("This decoder is asked for a time and a band: they are given, not rebuilt.")
    label = test.label["fine"]
    if unknown := int((label == UNKNOWN).sum()):
        notes.append(f"{unknown:,} of {len(label):,} sources have no class: in no class row.")
    records = reconstruction_records(rebuilt.seen, label, {"model": answers}, constants, given.resamples)
    table = record_table("Reconstruction in physical units", records, ROWS, SCORES, notes)
    title = "Rebuilt from fingerprints: the median-error test source of each class"
    figure = rebuilt_figure(given, "test", typical_sources(rebuilt, label), title)
    return Evaluated(records, [table], {"light_curves.png": figure})


def rebuilt_figure(given: Inputs, split: str, chosen: np.ndarray, title: str):
    """Draw sources (indices) of a split as observed and as rebuilt."""
    own = given.split(split)
    rebuilt = given.model.reconstruct(own.detections.take(chosen))
    curves = rebuilt_light_curves(rebuilt, own.object_id[chosen], own.label["fine"][chosen])
    return light_curve_figure(curves, title)


def training_constants(train: Detections) -> Constants:
    """The baseline's constants from the training split's detections."""
    commonest = int(np.bincount(train.band, minlength=len(BANDS)).argmax())
    return Constants(float(np.median(train.mag)), float(np.median(days(train))), commonest)


def days(detections: Detections) -> np.ndarray:
    """(D,) days since the first detection of the source."""
    return detections.mjd - np.repeat(detections.mjd[detections.offset[:-1]], detections.length)


def reconstruction_records(
    seen: Detections, label: np.ndarray, answers: Mapping[str, Mapping[str, np.ndarray]],
    constants: Constants, resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Compare rebuilt detections with the observed ones, group by group.

    Parameters
    ----------
    seen : what the model saw of N sources, D detections
    label : (N,) fine class, -1 unknown
    answers : by method, by score (mag [mag], dt [day], band), the (D,) rebuilt values
    """
    true = {"mag": seen.mag.astype(float), "dt": days(seen), "band": seen.band}
    everywhere = {name: np.full(len(seen.mjd), getattr(constants, name)) for name in true}
    source = np.repeat(np.arange(len(seen)), seen.length)
    magerr = np.maximum(seen.magerr.astype(float), LEAST_ERROR)
    difference = {}
    for method, given in {**answers, CONSTANTS: everywhere}.items():
        for score, values in given.items():
            if np.shape(values) != source.shape or not np.isfinite(values).all():
                raise ValueError(f"{method}, {score}: not {len(source)} finite numbers")
            off = values == true[score] if score == "band" else np.abs(values - true[score])
            difference[score, method] = off

    groups = {("all", "all"): np.ones(len(source), bool)}
    groups |= {("class", name): label[source] == c for c, name in enumerate(FINE)}
    groups |= {("band", f"{name} band"): seen.band == b for b, name in enumerate(BANDS)}
    length = seen.length[source]
    for name, (low, high) in LENGTHS.items():
        groups["length", f"{name} detections"] = (length >= low) & (length <= high)
    records = []
    for (level, group), member in groups.items():
        if not member.any():
            continue
        sources, own = np.unique(source[member], return_inverse=True)
        statistics = {
            key: weighted_mean(v[member], own, len(sources)) if key[0] == "band" else
            weighted_median(v[member], own) for key, v in difference.items()
        }  # fmt: skip
        statistics["mag", NOISE] = weighted_noise_floor(magerr[member], own, len(sources))
        n, keys = (len(seen), len(own)), {"level": level, "group": group}
        records += detection_records(statistics, sources, *n, resamples, **keys)
    return records


def typical_sources(rebuilt: Rebuilt, label: np.ndarray, min_detections: int = 5) -> np.ndarray:
    """Of each class the source of median error, of `min_detections` or more where the class has such."""
    length, error, chosen = rebuilt.seen.length, median_error(rebuilt), []
    for c in np.unique(label):
        members = np.flatnonzero(label == c)
        long = members[length[members] >= min_detections]
        members = long if len(long) else members
        chosen.append(members[np.argsort(error[members], kind="stable")[len(members) // 2]])
    return np.array(chosen)


def from_good_to_bad(error: np.ndarray, n: int = 6) -> np.ndarray:
    """Indices of sources, evenly over the ranks of their errors (N,)."""
    ranks = np.linspace(0.08, 0.92, n) * (len(error) - 1)
    return np.argsort(error, kind="stable")[np.unique(ranks.round().astype(int))]


def median_error(rebuilt: Rebuilt) -> np.ndarray:
    """(N,) median |Δmag| of each source."""
    error = np.abs(rebuilt.mag - rebuilt.seen.mag)
    return np.array([np.median(error[a:b]) for a, b in pairwise(rebuilt.seen.offset)])
