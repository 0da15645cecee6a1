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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtri

from rtf.alerts.history import BANDS, Detections
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation.record import Record, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.statistics import NoiseFloor, WeightedMedian, bootstrap, weighted_mean
from rtf.evaluation.tasks import baselines
from rtf.evaluation.tasks.physical import NOISE, from_good_to_bad
from rtf.figures import (
    BAND_STYLE,
    band_handles,
    class_name,
    draw_detections,
    grid_of,
    legend,
    literal,
    rim_labels,
    tidy,
)  # fmt: skip

#: Days ahead of the last detection shown.
WINDOWS = ((0, 3), (3, 7), (7, 14), (14, 30))
HIDDEN = 1 / 3
GP = "Gaussian process"
LAST = "last in band"
GAIN = f"{GP} − model"
#: Central intervals whose coverage is scored.
_WITHIN = {"within 68 %": 0.68, "within 95 %": 0.95}
#: Points of a drawn curve, and how many days it goes on after the last detection shown.
_GRID, _AFTER = 120, 30.0
#: Forecasts from light (few detections shown) to dark, and interpolation; lines differ by dash as well.
_FORECAST = (("#f4a261", "-"), ("#d1495b", "--"), ("#6a1b4d", "-."), ("#2b0a3d", ":"))
_INTERPOLATION = ("#5b8c5a", "--")


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
        if not len(later := np.flatnonzero(test.length > n)):
            continue
        seen, targets = split_at(test.take(later), n)
        answers["forecast", n] = ask(model, seen, targets, later, process)
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
    # Some catalogues give an error of 0.
    magerr = np.maximum(targets.magerr.astype(float), 1e-6)
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


def spread_sources(answers: Answers) -> np.ndarray:
    """Sources from well to badly forecast up to 30 days, of five detections or more where enough are."""
    soon = within(answers, (0, WINDOWS[-1][1]))
    soon |= not soon.any()
    error = np.abs(answers.predicted["model"] - answers.observed)
    sources, number = np.unique(answers.source[soon], return_counts=True)
    sources = sources[number >= 5] if (number >= 5).sum() >= 6 else sources
    of_source = [np.median(error[soon & (answers.source == s)]) for s in sources]
    return sources[from_good_to_bad(np.array(of_source))]


def forecast_tables(given: Inputs, records: list[Record]) -> list:
    """Errors of the model and of the baselines, and how well calibrated both are, one row a group."""
    rows = {
        "shown": lambda r: f"first {r.shown}" if r.shown else "two thirds",
        "asked for": lambda r: "hidden third" if r.level == "interpolation" else r.group,
    }
    errors = {
        "detections": {"score": "detections"},
        **{m: {"score": "mag", "method": m} for m in ("model", GP, LAST)},
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
        f"the training split. {LAST}: the last magnitude seen before.",
        "Noise floor: what the noiseless magnitudes would give.",
    )
    right = "Right uncertainties give 0.68, 0.95 and pulls of deviation 1. Measurement errors count."
    return [
        record_table("Forecasts and interpolations, median |Δmag| [mag]", records, rows, errors, notes),
        record_table(
            "Calibration of forecasts and interpolations", records, rows, calibration, [given.how, right]
        ),
    ]


def calibration_figure(pulls: Mapping[tuple[str, int | None], np.ndarray]) -> Figure:
    """How often observations fall within each central interval: on the diagonal, were uncertainties right.

    Pulls (T,) go by what was asked, "forecast" or "interpolation", and detections shown.
    """
    figure, (axes,) = grid_of(1, 6.4, 5.4)
    nominal, styles = np.linspace(0.01, 0.99, 99), iter(_FORECAST * 9)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for (asked, n), pull in pulls.items():
        name = f"forecast from first {n}" if asked == "forecast" else "interpolation, hidden third"
        colour, dash = next(styles) if asked == "forecast" else _INTERPOLATION
        inside = np.searchsorted(np.sort(np.abs(pull)), ndtri(0.5 + nominal / 2), "right") / len(pull)
        label = f"{name}  ({len(pull):,})"
        axes.plot(nominal, inside, label=label, color=colour, linestyle=dash, linewidth=1.6)
    axes.text(0.30, 0.86, "too wide", ha="center", color="0.5", fontsize=9)
    axes.text(0.70, 0.14, "too narrow", ha="center", color="0.5", fontsize=9)
    axes.set(xlabel="predicted central interval", ylabel="share of observations within it")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    tidy(axes)
    legend(figure, [axes])
    figure.suptitle("Calibration of predicted magnitudes, test split (detections in brackets)", fontsize=11)
    return figure


