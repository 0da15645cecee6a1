"""Forecast: what does a fingerprint say about detections its source has not had yet, and how surely?

Notable:
- a source is cut to its first N detections; it is then asked for the magnitudes of those that follow, by how
  many days ahead of the last one shown. Sources of N detections or fewer are left out
- interpolation: a random third of the detections between first and last is hidden, and asked for
- beside the model: the same questions put to `baselines`, and the photometric-noise floor
- calibration: how often an observation falls within the central 68 and 95 % of what was predicted, and the
  standard deviation of its pull (residual over predicted deviation); measurement errors are part of both
- medians and shares are over detections, intervals over sources (cluster bootstrap)
- only detections are asked for: what had become too faint to be detected is in no row, for no method
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from rtf.alerts.history import Detections
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation.record import Record, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.statistics import NoiseFloor, WeightedMedian, bootstrap, weighted_mean
from rtf.evaluation.tasks import baselines
from rtf.evaluation.tasks.forecast_figures import calibration_figure, forecast_figure
from rtf.evaluation.tasks.physical import NOISE

#: Days ahead of the last detection shown.
WINDOWS = ((0, 3), (3, 7), (7, 14), (14, 30))
HIDDEN = 1 / 3
GP = "Gaussian process"
GAIN = f"{GP} − model"
#: Central intervals whose coverage is scored.
_WITHIN = {"within 68 %": 0.68, "within 95 %": 0.95}


@dataclass(frozen=True)
class Answers:
    """Predictions of T detections beside what was observed.

    Attributes
    ----------
    source : (T,) int, index of the test source
    ahead : (T,) days after the last detection shown
    observed, magerr : (T,) magnitude and its error
    predicted : {method: (T,) magnitude}, of "model" and of the baselines where they apply
    sigma : {method: (T,) standard deviation of the light curve}, of "model" and the Gaussian process
    """

    source: np.ndarray
    ahead: np.ndarray
    observed: np.ndarray
    magerr: np.ndarray
    predicted: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]

    def pull(self, method: str) -> np.ndarray:
        """(T,) observed minus predicted, over the standard deviation of that difference."""
        return (self.observed - self.predicted[method]) / np.hypot(self.sigma[method], self.magerr)


def forecast(given: Inputs, *, counts: list[int]) -> Evaluated:
    """Score forecasts, interpolations and their calibration on the test split.

    Parameters
    ----------
    counts : numbers of detections shown
    """
    if not counts or min(counts) < 1:
        raise ValueError(f"counts are {list(counts)}: they must be numbers of detections, 1 or more")
    model, split = given.model, given.split("test")
    # A model that cannot be asked says so before the long part.
    model.query(split.found.latent[:1], np.zeros((1, 1)), np.zeros((1, 1)))
    test = given.view("test")
    process = baselines.fit_gp(given.view("train"), given.seed)
    answers: dict[tuple, Answers] = {}
    for n in counts:
        if not len(later := np.flatnonzero(test.length > n)):
            continue
        seen, targets = split_at(test.take(later), n)
        answers["forecast", n] = ask(model, seen, targets, later, process)
        answers["shown", n] = ask(model, seen, seen, later, None)
    if len(long := np.flatnonzero(test.length >= 5)):
        hidden = hide(test.take(long), given.seed)
        seen, targets = test.take(long).rows(~hidden), test.take(long).rows(hidden)
        answers["interpolation", None] = ask(model, seen, targets, long, process)
    asked = [n for level, n in answers if level == "forecast"]
    if not asked:
        raise ValueError(
            f"{given.store.path}: no test source has more than {min(counts)} detections to forecast"
        )
    records = []
    for (level, n), found in answers.items():
        for window in WINDOWS if level == "forecast" else (None,):
            if (member := within(found, window)).any():
                group = "all" if window is None else "{:g} to {:g} days ahead".format(*window)
                keys = {"level": level, "shown": n, "group": group}
                records += group_records(found, member, keys, len(test), given.resamples)
    middle = asked[len(asked) // 2]
    chosen = spread_sources(answers["forecast", middle])
    who = split.object_id[chosen], split.label["fine"][chosen]
    figures = {
        "forecast_calibration.png": calibration_figure({k: a.pull("model") for k, a in answers.items()}),
        "forecast_light_curves.png": forecast_figure(model, test.take(chosen), middle, *who),
    }
    return Evaluated(records, forecast_tables(given, records), figures)


def split_at(detections: Detections, n: int) -> tuple[Detections, Detections]:
    """The first n detections of each source, and those that follow."""
    position = np.arange(len(detections.mjd)) - np.repeat(detections.offset[:-1], detections.length)
    return detections.rows(position < n), detections.rows(position >= n)


def hide(detections: Detections, seed: int) -> np.ndarray:
    """(D,) bool: a random third of each source's detections between its first and its last."""
    rng, hidden = np.random.default_rng(seed), np.zeros(len(detections.mjd), bool)
    for start, stop in zip(detections.offset[:-1], detections.offset[1:]):
        inner = np.arange(start + 1, stop - 1)
        hidden[rng.permutation(inner)[: max(round(HIDDEN * len(inner)), 1)]] = True
    return hidden


