"""Forecast: what does a fingerprint say about detections its source has not had yet, and how surely?

Notable:
- a source is cut to its first N detections and asked for the magnitudes of those that follow, by how many
  days ahead of the last one shown. Sources of N detections or fewer are left out
- interpolation: a random third of the detections between first and last is hidden, and asked for
- beside the model: the same questions put to `baselines`, and the photometric-noise floor
- medians and shares are over detections, intervals over sources (cluster bootstrap)
- only detections are asked for: what had become too faint to be detected is in no row, for no method
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtri

from rtf import figures
from rtf.alerts.history import Detections
from rtf.alerts.surveys import BANDS
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation.record import Record, detection_records, record_table, shown_text
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.statistics import weighted_mean, weighted_median, weighted_noise_floor
from rtf.evaluation.tasks import baselines
from rtf.evaluation.tasks.physical import LEAST_ERROR, NOISE, from_good_to_bad

#: Days ahead of the last detection shown.
WINDOWS = ((0, 3), (3, 7), (7, 14), (14, 30))
HIDDEN = 1 / 3
GP = "Gaussian process"
LAST = "last in band"
#: Central intervals whose coverage is scored.
_WITHIN = {"within 68 %": 0.68, "within 95 %": 0.95}
#: Days that a drawn curve goes on after the last detection shown.
_AFTER = 30.0


class Answers(NamedTuple):
    """Predictions of T detections beside what was observed, (T,) each."""

    source: np.ndarray  # index of the test source
    ahead: np.ndarray  # days after the last detection shown
    observed: np.ndarray
    magerr: np.ndarray
    predicted: dict[str, np.ndarray]  # magnitude by method: "model" and the baselines
    sigma: dict[str, np.ndarray]  # standard deviation of the light curve, of "model" and the Gaussian process

    def pull(self, method: str) -> np.ndarray:
        """(T,) observed minus predicted, over the standard deviation of that difference."""
        return (self.observed - self.predicted[method]) / np.hypot(self.sigma[method], self.magerr)


def forecast(given: Inputs, *, counts: list[int]) -> Evaluated:
    """Score forecasts from the first `counts` detections, interpolations, and their calibration."""
    if not counts or min(counts) < 1:
        raise ValueError(f"counts are {list(counts)}: they must be numbers of detections, 1 or more")
    model, split = given.model, given.split("test")
    # A model that cannot be asked says so before the long part.
    model.query(split.found.latent[:1], np.zeros((1, 1)), np.zeros((1, 1)))
    test = given.view("test")
    process = baselines.fit_gp(given.view("train"), given.seed)
    answers: dict[tuple, Answers] = {}
    for n in counts:
        if len(later := np.flatnonzero(test.length > n)):
            seen, targets = split_at(test.take(later), n)
            answers["forecast", n] = ask(model, seen, targets, later, process)
    if len(long := np.flatnonzero(test.length >= 5)):
        hidden = hide(test.take(long), given.seed)
        seen, targets = test.take(long).rows(~hidden), test.take(long).rows(hidden)
        answers["interpolation", None] = ask(model, seen, targets, long, process)
    asked = [n for level, n in answers if level == "forecast"]
    if not asked:
        raise ValueError(f"{given.store.path}: no test source has more than {min(counts)} detections")
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
    figure = forecast_figure(model, test.take(chosen), middle, *who)
    return Evaluated(records, forecast_tables(given, records), {"forecast.png": figure})


def split_at(detections: Detections, n: int) -> tuple[Detections, Detections]:
    """The first n detections of each source, and those that follow."""
    position = np.arange(len(detections.mjd)) - np.repeat(detections.offset[:-1], detections.length)
    return detections.rows(position < n), detections.rows(position >= n)


def hide(detections: Detections, seed: int) -> np.ndarray:
    """(D,) bool: a random third of each source's detections between its first and its last."""
    rng, hidden = np.random.default_rng(seed), np.zeros(len(detections.mjd), bool)
    for start, stop in pairwise(detections.offset):
        inner = np.arange(start + 1, stop - 1)
        hidden[rng.permutation(inner)[: max(round(HIDDEN * len(inner)), 1)]] = True
    return hidden


