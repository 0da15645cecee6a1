"""Batches for training and encoding, cut from arrays that lie whole in memory.

Notable:
- a batch holds sources of like length, so padding is a few per cent of it
- a batch is one gather from the concatenated features: nothing is read, decoded or copied source by source
- truncating a source to its first N detections is a matter of reading fewer rows, and of the snapshot of
  its GP features and stamps that stood at N
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
import torch
from torch import Tensor

from rtf.alerts.history import Detections
from rtf.features.photometry import CHANNELS
from rtf.features.snapshots import Snapshots


@dataclass
class Target:
    """All Q detections of each source in the model's view, also those the encoder is not shown.

    Attributes
    ----------
    days : (B, Q) float32, days since the first detection
    band : (B, Q) int64
    values : (B, Q, 4) float32, normalised continuous channels
    mask : (B, Q) bool, True at detections
    shown : (B, Q) bool, True at those that the encoder sees
    """

    days: Tensor
    band: Tensor
    values: Tensor
    mask: Tensor
    shown: Tensor


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
    side : {modality: (B, ...) float32}, features of whole sources: GP features, stamps
    present : {modality: (B,) bool}, False where a source lacks it
    target : what a decoder may be asked for beyond what the encoder is shown, or None
    """

    features: Tensor
    days: Tensor
    band: Tensor
    mask: Tensor
    label: Tensor
    source: Tensor
    side: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, Tensor] = field(default_factory=dict)
    target: Target | None = None

    def to(self, device, non_blocking: bool = False) -> "Batch":
        return _moved(self, device, non_blocking)

    def __len__(self) -> int:
        return len(self.source)


def _moved(value, device, non_blocking: bool):
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, dict):
        return {k: _moved(v, device, non_blocking) for k, v in value.items()}
    if is_dataclass(value):
        return type(value)(*(_moved(getattr(value, f.name), device, non_blocking) for f in fields(value)))
    return value


class Sources:
    """Sources of one split, ready to be cut into batches.

    Parameters
    ----------
    detections : N sources, already cut to the model's view
    features : (D, W) float32 normalised feature columns
    label : (N,) fine class indices, or None when unknown
    snapshots : features of whole sources by modality, normalised
    """

    def __init__(
        self,
        detections: Detections,
        features: np.ndarray,
        label: np.ndarray | None = None,
        snapshots: Mapping[str, Snapshots] | None = None,
    ):
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
        self.snapshots = snapshots or {}

    def __len__(self) -> int:
        return len(self.length)

    def batch(self, source: np.ndarray, length: np.ndarray | None = None, targets: bool = False) -> Batch:
        """The batch of the sources (B,), each with its first `length` (B,) detections (all if None).

        With `targets` it also carries the detections that are held back.
        """
        source = np.asarray(source)
        length = self.length[source] if length is None else np.minimum(length, self.length[source])
        row, mask = self._rows(source, length)
        # index_select on flat rows is several times faster than advanced indexing.
        features = self.features.index_select(0, row.flatten()).view(*row.shape, -1)
        index = torch.from_numpy(source)
        batch = Batch(
            features.mul_(mask[..., None]), self.days[row], self.band[row], mask, self.label[index], index
        )
        for name, snapshots in self.snapshots.items():
            at = snapshots.rows(source, length)
            batch.side[name] = torch.from_numpy(snapshots.values[at]).float()
            batch.present[name] = torch.from_numpy((at >= 0) & snapshots.present[at])
        if targets:
            row, mask = self._rows(source, self.length[source])
            shown = torch.arange(row.shape[1]) < torch.from_numpy(length)[:, None]
            values = self.features[:, : len(CHANNELS)][row] * mask[..., None]
            batch.target = Target(self.days[row], self.band[row], values, mask, shown)
        return batch

    def _rows(self, source: np.ndarray, length: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) row of each position, and which positions hold a detection."""
        position = torch.arange(int(length.max()))
        mask = position < torch.from_numpy(length)[:, None]
        # Padding points at the source's first row, so that every index is valid.
        return self.start[torch.from_numpy(source)][:, None] + torch.where(mask, position, 0), mask


def batches_by_length(
    length: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None = None,
    jitter: float = 0.1,
    at_least: int = 1,
) -> list[np.ndarray]:
    """Sources grouped so that each batch holds like lengths.

    Parameters
    ----------
    length : (N,) detections of each source
    batch_size : sources in a batch; the last may be smaller
    rng : shuffles ties, neighbours within a relative `jitter` of length, and the order of batches, so that
        batches differ between epochs; None keeps the order by length
    at_least : a last batch of fewer sources joins the one before

    Returns
    -------
    list of (B,) int64 arrays that together hold every source once
    """
    key = np.log(np.maximum(length, 1))
    if rng is not None:
        key = key + rng.uniform(0, jitter, len(length))
    order = np.argsort(key, kind="stable")
    n = n_batches(len(order), batch_size, at_least)
    batches = [order[k * batch_size : (k + 1) * batch_size if k < n - 1 else None] for k in range(n)]
    if rng is not None:
        rng.shuffle(batches)
    return batches


def n_batches(n_sources: int, batch_size: int, at_least: int = 1) -> int:
    """How many batches `batches_by_length` makes of so many sources."""
    whole, rest = divmod(n_sources, batch_size)
    return whole + (rest >= at_least) if whole else min(rest, 1)
