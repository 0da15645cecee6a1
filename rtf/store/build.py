"""Build a store from any reader: read units in parallel into parts, then merge the parts.

Notable:
- a reader has `units(path) -> list` and `read(unit, report) -> Iterator[SourceHistory]`; no format
  is known here
- parts lie in OUT.parts until the store is complete: the same command continues where it was stopped, and
  gives the same bytes as a run that was not (`rtf/store/publish.py`)
"""

import os
import shutil
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from rtf.alerts.read import nothing_message
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.store.again import piece_of_store
from rtf.store.combine import Merged, combine
from rtf.store.parts import Piece, describe, open_part, part_path, pieces_of_part, read_units, report_path
from rtf.store.publish import (
    beside,
    claim,
    clear,
    digest,
    existing,
    finish,
    mark_merged,
    merged_settings,
    plan_path,
)
from rtf.store.splits import DEFAULT_FRACTIONS, check_fractions, read_labels, read_splits
from rtf.store.store import StoreError
from rtf.store.write import write_group
from rtf.workers import cores

#: Parts kept open at once; below the usual limit of 1024 open files.
_OPEN_PARTS = 256


def preprocess(
    reader,
    path: str | os.PathLike,
    out: str | os.PathLike,
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
) -> ReadReport:
    """Read an input into a store.

    Parameters
    ----------
    reader : object with `units(path)` and `read(unit, report)`; it and its units are pickled to the workers
    path : the input, in whatever form the reader takes it
    out : folder of the store
    workers : processes that read; 0 reads in this process; None is one for each core
    seed, fractions : of the stratified split, drawn when input and `splits` give no new object its split;
        `fractions` None draws none
    labels : CSV of `object_id` and `type` or `label`; it replaces the labels of the input
    splits : CSV of `object_id` or `obj_id` and `split`, for objects whose input says none
    append : add to the store at `out` (made if absent); sources there keep their split
    overwrite : replace the store at `out` once the new one is complete
    provenance : anything JSON, kept in the store with this run
    progress : show bars on stderr

    Returns
    -------
    The report of everything in the store, also at OUT/report.json

    Raises
    ------
    FileExistsError : `out` exists and neither `append` nor `overwrite` was asked for, or it is no store
    NothingReadable : the input gave no source; what was wrong with it is in OUT.report.json
    StoreError : OUT.parts belongs to another input or other settings, or the store to append to is damaged
    ValueError : bad fractions, a table that cannot be understood or that names no object of the input
    """
    out = Path(os.path.abspath(out))
    workers = cores() if workers is None else workers
    if append and overwrite:
        raise ValueError("append and overwrite exclude each other")
    fractions = None if fractions is None else tuple(check_fractions(fractions).tolist())
    tables = {
        "labels": None if labels is None else read_labels(labels),
        "splits": None if splits is None else read_splits(splits),
    }
    run = {
        "input": str(path),
        "reader": describe(reader),
        "seed": seed,
        "fractions": None if fractions is None else list(fractions),
        "labels": None if labels is None else str(labels),
        "splits": None if splits is None else str(splits),
        "versions": {name: version(name) for name in ("rtf", "zarr", "numpy", "pyarrow")},
        "provenance": provenance,
    }
    settings = digest([run, tables, append, overwrite])
    former = merged_settings(out)
    if former is None:
        _build(reader, path, out, workers, tables, existing(out, append, overwrite), run, progress)
        mark_merged(out, settings)
    elif former != settings:
        raise StoreError(
            f"a run was stopped while it put {out} in place: run that command again first, "
            f"or delete {plan_path(out)} to forget it"
        )
    finish(out)
    return ReadReport.read(out / "report.json")


def _build(reader, path, out, workers, tables, before, run, progress) -> None:
    """Read what is not read yet, merge it, and leave the whole store at OUT.new."""
    units = list(reader.units(path))
    if not units:
        raise NothingReadable(f"{path}: the reader finds nothing to read there")
    work = claim(out, digest([run["input"], run["reader"], describe(units)]))
    with _bars(progress) as bars:
        bar = bars.add_task("reading", total=len(units))
        read_units(reader, units, work, workers, lambda: bars.advance(bar))

        report = ReadReport()
        for k in range(len(units)):
            report.add(ReadReport.read(report_path(work, k)))
        opener = lru_cache(_OPEN_PARTS)(open_part)
        pieces = [piece for k in range(len(units)) for piece in pieces_of_part(part_path(work, k), opener)]
        if not any(len(p.richness) for p in pieces):
            raise _nothing_readable(path, out, work, report)
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
        report = _whole_report(former, report, merged)

        runs = [*([] if before is None else before.attributes["runs"]), {**run, "units": len(units)}]
        new = beside(out, ".new")
        if new.exists():
            shutil.rmtree(new)
        bar = bars.add_task("writing", total=None)
        write_group(new, merged, runs, workers, lambda k, total: bars.update(bar, completed=k, total=total))
        report.write(new / "report.json")


def _bars(progress: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not progress)


def _whole_report(former: ReadReport, new: ReadReport, merged: Merged) -> ReadReport:
    """The report of all that is in the store, with the counts that only the merge knows."""
    report = ReadReport()
    report.add(former)
    report.add(new)
    report.counts["repeats"] = former.counts["repeats"] + merged.repeats
    report.counts["objects"] = len(merged.object_id)
    report.count("empty", len(merged.empty))
    return report


def _nothing_readable(path, out: Path, work: Path, report: ReadReport) -> NothingReadable:
    where = beside(out, ".report.json")
    report.write(where)
    clear(out, work)
    return NothingReadable(f"{nothing_message(path, report)}\n  The full list: {where}")


def _check_tables(pieces: list[Piece], tables: dict[str, dict | None]) -> None:
    names = {name for p in pieces for name in p.object_id}
    for what, table in tables.items():
        if table is not None and not (names & table.keys()):
            raise ValueError(
                f"the table of {what} names {len(table)} objects, none of the input's, e.g. {min(names)}"
            )