def ask(model: Fingerprinter, seen: Detections, targets: Detections, source: np.ndarray, process) -> Answers:
    """Put the targets of N sources to the fingerprints of what was seen of them, and to the baselines.

    `source` (N,) are their indices in the test split.
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
    predicted[GP], deviation[GP] = baselines.predicted(process, seen, targets)
    predicted[LAST] = baselines.predicted(baselines.persistence, seen, targets)
    magerr = np.maximum(targets.magerr.astype(float), LEAST_ERROR)
    index = np.repeat(source, targets.length)
    return Answers(index, ahead, targets.mag.astype(float), magerr, predicted, deviation)


def within(answers: Answers, window: tuple[float, float] | None) -> np.ndarray:
    """(T,) bool: the detections so many days ahead; a window from 0 holds the last shown moment as well."""
    low, high = window or (-np.inf, np.inf)
    return ((answers.ahead > low) | ((low == 0) & (answers.ahead >= 0))) & (answers.ahead <= high)


def group_records(
    answers: Answers, member: np.ndarray, keys: Mapping, n_sources: int, resamples: Mapping
) -> list[Record]:
    """Score the detections `member` (T,): errors, gain over the Gaussian process, coverages and pulls."""
    sources, own = np.unique(answers.source[member], return_inverse=True)
    statistics: dict = {("mag", NOISE): weighted_noise_floor(answers.magerr[member], own, len(sources))}
    for method, magnitude in answers.predicted.items():
        statistics["mag", method] = weighted_median(np.abs(magnitude - answers.observed)[member], own)
    for method in answers.sigma:
        pull = answers.pull(method)[member]
        for name, level in _WITHIN.items():
            inside = np.abs(pull) <= ndtri(0.5 + level / 2)
            statistics[name, method] = weighted_mean(inside, own, len(sources))
        statistics["pull", method] = _deviation(pull, own, len(sources))
    reference, ours = statistics["mag", GP], statistics["mag", "model"]
    statistics["gain", GP] = lambda counts: reference(counts) - ours(counts)
    return detection_records(statistics, sources, n_sources, len(own), resamples, **keys)


def _deviation(value: np.ndarray, source: np.ndarray, n_sources: int):
    """Weighted standard deviation over detections."""
    first, second = (weighted_mean(v, source, n_sources) for v in (value, value**2))
    return lambda counts: np.sqrt(np.maximum(second(counts) - first(counts) ** 2, 0.0))


def spread_sources(answers: Answers) -> np.ndarray:
    """Sources from well to badly forecast, by their median errors."""
    error = np.abs(answers.predicted["model"] - answers.observed)
    sources = np.unique(answers.source)
    of_source = [np.median(error[answers.source == s]) for s in sources]
    return sources[from_good_to_bad(np.array(of_source))]


def forecast_tables(given: Inputs, records: list[Record]) -> list:
    """Errors of the model and of the baselines, and how well calibrated both are, one row a group."""
    rows = {"asked": "level", "detections shown": shown_text, "of": "group"}
    errors = {m: {"score": "mag", "method": m} for m in ("model", GP, LAST, NOISE)}
    errors |= {f"{GP} − model": {"score": "gain"}, "detections": {"score": "detections"}}
    calibration = {f"{m}: {s}": {"score": s, "method": m} for m in ("model", GP) for s in (*_WITHIN, "pull")}
    notes = (
        f"{given.how} Interpolation: a third of 5 or more detections is hidden.",
        f"{GP}: one kernel in time and band for all, fitted on the training split. {LAST}: the last one seen "
        "before. Noise floor: what the noiseless magnitudes would give.",
    )
    right = "Right uncertainties give 0.68, 0.95 and pulls of deviation 1. Measurement errors count."
    title = "Forecasts and interpolations, median |Δmag| [mag]"
    first = record_table(title, records, rows, errors, notes)
    title = "Calibration of forecasts and interpolations"
    return [first, record_table(title, records, rows, calibration, [given.how, right])]


def forecast_figure(model, detections: Detections, n_shown: int, names, labels) -> Figure:
    """Draw forecasts from first detections, one panel a source: those shown are filled, later ones hollow."""
    latent = model.encode(detections, first=n_shown).latent
    figure, panels = figures.grid_of(len(names), 4.4, 3.3)
    for k, (axes, name, label) in enumerate(zip(panels, names, labels, strict=True)):
        rows = slice(*detections.offset[k : k + 2])
        day = detections.mjd[rows] - detections.mjd[rows][0]
        last = day[n_shown - 1]
        mag, magerr, band = (x[rows] for x in (detections.mag, detections.magerr, detections.band))
        later = np.arange(len(day)) >= n_shown
        for own, hollow in ((~later, False), (later & (day <= last + _AFTER), True)):
            figures.draw_detections(axes, day[own], mag[own], magerr[own], band[own], hollow=hollow)
        grid = np.linspace(0, last + _AFTER, 120)
        for b in np.unique(band):
            (curve,), (sigma,) = model.query(latent[k : k + 1], grid[None], np.full((1, len(grid)), b))
            colour = figures.BAND_STYLE[BANDS[b]][0]
            axes.fill_between(grid, curve - sigma, curve + sigma, color=colour, alpha=0.18, linewidth=0)
            axes.plot(grid, curve, color=colour, linewidth=1.4)
        axes.axvline(last, color="0.55", linewidth=1, linestyle=":")
        axes.set_title(figures.literal(f"{figures.class_name(label)}  ·  {name}"), fontsize=9.5)
        axes.invert_yaxis()  # bright is up
        figures.tidy(axes)
    figures.rim_labels(panels, "days since first detection", "magnitude (AB)")
    marks = {"shown (1σ error)": {}, "later, not shown": {"markerfacecolor": "white"}}
    handles = figures.band_handles(np.unique(detections.band), **marks)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    title = f"Light curves from fingerprints of the first {n_shown} detections, from well to badly forecast"
    figure.suptitle(title, fontsize=12)
    return figure
