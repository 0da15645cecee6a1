"""The folder of a report: index.html, report.md, tables/, figures/, numbers.csv, report.json.

Notable:
- it is made beside its place and takes it when it is complete: a former report stays until then
- report.json marks a folder as a report; a folder without it is never replaced
- numbers.csv has every score of every configuration, one a line
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from rtf.documents import Section, Table, page_markdown, to_csv, to_html, to_latex, to_markdown, write_text
from rtf.figures import save
from rtf.files import write_json
from rtf.jobs import put_in_place, refuse_old
from rtf.report import charts, tables
from rtf.report.compare import Configuration, DataSet, data_sets, is_trained, labels, varying
from rtf.report.published import NOTE
from rtf.report.read import Run
from rtf.report.scores import HOW, TRAINING, measure_all
from rtf.report.settings import show

MARK = "report.json"
_APART = (
    "Data sets are never mixed: runs with other test sources, or other numbers of epochs, have sections of "
    "their own."
)


class Report(NamedTuple):
    """What was written."""

    out: Path
    summary: str  # how far the runs are
    main: tuple[Table, ...]  # those that compare, for a terminal


class Content(NamedTuple):
    """Tables of a data set that compare, its other tables, and its figures with their captions."""

    main: dict[str, Table]
    rest: dict[str, Table]
    figures: dict[str, tuple[str, Figure]]


def write_report(runs: Sequence[Run], out: str | os.PathLike, source: str, progress=None) -> Report:
    """Write tables and figures of the runs into a folder, whole or not at all.

    The folder is replaced if it is a report, refused if it is anything else; `source` is named on the page.
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
        trained = [is_trained(run) for c in d.configurations for run in c.runs]
        how_far = f"Configurations: {len(d.configurations)}; runs: {len(trained)}, trained: {sum(trained)}."
        sections.append(Section(d.title, (how_far,), part.main | part.rest, figures))
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
        with progress("figures", len(drawn)) if progress else nullcontext(lambda done: None) as advance:
            for name, figure in drawn.items():
                for ending in ("png", "pdf"):
                    save(figure, folder / f"figures/{name}.{ending}")
                advance(1)
        page = [replace(s, tables={n: _without_common(t) for n, t in s.tables.items()}) for s in sections]
        title = f"Report on {source}"
        write_text(folder / "index.html", to_html(title, page, folder))
        write_text(folder / "report.md", page_markdown(title, page))
        write_text(folder / "numbers.csv", to_csv(numbers(data)))
        write_json(folder / MARK, {"source": source, "runs": len(runs)})
        put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    main = [table for part in parts for table in part.main.values()] or [everything]
    return Report(out, summary, tuple(map(_without_common, main)))


def refuse_other(out: str | os.PathLike) -> None:
    """Make sure that the folder is free, empty, or a report, and OUT.old free; else FileExistsError."""
    out = Path(os.path.abspath(out))
    refuse_old(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise FileExistsError(f"{out} is no folder: choose another out=")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise FileExistsError(f"{out} is not a report (it has no {MARK}): choose another out=")


def content(data: DataSet, prefix: str = "") -> Content:
    """Everything there is to show of a data set; names of files begin with `prefix`."""
    made = Content({}, tables.record_tables(data) | {"cost": tables.cost_table(data)}, {})
    for comparison in tables.COMPARISONS:
        _compare(data, comparison, made)
    drawn = {
        "early": ("Early classification", charts.early_figure(data)),
        "maps": ("Maps of fingerprints", charts.maps_figure(data)),
        "learning": ("Learning curves", charts.learning_figure(data)),
    }
    made.figures.update({k: (f"{what}: {data.title}", f) for k, (what, f) in drawn.items() if f})
    return Content(*({prefix + k: v for k, v in d.items()} for d in made))


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
        name, title = comparison.name, f"{comparison.title}: {data.title}"
        if len(parts) > 1:
            name, title = f"{name}_{k}", f"{title}, {_shared(data, part)}"
        drawn = {}
        if comparison.name == "bottlenecks":
            drawn["by size"] = charts.size_figure(part, title)
            drawn["by bytes"] = charts.size_figure(part, title, "bytes")
        if not any(drawn.values()):
            drawn = {"bars": charts.bars_figure(part, comparison.name, title)}
        for kind, figure in drawn.items():
            if figure:
                made.figures[f"{name}_{kind.replace(' ', '_')}"] = f"{title} ({kind})", figure


def _shared(data: DataSet, part: list[Configuration]) -> str:
    """The settings that tell the configurations of a part from others of the data set."""
    names = [n for n in varying(data.configurations) if len({str(c.settings.get(n)) for c in part}) == 1]
    words = labels(data.configurations, names)(part[0])
    # The usual setting needs a label here.
    return ", ".join(f"{n}={show(part[0].settings.get(n))}" for n in names) if words == "usual" else words


def _prefixes(data: Sequence[DataSet]) -> list[str]:
    """The prefix of each data set's file names; empty for a single data set."""
    slugs = [re.sub(r"[^A-Za-z0-9]+", "-", d.title).strip("-") for d in data]
    unique = [s if slugs.index(s) == k else f"{s}-{k}" for k, s in enumerate(slugs)]
    return [f"{s}_" for s in unique] if len(data) > 1 else [""]


def _without_common(table: Table) -> Table:
    """The table without the notes that the page has once, at its top."""
    return replace(table, notes=tuple(note for note in table.notes if note not in (HOW, NOTE)))


def numbers(data: Sequence[DataSet]) -> Table:
    """Every score of every configuration: what training measured, then every record of every task."""
    every = [(d, c) for d in data for c in d.configurations]
    names = varying([c for _, c in every])
    keys = ("level", "method", "group", "shown", "score")
    rows = []
    for d, c in every:
        settings = [_cell(c.settings.get(n)) for n in names]
        for task in (TRAINING, *sorted({t for run in c.trained for t in run.results})):
            for r, n in measure_all(c, task):
                key = [_cell(getattr(r, k)) for k in keys] if task != TRAINING else [*[""] * 4, r.score]
                rows.append((d.title, *settings, task, *key, *map(_cell, (r.value, r.low, r.high, n))))
    return Table("", ("data_set", *names, "task", *keys, "value", "low", "high", "seeds"), rows)


def _cell(value) -> str:
    return "" if value is None or value != value else str(value)
