"""How strange a source is by its fingerprint, and how pure the strangest sources are.

Notable:
- every score is higher for what is stranger; what is fitted is fitted on training fingerprints alone
- the distance to a neighbour comes twice, as the fingerprints are and standardised: in the first a few wide
  dimensions decide
"""

from collections.abc import Callable, Mapping

import numpy as np

from rtf.encoding.fingerprinter import Fingerprints

#: Scores that need no model, one the negative of the other.
TRIVIAL = ("few detections", "many detections")


def fit_scorers(train: np.ndarray, *, neighbours: int, trees: int, seed: int) -> dict[str, Callable]:
    """What scores fingerprints (N, F) as (N,), higher is stranger, fitted on training fingerprints (M, F).

    Raises
    ------
    ValueError : fewer training fingerprints than neighbours
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors

    if not 0 < neighbours <= len(train):
        raise ValueError(f"neighbours={neighbours} of {len(train)} training fingerprints")
    std = train.astype(float).std(0)
    scale = {"raw": 1.0, "standardised": np.where(std > 0, std, 1.0)}
    forest = IsolationForest(n_estimators=trees, random_state=seed).fit(train)

    def distance(how):
        near = NearestNeighbors(n_neighbors=neighbours).fit(train / scale[how])
        return lambda latent: near.kneighbors(latent / scale[how])[0][:, -1]

    return {
        "isolation forest": lambda latent: -forest.score_samples(latent),
        "neighbour distance": distance("raw"),
        "neighbour distance, standardised": distance("standardised"),
    }


def anomaly_scores(found: Fingerprints, scorers: Mapping) -> dict[str, np.ndarray]:
    """Every score of N sources, (N,) each, by name; those without a model last."""
    n_detections = found.n_detections.astype(float)
    return {
        "reconstruction error": found.error.astype(float),
        **{name: np.asarray(score(found.latent), float) for name, score in scorers.items()},
        **dict(zip(TRIVIAL, (-n_detections, n_detections), strict=True)),
    }


def purity(score: np.ndarray, outlier: np.ndarray, counts: np.ndarray, top: int) -> np.ndarray:
    """Share of outliers among the `top` highest scores of each resample; ties for the last places share them.

    Parameters
    ----------
    score : (N,)
    outlier : (N,) bool
    counts : (B, N), how often each source was drawn
    """
    order = np.argsort(-score, kind="stable")
    start = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    drawn = np.add.reduceat(counts[:, order], start, axis=1).astype(float)
    strange = np.add.reduceat(counts[:, order] * outlier[order], start, axis=1)
    before = np.cumsum(drawn, axis=1) - drawn
    taken = np.clip(top - before, 0, drawn)
    share = np.divide(strange, drawn, out=np.zeros_like(drawn), where=drawn > 0)
    return (taken * share).sum(1) / taken.sum(1)
