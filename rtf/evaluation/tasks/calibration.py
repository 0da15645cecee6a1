"""Calibration: is a class given with probability p right in a share p of the cases?

Notable:
- what is judged is the probability of the predicted class, in bins of equal width (ECE of Guo et al.)
- the error of few sources is biased upwards: beside it stands that of a perfectly calibrated model of as many
  sources, "ECE by chance", about 0.8 sum_b sqrt(N_b p_b (1 - p_b)) / N
- the temperature comes from the validation split; every number here is of the test split, and the same
  resamples are used before and after, so that the difference has an interval of its own

Reference: Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, ICML,
arXiv:1706.04599 (equations 3, 5 and 9).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import FINE, UNKNOWN
from rtf.evaluation import conformal, statistics
from rtf.evaluation.classification import fit_probe, probe_probabilities
from rtf.evaluation.record import Record, distinct, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.figures import COLOURS, grid_of, rim_labels, tidy, whiskers
from rtf.models.calibration import fit_temperature

#: Beside every score: the class shares of the training split, given to every source.
SHARES = "training class shares"
_SCORES = ("ECE", "NLL", "accuracy")
#: Whose thresholds conformal sets take, and whether each class has its own.
RULES = {"one threshold": False, "by class": True}
#: Probabilities below this count as this in the log-likelihood: single precision knows nothing smaller.
_SMALLEST = 1e-7


def calibration(given: Inputs, *, n_bins: int, coverage: float = 0.9) -> Evaluated:
    """Score the class probabilities of head and linear probe before and after a temperature, and their sets.

    The head comes calibrated, and its raw probabilities follow from its temperature.
    """
    train, val, test = (given.split(name) for name in ("train", "val", "test"))
    known = test.label["fine"] != UNKNOWN
    if not known.any():
        raise ValueError("calibration needs labelled sources in the test split")
    label, learn = test.label["fine"][known], train.label["fine"]
    raw = {}  # probabilities before, and temperature, by method
    if (calibrated := test.found.probability) is not None:
        t = given.model.temperature
        raw["head"] = at_temperature(calibrated[known], 1 / t), t
    fitted = fit_probe(train.found.latent, learn)
    of_val, of_test = (probe_probabilities(fitted, x.found.latent, len(FINE)) for x in (val, test))
    raw["probe"] = of_test[known], temperature_of(of_val, val.label["fine"])
    shares = np.bincount(learn[learn != UNKNOWN], minlength=len(FINE))
    shares = np.tile(shares / shares.sum(), (len(label), 1))

    records, panels, notes = [], {}, []
    for method, (probability, t) in raw.items():
        records += calibration_records(probability, label, shares, t, method, n_bins, given.resamples)
        for when, own in (("before", probability), ("after", at_temperature(probability, t))):
            name = f"{method}, {when}: temperature {t if when == 'after' else 1:.2f}"
            panels[name] = reliability(own, label, n_bins, given.resamples)
        if untrained := int((probability[np.arange(len(label)), label] == 0).sum()):
            notes.append(f"{method}: {untrained:,} test sources are of classes it never saw: probability 0.")
    if not known.all():
        notes.append(f"Left out, no label: {(~known).sum():,} test sources.")
    how = (
        f"{given.how} ECE: {n_bins} bins of equal width; by chance: of perfect calibration; intervals lean "
        "upwards by as much. Temperature fitted on the validation split."
    )
    scores = ("ECE", "change of ECE", "ECE by chance", "NLL", "change of NLL", "accuracy")
    columns = {"T": {"score": "temperature"}} | {score: {"score": score} for score in scores}
    records = sorted(distinct(records), key=lambda r: r.method == SHARES)
    rows = {"probabilities": "method", "temperature": "level"}
    table = record_table("Calibration, test split", records, rows, columns, [how, *notes])
    of_head = val.found.probability
    of_val = at_temperature(of_val, raw["probe"][1]) if of_head is None else of_head
    method = "probe" if of_head is None else "head"
    of_test = at_temperature(*raw[method])
    inside = conformal_records(of_val, val.label["fine"], of_test, label, coverage, method, given.resamples)
    note = (
        f"Sets of classes meant to hold the right one in {coverage:.0%} of the cases, read by the {method}."
    )
    note += (
        f" Thresholds from the validation split: one for all, or one a class of {conformal.FEWEST} and more."
    )
    columns = {
        f"{score}, {level}": {"score": score, "level": level}
        for level in RULES
        for score in ("coverage", "set size")
    }
    sets = record_table("Conformal sets, test split", inside, {"class": "group"}, columns, [given.how, note])
    return Evaluated(records + inside, [table, sets], {"reliability.png": reliability_figure(panels)})


def conformal_records(
    of_val: np.ndarray, val_label: np.ndarray, of_test: np.ndarray, label: np.ndarray, coverage: float,
    method: str, resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Coverage and mean size of conformal sets, of all test sources and by their class."""
    records = []
    for level, by_class in RULES.items():
        inside = conformal.sets(of_test, conformal.thresholds(of_val, val_label, coverage, by_class))
        held = inside[np.arange(len(label)), label].astype(float)
        for group in (None, *np.unique(label)):
            member = np.ones(len(label)) if group is None else (label == group).astype(float)
            values = np.column_stack([held, inside.sum(1)]) * member[:, None]

            def mean(counts, values=values, member=member):
                with np.errstate(invalid="ignore"):
                    return (counts @ values) / (counts @ member)[:, None]

            name = "all" if group is None else FINE[group]
            keys = {"level": level, "method": method, "group": name, "n": int(member.sum())}
            found = statistics.bootstrap(mean, len(label), **resamples)
            records += [record(s, e, **keys) for s, e in zip(("coverage", "set size"), found)]
    return records


