"""What RTF is measured against: the published way of training, written plainly.

Random batches padded to their longest source, one compressed NPZ per source read in the loop, PyTorch's own
transformer layers with dropout 0.3, and 257 positions decoded for every source.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from rtf.models.layers import Time2Vec

POSITIONS = 257


class BaselineModel(nn.Module):
    """The published autoencoder: the same sizes as ours (encoder 4 layers, decoder 2, d_model 128)."""

    def __init__(self, width: int = 7, latent_dim: int = 64, d_model: int = 128):
        super().__init__()

        def stack(layers):
            layer = nn.TransformerEncoderLayer(
                d_model, 8, 4 * d_model, 0.3, "gelu", batch_first=True, norm_first=True
            )
            return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

        self.embed, self.time = nn.Linear(width, d_model), Time2Vec(d_model)
        self.cls = nn.Parameter(torch.zeros(1, 1, d_model))
        self.encoder, self.norm = stack(4), nn.LayerNorm(d_model)
        self.bottleneck, self.expand = nn.Linear(d_model, latent_dim), nn.Linear(latent_dim, d_model)
        self.position = nn.Parameter(0.02 * torch.randn(POSITIONS, d_model))
        self.decoder, self.out = stack(2), nn.Linear(d_model, 7)

    def forward(self, features, days, mask):
        tokens = self.embed(features) + self.time(days)
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], 1)
        padding = torch.cat([mask.new_zeros(len(mask), 1), ~mask], 1)
        latent = self.bottleneck(self.norm(self.encoder(tokens, src_key_padding_mask=padding)[:, 0]))
        return self.out(self.decoder(self.expand(latent)[:, None] + self.position))


def write_npz(folder: Path, offset, **columns) -> list[Path]:
    """One compressed NPZ per source."""
    paths = [folder / f"{k:06d}.npz" for k in range(len(offset) - 1)]
    for path, a, b in zip(paths, offset, offset[1:]):
        np.savez_compressed(path, **{name: column[a:b] for name, column in columns.items()})
    return paths


def npz_batch(paths: list[Path], rng, normalise, truncate_min: int | None = 3):
    """Read a batch source by source, normalise each, and pad to the longest.

    `normalise` takes the opened NPZ to (L, W) float32 features.
    """
    features, days = [], []
    for path in paths:
        with np.load(path) as source:
            columns = normalise(source)
            days.append(torch.from_numpy(np.expm1(source["photometry"][:, 0])))
        n = len(columns)
        n = n if truncate_min is None else int(rng.integers(min(truncate_min, n), n + 1))
        features.append(torch.from_numpy(columns[:n]))
        days[-1] = days[-1][:n]
    pad = nn.utils.rnn.pad_sequence
    length = torch.tensor([len(d) for d in days])
    mask = torch.arange(int(length.max())) < length[:, None]
    return pad(features, batch_first=True), pad(days, batch_first=True), mask


def normalise_photometry(statistics):
    """The normaliser of NPZ with raw photometry."""
    mean, std = (statistics[name].astype(np.float32) for name in ("mean", "std"))

    def normalise(source):
        columns = source["photometry"].copy()
        columns[:, :4] = (columns[:, :4] - mean) / std
        return columns

    return normalise


def loss(output, features, mask):
    """Mean squared error and band cross-entropy over real detections."""
    real, target = output[:, : mask.shape[1]][mask], features[mask]
    band = nn.functional.cross_entropy(real[:, 4:], target[:, 4:].argmax(1))
    return nn.functional.mse_loss(real[:, :4], target[:, :4]) + band
