"""Distances of continuous channels, the classification loss, and means that know their weight."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Mean(NamedTuple):
    """A mean over a batch and its weight: so many detections, sources or labelled sources.

    A split's mean weights its batches by it, for batches hold sources of like length.
    """

    value: Tensor
    weight: Tensor | float


#: How far a continuous channel is from the truth, elementwise; the names are the choices of `loss`.
DISTANCES = {
    "mse": lambda x, y: (x - y) ** 2,
    # Quadratic within 0.2 standard deviations, beyond it 2|x - y|: nearly the median, robust to wild points.
    "huber": lambda x, y: 2 * F.smooth_l1_loss(x, y, beta=0.2, reduction="none"),
}


def classification_loss(logits: Tensor, label: Tensor, log_prior: Tensor | None = None) -> Mean:
    """Cross-entropy over the sources whose class is known; 0 when none is.

    Parameters
    ----------
    logits, label : (B, C) and (B,), -1 unknown
    log_prior : (C,) log class shares for logit adjustment (Menon et al. 2021, arXiv:2007.07314): the prior
        explains the shares, and the logits learn what tells classes apart were all equally common
    """
    known = label >= 0
    if not known.any():
        return Mean(logits.sum() * 0.0, 0.0)
    logits = logits[known] if log_prior is None else logits[known] + log_prior
    return Mean(F.cross_entropy(logits, label[known]), known.sum())


def class_log_prior(
    label: Tensor, n_classes: int, weight: Tensor | None = None, absent: float = 0.5
) -> Tensor:
    """(C,) logarithm of the class shares among known labels; a class without any counts as `absent` sources.

    `weight` (N,) is how often each source is drawn in an epoch; None: once.
    """
    known = label >= 0
    weight = None if weight is None else weight[known]
    count = torch.bincount(label[known], weight, minlength=n_classes).double()
    count = torch.where(count > 0, count, absent)
    return (count / count.sum()).log().float()


#: Share in the survey of a class that only `data.also_train` has: that of TDE in the published sample.
ABSENT = 0.005


def survey_log_prior(label: Tensor, n_classes: int) -> Tensor:
    """(C,) logarithm of the class shares of the survey that labels are a sample of."""
    return class_log_prior(label, n_classes, absent=ABSENT * len(label))
