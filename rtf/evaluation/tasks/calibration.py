"""Calibration: is a class given with probability p right in a share p of the cases?

Notable:
- what is judged is the probability of the predicted class (top label), in bins of equal width, as Guo et al.
  define the expected calibration error; equal width keeps the bins the same for every model and resample
- the error of few sources is biased upwards: a perfectly calibrated model of N sources has about
  0.8 sum_b sqrt(N_b p_b (1 - p_b)) / N of it, given beside every value as "by chance"
- the temperature comes from the validation split; every number here is of the test split, and the same
  resamples are used before and after, so that the difference has an interval of its own

Reference: Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, ICML,
arXiv:1706.04599 (equations 3, 5 and 9).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import metrics, tables
from rtf.evaluation.reliability import (
    N_BINS,
    Reliability,
    checked,
    error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    reliability_figure,
)
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate
from rtf.evaluation.tasks.probe import fit_probe
from rtf.files import write_json
from rtf.models.calibration import fit_temperature
from rtf.store.store import Store


@dataclass(frozen=True)
class Calibration:
    """What class probabilities are worth as probabilities, before and after a temperature.

    Attributes
    ----------
    temperature : 1 where nothing was fitted
    before, after, difference : by "ece", "nll", "accuracy" an `Estimate` each; difference is after - before
        on the same resamples
    chance : by "before", "after" the error a perfectly calibrated model of as many sources would show
    reliability : by "before", "after"
    n_sources, n_unknown : labelled sources counted, sources left out
    n_untrained : sources whose class the probabilities do not have at all (probability 0)
    baseline : by "ece", "nll", "accuracy" an `Estimate`: the class shares of the training split for everyone
    n_resamples, seed : of the bootstrap
    """

    temperature: float
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    difference: dict[str, Estimate]
    chance: dict[str, float]
    reliability: dict[str, Reliability]
    n_sources: int
    n_unknown: int
    n_untrained: int
    baseline: dict[str, Estimate]
    n_resamples: int
    seed: int


def at_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities (N, C) float64 that the same logits give at a temperature: p ** (1 / T), normalised.

    softmax(logit / T) needs only log-probabilities, which are logits up to a constant a source. With
    `temperature=1 / T` it undoes a calibration by T.

    Raises
    ------
    ValueError : a temperature that is not positive and finite
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature is positive and finite, not {temperature}")
    with np.errstate(divide="ignore"):
        logit = np.log(np.asarray(probability, float)) / temperature
    odds = np.exp(logit - logit.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def temperature_of(probability: np.ndarray, label: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood, of the *validation* split.

    One number for all classes, so that no prediction changes (Guo et al. 2017, equation 9). Sources without
    a label, or whose class has probability 0 at every temperature, say nothing about it and are left out.

    Raises
    ------
    ValueError : no source is left
    """
    label = np.asarray(label).astype(np.int64)
    probability = np.asarray(probability, float)
    known = label != UNKNOWN
    known &= probability[np.arange(len(label)), np.where(known, label, 0)] > 0
    if not known.any():
        raise ValueError("validation split: no labelled source of a trained class to fit a temperature on")
    with np.errstate(divide="ignore"):
        return fit_temperature(np.log(probability[known]), label[known])


def evaluate_calibration(
    raw: np.ndarray,
    temperature: float,
    label: np.ndarray,
    train_label: np.ndarray,
    *,
    n_bins: int = N_BINS,
    seed: int = 0,
    n_bootstrap: int = 1000,
) -> Calibration:
    """Score uncalibrated class probabilities of the test split before and after a temperature.

    Parameters
    ----------
    raw : (N, C) uncalibrated, rows sum to 1
    temperature : fitted elsewhere, never on these sources
    label : (N,) int, -1 unknown: left out and counted
    train_label : (M,) int, for the baseline

    Raises
    ------
    ValueError : no labelled source in a split, probabilities that are none, labels that are no column
    """
    label, train_label = np.asarray(label).astype(np.int64), np.asarray(train_label).astype(np.int64)
    known = label != UNKNOWN
    train_label = train_label[train_label != UNKNOWN]
    if not known.any() or not len(train_label):
        raise ValueError("calibration needs labelled sources in the training and the test split")
    before, own = checked(np.asarray(raw)[known], label[known])
    shares = np.bincount(train_label, minlength=before.shape[1]) / len(train_label)
    scored = {
        "before": before,
        "after": at_temperature(before, temperature),
        "baseline": np.tile(shares, (len(own), 1)),
    }

    def scores(counts):
        columns = []
        for probability in scored.values():
            columns += [
                expected_calibration_error(probability, own, n_bins, counts),
                negative_log_likelihood(probability, own, counts),
                metrics.accuracy(own, probability.argmax(1), counts),
            ]
        before, after = np.array(columns[:3]), np.array(columns[3:6])
        return np.column_stack([*columns, *(after - before)])

    found = bootstrap(scores, len(own), n_resamples=n_bootstrap, seed=seed, width=6 * n_bins)
    named = [dict(zip(("ece", "nll", "accuracy"), found[k : k + 3], strict=True)) for k in (0, 3, 6, 9)]
    return Calibration(
        float(temperature), named[0], named[1], named[3],
        {name: error_by_chance(scored[name], n_bins) for name in ("before", "after")},
        {
            name: reliability(scored[name], own, n_bins=n_bins, n_bootstrap=n_bootstrap, seed=seed)
            for name in ("before", "after")
        },
        len(own), int((~known).sum()), int((before[np.arange(len(own)), own] == 0).sum()), named[2],
        n_bootstrap, seed,
    )  # fmt: skip


