"""Feature columns of the chosen modalities, normalised with statistics of the training split alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from rtf.alerts.history import Detections
from rtf.files import whole

#: {modality: {statistic: array}}
Statistics = dict[str, dict[str, np.ndarray]]


def fit_statistics(modalities: Mapping[str, Callable], detections: Detections) -> Statistics:
    """Statistics of every modality over the training split, already cut to the model's view."""
    if not len(detections.mjd):
        raise ValueError("the training split holds no detections: nothing to fit the normalisation on")
    return {name: modality.fit(detections) for name, modality in modalities.items()}


def feature_columns(
    modalities: Mapping[str, Callable], detections: Detections, statistics: Statistics
) -> np.ndarray:
    """(D, W) float32, the modalities side by side.

    Raises
    ------
    ValueError : photometry is not the first modality; its columns are what the decoder rebuilds
    """
    if next(iter(modalities), None) != "photometry":
        raise ValueError(f"modalities are {', '.join(modalities) or 'none'}: photometry must come first")
    edges = np.cumsum([0] + [modality.width for modality in modalities.values()])
    columns = np.empty((len(detections.mjd), edges[-1]), np.float32)
    for (name, modality), start, stop in zip(modalities.items(), edges, edges[1:]):
        modality(detections, statistics[name], out=columns[:, start:stop])
    return columns


def save_statistics(path: Path, statistics: Statistics) -> None:
    flat = {f"{m}.{s}": np.asarray(v) for m, values in statistics.items() for s, v in values.items()}
    with whole(path) as temporary:
        save_file(flat, temporary)


def load_statistics(path: Path) -> Statistics:
    statistics: Statistics = {}
    for key, value in load_file(path).items():
        modality, name = key.split(".")
        statistics.setdefault(modality, {})[name] = value
    return statistics
