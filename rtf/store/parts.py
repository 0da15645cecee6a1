"""Parts: what one worker leaves of one unit of input, on disk, until all units are read.

Notable:
- one Arrow IPC file a unit, memory-mappable, one row a history; its lists run over detections
- a part is finished when its report exists: the report is written last
- a `Piece` holds in memory what merging compares (50 bytes a detection); metadata and stamps stay on disk
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

from rtf.alerts.history import LIMIT_FIELDS, NO_CUTOUTS, NUMBERS, SPLITS, SourceHistory, one_survey
from rtf.alerts.limits import SILENCE
from rtf.alerts.merge import content, richness
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import Survey, survey_named
from rtf.files import whole
from rtf.jobs import finish_part, part_record
from rtf.workers import in_processes

#: Bytes gathered before a record batch is written: bounds a worker's memory.
BATCH_BYTES = 32 << 20
#: Bytes of a detection without stamps, and of a non-detection.
DETECTION_BYTES, LIMIT_BYTES = 150, 24

_LIMIT = pa.list_(pa.float64(), len(LIMIT_FIELDS))
_SCHEMA = pa.schema(
    [
        ("object_id", pa.string()), ("label", pa.int8()), ("split", pa.string()),
        ("ra", pa.float64()), ("dec", pa.float64()), ("has_cutouts", pa.bool_()),
        *((name, pa.list_(pa.from_numpy_dtype(dtype))) for name, dtype in NUMBERS.items()),
        ("metadata", pa.list_(pa.float32())), ("cutouts", pa.list_(pa.large_binary())),
        ("limits", pa.list_(_LIMIT)),
        ("alert", pa.float64()), ("own", pa.int32()), ("survey", pa.string()),
    ]
)  # fmt: skip

#: Part of what names a part: those of another layout are read again.
LAYOUT = str(_SCHEMA)


def part_path(folder: Path, index: int) -> Path:
    return Path(folder) / f"{index:07d}.arrow"


def read_unit(reader, named: tuple[Any, str], folder: Path, index: int) -> None:
    """Read one unit, given with the name of its content, into its part and its report."""
    unit, made_from = named
    report = ReadReport()
    try:
        with _part(part_path(folder, index), made_from, report) as writer:
            for histories in _groups(_timed(reader.read(unit, report))):
                writer.write_batch(_batch(histories))
    except Exception as error:
        error.add_note(f"while reading {unit}")
        raise


@contextmanager
def _part(path: Path, made_from: str, report: ReadReport) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Where a part is written to; its report is written after it."""
    with (
        whole(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        yield writer
    finish_part(path, made_from, report.as_dict())


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


def part_report(folder: Path, index: int, made_from: str) -> ReadReport | None:
    """The report of a part that is whole and made from this; None if there is none."""
    record = part_record(part_path(folder, index), made_from)
    return None if record is None else ReadReport.from_dict(record)


def missing_units(names: list[str], folder: Path) -> list[int]:
    """Which units have no whole part made from what they are now (`names`)."""
    return [k for k, name in enumerate(names) if part_record(part_path(folder, k), name) is None]


def read_units(
    reader, units: list, names: list[str], mine: range, folder: Path, workers: int, done: Callable[[], None]
) -> None:
    """Read the units `mine` whose parts are not there yet; `done` is called once for each, read or there.

    A file that ends the process that reads it is skipped by name; with 0 workers it ends this process.
    """
    todo = [k for k in missing_units(names, folder) if k in mine]
    for _ in range(len(mine) - len(todo)):
        done()
    jobs = [(reader, (units[k], names[k]), folder, k) for k in todo]
    for _ in in_processes(read_unit, jobs, workers, died=_read_apart):
        done()


def _read_apart(reader, named: tuple[Any, str], folder: Path, index: int) -> None:
    """Read a unit that ends its process file by file; the file to blame is skipped."""
    unit, made_from = named
    if not hasattr(unit, "apart"):
        raise BrokenProcessPool(f"a worker was killed or crashed, twice, while it read {unit}")
    report = ReadReport()

    def skip(_, item: tuple[Any, str], *__) -> None:
        report.skip(item[0], "reading it crashed, hung or ran out of memory")

    path = part_path(folder, index)
    with TemporaryDirectory(dir=folder, prefix=".apart") as parts, _part(path, made_from, report) as writer:
        jobs = [(reader, (item, ""), Path(parts), k) for k, item in enumerate(unit.apart())]
        list(in_processes(read_unit, jobs, 1, died=skip))
        for k in range(len(jobs)):
            if (read := part_report(parts, k, "")) is not None:
                content = open_part(part_path(parts, k))
                for number in range(content.num_record_batches):
                    writer.write_batch(content.get_batch(number))
                report.add(read)


def _groups(histories: Iterable[SourceHistory]) -> Iterator[list[SourceHistory]]:
    """Histories in groups of about `BATCH_BYTES`."""
    group, size = [], 0
    for history in histories:
        _check(history)
        group.append(history)
        size += DETECTION_BYTES * len(history) + LIMIT_BYTES * len(history.limits)
        size += sum(len(s) for c in history.cutouts or () for s in c if s)
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
    same = all(len(column) == length for column in columns)
    if not same or history.metadata.shape[1:] != (len(history.survey.metadata_fields),):
        raise ValueError(f"{history.object_id}: the columns of its history differ in length")
    if history.split not in ("", *SPLITS):
        raise ValueError(f"{history.object_id}: split {history.split!r} is none of {SPLITS} or ''")
    known = (history.band >= 0) & (history.band < len(history.survey.bands))
    if not (np.isfinite(history.mjd).all() and known.all()):
        raise ValueError(f"{history.object_id}: a time is not finite or a band is none of the survey's")


def _batch(histories: list[SourceHistory]) -> pa.RecordBatch:
    lengths = np.array([len(h) for h in histories])
    offset = np.concatenate([[0], np.cumsum(lengths)])
    # An empty stamp carries no picture: it is a stamp that was not sent.
    stamps = [s or None for h in histories for c in (h.cutouts or [NO_CUTOUTS] * len(h)) for s in c]
    survey = one_survey(h.survey for h in histories)
    metadata = np.concatenate([np.asarray(h.metadata, np.float32) for h in histories])
    limits = np.concatenate([h.limits for h in histories])
    limit_offset = np.concatenate([[0], np.cumsum([len(h.limits) for h in histories])])
    kinds = {"object_id": str, "label": int, "split": str, "ra": float, "dec": float}
    kinds |= {"alert": float, "own": int}
    columns = {name: [kind(getattr(h, name)) for h in histories] for name, kind in kinds.items()}
    for name, kind in NUMBERS.items():
        values = np.concatenate([np.asarray(getattr(h, name), kind) for h in histories])
        columns[name] = _lists(offset, pa.array(values))
    columns |= {
        "has_cutouts": [h.cutouts is not None for h in histories],
        "metadata": _lists(offset * metadata.shape[1], pa.array(metadata.ravel())),
        "survey": [survey.name] * len(histories),
        "cutouts": _lists(3 * offset, pa.array(stamps, pa.large_binary())),
        "limits": _lists(limit_offset, pa.FixedSizeListArray.from_arrays(limits.ravel(), type=_LIMIT)),
    }
    return pa.record_batch(columns, schema=_SCHEMA)


def histories(batch: pa.RecordBatch) -> Iterator[SourceHistory]:
    """The histories in a record batch of a part."""
    offset, limit_offset = (batch.column(name).offsets.to_numpy() for name in ("mjd", "limits"))
    numbers = {name: batch.column(name).values.to_numpy() for name in NUMBERS}
    survey = _survey(batch)
    metadata = _metadata(batch, survey)
    limits = batch.column("limits").values.values.to_numpy().reshape(-1, len(LIMIT_FIELDS))
    stamps = batch.column("cutouts").values
    facts = ("object_id", "label", "split", "ra", "dec", "alert", "own")
    facts = batch.select([*facts, "has_cutouts"]).to_pylist()
    for k, fact in enumerate(facts):
        a, b = offset[k : k + 2]
        own = stamps.slice(3 * a, 3 * (b - a)).to_pylist() if fact.pop("has_cutouts") else None
        yield SourceHistory(
            **fact, **{name: values[a:b] for name, values in numbers.items()}, metadata=metadata[a:b],
            cutouts=None if own is None else [tuple(own[j : j + 3]) for j in range(0, len(own), 3)],
            limits=limits[slice(*limit_offset[k : k + 2])], survey=survey,
        )  # fmt: skip


def _survey(batch: pa.RecordBatch) -> Survey:
    return survey_named(batch.column("survey")[0].as_py())


def _metadata(batch: pa.RecordBatch, survey: Survey) -> np.ndarray:
    return batch.column("metadata").values.to_numpy().reshape(-1, len(survey.metadata_fields))


def sizes(batch: pa.RecordBatch) -> np.ndarray:
    """(H,) about how many bytes each history of a record batch takes in memory."""
    offset = batch.column("mjd").offsets.to_numpy()
    stamps = np.frombuffer(batch.column("cutouts").values.buffers()[1], np.int64)[3 * offset]
    limits = np.diff(batch.column("limits").offsets.to_numpy())
    return DETECTION_BYTES * np.diff(offset) + LIMIT_BYTES * limits + np.diff(stamps)


def _lists(offset: np.ndarray, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offset, pa.int32()), values)


@dataclass
class Piece:
    """Histories of H objects with R detections in all, in one place on disk."""

    object_id: list[str]
    label: np.ndarray  # (H,), as are ra, dec and the number of detections, length
    split: list[str]
    ra: np.ndarray
    dec: np.ndarray
    length: np.ndarray
    numbers: dict[str, np.ndarray]  # the columns `NUMBERS`, (R,) each
    richness: np.ndarray  # (R,), as is content: what the merge ranks copies by (`rtf/alerts/merge.py`)
    content: np.ndarray
    stamp_start: np.ndarray  # (R,) first byte of a detection's stamps, which follow one another
    stamp_length: np.ndarray  # (R, 3) bytes of each stamp, 0 where none was sent
    has_cutouts: bool  # whether the input had cutouts
    limits: np.ndarray  # (K, 3) non-detections
    limit_length: np.ndarray  # (H,) how many each history has
    survey: Survey
    open: Callable[[], tuple[Any, Any]]  # metadata (R, F) and the stamps' bytes, both read by slices only


def ranks(metadata, stamp_length: np.ndarray, step: int = 1 << 16) -> tuple[np.ndarray, np.ndarray]:
    """Richness and content of R detections; `metadata` (R, 30) is read in steps."""
    stamps = (stamp_length > 0).sum(1)
    rich, hashes = np.empty(len(stamps), np.int32), np.empty(len(stamps), np.uint64)
    for a in range(0, len(stamps), step):
        rows = slice(a, a + step)
        part = metadata[rows]
        rich[rows], hashes[rows] = richness(part, stamps[rows]), content(part)
    return rich, hashes


def open_part(path: Path) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.memory_map(str(path)))


