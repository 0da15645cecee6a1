"""The tables of a report.

Notable:
- a row is a configuration; its first columns are the settings that differ between the rows of the table
- what is missing is a dash, and a note says which run it waits for, and why
- what is not in a table because nothing equal stands beside it is named under it
- a gain is a difference on the same test sources, between runs of the same seed: most of what makes one score
  uncertain cancels, and its interval (paired bootstrap) is far narrower than those of the two scores suggest
- a task that the report knows nothing of has its records shown as they are
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from rtf.classes import COARSE, FINE
from rtf.documents import Table
from rtf.evaluation import statistics
from rtf.evaluation.record import MAJORITY, from_digits
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate
from rtf.report.compare import Configuration, DataSet, blocks, failure, is_trained, labels, varying
from rtf.report.published import EARLY_NOTE, HEADING, NOTE, published, published_early
from rtf.report.read import Run
from rtf.report.scores import HOW, SCORES, Score, measure, plain, recorded, text
from rtf.report.settings import order, show

#: Names that a note lists at most.
_LISTED = 8
#: Tasks with tables of their own.
KNOWN = ("probe", "physical", "early", "map")
METHODS = ("probe", "head")
CLASS_SCORES = ("accuracy", "balanced accuracy", "ROC-AUC")
MAPS = ("UMAP", "t-SNE")
_LEVELS = {"coarse": COARSE, "fine": FINE}
#: Numbers of detections at which gains are shown, where they were evaluated.
_GAINS_AT = (3, 10)

#: Tables by the name of their files.
Tables = dict[str, Table]


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

    def parts(self, data: DataSet) -> list[list[Configuration]]:
        """Sets of configurations that are equal in the rest."""
        among = [c for c in data.configurations if self.among(c)]
        return blocks(among, self.compared, self.needs)


_WORTH = ("coarse_accuracy", "coarse_balanced", "fine_accuracy", "fine_balanced", "mag", "dt", "band")
_SIZE = ("bottleneck", "latent_dim")

COMPARISONS = (
    Comparison("bottlenecks", "Bottleneck and size of the fingerprint", _SIZE, _SIZE, (*_WORTH, "bytes")),
    Comparison(
        "modalities", "What each modality adds", ("modalities", "image_backbone"), ("modalities",),
        (*_WORTH, "mse"), gains=True,
    ),
    Comparison(
        "image_backbones", "What reads the stamps", ("image_backbone",), ("image_backbone",),
        (*_WORTH, "parameters", "minutes"), lambda c: "image_backbone" in c.settings, gains=True,
    ),
    Comparison(
        "augmentation", "Other sources added to the training split", ("also_train",), ("also_train",), _WORTH
    ),
)  # fmt: skip


def comparison_table(data: DataSet, comparison: Comparison) -> Table | None:
    """One row a configuration, one column a score and its published figure, then the trivial baselines."""
    rows = sorted((c for part in comparison.parts(data) for c in part), key=lambda c: order(c.settings))
    if not rows:
        return None
    left = sum(map(comparison.among, data.configurations)) - len(rows)
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
    lead : text of one more first column, the data set, by configuration
    """
    names = varying(rows) if names is None else list(names)
    known = [published(published_as, c.settings) for c in rows]
    beside = {n for figures in known for n in figures if n in scores}
    columns = [*(["data set"] if lead else []), *(names or ["configuration"])]
    for name, score in scores.items():
        columns += [score.heading, *([f"{score.heading}, {HEADING}"] if name in beside else [])]
    lines = []
    for c, figures in zip(rows, known, strict=True):
        line = [lead(c)] if lead else []
        line += [show(c.settings.get(n)) for n in names] or [labels(rows)(c)]
        for name, score in scores.items():
            line.append(text(measure(score, c), score))
            line += [_number(figures.get(name), score)] if name in beside else []
        lines.append((*line, seeds(c), test_sources(c)))
    if not lead:
        lines += _baselines(rows, scores, beside, len(names or [0]))
        notes = [*notes, *class_counts(rows)]
    notes = [HOW, *([NOTE] if beside else []), *notes, *missing(rows, list(scores.values()))]
    return Table(title, (*columns, "seeds", "test sources"), lines, notes)


def _baselines(rows, scores: dict[str, Score], beside: set, width: int) -> list[tuple]:
    """One row for each different baseline; usually there is one."""
    found: dict[tuple, Configuration] = {}
    for c in rows:
        cells = []
        for name, score in scores.items():
            values = [score.baseline(run) for run in c.trained] if score.baseline else []
            value = next((v for v in values if v is not None), None)
            cells.append("–" if value is None else format_estimate(value, score.digits))
            cells += ["–"] * (name in beside)
        # a configuration without results, or evaluated in part, repeats a part of what another says
        others = [*found, ["–"] * len(cells)]
        if not any(all(a in ("–", b) for a, b in zip(cells, other)) for other in others):
            found[tuple(cells)] = c
    made = []
    for cells, c in found.items():
        whose = f" ({labels(rows)(c)})" if len(found) > 1 else ""
        made.append((f"majority class; training constants{whose}", *[""] * (width - 1), *cells, "", ""))
    return made