def run_calibration(
    model: Fingerprinter, store: Store, out: Path, *, seed: int, n_bootstrap: int, n_bins: int = N_BINS
) -> tuple[list[tables.Table], list[Path]]:
    """Calibration of the classification head and of the linear probe on the test split.

    The head comes calibrated, with the temperature found on the validation split when it was trained; its
    raw probabilities follow from it. The probe is fitted on the training split, its temperature on the
    validation split. Writes calibration.json, calibration.md and reliability.png.

    Raises
    ------
    ValueError : a split without labelled sources
    """
    found = {
        split: model.encode(store.detections(split, cutouts=model.needs_cutouts))
        for split in ("train", "val", "test")
    }
    label = {split: store.label[store.sources(split)] for split in found}
    raw, temperature = {}, {}
    if found["test"].probability is not None:
        raw["head"] = at_temperature(found["test"].probability, 1 / model.temperature)
        temperature["head"] = model.temperature
    probe = fit_probe(found["train"].latent, label["train"])
    of_val, raw["linear probe"] = (
        _all_columns(probe, found[split].latent, len(FINE)) for split in ("val", "test")
    )
    temperature["linear probe"] = temperature_of(of_val, label["val"])
    results = {
        name: evaluate_calibration(
            raw[name], temperature[name], label["test"], label["train"],
            n_bins=n_bins, seed=seed, n_bootstrap=n_bootstrap,
        )
        for name in raw
    }  # fmt: skip
    write_json(out / "calibration.json", tables.plain(results))
    made = [calibration_table(results)]
    tables.write_markdown(out / "calibration.md", made)
    figure = out / "reliability.png"
    panels = {}
    for name, r in results.items():
        for when, scores in (("before", r.before), ("after", r.after)):
            used = r.temperature if when == "after" else 1.0
            text = f"temperature {used:.2f}, ECE {format_estimate(scores['ece'])}"
            panels[f"{name}, {when}"] = (r.reliability[when], text)
    reliability_figure(panels, figure, "Reliability of the class probabilities, test split")
    return made, [figure]


def calibration_table(
    results: dict[str, Calibration], title: str = "Calibration, test split"
) -> tables.Table:
    """Before and after the temperature for each source of probabilities, then the class shares."""
    rows, notes = [], []
    for name, r in results.items():
        for when, scores in (("before", r.before), ("after", r.after)):
            temperature = "1" if when == "before" else f"{r.temperature:.3f}"
            rows.append(
                (f"{name}, {when}", temperature, *_cells(scores), f"{r.chance[when]:.3f}", f"{r.n_sources:,}")
            )
        rows.append((f"{name}, after − before", "", *_cells(r.difference), "", f"{r.n_sources:,}"))
        if r.n_unknown:
            notes.append(f"{name}: left out, no label: {r.n_unknown:,} test sources.")
        if r.n_untrained:
            notes.append(
                f"{name}: {r.n_untrained:,} test sources are of classes it never saw: probability 0."
            )
    r = next(iter(results.values()))
    rows.append(("training class shares", "", *_cells(r.baseline), "", f"{r.n_sources:,}"))
    how = (
        f"95 % intervals: {r.n_resamples:,} bootstrap resamples of the test sources, seed {r.seed}. "
        f"ECE: {len(r.reliability['before'].count)} bins of equal width of the largest probability; "
        "by chance: what a perfectly calibrated model of as many sources would show; resampling adds as "
        "much once more, so that ECE intervals lean upwards. "
        "Temperature fitted on the validation split."
    )
    columns = (
        "probabilities",
        "temperature",
        "ECE",
        "NLL [nat]",
        "accuracy",
        "ECE by chance",
        "test sources",
    )
    return tables.Table(title, columns, tuple(rows), (how, *notes))


def _cells(scores: dict[str, Estimate]) -> list[str]:
    return [format_estimate(scores[name]) for name in ("ece", "nll", "accuracy")]


def _all_columns(probe, fingerprints: np.ndarray, n_classes: int) -> np.ndarray:
    probability = np.zeros((len(fingerprints), n_classes))
    probability[:, probe.classes] = probe.probabilities(fingerprints)
    return probability
