"""Conformal sets: classes that hold the right one with a chosen chance, whatever the probabilities are worth.

A class is in a source's set where its probability is above a threshold from the validation split: of all its
sources (coverage holds on average), or of those of the class (it holds for each class, with larger sets).
Reference: Sadinle, Lei & Wasserman (2019), JASA 114, 223, arXiv:1609.00451.
"""

import numpy as np

from rtf.classes import UNKNOWN

#: Fewest validation sources of a class for a threshold of its own; the others take that of all.
FEWEST = 10


def thresholds(probability: np.ndarray, label: np.ndarray, coverage: float, by_class: bool) -> np.ndarray:
    """(C,) smallest probability with which each class is in a set.

    Parameters
    ----------
    probability, label : (N, C) and (N,) of the validation split, -1 unknown: left out
    coverage : chance with which the right class is to be in the set
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage is a chance between 0 and 1, not {coverage}")
    known = label != UNKNOWN
    right = probability[np.flatnonzero(known), label[known]]
    found = np.full(probability.shape[1], _threshold(right, coverage))
    if by_class:
        for c, n in enumerate(np.bincount(label[known], minlength=len(found))):
            if n >= FEWEST:
                found[c] = _threshold(right[label[known] == c], coverage)
    return found


def _threshold(right: np.ndarray, coverage: float) -> float:
    """The probability that a share `coverage` of `right` (N,) reaches; 0 where they are too few to say."""
    k = int(np.floor((len(right) + 1) * (1 - coverage)))
    return float(np.sort(right)[k - 1]) if k else 0.0


def sets(probability: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """(N, C) bool: the classes in each source's set; the likeliest always."""
    return (probability >= threshold) | (probability == probability.max(1, keepdims=True))
