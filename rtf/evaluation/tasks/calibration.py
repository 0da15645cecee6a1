"""Calibration: is a class given with probability p right in a share p of the cases?

Notable:
- what is judged is the probability of the predicted class (top label), in bins of equal width, as Guo et al.
  define the expected calibration error (ECE): the bins are then the same for every model and resample
- the error of few sources is biased upwards: a perfectly calibrated model of N sources has about
  0.8 sum_b sqrt(N_b p_b (1 - p_b)) / N of it, given beside every value as "ECE by chance"
- the temperature comes from the validation split; every number here is of the test split, and the same
  resamples are used before and after, so that the difference has an interval of its own

Reference: Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, ICML,
arXiv:1706.04599 (equations 3, 5 and 9).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import FINE, UNKNOWN
from rtf.evaluation import statistics
from rtf.evaluation.classification import fit_probe, probe_probabilities
from rtf.evaluation.record import Record, distinct, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.figures import tidy, whiskers
from rtf.models.calibration import fit_temperature

#: Beside every score: the class shares of the training split, given to every source.
SHARES = "training class shares"
_SCORES = ("ECE", "NLL", "accuracy")
#: Probabilities below this count as this in the log-likelihood: single precision knows nothing smaller.
_SMALLEST = 1e-7


def calibration(given: Inputs, *, n_bins: int) -> Evaluated:
    """Score the class probabilities of head and linear probe before and after a temperature.

    The head comes calibrated, with the temperature found on the validation split when it was trained; its
    raw probabilities follow from it. The probe is fitted on the training split, its temperature on the
    validation split.

    Parameters
    ----------
    n_bins : of equal width, for the calibration error and the reliability diagram
    """
    split = {name: given.split(name) for name in ("train", "val", "test")}
    label = {name: of.label["fine"] for name, of in split.items()}
    raw, temperature = {}, {}
    if (calibrated := split["test"].found.probability) is not None:
        raw["head"] = at_temperature(calibrated, 1 / given.model.temperature)
        temperature["head"] = given.model.temperature
    fitted = fit_probe(split["train"].found.latent, label["train"])
    of_val, raw["probe"] = (
        probe_probabilities(fitted, split[name].found.latent, len(FINE)) for name in ("val", "test")
    )
    temperature["probe"] = temperature_of(of_val, label["val"])
    known = label["test"] != UNKNOWN
    if not known.any():
        raise ValueError("calibration needs labelled sources in the test split")
    own = label["test"][known]
    shares = np.bincount(label["train"][label["train"] != UNKNOWN], minlength=len(FINE))
    shares = np.tile(shares / shares.sum(), (len(own), 1))

    records, panels, notes = [], {}, []
    for method, probability in raw.items():
        records += calibration_records(
            probability[known], own, shares, temperature[method], method, n_bins, given.resamples
        )
        for when, t in (("before", 1.0), ("after", temperature[method])):
            found = reliability(at_temperature(probability[known], t), own, n_bins, given.resamples)
            panels[f"{method}, {when}: temperature {t:.2f}"] = found
        if untrained := int((probability[known][np.arange(len(own)), own] == 0).sum()):
            notes.append(f"{method}: {untrained:,} test sources are of classes it never saw: probability 0.")
    if not known.all():
        notes.append(f"Left out, no label: {(~known).sum():,} test sources.")
    how = (
        f"{given.how} ECE: {n_bins} bins of equal width of the largest probability; by chance: what a "
        "perfectly calibrated model of as many sources would show; resampling adds as much once more, so "
        "that ECE intervals lean upwards. Temperature fitted on the validation split."
    )
    scores = ("ECE", "change of ECE", "ECE by chance", "NLL", "change of NLL", "accuracy")
    columns = {"T": {"score": "temperature"}} | {score: {"score": score} for score in scores}
    records = sorted(distinct(records), key=lambda r: r.method == SHARES)
    table = record_table(
        "Calibration, test split", records, {"probabilities": "method", "temperature": "level"}, columns,
        [how, *notes],
    )  # fmt: skip
    figures = {"reliability.png": reliability_figure(panels)}
    return Evaluated(records, [table], figures)


def calibration_records(
    raw: np.ndarray, label: np.ndarray, shares: np.ndarray, temperature: float, method: str, n_bins: int,
    resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Score uncalibrated probabilities (N, C) of sources of known class before and after a temperature.

    The records' level is before or after, with the change that the temperature made; beside them are those of
    `shares` (N, C).
    """
    scored = {"before": raw, "after": at_temperature(raw, temperature), SHARES: shares}

    def statistic(counts):
        columns = []
        for probability in scored.values():
            columns += [
                expected_calibration_error(probability, label, n_bins, counts),
                negative_log_likelihood(probability, label, counts),
                statistics.accuracy(label, probability.argmax(1), counts),
            ]
        return np.column_stack([*columns, *(columns[3 + k] - columns[k] for k in range(2))])

    found = statistics.bootstrap(statistic, len(label), width=6 * n_bins, **resamples)
    records = []
    for k, (level, used) in enumerate((("before", method), ("after", method), ("", SHARES))):
        keys = {"level": level, "method": used, "n": len(label)}
        records += [record(score, e, **keys) for score, e in zip(_SCORES, found[3 * k : 3 * k + 3])]
        if level:
            records.append(record("temperature", temperature if level == "after" else 1.0, **keys))
            records.append(record("ECE by chance", error_by_chance(scored[level], n_bins), **keys))
    return records + [
        record(f"change of {score}", e, level="after", method=method, n=len(label))
        for score, e in zip(_SCORES[:2], found[9:])
    ]


