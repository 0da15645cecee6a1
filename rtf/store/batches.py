"""Batches for training and encoding, cut from arrays that lie whole in memory.

Notable:
- a batch holds sources of like length, so padding is a few per cent of it
- a batch is one gather from the concatenated features: nothing is read, decoded or copied source by source
- truncating a source to its first N detections is a matter of reading fewer rows
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from rtf.alerts.history import Detections


@dataclass
class Batch:
    """B sources padded to the longest of them, L detections.

    Attributes
    ----------
    features : (B, L, W) float32, normalised; 0 at padding
    days : (B, L) float32, days since the first detection
    band : (B, L) int64, index into `rtf.alerts.history.BANDS`
    mask : (B, L) bool, True at detections
    label : (B,) int64, fine class, -1 unknown
    source : (B,) int64, row in the data set
    """

    features: Tensor
    days: Tensor
    band: Tensor
    mask: Tensor
    label: Tensor
    source: Tensor

    def to(self, device, non_blocking: bool = False) -> "Batch":
        moved = (getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self))
        return Batch(*moved)

    def __len__(self) -> int:
        return len(self.source)


class Sources:
    """Sources of one split, ready to be cut into batches.

    Parameters
    ----------
    detections : N sources, already cut to the model's view
    features : (D, W) float32 normalised feature columns
    label : (N,) fine class indices, or None when unknown
    """

    def __init__(self, detections: Detections, features: np.ndarray, label: np.ndarray | None = None):
        empty = np.flatnonzero(detections.length == 0)
        if len(empty):
            raise ValueError(f"{len(empty)} sources have no detection, the first is number {empty[0]}")
        days = detections.mjd - np.repeat(detections.mjd[detections.offset[:-1]], detections.length)
        self.length = detections.length
        self.start = torch.from_numpy(detections.offset[:-1].copy())
        self.features = torch.from_numpy(features)
        self.days = torch.from_numpy(days.astype(np.float32))
        self.band = torch.from_numpy(detections.band.astype(np.int64))
        label = np.full(len(detections), -1) if label is None else label
        self.label = torch.from_numpy(np.asarray(label, np.int64))

    def __len__(self) -> int:
        return len(self.length)

    def batch(self, source: np.ndarray, length: np.ndarray | None = None) -> Batch:
        """The batch of the sources (B,), each with its first `length` (B,) detections (all if None)."""
        length = self.length[source] if length is None else np.minimum(length, self.length[source])
        source, length = torch.from_numpy(np.asarray(source)), torch.from_numpy(np.asarray(length))
        position = torch.arange(int(length.max()))
        mask = position < length[:, None]
        # Padding points at the source's first row, so that every index is valid.
        row = self.start[source][:, None] + torch.where(mask, position, 0)
        # index_select on flat rows is several times faster than advanced indexing.
        features = self.features.index_select(0, row.flatten()).view(*row.shape, -1)
        return Batch(
            features.mul_(mask[..., None]), self.days[row], self.band[row], mask, self.label[source], source
        )


def batches_by_length(
    length: np.ndarray, batch_size: int, rng: np.random.Generator | None = None, jitter: float = 0.1
) -> list[np.ndarray]:
    """Sources grouped so that each batch holds like lengths.

    Parameters
    ----------
    length : (N,) detections of each source
    batch_size : sources in a batch; the last may be smaller
    rng : shuffles ties, neighbours within a relative `jitter` of length, and the order of batches, so that
        batches differ between epochs; None keeps the order by length

    Returns
    -------
    list of (B,) int64 arrays that together hold every source once
    """
    key = np.log(np.maximum(length, 1))
    if rng is not None:
        key = key + rng.uniform(0, jitter, len(length))
    order = np.argsort(key, kind="stable")
    batches = [order[k : k + batch_size] for k in range(0, len(order), batch_size)]
    if rng is not None:
        rng.shuffle(batches)
    return batches
