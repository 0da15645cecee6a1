"""What is known of each object, kept from alert to alert: an LMDB folder that others read while it grows.

Notable:
- a record holds each differing copy of a detection once, with the time of the alert that first told it: what
  an alert knew when it came follows from the record and its own packet, by the one rule
  (`rtf/alerts/known.py`), for one that comes again as well
- a record says for which alerts fingerprints were made, and in which space: a repeat is told from it
- a batch is written in one transaction, whole or not at all; readers in other processes see the last one
- objects without an alert for `keep_days` days of this machine's clock go, and of each object what is older
  than its newest alert by so much; freed pages are used again
"""

import json
import os
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from rtf.alerts.history import NO_CANDID, NO_CUTOUTS, NUMBERS, Cutouts, SourceHistory
from rtf.alerts.known import alert_histories
from rtf.alerts.merge import merge_objects, richness
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import Survey, survey_named

#: Days that an object, and what is told of it, is kept; longer than what a model looks at.
KEEP_DAYS = 730.0
#: Detections, and non-detections, of one object: the newest are kept.
MOST_ROWS = 5_000

#: Most bytes that the folder may grow to; a number, nothing is set aside.
_MAP_BYTES = 1 << 40
_EXPIRED_AT_ONCE = 1000
_LONGEST_KEY = 400
_LAYOUT = 1

_TOLD = 9  # bytes of `told` and `done`; what follows says whether two copies are the same
_LIMIT = np.dtype([("told", "<f8"), ("limit", "<f8", 3)])
_HEAD = struct.Struct("<BIIIdd")  # layout, day of the last write, rows, non-detections, ra, dec
_STAMPS = struct.Struct("<dq3i")  # time and candid of the alert, bytes of each stamp, -1: none


@cache
def _row(survey: Survey) -> np.dtype:
    """A detection. told: time of the packet that first told it; done: 1 + number of the space of its
    fingerprint."""
    return np.dtype([
        ("told", "<f8"), ("done", "u1"), ("mjd", "<f8"), ("candid", "<i8"), ("mag", "<f4"), ("magerr", "<f4"),
        ("band", "i1"), ("richness", "<i2"), ("metadata", "<f4", len(survey.metadata_fields)),
    ])  # fmt: skip


class HistoryError(ValueError):
    """A folder of histories that cannot be used, and why."""


@dataclass
class Record:
    """What is known of an object."""

    rows: np.ndarray  # (R,) `_row`
    limits: np.ndarray  # (K,) `_LIMIT`
    ra: float = float("nan")  # of several positions the smallest, as in a store
    dec: float = float("nan")
    day: int = 0  # of the last write


def open_histories(folder: str | os.PathLike) -> "Histories":
    """The histories in a folder, to be read from any process, also while a stream writes them.

    Raises
    ------
    HistoryError : there are none
    """
    return Histories(folder, write=False)


