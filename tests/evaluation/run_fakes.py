"""A model and a store in memory, for tasks that need only their interfaces."""

from types import SimpleNamespace

import numpy as np

from rtf.alerts.history import concatenate
from rtf.classes import FINE, coarse_label
from rtf.features.view import view
from tests.sources import made_up_sources


class FakeModel:
    """Six plain numbers of the light curve as fingerprint; a head that is sure of the label's parity."""

    needs_cutouts, modalities = False, ("photometry",)

    def __init__(self, head: bool = True, temperature: float = 2.0):
        self.head, self.temperature = head, temperature
        self.config = SimpleNamespace(latent_dim=6)
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
        return SimpleNamespace(
            latent=latent, probability=probability, error=latent[:, 1], n_detections=seen.length,
            last=seen.length - 1,
        )  # fmt: skip

    def reconstruct(self, histories, first=None):
        detections = concatenate(histories) if isinstance(histories, list) else histories
        seen = self.view(detections, first)
        start = np.repeat(seen.mjd[seen.offset[:-1]], seen.length)
        return SimpleNamespace(
            seen=seen, dt=seen.mjd - start, mag=seen.mag + 0.1, magerr=seen.magerr, band=seen.band.astype(int)
        )


class FakeStore:
    """Made-up sources: the first 60 % training, then 20 % validation, 20 % test."""

    path, has_cutouts = "fake.zarr", False

    def __init__(self, n: int = 200, seed: int = 0, sources=None):
        self.all = made_up_sources(n, seed) if sources is None else sources
        n = len(self.all)
        self.cuts = {"train": (0, 3 * n // 5), "val": (3 * n // 5, 4 * n // 5), "test": (4 * n // 5, n)}
        self.label = np.array([h.label for h in self.all], np.int8)
        self.coarse = coarse_label(self.label)
        self.object_id = np.array([h.object_id for h in self.all])
        self.n = n

    def sources(self, split=None):
        return slice(0, self.n) if split is None else slice(*self.cuts[split])

    def detections(self, split=None, **_):
        return concatenate(self.all[self.sources(split)])
