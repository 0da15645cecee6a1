"""The folder of a report: index.html, report.md, tables/, figures/, numbers.csv, report.json.

Notable:
- it is made beside its place and takes it when it is complete: a former report stays until then
- report.json marks a folder as a report; a folder without it is never replaced
- numbers.csv has every score of every configuration, one a line, for whoever wants to go on with numbers
"""

import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from rtf.documents import Section, Table, page_markdown, to_csv, to_html, to_latex, to_markdown, write_text
from rtf.evaluation.classification import confusion_of
from rtf.evaluation.run import LEVELS
from rtf.figures import confusion_figure, save
from rtf.files import write_json
from rtf.report import charts, tables
from rtf.report.compare import Configuration, DataSet, data_sets, labels, varying
from rtf.report.published import HEADING, NOTE
from rtf.report.read import Run
from rtf.report.scores import HOW, SCORES, measure
from rtf.report.settings import show

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


@dataclass(frozen=True)
class Content:
    """Tables of a data set that compare, its other tables, and its figures with their captions."""

    main: dict[str, Table]
    rest: dict[str, Table]
    figures: dict[str, tuple[str, Figure]]


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
    everything = tables.everything_table(data)
    parts = [content(d, prefix) for d, prefix in zip(data, _prefixes(data))]
    states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in runs).most_common())
    summary = f"{len(runs)} run{'s' * (len(runs) > 1)} in {source}: {states}"
    text = (f"{summary}.", *([_APART] if len(data) > 1 else []), HOW, f"{NOTE[0].upper()}{NOTE[1:]}")
    sections = [Section("Overview", text, {"everything": everything})]
    for d, part in zip(data, parts):
        figures = {f"figures/{name}.png": caption for name, (caption, _) in part.figures.items()}
        sections.append(Section(d.title, (_how_far(d),), part.main | part.rest, figures))
    sections.append(Section("Index of runs", (), {"runs": tables.runs_table(runs, data)}))
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    folder.mkdir()
    try:
        for name, table in ((n, t) for section in sections for n, t in section.tables.items()):
            write_text(folder / f"tables/{name}.md", to_markdown(table))
            write_text(folder / f"tables/{name}.csv", to_csv(table))
            write_text(folder / f"tables/{name}.tex", to_latex(table, name))
        drawn = {name: figure for part in parts for name, (_, figure) in part.figures.items()}
        with progress("figures", len(drawn)) if progress else nullcontext() as advance:
            for name, figure in drawn.items():
                for ending in ("png", "pdf"):
                    save(figure, folder / f"figures/{name}.{ending}")
                if advance:
                    advance(1)
        page = [replace(s, tables={n: _without_common(t) for n, t in s.tables.items()}) for s in sections]
        title = f"Report on {source}"
        write_text(folder / "index.html", to_html(title, page, folder))
        write_text(folder / "report.md", page_markdown(title, page))
        write_text(folder / "numbers.csv", to_csv(numbers(data)))
        write_json(folder / MARK, {"source": source, "runs": len(runs)})
        _take_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    main = [table for part in parts for table in part.main.values()] or [everything]
    return Report(out, summary, tuple(map(_for_terminal, main)))


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


def content(data: DataSet, prefix: str = "") -> Content:
    """Everything there is to show of a data set; names of files begin with `prefix`."""
    made = Content({}, tables.early_tables(data), {})
    if (mapped := tables.maps_table(data)) is not None:
        made.rest["maps"] = mapped
    made.rest.update(tables.record_tables(data))
    made.rest["cost"] = tables.cost_table(data)
    for comparison in tables.COMPARISONS:
        _compare(data, comparison, made)
    for name, what, figure in (
        ("early", "Early classification", charts.early_figure(data)),
        ("maps", "Maps of fingerprints", charts.maps_figure(data)),
        ("learning", "Learning curves", charts.learning_figure(data)),
    ):
        if figure:
            made.figures[name] = f"{what}: {data.title}", figure
    _confusions(data, made)
    return Content(*({prefix + k: v for k, v in d.items()} for d in (made.main, made.rest, made.figures)))


def _compare(data: DataSet, comparison: tables.Comparison, made: Content) -> None:
    """Add the table of a comparison, and figures of each set of configurations that is equal in the rest."""
    table = tables.comparison_table(data, comparison)
    if table is None:
        return
    made.main[comparison.name] = table
    if comparison.gains:
        made.main.update(tables.gains_tables(data, comparison))
    parts = comparison.parts(data)
    for k, part in enumerate(parts, 1):
        name = comparison.name + (f"_{k}" if len(parts) > 1 else "")
        where = _shared(data, part) if len(parts) > 1 else ""
        title = f"{comparison.title}: {data.title}" + (f", {where}" if where else "")
        figures = {}
        if comparison.name == "bottlenecks":
            for score in ("coarse_accuracy", "mag"):
                if sizes := tables.size_table(data, part, score, where):
                    made.main[f"{name}_{score}"] = sizes
            figures = {
                "by_size": charts.size_figure(part, title),
                "by_bytes": charts.size_figure(part, title, "bytes"),
            }
        if not any(figures.values()):
            figures = {"bars": charts.bars_figure(part, comparison.name, title)}
        for kind, figure in figures.items():
            if figure:
                caption = f"{title} ({kind.replace('_', ' ')})"
                made.figures[f"{name}_{kind}"] = caption, figure


def _confusions(data: DataSet, made: Content) -> None:
    best = charts.best_run(data)
    if best is None:
        return
    run, how = best
    for level, names in LEVELS.items():
        counts = confusion_of(run.results["probe"].arrays, level, "probe", len(names))
        title = f"{run.name}: linear probe, {level} classes, test split"
        caption = f"Confusion of the linear probe, {level} classes, of {run.name}: {how}"
        made.figures[f"confusion_{level}"] = caption, confusion_figure(counts, names, title)


def _shared(data: DataSet, part: list[Configuration]) -> str:
    """The settings that tell the configurations of a part from others of the data set."""
    names = [n for n in varying(data.configurations) if len({str(c.settings.get(n)) for c in part}) == 1]
    words = labels(data.configurations, names)(part[0])
    # The usual setting needs a label here.
    return ", ".join(f"{n}={show(part[0].settings.get(n))}" for n in names) if words == "usual" else words


def _prefixes(data: Sequence[DataSet]) -> list[str]:
    """The prefix of each data set's file names; empty for a single data set."""
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


def numbers(data: Sequence[DataSet]) -> Table:
    """Every score of every configuration: what training measured, then every record of every task."""
    names = varying([c for d in data for c in d.configurations])
    rows = []
    for d in data:
        for c in d.configurations:
            settings = ["" if (v := c.settings.get(n)) is None else str(v) for n in names]
            found = {("training", "", "", "", "", k): s for k, s in SCORES.items() if not s.task}
            for task in sorted({t for run in c.trained for t in run.results}):
                found |= {(task, *key): s for key, s in tables.recorded_scores(c, task).items()}
            for key, score in found.items():
                measured = measure(score, c)
                if (e := measured.estimate) is not None:
                    ends = ["" if math.isnan(x) else repr(x) for x in (e.value, e.low, e.high)]
                    key = ["" if x is None else str(x) for x in key]
                    rows.append((d.title, *settings, *key, *ends, str(measured.n)))
    keys = ("task", "level", "method", "group", "shown", "score")
    return Table("", ("data_set", *names, *keys, "value", "low", "high", "seeds"), rows)


def _take_place(folder: Path, out: Path) -> None:
    former = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, former)
    os.replace(folder, out)
    shutil.rmtree(former, ignore_errors=True)
