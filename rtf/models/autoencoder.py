"""The whole model: encoder, bottleneck, decoder and an optional head, each chosen by its config group."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rtf.store.batches import Batch


@dataclass
class Output:
    """What the model makes of a batch of B sources."""

    latent: Tensor  # (B, latent_dim) fingerprints
    decoded: Any  # what the decoder gives
    logits: Tensor | None  # (B, C) class logits, None without a head
    bottleneck_loss: Tensor  # scalar


class Autoencoder(nn.Module):
    """Fingerprints of sources, and their light curves back.

    Parameters
    ----------
    width : feature columns of a detection, from the per-detection modalities
    latent_dim : size of the fingerprint
    encoder, bottleneck, decoder, head : callables that build the parts, given (width, branches), (d_model,
        latent_dim), (latent_dim) and (latent_dim); `head` may be None
    branches : what reads each per-source modality, built from (d_model)
    """

    def __init__(
        self,
        width: int,
        latent_dim: int,
        encoder: Callable[..., nn.Module],
        bottleneck: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        head: Callable[..., nn.Module] | None = None,
        branches: Mapping[str, Callable[..., nn.Module]] | None = None,
    ):
        super().__init__()
        self.encoder = encoder(width=width, branches=branches or {})
        self.bottleneck = bottleneck(d_model=self.encoder.d_model, latent_dim=latent_dim)
        self.decoder = decoder(latent_dim=latent_dim)
        self.head = head(latent_dim=latent_dim) if head is not None else None
        #: Divides the logits; fitted on the validation split after training.
        self.register_buffer("temperature", torch.ones(()))
        #: (C,) added to the logits outside training: class shares of the survey instead of those of training.
        if self.head is not None:
            self.register_buffer("class_bias", torch.zeros(self.head[-1].out_features))

    def encode(self, batch: Batch) -> Tensor:
        """(B, latent_dim) fingerprints."""
        return self.bottleneck(self.encoder(batch))[0]

    def forward(self, batch: Batch) -> Output:
        latent, loss = self.bottleneck(self.encoder(batch))
        logits = self.head(latent) if self.head is not None else None
        if logits is not None and not self.training:
            logits = logits + self.class_bias
        return Output(latent, self.decoder(latent, batch), logits, loss)
