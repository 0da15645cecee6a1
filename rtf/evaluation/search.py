"""Search among fingerprints by cosine: who is near whom, and how good that is.

Notable:
- ties score their expectation over random order: collapsed fingerprints, or equal ones of a codebook, gain
  nothing from the sorting
- queries go in blocks, so that the cosines of a large split never stand in memory at once
"""

from collections.abc import Callable

import numpy as np

SCALINGS = ("standardise", "centre", "none")

#: Cosines closer than this are equal: sums over the dimensions are rounded at about 1e-7 in float32.
_TIE = 1e-6
_BLOCK = 512


def scaler(train: np.ndarray, scaling: str) -> Callable[[np.ndarray], np.ndarray]:
    """The map from fingerprints to unit vectors whose product is the similarity.

    Parameters
    ----------
    train : (M, F) training fingerprints, for the statistics
    scaling : "standardise", "centre" or "none"

    Returns
    -------
    (N, F) fingerprints to (N, F) of length 1, or 0 where a fingerprint is the training mean itself

    Raises
    ------
    ValueError : another scaling, or no training source to take statistics from
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}")
    if scaling != "none" and not len(train):
        raise ValueError(f"scaling={scaling} needs training fingerprints, and the train split is empty")
    train = np.asarray(train, float)
    mean = 0.0 if scaling == "none" else train.mean(0)
    std = train.std(0) if scaling == "standardise" else 1.0
    std = np.where(std > 0, std, 1.0)

    def apply(fingerprints: np.ndarray) -> np.ndarray:
        x = (np.asarray(fingerprints, float) - mean) / std
        length = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(length > 0, length, 1.0)

    return apply


def precision_at(index: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
    """Share of the k most similar others that are of the same class, for each of N sources.

    Where several tie for the last places, each has the same chance of them.

    Parameters
    ----------
    index : (N, F) unit vectors
    label : (N,) classes, all known
    k : neighbours, fewer than N
    """
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

    Parameters
    ----------
    query : (Q, F) unit vectors
    own : (Q,) row of `index` that is the same source
    index : (M, F) unit vectors
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
