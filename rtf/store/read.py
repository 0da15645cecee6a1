"""Read a store: whole splits as one slice of each array, stamps by detection, sources one by one.

A store is a folder, one Zarr 3 group (layout in `rtf/store/write.py`). Sources are ordered by split, then
name, and their detections are concatenated, so a split is contiguous in every array. Opening checks that the
store is complete and no chunk file lost (or, for stamps, cut short); reading checks the sum of each chunk.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import zarr

from rtf.alerts import history
from rtf.alerts.history import NUMBERS, SPLITS, Detections, SourceHistory
from rtf.alerts.surveys import Survey, survey_named
from rtf.classes import FINE, OTHERS, RARE

FORMAT, VERSION = "rtf-store", 1

_SOURCE = ("object_id", "label", "coarse", "split", "position", "offset")

#: Detections read at once by `Store.histories`.
_BLOCK = 8192


class StoreError(Exception):
    """A store that cannot be read as it is: absent, unfinished, of another version, or damaged."""


@dataclass
class Store:
    """N sources with D detections."""

    path: Path  # the folder
    attributes: dict  # counts, names of columns and classes, and in `runs` the provenance of each build
    arrays: dict[str, zarr.Array]  # by name, unread
    object_id: np.ndarray  # (N,) str, as objects
    label: np.ndarray  # (N,) int8, fine class index, -1 unknown
    coarse: np.ndarray  # (N,) int8, coarse class index, -1 unknown
    split: np.ndarray  # (N,) int8, 0 train, 1 val, 2 test, -1 none
    position: np.ndarray  # (N, 2) float64, ra and dec [degree], NaN unknown
    offset: np.ndarray  # (N + 1,) int64; source k owns detections offset[k] to offset[k + 1]

    @property
    def n(self) -> int:
        """Number of sources."""
        return len(self.object_id)

    @property
    def survey(self) -> Survey:
        """The survey that its sources are of; former versions knew ZTF alone."""
        return survey_named(self.attributes.get("survey", "ztf"))

    @property
    def has_cutouts(self) -> bool:
        return self.attributes["cutouts"]

    @property
    def has_limits(self) -> bool:
        """Whether the store has non-detections; former versions wrote none."""
        return self.attributes.get("limits", False)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the sources and their detections; of stamps, their sizes and places.

        Stores of the same content share it, wherever and whenever they were built. The store keeps it beside
        the checksums of all chunks, and it is computed anew where those changed.
        """
        kept = self.attributes.get("digest")
        if kept and kept["checksums"] == self.checksums():
            return kept["content"]
        return self._content()

    def _content(self) -> str:
        sha = hashlib.sha256()
        limits = ("limit_offset", "limits") if self.has_limits else ()
        stamps = ("cutout_offset",) if self.has_cutouts else ()
        for name in (*_SOURCE, *NUMBERS, "metadata", *stamps, *limits):
            array = self.arrays[name]
            text = array.dtype.kind not in "biuf"
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            for start in range(0, array.shape[0], array.chunks[0]):  # a store may be larger than the memory
                values = self.read(name, start, start + array.chunks[0])
                if text and start:
                    sha.update(b"\0")
                sha.update("\0".join(values.tolist()).encode() if text else values.tobytes())
        return sha.hexdigest()

    def checksums(self) -> str:
        """SHA-256, in hex, of the checksums that end every chunk file."""
        sha = hashlib.sha256()
        for name in sorted(self.arrays):
            for file in sorted((self.path / name / "c").rglob("*")):
                if file.is_file():
                    with file.open("rb") as chunk:
                        chunk.seek(-4, os.SEEK_END)
                        sha.update(f"{name} {file.relative_to(self.path)} ".encode() + chunk.read())
        return sha.hexdigest()

    def keep_digest(self) -> None:
        """Keep the digest in the store, so that nobody has to read it all to know it."""
        kept = {"content": self._content(), "checksums": self.checksums()}
        zarr.open_group(self.path, mode="r+").update_attributes({"digest": kept})

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows `start` to `stop` of an array; StoreError when a chunk is damaged."""
        return _read(self.arrays[name], slice(start, stop))

    def sources(self, split: str | None = None) -> slice:
        """The sources of "train", "val", "test" or "none"; all for None. The slice may be empty."""
        if split is None:
            return slice(0, self.n)
        if split not in (*SPLITS, "none"):
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, none, or None, not {split!r}")
        where = np.flatnonzero(self.split == (SPLITS.index(split) if split in SPLITS else -1))
        return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)

    def detections(
        self, split: str | None = None, *, metadata: bool = True, cutouts: bool = False
    ) -> Detections:
        """The detections of a split (see `sources`), one read an array.

        `metadata` False leaves them unread, as (D, 0). `cutouts` True says where the stamps are, where the
        store has any; their bytes are read when `Detections.read_stamps` is called.
        """
        chosen = self.sources(split)
        offset = self.offset[chosen.start : chosen.stop + 1]
        start, stop = int(offset[0]), int(offset[-1])
        detections = self._block(start, stop, offset - start, metadata)
        bounds = self.limit_offset[chosen.start : chosen.stop + 1]
        limits = self.limits(int(bounds[0]), int(bounds[-1]))
        detections.limits = history.latest_limits(detections, bounds - bounds[0], limits)
        if cutouts and self.has_cutouts:
            size = np.diff(self.cutout_offset[3 * start : 3 * stop + 1]).reshape(-1, 3)
            detections.stamp = np.where((size > 0).all(1), np.arange(start, stop), -1)
            detections.read_stamps = lambda index: [self.cutouts(int(k)) for k in index]
        return detections

    def _block(self, start: int, stop: int, offset: np.ndarray, metadata: bool = True) -> Detections:
        columns = {name: self.read(name, start, stop) for name in NUMBERS}
        found = self.read("metadata", start, stop) if metadata else np.empty((stop - start, 0), np.float32)
        return Detections(offset, **columns, metadata=found, survey=self.survey)

    @cached_property
    def limit_offset(self) -> np.ndarray:
        """(N + 1,) int64: source k owns non-detections limit_offset[k] to limit_offset[k + 1]."""
        return self.read("limit_offset") if self.has_limits else np.zeros(self.n + 1, np.int64)

    def limits(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """(K, 3) non-detections `start` to `stop`, as in `SourceHistory`."""
        return self.read("limits", start, stop) if self.has_limits else history.NO_LIMITS

    @cached_property
    def cutout_offset(self) -> np.ndarray:
        """(3 D + 1,) int64: science, template and difference stamp of each detection in the stamps' bytes."""
        if not self.has_cutouts:
            raise StoreError(f"{self.path} has no cutouts: its input had none")
        return self.read("cutout_offset")

    def cutouts(self, detection: int) -> history.Cutouts:
        """Gzipped FITS of the three stamps of detection `detection` (0 to D - 1), None where not sent."""
        return self._stamps(detection, detection + 1)[0]

    def _stamps(self, start: int, stop: int) -> list[history.Cutouts]:
        if not 0 <= start <= stop <= self.attributes["detections"]:
            raise IndexError(f"detections {start} to {stop}: the store has {self.attributes['detections']}")
        offset = self.cutout_offset[3 * start : 3 * stop + 1]
        data = self._bytes(int(offset[0]), int(offset[-1]))
        cuts = (offset - offset[0]).tolist()
        stamps = [data[a:b] or None for a, b in pairwise(cuts)]
        return [tuple(stamps[k : k + 3]) for k in range(0, len(stamps), 3)]

    def _bytes(self, start: int, stop: int) -> bytes:
        """Bytes of the stamps, straight from the chunk files, which hold them as they are.

        This reads 60 kB for a detection where Zarr would read a chunk of 16 MB. gzip has a checksum of its
        own, and opening checked the size of each file.
        """
        pieces, size = [], self.arrays["cutout_bytes"].chunks[0]
        while start < stop:
            chunk, at = divmod(start, size)
            take = min(stop - start, size - at)
            with (self.path / "cutout_bytes" / "c" / str(chunk)).open("rb") as file:
                pieces.append(os.pread(file.fileno(), take, at))
            start += take
        return b"".join(pieces)

    def histories(
        self, sources: slice | np.ndarray | None = None, *, cutouts: bool = True
    ) -> Iterator[SourceHistory]:
        """The sources as readers yield them, in the order asked for.

        `cutouts` False leaves the stamps unread. A source without any in a store that has some has a list of
        three Nones for each detection.
        """
        index = np.arange(self.n)[slice(None) if sources is None else sources]
        for block in self._blocks(np.atleast_1d(index)):
            first, last = int(block[0]), int(block[-1]) + 1
            offset = self.offset[first : last + 1]
            start, stop = int(offset[0]), int(offset[-1])
            rows = self._block(start, stop, offset - start)
            stamps = self._stamps(start, stop) if cutouts and self.has_cutouts else None
            bounds = self.limit_offset[first : last + 1]
            limits = self.limits(int(bounds[0]), int(bounds[-1]))
            for k in range(first, last):
                a, b = (int(x) for x in rows.offset[k - first : k - first + 2])
                yield SourceHistory(
                    str(self.object_id[k]), rows.mjd[a:b], rows.band[a:b], rows.mag[a:b], rows.magerr[a:b],
                    rows.metadata[a:b], rows.candid[a:b], None if stamps is None else stamps[a:b],
                    float(self.position[k, 0]), float(self.position[k, 1]), int(self.label[k]),
                    SPLITS[self.split[k]] if self.split[k] >= 0 else "",
                    limits[slice(*(bounds[k - first : k - first + 2] - bounds[0]))], survey=self.survey,
                )  # fmt: skip

    def _blocks(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Cut an index of sources into runs of neighbours with about `_BLOCK` detections."""
        size = self.offset[index + 1] - self.offset[index]
        fill = (np.cumsum(size) - size) // (_BLOCK if not self.has_cutouts else _BLOCK // 16)
        cuts = np.flatnonzero((np.diff(index) != 1) | (np.diff(fill) != 0)) + 1
        return (block for block in np.split(index, cuts) if len(block))

    def summary(self) -> str:
        """Counts by class and split, as lines a person can read."""
        header = ("class", *SPLITS, "none", "all")
        lines = [f"{self.path}: {self.n:,} sources, {self.attributes['detections']:,} detections"]
        lines.append("".join(f"{h:>12}" if k else f"{h:<14}" for k, h in enumerate(header)))
        for label, name in [*enumerate(FINE), (-1, "unknown"), (None, "all")]:
            member = self.label == label if label is not None else np.ones(self.n, bool)
            counts = [int((member & (self.split == s)).sum()) for s in (0, 1, 2, -1)]
            if name in (*OTHERS, *RARE) and not sum(counts):
                continue
            lines.append(f"{name:<14}" + "".join(f"{c:>12,}" for c in (*counts, sum(counts))))
        return "\n".join(lines)


def open_store(path: str | os.PathLike) -> Store:
    """Open a store for reading.

    Raises
    ------
    StoreError : not a store, not complete, of another version, or a chunk file is missing or cut short
    """
    path = Path(path)
    if not (path / "zarr.json").exists():
        # a run killed between the two renames that replace a store
        left = [str(p) for p in (path.with_name(path.name + s) for s in (".new", ".old")) if p.exists()]
        hint = f"; a run was stopped while replacing it (see {' and '.join(left)}): run its command again"
        raise StoreError(f"{path} is not a store: it has no zarr.json{hint if left else ''}")
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    if attributes.get("format") != FORMAT:
        raise StoreError(f"{path} is a Zarr group but not an RTF store")
    if attributes.get("version") != VERSION:
        version = attributes.get("version")
        raise StoreError(f"{path} has format version {version}; this library reads {VERSION}")
    if not attributes.get("complete"):
        raise StoreError(f"{path} is not complete: run the command that writes it again")
    # Classes were added at the end; what a label means never changed.
    classes = attributes["classes"]
    try:
        fields = survey_named(attributes.get("survey", "ztf")).metadata_fields
    except ValueError as error:
        raise StoreError(f"{path}: {error}") from error
    if attributes["metadata_fields"] != list(fields) or classes != list(FINE[: len(classes)]):
        raise StoreError(f"{path} has other metadata columns or classes than this library")
    names = [*_SOURCE, *NUMBERS, "metadata"]
    names += ["cutout_offset", "cutout_bytes"] if attributes["cutouts"] else []
    names += ["limit_offset", "limits"] if attributes.get("limits") else []
    arrays = {name: _open_array(path, name) for name in names}
    values = {name: _read(arrays[name], slice(None)) for name in _SOURCE}
    # Objects, not an array of one width: one long name would cost as much for every source.
    values["object_id"] = np.array(values["object_id"].tolist(), dtype=object)
    return Store(path, attributes, arrays, **values)


def _open_array(path: Path, name: str) -> zarr.Array:
    """An array whose chunk files are all there, for Zarr takes a missing one as the fill value."""
    folder = path / name
    if not (folder / "zarr.json").exists():
        raise StoreError(f"{path}: array {name} is missing")
    array = zarr.open_array(folder, mode="r")
    tail = "/0" * (array.ndim - 1)
    # Uncompressed stamps and their checksum have a known size; other chunks are checked when read.
    size = array.chunks[0] + 4 if name == "cutout_bytes" else None
    for k in range(array.cdata_shape[0]):
        file = folder / f"c/{k}{tail}"
        if not file.exists():
            raise StoreError(f"{path}: array {name} has lost its chunk {file}")
        if size is not None and (there := file.stat().st_size) != size:
            raise StoreError(f"{path}: array {name}: {file} has {there} bytes instead of {size}")
    return array


def _read(array: zarr.Array, rows: slice) -> np.ndarray:
    try:
        return array[rows]
    except ValueError as error:
        # what Zarr raises on a wrong checksum; it names neither array nor file
        raise StoreError(f"{array.store_path}: the array is damaged: {error}") from error
