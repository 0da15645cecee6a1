"""A linear probe of the classes: five plain arrays, applied with NumPy alone."""

import os
from dataclasses import dataclass, fields

import numpy as np
from safetensors.numpy import load_file, save_file

from rtf.files import whole


@dataclass(frozen=True)
class LinearProbe:
    """softmax(((x - mean) / scale) @ weight.T + bias)."""

    mean: np.ndarray  # (F,) float64, of the training fingerprints
    scale: np.ndarray  # (F,)
    weight: np.ndarray  # (C, F)
    bias: np.ndarray  # (C,)
    classes: np.ndarray  # (C,) int64, class index of each output, ascending

    def probabilities(self, fingerprints: np.ndarray) -> np.ndarray:
        """Class probabilities (N, C) float64 of fingerprints (N, F), columns `classes`."""
        logit = (np.asarray(fingerprints, float) - self.mean) / self.scale @ self.weight.T + self.bias
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def save(self, path: str | os.PathLike) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        with whole(path) as temporary:
            save_file({f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LinearProbe":
        return cls(**load_file(path))
