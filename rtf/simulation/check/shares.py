"""Class shares of a simulated survey against those of the Transient Name Server.

Notable:
- the server has what astronomers chose to classify: few active nuclei and cataclysmic variables are reported
  to it, and most plateau supernovae are entered as SN II
- types that are none of the compared classes (`rtf.classes.fine_label`) are left out, and counted
"""

import csv
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from rtf.classes import FINE, OTHERS, fine_label

LABELS = "labels/ztf_tns_types.csv"
#: Classes that are compared: all but the rare others, which come last.
CLASSES = tuple(name for name in FINE if name not in OTHERS)


def real_counts(folder: Path) -> tuple[np.ndarray, int]:
    """(C,) objects of each of `CLASSES` in the server's list, and the number of objects of other types.

    Raises
    ------
    FileNotFoundError : naming the file
    """
    path = Path(folder) / LABELS
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such table of real types")
    with path.open(newline="", encoding="utf-8") as stream:
        labels = np.array([fine_label(row["type"]) for row in csv.DictReader(stream)])
    counts = counted(labels)
    return counts, len(labels) - int(counts.sum())


def counted(labels: np.ndarray) -> np.ndarray:
    """(C,) how often each of `CLASSES` occurs; other labels are left out."""
    return np.bincount(labels[(labels >= 0) & (labels < len(CLASSES))], minlength=len(CLASSES))


def with_plateau(counts: np.ndarray) -> np.ndarray:
    """The same counts with SN IIP added to SN II, as astronomers enter them; SN IIP is left with none."""
    counts = counts.copy()
    counts[CLASSES.index("SN II")] += counts[CLASSES.index("SN IIP")]
    counts[CLASSES.index("SN IIP")] = 0
    return counts


def shares(counts: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of a multinomial sample and simultaneous intervals, each (C,).

    Goodman (1965), Technometrics 7, 247, equation 2.7 with Bonferroni's quantile.
    """
    n, classes = counts.sum(), len(counts)
    quantile = chi2.ppf(1 - (1 - level) / classes, 1)
    root = np.sqrt(quantile * (quantile + 4 * counts * (n - counts) / n))
    low, high = ((quantile + 2 * counts + sign * root) / (2 * (n + quantile)) for sign in (-1, 1))
    return counts / n, np.maximum(low, 0), high
