"""Fingerprints of a night: of any number of alerts, in as much memory as one lot of sources takes.

Notable:
- alerts are read as for a store, into parts on disk (`rtf/store/parts.py`). Sources, in the order of their
  names, are then cut into lots of some `LOT_BYTES`: each lot is gathered from all parts, merged by the one
  rule, encoded, and written as a table. A store is cut into lots as it lies
- parts and tables are known by content, in OUT.parts: the same command, killed at any moment, goes on there
  and ends with the same bytes. Lots follow from what was read, not from the order of files
- torch, 600 MB of memory in each process that imports it, is left to those that encode
- a shard reads its share of the input, then whatever no other shard is reading, and encodes its share of the
  lots; the one that finds the tables of all others there puts them together
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtf import __version__
from rtf.alerts.history import SourceHistory
from rtf.alerts.known import alert_histories
from rtf.alerts.merge import merge_objects
from rtf.alerts.read import existing, nothing_message
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.encoding.table import fingerprint_table, load_probe, merge_tables, write_table
from rtf.files import write_json
from rtf.jobs import WHOLE, Shard, beside, digest, finish_part, locked, made_from, part_record, remove
from rtf.store import parts
from rtf.store.build import bars
from rtf.store.read import Store, open_store
from rtf.workers import cores, in_processes

#: About how many bytes of histories are encoded as one lot.
LOT_BYTES = 16 << 20
#: Detections with non-detections, and sources without stamps and with them, that are encoded at once.
_ROWS, _SOURCES = 1 << 15, {False: 16384, True: 512}
PER = ("object", "alert")


@dataclass(frozen=True)
class _Task:
    """What every lot of a night has in common; goes to the workers."""

    run: str
    input: str
    work: Path
    per: str
    device: str
    threads: int | None  # of torch; None: as it is set


def encode_night(
    run: str | os.PathLike,
    path: str | os.PathLike,
    out: str | os.PathLike,
    reader=None,
    shard: Shard = WHOLE,
    *,
    per: str = "object",
    workers: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[ReadReport, list[int]]:
    """Encode a shard of an input; the shard that finds the tables of all others there writes `out`.

    Parameters
    ----------
    run : run folder of the model
    path : a store, or alerts as the reader takes them
    out : the table to write (`rtf/encoding/table.py`), by name of the object, or as the store has them
    reader : makes a reader of `rtf.alerts.readers`, given `cutouts`: whether the model looks at stamps; None
        for a store
    per : "object", a row for each; or "alert", a row for each from what was known when it came
        (`rtf/alerts/known.py`)
    workers : processes that read and encode, with one thread each; None is one for each core, 0 only this one
    device : of the model; on another one than "cpu" one process encodes

    Returns
    -------
    The report of all, also at OUT.report.json, and no shard; or, while others are missing, the report of what
    was read, and those shards

    Raises
    ------
    NothingReadable : the whole input gave no source; OUT.report.json says why
    RunError : the run cannot be used
    """
    if per not in PER:
        raise ValueError(f"per is {per!r}; it must be one of {', '.join(PER)}")
    out, workers = Path(os.path.abspath(out)), cores() if workers is None else workers
    (_, cutouts), *_ = in_processes(_looks_at_stamps, [(str(run), device)], workers and 1, died=_died)
    store = open_store(path) if reader is None else None
    reader = None if reader is None else reader(cutouts=cutouts)
    units = [] if reader is None else list(reader.units(existing(path)))
    seen: dict = {}
    names = [made_from(reader, unit, parts.LAYOUT, known=seen) for unit in units]
    content = names if store is None else store.digest
    settings = digest([_run_digest(run), os.path.abspath(path), content, per, LOT_BYTES, __version__])
    work = beside(out, ".parts")
    if (report := merged_report(out, settings)) is None:
        work.mkdir(parents=True, exist_ok=True)
        with bars(progress) as shown:
            _read(reader, units, names, work, shard, workers, shown)
            if store is None:
                lots = _lots_of_parts(work, len(units), shard)
            else:
                lots = _lots_of_store(store, cutouts, shard)
            made = digest([settings, shard.of])
            several = workers > 1 and len(lots) > 1 and device == "cpu"
            task = _Task(str(run), str(path), work, per, device, 1 if several else None)
            todo = [k for k in shard.part_of(len(lots)) if part_record(_table(work, k), made) is None]
            bar = shown.add_task(shard.label("encoding"), total=sum(_size(lots[k]) for k in todo))
            jobs = [(task, lots[k], _table(work, k), made) for k in todo]
            for k, _ in in_processes(_encode_lot, jobs, workers if several else 0):
                shown.advance(bar, _size(jobs[k][1]))
    with _lock(beside(out, ".lock"), shard, work):
        if (report := merged_report(out, settings)) is None:
            read, missing = _reports(work, names, len(lots), made, shard)
            if missing:
                return read, missing
            report = read
            if not merge_tables([_table(work, k) for k in range(len(lots))], out):
                write_json(beside(out, ".report.json"), report.as_dict())
                remove(work)
                raise NothingReadable(nothing_message(path, report))
            finish_part(beside(out, ".report.json"), settings, report.as_dict())
        remove(work)
    return report, []


def merged_report(out: Path, settings: str) -> ReadReport | None:
    """The report of the fingerprints at `out` if they were made with these settings; else None."""
    record = part_record(beside(out, ".report.json"), settings) if out.exists() else None
    return None if record is None else ReadReport.from_dict(record)


def _run_digest(run: str | os.PathLike) -> dict[str, str]:
    """What fingerprints, classes and strangeness depend on."""
    files = {}
    for path in (Path(run) / "config.yaml", *sorted(Path(run).glob("*.safetensors"))):
        with path.open("rb") as file:
            files[path.name] = file_digest(file, "sha256").hexdigest()
    return files


def _looks_at_stamps(run: str, device: str) -> bool:
    """Whether a model needs cutouts; what is wrong with the run or its probe is said here."""
    from rtf.encoding.load import load

    model = load(run, device)
    load_probe(run, model.space)
    return model.needs_cutouts


def _died(run: str, device: str):
    raise BrokenProcessPool(f"a worker was killed or crashed, twice, while it loaded {run}")


def _lock(path: Path, shard: Shard, work: Path):
    return nullcontext() if shard.of == 1 else locked(path, work.exists)


def _table(work: Path, k: int) -> Path:
    return work / f"table-{k:07d}.parquet"


def _read(reader, units: list, names: list[str], work: Path, shard: Shard, workers: int, shown) -> None:
    """Read this shard's units, then those of other shards that nobody has read or is reading."""
    if not units:
        return
    bar = shown.add_task(shard.label("reading"), total=len(units))
    for k in range(shard.of):
        other = (shard.index + k) % shard.of
        mine = range(other, len(units), shard.of)
        with _lock(work / f"reading-{other}.lock", shard, work):
            parts.read_units(reader, units, names, mine, work, workers, lambda: shown.advance(bar))


