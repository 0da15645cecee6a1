"""Linear probe: how well a linear classifier reads the class from frozen fingerprints.

Notable:
- standardise, then multinomial logistic regression with C = 1, as the published tables do
- scores come with intervals over test sources, class counts and the majority-class baseline, always
- a class no test source has is left out of the means and named; a class the probe never saw in training
  has probability 0: it counts, with recall 0 and AUC 0.5
- fitting, scoring a probe and scoring any probabilities (a classification head) are separate steps
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtf.classes import UNKNOWN
from rtf.evaluation import metrics
from rtf.evaluation.statistics import N_RESAMPLES, Estimate, bootstrap
from rtf.models.probe import LinearProbe


@dataclass(frozen=True)
class Baseline:
    """Always answering the commonest class of the training split.

    Attributes
    ----------
    class_name : that class
    accuracy, balanced_accuracy : on the test split
    auc : 0.5, for a constant score ranks nothing
    """

    class_name: str
    accuracy: Estimate
    balanced_accuracy: Estimate
    auc: Estimate


@dataclass(frozen=True)
class ProbeResult:
    """What a probe scores on the test split.

    Attributes
    ----------
    class_names : C names; the arrays below follow their order
    accuracy, balanced_accuracy, auc : auc is macro one-vs-rest
    baseline : the majority class
    train_count, test_count : (C,) int64, labelled sources
    n_train_unknown, n_test_unknown : sources without a label, left out
    recall, class_auc : an `Estimate` a class, NaN where the test split has no such source
    confusion : (C, C) int64, rows true, columns predicted
    without_test : names of the classes no test source has: not in the means
    without_training : names of the classes with test but no training sources: never predicted
    truth, predicted : (N,) int64, class of each labelled test source, in the order of the split
    n_resamples, seed : of the bootstrap
    probe : what was fitted, or None when the probabilities came from elsewhere
    """

    class_names: tuple[str, ...]
    accuracy: Estimate
    balanced_accuracy: Estimate
    auc: Estimate
    baseline: Baseline
    train_count: np.ndarray
    test_count: np.ndarray
    n_train_unknown: int
    n_test_unknown: int
    recall: tuple[Estimate, ...]
    class_auc: tuple[Estimate, ...]
    confusion: np.ndarray
    without_test: tuple[str, ...]
    without_training: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    n_resamples: int
    seed: int
    probe: LinearProbe | None = None


def fit_probe(fingerprints: np.ndarray, labels: np.ndarray, *, max_iter: int = 10_000) -> LinearProbe:
    """Fit the probe; sources with label -1 are left out.

    Parameters
    ----------
    fingerprints : (N, F), finite
    labels : (N,) int

    Raises
    ------
    ValueError : fewer than two classes among the labels, shapes that differ, fingerprints not finite
    RuntimeError : the fit did not converge in `max_iter` steps
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    fingerprints, labels = _checked(fingerprints, labels, "training")
    known = labels != UNKNOWN
    fingerprints, labels = fingerprints[known], labels[known]
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"a probe needs training sources of at least two classes; the {len(labels)} labelled training "
            f"sources ({(~known).sum()} more have no label) hold {len(classes)}"
        )
    scaler = StandardScaler().fit(fingerprints)
    model = LogisticRegression(C=1.0, max_iter=max_iter).fit(scaler.transform(fingerprints), labels)
    if model.n_iter_.max() >= max_iter:
        raise RuntimeError(f"the probe did not converge in {max_iter} iterations")
    weight, bias = model.coef_, model.intercept_
    if len(classes) == 2:  # scikit-learn keeps one row then, the logit of the second class against the first
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return LinearProbe(scaler.mean_, scaler.scale_, weight, bias, classes.astype(np.int64))


