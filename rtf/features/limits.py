"""Limits: when and how deep the survey looked before a detection and saw nothing, each with its own mask.

For each band, of the latest non-detection in the 30 days before a detection: log1p of the days since it, and
its limiting magnitude less the detection's. A first detection 2 days after a deeper limit rises fast.
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import Detections
from rtf.alerts.surveys import survey_named
from rtf.features.metadata import Metadata


@dataclass(frozen=True)
class Limits(Metadata):
    """The limits modality: (D, width), 12 for ZTF, scaled values then masks (1 where missing)."""

    def __post_init__(self):
        if survey_named(self.survey).signed:
            raise ValueError(
                f"modalities: {self.survey} sends no limits, forced photometry takes their place"
            )

    @property
    def width(self) -> int:
        return 4 * len(survey_named(self.survey).bands)

    def values(self, detections: Detections) -> np.ndarray:
        """(D, 6) log1p of days, three columns (g, r, i), and magnitudes below it, three; or NaN."""
        if detections.limits is None:
            return np.full((len(detections.mjd), self.width // 2), np.nan, np.float32)
        days, depth = np.split(detections.limits, 2, axis=1)
        return np.concatenate([np.log1p(days), depth - detections.mag[:, None]], axis=1)