def _size(lot: np.ndarray | tuple[int, int]) -> int:
    return lot[1] - lot[0] if isinstance(lot, tuple) else len(lot)


def _cut(sizes: np.ndarray, shard: Shard) -> np.ndarray:
    """(N,) the lot of each source in a row, from their sizes (N,); at least one lot for each shard."""
    ends = np.cumsum(sizes)
    if not len(ends):
        return np.zeros(0, np.int64)
    return (ends - sizes) // max(1, min(LOT_BYTES, int(ends[-1]) // shard.of))


def _lots_of_store(store: Store, cutouts: bool, shard: Shard) -> list[tuple[int, int]]:
    """First and last + 1 source of each lot."""
    size = parts.DETECTION_BYTES * np.diff(store.offset) + parts.LIMIT_BYTES * np.diff(store.limit_offset)
    if cutouts and store.has_cutouts:
        size = size + np.diff(store.cutout_offset[3 * store.offset])
    edges = np.append(np.flatnonzero(np.diff(_cut(size, shard), prepend=-1)), store.n).tolist()
    return list(pairwise(edges))


def _lots_of_parts(work: Path, n_units: int, shard: Shard) -> list[np.ndarray]:
    """Where the histories of each lot are, (H, 3) int32: part, record batch, row."""
    names, sizes, places = [], [], []
    for k in range(n_units):
        with pa.memory_map(str(parts.part_path(work, k))) as file:
            content = pa.ipc.open_file(file)
            for b in range(content.num_record_batches):
                batch = content.get_batch(b)
                rows = np.arange(len(batch), dtype=np.int32)
                names.append(batch.column("object_id").take(pa.array(rows)))  # a copy: the file is closed
                sizes.append(parts.sizes(batch))
                places.append(np.column_stack([np.full_like(rows, k), np.full_like(rows, b), rows]))
    if not names:
        return []
    own = pa.table({"name": pa.chunked_array(names), "size": np.concatenate(sizes)})
    total = own.group_by("name").aggregate([("size", "sum")]).sort_by("name")
    lot = _cut(total["size_sum"].to_numpy(), shard)[pc.index_in(own["name"], total["name"]).to_numpy()]
    order = np.argsort(lot, kind="stable")
    cuts = np.flatnonzero(np.diff(lot[order])) + 1
    return np.split(np.concatenate(places)[order], cuts)


