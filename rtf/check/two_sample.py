"""Can a classifier tell two samples apart, and by what?

Notable:
- every repeat draws as many sources from the larger sample as the smaller one has, and splits them anew
- areas are taken within each held-out fold, then averaged: scores of several classifiers do not compare
- the interval resamples sources of both sides (bootstrap) with the fitted classifiers as they are: it holds
  the scatter of the held-out sources, not that of the training
- importance is the area lost when a column is shuffled among held-out sources (Breiman 2001, Machine Learning
  45, 5). Columns that say the same share theirs, so the area of each column alone is given beside it

Reference: Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, ICLR (arXiv:1610.06545).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

FOLDS = 5  # of each cross-validation, with equal shares of both samples
_SMALL = 200  # samples smaller than this leave too little for the leaves of larger ones


class Feature(NamedTuple):
    """What one column does to tell the samples apart."""

    name: str
    importance: float  # loss of area when it is shuffled, mean over held-out folds
    auc: float  # area of the column alone, at least 0.5; missing values stand where they help
    real: float  # median, NaN where always missing
    simulated: float
    real_missing: float  # share without a value
    simulated_missing: float


class TwoSample(NamedTuple):
    """How well a gradient-boosted classifier tells simulated sources from real ones."""

    auc: float  # mean cross-validated ROC-AUC
    interval: tuple[float, float]  # 95 %, by bootstrap over sources
    n_real: int  # sources of a side
    n_simulated: int
    n_used: int  # sources of either side in one repeat
    features: tuple[Feature, ...]  # most important first


def tell_apart(
    real: np.ndarray,
    simulated: np.ndarray,
    names: Sequence[str],
    seed: int = 0,
    *,
    repeats: int = 3,
    resamples: int = 1000,
    shuffles: int = 2,
    advance=lambda done: None,
) -> TwoSample:
    """Train a classifier on (N, K) and (M, K) numbers, NaN where missing, cross-validated; say how it does.

    `resamples` are those of the bootstrap, `shuffles` those of each column in each held-out fold; `advance`
    is called with 1 after each fold. ValueError for fewer sources on a side than there are folds.
    """
    n = min(len(real), len(simulated))
    if n < FOLDS:
        raise ValueError(f"{len(real)} real and {len(simulated)} simulated sources are too few to compare")
    rng = np.random.default_rng(seed)
    # The bootstrap's weights (resamples, sources); the first row is the sample itself.
    weights = []
    for size in (len(real), len(simulated)):
        counts = rng.multinomial(size, np.full(size, 1 / size), resamples)
        weights.append(np.concatenate([np.ones((1, size)), counts]).astype(np.float32))
    area, importance = [], []
    for _ in range(repeats):
        chosen = [rng.choice(len(side), n, replace=False) for side in (real, simulated)]
        data = np.concatenate([real[chosen[0]], simulated[chosen[1]]])
        label = np.repeat([0, 1], n)
        member = np.concatenate(chosen)
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
        for train, test in splitter.split(data, label):
            known = data[train]
            # The classifier knows NaN, but not a column of nothing else.
            known[:, np.isnan(known).all(0)] = 0.0
            classifier = HistGradientBoostingClassifier(
                learning_rate=0.06, max_iter=150, max_leaf_nodes=15, l2_regularization=1.0,
                min_samples_leaf=20 if n >= _SMALL else 5, early_stopping=False,
                random_state=int(rng.integers(2**31)),
            ).fit(known, label[train])  # fmt: skip
            score = classifier.decision_function(data[test])
            sides = [test[label[test] == side] for side in (0, 1)]
            scores = [score[label[test] == side] for side in (0, 1)]
            area.append(_weighted_area(*scores, *(w[:, member[side]] for w, side in zip(weights, sides))))
            importance.append(_importance(classifier, data[test], label[test], rng, shuffles))
            advance(1)
    area = np.nanmean(area, axis=0)
    low, high = np.nanpercentile(area[1:], [2.5, 97.5])
    features = []
    for name, loss, *sides in zip(names, np.mean(importance, axis=0), real.T, simulated.T, strict=True):
        missing = [float(np.isnan(side).mean()) for side in sides]
        features.append(Feature(name, float(loss), column_area(*sides), *map(_median, sides), *missing))
    features.sort(key=lambda feature: -feature.importance)
    interval = (float(low), float(high))
    return TwoSample(float(area[0]), interval, len(real), len(simulated), n, tuple(features))


def column_area(real: np.ndarray, simulated: np.ndarray) -> float:
    """ROC-AUC of one column alone, at least 0.5; missing values count as one value at the better end."""
    values = np.concatenate([real, simulated]).astype(np.float64)
    label = np.repeat([0, 1], [len(real), len(simulated)])
    areas = [roc_auc_score(label, np.where(np.isnan(values), end, values)) for end in (-1e300, 1e300)]
    return float(max(0.5, *areas, *(1 - area for area in areas)))


def _weighted_area(real_score, simulated_score, real_weight, simulated_weight) -> np.ndarray:
    """(resamples,) share of weighted pairs in which the simulated source has the higher score."""
    higher = simulated_score[None] > real_score[:, None]
    tied = simulated_score[None] == real_score[:, None]
    won = higher.astype(np.float32) + 0.5 * tied
    pairs = real_weight.sum(1) * simulated_weight.sum(1)
    with np.errstate(invalid="ignore"):
        return ((real_weight @ won) * simulated_weight).sum(1) / np.where(pairs > 0, pairs, np.nan)


def _importance(classifier, data, label, rng, shuffles: int) -> np.ndarray:
    """(K,) loss of area on held-out sources when a column is shuffled."""
    n, columns = data.shape
    # One call for all columns: the classifier's overhead is larger than its work.
    pile = np.tile(data, (1 + columns * shuffles, 1, 1))
    for k in range(columns):
        for shuffled in pile[1 + k * shuffles : 1 + (k + 1) * shuffles]:
            shuffled[:, k] = rng.permutation(data[:, k])
    ranks = rankdata(classifier.decision_function(pile.reshape(-1, columns)).reshape(-1, n), axis=1)
    ones = int(label.sum())
    area = (ranks[:, label == 1].sum(1) - ones * (ones + 1) / 2) / (ones * (n - ones))
    return area[0] - area[1:].reshape(columns, shuffles).mean(1)


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")
