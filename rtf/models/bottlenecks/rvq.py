"""Residual vector quantisation: each codebook stands for what the ones before it left over.

Notable:
- 8 codebooks of 256 codes are 8 bytes and 256^8 possible fingerprints
- a codebook starts to fill when those before it are full; until then their residuals are not stationary

Source: Zeghidour et al. 2021, SoundStream (arXiv:2107.03312), section III-C.
"""

import torch
from torch import Tensor, nn

from rtf.models.bottlenecks.codebook import Codebook, straight_through, usage
from rtf.models.bottlenecks.packing import bits_of, bytes_of


class RVQBottleneck(nn.Module):
    """The sum of one code from each codebook, nearest step by step to a projection of the encoder's vector.

    Parameters
    ----------
    d_model, latent_dim : sizes of the encoder's vector and of the codes
    n_codebooks, n_codes : codebooks, and codes in each
    decay, dead_below : of the codebooks (`codebook.Codebook`)
    commitment : weight of the mean squared distance, per dimension, between a vector and the sum of its first
        k codes, averaged over k
    """

    def __init__(
        self,
        d_model: int,
        latent_dim: int,
        *,
        n_codebooks: int = 8,
        n_codes: int = 256,
        decay: float = 0.99,
        commitment: float = 0.25,
        dead_below: float = 0.1,
    ):
        super().__init__()
        if n_codebooks < 1:
            raise ValueError(f"bottleneck.n_codebooks is {n_codebooks}; it must be 1 or more")
        self.latent_dim, self.commitment = latent_dim, commitment
        self.project = nn.Linear(d_model, latent_dim)
        # Until they are filled, the later codebooks add nothing.
        self.codebooks = nn.ModuleList(
            Codebook(n_codes, latent_dim, decay=decay, dead_below=dead_below, scale=float(k == 0))
            for k in range(n_codebooks)
        )
        self.sizes = (n_codes,) * n_codebooks
        self.bits, self.bytes = bits_of(self.sizes), bytes_of(self.sizes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to sums of codes (B, latent_dim) and the commitment loss; in training, learn."""
        z = self.project(pooled).float()
        _, sums = self._quantise(z.detach(), learn=self.training)
        loss = self.commitment * (z - sums).square().mean()
        return straight_through(z, sums[-1]), loss

    @torch.no_grad()
    def codes(self, pooled: Tensor) -> Tensor:
        """(B, d_model) to (B, n_codebooks) int64."""
        return self._quantise(self.project(pooled).float(), learn=False)[0]

    def from_codes(self, codes: Tensor) -> Tensor:
        """(B, n_codebooks) int64 to the latent (B, latent_dim)."""
        total = self.codebooks[0].lookup(codes[:, 0])
        for codebook, code in zip(self.codebooks[1:], codes[:, 1:].unbind(1)):
            total = total + codebook.lookup(code)
        return total

    def metrics(self) -> dict[str, float]:
        """`code_use` and `perplexity` (`codebook.usage`), means over the codebooks."""
        return usage([codebook.use() for codebook in self.codebooks])

    def _quantise(self, z: Tensor, learn: bool) -> tuple[Tensor, Tensor]:
        """Codes (B, n_codebooks), and the sums (n_codebooks, B, latent_dim) of the first 1, 2, ... codes."""
        codes, sums = [], []
        for codebook in self.codebooks:
            residual = z - sums[-1] if sums else z
            if learn:
                learn = codebook.filled  # for the codebooks after this one
                code, vector = codebook.learn(residual)
            else:
                code = codebook.nearest(residual)
                vector = codebook.lookup(code)
            codes.append(code)
            sums.append(sums[-1] + vector if sums else vector)
        return torch.stack(codes, 1), torch.stack(sums)