def _number(value: float | None, score: Score) -> str:
    return "–" if value is None else format_estimate(plain(value), score.digits)


def size_table(data: DataSet, block: Sequence[Configuration], name: str, where: str = "") -> Table | None:
    """One score by size of the fingerprint (rows) and bottleneck (columns), the layout that was published."""
    sub = [n for n in varying(block) if n != "latent_dim"]
    called = labels(block, sub)
    kinds: dict[str, dict] = {}
    for c in block:
        kinds.setdefault(called(c), {})[c.settings.get("latent_dim")] = c
    sizes = list(dict.fromkeys(c.settings.get("latent_dim") for c in block))
    if len(kinds) < 2 or len(sizes) < 2:
        return None
    score, columns = SCORES[name], ["latent_dim"]
    rows = [[show(size)] for size in sizes]
    absent, any_beside = [], False
    for head, of_size in kinds.items():
        known = {size: published("bottlenecks", c.settings).get(name) for size, c in of_size.items()}
        beside = any(value is not None for value in known.values())
        any_beside |= beside
        columns += [head, *([f"{head}, {HEADING}"] if beside else [])]
        for row, size in zip(rows, sizes):
            c = of_size.get(size)
            absent += [f"{head} {show(size)}"] if c is None else []
            row.append("–" if c is None else text(measure(score, c), score) + dagger(c))
            row += [_number(known.get(size), score)] if beside else []
    notes = [HOW, *([NOTE] if any_beside else [])]
    notes += [f"No such run: {few(absent)}."] if absent else []
    title = f"{score.heading} by bottleneck and size: {data.title}" + (f", {where}" if where else "")
    return Table(title, columns, rows, (*notes, *missing(block, [score])))


def cost_table(data: DataSet) -> Table:
    """The cost of training."""
    scores = {n: SCORES[n] for n in ("minutes", "parameters", "epochs", "best_epoch", "speed", "bytes")}
    note = "Minutes are those of the machine that trained, which other work may have slowed."
    return score_table(f"Cost of training: {data.title}", data.configurations, scores, notes=[note])


def everything_table(data: Sequence[DataSet]) -> Table:
    """Every configuration of every data set, with every setting that differs."""
    of = {id(c): d.title for d in data for c in d.configurations}
    names = ("val_loss", "coarse_accuracy", "coarse_balanced", "fine_accuracy", "mag", "dt", "band", "bytes")
    note = (
        "Rows of different data sets have other test sources and are not comparable, nor are validation "
        "losses of different loss terms."
    )
    return score_table(
        "Everything that differs between the runs", [c for d in data for c in d.configurations],
        {n: SCORES[n] for n in names}, notes=[note], lead=lambda c: of[id(c)],
    )  # fmt: skip


def maps_table(data: DataSet) -> Table | None:
    """How true the maps of each configuration are, beside the fingerprints themselves and chance."""
    rows = mapped(data)
    headings = {"fingerprints": "10 nearest of the same class", "chance": "by chance"}
    headings |= {kind: f"the same on {kind}" for kind in MAPS}
    scores = {
        m: recorded("map", "same class", headings[m], method=m) for m in ("fingerprints", *MAPS, "chance")
    }
    for kind in MAPS:
        scores[f"kept {kind}"] = recorded("map", "kept", f"10 nearest kept on {kind}", method=kind)
    return score_table(f"Maps of fingerprints: {data.title}", rows, scores) if rows else None


def mapped(data: DataSet) -> list[Configuration]:
    """Configurations of which a run has a map, in the order of their settings."""
    found = [c for c in data.configurations if any("map" in run.results for run in c.trained)]
    return sorted(found, key=lambda c: order(c.settings))


def gains_tables(data: DataSet, comparison: Comparison) -> Tables:
    """For each set of configurations that is equal in the rest: gains on the first of them."""
    parts, made = comparison.parts(data), {}
    for k, part in enumerate(parts, 1):
        first, *others = sorted(part, key=lambda c: order(c.settings))
        scores = {}
        for level, task, n in [(x, "probe", None) for x in _LEVELS] + [
            ("coarse", "early", n) for n in _GAINS_AT
        ]:
            for score in CLASS_SCORES[:2]:
                heading = f"{level} {score}" + (f", first {n} detections" if n else "")
                get = partial(_gain, first, task, level, n, score)
                scores[heading] = Score(heading, get, limits=(-1.0, 1.0), task=task)
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


