"""Transformer blocks (pre-norm, GELU) on padded sequences.

Attention masks padding and everything else acts on each position alone, so padding never reaches a detection.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention over the positions that `mask` (B, L) marks as real."""

    def __init__(self, d_model: int, n_heads: int, dropout: float):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} is not a multiple of n_heads {n_heads}")
        self.n_heads, self.dropout = n_heads, dropout
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(attended.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """One pre-norm transformer layer: attention, then a feed-forward network."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = Attention(d_model, n_heads, dropout)
        self.ff_norm = nn.LayerNorm(d_model)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.GELU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), mask))
        return x + self.dropout(self.ff(self.ff_norm(x)))


class Transformer(nn.Module):
    """A stack of blocks and a last LayerNorm: (B, L, d_model) to (B, L, d_model).

    `mask` (B, L) marks real positions; None: all are, and attention is faster.
    """

    def __init__(self, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(Block(d_model, n_heads, d_ff, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        keys = None if mask is None else mask[:, None, None, :]
        for block in self.blocks:
            x = block(x, keys)
        return self.norm(x)


def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, of operators that every ONNX runtime has on a GPU too."""
    size = x.abs().clamp(max=1e18)  # whose square is a float32
    return x.sign() * torch.log(size + (size * size + 1).sqrt())


class Time2Vec(nn.Module):
    """Learned periodic embedding of time: one linear component, the others sines (Kazemi et al. 2019)."""

    def __init__(self, d_model: int):
        super().__init__()
        # Periods from half a day to a year, so that a night and a season are told apart from the start.
        frequency = 2 * torch.pi / torch.logspace(-0.3, 2.56, d_model)
        self.frequency = nn.Parameter(frequency)
        self.phase = nn.Parameter(2 * torch.pi * torch.rand(d_model))

    def forward(self, days: Tensor) -> Tensor:
        """(B, L) days to (B, L, d_model)."""
        angle = days[..., None] * self.frequency + self.phase
        return torch.cat([angle[..., -1:], torch.sin(angle[..., :-1])], dim=-1)
