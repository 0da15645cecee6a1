"""Several histories of one object become one: the only merge rule, for live alerts and for stores.

Notable:
- which of two differing copies of a detection stays follows from what they hold, never from the order in
  which they arrived: live alerts and a store of the same alerts agree bit for bit
- all objects are merged at once, by sorting; nothing is computed object by object
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from rtf.alerts.history import NO_CANDID, NO_CUTOUTS, NUMBERS, SPLITS, Cutouts, SourceHistory, one_survey
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import Survey
from rtf.classes import UNKNOWN

#: What a stamp adds to the richness of a detection: more than all metadata.
_STAMP = 100
_MIX = np.random.default_rng(0).integers(1, 1 << 63, 64, dtype=np.uint64) | np.uint64(1)
_BY_NAME = ("", *sorted(SPLITS))


def richness(metadata: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """(R,) int32: how many metadata (R, F) of a detection are known, and 100 for each of its stamps (R,)."""
    return (np.isfinite(metadata).sum(1) + _STAMP * np.asarray(stamps)).astype(np.int32)


def content(metadata: np.ndarray) -> np.ndarray:
    """(R,) uint64: a hash of the metadata (R, F), which ranks copies that are equally rich."""
    bits = np.where(np.isnan(metadata), np.float32(np.nan), metadata).astype(np.float32).view(np.uint32)
    return (bits * _MIX[: bits.shape[1]]).sum(1, dtype=np.uint64)


def stamps_content(cutouts: Sequence[Cutouts]) -> np.ndarray:
    """(R,) uint64: a hash of the stamps' bytes, which ranks copies that differ in nothing else."""
    hashes = [blake2b(digest_size=8) for _ in cutouts]
    for sha, stamps in zip(hashes, cutouts, strict=True):
        for stamp in stamps:
            sha.update(b"%d:" % len(stamp or b"") + bytes(stamp or b""))
    return np.array([int.from_bytes(sha.digest(), "big") for sha in hashes], np.uint64)


