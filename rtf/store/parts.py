"""Parts: what one worker leaves of one unit of input, on disk, until all units are read.

Notable:
- one Arrow IPC file a unit, memory-mappable, one row a history; its lists run over detections
- a part is finished when its report exists: the report is written last
- a `Piece` holds in memory only what merging compares (about 50 bytes a detection); metadata and stamps
  stay on disk until they are copied to their place
"""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from rtf.alerts.history import METADATA_FIELDS, NO_CUTOUTS, SourceHistory
from rtf.alerts.limits import SILENCE
from rtf.alerts.report import ReadReport
from rtf.files import whole
from rtf.workers import in_processes

SPLITS = ("train", "val", "test")

#: Bytes gathered before a record batch is written: bounds a worker's memory.
BATCH_BYTES = 32 << 20

NUMBERS = {"mjd": np.float64, "band": np.int8, "mag": np.float32, "magerr": np.float32, "candid": np.int64}
_ROW = pa.list_(pa.float32(), len(METADATA_FIELDS))
_SCHEMA = pa.schema(
    [
        ("object_id", pa.string()), ("label", pa.int8()), ("split", pa.string()),
        ("ra", pa.float64()), ("dec", pa.float64()), ("has_cutouts", pa.bool_()),
        *((name, pa.list_(pa.from_numpy_dtype(dtype))) for name, dtype in NUMBERS.items()),
        ("metadata", pa.list_(_ROW)), ("cutouts", pa.list_(pa.large_binary())),
    ]
)  # fmt: skip


def part_path(folder: Path, index: int) -> Path:
    return Path(folder) / f"{index:07d}.arrow"


def report_path(folder: Path, index: int) -> Path:
    return Path(folder) / f"{index:07d}.json"


def read_unit(reader, unit, folder: Path, index: int) -> None:
    """Read one unit into its part and its report."""
    report = ReadReport()
    with _part(folder, index, report) as writer:
        for histories in _groups(_timed(reader.read(unit, report))):
            writer.write_batch(_batch(histories))


