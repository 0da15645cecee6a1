"""Search among fingerprints by cosine: who is near whom, and how good that is.

Notable:
- ties score their expectation over random order: equal fingerprints gain nothing from the sorting
- queries go in blocks, so that the cosines of a large split never stand in memory at once
"""

from collections.abc import Callable

import numpy as np

#: Cosines closer than this are equal: sums over the dimensions are rounded at about 1e-7 in float32.
_TIE = 1e-6
_BLOCK = 512


def scaler(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The map from fingerprints (N, F) to unit vectors (N, F), standardised by the training ones (M, F)."""
    if not len(train):
        raise ValueError("scaling needs training fingerprints, and the train split is empty")
    train = np.asarray(train, float)
    mean, std = train.mean(0), np.where(train.std(0) > 0, train.std(0), 1.0)

    def apply(fingerprints: np.ndarray) -> np.ndarray:
        x = (np.asarray(fingerprints, float) - mean) / std
        length = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(length > 0, length, 1.0)

    return apply


def neighbours(query: np.ndarray, index: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) the rows of the index (M, F) most similar to each query, by cosine, the nearest first.

    Query number q (Q <= M) does not count row q, its own source. Ties go to the lower row.
    """
    if not 0 < k < len(index):
        raise ValueError(f"{k} neighbours of each of {len(index)} sources")
    query, index = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (query, index))
    found = np.empty((len(query), k), np.int64)
    for start in range(0, len(query), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(query)))
        cosine = query[rows] @ index.T
        cosine[np.arange(len(rows)), rows] = -np.inf
        found[rows] = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return found


def precision_at(index: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
    """Share (N,) of the k most similar others that are of the same class, for unit vectors (N, F)."""
    n = len(index)
    if not 0 < k < n:
        raise ValueError(f"{k} neighbours of each of {n} sources")
    precision = np.empty(n)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        cosine = index[rows] @ index.T
        cosine[np.arange(len(rows)), rows] = -np.inf
        last = -np.partition(-cosine, k - 1, axis=1)[:, k - 1 : k]
        within = cosine > last + _TIE
        tied = (cosine >= last - _TIE) & ~within
        same = label[rows][:, None] == label
        left = k - within.sum(1)
        precision[rows] = ((within & same).sum(1) + left * (tied & same).sum(1) / tied.sum(1)) / k
    return precision


def self_ranks(query: np.ndarray, own: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many are more similar to each query than its own source, and how many as similar, itself included.

    Queries (Q, F) and index (M, F) are unit vectors; `own` (Q,) is the row of the index of the same source.
    """
    above, equal = np.empty(len(query), np.int64), np.empty(len(query), np.int64)
    for start in range(0, len(query), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosine = query[rows] @ index.T
        goal = cosine[np.arange(len(cosine)), own[rows]][:, None]
        above[rows] = (cosine > goal + _TIE).sum(1)
        equal[rows] = (cosine >= goal - _TIE).sum(1) - above[rows]
    return above, equal


def recall_at(above: np.ndarray, equal: np.ndarray, k: int) -> np.ndarray:
    """Chance that a source is among the k first, ties in random order; arguments as `self_ranks` returns."""
    return np.clip((k - above) / equal, 0.0, 1.0)
