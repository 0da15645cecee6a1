"""Temperature scaling: class probabilities that mean what they say (Guo et al. 2017, arXiv:1706.04599)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

#: A head that is always right on a small validation split would want a temperature of zero.
LIMITS = (0.05, 20.0)


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature T with the least negative log likelihood of softmax(logits / T).

    Parameters
    ----------
    logits : (N, C), of the validation split
    label : (N,) int, -1 unknown, left out; 1 is returned when no label is known
    """
    known = np.asarray(label) >= 0
    logits, label = np.asarray(logits, float)[known], np.asarray(label)[known]
    if not len(label):
        return 1.0

    def loss(log_t: float) -> float:
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(label)), label].mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(LIMITS), method="bounded").x))
