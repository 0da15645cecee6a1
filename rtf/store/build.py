"""Build a store from any reader: read units in parallel into parts, then merge the parts.

Notable:
- a reader has `units(path) -> list` and `read(unit, report) -> Iterator[SourceHistory]`; no format is known
  here
- parts lie in OUT.parts until the store is complete: the same command continues where it was stopped, with
  the same bytes (`rtf/store/plan.py`). Each shard reads units of its own; the one that finds all parts there
  merges them
"""

import os
from contextlib import nullcontext
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rtf import __version__
from rtf.alerts.read import nothing_message
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.alerts.tables import read_labels, read_splits
from rtf.jobs import WHOLE, Shard, beside, describe, digest, locked, made_from, remove
from rtf.store import parts, plan
from rtf.store.merge import Merged, combine, piece_of_store
from rtf.store.read import StoreError
from rtf.store.splits import DEFAULT_FRACTIONS, check_fractions
from rtf.store.write import write_group
from rtf.workers import cores

#: Parts kept open at once; below the usual limit of 1024 open files.
_OPEN_PARTS = 256


def preprocess(reader, path: str | os.PathLike, out: str | os.PathLike, **settings) -> ReadReport:
    """Read an input into a store in one go; settings as of `preprocess_shard`."""
    return preprocess_shard(reader, path, out, **settings)[0]


def preprocess_shard(
    reader,
    path: str | os.PathLike,
    out: str | os.PathLike,
    shard: Shard = WHOLE,
    *,
    workers: int | None = None,
    seed: int = 0,
    fractions: tuple[float, float, float] | None = DEFAULT_FRACTIONS,
    labels: str | os.PathLike | None = None,
    splits: str | os.PathLike | None = None,
    append: bool = False,
    overwrite: bool = False,
    provenance: dict | None = None,
    progress: bool = True,
) -> tuple[ReadReport, list[int]]:
    """Read a shard of an input; the shard that finds the parts of all others there makes the store.

    Parameters
    ----------
    reader : object with `units(path)` and `read(unit, report)`; it and its units are pickled to the workers
    path : the input, in whatever form the reader takes it
    out : folder of the store
    shard : reads the units k with k % shard.of == shard.index
    workers : processes that read; None is one for each core. 0 reads in this process, which a bad input may
        end
    seed, fractions : of the stratified split, drawn when neither input nor `splits` gives a new object its
        split; `fractions` None draws none
    labels : CSV of `object_id` and `type` or `label`; it replaces the labels of the input
    splits : CSV of `object_id` or `obj_id` and `split`, for objects whose input says none
    append : add to the store at `out` (made if absent); sources there keep their split
    overwrite : replace the store at `out` once the new one is complete
    provenance : anything JSON, kept in the store with this run
    progress : show bars on stderr

    Returns
    -------
    The report of everything in the store, also at OUT/report.json, and no shard; or, while the store waits
    for other shards, the report of this one's units and those shards

    Raises
    ------
    FileExistsError : `out` exists and neither `append` nor `overwrite` was asked for, or it is no store
    NothingReadable : the whole input gave no source; OUT.report.json says why
    StoreError : shards with other settings are at work, or the store to append to is damaged
    ValueError : bad fractions, a table that cannot be understood or that names no object of the input
    """
    out = Path(os.path.abspath(out))
    workers = cores() if workers is None else workers
    if append and overwrite:
        raise ValueError("append and overwrite exclude each other")
    fractions = None if fractions is None else tuple(check_fractions(fractions).tolist())
    nameless: dict[str, str] = {}  # object: type that is no class
    tables = {
        "labels": None if labels is None else read_labels(labels, nameless),
        "splits": None if splits is None else read_splits(splits),
    }
    run = {
        "input": str(path),
        "reader": describe(reader),
        "seed": seed,
        "fractions": None if fractions is None else list(fractions),
        "labels": None if labels is None else str(labels),
        "splits": None if splits is None else str(splits),
        "versions": {"rtf": __version__} | {name: version(name) for name in ("zarr", "numpy", "pyarrow")},
        "provenance": provenance,
    }
    units = list(reader.units(path))
    if not units:
        raise NothingReadable(f"{path}: the reader finds nothing to read there")
    seen: dict = {}
    names = [made_from(reader, unit, parts.LAYOUT, known=seen) for unit in units]
    settings = digest([run, tables, append, overwrite])
    run |= {"units": len(units), "content": digest([names, tables])}
    result = digest([settings, run["content"]])
    with _lock(out, shard):
        if _finished(out, result):
            return ReadReport.read(out / "report.json"), []
        if shard.of > 1 and not plan.plan_path(out).exists() and plan.made_by(out, run):
            return ReadReport.read(out / "report.json"), []
        before = plan.store_to_extend(out, append, overwrite)
        work = plan.claim(out, settings, shard.of > 1)

    mine = range(shard.index, len(units), shard.of)
    with bars(progress) as shown:
        bar = shown.add_task(shard.label("reading"), total=len(mine))
        parts.read_units(reader, units, names, mine, work, workers, lambda: shown.advance(bar))
        with _lock(out, shard):
            if not plan.plan_path(out).exists():
                return _made_by_another(path, out), []
            if not _finished(out, result):
                missing = parts.missing_units(names, work)
                if missing:
                    return _report(work, names, mine), sorted({k % shard.of for k in missing})
                try:
                    _merge(path, out, work, workers, tables, nameless, before, run, names, shown)
                except Exception:
                    plan.forget_shards(out)  # the mistake may be mended without reading again
                    raise
                plan.mark_merged(out, result)
                plan.finish(out)
    return ReadReport.read(out / "report.json"), []