def _gain(
    first: Configuration, task: str, level: str, n: int | None, score: str, run: Run
) -> Estimate | None:
    other = next((r for r in first.trained if r.config.get("seed") == run.config.get("seed")), None)
    place = f"{level}/probe" + (f"/{n}" if n else "")
    found = [r.results[task] for r in (other, run) if r is not None and task in r.results]
    arrays = [e.arrays for e in found if place in e.arrays]
    if len(arrays) < 2 or arrays[0][f"{level}/truth"] != arrays[1][f"{level}/truth"]:
        return None
    set_by = found[1].settings
    return gain(
        arrays[1][f"{level}/truth"], arrays[0][place], arrays[1][place], score, len(_LEVELS[level]),
        n_resamples=set_by["n_bootstrap"], seed=set_by["seed"],
    )  # fmt: skip


@lru_cache(maxsize=1024)
def gain(
    truth: str, before: str, after: str, score: str, n_classes: int, *, n_resamples: int, seed: int
) -> Estimate:
    """Accuracy, or balanced accuracy, of the second predictions less that of the first.

    Parameters
    ----------
    truth, before, after : classes of the same test sources, by `to_digits`
    score : "accuracy" or "balanced accuracy"
    n_resamples, seed : of the bootstrap over sources
    """
    label, *predicted = map(from_digits, (truth, before, after))
    value: Callable = statistics.accuracy
    if score == "balanced accuracy":
        value = partial(statistics.balanced_accuracy, n_classes=n_classes)

    def difference(counts: np.ndarray) -> np.ndarray:
        first, second = (value(label, p, counts) for p in predicted)
        return second - first

    return bootstrap(difference, len(label), n_resamples=n_resamples, seed=seed)


def early_score(level: str, method: str, n: int | None, score: str) -> Score:
    """A score at a number of detections."""
    where = {"level": level, "method": method, "shown": n, "group": "all"}
    return recorded("early", score, f"{method}: {score}", MAJORITY, **where)


def counts_of(configurations: Sequence[Configuration]) -> list[int | None]:
    """Numbers of detections that any of the runs was evaluated at; None, for all, is last."""
    found = {r.shown for e in _early(configurations) for r in e.records if r.method in METHODS}
    return sorted(found, key=lambda n: (n is None, n))


def evaluated(data: DataSet) -> list[Configuration]:
    """Configurations of which a run has early classification."""
    return [c for c in data.configurations if _early([c])]


def methods_of(c: Configuration) -> list[str]:
    """The readers of the class in these runs: the probe, and the classification head where there is one."""
    return [m for m in METHODS if any(r.method == m for e in _early([c]) for r in e.records)]


def _early(configurations: Sequence[Configuration]) -> list:
    return [run.results["early"] for c in configurations for run in c.trained if "early" in run.results]


def early_tables(data: DataSet) -> Tables:
    """A table of each configuration and level in the published layout; then scores side by side."""
    chosen, made = evaluated(data), {}
    called = labels(data.configurations)
    pairs = [(c, m) for c in chosen for m in methods_of(c)]
    for level in _LEVELS:
        for k, c in enumerate(chosen, 1):
            made[f"early_{level}_{k}"] = _by_count(data, c, level, called(c))
        for score in CLASS_SCORES[:2] if len(chosen) > 1 else ():
            rows = []
            for n in counts_of(chosen):
                scores = [(c, early_score(level, m, n, score)) for c, m in pairs]
                rows.append((_count_name(n), *(text(measure(s, c), s) for c, s in scores)))
            columns = ["detections", *(f"{called(c)}, {m}" for c, m in pairs)]
            title = f"Early classification, {level} classes, {score}: {data.title}"
            notes = missing(data.configurations, [early_score(level, "probe", 3, score)])
            name = f"early_{level}_{score.replace(' ', '_')}"
            made[name] = Table(title, columns, rows, (HOW, *notes))
    return made


def _by_count(data: DataSet, c: Configuration, level: str, name: str) -> Table:
    beside = published_early(c.settings) if level == "coarse" else {}
    methods = methods_of(c)
    columns = ["detections", *(f"{m}: {score}" for m in methods for score in CLASS_SCORES)]
    columns += [f"{score}, {HEADING}" for score in CLASS_SCORES] if beside else []
    rows = []
    for n in sorted({*counts_of([c]), *beside}, key=lambda n: (n is None, n)):
        scores = [early_score(level, m, n, score) for m in methods for score in CLASS_SCORES]
        cells = [text(measure(s, c), s) for s in scores]
        if beside:
            cells += ["–" if v is None else f"{v:.3f}" for v in beside.get(n, (None,) * 3)]
        have = recorded("early", "have as many", level=level, method="probe", shown=n)
        rows.append((_count_name(n), *cells, seeds(c), text(measure(have, c), have)))
    base = [early_score(level, m, None, score).baseline for m in methods for score in CLASS_SCORES]
    first = next(run for run in c.trained if "early" in run.results)
    cells = [format_estimate(get(first)) for get in base]
    rows.append((MAJORITY, *cells, *["–"] * (len(columns) - 1 - len(cells)), "", ""))
    notes = [HOW, "Have as many: test sources with N detections; in every row the others give all they have."]
    notes += [EARLY_NOTE] if beside else []
    notes += missing(data.configurations, [early_score(level, "probe", 3, "accuracy")])
    title = f"Early classification, {level} classes: {name}, {data.title}"
    return Table(title, (*columns, "seeds", "have as many"), rows, notes)


