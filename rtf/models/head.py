"""Classification head on the fingerprint, trained jointly where `cls_weight` is above 0."""

from torch import nn

from rtf.classes import FINE


def classification_head(latent_dim: int, d_hidden: int = 128, dropout: float = 0.3) -> nn.Module:
    """Linear, ReLU, dropout, linear: (B, latent_dim) to (B, C) logits of the fine classes."""
    return nn.Sequential(
        nn.Linear(latent_dim, d_hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(d_hidden, len(FINE))
    )
