"""Vector-quantised bottleneck: the fingerprint is one code of a codebook, sent as one number.

Source: van den Oord, Vinyals and Kavukcuoglu 2017 (arXiv:1711.00937), with running means for the codebook.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtf.models.bottlenecks.codebook import Codebook, straight_through, usage
from rtf.models.bottlenecks.packing import bits_of, bytes_of


class VQVAEBottleneck(nn.Module):
    """The code nearest to a linear projection of the encoder's vector: 9 bits from 512 codes.

    Parameters
    ----------
    d_model, latent_dim : sizes of the encoder's vector and of the codes
    n_codes : codes in the codebook
    decay, dead_below : of the codebook (`codebook.Codebook`)
    commitment : weight of the mean squared distance, per dimension, between a vector and its code
    """

    def __init__(
        self,
        d_model: int,
        latent_dim: int,
        *,
        n_codes: int = 512,
        decay: float = 0.99,
        commitment: float = 0.25,
        dead_below: float = 0.1,
    ):
        super().__init__()
        self.latent_dim, self.commitment = latent_dim, commitment
        self.project = nn.Linear(d_model, latent_dim)
        self.codebook = Codebook(n_codes, latent_dim, decay=decay, dead_below=dead_below)
        self.sizes = (n_codes,)
        self.bits, self.bytes = bits_of(self.sizes), bytes_of(self.sizes)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to codes' vectors (B, latent_dim) and the commitment loss; in training, learn."""
        z = self.project(pooled).float()
        if self.training:
            quantised = self.codebook.learn(z.detach())[1]
        else:
            quantised = self.codebook.lookup(self.codebook.nearest(z))
        return straight_through(z, quantised), self.commitment * F.mse_loss(z, quantised)

    @torch.no_grad()
    def codes(self, pooled: Tensor) -> Tensor:
        """(B, d_model) to (B, 1) int64."""
        return self.codebook.nearest(self.project(pooled).float())[:, None]

    def from_codes(self, codes: Tensor) -> Tensor:
        """(B, 1) int64 to the latent (B, latent_dim)."""
        return self.codebook.lookup(codes[:, 0])

    def metrics(self) -> dict[str, float]:
        """`code_use` and `perplexity` (`codebook.usage`)."""
        return usage([self.codebook.use()])
