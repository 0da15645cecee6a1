"""Plain autoencoder bottleneck: one linear map."""

from torch import Tensor, nn


class AEBottleneck(nn.Module):
    """The fingerprint is a linear projection of the encoder's vector, sent as float32."""

    def __init__(self, d_model: int, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.bits, self.bytes = 32 * latent_dim, 4 * latent_dim
        self.project = nn.Linear(d_model, latent_dim)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d_model) to the latent (B, latent_dim) and no loss of its own."""
        return self.project(pooled), pooled.new_zeros(())

    def metrics(self) -> dict[str, float]:
        return {}
