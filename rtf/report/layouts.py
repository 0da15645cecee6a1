"""The tables of a report.

Notable:
- a row is a configuration; its first columns are the settings that differ between the rows of the table
- what is missing is a dash, and a note says which run it waits for, and why
- what is not in a table because nothing equal stands beside it is named under it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtf.evaluation.statistics import format_estimate
from rtf.evaluation.tables import Table
from rtf.report import compare
from rtf.report.compare import Configuration, DataSet, labels, varying
from rtf.report.notes import class_counts, dagger, few, missing, seeds, test_sources
from rtf.report.published import HEADING, NOTE, published
from rtf.report.scores import HOW, SCORES, Score, measure, text
from rtf.report.settings import order, show


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by what.

    Attributes
    ----------
    name : of its files
    title : above its table
    compared : settings or groups that may differ; all others must be equal
    needs : one of these must differ
    scores : names in `SCORES`
    among : which configurations it is about
    gains : whether to show what each gains on the first of them
    """

    name: str
    title: str
    compared: tuple[str, ...]
    needs: tuple[str, ...]
    scores: tuple[str, ...]
    among: Callable[[Configuration], bool] = lambda configuration: True
    gains: bool = False


_WORTH = ("coarse_accuracy", "coarse_balanced", "fine_accuracy", "fine_balanced", "mag", "dt", "band")

COMPARISONS = (
    Comparison(
        "bottlenecks", "Bottleneck and size of the fingerprint", ("bottleneck", "latent_dim"),
        ("bottleneck", "latent_dim"), (*_WORTH, "bytes"),
    ),
    Comparison(
        "modalities", "What each modality adds", ("modalities", "image_backbone"), ("modalities",),
        (*_WORTH, "mse"), gains=True,
    ),
    Comparison(
        "image_backbones", "What reads the stamps", ("image_backbone",), ("image_backbone",),
        (*_WORTH, "parameters", "minutes"), lambda c: "image_backbone" in c.settings,
        gains=True,
    ),
    Comparison(
        "augmentation", "Other sources added to the training split", ("also_train",), ("also_train",), _WORTH
    ),
)  # fmt: skip


def comparison_table(data: DataSet, comparison: Comparison) -> Table | None:
    """One row a configuration, one column a score and its published figure, then what knows nothing."""
    among = [c for c in data.configurations if comparison.among(c)]
    parts = compare.blocks(among, comparison.compared, comparison.needs)
    rows = sorted((c for part in parts for c in part), key=lambda c: order(c.settings))
    if not rows:
        return None
    left = len(among) - len(rows)
    notes = []
    if left:
        which = "1 configuration that differs" if left == 1 else f"{left} configurations that differ"
        notes.append(f"Not here: {which} from every other in more than this (see the table of everything).")
    scores = {
        n: SCORES[n] for n in comparison.scores if n != "mse" or any(measure(SCORES[n], c).n for c in rows)
    }
    return score_table(f"{comparison.title}: {data.title}", rows, scores, comparison.name, notes)


def score_table(
    title: str, rows: Sequence[Configuration], scores: dict[str, Score], published_as: str = "",
    notes: Sequence[str] = (), names: Sequence[str] | None = None, lead: Callable | None = None,
) -> Table:  # fmt: skip
    """Configurations by scores; the settings that differ first, how many seeds and test sources last.

    Parameters
    ----------
    published_as : which published figures may stand beside, see `published`
    notes : before the notes made here
    names : settings to show (default: those that differ)
    lead : heading and text of one more first column, by configuration
    """
    names = varying(rows) if names is None else list(names)
    known = [published(published_as, c.settings) for c in rows]
    shown = {name for figures in known for name in figures}
    columns = [*([lead[0]] if lead else []), *(names or ["run"])]
    for name, score in scores.items():
        columns += [score.heading, *([f"{score.heading}, {HEADING}"] if name in shown else [])]
    columns += ["seeds", "test sources"]
    lines = []
    for c, figures in zip(rows, known, strict=True):
        line = [lead[1](c)] if lead else []
        line += [show(c.settings.get(n)) for n in names] or [labels(rows)(c)]
        for name, score in scores.items():
            line.append(text(measure(score, c), score))
            if name in shown:
                line.append(_number(figures.get(name), score))
        lines.append((*line, seeds(c), test_sources(c)))
    width = len(names or [0]) + bool(lead)
    if not lead:
        lines += _baselines(rows, scores, shown, width)
        notes = [*notes, *class_counts(rows)]
    notes = [HOW, *([NOTE] if shown else []), *notes, *missing(rows, scores.values())]
    return Table(title, tuple(columns), tuple(lines), tuple(notes))