def pieces_of_part(path: Path, opener: Callable[[Path], pa.ipc.RecordBatchFileReader]) -> Iterator[Piece]:
    """One piece for each record batch of a part; `opener` may keep some parts open."""
    for k in range(opener(path).num_record_batches):
        yield _piece(opener, path, k)


def _piece(opener, path: Path, k: int) -> Piece:
    def bulk():
        batch = opener(path).get_batch(k)
        metadata = _metadata(batch, _survey(batch))
        data = batch.column("cutouts").values.buffers()[2]
        return metadata, np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)

    batch = opener(path).get_batch(k)
    stamps = batch.column("cutouts").values
    starts = np.frombuffer(stamps.buffers()[1], np.int64)[: len(stamps) + 1]
    stamp_length = np.diff(starts).reshape(-1, 3).astype(np.int32)
    rich, hashes = ranks(bulk()[0], stamp_length)
    return Piece(
        **{name: batch.column(name).to_pylist() for name in ("object_id", "split")},
        **{name: batch.column(name).to_numpy() for name in ("label", "ra", "dec")},
        length=np.diff(batch.column("mjd").offsets.to_numpy()),
        # copies, so that the part can be closed
        numbers={name: batch.column(name).values.to_numpy().copy() for name in NUMBERS},
        richness=rich,
        content=hashes,
        stamp_start=starts[:-1:3].copy(),
        stamp_length=stamp_length,
        has_cutouts=any(batch.column("has_cutouts").to_pylist()),
        limits=batch.column("limits").values.values.to_numpy().reshape(-1, len(LIMIT_FIELDS)).copy(),
        limit_length=np.diff(batch.column("limits").offsets.to_numpy()),
        survey=_survey(batch),
        open=bulk,
    )
