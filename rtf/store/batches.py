"""Batches for training and encoding, cut from arrays that lie whole in memory.

Notable:
- a batch holds sources of like length, so padding is a few per cent of it, and is one gather of features
- a source at its first N detections is a choice of rows, and of the snapshot of GP features and stamps at N
- where a view begins later than its source, or detections are left out, days and time columns count anew
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
import torch
from torch import Tensor

from rtf.alerts.history import Detections
from rtf.features.photometry import CHANNELS, time_columns
from rtf.features.snapshots import Snapshots


@dataclass
class Target:
    """Q detections of each of B sources that a decoder is asked for, shown to the encoder or not."""

    days: Tensor  # (B, Q) float32, days since the first detection that the encoder sees
    band: Tensor  # (B, Q) int64
    values: Tensor  # (B, Q, 4) float32, normalised continuous channels
    mask: Tensor  # (B, Q) bool, True at detections
    shown: Tensor  # (B, Q) bool, True at those that the encoder sees


@dataclass
class Batch:
    """B sources padded to the longest of them, L detections."""

    features: Tensor  # (B, L, W) float32, normalised; 0 at padding
    days: Tensor  # (B, L) float32, days since the first detection in view
    band: Tensor  # (B, L) int64, index into `rtf.alerts.surveys.BANDS`
    mask: Tensor  # (B, L) bool, True at detections
    label: Tensor  # (B,) int64, fine class, -1 unknown
    source: Tensor  # (B,) int64, row in the data set
    side: dict[str, Tensor] = field(default_factory=dict)  # (B, ...) float32, of whole sources
    present: dict[str, Tensor] = field(default_factory=dict)  # (B,) bool, False where a source lacks it
    target: Target | None = None  # what a decoder may be asked for beyond what the encoder is shown

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
    detections : N sources; all that may ever be shown or asked for
    features : (D, W) float32 normalised feature columns
    label : (N,) fine class indices, or None when unknown
    snapshots : features of whole sources by modality, normalised
    window : (D,) first row in view and (D,) end row asked for when row 0, 1, ..., D - 1 is the newest shown
        (`rtf/features/view.py`); None: all of each source
    times : mean and deviation (2,) each that normalise the time columns; for windows and for `keep` of
        `batch`
    """

    def __init__(
        self,
        detections: Detections,
        features: np.ndarray,
        label: np.ndarray | None = None,
        snapshots: Mapping[str, Snapshots] | None = None,
        window: tuple[np.ndarray, np.ndarray] | None = None,
        times: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        empty = np.flatnonzero(detections.length == 0)
        if len(empty):
            raise ValueError(f"{len(empty)} sources have no detection, the first is number {empty[0]}")
        self.length, self.offset, self.mjd = detections.length, detections.offset, detections.mjd
        whole = (np.repeat(self.offset[:-1], self.length), np.repeat(self.offset[1:], self.length))
        self.begin, self.end = whole if window is None else window
        self.slides = bool((self.begin != whole[0]).any())
        self.times = times
        self.features = torch.from_numpy(features)
        self.band = torch.from_numpy(detections.band.astype(np.int64))
        label = np.full(len(detections), -1) if label is None else label
        self.label = torch.from_numpy(np.asarray(label, np.int64))
        self.snapshots = snapshots or {}

    def __len__(self) -> int:
        return len(self.length)

    def in_view(self, source: np.ndarray, length: np.ndarray) -> np.ndarray:
        """(B,) how many detections are in view of sources (B,) at their first `length` (B,)."""
        last = self.offset[source] + length - 1
        return last + 1 - self.begin[last]

    def batch(
        self,
        source: np.ndarray,
        length: np.ndarray | None = None,
        targets: bool = False,
        keep: np.ndarray | None = None,
    ) -> Batch:
        """The batch of the sources (B,) at their first `length` (B,) detections (all if None).

        Parameters
        ----------
        targets : carry also what the decoder is asked for
        keep : (B, L or more) bool, which of the detections in view are shown, the first always; None: all
        """
        source = np.asarray(source)
        length = self.length[source] if length is None else np.minimum(length, self.length[source])
        last = self.offset[source] + length - 1
        row, mask = _rows(self.begin[last], last + 1)
        if keep is not None:
            shown = mask & keep[:, : mask.shape[1]]
            order = np.argsort(~shown, axis=1, kind="stable")[:, : int(shown.sum(1).max())]
            row, mask = np.take_along_axis(row, order, 1), np.take_along_axis(shown, order, 1)
        days = np.where(mask, self.mjd[row] - self.mjd[row[:, :1]], 0.0)
        index = torch.from_numpy(row)
        # index_select on flat rows is several times faster than advanced indexing.
        features = self.features.index_select(0, index.flatten()).view(*row.shape, -1)
        if self.slides or keep is not None:
            previous = np.diff(days, axis=1, prepend=days[:, :1])
            mean, std = self.times
            columns = time_columns(days, np.maximum(previous, 0.0)) - np.float32(mean)
            features[..., :2] = torch.from_numpy(columns / np.float32(std))
        there = torch.from_numpy(mask)
        batch = Batch(
            features.mul_(there[..., None]),
            torch.from_numpy(days.astype(np.float32)),
            self.band[index],
            there,
            self.label[torch.from_numpy(source)],
            torch.from_numpy(source),
        )
        for name, snapshots in self.snapshots.items():
            at = snapshots.rows(source, length)
            batch.side[name] = torch.from_numpy(snapshots.values[at]).float()
            batch.present[name] = torch.from_numpy((at >= 0) & snapshots.present[at])
        if targets:
            asked, valid = _rows(self.begin[last], self.end[last])
            visible = asked <= last[:, None]
            if keep is not None:
                visible = np.zeros_like(valid)
                number, place = np.nonzero(mask)
                visible[number, row[number, place] - asked[number, 0]] = True
            batch.target = self._target(asked, valid, visible & valid, self.mjd[row[:, :1]])
        return batch

    def _target(self, row: np.ndarray, mask: np.ndarray, shown: np.ndarray, zero: np.ndarray) -> Target:
        index, there = torch.from_numpy(row), torch.from_numpy(mask)
        values = self.features[:, : len(CHANNELS)][index] * there[..., None]
        days = np.where(mask, self.mjd[row] - zero, 0.0).astype(np.float32)
        return Target(torch.from_numpy(days), self.band[index], values, there, torch.from_numpy(shown))


def _rows(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, L) rows `start` to `stop` (B,) of each source, and which of them there are (B, L) bool."""
    position = np.arange(int((stop - start).max()))
    mask = position < (stop - start)[:, None]
    # Padding points at the first row, so that every index is valid.
    return start[:, None] + np.where(mask, position, 0), mask


def batches_by_length(
    length: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None = None,
    jitter: float = 0.1,
    at_least: int = 1,
) -> list[np.ndarray]:
    """Sources grouped into batches of like lengths.

    Parameters
    ----------
    length : (N,) detections of each source
    batch_size : sources in a batch; the last may be smaller
    rng : shuffles ties, neighbours within a relative `jitter` of length, and the batches; None keeps the
        order by length
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
