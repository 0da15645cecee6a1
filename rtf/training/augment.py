"""Training sources, changed as other cadences, distances and depths would have: new in each epoch.

What is drawn for a source does not depend on how a batch is shared among processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtf.features.normalisation import Statistics
from rtf.store.batches import Batch


@dataclass(frozen=True)
class Augmentation:
    """How training sources are changed."""

    #: Detections are left out of a source at a rate drawn uniformly up to this, its first one never. The
    #: decoder is still asked for them.
    thin: float = 0.0
    #: Standard deviation [mag] of a shift of the whole light curve.
    shift: float = 0.0
    #: Noise is added to what the encoder sees, in units of the errors drawn uniformly up to this for each
    #: source. The errors grow likewise.
    noise: float = 0.0
    #: Fields of metadata are left out of a source at a rate drawn uniformly up to this.
    fields: float = 0.0
    #: Stamps are turned by quarters and mirrored at random: the sky has no upper side.
    turn: bool = False
    #: How many fields of metadata the survey has.
    n_fields: int = 30

    def __post_init__(self):
        shares = 0 <= self.thin < 1 and 0 <= self.fields <= 1
        if not (shares and 0 <= self.shift < np.inf and 0 <= self.noise < np.inf):
            bounds = "thin must be from 0 to below 1, fields from 0 to 1, shift and noise 0 or more"
            raise ValueError(f"augment: {bounds}, not {vars(self)}")

    def draw(self, rng: np.random.Generator, size: int, longest: int, part: slice) -> "Changes":
        """Changes of the sources `part` of a batch of `size` with at most `longest` detections."""
        return Changes(
            rate=self.thin * rng.random(size)[part] if self.thin else None,
            chance=rng.random((size, longest))[part] if self.thin else None,
            shift=self.shift * rng.standard_normal(size)[part] if self.shift else None,
            factor=self.noise * rng.random(size)[part] if self.noise else None,
            normal=rng.standard_normal((size, longest))[part] if self.noise else None,
            gone=rng.random((size, self.n_fields))[part] < self.fields * rng.random((size, 1))[part]
            if self.fields
            else None,
            turns=rng.integers(0, 8, size)[part] if self.turn else None,
        )


@dataclass(frozen=True)
class Changes:
    """What was drawn for B sources, each None where nothing is changed."""

    rate: np.ndarray | None  # (B,) share of detections to leave out
    chance: np.ndarray | None  # (B, L) chance of each
    shift: np.ndarray | None  # (B,) [mag]
    factor: np.ndarray | None  # (B,) noise in units of the errors
    normal: np.ndarray | None  # (B, L) standard normal
    gone: np.ndarray | None = None  # (B, F) fields of metadata to leave out
    turns: np.ndarray | None = None  # (B,) quarters to turn stamps by, and 4 to mirror them too

    @property
    def kept(self) -> np.ndarray | None:
        """(B, L) bool, detections that are shown; None: all."""
        if self.rate is None:
            return None
        shown = self.chance >= self.rate[:, None]
        shown[:, 0] = True
        return shown

    def apply(self, batch: Batch, statistics: Statistics, columns: Mapping[str, slice] | None = None) -> None:
        """Change a batch in place; `columns` are those of each modality with masks of its own."""
        if self.gone is not None and "metadata" in (columns or {}):
            where = columns["metadata"]
            gone = torch.from_numpy(self.gone)[:, None] & batch.mask[..., None]
            middle = where.start + self.gone.shape[1]
            batch.features[..., where.start : middle].masked_fill_(gone, 0.0)
            batch.features[..., middle : where.stop].masked_fill_(gone, 1.0)
        if self.turns is not None:
            for name in [name for name, values in batch.side.items() if values.dim() == 4]:
                batch.side[name] = self._turned(batch.side[name])
        self._apply_to_photometry(batch, statistics)

    def _turned(self, images: Tensor) -> Tensor:
        found = torch.empty_like(images)
        for turn in np.unique(self.turns):
            own = torch.from_numpy(self.turns == turn)
            turned = images[own].rot90(int(turn) % 4, (2, 3))
            found[own] = turned.flip(3) if turn >= 4 else turned
        return found

    def _apply_to_photometry(self, batch: Batch, statistics: Statistics) -> None:
        if self.shift is None and self.factor is None:
            return
        std, mean = (torch.from_numpy(np.float32(statistics["photometry"][x])) for x in ("std", "mean"))
        flux, error = 2, 3  # columns of the photometry
        if self.shift is not None:
            shift = torch.from_numpy(np.float32(-0.4 * self.shift))[:, None] / std[flux]
            batch.features[..., flux] += shift * batch.mask
            if batch.target is not None:
                batch.target.values[..., flux] += shift * batch.target.mask
        if self.factor is not None:
            factor = torch.from_numpy(np.float32(self.factor))[:, None]
            normal = torch.from_numpy(np.float32(self.normal[:, : batch.mask.shape[1]]))
            sigma = (batch.features[..., error] * std[error] + mean[error]).clamp_min(0)
            batch.features[..., flux] += factor * sigma * normal / std[flux] * batch.mask
            grown = (sigma * (1 + factor**2).sqrt() - mean[error]) / std[error]
            batch.features[..., error] = grown * batch.mask
