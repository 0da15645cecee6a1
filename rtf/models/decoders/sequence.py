"""Sequence decoder: a fingerprint back to its detections, one after another: time, magnitude, error, band.

Notable:
- it decodes as many positions as the batch's longest source has, never all 257
- with `modulate` a learned vector of each position multiplies the fingerprint before the position embedding
  is added. Position-specific read-out then works from the first step, without a plateau at the start of
  training
- position vectors start with standard deviation `position_std` = 1; the customary 0.02 doubles the plateau
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtf.alerts.surveys import survey_named
from rtf.features.photometry import CHANNELS, physical
from rtf.models.layers import Transformer
from rtf.models.losses import DISTANCES, Mean
from rtf.store.batches import Batch


@dataclass
class Decoded:
    """(B, L, 4) normalised continuous channels, (B, L, 3) band logits."""

    continuous: Tensor
    band: Tensor


class SequenceDecoder(nn.Module):
    """Transformer decoder of the photometry.

    Parameters
    ----------
    latent_dim : size of the fingerprint
    d_model, n_layers, n_heads, d_ff, dropout : size of the transformer
    max_detections : longest sequence
    modulate, position_std : see above
    """

    needs_targets = False

    def __init__(
        self,
        latent_dim: int,
        d_model: int = 128,
        n_layers: int = 2,
        n_heads: int = 8,
        d_ff: int = 512,
        dropout: float = 0.0,
        max_detections: int = 257,
        modulate: bool = True,
        position_std: float = 1.0,
        survey: str = "ztf",
    ):
        super().__init__()
        self.expand = nn.Linear(latent_dim, d_model)
        self.position = nn.Parameter(position_std * torch.randn(max_detections, d_model))
        self.modulation = nn.Parameter(torch.randn(max_detections, d_model)) if modulate else None
        self.transformer = Transformer(n_layers, d_model, n_heads, d_ff, dropout)
        self.continuous = nn.Linear(d_model, len(CHANNELS))
        self.band = nn.Linear(d_model, len(survey_named(survey).bands))

    def forward(self, latent: Tensor, batch: Batch) -> Decoded:
        """Light curves at the positions of `batch.mask`; nothing else of the batch is looked at."""
        length = batch.mask.shape[1]
        tokens = self.expand(latent)[:, None]
        if self.modulation is not None:
            tokens = tokens * self.modulation[:length]
        tokens = self.transformer(
            tokens + self.position[:length], None if bool(batch.mask.all()) else batch.mask
        )
        return Decoded(self.continuous(tokens), self.band(tokens))

    def losses(self, decoded: Decoded, batch: Batch, distance: str) -> dict[str, Mean]:
        """Mean loss over the batch's detections of each continuous channel, and the bands' cross-entropy."""
        truth = batch.features[batch.mask][:, : len(CHANNELS)]
        channels = DISTANCES[distance](decoded.continuous[batch.mask], truth).mean(0)
        band = F.cross_entropy(decoded.band[batch.mask], batch.band[batch.mask])
        named = {"reconstruction": channels.mean() + band, **dict(zip(CHANNELS, channels)), "band": band}
        return {name: Mean(value, len(truth)) for name, value in named.items()}

    def error(self, decoded: Decoded, batch: Batch) -> Tensor:
        """(B,) mean over detections of the summed squared channel errors plus band cross-entropy."""
        squared = ((decoded.continuous - batch.features[..., : len(CHANNELS)]) ** 2).sum(-1)
        band = F.cross_entropy(decoded.band.transpose(1, 2), batch.band, reduction="none")
        return torch.where(batch.mask, squared + band, 0.0).sum(1) / batch.mask.sum(1)

    def rebuilt(self, decoded: Decoded, batch: Batch, statistics: dict) -> dict[str, Tensor]:
        """Days since the first detection, magnitudes, their errors and bands, (B, L) each."""
        mean, std = (torch.as_tensor(statistics["photometry"][name]) for name in ("mean", "std"))
        continuous = decoded.continuous.double().cpu() * std + mean
        values = {name: torch.from_numpy(v) for name, v in physical(continuous.numpy()).items()}
        return {**values, "band": decoded.band.argmax(-1).cpu()}
