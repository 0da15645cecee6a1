"""The whole model: encoder, bottleneck, decoder and an optional head, each chosen by its config group."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from rtf.store.batches import Batch


@dataclass
class Reconstruction:
    """What the model makes of a batch.

    Attributes
    ----------
    latent : (B, latent_dim) fingerprints
    continuous : (B, L, 4) normalised continuous channels
    band : (B, L, 3) band logits
    logits : (B, 10) class logits, or None without a head
    bottleneck_loss : scalar
    """

    latent: Tensor
    continuous: Tensor
    band: Tensor
    logits: Tensor | None
    bottleneck_loss: Tensor


class Autoencoder(nn.Module):
    """Fingerprints of sources, and their light curves back.

    Parameters
    ----------
    width : feature columns of a detection, from the chosen modalities
    latent_dim : size of the fingerprint
    encoder, bottleneck, decoder, head : callables that build the parts, given (width), (d_model,
        latent_dim), (latent_dim) and (latent_dim); `head` may be None
    """

    def __init__(
        self,
        width: int,
        latent_dim: int,
        encoder: Callable[..., nn.Module],
        bottleneck: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        head: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        self.encoder = encoder(width=width)
        self.bottleneck = bottleneck(d_model=self.encoder.d_model, latent_dim=latent_dim)
        self.decoder = decoder(latent_dim=latent_dim)
        self.head = head(latent_dim=latent_dim) if head is not None else None

    def encode(self, batch: Batch) -> Tensor:
        """(B, latent_dim) fingerprints."""
        return self.bottleneck(self.encoder(batch))[0]

    def forward(self, batch: Batch) -> Reconstruction:
        latent, loss = self.bottleneck(self.encoder(batch))
        continuous, band = self.decoder(latent, batch.mask)
        logits = self.head(latent) if self.head is not None else None
        return Reconstruction(latent, continuous, band, logits, loss)
