"""One source as the survey has seen it: what every reader and the simulator yield.

Notable:
- arrays run over detections, sorted by time; non-detections are kept apart, as limits
- missing metadata are NaN, a missing detection id is -1, an unknown class -1
- cutouts stay the compressed bytes the survey sent until somebody needs pixels
- packets of one object arrive in any order and overlap: `rtf/alerts/merge.py` makes one history of them
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from rtf.alerts.surveys import Survey
from rtf.alerts.surveys.ztf import ZTF
from rtf.classes import UNKNOWN

#: Of ZTF; bands and metadata of any survey are in its `Survey`.
BANDS, METADATA_FIELDS = ZTF.bands, ZTF.metadata_fields

#: Science, template and difference stamps of one detection, each gzipped FITS, or None when not sent.
Cutouts = tuple[bytes | None, bytes | None, bytes | None]
NO_CUTOUTS: Cutouts = (None, None, None)
NO_CANDID = -1

SPLITS = ("train", "val", "test")

#: Columns of a detection that are numbers, and their types.
NUMBERS = {"mjd": np.float64, "band": np.int8, "mag": np.float32, "magerr": np.float32, "candid": np.int64}
_COLUMNS = ("mjd", "band", "mag", "magerr", "metadata", "candid")

#: Columns of a non-detection: when [MJD], in which band, and the 5-sigma limiting AB magnitude.
LIMIT_FIELDS = ("mjd", "band", "mag")
NO_LIMITS = np.empty((0, len(LIMIT_FIELDS)))
#: How long before a detection a non-detection says something about it: what an alert's history covers [day].
LIMIT_DAYS = 30.0


@dataclass
class SourceHistory:
    """The L detections of one object, oldest first, and its K non-detections."""

    object_id: str  # name the survey or the user gives the object
    mjd: np.ndarray  # (L,) float64, Modified Julian Date [day]; photometry-event files count from 0
    band: np.ndarray  # (L,) int8, index into the bands of the survey
    mag: np.ndarray  # (L,) float32, AB magnitude, or asinh magnitude (`rtf/alerts/surveys`)
    magerr: np.ndarray  # (L,) float32, its 1-sigma error
    metadata: np.ndarray  # (L, F) float32, columns `metadata_fields` of the survey, NaN where missing
    candid: np.ndarray  # (L,) int64, the survey's detection id, -1 where it gives none
    cutouts: list[Cutouts] | None = None  # one for each detection; None when the input has no cutouts at all
    ra: float = float("nan")  # [degree], NaN when unknown; of several positions the smallest
    dec: float = float("nan")
    label: int = UNKNOWN  # fine class index (`rtf.classes.FINE`), -1 unknown
    split: str = ""  # "train", "val", "test", or "" when the input does not say
    limits: np.ndarray = field(default_factory=NO_LIMITS.copy)  # (K, 3) float64, by time: `LIMIT_FIELDS`
    alert: float = float(
        "nan"
    )  # time of the alert's candidate [MJD], where the history is what one alert says
    own: int = -1  # which detection is that candidate; -1: left out, or no alert
    survey: Survey = ZTF

    def __len__(self) -> int:
        return len(self.mjd)

    def select(self, index: np.ndarray) -> "SourceHistory":
        """The same source with the detections at `index`, in that order."""
        cutouts = None if self.cutouts is None else [self.cutouts[k] for k in index]
        own = next(iter(np.flatnonzero(index == self.own).tolist()), -1) if self.own >= 0 else -1
        columns = {name: getattr(self, name)[index] for name in _COLUMNS}
        return replace(self, cutouts=cutouts, own=own, **columns)


def from_columns(object_id, mjd, band, mag, magerr, *, metadata=None, candid=None, **rest) -> SourceHistory:
    """A `SourceHistory` from sequences of any numeric type, sorted by time, absent columns missing."""
    length, width = len(mjd), len(rest.get("survey", ZTF).metadata_fields)
    history = SourceHistory(
        str(object_id),
        np.asarray(mjd, np.float64),
        np.asarray(band, np.int8),
        np.asarray(mag, np.float32),
        np.asarray(magerr, np.float32),
        np.full((length, width), np.nan, np.float32)
        if metadata is None
        else np.asarray(metadata, np.float32).reshape(length, width),
        np.full(length, NO_CANDID, np.int64) if candid is None else np.asarray(candid, np.int64),
        **rest,
    )
    order = np.lexsort((history.candid, history.band, history.mjd))
    return history if (order == np.arange(length)).all() else history.select(order)


@dataclass
class Detections:
    """D detections of N sources, concatenated: source k owns rows `offset[k]` to `offset[k + 1]`."""

    offset: np.ndarray  # (N + 1,) int64
    mjd: np.ndarray  # (D,), as are the others, in the types of `SourceHistory`
    band: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    metadata: np.ndarray  # (D, F)
    candid: np.ndarray
    #: (D,) int64 numbers for `read_stamps`, -1 where any of the three is missing; None: not asked for, none
    stamp: np.ndarray | None = None
    #: Numbers (M,) to M `Cutouts`; stamps stay where they are until somebody asks.
    read_stamps: Callable[[np.ndarray], list[Cutouts]] | None = None
    #: (D, 6) float32, of the latest non-detection in g, r and i in the `LIMIT_DAYS` before a detection: days
    #: before it, three columns, and limiting magnitudes, three; NaN: none. None where no source has any.
    limits: np.ndarray | None = None
    survey: Survey = ZTF

    def __len__(self) -> int:
        """Number of sources."""
        return len(self.offset) - 1

    @property
    def length(self) -> np.ndarray:
        """(N,) number of detections of each source."""
        return np.diff(self.offset)

    def rows(self, keep: np.ndarray) -> "Detections":
        """The same sources with only the detections where `keep` (D,) is True."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        return self._select(kept[self.offset], keep)

    def take(self, sources: np.ndarray) -> "Detections":
        """Some of the sources, in the order given."""
        sources = np.asarray(sources, np.int64)
        length = self.length[sources]
        offset = np.concatenate([[0], np.cumsum(length)])
        row = np.arange(offset[-1]) + np.repeat(self.offset[sources] - offset[:-1], length)
        return self._select(offset, row)

    def _select(self, offset: np.ndarray, index: np.ndarray) -> "Detections":
        columns = (getattr(self, name)[index] for name in _COLUMNS)
        stamp, limits = (None if x is None else x[index] for x in (self.stamp, self.limits))
        return Detections(offset, *columns, stamp, self.read_stamps, limits, self.survey)


