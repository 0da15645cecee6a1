"""The tables of a report.

Notable:
- a row is a configuration; its first columns are the settings that differ between the rows of the table
- what is missing is a dash, and a note says which run it waits for, and why
- a gain is a difference on the same test sources, between runs of the same seed, with a paired bootstrap
- records of tasks that the score tables do not show have tables of one layout, whatever the task
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rtf.classes import FINE
from rtf.documents import Table
from rtf.evaluation import statistics
from rtf.evaluation.classification import SCORES as CLASS_SCORES
from rtf.evaluation.record import MAJORITY, from_digits, record_table, select, shown_text
from rtf.evaluation.run import LEVELS
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate
from rtf.report.compare import Configuration, DataSet, blocks, failure, is_trained, labels, varying
from rtf.report.published import EARLY_NOTE, HEADING, NOTE, published, published_early
from rtf.report.read import Run
from rtf.report.scores import HOW, SCORES, TRAINING, Score, measure, measure_all, text
from rtf.report.settings import order, show

_LISTED = 8  # names in a note, at most
_IN_SCORES = ("probe", "physical")  # tasks whose records are columns of the score tables
_TITLES = {"early": "Early classification", "map": "Maps of fingerprints"}
_HAVE = "Have as many: test sources with N detections; in every row the others give all they have."
_GAINS_AT = (3, 10)  # numbers of detections

Tables = dict[str, Table]  # by the name of their files


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by what."""

    name: str  # of its files
    title: str
    compared: tuple[str, ...]  # settings or groups that may differ; all others must be equal
    scores: tuple[str, ...]  # names in `SCORES`
    needs: tuple[str, ...] = ()  # one of these must differ; default: of the compared ones
    among: Callable[[Configuration], bool] = lambda configuration: True
    gains: bool = False  # whether to show what each gains on the first of them

    def parts(self, data: DataSet) -> list[list[Configuration]]:
        """Sets of configurations that are equal in the rest."""
        among = [c for c in data.configurations if self.among(c)]
        return blocks(among, self.compared, self.needs)


_WORTH = ("coarse_accuracy", "coarse_balanced", "fine_accuracy", "fine_balanced", "mag", "dt", "band")

COMPARISONS = (
    Comparison(
        "bottlenecks", "Bottleneck and size of the fingerprint", ("bottleneck", "latent_dim"),
        (*_WORTH, "bytes"),
    ),
    Comparison(
        "modalities", "What each modality adds", ("modalities", "image_backbone"), (*_WORTH, "mse"),
        needs=("modalities",), gains=True,
    ),
    Comparison(
        "image_backbones", "What reads the stamps", ("image_backbone",), (*_WORTH, "parameters", "minutes"),
        among=lambda c: "image_backbone" in c.settings, gains=True,
    ),
    Comparison("augmentation", "Other sources added to the training split", ("also_train",), _WORTH),
)  # fmt: skip


def comparison_table(data: DataSet, comparison: Comparison) -> Table | None:
    """One row a configuration, one column a score and its published figure, then the trivial baselines."""
    rows = sorted((c for part in comparison.parts(data) for c in part), key=lambda c: order(c.settings))
    if not rows:
        return None
    left = sum(map(comparison.among, data.configurations)) - len(rows)
    notes = [f"Not here, as they differ in more than this: {left} configurations."] * bool(left)
    names = [n for n in comparison.scores if n != "mse" or any(measure(SCORES[n], c).n for c in rows)]
    scores = {n: SCORES[n] for n in names}
    return score_table(f"{comparison.title}: {data.title}", rows, scores, comparison.name, notes)


def score_table(
    title: str, rows: Sequence[Configuration], scores: dict[str, Score], published_as: str = "",
    notes: Sequence[str] = (), names: Sequence[str] | None = None,
) -> Table:  # fmt: skip
    """Configurations by scores; the settings that differ (or `names`) first, seeds and test sources last."""
    names = varying(rows) if names is None else list(names)
    known = [published(published_as, c.settings) for c in rows]
    beside = {n for figures in known for n in figures if n in scores}
    columns = list(names or ["configuration"])
    for name, score in scores.items():
        columns += [score.kind.heading] + [f"{score.kind.heading}, {HEADING}"] * (name in beside)
    lines = []
    for c, figures in zip(rows, known, strict=True):
        line = [show(c.settings.get(n)) for n in names] or [labels(rows)(c)]
        for name, score in scores.items():
            line.append(text(measure(score, c), score.kind.digits, len(c.trained)))
            if name in beside:
                line.append(f"{figures[name]:,.{score.kind.digits}f}" if name in figures else "–")
        lines.append((*line, seeds(c), test_sources(c)))
    if "data set" not in names:
        blank, cells = [""] * (len(names or [0]) - 1), _baselines(rows, scores, beside)
        if set(cells) != {"–"}:
            lines.append(("majority class; training constants", *blank, *cells, "", ""))
        notes = [*notes, *class_counts(rows)]
    tasks = [score.task for score in scores.values()]
    notes = [HOW, *([NOTE] if beside else []), *notes, *missing(rows, tasks)]
    return Table(title, (*columns, "seeds", "test sources"), lines, notes)


