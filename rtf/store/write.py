"""Write merged sources as a Zarr 3 group: numbers from memory, metadata and stamps chunk by chunk from parts.

Notable:
- every chunk ends in a CRC-32C; chunks equal to the fill value are written too, so that a lost one is noticed
- stamps are gzip already and are stored as they are, so that a stamp is a range of bytes of a chunk file
- tasks are whole chunks, so threads never write to the same file
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from rtf.classes import FINE, coarse_label
from rtf.store.merge import Merged
from rtf.store.read import FORMAT, VERSION, open_store

#: About this many bytes a chunk before compression; stamps take more, to keep the number of files down.
CHUNK_BYTES = 2 << 20
STAMP_CHUNK_BYTES = 16 << 20


def write_group(
    folder: Path, merged: Merged, runs: list[dict], threads: int, step: Callable[[int, int], None]
) -> None:
    """Write the arrays, then mark the group complete; `step` is told the chunks written, and of how many."""
    group = zarr.create_group(folder, attributes={"format": FORMAT, "version": VERSION, "complete": False})
    arrays = {"object_id": np.array(merged.object_id, np.dtypes.StringDType())}
    arrays |= {name: getattr(merged, name) for name in ("label", "split", "position", "offset")}
    arrays |= {"coarse": coarse_label(merged.label), **merged.numbers}
    if merged.has_cutouts:
        arrays["cutout_offset"] = np.append(0, np.cumsum(merged.stamp_length, dtype=np.int64))
    if has_limits := len(merged.limits) > 0:
        arrays |= {"limit_offset": merged.limit_offset, "limits": merged.limits}
    for name, values in arrays.items():
        _create(group, name, values.shape, values.dtype, CHUNK_BYTES)[...] = values

    number = len(merged.row)
    tasks = _tasks(
        _create(group, "metadata", (number, len(merged.survey.metadata_fields)), np.dtype("f4"), CHUNK_BYTES),
        lambda a, b: gather_metadata(merged, a, b),
    )
    if merged.has_cutouts:
        start = arrays["cutout_offset"][::3]
        stamps = _create(group, "cutout_bytes", (int(start[-1]),), np.dtype("u1"), STAMP_CHUNK_BYTES, [])
        tasks += _tasks(stamps, lambda a, b: gather_stamps(merged, start, a, b))
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for k, _ in enumerate(pool.map(lambda task: task(), tasks), 1):
            step(k, len(tasks))
    survey = merged.survey
    names = {"survey": survey.name, "bands": list(survey.bands)}
    names |= {"metadata_fields": list(survey.metadata_fields), "classes": list(FINE)}
    counts = {"sources": len(merged.object_id), "detections": number}
    held = {"cutouts": merged.has_cutouts, "limits": has_limits}
    group.update_attributes({"complete": True, **counts, **held, **names, "runs": runs})
    open_store(folder).keep_digest()


def _create(group, name: str, shape, dtype: np.dtype, chunk_bytes: int, compressors=None) -> zarr.Array:
    rows = max(1, chunk_bytes // (int(np.prod(shape[1:])) * dtype.itemsize))
    return group.create_array(
        name,
        shape=shape,
        chunks=(rows, *shape[1:]),
        dtype=dtype,
        compressors=[*([ZstdCodec(level=3)] if compressors is None else compressors), Crc32cCodec()],
        config={"write_empty_chunks": True},
    )


def _tasks(array: zarr.Array, gather: Callable[[int, int], np.ndarray]) -> list[Callable[[], None]]:
    def task(a: int, b: int) -> None:
        array[a:b] = gather(a, b)

    rows, number = array.chunks[0], array.shape[0]
    return [lambda a=a: task(a, min(a + rows, number)) for a in range(0, number, rows)]


def gather_metadata(merged: Merged, a: int, b: int) -> np.ndarray:
    """(b - a, F) metadata of detections a to b, one read of each piece they come from."""
    piece, row = merged.piece[a:b], merged.row[a:b]
    result = np.empty((b - a, len(merged.survey.metadata_fields)), np.float32)
    order = np.argsort(piece, kind="stable")
    for where in np.split(order, np.flatnonzero(np.diff(piece[order])) + 1):
        low, high = row[where].min(), row[where].max() + 1
        metadata, _ = merged.pieces[piece[where[0]]].open()
        result[where] = metadata[low:high][row[where] - low]
    return result


def gather_stamps(merged: Merged, start: np.ndarray, a: int, b: int) -> np.ndarray:
    """(b - a,) bytes a to b of all stamps, of which those of detection d begin at `start[d]`.

    Neighbours that follow one another where they come from are copied together.
    """
    first, last = np.searchsorted(start, a, "right") - 1, np.searchsorted(start, b, "left")
    use = first + np.flatnonzero(np.diff(start[first : last + 1]))
    piece, source = merged.piece[use], merged.stamp_start[use]
    low, high = np.maximum(start[use], a), np.minimum(start[use + 1], b)
    source = source + (low - start[use])
    cut = np.flatnonzero((np.diff(piece) != 0) | (source[1:] != (source + high - low)[:-1])) + 1
    begin = np.concatenate([[0], cut])
    end = np.concatenate([cut, [len(use)]]) - 1
    result = np.empty(b - a, np.uint8)
    opened = None
    # Piece by piece, so that each is opened once and a thread holds no more than one.
    for k in np.argsort(piece[begin], kind="stable"):
        i, j = begin[k], end[k]
        if piece[i] != opened:
            opened, data = piece[i], merged.pieces[piece[i]].open()[1]
        result[low[i] - a : high[j] - a] = data[source[i] : source[i] + high[j] - low[i]]
    return result
