"""Where fingerprints lie on the map: UMAP of a sample, and all others by their neighbours in it.

Notable:
- a fingerprint's place follows from the sample and itself: rows that are added later move nothing
- what is near is what a search calls near: cosine distance, on fingerprints as they are
- `umap.transform` would take hours for a million; a weighted mean of neighbours' places takes a minute

Reference: McInnes, Healy & Melville (2018), UMAP, arXiv:1802.03426.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.files import whole

#: Raise it when the same fingerprints get other places.
VERSION = 1
#: Neighbours of UMAP, and those that place a fingerprint.
_NEIGHBOURS, _ANCHORS = 15, 5
#: Neighbours on the map farther than this share of its width from the nearest one are left out: the mean of
#: two islands is open water.
_REACH = 0.03
#: Similarities computed at once.
_LOT = 1 << 24


@dataclass
class Places:
    """A sample with its places, and the places of all rows that were placed by it."""

    anchors: np.ndarray  # (S, F) float32 fingerprints of unit length
    anchor_places: np.ndarray  # (S, 2) float32, the map's longer side from -1 to 1
    keys: np.ndarray  # (N,) uint64 ascending, `Points.keys`
    places: np.ndarray  # (N, 2) float32

    def known(self, keys: np.ndarray) -> np.ndarray:
        """(M, 2) places of rows, NaN where they were not placed yet."""
        found = np.full((len(keys), 2), np.nan, np.float32)
        if len(self.keys):
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            same = self.keys[at] == keys
            found[same] = self.places[at[same]]
        return found

    def keep(self, keys: np.ndarray, places: np.ndarray) -> None:
        """Remember the places of rows; of a row that is there already the former stays."""
        keys, first = np.unique(np.concatenate([self.keys, keys]), return_index=True)
        self.keys, self.places = keys, np.concatenate([self.places, places])[first]


def unit(latent: np.ndarray) -> np.ndarray:
    """Fingerprints (N, F) float32 of unit length; zeros stay."""
    latent = np.asarray(latent, np.float32)
    return latent / np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), 1e-30)


def fit(latent: np.ndarray, seed: int = 0) -> Places:
    """Map a sample of fingerprints (S, F) by UMAP; a few are laid out by their principal components."""
    anchors = unit(latent)
    if len(anchors) > 4 * _NEIGHBOURS and np.ptp(anchors, 0).max() > 1e-6:
        from umap import UMAP

        places = UMAP(
            n_neighbors=_NEIGHBOURS, min_dist=0.15, metric="euclidean", random_state=seed, n_jobs=1
        ).fit_transform(anchors)
    else:
        centred = anchors - anchors.mean(0)
        places = np.zeros((len(anchors), 2))
        if len(anchors) > 1:
            axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
            places[:, : len(axes)] = centred @ axes.T
    middle = (places.max(0) + places.min(0)) / 2
    scale = max(float(np.ptp(places, 0).max()) / 2, 1e-9)
    places = np.float32((places - middle) / scale)
    return Places(anchors, places, np.empty(0, np.uint64), np.empty((0, 2), np.float32))


def place(own: Places, latent: np.ndarray, progress: Callable[[int], None] | None = None) -> np.ndarray:
    """(N, 2) float32 places of fingerprints (N, F): the mean of their neighbours' in the sample.

    A fingerprint of the sample keeps its place. `progress` is called with the number of rows done.
    """
    import torch

    anchors, spots = torch.from_numpy(own.anchors), torch.from_numpy(own.anchor_places)
    found = np.empty((len(latent), 2), np.float32)
    size, k = max(1, _LOT // len(anchors)), min(_ANCHORS, len(anchors))
    for start in range(0, len(latent), size):
        lot = torch.from_numpy(unit(latent[start : start + size]))
        similar, near = (lot @ anchors.T).topk(k, dim=1)
        distance = (1 - similar).clamp_min(0)
        spot = spots[near]
        close = (spot - spot[:, :1]).norm(dim=2) <= 2 * _REACH
        weight = close / (distance + 1e-6) ** 1.5
        mean = (weight[..., None] * spot).sum(1) / weight.sum(1, keepdim=True)
        mean = torch.where(distance[:, :1] < 1e-6, spot[:, 0], mean)
        found[start : start + len(lot)] = mean.numpy()
        if progress is not None:
            progress(len(lot))
    return found


def file_of(archive: str | os.PathLike, space: str) -> Path:
    """Where the map of a space is kept: beside the archive."""
    archive = Path(archive)
    return archive.with_name(archive.name + ".map") / f"{space}.safetensors"


def load(path: Path, space: str) -> Places | None:
    """The map that is kept in a file; None where there is none of this version and space."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            if file.metadata() != {"version": str(VERSION), "space": space}:
                return None
            return Places(**{name: file.get_tensor(name) for name in Places.__dataclass_fields__})
    except (OSError, SafetensorError):
        return None


def save(own: Places, path: Path, space: str) -> None:
    """Keep a map, whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(value) for name, value in vars(own).items()}
    with whole(path) as temporary:
        save_file(arrays, temporary, metadata={"version": str(VERSION), "space": space})
