"""A model and a store in memory, for tasks that need only their interfaces."""

from types import SimpleNamespace

import numpy as np

from rtf.alerts.history import concatenate
from rtf.classes import FINE, coarse_label
from rtf.encoding.fingerprinter import Fingerprints, Rebuilt
from rtf.evaluation.run import Inputs
from rtf.features.view import view
from tests.sources import made_up_sources


class FakeModel:
    """Six plain numbers of the light curve as fingerprint; a head that is sure of the label's parity."""

    needs_cutouts, modalities = False, ("photometry",)

    def __init__(self, head: bool = True, temperature: float = 2.0):
        self.head, self.temperature = head, temperature
        self.config = SimpleNamespace(latent_dim=6)
        self.model = SimpleNamespace(decoder=None)
        self.asked = []

    def view(self, detections, first=None):
        return view(detections, 257 if first is None else first)

    def encode(self, histories, first=None, **_):
        detections = concatenate(histories) if isinstance(histories, list) else histories
        self.asked.append(first)
        seen = self.view(detections, first)
        latent = np.empty((len(seen), 6), np.float32)
        for k in range(len(seen)):
            rows = slice(*seen.offset[k : k + 2])
            mag, day = seen.mag[rows], seen.mjd[rows] - seen.mjd[rows][0]
            latent[k] = (mag.mean(), mag.std(), np.ptp(mag), day[-1], len(mag), seen.band[rows].mean())
        probability = None
        if self.head:
            logit = np.random.default_rng(0).normal(size=(6, len(FINE)))
            logit = (latent - latent.mean(0)) / (latent.std(0) + 1e-6) @ logit
            odds = np.exp(logit - logit.max(1, keepdims=True))
            probability = (odds / odds.sum(1, keepdims=True)).astype(np.float32)
        return Fingerprints(latent, probability, latent[:, 1], seen.length, seen.length - 1)

    def reconstruct(self, histories, first=None):
        detections = concatenate(histories) if isinstance(histories, list) else histories
        seen = self.view(detections, first)
        start = np.repeat(seen.mjd[seen.offset[:-1]], seen.length)
        days = seen.mjd - start
        return Rebuilt(seen, days, seen.mag + 0.1, seen.magerr, seen.band.astype(int))


class FakeStore:
    """Sources in memory: made-up ones, of which 60 % are for training, 20 % each for validation and test.

    Parameters
    ----------
    splits : sources by split, in the place of made-up ones
    """

    path, has_cutouts, digest = "fake.zarr", False, "0" * 64

    def __init__(self, n: int = 200, seed: int = 0, splits=None):
        if splits is None:
            made = made_up_sources(n, seed)
            splits = {
                "train": made[: 3 * n // 5],
                "val": made[3 * n // 5 : 4 * n // 5],
                "test": made[4 * n // 5 :],
            }
        self.all, self.cuts = [], {}
        for name, sources in splits.items():
            self.cuts[name] = slice(len(self.all), len(self.all) + len(sources))
            self.all += sources
        self.n = len(self.all)
        self.label = np.array([h.label for h in self.all], np.int8)
        self.coarse = coarse_label(self.label)
        self.object_id = np.array([h.object_id for h in self.all])

    def sources(self, split=None):
        return slice(0, self.n) if split is None else self.cuts[split]

    def detections(self, split=None, **_):
        return concatenate(self.all[self.sources(split)])


def inputs(model=None, store=None, n_bootstrap: int = 40, **settings) -> Inputs:
    """What a task is given: by default a fake model and a fake store."""
    return Inputs(model or FakeModel(), store or FakeStore(), n_bootstrap=n_bootstrap, **settings)
