"""What runs measured, and its mean and interval over seeds.

Notable:
- of one seed the interval is that of the test sources (bootstrap), and of S > 1 seeds that of both:
  mean ± sqrt((t s / sqrt(S))² + b²), with s the standard deviation of the seeds' values, t Student's 97.5 %
  quantile with S - 1 degrees of freedom, and b the root mean square of the seeds' half-intervals on that
  side. b does not shrink with S, as all seeds are scored on the same test sources
- part of the sources' spread is in s already (which sources a seed gets wrong): the interval is a little wide
- an interval stays within what a score can be (a share within 0 and 1)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.stats import t as student_t

from rtf.evaluation.record import CONSTANTS, MAJORITY, Record, kind_of, pick
from rtf.evaluation.statistics import LEVEL, Estimate, format_estimate
from rtf.report.compare import Configuration
from rtf.report.read import Run

HOW = (
    "Value [95 % interval]. Several seeds: their mean; the interval is sqrt((t s/√S)² + b²) to either side, "
    "with s the standard deviation over S seeds, t Student's quantile, b the root mean square of the seeds' "
    "bootstrap half-intervals over test sources. † one seed: the interval is that of the test sources alone."
)


@dataclass(frozen=True)
class Score:
    """A measured quantity.

    Attributes
    ----------
    heading : with its unit
    get : its value in a run, None where there is none
    digits : after the point
    limits : what it can be
    task : the evaluation it comes from; empty: training
    baseline : the same of a trivial baseline, on the same test sources
    """

    heading: str
    get: Callable[[Run], Estimate | Record | None]
    digits: int = 3
    limits: tuple[float, float] = (-math.inf, math.inf)
    task: str = ""
    baseline: Callable[[Run], Estimate | Record | None] | None = None


@dataclass(frozen=True)
class Measured:
    """A score of a configuration.

    Attributes
    ----------
    estimate : over its seeds; None where no seed has it
    n : seeds that have it
    seeds : seeds whose training is finished
    """

    estimate: Estimate | None
    n: int
    seeds: int

    @property
    def whole(self) -> Estimate:
        """The estimate, of NaN where there is none."""
        return self.estimate or Estimate(math.nan, math.nan, math.nan)


def recorded(task: str, score: str, heading: str = "", baseline: str = "", **keys) -> Score:
    """The score that the records of a task with these attributes have; `baseline` is a trivial method."""
    kind = kind_of(score)

    def get(run: Run, **keys) -> Record | None:
        found = pick(run.results[task].records, score=score, **keys) if task in run.results else None
        return None if found is None or math.isnan(found.value) else found

    trivial = partial(get, **{**keys, "method": baseline, "shown": None}) if baseline else None
    return Score(
        heading or kind.heading, partial(get, **keys), kind.digits, kind.limits, task, trivial
    )  # fmt: skip


def measure(score: Score, configuration: Configuration) -> Measured:
    """The score over the seeds of a configuration whose training is finished."""
    trained = configuration.trained
    found = [e for run in trained if (e := score.get(run)) is not None]
    return Measured(combine(found, score.limits) if found else None, len(found), len(trained))


def combine(estimates: Sequence, limits: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """Mean over seeds, with an interval that covers the spread of seeds and of test sources (see above).

    Parameters
    ----------
    estimates : one a seed, scored on the same test sources; an interval may be missing (NaN)
    limits : the interval is cut to these
    """
    value, low, high = np.array([(e.value, e.low, e.high) for e in estimates], float).T
    if len(estimates) == 1:
        return Estimate(float(value[0]), float(low[0]), float(high[0]))
    mean = value.mean()
    quantile = student_t.ppf((1 + LEVEL) / 2, len(value) - 1)
    seeds = quantile * value.std(ddof=1) / np.sqrt(len(value))
    below, above = (np.hypot(seeds, _root_mean_square(half)) for half in (value - low, high - value))
    return Estimate(float(mean), float(max(mean - below, limits[0])), float(min(mean + above, limits[1])))


def _root_mean_square(half: np.ndarray) -> float:
    half = np.maximum(half[np.isfinite(half)], 0)
    return float(np.sqrt(np.mean(half**2))) if len(half) else 0.0


def text(measured: Measured, score: Score) -> str:
    """`0.874 [0.861, 0.886]`, with how many of the seeds have it if not all do; whole numbers bare."""
    e = measured.whole
    shown = format_estimate(e if score.digits else replace(e, low=math.nan), score.digits)
    if 0 < measured.n < measured.seeds:
        shown += f" ({measured.n} of {measured.seeds} seeds)"
    return shown


def plain(value: float | None) -> Estimate | None:
    """A number that has no interval."""
    return None if value is None else Estimate(float(value), math.nan, math.nan)


def _metric(name: str, heading: str, digits: int = 3) -> Score:
    return Score(heading, lambda run: plain(run.metrics.get(name)), digits)


def _mse(run: Run) -> Estimate | None:
    """Mean squared error of the four normalised channels on the validation split, where that is the loss."""
    channels = [run.metrics.get(f"val/{c}") for c in ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")]
    if run.config.get("loss") != "mse" or None in channels:
        return None
    return plain(float(np.mean(channels)))


def _speed(run: Run) -> Estimate | None:
    speeds = [h["train/sources_per_second"] for h in run.history if "train/sources_per_second" in h]
    return plain(float(np.median(speeds))) if speeds else None


def _probe(level: str, score: str) -> Score:
    where = {"level": level, "method": "probe", "group": "all"}
    return recorded("probe", score, f"{level} {score}", MAJORITY, **where)


_PHYSICAL = {"level": "all", "method": "model", "baseline": CONSTANTS}

#: Every score by the name that tables, figures and published figures know it by.
SCORES: dict[str, Score] = {
    "coarse_accuracy": _probe("coarse", "accuracy"),
    "coarse_balanced": _probe("coarse", "balanced accuracy"),
    "fine_accuracy": _probe("fine", "accuracy"),
    "fine_balanced": _probe("fine", "balanced accuracy"),
    "mag": recorded("physical", "mag", **_PHYSICAL),
    "dt": recorded("physical", "dt", **_PHYSICAL),
    "band": recorded("physical", "band", **_PHYSICAL),
    "mse": Score("MSE of channels, validation", _mse, 3, (0.0, math.inf)),
    "bytes": _metric("fingerprint_bytes", "bytes", 0),
    "minutes": _metric("minutes", "minutes", 1),
    "parameters": _metric("parameters", "parameters", 0),
    "epochs": Score("epochs", lambda run: plain(len(run.history) or None), 0),
    "best_epoch": _metric("best_epoch", "best epoch", 1),
    "speed": Score("sources/s, median epoch", _speed, 0),
    "val_loss": _metric("val/loss", "validation loss", 4),
}  # fmt: skip
