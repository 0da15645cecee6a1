"""Reconstruction in physical units: how far is the rebuilt light curve, in magnitudes, days and bands?

Notable:
- medians of absolute differences over detections, with intervals over sources (cluster bootstrap)
- next to each: the photometric-noise floor, which no reconstruction of noisy data can be expected to pass,
  and a baseline that knows only the training split's medians
- groups: all detections, those of each fine class, of each (true) band, of sources of like length
- a decoder that is asked for a time and a band is given both: it has no score of them
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtf.alerts.history import BANDS, Detections
from rtf.classes import FINE, UNKNOWN
from rtf.documents import Table
from rtf.encoding.fingerprinter import Rebuilt
from rtf.evaluation.record import CONSTANTS, Record, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.statistics import NoiseFloor, WeightedMedian, bootstrap, weighted_mean
from rtf.figures import light_curve_figure, rebuilt_light_curves

NOISE = "noise floor"
_SCORES = ("mag", "dt", "band", "detections")
#: Fewest and most detections of the sources in a group: a fingerprint has only so much room.
LENGTHS = {"1 to 9": (1, 9), "10 to 19": (10, 19), "20 to 49": (20, 49), "50 or more": (50, np.inf)}


@dataclass(frozen=True)
class Constants:
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
    if (label == UNKNOWN).any():
        notes.append(
            f"{(label == UNKNOWN).sum():,} of {len(label):,} sources have no class: in no class row."
        )
    records = reconstruction_records(rebuilt.seen, label, {"model": answers}, constants, given.resamples)
    typical = typical_sources(rebuilt, label)
    curves = rebuilt_light_curves(
        given.model.reconstruct(test.detections.take(typical)), test.object_id[typical], label[typical]
    )
    title = "Rebuilt from fingerprints: the median-error test source of each class"
    return Evaluated(
        records,
        [reconstruction_table("Reconstruction in physical units", records, notes)],
        {"light_curves.png": light_curve_figure(curves, title)},
    )


def reconstruction_table(title: str, records: list[Record], notes: list[str]) -> Table:
    """A row for each group and method."""
    return record_table(title, records, {"group": "group", "by": "method"}, _SCORES, notes)


def training_constants(train: Detections) -> Constants:
    """The baseline's constants from the training split's detections."""
    commonest = int(np.bincount(train.band, minlength=len(BANDS)).argmax())
    return Constants(float(np.median(train.mag)), float(np.median(days(train))), commonest)


def days(detections: Detections) -> np.ndarray:
    """(D,) days since the first detection of the source."""
    return detections.mjd - np.repeat(detections.mjd[detections.offset[:-1]], detections.length)


def reconstruction_records(
    seen: Detections,
    label: np.ndarray,
    answers: Mapping[str, Mapping[str, np.ndarray]],
    constants: Constants,
    resamples: Mapping,
) -> list[Record]:
    """Compare rebuilt detections with the observed ones, group by group.

    Parameters
    ----------
    seen : what the model saw of N sources, D detections. Some catalogues give an error of 0, which is taken
        as 1e-6
    label : (N,) fine class, -1 unknown
    answers : by method, by score (mag [mag], dt [day], band), the (D,) rebuilt values
    constants : of the training split
    resamples : keywords of `bootstrap`
    """
    true = {"mag": seen.mag.astype(float), "dt": days(seen), "band": seen.band}
    everywhere = {name: np.full(len(seen.mjd), getattr(constants, name)) for name in true}
    source = np.repeat(np.arange(len(seen)), seen.length)
    magerr = np.maximum(seen.magerr.astype(float), 1e-6)
    difference = {}
    for method, given in {**answers, CONSTANTS: everywhere}.items():
        for score, values in given.items():
            if np.shape(values) != source.shape or not np.isfinite(values).all():
                raise ValueError(f"{method}, {score}: not {len(source)} finite numbers")
            off = values == true[score] if score == "band" else np.abs(values - true[score])
            difference[score, method] = off

    def group(level: str, name: str, member: np.ndarray) -> list[Record]:
        sources, own = np.unique(source[member], return_inverse=True)
        statistics = {
            key: weighted_mean(v[member], own, len(sources)) if key[0] == "band" else
            WeightedMedian(v[member], own) for key, v in difference.items()
        }  # fmt: skip
        statistics["mag", NOISE] = NoiseFloor(magerr[member], own, len(sources))

        def all_cells(counts):  # every group is cut from the same resamples of all sources
            return np.column_stack([statistic(counts[:, sources]) for statistic in statistics.values()])

        found = bootstrap(all_cells, len(seen), width=len(own) // 4, **resamples)
        keys = {"level": level, "group": name, "n": len(sources)}
        records = [record("detections", len(own), **keys)]
        return records + [record(s, e, method=m, **keys) for (s, m), e in zip(statistics, found)]

    groups = [("all", "all", np.ones(len(source), bool))]
    groups += [("class", name, label[source] == c) for c, name in enumerate(FINE)]
    groups += [("band", f"{name} band", seen.band == b) for b, name in enumerate(BANDS)]
    length = seen.length[source]
    for name, (low, high) in LENGTHS.items():
        groups.append(("length", f"{name} detections", (length >= low) & (length <= high)))
    return [r for *names, member in groups if member.any() for r in group(*names, member)]


def typical_sources(rebuilt: Rebuilt, label: np.ndarray, min_detections: int = 5) -> np.ndarray:
    """Of each class the source whose median magnitude error is the median of its class.

    Neither the best nor a random pick. Sources of fewer than `min_detections` are passed over where the
    class has others.
    """
    length, error, chosen = rebuilt.seen.length, median_error(rebuilt), []
    for c in np.unique(label):
        members = np.flatnonzero(label == c)
        long = members[length[members] >= min_detections]
        members = long if len(long) else members
        chosen.append(members[np.argsort(error[members], kind="stable")[len(members) // 2]])
    return np.array(chosen)


def median_error(rebuilt: Rebuilt) -> np.ndarray:
    """(N,) median |Δmag| of each source."""
    error = np.abs(rebuilt.mag - rebuilt.seen.mag)
    return np.array([np.median(error[a:b]) for a, b in pairwise(rebuilt.seen.offset)])
