"""The folder of a report: index.html, report.md, tables/, figures/, numbers.csv, report.json.

Notable:
- it is made beside its place and takes it when it is complete: a former report stays until then
- report.json marks a folder as a report; a folder without it is never replaced
- numbers.csv has every score of every configuration, one a line, for whoever wants to go on with numbers
"""

import csv
import io
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rtf.documents import Section, to_csv, to_html, to_latex
from rtf.evaluation.tables import Table, to_markdown
from rtf.files import write_json
from rtf.report.compare import DataSet, data_sets, varying
from rtf.report.content import Picture, content
from rtf.report.layouts import everything_table
from rtf.report.notes import runs_table
from rtf.report.published import HEADING, NOTE
from rtf.report.read import Run
from rtf.report.scores import HOW, SCORES, measure

MARK = "report.json"

_APART = (
    "Data sets are never mixed: runs with other test sources, or other numbers of epochs, have sections of "
    "their own."
)


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    out : the folder
    summary : how many runs, and how far they are
    main : the tables that compare, or, where nothing is to be compared, the table of everything; for a
        terminal, without published figures
    """

    out: Path
    summary: str
    main: tuple[Table, ...]


def write_report(runs: Sequence[Run], out: str | os.PathLike, source: str, progress=None) -> Report:
    """Write tables and figures of the runs into a folder, whole or not at all.

    Parameters
    ----------
    out : replaced if it is a report, refused if it is anything else
    source : where the runs come from, for the page
    progress : context manager of a bar, given what is done and of how many

    Raises
    ------
    ValueError : no runs
    FileExistsError : `out` is something else than a report
    """
    if not runs:
        raise ValueError(f"no run in {source}: nothing to report")
    refuse_other(out)
    out = Path(os.path.abspath(out))
    data = data_sets(runs)
    everything = everything_table(data)
    parts = [content(d, prefix) for d, prefix in zip(data, _prefixes(data))]
    states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in runs).most_common())
    summary = f"{len(runs)} run{'s' * (len(runs) > 1)} in {source}: {states}"
    text = (f"{summary}.", *([_APART] if len(data) > 1 else []), HOW, f"{NOTE[0].upper()}{NOTE[1:]}")
    sections = [Section("Overview", text, (("everything", everything),))]
    for d, part in zip(data, parts):
        figures = tuple((p.name, p.caption) for p in part.pictures)
        sections.append(Section(d.title, (_how_far(d),), (*part.main, *part.rest), figures))
    sections.append(Section("Index of runs", (), (("runs", runs_table(runs, data)),)))
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    folder.mkdir()
    try:
        _write_tables(folder / "tables", [named for section in sections for named in section.tables])
        _write_pictures(folder / "figures", [p for part in parts for p in part.pictures], progress)
        page = [replace(s, tables=tuple((n, _without_common(t)) for n, t in s.tables)) for s in sections]
        title = f"Report on {source}"
        (folder / "index.html").write_text(to_html(folder, title, page), encoding="utf-8")
        (folder / "report.md").write_text(_markdown(title, page), encoding="utf-8")
        (folder / "numbers.csv").write_text(_numbers(data), encoding="utf-8")
        write_json(folder / MARK, {"source": source, "runs": len(runs)})
        _take_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    main = [table for part in parts for _, table in part.main] or [everything]
    return Report(out, summary, tuple(_for_terminal(table) for table in main))


def refuse_other(out: str | os.PathLike) -> None:
    """Make sure that the folder is free, empty, or a report.

    Raises
    ------
    FileExistsError : it is not
    """
    out = Path(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise FileExistsError(f"{out} is no folder: choose another out=")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise FileExistsError(f"{out} is not a report (it has no {MARK}): choose another out=")


def _prefixes(data: Sequence[DataSet]) -> list[str]:
    """What the names of files of each data set begin with; nothing where there is one data set."""
    if len(data) == 1:
        return [""]
    made: list[str] = []
    for d in data:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", d.title).strip("-")
        made.append(slug if slug + "_" not in made else f"{slug}-{len(made) + 1}")
        made[-1] += "_"
    return made


def _how_far(data: DataSet) -> str:
    runs = [run for c in data.configurations for run in c.runs]
    trained = [run for c in data.configurations for run in c.trained]
    text = (
        f"Configurations: {len(data.configurations)}; runs: {len(runs)}, trained to the end: {len(trained)}."
    )
    absent = [t for t in ("probe", "physical", "early") if not any(t in run.results for run in trained)]
    return text + (f" No run was evaluated with task={', '.join(absent)}." if absent else "")


def _without_common(table: Table) -> Table:
    """The table without the notes that the page has once, at its top."""
    return replace(table, notes=tuple(note for note in table.notes if note not in (HOW, NOTE)))


def _for_terminal(table: Table) -> Table:
    kept = [k for k, heading in enumerate(table.columns) if not heading.endswith(HEADING)]
    # a terminal breaks lines at spaces: names of modalities would be cut short
    rows = tuple(tuple(row[k].replace("+", " + ") for k in kept) for row in table.rows)
    return replace(_without_common(table), columns=tuple(table.columns[k] for k in kept), rows=rows)


def _write_tables(folder: Path, tables: Iterable[tuple[str, Table]]) -> None:
    folder.mkdir()
    for name, table in tables:
        (folder / f"{name}.md").write_text(to_markdown(table), encoding="utf-8")
        (folder / f"{name}.csv").write_text(to_csv(table), encoding="utf-8")
        (folder / f"{name}.tex").write_text(to_latex(table, name), encoding="utf-8")


def _write_pictures(folder: Path, pictures: Sequence[Picture], progress) -> None:
    folder.mkdir()
    with progress("figures", len(pictures)) if progress else nullcontext() as advance:
        for picture in pictures:
            for ending in ("png", "pdf"):
                picture.write(folder / f"{picture.name}.{ending}")
            if advance:
                advance(1)


def _markdown(title: str, sections: Sequence[Section]) -> str:
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        parts += [to_markdown(table).rstrip() for _, table in section.tables]
        parts += [f"![{caption}](figures/{name}.png)" for name, caption in section.figures]
    return "\n\n".join(parts) + "\n"


def _numbers(data: Sequence[DataSet]) -> str:
    names = varying([c for d in data for c in d.configurations])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["data_set", *names, "score", "value", "low", "high", "seeds"])
    for d in data:
        for c in d.configurations:
            for name, score in SCORES.items():
                measured = measure(score, c)
                if (e := measured.estimate) is None:
                    continue
                ends = ["" if math.isnan(end) else end for end in (e.low, e.high)]
                settings = [c.settings.get(n) for n in names]
                writer.writerow([d.title, *settings, name, e.value, *ends, measured.n])
    return stream.getvalue()


def _take_place(folder: Path, out: Path) -> None:
    former = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, former)
    os.replace(folder, out)
    shutil.rmtree(former, ignore_errors=True)
