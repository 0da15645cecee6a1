"""Variational bottleneck: a normal distribution for each source, drawn from in training.

Notable:
- the loss is beta times the divergence in nats, averaged over the batch and SUMMED over dimensions, as in the
  evidence bound; conf/bottleneck/vae.yaml says which beta that makes sensible
- free bits: a dimension whose mean divergence is below `free_bits` costs nothing more (Kingma et al. 2016,
  arXiv:1606.04934, appendix C.8)
- in evaluation the fingerprint is the mean and beta the final one, so that all epochs' losses compare
"""

import torch
from torch import Tensor, nn


class VAEBottleneck(nn.Module):
    """Mean and log variance by a linear map of the encoder's vector; the mean is sent as float32.

    Parameters
    ----------
    d_model, latent_dim : sizes of the encoder's vector and of the fingerprint
    beta : weight of the divergence
    free_bits : divergence of a dimension that costs nothing, in nats
    warmup : share of training in which beta rises from 0
    """

    #: Var(mean over sources) from which a dimension counts as active (Burda et al. 2016, arXiv:1509.00519).
    ACTIVE = 0.01
    #: Log variance at the start: noise a seventh of the prior's, lest it drown a signal not yet learned.
    START = -4.0

    def __init__(
        self,
        d_model: int,
        latent_dim: int,
        *,
        beta: float = 1e-3,
        free_bits: float = 0.25,
        warmup: float = 0.2,
    ):
        super().__init__()
        for name, value in (("beta", beta), ("free_bits", free_bits), ("warmup", warmup)):
            if value < 0:
                raise ValueError(f"bottleneck.{name} is {value}; it must not be negative")
        self.latent_dim, self.beta, self.free_bits, self.warmup = latent_dim, beta, free_bits, warmup
        self.bits, self.bytes = 32 * latent_dim, 4 * latent_dim
        self.mean, self.log_variance = nn.Linear(d_model, latent_dim), nn.Linear(d_model, latent_dim)
        nn.init.constant_(self.log_variance.bias, self.START)
        self.rise = 1.0
        # Sources seen, and the sums of divergence, mean and squared mean of each dimension.
        self.register_buffer("n_seen", torch.zeros(()), persistent=False)
        self.register_buffer("seen", torch.zeros(3, latent_dim), persistent=False)

    def set_progress(self, fraction: float) -> None:
        """Set beta for a training step, after so large a share of training (0 to 1)."""
        self.rise = min(fraction / self.warmup, 1.0) if self.warmup else 1.0

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to the latent (B, latent_dim), a draw in training and the mean else, and the loss."""
        mean = self.mean(pooled).float()
        # Bounded where exp would overflow, or the divergence's slope be of no use.
        log_variance = self.log_variance(pooled).float().clamp(-20, 10)
        divergence = kl_divergence(mean, log_variance)
        loss = self.beta * free(divergence.mean(0), self.free_bits).sum()
        if not self.training:
            return mean, loss
        self._observe(mean, divergence)
        return mean + (log_variance / 2).exp() * torch.randn_like(mean), self.rise * loss

    def metrics(self) -> dict[str, float]:
        """`kl_per_dimension` in nats, `active_dimensions`, and `beta` at the last step."""
        n = self.n_seen.clone()
        divergence, mean, square = self.seen / n.clamp(min=1)
        self.n_seen.zero_(), self.seen.zero_()
        if n == 0:
            return {}
        return {
            "kl_per_dimension": float(divergence.mean()),
            "active_dimensions": float((square - mean**2 > self.ACTIVE).sum()),
            "beta": self.rise * self.beta,
        }

    @torch.no_grad()
    def _observe(self, mean: Tensor, divergence: Tensor) -> None:
        self.n_seen += len(mean)
        self.seen += torch.stack([divergence.sum(0), mean.sum(0), mean.square().sum(0)])


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence [nat] of a normal from the standard one (Kingma & Welling 2014, arXiv:1312.6114, B)."""
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance)


def free(divergence: Tensor, free_bits: float) -> Tensor:
    """The divergence, but no less than `free_bits`, below which it has no gradient."""
    return divergence.clamp(min=free_bits)
