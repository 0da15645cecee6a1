"""What runs measured, and its mean and interval over seeds.

Notable:
- of one seed the interval is that of the test sources (bootstrap), of several that of both, see `HOW`; b does
  not shrink with S, as all seeds are scored on the same test sources
- part of the sources' spread is in s already (which sources a seed gets wrong): the interval is a little wide
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

from rtf.evaluation.record import CONSTANTS, MAJORITY, Record, ScoreKind, kind_of, pick
from rtf.evaluation.statistics import LEVEL, Estimate, format_estimate
from rtf.report.compare import Configuration
from rtf.report.read import Run

HOW = (
    "Value [95 % interval]. Several seeds: their mean; the interval is sqrt((t s/√S)² + b²) to either side, "
    "with s the standard deviation over S seeds, t Student's quantile, b the root mean square of the seeds' "
    "bootstrap half-intervals over test sources. † one seed: the interval is that of the test sources alone."
)
#: The task whose records are what training measured.
TRAINING = "training"
_TRAINING = {
    "mse": ScoreKind("MSE of channels, validation", 3), "bytes": ScoreKind("bytes", 0),
    "minutes": ScoreKind("minutes", 1), "parameters": ScoreKind("parameters", 0),
    "epochs": ScoreKind("epochs", 0), "best_epoch": ScoreKind("best epoch", 1),
    "speed": ScoreKind("sources/s, median epoch", 0), "val_loss": ScoreKind("validation loss", 4),
}  # fmt: skip


@dataclass(frozen=True)
class Score:
    """Which record of a run a column shows; attributes as those of `Record`."""

    task: str
    score: str
    level: str = ""
    method: str = "model"
    shown: int | None = None
    name: str = ""  # heading, if it is not that of the score
    trivial: str = ""  # method whose record, on the same test sources, is the baseline

    @property
    def kind(self) -> ScoreKind:
        kind = _TRAINING.get(self.score) or kind_of(self.score)
        return kind._replace(heading=self.name or kind.heading)

    def get(self, run: Run) -> Record | None:
        """The record of a run, None where it has none."""
        keys = {k: getattr(self, k) for k in ("score", "level", "method", "shown")}
        return pick(records_of(run, self.task), group="all", **keys)

    def baseline(self, run: Run) -> Record | None:
        """The record of the trivial baseline."""
        return replace(self, method=self.trivial, shown=None).get(run) if self.trivial else None


class Measured(NamedTuple):
    """A score over the n seeds of a configuration that have it; NaN where none has."""

    value: float
    low: float
    high: float
    n: int


def records_of(run: Run, task: str) -> list[Record]:
    """The records of a task, or of the training, that have a value."""
    if task != TRAINING:
        return [r for r in run.results[task].records if r.value == r.value] if task in run.results else []
    # the error of the four normalised channels, where that was the loss
    squared = [run.metrics.get(f"val/{c}") for c in ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")]
    speed = [h["train/sources_per_second"] for h in run.history if "train/sources_per_second" in h]
    found = {**run.metrics, "epochs": len(run.history) or None, "speed": np.median(speed) if speed else None}
    found |= {"bytes": found.get("fingerprint_bytes"), "val_loss": found.get("val/loss")}
    found["mse"] = np.mean(squared) if run.config.get("loss") == "mse" and None not in squared else None
    return [Record(k, float(found[k])) for k in _TRAINING if found.get(k) is not None]


def measure(score: Score, configuration: Configuration) -> Measured:
    """The score over the seeds of a configuration whose training is finished."""
    found = [r for run in configuration.trained if (r := score.get(run)) is not None]
    return Measured(*combine(found, score.kind.limits), len(found))


def measure_all(configuration: Configuration, task: str) -> list[tuple[Record, int]]:
    """Every score that a configuration has of a task: records over seeds, and how many seeds have each."""
    by_key: dict[tuple, list[Record]] = {}
    for run in configuration.trained:
        for r in records_of(run, task):
            by_key.setdefault((r.level, r.method, r.group, r.shown, r.score), []).append(r)
    made = [(found, combine(found, kind_of(found[0].score).limits)) for found in by_key.values()]
    return [(replace(f[0], value=e.value, low=e.low, high=e.high), len(f)) for f, e in made]


def combine(estimates: Sequence, limits: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """Mean over seeds, with an interval that covers the spread of seeds and of test sources (see above)."""
    if len(estimates) < 2:
        (one,) = estimates or [Estimate(math.nan, math.nan, math.nan)]
        return Estimate(float(one.value), float(one.low), float(one.high))
    value, low, high = np.array([(e.value, e.low, e.high) for e in estimates], float).T
    mean = value.mean()
    quantile = student_t.ppf((1 + LEVEL) / 2, len(value) - 1)
    seeds = quantile * value.std(ddof=1) / np.sqrt(len(value))
    halves = [np.maximum(half[np.isfinite(half)], 0) for half in (value - low, high - value)]
    # no intervals: those of the seeds alone
    below, above = (np.hypot(seeds, np.sqrt(np.mean(half**2)) if len(half) else 0.0) for half in halves)
    return Estimate(float(mean), float(max(mean - below, limits[0])), float(min(mean + above, limits[1])))


def text(measured: Measured, digits: int, seeds: int) -> str:
    """`0.874 [0.861, 0.886]`, with how many of the seeds have it if not all do; whole numbers bare."""
    shown = format_estimate(measured if digits else measured._replace(low=math.nan), digits)
    return shown + (f" ({measured.n} of {seeds} seeds)" if 0 < measured.n < seeds else "")


#: Every score by the name that tables, figures and published figures know it by.
SCORES: dict[str, Score] = {
    f"{level}_{short}": Score("probe", score, level, "probe", name=f"{level} {score}", trivial=MAJORITY)
    for level in ("coarse", "fine")
    for short, score in (("accuracy", "accuracy"), ("balanced", "balanced accuracy"))
}
SCORES |= {score: Score("physical", score, "all", trivial=CONSTANTS) for score in ("mag", "dt", "band")}
SCORES |= {name: Score(TRAINING, name) for name in _TRAINING}
