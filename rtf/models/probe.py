"""A linear probe of the classes: five plain arrays, applied with NumPy alone."""

import os
from dataclasses import dataclass, fields

import numpy as np

from rtf.files import whole


@dataclass(frozen=True)
class LinearProbe:
    """softmax(((x - mean) / scale) @ weight.T + bias).

    Attributes
    ----------
    mean, scale : (F,) float64, of the training fingerprints
    weight, bias : (C, F) and (C,) float64
    classes : (C,) int64, class index of each output, ascending
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    classes: np.ndarray

    def probabilities(self, fingerprints: np.ndarray) -> np.ndarray:
        """Class probabilities (N, C) float64 of fingerprints (N, F), columns `classes`."""
        logit = (np.asarray(fingerprints, float) - self.mean) / self.scale @ self.weight.T + self.bias
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def save(self, path: str | os.PathLike) -> None:
        """Write the arrays as safetensors, whole or not at all."""
        from safetensors.numpy import save_file

        with whole(path) as temporary:
            save_file({f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LinearProbe":
        from safetensors.numpy import load_file

        return cls(**load_file(path))
