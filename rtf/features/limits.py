"""Limits: when and how deep the survey looked before a detection and saw nothing, each with its own mask.

For each band, of the latest non-detection in the 30 days before a detection: log1p of the days since it, and
its limiting magnitude less the detection's. A first detection 2 days after a deeper limit rises fast.
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import BANDS, Detections
from rtf.features.metadata import Metadata


@dataclass(frozen=True)
class Limits(Metadata):
    """The limits modality: (D, 12), scaled values then masks (1 where missing)."""

    width: int = 4 * len(BANDS)

    def values(self, detections: Detections) -> np.ndarray:
        """(D, 6) log1p of days, three columns (g, r, i), and magnitudes below it, three; or NaN."""
        if detections.limits is None:
            return np.full((len(detections.mjd), 2 * len(BANDS)), np.nan, np.float32)
        days, depth = np.split(detections.limits, 2, axis=1)
        return np.concatenate([np.log1p(days), depth - detections.mag[:, None]], axis=1)