def _baselines(rows, scores: dict[str, Score], beside: set) -> list[str]:
    """The trivial baseline of each score; several where configurations differ in it."""
    line = []
    for name, score in scores.items():
        values = (score.baseline(run) for c in rows for run in c.trained)
        texts = dict.fromkeys(format_estimate(v, score.kind.digits) for v in values if v)
        line += [" / ".join(texts) or "–"] + ["–"] * (name in beside)
    return line


def cost_table(data: DataSet) -> Table:
    """The cost of training."""
    scores = {n: SCORES[n] for n in ("minutes", "parameters", "epochs", "best_epoch", "speed", "bytes")}
    note = "Minutes are those of the machine that trained, which other work may have slowed."
    return score_table(f"Cost of training: {data.title}", data.configurations, scores, notes=[note])


def everything_table(data: Sequence[DataSet]) -> Table:
    """Every configuration of every data set, with every setting that differs."""
    rows = [replace(c, settings={"data set": d.title, **c.settings}) for d in data for c in d.configurations]
    names = [n for n in varying(rows) if n != "data set"]
    scores = ("val_loss", "coarse_accuracy", "coarse_balanced", "fine_accuracy", "mag", "dt", "band", "bytes")
    note = (
        "Rows of different data sets have other test sources and are not comparable, nor are validation "
        "losses of different loss terms."
    )
    title = "Everything that differs between the runs"
    return score_table(title, rows, {n: SCORES[n] for n in scores}, notes=[note], names=["data set", *names])


@dataclass(frozen=True)
class Gain(Score):
    """The score of a run less that of the run of `first` with the same seed, on the same sources."""

    first: Configuration | None = None

    def get(self, run: Run) -> Estimate | None:
        other = next((r for r in self.first.trained if r.config.get("seed") == run.config.get("seed")), None)
        place = f"{self.level}/probe" + (f"/{self.shown}" if self.shown else "")
        found = [r.results[self.task] for r in (other, run) if r is not None and self.task in r.results]
        texts = [(e.arrays[f"{self.level}/truth"], e.arrays[place]) for e in found if place in e.arrays]
        if len(texts) < 2 or texts[0][0] != texts[1][0]:
            return None
        (truth, before), (_, after) = texts
        made = {"n_resamples": found[1].settings["n_bootstrap"], "seed": found[1].settings["seed"]}
        return gain(truth, before, after, self.score, len(LEVELS[self.level]), **made)


def gains_tables(data: DataSet, comparison: Comparison) -> Tables:
    """For each set of configurations that is equal in the rest: gains on the first of them."""
    parts, made = comparison.parts(data), {}
    asked = [("probe", level, None) for level in LEVELS] + [("early", "coarse", n) for n in _GAINS_AT]
    for k, part in enumerate(parts, 1):
        first, *others = sorted(part, key=lambda c: order(c.settings))
        scores = {}
        for task, level, n in asked:
            for score in CLASS_SCORES[:2]:
                name = f"{level} {score}" + (f", first {n} detections" if n else "")
                scores[name] = Gain(task, score, level, "probe", n, name, first=first)
        scores = {k: s for k, s in scores.items() if any(s.get(run) for c in others for run in c.trained)}
        if scores:
            title = f"{comparison.title}, gain on {labels(part)(first)}: {data.title}"
            note = (
                "Gains of the linear probe: differences on the same test sources between runs of the same "
                "seed, and the intervals those of the differences (paired bootstrap over test sources)."
            )
            name = f"{comparison.name}_gains" + (f"_{k}" if len(parts) > 1 else "")
            made[name] = score_table(title, others, scores, notes=[note], names=varying([first, *others]))
    return made


@lru_cache(maxsize=1024)
def gain(
    truth: str, before: str, after: str, score: str, n_classes: int, *, n_resamples: int, seed: int
) -> Estimate:
    """Accuracy, or balanced accuracy, of the second predictions less that of the first.

    Classes are those of the same test sources, written by `to_digits`.
    """
    label, *predicted = map(from_digits, (truth, before, after))

    def difference(counts: np.ndarray) -> np.ndarray:
        if score == "accuracy":
            first, second = (statistics.accuracy(label, p, counts) for p in predicted)
        else:
            first, second = (statistics.balanced_accuracy(label, p, counts, n_classes) for p in predicted)
        return second - first

    return bootstrap(difference, len(label), n_resamples=n_resamples, seed=seed)