class Histories:
    """Histories of objects by survey and name; see `open_histories`."""

    def __init__(
        self,
        folder: str | os.PathLike,
        write: bool = True,
        cutouts: bool = True,
        keep_days: float = KEEP_DAYS,
    ) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise HistoryError("the stream needs LMDB: pip install rtf-fingerprints[stream]") from error
        self.folder, self.cutouts, self.keep_days = Path(folder), cutouts, keep_days
        if not write and not (self.folder / "data.mdb").exists():
            raise HistoryError(f"{folder} holds no histories: a stream makes them (python -m rtf.stream)")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lmdb = lmdb.open(
                str(self.folder), map_size=_MAP_BYTES, max_dbs=4, readonly=not write, max_readers=512,
                meminit=False,
            )  # fmt: skip
            names = (b"objects", b"days", b"stamps", b"meta")
            self._objects, self._days, self._stamps, self._meta = (
                self._lmdb.open_db(n, create=write) for n in names
            )
        except lmdb.Error as error:
            raise HistoryError(f"{folder}: the histories cannot be opened: {error}") from error

    def close(self) -> None:
        self._lmdb.close()

    def __len__(self) -> int:
        """Number of objects."""
        with self._lmdb.begin() as reading:
            return reading.stat(self._objects)["entries"]

    def get(self, object_id: str, survey: str = "ztf") -> SourceHistory | None:
        """All that is known of an object, with the cutouts of its newest alert where they are kept."""
        key = _key(survey, object_id)
        with self._lmdb.begin() as reading:
            record, stamps = self._record(reading, key, survey), self._cutouts(reading, key)
        if record is None or not len(record.rows):
            return None
        told = _packet(object_id, record.rows, record.limits, stamps, survey_named(survey))
        told.ra, told.dec = record.ra, record.dec
        (history,) = merge_objects([told], ReadReport())
        return history

    def known(
        self, packets: Sequence[SourceHistory], survey: str, space: str
    ) -> tuple[list[SourceHistory], int]:
        """What each alert of a batch of packets knew, and how many of the alerts are repeats.

        The batch counts as told. An alert whose fingerprint was made in this space is a repeat and is left
        out; its packet tells what it holds all the same.
        """
        number = self._space(space) + 1
        by_object: dict[str, list[SourceHistory]] = {}
        for packet in packets:
            by_object.setdefault(packet.object_id, []).append(packet)
        told, repeats = [], 0
        with self._lmdb.begin() as reading:
            for name, own in by_object.items():
                key = _key(survey, name)
                record = self._record(reading, key, survey)
                if record is None:
                    told += own
                    continue
                done = [p.own >= 0 and _is_done(record.rows, p, number) for p in own]
                repeats += sum(done)
                own = [replace(p, own=-1) if d else p for p, d in zip(own, done, strict=True)]
                new = np.unique([p.alert for p in own if p.own >= 0])
                if not len(new):
                    continue
                stamps = self._cutouts(reading, key)
                # what is told up to each new alert, as one packet
                turn, limit_turn = (np.searchsorted(new, x["told"]) for x in (record.rows, record.limits))
                for k in range(len(new)):
                    rows, limits = record.rows[turn == k], record.limits[limit_turn == k]
                    if len(rows) or len(limits):
                        told.append(_packet(name, rows, limits, stamps, survey_named(survey)))
                told += own
        report = ReadReport()
        return list(alert_histories(told, report)), repeats

    def add(
        self, packets: Iterable[SourceHistory], survey: str, space: str, notes: dict | None = None
    ) -> None:
        """Keep what packets tell, in one transaction; the fingerprints of their alerts count as made.

        `notes` are kept with them, plain values by name.
        """
        number, today = self._space(space) + 1, int(time.time() // 86400)
        by_object: dict[str, list[SourceHistory]] = {}
        for packet in packets:
            by_object.setdefault(packet.object_id, []).append(packet)
        with self._lmdb.begin(write=True) as writing:
            for name, own in by_object.items():
                key = _key(survey, name)
                record = self._record(writing, key, survey)
                record = record or Record(np.empty(0, _row(survey_named(survey))), np.empty(0, _LIMIT))
                if record.day != today:
                    writing.delete(_day(record.day) + key, db=self._days)
                    writing.put(_day(today) + key, b"", db=self._days)
                for packet in own:
                    record = _with(record, packet, number)
                record = _cut(record, self.keep_days)
                record.day = today
                writing.put(key, _packed(record), db=self._objects)
                if self.cutouts:
                    self._keep_cutouts(writing, key, own)
            for name, value in (notes or {}).items():
                writing.put(b"note/" + name.encode(), json.dumps(value).encode(), db=self._meta)
            self._expire(writing, today)

    def note(self, name: str):
        """A value kept with the histories; None where there is none."""
        with self._lmdb.begin() as reading:
            value = reading.get(b"note/" + name.encode(), db=self._meta)
        return None if value is None else json.loads(value)

    def notes(self, **values) -> None:
        """Keep values by themselves."""
        with self._lmdb.begin(write=True) as writing:
            for name, value in values.items():
                writing.put(b"note/" + name.encode(), json.dumps(value).encode(), db=self._meta)

    def _space(self, space: str) -> int:
        """The number of a space."""
        spaces = self.note("spaces") or []
        if space not in spaces:
            spaces = [*spaces, space]
            if len(spaces) > 255:
                raise HistoryError(f"{self.folder} has seen 255 spaces: begin a new folder")
            self.notes(spaces=spaces)
        return spaces.index(space)

    def _record(self, reading, key: bytes, survey: str) -> Record | None:
        packed = reading.get(key, db=self._objects)
        return None if packed is None else _unpacked(packed, survey_named(survey))

    def _cutouts(self, reading, key: bytes) -> tuple[float, int, Cutouts] | None:
        """Time and candid of the newest alert with all its stamps, and these."""
        packed = reading.get(key, db=self._stamps)
        if packed is None:
            return None
        told, candid, *sizes = _STAMPS.unpack_from(packed)
        ends = np.cumsum([_STAMPS.size, *(max(s, 0) for s in sizes)]).tolist()
        stamps = tuple(packed[a:b] if s >= 0 else None for a, b, s in zip(ends, ends[1:], sizes))
        return told, candid, stamps

    def _keep_cutouts(self, writing, key: bytes, packets: list[SourceHistory]) -> None:
        newest = max(
            (p for p in packets if p.own >= 0 and p.cutouts is not None and None not in p.cutouts[p.own]),
            key=lambda p: p.alert, default=None,
        )  # fmt: skip
        there = writing.get(key, db=self._stamps)
        if newest is None or (there is not None and _STAMPS.unpack_from(there)[0] > newest.alert):
            return
        stamps = newest.cutouts[newest.own]
        head = _STAMPS.pack(newest.alert, int(newest.candid[newest.own]), *(len(s) for s in stamps))
        writing.put(key, b"".join([head, *stamps]), db=self._stamps)

    def _expire(self, writing, today: int) -> None:
        """Remove some of the objects that nothing was told of for long."""
        last = _day(max(0, int(today - self.keep_days)))
        with writing.cursor(db=self._days) as cursor:
            for _ in range(_EXPIRED_AT_ONCE):
                if not cursor.first() or cursor.key()[: len(last)] >= last:
                    return
                key = bytes(cursor.key()[len(last) :])
                writing.delete(key, db=self._objects)
                writing.delete(key, db=self._stamps)
                cursor.delete()


@contextmanager
def only_writer(folder: str | os.PathLike) -> Iterator[None]:
    """Make sure that no other process streams into this folder; HistoryError where one does."""
    import fcntl

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".stream.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HistoryError(f"another stream writes into {folder}: give this one a folder=") from None
        yield


def _key(survey: str, object_id: str) -> bytes:
    key = f"{survey}/{object_id}".encode()
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{survey}/".encode()[:_LONGEST_KEY] + blake2b(key, digest_size=32).digest()


def _day(day: int) -> bytes:
    return struct.pack(">I", day)


def _packed(record: Record) -> bytes:
    head = _HEAD.pack(_LAYOUT, record.day, len(record.rows), len(record.limits), record.ra, record.dec)
    return head + record.rows.tobytes() + record.limits.tobytes()


def _unpacked(packed: bytes, survey: Survey) -> Record:
    layout, day, n, k, ra, dec = _HEAD.unpack_from(packed)
    row = _row(survey)
    if layout != _LAYOUT or len(packed) != _HEAD.size + n * row.itemsize + k * _LIMIT.itemsize:
        raise HistoryError(f"a record of layout {layout} is not of this version of rtf: begin a new folder")
    rows = np.frombuffer(packed, row, n, _HEAD.size)
    limits = np.frombuffer(packed, _LIMIT, k, _HEAD.size + n * row.itemsize)
    return Record(rows, limits, ra, dec, day)


def _packet(object_id: str, rows: np.ndarray, limits: np.ndarray, stamps, survey: Survey) -> SourceHistory:
    """Rows of a record as one packet that is no alert, in no order."""
    cutouts = None
    if stamps is not None:
        own = (rows["candid"] == stamps[1]) & (rows["mjd"] == stamps[0]) & (rows["done"] > 0)
        cutouts = [stamps[2] if k else NO_CUTOUTS for k in own.tolist()]
    told = max((x["told"].max() for x in (rows, limits) if len(x)), default=float("nan"))
    columns = {name: np.ascontiguousarray(rows[name], kind) for name, kind in NUMBERS.items()}
    return SourceHistory(
        object_id, **columns, metadata=np.ascontiguousarray(rows["metadata"], np.float32), cutouts=cutouts,
        limits=np.ascontiguousarray(limits["limit"]), alert=float(told), survey=survey,
    )  # fmt: skip


def _own_rows(rows: np.ndarray, packet: SourceHistory) -> np.ndarray:
    """(R,) bool: copies of a packet's own detection."""
    candid, own = packet.candid[packet.own], packet.own
    if candid != NO_CANDID:
        return rows["candid"] == candid
    return (rows["mjd"] == packet.mjd[own]) & (rows["band"] == packet.band[own])


def _is_done(rows: np.ndarray, packet: SourceHistory, number: int) -> bool:
    return bool((rows["done"][_own_rows(rows, packet)] == number).any())


def _with(record: Record, packet: SourceHistory, number: int) -> Record:
    """The record with what a packet tells beyond it; `number` marks its alert."""
    new = np.zeros(len(packet), _row(packet.survey))
    new["told"], new["metadata"] = packet.alert, packet.metadata
    for name in NUMBERS:
        new[name] = getattr(packet, name)
    stamps = [sum(bool(s) for s in c) for c in packet.cutouts or [NO_CUTOUTS] * len(packet)]
    new["richness"] = richness(packet.metadata, stamps)
    if packet.own >= 0:
        new["done"][packet.own] = number
    rows, limits = record.rows, np.zeros(len(packet.limits), _LIMIT)
    limits["told"], limits["limit"] = packet.alert, packet.limits
    if not len(rows):
        rows = new
    elif len(new):
        # A copy poorer than an earlier told one of its candid is never chosen by whoever knows both.
        order = np.argsort(rows["richness"], kind="stable")
        richest = dict(zip(rows["candid"][order].tolist(), order.tolist()))
        best = np.array([richest.get(c, -1) for c in new["candid"].tolist()])
        there = rows[np.maximum(best, 0)]
        poorer = (best >= 0) & (new["candid"] != NO_CANDID) & (there["richness"] > new["richness"])
        new = new[~(poorer & (there["told"] <= new["told"])) | (new["done"] > 0)]
        rows = _first_told(np.concatenate([rows, new]))
    ra, dec = record.ra, record.dec
    if not np.isfinite(ra) or (np.isfinite(packet.ra) and (packet.dec, packet.ra) < (dec, ra)):
        ra, dec = packet.ra, packet.dec
    return Record(rows, _first_told(np.concatenate([record.limits, limits])), ra, dec, record.day)


def _first_told(rows: np.ndarray) -> np.ndarray:
    """Of rows that are the same but for who told them, the first told; it has the last `done` of them."""
    with_done = "done" in rows.dtype.names
    start, size, packed = _TOLD if with_done else 8, rows.dtype.itemsize, rows.tobytes()
    same = [packed[k + start : k + size] for k in range(0, len(packed), size)]
    told, first = rows["told"].tolist(), {}
    for k, content in enumerate(same):
        if content not in first or told[k] < told[first[content]]:
            first[content] = k
    if len(first) == len(rows):
        return rows
    if with_done:
        rows = rows.copy()
        for k in np.flatnonzero(rows["done"]).tolist():
            rows["done"][first[same[k]]] = rows["done"][k]
    return rows[sorted(first.values())]


def _cut(record: Record, keep_days: float) -> Record:
    """The record without what is too old, or too much."""
    rows, limits = record.rows, record.limits
    told = max((x["told"].max() for x in (rows, limits) if len(x)), default=0.0)
    rows, limits = rows[rows["mjd"] >= told - keep_days], limits[limits["limit"][:, 0] >= told - keep_days]
    if len(rows) > MOST_ROWS:
        rows = rows[np.sort(np.argsort(rows["mjd"], kind="stable")[-MOST_ROWS:])]
    if len(limits) > MOST_ROWS:
        limits = limits[np.sort(np.argsort(limits["limit"][:, 0], kind="stable")[-MOST_ROWS:])]
    return replace(record, rows=rows, limits=limits)
