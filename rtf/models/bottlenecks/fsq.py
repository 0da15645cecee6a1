"""Finite scalar quantisation: each number of the fingerprint is rounded to one of a few levels.

Levels are equally spaced from -1 to 1, ends included. The original shifts even numbers of levels so that 0 is
one; cosine comparison wants them centred. There is no codebook, so no loss and no state.

Source: Mentzer et al. 2023 (arXiv:2309.15505).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rtf.models.bottlenecks.codebook import straight_through, usage
from rtf.models.bottlenecks.packing import bits_of, bytes_of


class FSQBottleneck(nn.Module):
    """A linear projection of the encoder's vector, squeezed into (-1, 1) and rounded.

    Parameters
    ----------
    d_model, latent_dim : sizes of the encoder's vector and of the fingerprint
    levels : levels of every dimension, or of each one (latent_dim numbers)
    """

    def __init__(self, d_model: int, latent_dim: int, *, levels: int | Sequence[int] = 8):
        super().__init__()
        sizes = (levels,) * latent_dim if isinstance(levels, int) else tuple(levels)
        if len(sizes) != latent_dim or min(sizes) < 2:
            raise ValueError(
                f"bottleneck.levels is {levels}; it must be a number from 2, or {latent_dim} such numbers, "
                "one for each dimension of the fingerprint"
            )
        self.latent_dim, self.sizes = latent_dim, sizes
        self.bits, self.bytes = bits_of(sizes), bytes_of(sizes)
        self.project = nn.Linear(d_model, latent_dim)
        self.register_buffer("top", torch.tensor(sizes, dtype=torch.float32) - 1, persistent=False)
        self.register_buffer("seen", torch.zeros(latent_dim, max(sizes)), persistent=False)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to levels (B, latent_dim) in [-1, 1], and no loss of its own."""
        squeezed = self.project(pooled).float().tanh()
        codes = self._round(squeezed)
        if self.training:
            with torch.no_grad():
                self.seen += nn.functional.one_hot(codes, self.seen.shape[1]).sum(0)
        return straight_through(squeezed, self.from_codes(codes)), squeezed.new_zeros(())

    @torch.no_grad()
    def codes(self, pooled: Tensor) -> Tensor:
        """(B, d_model) to (B, latent_dim) int64."""
        return self._round(self.project(pooled).float().tanh())

    def from_codes(self, codes: Tensor) -> Tensor:
        """(B, latent_dim) int64 to the latent (B, latent_dim)."""
        return 2 * codes / self.top - 1

    def metrics(self) -> dict[str, float]:
        """`code_use` and `perplexity` (`codebook.usage`) of a dimension's levels, means over dimensions."""
        seen = [count[:size] for count, size in zip(self.seen.clone(), self.sizes)]
        self.seen.zero_()
        return usage(seen)

    def _round(self, squeezed: Tensor) -> Tensor:
        return ((squeezed.detach() + 1) / 2 * self.top).round().long()