def record_tables(data: DataSet) -> Tables:
    """The records of every other task: a table for each question (level) of it.

    Records of single classes, windows and bands are in numbers.csv, but where a question has no others.
    """
    called, found, seeds_of = labels(data.configurations), {}, {}
    for c in data.configurations:
        for task in sorted({t for run in c.trained for t in run.results} - {*_IN_SCORES}):
            seeds_of[task, called(c)] = seeds(c, task)
            for r in (replace(r, run=called(c)) for r, _ in measure_all(c, task)):
                own = found.setdefault((task, r.level), [])
                own.append(r)
                if (task, r.level, r.method, r.score) == ("early", "coarse", "probe", "accuracy"):
                    known = zip(CLASS_SCORES, published_early(c.settings).get(r.shown, ()))
                    bare = replace(r, low=np.nan, high=np.nan)
                    own += [replace(bare, score=f"{s}, {HEADING}", value=v) for s, v in known if v]
    made = {}
    for (task, level), records in sorted(found.items(), key=lambda item: item[0]):
        several = sum(t == task for t, _ in found) > 1
        whole = select(records, group="all") or records
        # one configuration and method after the other, the trivial baselines last
        places = [list(dict.fromkeys(getattr(r, k) for r in whole)) for k in ("run", "method")]
        whole.sort(key=lambda r: (places[0].index(r.run), r.method == MAJORITY, places[1].index(r.method)))
        rows = {"configuration": "run", "read by": "method"}
        if whole[0].group != "all":
            rows["of"] = "group"
        if any(r.shown is not None for r in whole):
            rows["detections shown"] = shown_text
        rows["seeds"] = lambda r, task=task: seeds_of[task, r.run]
        columns = sorted({r.score: None for r in whole}, key=lambda score: HEADING in score)
        beside = [EARLY_NOTE] * (HEADING in columns[-1])
        notes = [HOW, *[_HAVE] * (task == "early"), *beside, *missing(data.configurations, [task])]
        title = _TITLES.get(task, f"Task {task}") + (f", {level}" if level else "") + f": {data.title}"
        name = re.sub(r"\W+", "_", f"{task}_{level}" if several else task)
        made[name] = record_table(title, whole, rows, columns, notes)
    return made


def runs_table(runs: Sequence[Run], data: Sequence[DataSet]) -> Table:
    """The index: every run, how far it is, and why it is no further."""
    of: dict[str, list[str]] = {}
    for d in data:
        for run in (run for c in d.configurations for run in (*c.runs, *c.again)):
            of.setdefault(run.where, []).append(d.title)
    lines = [
        (
            run.name, run.sweep or "–", "; ".join(of.get(run.where, "–")), show(run.config.get("seed")),
            run.state, f"{len(run.history)} of {show(run.config.get('epochs'))}",
            ", ".join(sorted({e.task for e in run.evaluations})) or "–", failure(run) or "–", run.where,
        )
        for run in runs
    ]  # fmt: skip
    columns = ("run", "sweep", "data set", "seed", "state", "epochs", "evaluated", "error", "where")
    return Table("Runs", columns, lines)


def missing(configurations: Sequence[Configuration], tasks: Sequence[str]) -> list[str]:
    """Notes on the runs that cells wait for, by what they lack; and on runs that count nowhere."""
    lacking: dict[str, list[Run]] = {}
    for run in (run for c in configurations for run in c.runs):
        absent = [t for t in dict.fromkeys(tasks) if t != TRAINING and t not in run.results]
        what = [f"No {task} (python -m rtf.evaluate run=RUN task={task})" for task in absent]
        for note in what if is_trained(run) else [f"Training {run.state}"]:
            lacking.setdefault(note, []).append(run)
    if again := [run for c in configurations for run in c.again]:
        lacking["Same configuration and seed as another run, not counted"] = again
    notes = []
    for what, runs in lacking.items():
        more = f" and {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
        notes.append(f"{what}: {', '.join(map(_where, runs[:_LISTED]))}{more}.")
    evaluations = [e for c in configurations for run in c.trained for e in run.results.values()]
    return notes + sorted({note for e in evaluations for note in e.notes})


def class_counts(rows: Sequence[Configuration]) -> list[str]:
    """Training and test sources of each class that the probes were fitted to and scored on."""
    probed = [run.results["probe"].arrays for c in rows for run in c.trained if "probe" in run.results]
    if not probed:
        return []
    test = np.bincount(from_digits(probed[0]["fine/truth"]), minlength=len(FINE))
    counts = zip(FINE, probed[0]["fine/train count"], test)
    return [f"Training/test sources: {', '.join(f'{name} {a:,}/{b:,}' for name, a, b in counts if a or b)}."]


def seeds(c: Configuration, task: str = "") -> str:
    """How many seeds are trained (and have the task), of how many there are; † where it is one."""
    done, every = sum(not task or task in run.results for run in c.trained), len(c.runs)
    return (f"{done}" if done == every else f"{done} of {every}") + ("†" if done == 1 else "")


def test_sources(c: Configuration) -> str:
    """Test sources that the configuration's runs were scored on."""
    tests = [e.test for run in c.trained for e in run.results.values() if e.test]
    return f"{tests[0]['n']:,}" if tests else "–"


def _where(run: Run) -> str:
    why = failure(run) or ("" if is_trained(run) else f"epochs done: {len(run.history)}")
    return run.name + (f" ({why})" if why else "")