def calibration_records(
    raw: np.ndarray, label: np.ndarray, shares: np.ndarray, temperature: float, method: str, n_bins: int,
    resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Score uncalibrated probabilities (N, C) before and after a temperature, beside those of `shares`."""
    cool = at_temperature(raw, temperature)
    used = {"before": (raw, method), "after": (cool, method), "": (shares, SHARES)}

    def statistic(counts):
        cells = np.array([
            (
                expected_calibration_error(probability, label, n_bins, counts),
                negative_log_likelihood(probability, label, counts),
                statistics.accuracy(label, probability.argmax(1), counts),
            )
            for probability, _ in used.values()
        ])  # fmt: skip
        change = cells[1, :2] - cells[0, :2]
        return np.concatenate([*cells, change]).T

    found = statistics.bootstrap(statistic, len(label), width=6 * n_bins, **resamples)
    records = []
    for k, (level, (probability, who)) in enumerate(used.items()):
        keys = {"level": level, "method": who, "n": len(label)}
        records += [record(score, e, **keys) for score, e in zip(_SCORES, found[3 * k : 3 * k + 3])]
        if level:
            records.append(record("temperature", temperature if level == "after" else 1.0, **keys))
            records.append(record("ECE by chance", error_by_chance(probability, n_bins), **keys))
    keys = {"level": "after", "method": method, "n": len(label)}
    return records + [record(f"change of {score}", e, **keys) for score, e in zip(_SCORES, found[9:])]


def at_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities (N, C) float64 that the same logits give at a temperature: p ** (1 / T), normalised.

    `temperature=1 / T` undoes a calibration by T.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature is positive and finite, not {temperature}")
    with np.errstate(divide="ignore"):
        logit = np.log(np.asarray(probability, float)) / temperature
    odds = np.exp(logit - logit.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def temperature_of(probability: np.ndarray, label: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood, of the *validation* split.

    Sources without a label, or whose class has probability 0 at every temperature, are left out.
    """
    probability = np.asarray(probability, float)
    known = (label != UNKNOWN) & (probability[np.arange(len(label)), label] > 0)
    if not known.any():
        raise ValueError("validation split: no labelled source of a trained class to fit a temperature on")
    with np.errstate(divide="ignore"):
        return fit_temperature(np.log(probability[known]), label[known])


def expected_calibration_error(probability: np.ndarray, label: np.ndarray, n_bins: int, counts) -> np.ndarray:
    """Mean over sources of |accuracy - confidence| of their bin (Guo et al. 2017, equation 5): (B,)."""
    confidence, right, member = _binned(probability, label, n_bins)
    counts = np.asarray(counts, float)
    return np.abs(counts @ (member * (right - confidence)[:, None])).sum(1) / counts.sum(1)


def negative_log_likelihood(probability: np.ndarray, label: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of -ln(probability of the right class) [nat]; arguments and result as above."""
    right = -np.log(np.maximum(probability[np.arange(len(label)), label], _SMALLEST))
    return counts @ right / counts.sum(1)


def error_by_chance(probability: np.ndarray, n_bins: int) -> float:
    """The expected calibration error if every source were right with its own confidence.

    The gap of a bin is then half-normal with variance sum p (1 - p) and mean sqrt(2 / pi) sigma.
    """
    confidence, _, member = _binned(probability, probability.argmax(1), n_bins)
    variance = (confidence * (1 - confidence)) @ member
    return float(np.sqrt(2 / np.pi) * np.sqrt(variance).sum() / len(confidence))


def reliability(probability: np.ndarray, label: np.ndarray, n_bins: int, resamples: Mapping) -> list[tuple]:
    """Of each bin: number of sources, mean confidence, share predicted right; NaN in an empty bin."""
    confidence, right, member = _binned(probability, label, n_bins)

    def share_right(counts):
        with np.errstate(invalid="ignore"):
            return counts @ (member * right[:, None]) / (counts @ member)

    accuracy = statistics.bootstrap(share_right, len(label), **resamples)
    count = member.sum(0)
    with np.errstate(invalid="ignore"):
        return list(zip(count.astype(int).tolist(), (confidence @ member / count).tolist(), accuracy))


def reliability_figure(panels: Mapping[str, Sequence]) -> Figure:
    """Draw results of `reliability`, one panel each, over the share of sources in each bin."""
    figure, grid = grid_of(len(panels), 4.8, 4.4, 2, 0.4)
    for axes, (name, found) in zip(grid, panels.items()):
        count = np.array([n for n, *_ in found])
        left, width = np.arange(len(found)) / len(found), 1 / len(found)
        axes.bar(left, count / count.sum(), width, align="edge", color="0.88")
        axes.plot([0, 1], [0, 1], color="0.55", linewidth=1, linestyle="--")
        x, estimates = zip(*((x, e) for n, x, e in found if n))
        style = {"fmt": "o", "color": COLOURS[0], "capsize": 2}
        axes.errorbar(x, [e.value for e in estimates], whiskers(estimates), **style)
        axes.set_title(name, fontsize=10)
        tidy(axes)
    rim_labels(grid, "probability of the predicted class", "share predicted right (bars: of sources)")
    figure.suptitle("Reliability of the class probabilities, test split", fontsize=13)
    return figure


def _binned(probability: np.ndarray, label: np.ndarray, n_bins: int):
    """Largest probability (N,), whether it is right, its bin ((b - 1) / n_bins, b / n_bins] as 0 and 1."""
    predicted = probability.argmax(1)
    confidence = probability[np.arange(len(label)), predicted]
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    return confidence, (predicted == label).astype(float), (bins[:, None] == np.arange(n_bins)).astype(float)