def forecast_figure(
    model, detections: Detections, n_shown: int, names: Sequence[str], labels: Sequence[int]
) -> Figure:
    """Draw forecasts from first detections, one panel a source: those shown are filled, later ones open.

    Curves run to 30 days after the last detection shown, with the deviation of the curve itself: observations
    scatter about it by their own errors besides.
    """
    latent = model.encode(detections, first=n_shown).latent
    figure, panels = grid_of(len(names), 4.4, 3.3)
    for k, (axes, name, label) in enumerate(zip(panels, names, labels, strict=True)):
        rows = slice(*detections.offset[k : k + 2])
        days = detections.mjd[rows] - detections.mjd[rows][0]
        shown = np.arange(len(days)) < n_shown
        cut = days[shown][-1]
        near = days <= cut + _AFTER
        columns = (detections.mag[rows], detections.magerr[rows], detections.band[rows].astype(int))
        mag, magerr, band = (column[near] for column in columns)
        days, shown = days[near], shown[near]
        for own, hollow in ((shown, False), (~shown, True)):
            draw_detections(axes, days[own], mag[own], magerr[own], band[own], hollow=hollow)

        grid, bands = np.linspace(0, cut + _AFTER, _GRID), np.unique(band)
        asked = np.broadcast_to(grid, (len(bands), _GRID)), np.repeat(bands[:, None], _GRID, 1)
        curves, sigmas = model.query(np.repeat(latent[k : k + 1], len(bands), 0), *asked)
        for b, curve, sigma in zip(bands, curves, sigmas):
            colour = BAND_STYLE[BANDS[b]][0]
            for width, alpha in ((1.96, 0.10), (1.0, 0.18)):
                ends = curve - width * sigma, curve + width * sigma
                axes.fill_between(grid, *ends, color=colour, alpha=alpha, linewidth=0)
            axes.plot(grid, curve, color=colour, linewidth=1.4, zorder=2)
        axes.axvspan(cut, grid[-1], color="0.96", zorder=0)
        axes.axvline(cut, color="0.55", linewidth=1, linestyle=":", zorder=1)

        found = [np.interp(t, grid, curves[bands == b][0]) for t, b in zip(days[~shown], band[~shown])]
        text = f"no later detection within {_AFTER:.0f} days"
        if found:
            error = np.median(np.abs(np.array(found) - mag[~shown]))
            text = f"{len(found)} later detections, median |Δmag| = {error:.2f} mag"
        axes.set_title(f"{literal(f'{class_name(label)}  ·  {name}')}\n{text}", fontsize=9.5)
        # Observations and curves set the range; a wide uncertainty must not.
        both = np.concatenate([mag, curves.ravel()])
        margin = max(0.08 * np.ptp(both), 0.15)
        axes.set_ylim(both.max() + margin, both.min() - margin)  # bright is up
        axes.set_xlim(-0.02 * grid[-1], grid[-1])
        tidy(axes)
    rim_labels(panels, "days since first detection", "magnitude (AB)")
    marks = {"shown (1σ error)": {}, "later, not shown": {"markerfacecolor": "white"}}
    handles = band_handles(np.unique(detections.band), **marks)
    handles.append(Patch(color="0.3", alpha=0.3, label="68 % and 95 % of the curve"))
    handles.append(Line2D([], [], color="0.55", linestyle=":", label="last detection shown"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    title = f"Light curves from fingerprints of the first {n_shown} detections, from well to badly forecast"
    figure.suptitle(title, fontsize=12)
    return figure
