"""What a fingerprint says about detections its source has not had yet, and how sure it rightly is.

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

from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import tables
from rtf.evaluation.statistics import format_estimate
from rtf.evaluation.tasks import baselines, forecast_figures
from rtf.evaluation.tasks.forecast_scores import LEVELS, Answers, ForecastRow, evaluate_group, within
from rtf.files import write_json
from rtf.store.store import Store

#: Days ahead of the last detection shown.
WINDOWS = ((0, 3), (3, 7), (7, 14), (14, 30))
HIDDEN = 1 / 3
_BASELINES = ("gp", "line", "persistence")


def run_forecast(
    model: Fingerprinter, store: Store, out: Path, *, seed: int, n_bootstrap: int, counts: list[int]
) -> tuple[list[tables.Table], list[Path]]:
    """Forecasts, interpolations and their calibration on the test split.

    Writes forecast.json, forecast.md, forecast_calibration.png and forecast_light_curves.png.

    Raises
    ------
    RunError : the model's decoder cannot be asked for a time
    ValueError : counts that are no whole numbers above 0, or a test split without the detections to ask for
    """
    if not counts or min(counts) < 1:
        raise ValueError(f"counts are {list(counts)}: they must be numbers of detections, 1 or more")
    test = model.view(store.detections("test", cutouts=model.needs_cutouts))
    if not len(test):
        raise ValueError(f"{store.path}: the test split is empty; there is nothing to forecast")
    # A model that cannot be asked says so before the long part.
    model.query(model.encode(test.take(np.arange(1)), first=1).latent, np.zeros((1, 1)), np.zeros((1, 1)))
    process = baselines.fit_gp(model.view(store.detections("train", metadata=False)), seed)
    answers: dict[tuple, Answers] = {}
    for n in counts:
        later = np.flatnonzero(test.length > n)
        if not len(later):
            continue
        seen, targets = split_at(test.take(later), n)
        answers["forecast", n] = ask(model, seen, targets, later, process)
        answers["shown", n] = ask(model, seen, seen, later, None)
    long = np.flatnonzero(test.length >= 5)
    if len(long):
        hidden = hide(test.take(long), seed)
        seen, targets = test.take(long).rows(~hidden), test.take(long).rows(hidden)
        answers["interpolation", None] = ask(model, seen, targets, long, process)
    if not any(asked == "forecast" for asked, _ in answers):
        raise ValueError(f"{store.path}: no test source has more than {min(counts)} detections to forecast")
    rows = []
    for (asked, n), found in answers.items():
        for window in WINDOWS if asked == "forecast" else (None,):
            member = within(found, window)
            if member.any():
                rows.append(evaluate_group(found, member, asked, n, window, len(test), seed, n_bootstrap))
    record = {"n_sources": len(test), "seed": seed, "n_resamples": n_bootstrap, "gp": process, "rows": rows}
    write_json(out / "forecast.json", tables.plain(record))
    made = [error_table(rows, len(test), n_bootstrap, seed), calibration_table(rows, n_bootstrap, seed)]
    tables.write_markdown(out / "forecast.md", made)

    figures = [out / "forecast_calibration.png", out / "forecast_light_curves.png"]
    forecast_figures.calibration_figure(
        {forecast_figures.name_of(*key): (a.pull("model"), key[0]) for key, a in answers.items()}, figures[0]
    )
    middle = [n for asked, n in answers if asked == "forecast"]
    middle = middle[len(middle) // 2]
    chosen = spread_sources(answers["forecast", middle])
    curves = forecast_figures.forecast_curves(
        model, test.take(chosen), middle, store.object_id[store.sources("test")][chosen],
        store.label[store.sources("test")][chosen],
    )  # fmt: skip
    forecast_figures.forecast_figure(curves, figures[1], middle)
    return made, figures


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
        predicted["gp"], deviation["gp"] = baselines.predicted(process, seen, targets)
        predicted["line"] = baselines.predicted(baselines.line, seen, targets)
        predicted["persistence"] = baselines.predicted(baselines.persistence, seen, targets)
    # Some catalogues give an error of 0.
    magerr = np.maximum(targets.magerr.astype(float), 1e-6)
    index = np.repeat(source, targets.length)
    return Answers(index, ahead, targets.mag.astype(float), magerr, predicted, deviation)


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


def error_table(rows: list[ForecastRow], n_sources: int, n_bootstrap: int, seed: int) -> tables.Table:
    """Median |Δmag| of the model and of the baselines, one row a group."""
    lines = [
        (
            *_name(r), f"{r.n_sources:,}", f"{r.n_detections:,}",
            *(format_estimate(r.error[m]) if m in r.error else "" for m in ("model", *_BASELINES)),
            format_estimate(r.gain) if r.gain else "",
            format_estimate(r.noise_floor),
        )
        for r in rows
    ]  # fmt: skip
    columns = (
        "shown", "asked for", "sources", "detections", "model: median |Δmag| [mag]", "Gaussian process",
        "line", "last in band", "Gaussian process − model", "noise floor",
    )  # fmt: skip
    notes = (
        _how(n_bootstrap, seed),
        f"Of {n_sources:,} test sources, those of more detections than are shown; interpolation: 5 or more.",
        "Days are after the last detection shown.",
        "Gaussian process − model: above 0 where the model is better.",
        "Gaussian process: one kernel in time and band for all, fitted on the training split.",
        "Line: through the band's last five; in interpolation between the neighbours.",
        "Noise floor: median |Δmag| that the noiseless magnitudes would have.",
    )  # fmt: skip
    return tables.Table("Forecasts and interpolations from fingerprints", columns, tuple(lines), notes)


def calibration_table(rows: list[ForecastRow], n_bootstrap: int, seed: int) -> tables.Table:
    """Coverages and pulls of the model and of the Gaussian process, one row a group."""
    lines = []
    for r in rows:
        cells = []
        for m in ("model", "gp"):
            if m in r.pull:
                cells += [format_estimate(r.coverage[m][level]) for level in LEVELS]
                cells.append(format_estimate(r.pull[m], 2))
            else:
                cells += [""] * (len(LEVELS) + 1)
        lines.append((*_name(r), f"{r.n_sources:,}", f"{r.n_detections:,}", *cells))
    scores = [*(f"within {level:.0%}".replace("%", " %") for level in LEVELS), "standard deviation of pulls"]
    columns = (
        "shown",
        "asked for",
        "sources",
        "detections",
        *(f"{m}: {s}" for m in ("model", "Gaussian process") for s in scores),
    )
    notes = (
        _how(n_bootstrap, seed),
        "Right uncertainties give 0.68, 0.95 and 1. Measurement errors are included.",
    )
    return tables.Table("Calibration of forecasts and interpolations", columns, tuple(lines), notes)


def _name(r: ForecastRow) -> tuple[str, str]:
    if r.asked == "interpolation":
        return "two thirds", "hidden third"
    if r.asked == "shown":
        return f"first {r.n_shown}", "the same"
    low, high = r.window
    return f"first {r.n_shown}", f"{low:g} to {high:g} days ahead"


def _how(n_bootstrap: int, seed: int) -> str:
    return f"95 % intervals: {n_bootstrap:,} bootstrap resamples of the test sources, seed {seed}."
