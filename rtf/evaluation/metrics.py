"""Weighted metrics for many weightings at once, as the bootstrap needs them.

Notable:
- weights are (B, N), a row a resample; what is returned has B rows
- a class without weight has no recall and no AUC (NaN) and is left out of the mean over classes
- tied scores count half in the AUC, as in the Mann-Whitney statistic
- the median takes whole-number weights and equals `np.median` of the sample with its repeats
"""

import warnings

import numpy as np


def accuracy(label: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of right predictions: labels and predictions (N,), weights (B, N) -> (B,)."""
    weights = np.asarray(weights, float)
    return weights @ (label == prediction).astype(float) / weights.sum(1)


def recall(label: np.ndarray, prediction: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Weighted share of each class predicted right: (B, n_classes), NaN where a class has no weight."""
    weights = np.asarray(weights, float)
    member = (label[:, None] == np.arange(n_classes)).astype(float)
    total = weights @ member
    with np.errstate(invalid="ignore"):
        return weights @ (member * (label == prediction)[:, None]) / total


def class_auc(label: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted one-vs-rest ROC-AUC of each class.

    AUC = sum over pairs (i of the class, j not) of w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / (W_class W_rest)

    Parameters
    ----------
    label : (N,) int, column of `score` that is right
    score : (N, C), higher means more likely that class
    weights : (B, N)

    Returns
    -------
    (B, C), NaN where a class or its rest has no weight
    """
    weights = np.asarray(weights, float)
    auc = np.full((len(weights), score.shape[1]), np.nan)
    for c in range(score.shape[1]):
        positive = label == c
        if not positive.any() or positive.all():
            continue
        rest = np.flatnonzero(~positive)
        rest = rest[np.argsort(score[rest, c], kind="stable")]
        below = np.zeros((len(weights), len(rest) + 1))  # weight of the k lowest of the rest
        np.cumsum(weights[:, rest], axis=1, out=below[:, 1:])
        # Between `left` and `right` lie the ties: the mean of both ends counts them half.
        left, right = (
            np.searchsorted(score[rest, c], score[positive, c], side) for side in ("left", "right")
        )
        own = weights[:, positive]
        pairs = np.einsum("bi,bi->b", own, 0.5 * (below[:, left] + below[:, right]))
        with np.errstate(invalid="ignore"):
            auc[:, c] = pairs / (own.sum(1) * below[:, -1])
    return auc


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that have a value: (B, C) -> (B,), NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(values, axis=1)


def balanced_accuracy(label, prediction, weights, n_classes: int) -> np.ndarray:
    """Mean recall of the classes with weight; arguments as `recall`, (B,)."""
    return mean_over_classes(recall(label, prediction, weights, n_classes))


def macro_auc(label, score, weights) -> np.ndarray:
    """Mean one-vs-rest ROC-AUC of the classes with weight; arguments as `class_auc`, (B,)."""
    return mean_over_classes(class_auc(label, score, weights))


def confusion(label: np.ndarray, prediction: np.ndarray, n_classes: int) -> np.ndarray:
    """(C, C) int64, number of sources of class `row` predicted as class `column`."""
    return np.bincount(label * n_classes + prediction, minlength=n_classes**2).reshape(n_classes, n_classes)


class WeightedMedian:
    """Median of values under whole-number weights of the sources they belong to.

    The values are sorted once. Medians of resamples lie close to that of the sample, so that only the
    values in a window about it are summed up one by one, and for those below it their number in each source
    suffices; a row whose median lies outside the window is done over all values. Exact either way.

    Parameters
    ----------
    values : (D,), finite
    source : (D,) int, column of the weights that a value takes
    window : share of the values in the window
    """

    def __init__(self, values: np.ndarray, source: np.ndarray, window: float = 0.1):
        order = np.argsort(values, kind="stable")
        self.values = np.asarray(values, float)[order]
        self.source = np.asarray(source)[order]
        margin = int(0.5 * window * len(order)) + 50
        self.first = max(0, len(order) // 2 - margin)
        self.last = min(len(order), len(order) // 2 + margin)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Medians (B,) for counts (B, N) of integer type; NaN where no value has weight."""
        if not np.issubdtype(counts.dtype, np.integer):
            raise TypeError(f"weights of a median must be whole numbers, got {counts.dtype}")
        n = counts.shape[1]
        # Sums of whole numbers below 2^53 are exact in float64, and float64 has the fast matrix product.
        exact = counts.astype(float)
        total = (exact @ np.bincount(self.source, minlength=n)).astype(np.int64)
        below = (exact @ np.bincount(self.source[: self.first], minlength=n)).astype(np.int64)
        # The two middle ranks of the repeated sample, the same one where the total is odd.
        ranks = np.column_stack([(total - 1) // 2, total // 2])

        median = np.full(len(counts), np.nan)
        within = slice(self.first, self.last)
        cumulative = np.cumsum(counts[:, self.source[within]], axis=1, dtype=np.int64)
        for b in np.flatnonzero(total):
            row, (low, high) = cumulative[b], ranks[b] - below[b]
            if low >= 0 and high < row[-1]:
                found = self.first + np.searchsorted(row, (low, high), side="right")
            else:
                found = np.searchsorted(np.cumsum(counts[b, self.source]), ranks[b], side="right")
            median[b] = self.values[found].mean()
        return median
