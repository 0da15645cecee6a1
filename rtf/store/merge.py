"""Merge the histories of all pieces: which detections stay, in which order, and what is known of each source.

The rule is that of live alerts (`rtf/alerts/merge.py`); here metadata and stamps are only pointed at.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtf.alerts.history import NUMBERS, SPLITS, one_survey
from rtf.alerts.merge import merged_facts, merged_limits, merged_rows, stamps_content
from rtf.alerts.surveys import Survey
from rtf.store.parts import Piece, ranks
from rtf.store.read import Store
from rtf.store.splits import NO_SPLIT, stratified


@dataclass
class Merged:
    """N sources ordered by split and name, and their D detections ordered by source and time."""

    object_id: list[str]
    label: np.ndarray  # (N,) int8
    split: np.ndarray  # (N,) int8
    position: np.ndarray  # (N, 2) float64, ra and dec [degree]
    offset: np.ndarray  # (N + 1,) int64
    numbers: dict[str, np.ndarray]  # the columns `NUMBERS`, (D,) each
    limits: np.ndarray  # (K, 3) non-detections
    limit_offset: np.ndarray  # (N + 1,) source k owns rows limit_offset[k] to limit_offset[k + 1] of `limits`
    piece: np.ndarray  # (D,) in which of `pieces` the metadata and stamps of a detection are
    row: np.ndarray  # (D,) and in which row of it
    stamp_start: np.ndarray  # (D,) first byte of its stamps there
    stamp_length: np.ndarray  # (D, 3) bytes of each
    pieces: list[Piece]
    repeats: int  # rows dropped because they repeat another
    empty: list[str]  # names of objects left out because they have no detection

    @property
    def has_cutouts(self) -> bool:
        return any(p.has_cutouts for p in self.pieces)

    @property
    def survey(self) -> Survey:
        return self.pieces[0].survey


def combine(
    pieces: list[Piece],
    *,
    labels: dict[str, int] | None = None,
    splits: dict[str, int] | None = None,
    kept: dict[str, int] | None = None,
    seed: int = 0,
    fractions=None,
) -> Merged:
    """Merge pieces, in any order.

    Parameters
    ----------
    labels : fine class by object; it replaces what the input says
    splits : split index by object, for objects whose input says none
    kept : split index by object, for those already in the store: nothing changes it
    seed, fractions : of the stratified draw, made when neither input nor `splits` gives any new object its
        split, unless `fractions` is None. Where some are given, the others get none: a draw would mix with a
        published split
    """
    one_survey(p.survey for p in pieces)
    names = sorted({name for p in pieces for name in p.object_id})
    code = {name: k for k, name in enumerate(names)}
    history = np.array([code[name] for p in pieces for name in p.object_id], np.int64)
    length = np.concatenate([p.length for p in pieces])
    source = np.repeat(history, length)
    present = np.zeros(len(names), bool)
    present[source] = True

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in pieces])

    facts = (column(name) for name in ("label", "split", "ra", "dec"))
    label, given, position = merged_facts(history, len(names), *facts)
    for name in (labels or {}).keys() & code.keys():
        label[code[name]] = labels[name]
    given = np.array([SPLITS.index(s) if s else NO_SPLIT for s in given], np.int8)
    split = _splits(names, present, label, given, splits, kept, seed, fractions)

    # Sources by split, then name; those without a split last. Objects without a detection are left out.
    place = np.where(split == NO_SPLIT, len(SPLITS), split)
    chosen = np.lexsort((np.arange(len(names)), place))
    chosen = chosen[present[chosen]]
    rank = np.full(len(names), -1, np.int64)
    rank[chosen] = np.arange(len(chosen))

    numbers = {name: np.concatenate([p.numbers[name] for p in pieces]) for name in NUMBERS}
    rows = [len(p.richness) for p in pieces]
    piece = np.repeat(np.arange(len(pieces), dtype=np.int32), rows)
    row = np.concatenate([np.arange(n, dtype=np.int64) for n in rows])
    start, stamp_length = column("stamp_start"), column("stamp_length")
    key = rank[source]
    order = merged_rows(
        key, numbers, column("richness"), column("content"),
        lambda rows: _stamps(pieces, piece[rows], start[rows], stamp_length[rows]),
    )  # fmt: skip
    owner = rank[np.repeat(history, column("limit_length"))]
    whose, limits = merged_limits(owner[owner >= 0], column("limits")[owner >= 0])
    return Merged(
        object_id=[names[k] for k in chosen],
        label=label[chosen],
        split=split[chosen],
        position=position[chosen],
        offset=np.append(0, np.cumsum(np.bincount(key[order], minlength=len(chosen)))).astype(np.int64),
        numbers={name: values[order] for name, values in numbers.items()},
        limits=limits,
        limit_offset=np.searchsorted(whose, np.arange(len(chosen) + 1)),
        piece=piece[order],
        row=row[order],
        stamp_start=start[order],
        stamp_length=stamp_length[order],
        pieces=pieces,
        repeats=len(key) - len(order),
        empty=[names[k] for k in np.flatnonzero(~present)],
    )


def _stamps(pieces: list[Piece], piece: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """`stamps_content` of detections, read from where they are."""
    edges = np.cumsum(np.column_stack([start, length]), 1)
    found = []
    for k, cuts in zip(piece, edges.tolist()):
        data = pieces[k].open()[1]
        found.append([bytes(data[a:b]) for a, b in pairwise(cuts)])
    return stamps_content(found)


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


@dataclass
class _Rows:
    """An array of a store, read by slices; sources keep their order in a merge, so slices are short."""

    store: Store
    name: str

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.store.read(self.name, rows.start, rows.stop)


def piece_of_store(store: Store) -> Piece:
    """The sources of a store, to merge with new ones. Their splits are not in it."""
    detections = store.detections(metadata=False)
    number = len(detections.mjd)
    offset = store.cutout_offset if store.has_cutouts else np.zeros(3 * number + 1, np.int64)
    stamp_length = np.diff(offset).reshape(-1, 3).astype(np.int32)
    bulk = _Rows(store, "metadata"), _Rows(store, "cutout_bytes")
    rich, hashes = ranks(bulk[0], stamp_length)
    return Piece(
        object_id=store.object_id.tolist(),
        label=store.label,
        split=[""] * store.n,
        ra=store.position[:, 0],
        dec=store.position[:, 1],
        length=detections.length,
        numbers={name: getattr(detections, name) for name in NUMBERS},
        richness=rich,
        content=hashes,
        stamp_start=offset[:-1:3],
        stamp_length=stamp_length,
        has_cutouts=store.has_cutouts,
        limits=store.limits(),
        limit_length=np.diff(store.limit_offset),
        survey=store.survey,
        open=lambda: bulk,
    )
