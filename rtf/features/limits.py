"""Limits: when and how deep the survey looked before a detection and saw nothing, each with its own mask.

For each band, of the latest non-detection in the 30 days before a detection: log1p of the days since it, and
its limiting magnitude less the detection's. A first detection 2 days after a deeper limit rises fast.
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import BANDS, Detections
from rtf.features.metadata import robust_columns, robust_statistics


def limits(detections: Detections) -> np.ndarray:
    """(D, 6) log1p of days, three columns (g, r, i), and magnitudes below the detection, three; NaN: none."""
    if detections.limits is None:
        return np.full((len(detections.mjd), 2 * len(BANDS)), np.nan, np.float32)
    days, depth = np.split(detections.limits, 2, axis=1)
    return np.concatenate([np.log1p(days), depth - detections.mag[:, None]], axis=1)


@dataclass(frozen=True)
class Limits:
    """The limits modality: (D, 12), scaled values then masks (1 where missing)."""

    width: int = 4 * len(BANDS)
    masked = True  # the second half of the columns masks the first

    def fit(self, detections: Detections) -> dict[str, np.ndarray]:
        """Statistics of the training split over all its detections: `median` and `scale`, (6,) each."""
        return robust_statistics(limits(detections))

    def __call__(self, detections: Detections, statistics: dict[str, np.ndarray], out: np.ndarray) -> None:
        """Fill `out` (D, 12) float32."""
        robust_columns(limits(detections), statistics, out)
