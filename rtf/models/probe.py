"""A linear probe of the classes: five plain arrays, applied with NumPy alone."""

import os
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from rtf.files import whole


@dataclass(frozen=True)
class LinearProbe:
    """softmax(((x - mean) / scale) @ weight.T + bias)."""

    mean: np.ndarray  # (F,) float64, of the training fingerprints
    scale: np.ndarray  # (F,)
    weight: np.ndarray  # (C, F)
    bias: np.ndarray  # (C,)
    classes: np.ndarray  # (C,) int64, class index of each output, ascending
    space: str = ""  # of the fingerprints it was fitted on (`rtf/encoding/space.py`); "": not recorded

    def probabilities(self, fingerprints: np.ndarray) -> np.ndarray:
        """Class probabilities (N, C) float64 of fingerprints (N, F), columns `classes`."""
        logit = (np.asarray(fingerprints, float) - self.mean) / self.scale @ self.weight.T + self.bias
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def save(self, path: str | os.PathLike) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        arrays = {k: np.ascontiguousarray(v) for k, v in vars(self).items() if k != "space"}
        with whole(path) as temporary:
            save_file(arrays, temporary, metadata={"space": self.space})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LinearProbe":
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(**arrays, space=(file.metadata() or {}).get("space", ""))
