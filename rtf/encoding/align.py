"""A linear map from one space of fingerprints to another: an archive outlives the model that filled it."""

import os
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rtf.encoding.fingerprinter import RunError
from rtf.encoding.space import OtherSpace
from rtf.files import whole

#: Strengths of the ridge that are tried, in units of the new fingerprints' mean variance.
STRENGTHS = tuple(float(x) for x in np.logspace(-8, 2, 21))


@dataclass(frozen=True)
class SpaceMap:
    """old = (new - centre) @ weight + bias."""

    centre: np.ndarray  # (G,) float64
    weight: np.ndarray  # (G, F)
    bias: np.ndarray  # (F,)
    new: str  # the space mapped from
    old: str  # the space mapped to

    def __call__(self, fingerprints: np.ndarray) -> np.ndarray:
        """Fingerprints (N, F) float32 in the old space, of those (N, G) of the new one."""
        return ((np.asarray(fingerprints, float) - self.centre) @ self.weight + self.bias).astype(np.float32)

    def save(self, path: str | os.PathLike) -> None:
        arrays = {k: np.ascontiguousarray(getattr(self, k)) for k in ("centre", "weight", "bias")}
        with whole(path) as temporary:
            save_file(arrays, temporary, metadata={"new": self.new, "old": self.old})


def load_map(path: str | os.PathLike, *, new: str, old: str) -> SpaceMap:
    """The map at `path` from the space `new` to the space `old`.

    Raises
    ------
    OtherSpace : it maps between other spaces
    RunError : the file is no such map
    """
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            found = SpaceMap(
                *(file.get_tensor(name) for name in ("centre", "weight", "bias")), about["new"], about["old"]
            )
    except (SafetensorError, KeyError) as error:
        raise RunError(f"{path} is no map between spaces: {error}") from error
    if (found.new, found.old) != (new, old):
        raise OtherSpace(f"{path} maps {found.new} to {found.old}, not {new} to {old}")
    return found


def fit_map(
    new: tuple[np.ndarray, np.ndarray], old: tuple[np.ndarray, np.ndarray], spaces: tuple[str, str]
) -> tuple[SpaceMap, float, float]:
    """Fit by ridge regression, of the strength with the smallest squared error on the validation sources.

    Parameters
    ----------
    new, old : fingerprints (N, G) and (N, F) of the same training sources, and of the same validation sources
    spaces : new and old

    Returns
    -------
    the map, its strength, and the share of the old fingerprints' variance that it explains on validation
    """
    (x, x_val), (y, y_val) = ([np.asarray(part, float) for part in parts] for parts in (new, old))
    centre, bias = x.mean(0), y.mean(0)
    x, x_val = x - centre, x_val - centre
    value, axes = np.linalg.eigh(x.T @ x / len(x))
    turned = axes.T @ (x.T @ (y - bias)) / len(x)
    total = ((y_val - bias) ** 2).sum()
    best = None
    for strength in STRENGTHS:
        weight = axes @ (turned / (np.maximum(value, 0) + strength * value.mean() + 1e-300)[:, None])
        error = ((x_val @ weight + bias - y_val) ** 2).sum()
        if best is None or error < best[0]:
            best = error, weight, strength
    error, weight, strength = best
    return SpaceMap(centre, weight, bias, *spaces), strength, float(1 - error / total)