@contextmanager
def _part(folder: Path, index: int, report: ReadReport) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Where a part is written to; its report is written after it."""
    with (
        whole(part_path(folder, index)) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        yield writer
    report.write(report_path(folder, index))


def _timed(histories: Iterable[SourceHistory]) -> Iterator[SourceHistory]:
    """The same; a worker that waits too long for the next one is ended, whatever it is doing."""
    if parent_process() is None:
        yield from histories
        return
    histories = iter(histories)
    while True:
        signal.alarm(SILENCE)
        history = next(histories, None)
        signal.alarm(0)
        if history is None:
            return
        yield history


def missing_units(number: int, folder: Path) -> list[int]:
    """Which of the units have no finished part yet."""
    return [k for k in range(number) if not report_path(folder, k).exists()]


def read_units(
    reader, units: list, mine: range, folder: Path, workers: int, done: Callable[[], None]
) -> None:
    """Read the units `mine` whose parts are not there yet; `done` is called once for each, read or there.

    A file that ends the process that reads it is skipped by name; with 0 workers it ends this process.
    """
    todo = [k for k in missing_units(len(units), folder) if k in mine]
    for _ in range(len(mine) - len(todo)):
        done()
    jobs = [(reader, units[k], folder, k) for k in todo]
    for _ in in_processes(_read_unit, jobs, workers, died=_read_apart):
        done()


def _read_unit(reader, unit, folder: Path, index: int) -> None:
    try:
        read_unit(reader, unit, folder, index)
    except Exception as error:
        error.add_note(f"while reading {unit}")
        raise


def _read_apart(reader, unit, folder: Path, index: int) -> None:
    """Read a unit that ends its process file by file; the file to blame is skipped."""
    if not hasattr(unit, "apart"):
        raise BrokenProcessPool(f"a worker was killed or crashed, twice, while it read {unit}")
    report = ReadReport()

    def skip(_, item, *__) -> None:
        report.skip(item, "reading it crashed, hung or ran out of memory")

    with TemporaryDirectory(dir=folder, prefix=".apart") as parts, _part(folder, index, report) as writer:
        jobs = [(reader, item, parts, k) for k, item in enumerate(unit.apart())]
        list(in_processes(read_unit, jobs, 1, died=skip))
        for k in set(range(len(jobs))) - set(missing_units(len(jobs), parts)):
            content = open_part(part_path(parts, k))
            for number in range(content.num_record_batches):
                writer.write_batch(content.get_batch(number))
            report.add(ReadReport.read(report_path(parts, k)))


def _groups(histories: Iterable[SourceHistory]) -> Iterator[list[SourceHistory]]:
    """Histories in groups of about `BATCH_BYTES`."""
    group, size = [], 0
    for history in histories:
        _check(history)
        group.append(history)
        size += 150 * len(history) + sum(len(s) for c in history.cutouts or () for s in c if s)
        if size >= BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check(history: SourceHistory) -> None:
    """Refuse what a reader must not yield; this is a fault of the reader, not of the data it reads."""
    length = len(history.mjd)
    columns = [getattr(history, name) for name in NUMBERS] + [history.metadata]
    if history.cutouts is not None:
        columns.append(history.cutouts)
    if any(len(column) != length for column in columns) or history.metadata.shape[1:] != (
        len(METADATA_FIELDS),
    ):
        raise ValueError(f"{history.object_id}: the columns of its history differ in length")
    if history.split not in ("", *SPLITS):
        raise ValueError(f"{history.object_id}: split {history.split!r} is none of {SPLITS} or ''")
    if not (np.isfinite(history.mjd).all() and np.isin(history.band, (0, 1, 2)).all()):
        raise ValueError(f"{history.object_id}: a time is not finite or a band is none of 0, 1, 2")


def _batch(histories: list[SourceHistory]) -> pa.RecordBatch:
    lengths = np.array([len(h) for h in histories])
    offset = np.concatenate([[0], np.cumsum(lengths)])
    # An empty stamp carries no picture: it is a stamp that was not sent.
    stamps = [s or None for h in histories for c in (h.cutouts or [NO_CUTOUTS] * len(h)) for s in c]
    metadata = np.concatenate([np.asarray(h.metadata, np.float32) for h in histories])
    columns = {
        "object_id": [h.object_id for h in histories],
        "label": [int(h.label) for h in histories],
        "split": [h.split for h in histories],
        "ra": [float(h.ra) for h in histories],
        "dec": [float(h.dec) for h in histories],
        "has_cutouts": [h.cutouts is not None for h in histories],
        **{
            name: _lists(
                offset, pa.array(np.concatenate([np.asarray(getattr(h, name), t) for h in histories]))
            )
            for name, t in NUMBERS.items()
        },
        "metadata": _lists(offset, pa.FixedSizeListArray.from_arrays(metadata.ravel(), type=_ROW)),
        "cutouts": _lists(3 * offset, pa.array(stamps, pa.large_binary())),
    }
    return pa.record_batch(columns, schema=_SCHEMA)


def _lists(offset: np.ndarray, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offset, pa.int32()), values)


@dataclass
class Piece:
    """Histories of H objects with R detections in all, in one place on disk.

    Attributes
    ----------
    object_id, split : H strings
    label, ra, dec, length : (H,) as in `SourceHistory`; length is the number of detections
    numbers : the columns `NUMBERS`, (R,) each
    richness : (R,) how much a row knows, by the rule of `rtf.alerts.history.merge`
    stamp_start : (R,) first byte of a detection's stamps, which follow one another
    stamp_length : (R, 3) bytes of each stamp, 0 where none was sent
    has_cutouts : whether the input had cutouts
    open : gives the metadata (R, 30) and the stamps' bytes; both are read by slices only
    """

    object_id: list[str]
    label: np.ndarray
    split: list[str]
    ra: np.ndarray
    dec: np.ndarray
    length: np.ndarray
    numbers: dict[str, np.ndarray]
    richness: np.ndarray
    stamp_start: np.ndarray
    stamp_length: np.ndarray
    has_cutouts: bool
    open: Callable[[], tuple[Any, Any]]


def richness(metadata, stamp_length: np.ndarray, step: int = 1 << 16) -> np.ndarray:
    """(R,) int32: metadata present plus 100 for every stamp; `metadata` is read in steps."""
    result = 100 * (stamp_length > 0).sum(1, dtype=np.int32)
    for a in range(0, len(result), step):
        result[a : a + step] += np.isfinite(metadata[a : a + step]).sum(1, dtype=np.int32)
    return result


def open_part(path: Path) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.memory_map(str(path)))


def pieces_of_part(path: Path, opener: Callable[[Path], pa.ipc.RecordBatchFileReader]) -> Iterator[Piece]:
    """One piece for each record batch of a part; `opener` may keep some parts open."""
    for k in range(opener(path).num_record_batches):
        yield _piece(opener, path, k)


def _piece(opener, path: Path, k: int) -> Piece:
    def bulk():
        batch = opener(path).get_batch(k)
        metadata = batch.column("metadata").values.values.to_numpy().reshape(-1, len(METADATA_FIELDS))
        data = batch.column("cutouts").values.buffers()[2]
        return metadata, np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)

    batch = opener(path).get_batch(k)
    stamps = batch.column("cutouts").values
    starts = np.frombuffer(stamps.buffers()[1], np.int64)[: len(stamps) + 1]
    stamp_length = np.diff(starts).reshape(-1, 3).astype(np.int32)
    return Piece(
        batch.column("object_id").to_pylist(),
        batch.column("label").to_numpy(),
        batch.column("split").to_pylist(),
        batch.column("ra").to_numpy(),
        batch.column("dec").to_numpy(),
        np.diff(batch.column("mjd").offsets.to_numpy()),
        # copies, so that the part can be closed
        {name: batch.column(name).values.to_numpy().copy() for name in NUMBERS},
        richness(bulk()[0], stamp_length),
        starts[:-1:3].copy(),
        stamp_length,
        any(batch.column("has_cutouts").to_pylist()),
        bulk,
    )


def describe(value) -> Any:
    """Plain JSON values that tell readers or units apart: objects by type and fields, else by `repr`."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__dict__"):
        return {"type": f"{type(value).__module__}.{type(value).__qualname__}", **describe(vars(value))}
    return repr(value)