def at_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities (N, C) float64 that the same logits give at a temperature: p ** (1 / T), normalised.

    softmax(logit / T) needs only log-probabilities, which are logits up to a constant a source. With
    `temperature=1 / T` it undoes a calibration by T.
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
    """
    probability = np.asarray(probability, float)
    known = label != UNKNOWN
    known &= probability[np.arange(len(label)), np.where(known, label, 0)] > 0
    if not known.any():
        raise ValueError("validation split: no labelled source of a trained class to fit a temperature on")
    with np.errstate(divide="ignore"):
        return fit_temperature(np.log(probability[known]), label[known])


def expected_calibration_error(
    probability: np.ndarray, label: np.ndarray, n_bins: int, counts: np.ndarray
) -> np.ndarray:
    """Mean over sources of |accuracy - confidence| of the bin their confidence falls in.

    ECE = sum_b N_b / N |accuracy_b - confidence_b| over `n_bins` bins ((b - 1) / n_bins, b / n_bins] of the
    largest probability (Guo et al. 2017, equation 5).

    Parameters
    ----------
    probability : (N, C), rows sum to 1
    label : (N,) int, the right column; all known
    counts : (B, N) how often each source was drawn

    Returns
    -------
    (B,)
    """
    confidence, right, bins = _top(probability, label, n_bins)
    gap = np.zeros((len(label), n_bins))
    gap[np.arange(len(label)), bins] = right - confidence
    counts = np.asarray(counts, float)
    return np.abs(counts @ gap).sum(1) / counts.sum(1)


def negative_log_likelihood(probability: np.ndarray, label: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of -ln(probability of the right class) [nat]; arguments and result as above."""
    right = -np.log(np.maximum(probability[np.arange(len(label)), label], _SMALLEST))
    counts = np.asarray(counts, float)
    return counts @ right / counts.sum(1)


def error_by_chance(probability: np.ndarray, n_bins: int) -> float:
    """The expected calibration error if every source were right with its own confidence.

    The gap of a bin is then normal with variance sum p (1 - p), and the mean of a half-normal is
    sqrt(2 / pi) of its sigma.
    """
    confidence = probability.max(1)
    variance = np.bincount(_bin(confidence, n_bins), confidence * (1 - confidence), n_bins)
    return float(np.sqrt(2 / np.pi) * np.sqrt(variance).sum() / len(confidence))


def reliability(
    probability: np.ndarray, label: np.ndarray, n_bins: int, resamples: Mapping
) -> list[tuple[int, float, statistics.Estimate]]:
    """Of each bin: number of sources, mean confidence, share predicted right; NaN in an empty bin."""
    confidence, right, bins = _top(probability, label, n_bins)
    member = (bins[:, None] == np.arange(n_bins)).astype(float)

    def share_right(counts):
        counts = counts.astype(float)
        with np.errstate(invalid="ignore"):
            return counts @ (member * right[:, None]) / (counts @ member)

    accuracy = statistics.bootstrap(share_right, len(label), **resamples)
    count = member.sum(0)
    with np.errstate(invalid="ignore"):
        mean = confidence @ member / count
    return list(zip(count.astype(int).tolist(), mean.tolist(), accuracy))


def reliability_figure(panels: Mapping[str, Sequence], n_columns: int = 2) -> Figure:
    """Draw results of `reliability`, one panel each with the number of sources in each bin below it."""
    n_columns = min(n_columns, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(4.6 * n_columns + 0.4, 6.0 * n_rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(2 * n_rows, n_columns, height_ratios=[3.2, 1] * n_rows)
    for k, (name, found) in enumerate(panels.items()):
        row, column = divmod(k, n_columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _diagram(upper, lower, found)
        upper.set_title(name, fontsize=10)
        if column == 0:
            upper.set_ylabel("share predicted right")
            lower.set_ylabel("sources")
        lower.set_xlabel("probability of the predicted class")
    figure.suptitle("Reliability of the class probabilities, test split", fontsize=13)
    return figure


def _diagram(upper, lower, found: Sequence) -> None:
    filled = [(n, x, e) for n, x, e in found if n]
    confidence, value = [x for _, x, _ in filled], [e.value for *_, e in filled]
    upper.plot([0, 1], [0, 1], color="0.55", linewidth=1, linestyle="--", zorder=1)
    upper.vlines(confidence, value, confidence, color="#d95f02", linewidth=5, alpha=0.35, zorder=2)
    error = whiskers([e for *_, e in filled])
    # resamples of a bin of one source do not vary: an interval of no width says nothing there
    error[:, [n < 2 for n, *_ in filled]] = np.nan
    upper.errorbar(
        confidence, value, error, fmt="o", color="#1f4e79", elinewidth=1.1, capsize=2, markersize=5, zorder=3
    )
    upper.set(xlim=(0, 1.01), ylim=(-0.02, 1.02))
    upper.tick_params(labelbottom=False)
    count, width = [n for n, *_ in found], 1 / len(found)
    left = width * np.arange(len(found))
    lower.bar(left, count, width, align="edge", color="#8fb3d1", edgecolor="white")
    lower.set_ylim(0, 1.3 * max(count))
    for x, n in zip(left, count):
        if n:
            lower.text(x + width / 2, n, f"{n:,}", ha="center", va="bottom", fontsize=6.5, color="0.3")
    tidy(upper, lower)


def _top(probability, label, n_bins: int):
    prediction = probability.argmax(1)
    confidence = probability[np.arange(len(label)), prediction]
    return confidence, (prediction == label).astype(float), _bin(confidence, n_bins)


def _bin(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    return np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