def _lock(out: Path, shard: Shard):
    """What lets one shard at a time look at the state of the work, and change it."""
    return nullcontext() if shard.of == 1 else locked(beside(out, ".lock"), plan.plan_path(out).exists)


def _finished(out: Path, result: str) -> bool:
    """Put the store in place, if OUT.new is complete and is what this command makes."""
    former = plan.merged_settings(out)
    if former is None:
        return False
    if former != result:
        raise StoreError(
            f"a run was stopped while it put {out} in place, and its settings or its input were others: run "
            f"that command again first, or delete {plan.plan_path(out)} to forget it"
        )
    plan.finish(out)
    return True


def _made_by_another(path, out: Path) -> ReadReport:
    """The report of a store that another shard has completed since this one began to read."""
    if not (out / "report.json").exists():
        raise NothingReadable(f"{path}: no shard found a readable source: see {beside(out, '.report.json')}")
    return ReadReport.read(out / "report.json")


def _report(work: Path, names: list[str], units: range) -> ReadReport:
    report = ReadReport()
    for k in units:
        report.add(parts.part_report(work, k, names[k]) or ReadReport())
    return report


def _merge(path, out, work, workers, tables, nameless, before, run, names, shown: Progress) -> None:
    """Merge all parts, and leave the whole store at OUT.new."""
    units = range(len(names))
    report = _report(work, names, units)
    opener = lru_cache(_OPEN_PARTS)(parts.open_part)
    pieces = [piece for k in units for piece in parts.pieces_of_part(parts.part_path(work, k), opener)]
    # What is appended may be non-detections alone.
    if not any(len(p.richness) or (before is not None and len(p.limits)) for p in pieces):
        raise _nothing_readable(path, out, report)
    _check_tables(pieces, tables)
    kept, former = None, ReadReport()
    if before is not None:
        former = ReadReport.read(before.path / "report.json")
        kept = dict(zip(before.object_id.tolist(), before.split.tolist(), strict=True))
        pieces.insert(0, piece_of_store(before))
    merged = combine(
        pieces, labels=tables["labels"], splits=tables["splits"], kept=kept,
        seed=run["seed"], fractions=run["fractions"],
    )  # fmt: skip
    for object_id in nameless.keys() & set(merged.object_id):
        report.unknown_type(nameless[object_id])
    report = _whole_report(former, report, merged)

    new = beside(out, ".new")
    remove(new)
    bar = shown.add_task("writing", total=None)
    runs = [*([] if before is None else before.attributes["runs"]), run]
    write_group(new, merged, runs, workers, lambda k, total: shown.update(bar, completed=k, total=total))
    report.write(new / "report.json")


def bars(progress: bool) -> Progress:
    """Bars on stderr, or none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not progress)


def _whole_report(former: ReadReport, new: ReadReport, merged: Merged) -> ReadReport:
    """The report of all that is in the store, with the counts that only the merge knows."""
    report = ReadReport()
    report.add(former)
    report.add(new)
    report.counts["repeats"] = former.counts["repeats"] + merged.repeats
    report.counts["objects"] = len(merged.object_id)
    report.count("empty", len(merged.empty))
    return report


def _nothing_readable(path, out: Path, report: ReadReport) -> NothingReadable:
    where = beside(out, ".report.json")
    report.write(where)
    plan.clear(out)
    return NothingReadable(f"{nothing_message(path, report)}\n  The full list: {where}")


def _check_tables(pieces: list[parts.Piece], tables: dict[str, dict | None]) -> None:
    names = {name for p in pieces for name in p.object_id}
    for what, table in tables.items():
        if table is not None and not (names & table.keys()):
            strangers = f"{len(table)} objects, none of the input's, e.g. {min(names)}"
            raise ValueError(f"the table of {what} names {strangers}")
