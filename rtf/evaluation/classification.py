"""Class probabilities and their scores: the linear probe, the records, what stands under the tables.

Notable:
- the probe standardises and fits a multinomial logistic regression with C = 1, as the published tables do
- a class no test source has is left out of the means and named; a class the probe never saw in training
  has probability 0: it counts, with recall 0 and AUC 0.5
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from rtf.classes import COARSE, COARSE_OF_FINE, FINE, SUPERNOVA_OF_FINE, SUPERNOVAE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation import statistics
from rtf.evaluation.record import MAJORITY, Record, from_digits, record, to_digits
from rtf.models.losses import survey_log_prior
from rtf.models.probe import LinearProbe

HEAD, ALIKE = "head", "head, classes alike"
SCORES = ("accuracy", "balanced accuracy", "macro F1", "ROC-AUC")


def fit_probe(fingerprints: np.ndarray, labels: np.ndarray, *, max_iter: int = 10_000) -> LinearProbe:
    """Fit the linear probe on fingerprints (N, F); those of unknown label are left out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    known = np.asarray(labels) != UNKNOWN
    x, y = _finite(np.asarray(fingerprints)[known], "training"), np.asarray(labels)[known]
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"a probe needs at least two classes; {len(y)} labelled sources hold {len(classes)}")
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=1.0, max_iter=max_iter).fit(scaler.transform(x), y)
    if model.n_iter_.max() >= max_iter:
        raise RuntimeError(f"the probe did not converge in {max_iter} iterations")
    weight, bias = model.coef_, model.intercept_
    if len(classes) == 2:  # scikit-learn keeps one row then, the logit of the second class against the first
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return LinearProbe(scaler.mean_, scaler.scale_, weight, bias, classes.astype(np.int64))


