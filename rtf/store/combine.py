"""Merge the histories of all pieces: which detections stay, in which order, and what is known of each source.

The result equals `rtf.alerts.history.merge` of each object's histories; here all objects are sorted at once,
and metadata and stamps are only pointed at.
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import duplicates
from rtf.classes import UNKNOWN
from rtf.store.parts import NUMBERS, SPLITS, Piece
from rtf.store.splits import NO_SPLIT, stratified


@dataclass
class Merged:
    """N sources ordered by split and name, and their D detections ordered by source and time.

    Attributes
    ----------
    object_id : N names
    label, split : (N,) int8
    position : (N, 2) float64, ra and dec [degree]
    offset : (N + 1,) int64
    numbers : the columns `NUMBERS`, (D,) each
    piece, row : (D,) where the metadata and stamps of a detection are
    stamp_start, stamp_length : (D,), (D, 3) its bytes there
    pieces : what `piece` counts
    repeats : rows dropped because they repeat another
    empty : names of the objects left out because they have no detection
    """

    object_id: list[str]
    label: np.ndarray
    split: np.ndarray
    position: np.ndarray
    offset: np.ndarray
    numbers: dict[str, np.ndarray]
    piece: np.ndarray
    row: np.ndarray
    stamp_start: np.ndarray
    stamp_length: np.ndarray
    pieces: list[Piece]
    repeats: int
    empty: list[str]

    @property
    def has_cutouts(self) -> bool:
        return any(p.has_cutouts for p in self.pieces)


def combine(
    pieces: list[Piece],
    *,
    labels: dict[str, int] | None = None,
    splits: dict[str, int] | None = None,
    kept: dict[str, int] | None = None,
    seed: int = 0,
    fractions=None,
) -> Merged:
    """Merge pieces.

    Parameters
    ----------
    pieces : in an order that decides which of two equally rich repeats stays: the first
    labels : fine class by object; it replaces what the input says
    splits : split index by object, for objects whose input says none
    kept : split index by object, for those already in the store: nothing changes it
    seed, fractions : of the stratified draw, made when neither input nor `splits` gives any new object its
        split; no draw when `fractions` is None. Where some are given, the others get none: a draw would
        mix with a published split.
    """
    names = sorted({name for p in pieces for name in p.object_id})
    code = {name: k for k, name in enumerate(names)}
    history = np.array([code[name] for p in pieces for name in p.object_id], np.int64)
    length = np.concatenate([p.length for p in pieces])
    source = np.repeat(history, length)
    present = np.zeros(len(names), bool)
    present[source] = True

    label = np.full(len(names), UNKNOWN, np.int8)
    np.maximum.at(label, history, np.concatenate([p.label for p in pieces]))
    for name in (labels or {}).keys() & code.keys():
        label[code[name]] = labels[name]
    split = _splits(names, present, label, _given(pieces, history, len(names)), splits, kept, seed, fractions)

    # Sources by split, then name; those without a split last. Objects without a detection are left out.
    place = np.where(split == NO_SPLIT, len(SPLITS), split)
    chosen = np.lexsort((np.arange(len(names)), place))
    chosen = chosen[present[chosen]]
    rank = np.full(len(names), -1, np.int64)
    rank[chosen] = np.arange(len(chosen))

    numbers = {name: np.concatenate([p.numbers[name] for p in pieces]) for name in NUMBERS}
    key = rank[source]
    richness = np.concatenate([p.richness for p in pieces])
    # Of equally rich copies that differ the first stays: put them in an order of their own, as `merge` does.
    by_content = np.lexsort((numbers["magerr"], numbers["mag"]))
    columns = (key, numbers["mjd"], numbers["band"], numbers["candid"], richness)
    drop = np.empty(len(key), bool)
    drop[by_content] = duplicates(*(column[by_content] for column in columns))
    keep = np.flatnonzero(~drop)
    order = keep[np.lexsort([numbers[name][keep] for name in ("candid", "band", "mjd")] + [key[keep]])]
    rows = [len(p.richness) for p in pieces]
    return Merged(
        [names[k] for k in chosen],
        label[chosen],
        split[chosen],
        _positions(pieces, history, len(names))[chosen],
        np.concatenate([[0], np.cumsum(np.bincount(key[keep], minlength=len(chosen)))]).astype(np.int64),
        {name: values[order] for name, values in numbers.items()},
        np.repeat(np.arange(len(pieces), dtype=np.int32), rows)[order],
        np.concatenate([np.arange(n, dtype=np.int64) for n in rows])[order],
        np.concatenate([p.stamp_start for p in pieces])[order],
        np.concatenate([p.stamp_length for p in pieces])[order],
        pieces,
        int(drop.sum()),
        [names[k] for k in np.flatnonzero(~present)],
    )


def _given(pieces: list[Piece], history: np.ndarray, number: int) -> np.ndarray:
    """(N,) int8: the split the input gives; of several, the last by name, as `merge` has it."""
    by_name = ("", *sorted(SPLITS))
    place = np.zeros(number, np.int8)
    np.maximum.at(place, history, np.array([by_name.index(s) for p in pieces for s in p.split], np.int8))
    return np.array([NO_SPLIT, *(SPLITS.index(s) for s in by_name[1:])], np.int8)[place]


def _splits(names, present, label, split, table, kept, seed, fractions) -> np.ndarray:
    kept = kept or {}
    old = np.array([name in kept for name in names], bool)
    for k in np.flatnonzero(split == NO_SPLIT):
        split[k] = (table or {}).get(names[k], NO_SPLIT)
    new = np.flatnonzero(present & ~old)
    if fractions is not None and (split[new] == NO_SPLIT).all():
        split[new] = stratified([names[k] for k in new], label[new], seed, fractions)
    for k in np.flatnonzero(old):
        split[k] = kept[names[k]]
    return split


def _positions(pieces: list[Piece], history: np.ndarray, number: int) -> np.ndarray:
    """(N, 2): of several positions of one object the smallest by declination, then right ascension."""
    ra, dec = (np.concatenate([getattr(p, name) for p in pieces]) for name in ("ra", "dec"))
    known = np.flatnonzero(np.isfinite(ra))
    known = known[np.lexsort((ra[known], dec[known], history[known]))]
    which, first = np.unique(history[known], return_index=True)
    position = np.full((number, 2), np.nan)
    position[which] = np.stack([ra[known[first]], dec[known[first]]], 1)
    return position