def size_table(data: DataSet, block: Sequence[Configuration], name: str, where: str = "") -> Table | None:
    """One score by size of the fingerprint (rows) and bottleneck (columns), the layout that was published."""
    sub = [n for n in varying(block) if n != "latent_dim"]
    kinds = list(dict.fromkeys(tuple(c.settings.get(n) for n in sub) for c in block))
    sizes = list(dict.fromkeys(c.settings.get("latent_dim") for c in block))
    if len(kinds) < 2 or len(sizes) < 2:
        return None
    cells = {(tuple(c.settings.get(n) for n in sub), c.settings.get("latent_dim")): c for c in block}
    score = SCORES[name]
    called = labels(block, sub)
    heads = [called(next(c for c in block if tuple(c.settings.get(n) for n in sub) == k)) for k in kinds]
    beside = dict.fromkeys(kinds, False)
    for (kind, _), c in cells.items():
        beside[kind] |= name in published("bottlenecks", c.settings)
    columns, rows, absent = ["latent_dim"], [], []
    for kind, head in zip(kinds, heads, strict=True):
        columns += [head, *([f"{head}, {HEADING}"] if beside[kind] else [])]
    for size in sizes:
        row = [show(size)]
        for kind, head in zip(kinds, heads, strict=True):
            c = cells.get((kind, size))
            if c is None:
                absent.append(f"{head} {show(size)}")
            row.append("–" if c is None else text(measure(score, c), score) + dagger(c))
            if beside[kind]:
                row.append(
                    "–" if c is None else _number(published("bottlenecks", c.settings).get(name), score)
                )
        rows.append(tuple(row))
    notes = [HOW, *([NOTE] if any(beside.values()) else [])]
    notes += [f"No such run: {few(absent)}."] if absent else []
    title = f"{score.heading} by bottleneck and size: {data.title}" + (f", {where}" if where else "")
    return Table(title, tuple(columns), tuple(rows), (*notes, *missing(block, [score])))


def cost_table(data: DataSet) -> Table:
    """What training took."""
    scores = {n: SCORES[n] for n in ("minutes", "parameters", "epochs", "best_epoch", "speed", "bytes")}
    note = "Minutes are those of the machine that trained, which other work may have slowed."
    return score_table(f"Cost of training: {data.title}", data.configurations, scores, notes=[note])


def everything_table(data: Sequence[DataSet]) -> Table:
    """Every configuration of every data set, with every setting that differs."""
    rows = [c for d in data for c in d.configurations]
    of = {id(c): d.title for d in data for c in d.configurations}
    names = ("val_loss", "coarse_accuracy", "coarse_balanced", "fine_accuracy", "mag", "dt", "band", "bytes")
    scores = {n: SCORES[n] for n in names}
    note = (
        "Rows of different data sets have other test sources and are not comparable, nor are validation "
        "losses of different loss terms."
    )
    return score_table(
        "Everything that differs between the runs", rows, scores, notes=[note],
        lead=("data set", lambda c: of[id(c)]),
    )  # fmt: skip


def _baselines(rows, scores: dict[str, Score], shown: set, width: int) -> list[tuple]:
    """One row for each different baseline; usually there is one."""
    found: dict[tuple, Configuration] = {}
    for c in rows:
        cells = []
        for name, score in scores.items():
            values = [score.baseline(run) for run in c.trained] if score.baseline else []
            value = next((v for v in values if v is not None), None)
            cells.append("–" if value is None else format_estimate(value, score.digits or 0))
            cells += ["–"] * (name in shown)
        # a configuration without results, or evaluated in part, repeats a part of what another says
        if not any(
            all(a in ("–", b) for a, b in zip(cells, other)) for other in [*found, ["–"] * len(cells)]
        ):
            found[tuple(cells)] = c
    made = []
    for cells, c in found.items():
        whose = f" ({labels(rows)(c)})" if len(found) > 1 else ""
        made.append((f"majority class; training constants{whose}", *[""] * (width - 1), *cells, "", ""))
    return made


def _number(value: float | None, score: Score) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if score.digits is None else f"{value:.{score.digits}f}"
