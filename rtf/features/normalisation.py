"""Feature columns of the chosen modalities, normalised with statistics of the training split alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from rtf.alerts.history import Detections
from rtf.features.snapshots import per_detection
from rtf.files import whole

#: {modality: {statistic: array}}
Statistics = dict[str, dict[str, np.ndarray]]


def fit_statistics(modalities: Mapping[str, Callable], detections: Detections) -> Statistics:
    """Statistics of the per-detection modalities over the training split, cut to the model's view."""
    if not len(detections.mjd):
        raise ValueError("the training split holds no detections: nothing to fit the normalisation on")
    return {name: modality.fit(detections) for name, modality in per_detection(modalities).items()}


def feature_columns(
    modalities: Mapping[str, Callable], detections: Detections, statistics: Statistics
) -> np.ndarray:
    """(D, W) float32, the per-detection modalities side by side.

    Raises
    ------
    ValueError : photometry is not the first modality; its columns are what the decoder rebuilds
    """
    if next(iter(modalities), None) != "photometry":
        raise ValueError(f"modalities are {', '.join(modalities) or 'none'}: photometry must come first")
    where = column_slices(modalities)
    columns = np.empty((len(detections.mjd), width(modalities)), np.float32)
    for name, modality in per_detection(modalities).items():
        modality(detections, statistics[name], out=columns[:, where[name]])
    return columns


def column_slices(modalities: Mapping[str, Callable]) -> dict[str, slice]:
    """Which columns belong to each per-detection modality."""
    chosen = per_detection(modalities)
    edges = np.cumsum([0] + [modality.width for modality in chosen.values()]).tolist()
    return {name: slice(a, b) for name, a, b in zip(chosen, edges, edges[1:])}


def masked_columns(modalities: Mapping[str, Callable]) -> dict[str, slice]:
    """Columns of the per-detection modalities that may be missing: values, then as many masks."""
    return {n: s for n, s in column_slices(modalities).items() if getattr(modalities[n], "masked", False)}


def width(modalities: Mapping[str, Callable]) -> int:
    """W, columns of all per-detection modalities together."""
    return sum(modality.width for modality in per_detection(modalities).values())


def save_statistics(path: Path, statistics: Statistics) -> None:
    named = [(f"{m}.{s}", value) for m, values in statistics.items() for s, value in values.items()]
    with whole(path) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in named}, temporary)


def load_statistics(path: Path) -> Statistics:
    statistics: Statistics = {}
    for key, value in load_file(path).items():
        modality, name = key.split(".")
        statistics.setdefault(modality, {})[name] = value
    return statistics