def merged_rows(
    source: np.ndarray,
    numbers: Mapping[str, np.ndarray],
    richness: np.ndarray,
    content: np.ndarray,
    stamps: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Which rows of a pile of detections stay, so that each detection is there once.

    Two rows of one source are the same detection when they share a `candid`, or, where either has none, time
    and band. The richest stays: a packet's own candidate has more metadata than its copy in a later packet's
    history. Of equally rich ones the smallest by time, band, magnitude, error, metadata and stamps stays.

    Parameters
    ----------
    source : (R,) int, which source a row belongs to
    numbers : the columns `NUMBERS`, (R,) each
    richness, content : (R,), see the functions of these names
    stamps : gives the `stamps_content` of rows; asked only where copies differ in nothing else

    Returns
    -------
    (K,) rows, ordered by source, time, band and candid
    """
    mjd, band, candid = numbers["mjd"], numbers["band"], numbers["candid"]

    def ranked(rows: np.ndarray, *same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows with equal `same` next to each other, the best first; and which begin a new detection."""
        nonlocal content
        keys = (numbers["magerr"], numbers["mag"], band, mjd, -richness, *same, source)
        order = rows[np.lexsort([key[rows] for key in (content, *keys)])]
        equal = _equal_neighbours(order, (content, *keys)) & (richness[order][1:] >= _STAMP)
        if equal.any():
            tied = np.sort(order[np.append(equal, False) | np.append(False, equal)])
            content = content.copy()
            content[tied] += stamps(tied)
            order = rows[np.lexsort([key[rows] for key in (content, *keys)])]
        return order, ~np.append(False, _equal_neighbours(order, (*same, source)))[: len(order)]

    rows = np.arange(len(source))
    has_id = candid != NO_CANDID
    order, first = ranked(rows[has_id], candid)
    stay = np.zeros(len(source), bool)
    stay[order[first]] = True
    # Rows without an id are copies of any row with an id at their time and band, else of one another.
    nameless, first = ranked(rows[~has_id], band, mjd)
    nameless = nameless[first]
    if len(nameless):
        both = np.concatenate([rows[has_id], nameless])
        order = both[np.lexsort([key[both] for key in (~has_id, band, mjd, source)])]
        copy = _equal_neighbours(order, (band, mjd, source)) & ~has_id[order][1:]
        stay[nameless] = True
        stay[order[1:][copy]] = False
    kept = np.flatnonzero(stay)
    return kept[np.lexsort([key[kept] for key in (candid, band, mjd, source)])]


def _equal_neighbours(order: np.ndarray, keys: Iterable[np.ndarray]) -> np.ndarray:
    equal = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        ordered = key[order]
        equal &= ordered[1:] == ordered[:-1]
    return equal


def merged_facts(
    source: np.ndarray, n: int, label, split: Sequence[str], ra, dec
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """What H histories say of their `n` sources: label (n,) int8, split, position (n, 2) [degree].

    The largest label counts, the last split by name, and the smallest position by declination, then right
    ascension. `source` (H,) says which source a history belongs to; the others are as in `SourceHistory`.
    """
    labels = np.full(n, UNKNOWN, np.int8)
    np.maximum.at(labels, source, np.asarray(label, np.int8))
    place = np.zeros(n, np.int8)
    np.maximum.at(place, source, np.array([_BY_NAME.index(s) for s in split], np.int8))
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    known = np.flatnonzero(np.isfinite(ra))
    known = known[np.lexsort((ra[known], dec[known], source[known]))]
    which, first = np.unique(source[known], return_index=True)
    position = np.full((n, 2), np.nan)
    position[which] = np.stack([ra[known[first]], dec[known[first]]], 1)
    return labels, [_BY_NAME[k] for k in place], position


def merged_limits(source: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Non-detections (K, 3) without repeats, ordered by source and time, and whose (K,) they are.

    Of several depths for one time and band the brightest counts: it claims least. `source` (M,) owns `limits`
    (M, 3).
    """
    order = np.lexsort((limits[:, 2], limits[:, 1], limits[:, 0], source))
    source, limits = source[order], limits[order]
    repeat = _equal_neighbours(np.arange(len(source)), (limits[:, 1], limits[:, 0], source))
    first = ~np.append(False, repeat)[: len(source)]
    return source[first], limits[first]


@dataclass
class Pile:
    """The R detections and K non-detections of H histories, in one set of arrays."""

    names: list[str]  # of the objects, sorted
    of_history: np.ndarray  # (H,) which object each history is of
    history: np.ndarray  # (R,) which history a detection is in
    numbers: dict[str, np.ndarray]  # the columns `NUMBERS`, (R,) each
    metadata: np.ndarray  # (R, F)
    cutouts: list[Cutouts]  # R
    n_stamps: np.ndarray  # (R,)
    with_cutouts: set[str]  # objects whose input has cutouts
    limits: np.ndarray  # (K, 3)
    limit_history: np.ndarray  # (K,) which history a non-detection is in
    survey: Survey

    @classmethod
    def of(cls, histories: Sequence[SourceHistory]) -> "Pile":
        survey = one_survey(h.survey for h in histories)
        names = sorted({h.object_id for h in histories})
        number = {name: k for k, name in enumerate(names)}
        cutouts = [c for h in histories for c in (h.cutouts or [NO_CUTOUTS] * len(h))]
        return cls(
            names,
            np.array([number[h.object_id] for h in histories]),
            np.repeat(np.arange(len(histories)), [len(h) for h in histories]),
            {name: np.concatenate([getattr(h, name) for h in histories]) for name in NUMBERS},
            np.concatenate([h.metadata for h in histories]),
            cutouts,
            np.array([sum(bool(stamp) for stamp in c) for c in cutouts], np.int64),
            {h.object_id for h in histories if h.cutouts is not None},
            np.concatenate([h.limits for h in histories]),
            np.repeat(np.arange(len(histories)), [len(h.limits) for h in histories]),
            survey,
        )

    def __post_init__(self):
        self.source = self.of_history[self.history]  # (R,) which object a detection is of
        self.richness, self.content = richness(self.metadata, self.n_stamps), content(self.metadata)

    def merged(self, rows: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Which of some detections, in places of `rows` (M,), stay if they are of sources (M,)."""
        return merged_rows(
            source, {name: values[rows] for name, values in self.numbers.items()}, self.richness[rows],
            self.content[rows], lambda some: stamps_content([self.cutouts[k] for k in rows[some]]),
        )  # fmt: skip


def merge_objects(histories: Iterable[SourceHistory], report: ReadReport) -> list[SourceHistory]:
    """One history for each object, sorted by its id, whatever the order of `histories`.

    `report` gains `objects`, `repeats` and `empty`.
    """
    histories = list(histories)
    if not histories:
        return []
    pile = Pile.of(histories)
    names, source, numbers, cutouts = pile.names, pile.source, pile.numbers, pile.cutouts
    kept = pile.merged(np.arange(len(source)), source)
    facts = merged_facts(
        pile.of_history, len(names),
        *([getattr(h, x) for h in histories] for x in ("label", "split", "ra", "dec")),
    )  # fmt: skip
    whose, limits = merged_limits(pile.of_history[pile.limit_history], pile.limits)
    limit_starts = np.searchsorted(whose, np.arange(len(names) + 1))
    merged = []
    starts = np.searchsorted(source[kept], np.arange(len(names) + 1))
    pairs = pairwise(starts), pairwise(limit_starts)
    for name, (a, b), (c, d), label, split, position in zip(names, *pairs, *facts, strict=True):
        rows = kept[a:b]
        report.count("objects" if len(rows) else "empty")
        if len(rows):
            columns = {column: values[rows] for column, values in numbers.items()}
            stamps = [cutouts[k] for k in rows] if name in pile.with_cutouts else None
            history = SourceHistory(
                name, **columns, metadata=pile.metadata[rows], cutouts=stamps, survey=pile.survey
            )
            history.ra, history.dec = position.tolist()
            history.label, history.split, history.limits = int(label), split, limits[c:d]
            merged.append(history)
    report.count("repeats", len(source) - len(kept))
    return merged