def one_survey(surveys: Iterable[Survey]) -> Survey:
    """The survey that all of these are; ValueError where they are several."""
    found = {s.name: s for s in surveys}
    if len(found) > 1:
        names = " and ".join(sorted(found))
        raise ValueError(f"sources of {names} cannot be mixed: take those of one survey at a time")
    return next(iter(found.values()), ZTF)


def concatenate(histories: list[SourceHistory], limits: bool = True) -> Detections:
    """The detections of many sources as one set of arrays; `limits` False leaves that column out."""
    offset = np.concatenate([[0], np.cumsum([len(h) for h in histories])]).astype(np.int64)
    if not histories:
        empty = from_columns("", [], [], [], [])
        return Detections(offset, *(getattr(empty, name) for name in _COLUMNS))
    survey = one_survey(h.survey for h in histories)
    columns = [np.concatenate([getattr(h, name) for h in histories]) for name in _COLUMNS]
    found = Detections(offset, *columns, survey=survey)
    if limits:
        limit_offset = np.concatenate([[0], np.cumsum([len(h.limits) for h in histories])])
        found.limits = latest_limits(found, limit_offset, np.concatenate([h.limits for h in histories]))
    if all(h.cutouts is None for h in histories):
        return found
    cutouts = [c for h in histories for c in (h.cutouts or [NO_CUTOUTS] * len(h))]
    whole = np.array([None not in c for c in cutouts])
    found.stamp = np.where(whole, np.arange(len(cutouts)), -1)
    found.read_stamps = lambda index: [cutouts[k] for k in index]
    return found


def latest_limits(detections: Detections, offset: np.ndarray, limits: np.ndarray) -> np.ndarray | None:
    """The column `limits` of detections; each row follows from what came before its detection alone.

    `limits` (K, 3) is as in `SourceHistory`; source k owns its rows offset[k] to offset[k + 1].
    """
    if not len(limits):
        return None
    n, n_bands = len(detections.mjd), len(detections.survey.bands)
    found = np.full((n, 2, n_bands), np.nan)
    source = np.repeat(np.arange(len(detections)), detections.length)
    owner = np.repeat(np.arange(len(detections)), np.diff(offset))
    for k in range(n_bands):
        own = limits[:, 1] == k
        mjd = np.concatenate([detections.mjd, limits[own, 0]])
        mag = np.concatenate([np.full(n, np.nan), limits[own, 2]])
        whose = np.concatenate([source, owner[own]])
        # Of the same time the detection comes first: a limit counts for what comes after it.
        order = np.lexsort((np.arange(len(mjd)) >= n, mjd, whose))
        latest = np.maximum.accumulate(np.where(order >= n, np.arange(len(order)), -1))
        here = (order < n) & (latest >= 0)
        row, before = order[here], order[latest[here]]
        days = mjd[row] - mjd[before]
        good = (whose[row] == whose[before]) & (days <= LIMIT_DAYS)
        found[row[good], 0, k], found[row[good], 1, k] = days[good], mag[before[good]]
    return found.reshape(n, -1).astype(np.float32)


def join(parts: list[Detections]) -> Detections:
    """The sources of several sets as one, in that order."""
    rows = np.cumsum([0] + [len(p.mjd) for p in parts])
    offset = np.concatenate([p.offset[:-1] + row for p, row in zip(parts, rows)] + [rows[-1:]])
    survey = one_survey(p.survey for p in parts)
    columns = [np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS]
    found = Detections(offset, *columns, survey=survey)
    if any(p.limits is not None for p in parts):
        none = np.full((1, 2 * len(found.survey.bands)), np.nan, np.float32)
        own = [none.repeat(len(p.mjd), 0) if p.limits is None else p.limits for p in parts]
        found.limits = np.concatenate(own)
    if all(p.stamp is None for p in parts):
        return found
    # In a joined set a stamp is known by its row; each part still reads its own.
    own = [np.full(len(p.mjd), -1) if p.stamp is None else p.stamp for p in parts]
    number = np.concatenate(own)
    found.stamp = np.where(number >= 0, np.arange(rows[-1]), -1)

    def read_stamps(index: np.ndarray) -> list[Cutouts]:
        index = np.asarray(index, np.int64)
        part = np.searchsorted(rows, index, "right") - 1
        stamps: list[Cutouts] = [NO_CUTOUTS] * len(index)
        for k in np.unique(part):
            where = np.flatnonzero(part == k)
            for i, cutouts in zip(where, parts[k].read_stamps(number[index[where]]), strict=True):
                stamps[i] = cutouts
        return stamps

    found.read_stamps = read_stamps
    return found