def probe_probabilities(probe: LinearProbe, fingerprints: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (N, n_classes) by a probe, 0 for classes it never saw."""
    probability = np.zeros((len(fingerprints), n_classes))
    probability[:, probe.classes] = probe.probabilities(fingerprints)
    return probability


def coarse_probability(fine: np.ndarray) -> np.ndarray:
    """Probabilities of the coarse classes (N, 6) from those of the fine ones (N, C): sums."""
    return fine.astype(float) @ (COARSE_OF_FINE[:, None] == np.arange(len(COARSE)))


def head_probability(fine: np.ndarray, level: str) -> np.ndarray:
    """Probabilities of the classes of a level from those of the fine ones (N, C).

    Of the five supernovae: given that a source is one of them.
    """
    if level == "fine":
        return fine
    if level == "coarse":
        return coarse_probability(fine)
    summed = fine.astype(float) @ (SUPERNOVA_OF_FINE[:, None] == np.arange(len(SUPERNOVAE)))
    return summed / np.maximum(summed.sum(1, keepdims=True), 1e-30)


def classes_alike(probability: np.ndarray, train_label: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of classes, were all as common: for balanced decisions.

    Parameters
    ----------
    probability : (N, C), in a survey of which the training labels (M,) are a sample
    """
    prior = survey_log_prior(torch.from_numpy(np.asarray(train_label, np.int64)), probability.shape[1])
    odds = probability / prior.exp().numpy()
    return odds / odds.sum(1, keepdims=True)


def readings(
    found: Fingerprints, probes: Mapping[str, LinearProbe], train_label: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    """Probabilities by method and level: by a probe for each level, and by the model's head if it has one.

    `train_label` has the classes (M,) of the training split at each level.
    """
    sizes = {"coarse": len(COARSE), "fine": len(FINE)}
    made = {("probe", x): probe_probabilities(p, found.latent, sizes[x]) for x, p in probes.items()}
    if (fine := found.probability) is not None:
        for level in sizes:
            own = head_probability(fine, level)
            made |= {(HEAD, level): own, (ALIKE, level): classes_alike(own, train_label[level])}
    return made


def class_scores(
    probability: np.ndarray, label: np.ndarray, train_label: np.ndarray, names: Sequence[str], *,
    seed: int, n_resamples: int, **keys,
) -> tuple[list[Record], dict[str, str]]:  # fmt: skip
    """Score class probabilities (N, C), whatever made them.

    Parameters
    ----------
    label, train_label : (N,), (M,) int, index into the C `names`, -1 unknown: left out
    keys : of the records: level, method, shown

    Returns
    -------
    records of all sources, of each class (`group`) and of the majority class; and the true and predicted
    classes as arrays, named LEVEL/truth and LEVEL/METHOD[/SHOWN]
    """
    n_classes, known = len(names), label != UNKNOWN
    score, truth = _finite(np.asarray(probability)[known], "test"), label[known].astype(np.int64)
    train_count = np.bincount(train_label[train_label != UNKNOWN], minlength=n_classes)
    for split, n in (("test", len(truth)), ("training", train_count.sum())):
        if not n:
            raise ValueError(f"{split} split: none of its sources has a label")
    predicted = score.argmax(1)
    majority = np.full(len(truth), train_count.argmax())

    def statistic(counts):
        recall = statistics.recall(truth, predicted, counts, n_classes)
        auc = statistics.class_auc(truth, score, counts)
        overall = [
            statistics.accuracy(truth, predicted, counts),
            statistics.mean_over_classes(recall),
            statistics.macro_f1(truth, predicted, counts, n_classes),
            statistics.mean_over_classes(auc),
            statistics.accuracy(truth, majority, counts),
            statistics.balanced_accuracy(truth, majority, counts, n_classes),
            statistics.macro_f1(truth, majority, counts, n_classes),
        ]
        return np.column_stack([*overall, recall, auc])

    found = statistics.bootstrap(statistic, len(truth), seed=seed, n_resamples=n_resamples)
    records = [record(s, e, n=len(truth), **keys) for s, e in zip(SCORES, found[:4])]
    base = {**keys, "method": MAJORITY, "shown": None, "n": len(truth)}
    records += [record(s, e, **base) for s, e in zip(SCORES, (*found[4:7], 0.5))]
    for c, n in enumerate(np.bincount(truth, minlength=n_classes).tolist()):
        own = {**keys, "group": names[c], "n": n}
        both = zip(("recall", "ROC-AUC"), (found[7 + c], found[7 + n_classes + c]))
        records += [record(s, e, **own) for s, e in both if n]
    place = "/".join(str(x) for x in (keys["level"], keys["method"], keys.get("shown")) if x is not None)
    arrays = {f"{keys['level']}/truth": to_digits(truth), place: to_digits(predicted)}
    return records, arrays | {f"{keys['level']}/train count": train_count.tolist()}


def class_notes(label: np.ndarray, train_label: np.ndarray, names: Sequence[str]) -> list[str]:
    """What a table of class scores must say: class counts, majority class, what was left out."""
    counts = [np.bincount(x[x != UNKNOWN], minlength=len(names)) for x in (train_label, label)]
    both = list(zip(names, *counts))
    listed = ", ".join(f"{name} {a:,}/{b:,}" for name, a, b in both if a or b)
    notes = [f"Majority class: {names[counts[0].argmax()]}. Training/test sources: {listed}."]
    unknown = [int((x == UNKNOWN).sum()) for x in (train_label, label)]
    if any(unknown):
        notes.append(f"Left out, no label: {unknown[0]:,} training, {unknown[1]:,} test sources.")
    if absent := [name for name, a, b in both if a and not b]:
        notes.append(f"Not in the means, no test source: {', '.join(absent)}.")
    if absent := [name for name, a, b in both if b and not a]:
        notes.append(f"Never predicted, no training source: {', '.join(absent)}.")
    return notes


def confusion_of(arrays: Mapping[str, str], level: str, place: str, n_classes: int) -> np.ndarray:
    """The confusion matrix (C, C) of predictions kept by `class_scores`."""
    truth, predicted = (from_digits(arrays[f"{level}/{name}"]) for name in ("truth", place))
    return np.bincount(truth * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def checked_counts(counts: Sequence[int | str]) -> list[int | None]:
    """Numbers of detections in ascending order; "all" is None and last."""
    numbers = {n for n in counts if n != "all"}
    bad = [n for n in numbers if not isinstance(n, int) or isinstance(n, bool) or n < 1]
    if bad or not len(counts):
        raise ValueError(f"counts must be numbers of detections from 1 up, or all, not {list(counts)}")
    return [*sorted(numbers), *([None] if "all" in counts else [])]


def known_where_finite(label: np.ndarray, found) -> np.ndarray:
    """Labels, unknown where a fingerprint is not finite: such sources are left out of scores."""
    return np.where(found.finite, label, UNKNOWN)


def _finite(rows: np.ndarray, split: str) -> np.ndarray:
    if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
        raise ValueError(f"{split} split: {bad} of {len(rows)} sources hold numbers that are not finite")
    return rows