def _reports(
    work: Path, names: list[str], n_lots: int, made: str, shard: Shard
) -> tuple[ReadReport, list[int]]:
    """What was read, and encoded so far; and the shards whose tables are missing."""
    report, missing = ReadReport(), []
    for k, name in enumerate(names):
        report.add(parts.part_report(work, k, name) or ReadReport())
    records = {k: part_record(_table(work, k), made) for k in range(n_lots)}
    for other in range(shard.of):
        own = [records[k] for k in Shard(other, shard.of).part_of(n_lots)]
        missing += [other] if None in own else []
        for record in filter(None, own):
            report.add(ReadReport.from_dict(record))
    return report, missing


@lru_cache(1)
def _model(run: str, device: str, made: str):
    """The model and its probe, once a process; `made` tells runs of one name apart."""
    from rtf.encoding.load import load

    model = load(run, device)
    return model, load_probe(run, model.space)


def _encode_lot(task: _Task, lot: np.ndarray | tuple[int, int], path: Path, made: str) -> None:
    """Write the table of a lot, and its report after it."""
    model, probe = _model(task.run, task.device, made)
    report, tables = ReadReport(), []
    if of_store := isinstance(lot, tuple):
        histories = open_store(task.input).histories(slice(*lot), cutouts=model.needs_cutouts)
    else:
        histories = _gathered(task.work, lot)
    if task.per == "alert":
        histories = alert_histories(histories, report)
    elif of_store:
        report.count("objects", lot[1] - lot[0])
    else:
        histories = merge_objects(histories, report)
    with _threads(task.threads):
        for chunk in _chunks(histories, _SOURCES[model.needs_cutouts]):
            table = fingerprint_table(model, chunk, probe, report, task.input, alerts=task.per == "alert")
            tables.extend([table] if len(table) else [])
            give_back()
    write_table(pa.concat_tables(tables) if tables else pa.table({}), path)
    finish_part(path, made, report.as_dict())


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let torch use so many threads, None: as many as it would."""
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(number or former)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def give_back() -> None:
    """Return freed memory to the system, which glibc keeps: some 200 MB after a batch of long sequences."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _gathered(work: Path, lot: np.ndarray) -> Iterator[SourceHistory]:
    """The histories at places (H, 3) of the parts, ordered by part and batch."""
    for part, places in groupby(lot.tolist(), lambda place: place[0]):
        with pa.memory_map(str(parts.part_path(work, part))) as file:
            content = pa.ipc.open_file(file)
            taken = [
                content.get_batch(b).take(pa.array([place[2] for place in rows], pa.int32()))
                for b, rows in groupby(places, lambda place: place[1])
            ]
        for batch in taken:
            yield from parts.histories(batch)


def _chunks(histories: Iterable[SourceHistory], sources: int) -> Iterator[list[SourceHistory]]:
    """Histories in lists of so many sources, or of `_ROWS` if that is less."""
    chunk, rows = [], 0
    for history in histories:
        chunk.append(history)
        rows += len(history) + len(history.limits)
        if len(chunk) == sources or rows >= _ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk
