"""Reconstruction losses, over real detections only."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rtf.features.photometry import CHANNELS
from rtf.models.autoencoder import Reconstruction
from rtf.store.batches import Batch

#: How far a continuous channel is from the truth, elementwise; the names are the choices of `loss`.
DISTANCES = {
    "mse": lambda x, y: (x - y) ** 2,
    # Quadratic within 0.2 standard deviations, linear beyond: the optimum is the median, as is the figure of
    # merit, and a few wild points do not steer the fit. Scaled so that far out it is 2|x - y|.
    "huber": lambda x, y: 2 * F.smooth_l1_loss(x, y, beta=0.2, reduction="none"),
}


def channel_losses(output: Reconstruction, batch: Batch, distance: str = "mse") -> dict[str, Tensor]:
    """Mean loss over the batch's detections of each continuous channel, and the bands' cross-entropy."""
    continuous = DISTANCES[distance](output.continuous[batch.mask], continuous_targets(batch)).mean(0)
    band = F.cross_entropy(output.band[batch.mask], batch.band[batch.mask])
    return {**dict(zip(CHANNELS, continuous)), "band": band}


def continuous_targets(batch: Batch) -> Tensor:
    """(D, 4) normalised channels of the batch's detections: the first columns of the features."""
    return batch.features[batch.mask][:, : len(CHANNELS)]


def classification_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy over the sources whose class is known; 0 when none is."""
    known = label >= 0
    return F.cross_entropy(logits[known], label[known]) if known.any() else logits.sum() * 0.0


def reconstruction_error(output: Reconstruction, batch: Batch) -> Tensor:
    """(B,) mean over a source's detections of the summed squared channel errors plus band cross-entropy."""
    squared = ((output.continuous - batch.features[..., : len(CHANNELS)]) ** 2).sum(-1)
    band = F.cross_entropy(output.band.transpose(1, 2), batch.band, reduction="none")
    return torch.where(batch.mask, squared + band, 0.0).sum(1) / batch.mask.sum(1)
