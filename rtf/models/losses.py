"""Distances of continuous channels, and the classification loss."""

import torch
from torch import Tensor
from torch.nn import functional as F

#: How far a continuous channel is from the truth, elementwise; the names are the choices of `loss`.
DISTANCES = {
    "mse": lambda x, y: (x - y) ** 2,
    # Quadratic within 0.2 standard deviations, linear beyond: the optimum is the median, as is the figure of
    # merit, and a few wild points do not steer the fit. Scaled so that far out it is 2|x - y|.
    "huber": lambda x, y: 2 * F.smooth_l1_loss(x, y, beta=0.2, reduction="none"),
}


def classification_loss(logits: Tensor, label: Tensor, log_prior: Tensor | None = None) -> Tensor:
    """Cross-entropy over the sources whose class is known; 0 when none is.

    Parameters
    ----------
    logits, label : (B, C) and (B,), -1 unknown
    log_prior : (C,) logarithm of the class shares, for logit adjustment (Menon et al. 2021,
        arXiv:2007.07314): the shares are explained by the prior, and the logits learn what tells a class
        from the others were all equally common
    """
    known = label >= 0
    if not known.any():
        return logits.sum() * 0.0
    logits = logits[known] if log_prior is None else logits[known] + log_prior
    return F.cross_entropy(logits, label[known])


def class_log_prior(label: Tensor, n_classes: int, weight: Tensor | None = None) -> Tensor:
    """(C,) logarithm of the class shares among known labels; a class without sources counts as half one.

    `weight` (N,) is how often each source is drawn in an epoch; None: once.
    """
    known = label >= 0
    weight = None if weight is None else weight[known]
    count = torch.bincount(label[known], weight, minlength=n_classes).clamp_min(0.5)
    return (count / count.sum()).log()