def score_probabilities(
    probabilities: np.ndarray,
    test_label: np.ndarray,
    train_label: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    n_bootstrap: int = N_RESAMPLES,
    probe: LinearProbe | None = None,
) -> ProbeResult:
    """Score class probabilities, whatever made them.

    Parameters
    ----------
    probabilities : (N, C), columns in the order of `class_names`
    test_label : (N,) int, -1 unknown
    train_label : (M,) int, for the baseline and the counts
    class_names : C names

    Raises
    ------
    ValueError : no labelled source in either split, labels beyond the class names, shapes that differ,
        probabilities not finite
    """
    n_classes = len(class_names)
    probabilities, test_label = _checked(probabilities, test_label, "test")
    if probabilities.shape[1] != n_classes:
        raise ValueError(f"{probabilities.shape[1]} columns of probabilities for {n_classes} class names")
    train_label = _labels(train_label, "training", n_classes)
    test_label = _labels(test_label, "test", n_classes)
    known = test_label != UNKNOWN
    train_count = np.bincount(train_label[train_label != UNKNOWN], minlength=n_classes)
    score, label = probabilities[known], test_label[known]
    test_count = np.bincount(label, minlength=n_classes)
    prediction = score.argmax(axis=1)
    majority = int(train_count.argmax())
    constant = np.full(len(label), majority)

    def all_scores(counts):
        recalls = metrics.recall(label, prediction, counts, n_classes)
        aucs = metrics.class_auc(label, score, counts)
        overall = [
            metrics.accuracy(label, prediction, counts),
            metrics.mean_over_classes(recalls),
            metrics.mean_over_classes(aucs),
            metrics.accuracy(label, constant, counts),
            metrics.balanced_accuracy(label, constant, counts, n_classes),
        ]
        return np.column_stack([*overall, recalls, aucs])

    estimates = bootstrap(all_scores, len(label), n_resamples=n_bootstrap, seed=seed)
    names = np.array(class_names, dtype=object)
    return ProbeResult(
        class_names=tuple(class_names),
        accuracy=estimates[0],
        balanced_accuracy=estimates[1],
        auc=estimates[2],
        baseline=Baseline(str(names[majority]), estimates[3], estimates[4], Estimate(0.5, 0.5, 0.5)),
        train_count=train_count,
        test_count=test_count,
        n_train_unknown=int((train_label == UNKNOWN).sum()),
        n_test_unknown=int((~known).sum()),
        recall=tuple(estimates[5 : 5 + n_classes]),
        class_auc=tuple(estimates[5 + n_classes :]),
        confusion=metrics.confusion(label, prediction, n_classes),
        without_test=tuple(names[test_count == 0]),
        without_training=tuple(names[(test_count > 0) & (train_count == 0)]),
        truth=label,
        predicted=prediction,
        n_resamples=n_bootstrap,
        seed=seed,
        probe=probe,
    )


def score_probe(
    probe: LinearProbe,
    test_fp: np.ndarray,
    test_label: np.ndarray,
    train_label: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    n_bootstrap: int = N_RESAMPLES,
) -> ProbeResult:
    """Score a fitted probe on fingerprints (N, F); the other arguments as `score_probabilities`."""
    test_fp, test_label = _checked(test_fp, test_label, "test")
    probabilities = np.zeros((len(test_fp), len(class_names)))
    probabilities[:, probe.classes] = probe.probabilities(test_fp)
    return score_probabilities(
        probabilities, test_label, train_label, class_names, seed=seed, n_bootstrap=n_bootstrap, probe=probe
    )


def evaluate_probe(
    train_fp: np.ndarray,
    train_label: np.ndarray,
    test_fp: np.ndarray,
    test_label: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    n_bootstrap: int = N_RESAMPLES,
) -> ProbeResult:
    """Fit a probe on the training fingerprints and score it on the test fingerprints.

    Parameters
    ----------
    train_fp, test_fp : (M, F), (N, F)
    train_label, test_label : (M,), (N,) int, index into `class_names`; -1 unknown, left out and counted
    class_names : C names
    seed, n_bootstrap : of the bootstrap over test sources

    Raises
    ------
    ValueError : fewer than two training classes, no labelled test source, labels beyond the class names,
        shapes that differ, fingerprints not finite
    RuntimeError : the fit did not converge
    """
    # Before the fit, which takes longest.
    _labels(train_label, "training", len(class_names))
    _labels(test_label, "test", len(class_names))
    probe = fit_probe(train_fp, train_label)
    return score_probe(
        probe, test_fp, test_label, train_label, class_names, seed=seed, n_bootstrap=n_bootstrap
    )


def _checked(rows, labels, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = np.asarray(rows), np.asarray(labels)
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        raise ValueError(f"{split} split: one label a row expected, got {rows.shape} and {labels.shape}")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{split} split: {bad.sum()} of {len(rows)} sources hold numbers that are not finite"
        )
    return rows, labels


def _labels(labels, split: str, n_classes: int) -> np.ndarray:
    labels = np.asarray(labels).astype(np.int64)  # int8 would overflow in the confusion matrix
    if ((labels < UNKNOWN) | (labels >= n_classes)).any():
        raise ValueError(f"{split} split: labels must lie between -1 and {n_classes - 1}")
    if not (labels != UNKNOWN).any():
        raise ValueError(f"{split} split: none of its {len(labels)} sources has a label")
    return labels
