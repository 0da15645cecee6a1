"""Encoder: a source's detections to one vector.

Notable:
- tokens are the detections' features plus Time2Vec of their time plus a learned embedding of their position
- a classification token (CLS) comes first; its output, plus a pool of the others, is layer-normalised
- the pool (`pool="positions"`) weights the token at each position with a learned vector of its own before
  summing, so that from the first step the fingerprint can tell what happened at the third detection from
  what happened at the tenth. With CLS alone (`pool="cls"`) the decoder predicts the mean for tens of epochs
  before the fingerprint starts to carry anything.
"""

import torch
from torch import Tensor, nn

from rtf.models.layers import Time2Vec, Transformer
from rtf.store.batches import Batch

POOLS = ("cls", "positions")


class Encoder(nn.Module):
    """Transformer encoder of detections.

    Parameters
    ----------
    width : W, number of feature columns of a detection
    d_model, n_layers, n_heads, d_ff, dropout : size of the transformer
    max_detections : longest sequence
    pool : "positions" or "cls", see above
    position_embedding : whether tokens know their position in the sequence, besides their time
    """

    def __init__(
        self,
        width: int,
        d_model: int = 128,
        n_layers: int = 4,
        n_heads: int = 8,
        d_ff: int = 512,
        dropout: float = 0.0,
        max_detections: int = 257,
        pool: str = "positions",
        position_embedding: bool = True,
    ):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"encoder.pool is {pool!r}; it must be one of {', '.join(POOLS)}")
        self.d_model = d_model
        self.embed = nn.Linear(width, d_model)
        self.time = Time2Vec(d_model)
        self.cls = nn.Parameter(0.02 * torch.randn(d_model))
        self.position = nn.Parameter(torch.randn(max_detections, d_model)) if position_embedding else None
        self.transformer = Transformer(n_layers, d_model, n_heads, d_ff, dropout)
        self.pool_weight = nn.Parameter(torch.randn(max_detections, d_model)) if pool == "positions" else None
        self.pool = nn.Linear(d_model, d_model) if pool == "positions" else None
        self.norm = nn.LayerNorm(d_model)

    def forward(self, batch: Batch) -> Tensor:
        """(B, d_model) one vector for each source."""
        length = batch.mask.shape[1]
        tokens = self.embed(batch.features) + self.time(batch.days)
        if self.position is not None:
            tokens = tokens + self.position[:length]
        tokens = torch.cat([self.cls.expand(len(batch), 1, -1), tokens], dim=1)
        mask = torch.cat([batch.mask.new_ones(len(batch), 1), batch.mask], dim=1)
        tokens = self.transformer(tokens, mask)
        pooled = tokens[:, 0]
        if self.pool is not None:
            weight = self.pool_weight[:length] * batch.mask[..., None]
            # Divided by the root of the count: a sum of independent terms keeps its scale at any length.
            summed = (tokens[:, 1:] * weight).sum(1) / batch.mask.sum(1, keepdim=True).sqrt()
            pooled = pooled + self.pool(summed)
        return self.norm(pooled)
