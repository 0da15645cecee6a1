"""What a configuration gains on another, source by source.

Notable:
- both are scored on the same test sources, so most of what makes one score uncertain cancels in the
  difference: its interval (paired bootstrap) is far narrower than those of the two scores suggest
- runs are paired by their seed; over seeds differences are combined as scores are
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from rtf.evaluation import metrics
from rtf.evaluation.statistics import Estimate, bootstrap
from rtf.evaluation.tables import Table, from_digits
from rtf.report.compare import Configuration, DataSet, blocks, labels, varying
from rtf.report.layouts import Comparison, score_table
from rtf.report.notes import few
from rtf.report.read import Run
from rtf.report.scores import Score
from rtf.report.settings import order

#: Numbers of detections at which gains are shown, where they were evaluated.
COUNTS = ("3", "10")
_FIELDS = {"accuracy": "accuracy", "balanced": "balanced accuracy"}

_NOTE = (
    "Gains of the linear probe: differences on the same test sources between runs of the same seed, and the "
    "intervals those of the differences (paired bootstrap over test sources)."
)


def gains_tables(data: DataSet, comparison: Comparison) -> list[tuple[str, Table]]:
    """For each set of configurations that is equal in the rest: gains on the first of them."""
    among = [c for c in data.configurations if comparison.among(c)]
    parts = blocks(among, comparison.compared, comparison.needs)
    made = []
    for k, part in enumerate(parts, 1):
        first, *others = sorted(part, key=lambda c: order(c.settings))
        table = _table(data, comparison, first, others, labels(part)(first))
        if table is not None:
            made.append((f"{comparison.name}_gains" + (f"_{k}" if len(parts) > 1 else ""), table))
    return made


def _table(data: DataSet, comparison: Comparison, first: Configuration, others, called: str) -> Table | None:
    scores = {}
    for level in ("coarse", "fine"):
        for field, heading in _FIELDS.items():
            scores[f"{level} {field}"] = _score(f"{level} {heading}", first, "probe", (level,), field)
    for n in COUNTS:
        for field, heading in _FIELDS.items():
            where = ("coarse", "probe", n)
            name = f"coarse {heading}, first {n} detections"
            scores[f"coarse {field} {n}"] = _score(name, first, "early", where, field)
    scores = {k: s for k, s in scores.items() if any(s.get(run) for c in others for run in c.trained)}
    if not scores:
        return None
    title = f"{comparison.title}, gain on {called}: {data.title}"
    runs = [run for c in (first, *others) for run in c.trained if "probe" in run.results]
    former = [run.name for run in runs if _result(run, "probe", ("coarse",)) is None]
    again = "Evaluated when the class of each source was not kept, to be evaluated again"
    notes = [_NOTE, *([f"{again}: {few(former)}."] if former else [])]
    return score_table(title, others, scores, notes=notes, names=varying([first, *others]))


def _score(heading: str, first: Configuration, task: str, where: tuple[str, ...], field: str) -> Score:
    def get(run: Run) -> Estimate | None:
        other = next((r for r in first.trained if r.config.get("seed") == run.config.get("seed")), None)
        found = [_result(r, task, where) for r in (other, run) if r is not None]
        if len(found) < 2 or None in found or found[0]["truth"] != found[1]["truth"]:
            return None
        before, after = found
        return gain(
            after["truth"], before["predicted"], after["predicted"], field, len(after["class_names"]),
            after["n_resamples"], after["seed"],
        )  # fmt: skip

    return Score(heading, get, limits=(-1.0, 1.0), task=task)


def _result(run: Run, task: str, where: tuple[str, ...]) -> dict | None:
    node = run.results.get(task) or {}
    for key in where:
        node = node.get(key) or {}
    return node if "predicted" in node else None


@lru_cache(maxsize=1024)
def gain(
    truth: str, before: str, after: str, field: str, n_classes: int, n_resamples: int, seed: int
) -> Estimate:
    """Accuracy, or balanced accuracy, of the second predictions less that of the first.

    Parameters
    ----------
    truth, before, after : classes of the same test sources, by `to_digits`
    field : "accuracy" or "balanced"
    n_resamples, seed : of the bootstrap over sources
    """
    label, *predicted = map(from_digits, (truth, before, after))
    score: Callable = metrics.accuracy
    if field == "balanced":
        score = partial(metrics.balanced_accuracy, n_classes=n_classes)

    def difference(counts: np.ndarray) -> np.ndarray:
        first, second = (score(label, p, counts) for p in predicted)
        return second - first

    return bootstrap(difference, len(label), n_resamples=n_resamples, seed=seed)
