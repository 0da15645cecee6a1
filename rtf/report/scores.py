"""What runs measured, and its mean and interval over seeds.

Notable:
- of one seed the interval is that of the test sources (bootstrap), and of S > 1 seeds that of both:
  mean ± sqrt((t s / sqrt(S))² + b²), with s the standard deviation of the seeds' values, t Student's 97.5 %
  quantile with S - 1 degrees of freedom, and b the root mean square of the seeds' half-intervals on that
  side. b does not shrink with S, as all seeds are scored on the same test sources
- part of the sources' spread is in s already (which sources a seed gets wrong): the interval is a little wide
- an interval stays within what a score can be (a share within 0 and 1)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

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
    """Something that is measured.

    Attributes
    ----------
    heading : with its unit
    get : its value in a run, None where there is none
    digits : after the point; None for whole numbers
    limits : what it can be
    task : the evaluation it comes from; empty: training
    baseline : the same of a model that knows nothing, on the same test sources
    """

    heading: str
    get: Callable[[Run], Estimate | None]
    digits: int | None = 3
    limits: tuple[float, float] = (0.0, 1.0)
    task: str = ""
    baseline: Callable[[Run], Estimate | None] | None = None


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


def measure(score: Score, configuration: Configuration) -> Measured:
    """The score over the seeds of a configuration whose training is finished."""
    trained = configuration.trained
    found = [e for run in trained if (e := score.get(run)) is not None]
    return Measured(combine(found, score.limits) if found else None, len(found), len(trained))


def combine(estimates: Sequence[Estimate], limits: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """Mean over seeds, with an interval that covers the spread of seeds and of test sources (see above).

    Parameters
    ----------
    estimates : one a seed, scored on the same test sources; an interval may be missing (NaN)
    limits : the interval is cut to these
    """
    if len(estimates) == 1:
        return estimates[0]
    value, low, high = np.array([(e.value, e.low, e.high) for e in estimates], float).T
    mean = value.mean()
    quantile = student_t.ppf((1 + LEVEL) / 2, len(value) - 1)
    seeds = quantile * value.std(ddof=1) / np.sqrt(len(value))
    below, above = (np.hypot(seeds, _root_mean_square(half)) for half in (value - low, high - value))
    return Estimate(float(mean), float(max(mean - below, limits[0])), float(min(mean + above, limits[1])))


def text(measured: Measured, score: Score) -> str:
    """`0.874 [0.861, 0.886]`, with how many of the seeds have it if not all do; a dash where none has."""
    if measured.estimate is None:
        return "–"
    e = measured.estimate
    shown = f"{e.value:,.0f}" if score.digits is None else format_estimate(e, score.digits)
    if measured.n < measured.seeds:
        shown += f" ({measured.n} of {measured.seeds} seeds)"
    return shown


def estimate(node: dict | None) -> Estimate | None:
    """A number with its interval, as tasks write it; None where there is no value."""
    if not node or node.get("value") is None:
        return None
    ends = [float("nan") if node.get(end) is None else float(node[end]) for end in ("low", "high")]
    return Estimate(float(node["value"]), *ends)


def _root_mean_square(half: np.ndarray) -> float:
    half = np.maximum(half[np.isfinite(half)], 0)
    return float(np.sqrt(np.mean(half**2))) if len(half) else 0.0


def _probe(level: str, name: str) -> Score:
    def get(run: Run) -> Estimate | None:
        return estimate((run.results.get("probe") or {}).get(level, {}).get(name))

    def baseline(run: Run) -> Estimate | None:
        result = (run.results.get("probe") or {}).get(level, {})
        return estimate((result.get("baseline") or {}).get(name))

    heading = f"{level} {name.replace('_', ' ')}"
    return Score(heading, get, task="probe", baseline=baseline)


def _physical(name: str, heading: str, digits: int, limits: tuple[float, float]) -> Score:
    def row(run: Run) -> dict:
        rows = (run.results.get("physical") or {}).get("rows", ())
        return next((r for r in rows if r["kind"] == "all"), {})

    return Score(
        heading, lambda run: estimate(row(run).get(name)), digits, limits, "physical",
        lambda run: estimate(row(run).get(f"baseline_{name}")),
    )  # fmt: skip


def _metric(name: str, heading: str, digits: int | None = 3) -> Score:
    return Score(heading, lambda run: plain(run.metrics.get(name)), digits, (-np.inf, np.inf))


def plain(value: float | None) -> Estimate | None:
    """A number that has no interval."""
    return None if value is None else Estimate(float(value), float("nan"), float("nan"))


def _mse(run: Run) -> Estimate | None:
    """Mean squared error of the four normalised channels on the validation split, where that is the loss."""
    channels = [run.metrics.get(f"val/{c}") for c in ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")]
    if run.config.get("loss") != "mse" or None in channels:
        return None
    return plain(float(np.mean(channels)))


def _speed(run: Run) -> Estimate | None:
    speeds = [h["train/sources_per_second"] for h in run.history if "train/sources_per_second" in h]
    return plain(float(np.median(speeds))) if speeds else None


_POSITIVE = (0.0, np.inf)

#: Every score by the name that tables, figures and published figures know it by.
SCORES: dict[str, Score] = {
    "coarse_accuracy": _probe("coarse", "accuracy"),
    "coarse_balanced": _probe("coarse", "balanced_accuracy"),
    "fine_accuracy": _probe("fine", "accuracy"),
    "fine_balanced": _probe("fine", "balanced_accuracy"),
    "mag": _physical("mag", "median |Δmag| [mag]", 3, _POSITIVE),
    "dt": _physical("dt", "median |Δt| [day]", 2, _POSITIVE),
    "band": _physical("band", "band accuracy", 3, (0.0, 1.0)),
    "mse": Score("MSE of channels, validation", _mse, 3, _POSITIVE),
    "bytes": _metric("fingerprint_bytes", "bytes", None),
    "minutes": _metric("minutes", "minutes", 1),
    "parameters": _metric("parameters", "parameters", None),
    "epochs": Score("epochs", lambda run: plain(len(run.history) or None), None, _POSITIVE),
    "best_epoch": _metric("best_epoch", "best epoch", 1),
    "speed": Score("sources/s, median epoch", _speed, 0, _POSITIVE),
    "val_loss": _metric("val/loss", "validation loss", 4),
}  # fmt: skip
