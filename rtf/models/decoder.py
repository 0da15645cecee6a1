"""Decoder: a fingerprint back to its light curve, at real detections only.

Notable:
- the number of positions is the batch's longest source, never the 257 that the model could decode
- with `modulate` the fingerprint is multiplied at each position by a learned vector before the position
  embedding is added: position-specific read-out is possible from the first step, where adding alone has to
  learn it through the feed-forward networks. It takes the plateau at the start of training away.
- position vectors start with standard deviation `position_std` = 1; the customary 0.02 doubles the plateau
"""

import torch
from torch import Tensor, nn

from rtf.alerts.history import BANDS
from rtf.features.photometry import CHANNELS
from rtf.models.layers import Transformer


class Decoder(nn.Module):
    """Transformer decoder of the photometry.

    Parameters
    ----------
    latent_dim : size of the fingerprint
    d_model, n_layers, n_heads, d_ff, dropout : size of the transformer
    max_detections : longest sequence
    modulate, position_std : see above
    """

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
    ):
        super().__init__()
        self.expand = nn.Linear(latent_dim, d_model)
        self.position = nn.Parameter(position_std * torch.randn(max_detections, d_model))
        self.modulation = nn.Parameter(torch.randn(max_detections, d_model)) if modulate else None
        self.transformer = Transformer(n_layers, d_model, n_heads, d_ff, dropout)
        self.continuous = nn.Linear(d_model, len(CHANNELS))
        self.band = nn.Linear(d_model, len(BANDS))

    def forward(self, latent: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Light curves at the positions of `mask`.

        Parameters
        ----------
        latent : (B, latent_dim)
        mask : (B, L) bool, which positions hold a detection

        Returns
        -------
        (B, L, 4) normalised continuous channels, (B, L, 3) band logits
        """
        length = mask.shape[1]
        tokens = self.expand(latent)[:, None]
        if self.modulation is not None:
            tokens = tokens * self.modulation[:length]
        tokens = self.transformer(tokens + self.position[:length], mask)
        return self.continuous(tokens), self.band(tokens)
