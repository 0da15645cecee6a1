"""Encoder: a source's detections to one vector.

Notable:
- a token is a detection's features plus Time2Vec of its time plus a learned embedding of its position
- the output of a classification token (CLS) plus a pool of the others is layer-normalised
- `pool="positions"` weights the token at each position with a learned vector of its own before summing. With
  `pool="cls"` the decoder predicts the mean for tens of epochs before the fingerprint carries anything
- features of the whole source (GP features, stamps) join by `fusion`: "add" adds them to the transformer's
  output, "token" makes them tokens that detections can attend to. Missing ones are masked
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rtf.models.layers import Time2Vec, Transformer
from rtf.store.batches import Batch

POOLS = ("cls", "positions")
FUSIONS = ("add", "token")


class VectorBranch(nn.Module):
    """A vector of features (B, width), such as those of a GP, to (B, d_model)."""

    def __init__(self, d_model: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, d_model), nn.LayerNorm(d_model), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class ImageBranch(nn.Module):
    """Stamps (B, 3, 63, 63), or a frozen backbone's features of them (B, width), to (B, d_model)."""

    def __init__(self, d_model: int, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.project = nn.Sequential(nn.Linear(backbone.width, d_model), nn.LayerNorm(d_model))

    def forward(self, stamps: Tensor) -> Tensor:
        return self.project(self.backbone(stamps) if stamps.dim() == 4 else stamps)


class Encoder(nn.Module):
    """Transformer encoder of detections.

    Parameters
    ----------
    width : W, number of feature columns of a detection
    branches : what reads each feature of the whole source, built from (d_model)
    d_model, n_layers, n_heads, d_ff, dropout : size of the transformer
    max_detections : longest sequence
    pool, fusion : see above
    position_embedding : whether tokens know their position in the sequence, besides their time
    """

    def __init__(
        self,
        width: int,
        branches: Mapping[str, Callable[..., nn.Module]] | None = None,
        d_model: int = 128,
        n_layers: int = 4,
        n_heads: int = 8,
        d_ff: int = 512,
        dropout: float = 0.0,
        max_detections: int = 257,
        pool: str = "positions",
        fusion: str = "token",
        position_embedding: bool = True,
    ):
        super().__init__()
        for name, value, choices in (("pool", pool, POOLS), ("fusion", fusion, FUSIONS)):
            if value not in choices:
                raise ValueError(f"encoder.{name} is {value!r}; it must be one of {', '.join(choices)}")
        self.d_model, self.fusion = d_model, fusion
        self.branches = nn.ModuleDict({name: build(d_model) for name, build in (branches or {}).items()})
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
        # Training computes a branch even where no source has it: processes that share a batch wait for one
        # another's gradients.
        names = [n for n in self.branches if torch.is_grad_enabled() or bool(batch.present[n].any())]
        side = {name: self._branch(name, batch) for name in names}
        tokens_of = side if self.fusion == "token" else {}
        masked = not all(bool(there.all()) for there in (batch.mask, *(batch.present[n] for n in tokens_of)))
        return self.combine(batch.features, batch.days, batch.mask, side, batch.present, masked)

    def combine(
        self,
        features: Tensor,
        days: Tensor,
        mask: Tensor,
        side: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        masked: bool = True,
    ) -> Tensor:
        """(B, d_model) of detections (B, L) and branches (B, d_model), 0 where not `present` (B,).

        `masked` says whether any detection is padding, or any branch not present.
        """
        size, length = mask.shape
        tokens = self.embed(features) + self.time(days)
        if self.position is not None:
            tokens = tokens + self.position[:length]
        # One extra token and mask of each kind, in front of the detections.
        extra = [(self.cls.expand(size, -1), torch.ones_like(mask[:, 0]))]
        if self.fusion == "token":
            extra += [(side[name], present[name]) for name in side]
        tokens = torch.cat([torch.stack([token for token, _ in extra], 1), tokens], 1)
        there = torch.cat([torch.stack([there for _, there in extra], 1), mask], 1)
        tokens = self.transformer(tokens, there if masked else None)
        pooled = tokens[:, 0]
        if self.pool is not None:
            weight = self.pool_weight[:length] * mask[..., None]
            # A sum of independent terms, over the root of their number, has one scale at any length.
            summed = (tokens[:, len(extra) :] * weight).sum(1) / mask.sum(1, keepdim=True).sqrt()
            pooled = pooled + self.pool(summed)
        if self.fusion == "add":
            pooled = sum(side.values(), pooled)
        return self.norm(pooled)

    def _branch(self, name: str, batch: Batch) -> Tensor:
        """(B, d_model) of one modality, 0 where a source lacks it."""
        present = batch.present[name]
        found = self.branches[name](batch.side[name][present])
        return found.new_zeros(len(batch), self.d_model).index_put((present.nonzero()[:, 0],), found)