def _count_name(n: int | None) -> str:
    return "all" if n is None else str(n)


def record_tables(data: DataSet) -> Tables:
    """The records of every task without tables of its own: all sources; classes and bands are in the CSV."""
    tasks = {t for c in data.configurations for run in c.trained for t in run.results} - set(KNOWN)
    made, called = {}, labels(data.configurations)
    for task in sorted(tasks):
        rows: dict[tuple, dict] = {}
        found: dict[str, Score] = {}
        for c in data.configurations:
            for (level, method, group, shown, score), s in recorded_scores(c, task).items():
                if group == "all":
                    key = (called(c), level, method, _count_name(shown), seeds(c))
                    rows.setdefault(key, {})[score] = text(measure(s, c), s)
                    found[score] = s
        if rows:
            lines = [(*key, *(cells.get(score, "–") for score in found)) for key, cells in rows.items()]
            columns = ("configuration", "level", "method", "detections shown", "seeds")
            headings = [s.heading for s in found.values()]
            title = f"Records of task={task}: {data.title}"
            notes = (HOW, "All sources of a question; records by class or band are in numbers.csv.")
            made[f"records_{task}"] = Table(title, (*columns, *headings), lines, notes)
    return made


def recorded_scores(c: Configuration, task: str) -> dict[tuple, Score]:
    """By level, method, group, detections shown and score: every score that a configuration has of a task."""
    found = {}
    for run in c.trained:
        for r in run.results[task].records if task in run.results else ():
            keys = {k: getattr(r, k) for k in ("level", "method", "group", "shown")}
            if (*keys.values(), r.score) not in found:
                found[*keys.values(), r.score] = recorded(task, r.score, **keys)
    return found


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


def missing(configurations: Sequence[Configuration], scores: Sequence[Score]) -> list[str]:
    """Notes on the runs that cells wait for, by what they lack; and on runs that count nowhere."""
    lacking: dict[str, list[str]] = {}
    for run in (run for c in configurations for run in c.runs):
        if not is_trained(run):
            lacking.setdefault(f"Training {run.state}", []).append(_where(run))
            continue
        for task in dict.fromkeys(s.task for s in scores if s.task and s.task not in run.results):
            what = f"No {task} (python -m rtf.evaluate run=RUN task={task})"
            lacking.setdefault(what, []).append(_where(run))
    notes = [f"{what}: {few(names)}." for what, names in lacking.items()]
    if again := [_where(run) for c in configurations for run in c.again]:
        notes.append(f"Same configuration and seed as another run, not counted: {few(again)}.")
    left = {
        note for c in configurations for run in c.trained for e in run.results.values() for note in e.notes
    }
    return notes + sorted(left)


def class_counts(rows: Sequence[Configuration]) -> list[str]:
    """Training and test sources of each class that the probes were fitted to and scored on."""
    for run in (run for c in rows for run in c.trained if "probe" in run.results):
        arrays = run.results["probe"].arrays
        test = np.bincount(from_digits(arrays["fine/truth"]), minlength=len(FINE))
        counts = zip(FINE, arrays["fine/train count"], test)
        listed = ", ".join(f"{name} {a:,}/{b:,}" for name, a, b in counts if a or b)
        return [f"Training/test sources: {listed}."]
    return []


def seeds(c: Configuration) -> str:
    """How many seeds are trained, of how many there are; † where it is one."""
    done, all_of_them = len(c.trained), len(c.runs)
    return (f"{done}" if done == all_of_them else f"{done} of {all_of_them}") + dagger(c)


def test_sources(c: Configuration) -> str:
    """Test sources that the configuration's runs were scored on."""
    tests = [e.test for run in c.trained for e in run.results.values() if e.test]
    return f"{tests[0]['n']:,}" if tests else "–"


def dagger(c: Configuration) -> str:
    return "†" if len(c.trained) == 1 else ""


def _where(run: Run) -> str:
    done = "" if is_trained(run) else f"epochs done: {len(run.history)}"
    why = failure(run) or done
    return run.name + (f" ({why})" if why else "")


def few(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