def ask(model: Fingerprinter, seen: Detections, targets: Detections, source: np.ndarray, process) -> Answers:
    """Put the targets of each source to the fingerprint of what was seen of it, and to the baselines.

    Parameters
    ----------
    seen, targets : the same N sources
    source : (N,) their indices in the test split
    process : the Gaussian process; None leaves the baselines out
    """
    days = targets.mjd - np.repeat(seen.mjd[seen.offset[:-1]], targets.length)
    ahead = targets.mjd - np.repeat(seen.mjd[seen.offset[1:] - 1], targets.length)
    # Questions of all sources side by side, padded with those at day 0.
    place = np.arange(max(targets.length.max(), 1)) < targets.length[:, None]
    asked = np.zeros(place.shape), np.zeros(place.shape, np.int64)
    for padded, column in zip(asked, (days, targets.band), strict=True):
        padded[place] = column
    mag, sigma = (x[place].astype(float) for x in model.query(model.encode(seen).latent, *asked))
    predicted, deviation = {"model": mag}, {"model": sigma}
    if process is not None:
        predicted[GP], deviation[GP] = baselines.predicted(process, seen, targets)
        predicted["line"] = baselines.predicted(baselines.line, seen, targets)
        predicted["last in band"] = baselines.predicted(baselines.persistence, seen, targets)
    # Some catalogues give an error of 0.
    magerr = np.maximum(targets.magerr.astype(float), 1e-6)
    index = np.repeat(source, targets.length)
    return Answers(index, ahead, targets.mag.astype(float), magerr, predicted, deviation)


def within(answers: Answers, window: tuple[float, float] | None) -> np.ndarray:
    """(T,) bool: the detections more days ahead than the window's first number, up to its second.

    A window from 0 holds those of the last shown moment as well; None holds all.
    """
    if window is None:
        return np.ones(len(answers.source), bool)
    low, high = window
    return ((answers.ahead > low) | ((low == 0) & (answers.ahead >= 0))) & (answers.ahead <= high)


def group_records(
    answers: Answers, member: np.ndarray, keys: Mapping, n_sources: int, resamples: Mapping
) -> list[Record]:
    """Score the detections `member` (T,): errors, gain over the Gaussian process, coverages and pulls."""
    sources, own = np.unique(answers.source[member], return_inverse=True)
    statistics: dict = {("mag", NOISE): NoiseFloor(answers.magerr[member], own, len(sources))}
    for method, magnitude in answers.predicted.items():
        statistics["mag", method] = WeightedMedian(np.abs(magnitude - answers.observed)[member], own)
    for method in answers.sigma:
        pull = answers.pull(method)[member]
        for name, level in _WITHIN.items():
            inside = np.abs(pull) <= ndtri(0.5 + level / 2)
            statistics[name, method] = weighted_mean(inside, own, len(sources))
        statistics["pull", method] = _deviation(pull, own, len(sources))

    def all_cells(counts):
        cells = {key: statistic(counts[:, sources]) for key, statistic in statistics.items()}
        if ("mag", GP) in cells:
            cells["gain", GP] = cells["mag", GP] - cells["mag", "model"]
        return np.column_stack([*cells.values()])

    found = bootstrap(all_cells, n_sources, width=len(own) // 4, **resamples)
    names = [*statistics, ("gain", GP)]
    keys = {**keys, "n": len(sources)}
    records = [record("detections", len(own), **keys)]
    return records + [record(s, e, method=m, **keys) for (s, m), e in zip(names, found)]


def _deviation(value: np.ndarray, source: np.ndarray, n_sources: int):
    """Weighted standard deviation over detections."""
    first, second = (weighted_mean(v, source, n_sources) for v in (value, value**2))
    return lambda counts: np.sqrt(np.maximum(second(counts) - first(counts) ** 2, 0.0))


def spread_sources(answers: Answers, n: int = 6) -> np.ndarray:
    """Sources from well to badly forecast: evenly over the ranks of their median error up to 30 days.

    Sources with fewer than five detections to forecast are passed over where there are enough others.
    """
    soon = within(answers, (0, WINDOWS[-1][1]))
    soon = soon if soon.any() else np.ones(len(soon), bool)
    error = np.abs(answers.predicted["model"] - answers.observed)
    sources, number = np.unique(answers.source[soon], return_counts=True)
    sources = sources[number >= 5] if (number >= 5).sum() >= n else sources
    of_source = [np.median(error[soon & (answers.source == s)]) for s in sources]
    order = sources[np.argsort(of_source, kind="stable")]
    ranks = np.linspace(0.08, 0.92, n) * (len(order) - 1)
    return order[np.unique(ranks.round().astype(int))]


def forecast_tables(given: Inputs, records: list[Record]) -> list:
    """Errors of the model and of the baselines, and how well calibrated both are, one row a group."""
    rows = {
        "shown": lambda r: f"first {r.shown}" if r.shown else "two thirds",
        "asked for": lambda r: {"shown": "the same", "interpolation": "hidden third"}.get(r.level, r.group),
    }
    errors = {
        "detections": {"score": "detections"},
        **{m: {"score": "mag", "method": m} for m in ("model", GP, "line", "last in band")},
        GAIN: {"score": "gain"},
        NOISE: {"score": "mag", "method": NOISE},
    }
    calibration = {f"{m}: {s}": {"score": s, "method": m} for m in ("model", GP) for s in (*_WITHIN, "pull")}
    n = len(given.split("test").object_id)
    notes = (
        given.how,
        f"Of {n:,} test sources, those of more detections than are shown; interpolation: 5 or more. Days are "
        "after the last detection shown.",
        f"{GAIN}: above 0 where the model is better. {GP}: one kernel in time and band for all, fitted on "
        "the training split. Line: through the band's last five; in interpolation between the neighbours.",
        "Noise floor: what the noiseless magnitudes would give.",
    )
    right = "Right uncertainties give 0.68, 0.95 and pulls of deviation 1. Measurement errors count."
    return [
        record_table("Forecasts and interpolations, median |Δmag| [mag]", records, rows, errors, notes),
        record_table(
            "Calibration of forecasts and interpolations", records, rows, calibration, [given.how, right]
        ),
    ]
