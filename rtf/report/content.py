"""What a report says of a data set: its comparisons, its other tables, its figures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.tables import Table
from rtf.figures import DPI, confusion_figure
from rtf.report import charts, curves, layouts
from rtf.report.compare import Configuration, DataSet, blocks, labels, varying
from rtf.report.early import early_tables
from rtf.report.gains import gains_tables
from rtf.report.layouts import COMPARISONS, Comparison
from rtf.report.maps import maps_figure, maps_table
from rtf.report.settings import show
from rtf.report.style import readable


@dataclass(frozen=True)
class Picture:
    """A figure to be written.

    Attributes
    ----------
    name : of its files
    caption : below it
    write : draws it to a path, in the format of its suffix
    """

    name: str
    caption: str
    write: Callable[[Path], None]


@dataclass
class Content:
    """Named tables and pictures of a data set.

    Attributes
    ----------
    main : tables that compare
    rest : the other tables
    pictures : in the order of the page
    """

    main: list[tuple[str, Table]]
    rest: list[tuple[str, Table]]
    pictures: list[Picture]


def content(data: DataSet, prefix: str = "") -> Content:
    """Everything there is to show of a data set; names of files begin with `prefix`."""
    made = Content([], early_tables(data), [])
    if (mapped := maps_table(data)) is not None:
        made.rest.append(("maps", mapped))
    made.rest.append(("cost", layouts.cost_table(data)))
    for comparison in COMPARISONS:
        _compare(data, comparison, made)
    drawn = {"early": ("Early classification", curves.early_figure(data)),
             "maps": ("Maps of fingerprints", maps_figure(data)),
             "learning": ("Learning curves", curves.learning_figure(data))}  # fmt: skip
    made.pictures += [
        _picture(name, f"{what}: {data.title}", figure) for name, (what, figure) in drawn.items() if figure
    ]
    made.pictures += _confusions(data)
    named = ([(prefix + name, table) for name, table in tables] for tables in (made.main, made.rest))
    return Content(*named, [Picture(prefix + p.name, p.caption, p.write) for p in made.pictures])


def _compare(data: DataSet, comparison: Comparison, made: Content) -> None:
    """Add the table of a comparison, and figures of each set of configurations that is equal in the rest."""
    table = layouts.comparison_table(data, comparison)
    if table is None:
        return
    made.main.append((comparison.name, table))
    if comparison.gains:
        made.main += gains_tables(data, comparison)
    among = [c for c in data.configurations if comparison.among(c)]
    parts = blocks(among, comparison.compared, comparison.needs)
    for k, part in enumerate(parts, 1):
        name = comparison.name + (f"_{k}" if len(parts) > 1 else "")
        where = _shared(data, part) if len(parts) > 1 else ""
        title = f"{comparison.title}: {data.title}" + (f", {where}" if where else "")
        figures = {}
        if comparison.name == "bottlenecks":
            for score in ("coarse_accuracy", "mag"):
                sizes = layouts.size_table(data, part, score, where)
                made.main += [(f"{name}_{score}", sizes)] if sizes else []
            figures = {
                "by_size": charts.size_figure(part, title),
                "by_bytes": charts.bytes_figure(part, title),
            }
        if not any(figures.values()):
            figures = {"bars": charts.bars_figure(part, comparison.name, title)}
        for kind, figure in figures.items():
            if figure:
                caption = f"{title} ({kind.replace('_', ' ')})"
                made.pictures.append(_picture(f"{name}_{kind}", caption, figure))


def _confusions(data: DataSet) -> list[Picture]:
    best = curves.best_run(data)
    if best is None:
        return []
    run, how = best
    made = []
    for level in ("coarse", "fine"):
        result = run.results["probe"][level]
        counts = np.array(result["confusion"])
        used = np.flatnonzero(counts.sum(0) + counts.sum(1))  # classes that nobody has or predicts: no row
        classes = [result["class_names"][k] for k in used]
        title = readable(f"{run.name}: linear probe, {level} classes, test split")
        write = partial(_confusion, counts[np.ix_(used, used)], classes, title)
        caption = f"Confusion of the linear probe, {level} classes, of {run.name}: {how}"
        made.append(Picture(f"confusion_{level}", caption, write))
    return made


def _confusion(counts: np.ndarray, classes: list[str], title: str, path: Path) -> None:
    confusion_figure(counts, classes, path, title)


def _picture(name: str, caption: str, figure: Figure) -> Picture:
    return Picture(name, caption, partial(figure.savefig, dpi=DPI))


def _shared(data: DataSet, part: list[Configuration]) -> str:
    """What the configurations of a part have in common and others of the data set have not."""
    names = [n for n in varying(data.configurations) if len({str(c.settings.get(n)) for c in part}) == 1]
    words = labels(data.configurations, names)(part[0])
    # what most have in common has no name where single ones are named, but needs one beside the others
    return ", ".join(f"{n}={show(part[0].settings.get(n))}" for n in names) if words == "usual" else words
