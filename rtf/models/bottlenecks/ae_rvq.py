"""Both at once: a fingerprint of floats, and codes of a few bytes that stand for it.

Notable:
- the floats are as of `ae.py`, the codes as of `rvq.py` on the same projection
- in training each source's decoder and head get, by chance, the floats or their quantised copy. One network
  then reads both, and the floats stay where the codes can follow
- with `coded`, `forward` gives the quantised fingerprint outside training: so a run is measured by its codes
"""

import torch
from torch import Tensor

from rtf.models.bottlenecks.codebook import straight_through
from rtf.models.bottlenecks.rvq import RVQBottleneck


class AERVQBottleneck(RVQBottleneck):
    """A linear projection of the encoder's vector, and its residual codes.

    Parameters
    ----------
    share : of the training sources whose decoder gets the quantised fingerprint
    the others : of `RVQBottleneck`
    """

    coded = False  # plain attribute, not part of the weights

    def __init__(self, d_model: int, latent_dim: int, *, share: float = 0.5, **settings):
        super().__init__(d_model, latent_dim, **settings)
        if not 0 < share <= 1:
            raise ValueError(f"bottleneck.share is {share}; it must be above 0 and at most 1")
        self.share = share
        self.bits, self.bytes = 32 * latent_dim, 4 * latent_dim  # of the floats

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to the latent (B, latent_dim) and the commitment loss; in training, learn."""
        z = self.project(pooled).float()
        if not (self.training or self.coded):
            return z, z.new_zeros(())
        _, sums = self._quantise(z.detach(), learn=self.training)
        if not self.training:
            return sums[-1], z.new_zeros(())
        chosen = torch.rand(len(z), 1, device=z.device) < self.share
        loss = self.commitment * (z - sums).square().mean()
        return torch.where(chosen, straight_through(z, sums[-1]), z), loss
