"""Strangeness: how odd a source is among those of the training survey that have as many detections.

Notable:
- three questions, each answered by the share of validation sources that are less odd: how badly does the
  decoder explain the light curve (its likelihood), how lonely is the fingerprint (density of a Gaussian
  mixture on the training fingerprints), how undecided are the classes (entropy of the head, if there is one)
- strangeness is the mean of the answers, again as a share of validation sources: 0.99 is stranger than 99 %
- shares are taken at the same number of detections: a source of three is not strange for having three
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import logsumexp

from rtf.files import whole

#: Numbers of detections at which validation sources are looked at, besides all they have.
COUNTS = (3, 5, 10, 20, 50)
_AXES, _PARTS = 8, 4  # of the Gaussian mixture: principal axes it is fitted in, and its members
_MOST = 4000, 2000  # training and validation sources that are looked at
_SHARES = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Strangeness:
    """What makes fingerprints into strangeness."""

    centre: np.ndarray  # (F,) of the fingerprints
    axes: np.ndarray  # (F, A), fingerprints to whitened principal axes
    log_weight: np.ndarray  # (K,) log weights of the mixture, with their normalisation
    mean: np.ndarray  # (K, A)
    precision: np.ndarray  # (K, A, A) roots of the inverse covariances
    counts: np.ndarray  # (S,) ascending numbers of detections
    answers: np.ndarray  # (S, Q, 201) quantiles of validation sources, of each answer
    total: np.ndarray  # (S, 201) and of the mean of the answers

    def __call__(self, found) -> np.ndarray:
        """(N,) float32 strangeness of `Fingerprints`, from 0 to 1."""
        answers = self.raw(found)
        step = np.log(np.maximum(found.n_detections, 1))[:, None] - np.log(self.counts)
        near = np.abs(step).argmin(1)
        result = np.empty(len(near), np.float32)
        for k in np.unique(near):
            own = near == k
            shares = [_share(a, q) for a, q in zip(answers[own].T, self.answers[k])]
            result[own] = _share(np.mean(shares, axis=0), self.total[k])
        return result

    def raw(self, found) -> np.ndarray:
        """(N, Q) surprise of the decoder, -log density of the fingerprint, entropy of the classes."""
        z = (found.latent.astype(float) - self.centre) @ self.axes
        distance = np.einsum("nka,kab->nkb", z[:, None] - self.mean, self.precision)
        density = logsumexp(self.log_weight - 0.5 * (distance**2).sum(-1), axis=1)
        columns = [found.surprise.astype(float), -density]
        if found.probability is not None:
            p = found.probability.astype(float)
            columns.append(-(p * np.log(np.maximum(p, 1e-12))).sum(1))
        return np.column_stack(columns)

    def save(self, path: Path) -> None:
        with whole(path) as temporary:
            save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, temporary)

    @classmethod
    def load(cls, path: Path) -> "Strangeness":
        return cls(**load_file(path))


def _share(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Share of a distribution, given by its quantiles, that lies below values."""
    return np.interp(values, quantiles, _SHARES)


def fit_strangeness(model, train, val, seed: int = 0) -> Strangeness:
    """Fit on training fingerprints, and calibrate on validation sources at several numbers of detections.

    Parameters
    ----------
    model : `Fingerprinter`
    train, val : `Detections` of the splits; at most 4,000 and 2,000 sources are looked at
    """
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(seed)
    train, val = (d.take(np.sort(rng.permutation(len(d))[:most])) for d, most in zip((train, val), _MOST))
    learnt = model.encode(train)
    latent = learnt.latent[learnt.finite].astype(float)
    scale = np.where((std := latent.std(0)) > 0, std, 1.0)
    size = min(_AXES, latent.shape[1], len(latent) - 1)
    pca = PCA(size, whiten=True, random_state=seed).fit((latent - latent.mean(0)) / scale)
    axes = (pca.components_ / np.sqrt(pca.explained_variance_ + 1e-12)[:, None]).T / scale[:, None]
    mixture = GaussianMixture(min(_PARTS, len(latent)), reg_covar=1e-2, random_state=seed)
    mixture.fit((latent - latent.mean(0)) @ axes)
    root = mixture.precisions_cholesky_
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)
    parts = {
        "centre": latent.mean(0), "axes": axes, "mean": mixture.means_, "precision": root,
        "log_weight": np.log(mixture.weights_) + log_det - 0.5 * size * np.log(2 * np.pi),
    }  # fmt: skip
    bare = Strangeness(**parts, counts=np.ones(1), answers=np.zeros((1, 3, 201)), total=np.zeros((1, 201)))
    counts, answers, total = [], [], []
    for first in (*COUNTS, None):
        enough = np.arange(len(val)) if first is None else np.flatnonzero(val.length >= first)
        if not len(enough):
            continue
        found = model.encode(val.take(enough), first=first)
        found = found.take(np.flatnonzero(found.finite))
        raw = bare.raw(found)
        quantiles = np.quantile(raw, _SHARES, axis=0).T
        shares = [_share(a, q) for a, q in zip(raw.T, quantiles)]
        counts.append(first or max(float(np.median(found.n_detections)), COUNTS[-1] + 1.0))
        answers.append(quantiles)
        total.append(np.quantile(np.mean(shares, axis=0), _SHARES))
    found = {"counts": np.array(counts, float), "answers": np.array(answers), "total": np.array(total)}
    return Strangeness(**parts, **found)
