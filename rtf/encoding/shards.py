"""Fingerprints of an input in shards: each shard leaves a file of its own, the last one merges them.

Notable:
- a shard of a store is a range of its sources, cut where a run in one go would cut it if that leaves enough
  for every shard: its fingerprints are then the same bits, otherwise they agree to float tolerance
- a shard of alerts is all objects whose names fall to it, and every shard reads all alerts. A store, read
  once to be made, is the better input
- OUT.report.json says which settings OUT was merged with: shards that are started again leave it as it is
"""

import os
from collections.abc import Iterable
from hashlib import file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rtf import __version__
from rtf.alerts.history import SourceHistory
from rtf.alerts.merge import merge_objects
from rtf.alerts.read import existing, nothing_message
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.encoding.load import CONFIG, PROBE, STATISTICS, WEIGHTS
from rtf.encoding.table import merge_tables, write_table
from rtf.files import write_json
from rtf.jobs import Shard, beside, digest, finish_part, locked, made_from, part_record, remove
from rtf.store.read import Store


def settings_digest(run: Path, path: Path, source) -> str:
    """A name for what fingerprints depend on: the model and its probe, the library, the content of the input.

    `source` is the opened store at `path`, or the reader of the alerts there.
    """
    files = {}
    for name in (CONFIG, STATISTICS, WEIGHTS, PROBE):
        if (Path(run) / name).exists():
            with open(Path(run) / name, "rb") as file:
                files[name] = file_digest(file, "sha256").hexdigest()
    what = source.digest if isinstance(source, Store) else made_from(source, source.units(existing(path)))
    return digest([files, os.path.abspath(path), what, __version__])


def source_range(n: int, chunk: int, shard: Shard) -> slice:
    """The sources of a store of `n` that a shard encodes; `chunk` are encoded at a time."""
    step = max(1, min(chunk, -(-n // shard.of)))
    steps = -(-n // step)
    first, last = (k * steps // shard.of * step for k in (shard.index, shard.index + 1))
    return slice(min(first, n), min(last, n))


def shard_of_store(store: Store, shard: Shard, chunk: int, cutouts: bool) -> tuple[Iterable, ReadReport]:
    """Histories of a shard's sources, read as they are asked for, and their report."""
    report, mine = ReadReport(), source_range(store.n, chunk, shard)
    report.count("objects", mine.stop - mine.start)
    return store.histories(mine, cutouts=cutouts), report


def shard_of_alerts(path, reader, shard: Shard, progress: bool) -> tuple[list[SourceHistory], ReadReport]:
    """Histories of a shard's objects, sorted by name, and a report: those of all shards add up to the whole.

    Every shard reads every alert; what was read and what was not is in the report of the first.
    """
    from rich.progress import track

    reading, report = ReadReport(), ReadReport()
    path = existing(path)
    units = track(reader.units(path), description=shard.label(f"reading {path.name}"), disable=not progress)
    found = (h for unit in units for h in reader.read(unit, reading) if shard.has(h.object_id))
    histories = merge_objects(found, report)
    if shard.index == 0:
        report.add(reading)
    return histories, report


def _folder(out: Path) -> Path:
    return beside(out, ".shards")


def part_path(out: Path, shard: Shard) -> Path:
    return _folder(out) / f"{shard.index:05d}-of-{shard.of:05d}.parquet"


def write_part(out: Path, shard: Shard, settings: str, table: pa.Table | None, report: ReadReport) -> None:
    """Write a shard's fingerprints, None if it has no source."""
    path = part_path(out, shard)
    write_table(pa.table({}) if table is None else table, path)
    finish_part(path, settings, report.as_dict())


def part_report(out: Path, shard: Shard, settings: str) -> ReadReport | None:
    """The report of a shard that is finished with these settings; None if it is not."""
    record = part_record(part_path(out, shard), settings)
    return None if record is None else ReadReport.from_dict(record)


def merged_report(out: Path, settings: str) -> ReadReport | None:
    """The report of the fingerprints at `out` if shards with these settings made them; else None."""
    record = part_record(beside(out, ".report.json"), settings) if out.exists() else None
    return None if record is None else ReadReport.from_dict(record)


def merge_parts(
    out: Path, of: int, settings: str, by_name: bool, path: Path
) -> tuple[ReadReport | None, list[int]]:
    """Merge the parts of `of` shards into `out`, once all are there.

    `by_name` sorts the sources by object_id, as those of alerts are; else they follow shard by shard. `path`
    is the input, for messages.

    Returns
    -------
    The report of all shards, and none; or None and the shards that are missing

    Raises
    ------
    NothingReadable : no shard found a source
    """
    folder = _folder(out)
    with locked(beside(out, ".lock"), folder.exists):
        report = merged_report(out, settings)
        if report is None:
            shards = [Shard(k, of) for k in range(of)]
            parts = [part_report(out, shard, settings) for shard in shards]
            missing = [k for k in range(of) if parts[k] is None]
            if missing:
                return None, missing
            report = ReadReport()
            for part in parts:
                report.add(part)
            if not merge_tables([part_path(out, shard) for shard in shards], out):
                write_json(beside(out, ".report.json"), report.as_dict())
                remove(folder)
                raise NothingReadable(nothing_message(path, report))
            if by_name:
                write_table(pq.read_table(out).sort_by("object_id"), out)
            finish_part(beside(out, ".report.json"), settings, report.as_dict())
        remove(folder)
        return report, []
