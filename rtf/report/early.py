"""Early classification of several runs: tables by number of detections.

Notable:
- one table a configuration and level in the published layout, detections by scores of probe and head
- where several configurations were evaluated, one more table a level sets them side by side
"""

from collections.abc import Sequence
from functools import partial

from rtf.evaluation.statistics import Estimate, format_estimate
from rtf.evaluation.tables import Table
from rtf.report.compare import Configuration, DataSet, labels
from rtf.report.notes import missing, seeds
from rtf.report.published import EARLY_NOTE, HEADING, published_early
from rtf.report.read import Run
from rtf.report.scores import HOW, Score, estimate, measure, text

READERS = ("probe", "head")
FIELDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "ROC-AUC"}


def early_score(level: str, reader: str, count: str, name: str) -> Score:
    """A score at a number of detections."""
    return Score(f"{reader}: {FIELDS[name]}", partial(_read, level, reader, count, name), task="early")


def counts(configurations: Sequence[Configuration]) -> list[str]:
    """Numbers of detections that any of the runs was evaluated at, "all" last."""
    found = {
        n for c in configurations for run in c.trained for n in _result(run).get("test_sources_with_n", {})
    }
    return sorted(found, key=lambda n: (n == "all", int(n) if n != "all" else 0))


def evaluated(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Those of which a run has early classification."""
    return [c for c in configurations if any(_result(run) for run in c.trained)]


def readers(configuration: Configuration, level: str) -> list[str]:
    """What reads the class in these runs: the probe, and the classification head where there is one."""
    return [r for r in READERS if any(r in _result(run).get(level, {}) for run in configuration.trained)]


def early_tables(data: DataSet) -> list[tuple[str, Table]]:
    """Name and table of each configuration and level; after them, accuracies side by side."""
    chosen = evaluated(data.configurations)
    called = labels(data.configurations)
    made = []
    for level in ("coarse", "fine"):
        for k, c in enumerate(chosen, 1):
            made.append((f"early_{level}_{k}", _by_count(data, c, level, called(c))))
        if len(chosen) > 1:
            for name in ("accuracy", "balanced_accuracy"):
                table = _side_by_side(data, chosen, level, name, [called(c) for c in chosen])
                made.append((f"early_{level}_{name}", table))
    return made


def _by_count(data: DataSet, c: Configuration, level: str, name: str) -> Table:
    beside = published_early(c.settings) if level == "coarse" else {}
    present = readers(c, level)
    columns = ["detections", *(f"{r}: {heading}" for r in present for heading in FIELDS.values())]
    columns += [f"{heading}, {HEADING}" for heading in FIELDS.values()] if beside else []
    rows = []
    for n in [*counts([c]), *(n for n in beside if n not in counts([c]))]:
        scores = [early_score(level, r, n, field) for r in present for field in FIELDS]
        cells = [text(measure(s, c), s) for s in scores]
        if beside:
            cells += ["–" if v is None else f"{v:.3f}" for v in beside.get(n, (None,) * len(FIELDS))]
        rows.append((n, *cells, seeds(c), _have(c, n)))
    rows = sorted(rows, key=lambda row: (row[0] == "all", int(row[0]) if row[0] != "all" else 0))
    rows.append(_baseline(c, level, present, len(columns)))
    notes = [
        HOW,
        *([EARLY_NOTE] if beside else []),
        *missing(data.configurations, [early_score(level, "probe", "3", "auc")]),
    ]
    notes.insert(
        1, "Have as many: test sources with N detections; in every row the others give all they have."
    )
    title = f"Early classification, {level} classes: {name}, {data.title}"
    return Table(title, (*columns, "seeds", "have as many"), tuple(rows), tuple(notes))


def _side_by_side(data: DataSet, chosen, level: str, name: str, names: list[str]) -> Table:
    columns, rows = ["detections"], []
    pairs = [(c, r) for c in chosen for r in readers(c, level)]
    columns += [f"{n}, {r}" for c, n in zip(chosen, names) for r in readers(c, level)]
    for n in counts(chosen):
        scores = [(c, early_score(level, r, n, name)) for c, r in pairs]
        rows.append((n, *(text(measure(s, c), s) for c, s in scores)))
    title = f"Early classification, {level} classes, {FIELDS[name]}: {data.title}"
    notes = missing(data.configurations, [early_score(level, "probe", "3", name)])
    return Table(title, tuple(columns), tuple(rows), (HOW, *notes))


def _baseline(c: Configuration, level: str, present: list[str], width: int) -> tuple[str, ...]:
    result = next(_result(run)[level] for run in c.trained if _result(run))
    baseline = next(iter(next(iter(result.values())).values()))["baseline"]
    values = [estimate(baseline[name]) for name in FIELDS]
    cells = ["–" if value is None else format_estimate(value) for value in values]
    cells = [f"majority class ({baseline['class_name']})", *cells * len(present)]
    return (*cells, *["–"] * (width - len(cells)), "", "")


def _have(c: Configuration, n: str) -> str:
    for run in c.trained:
        if n in _result(run).get("test_sources_with_n", {}):
            return f"{_result(run)['test_sources_with_n'][n]:,}"
    return "–"


def _result(run: Run) -> dict:
    return run.results.get("early") or {}


def _read(level: str, reader: str, count: str, name: str, run: Run) -> Estimate | None:
    return estimate(_result(run).get(level, {}).get(reader, {}).get(count, {}).get(name))
