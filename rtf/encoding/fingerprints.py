"""What a model tells of sources, and which sources it can be asked about; imports no torch."""

from dataclasses import dataclass, fields

import numpy as np

from rtf.alerts.history import Detections
from rtf.alerts.ztf import FAULTS, faults


class RunError(Exception):
    """A run folder that cannot be used, and why."""


@dataclass
class Fingerprints:
    """Fingerprints of N sources, in the order they were given."""

    latent: np.ndarray  # (N, latent_dim) float32
    #: (N, C) float32 of the fine classes by the classification head, calibrated; None without a head
    probability: np.ndarray | None
    error: np.ndarray  # (N,) float32 reconstruction error, as the decoder defines it
    n_detections: np.ndarray  # (N,) int64 detections the model saw
    last: np.ndarray  # (N,) int64, index within the source of the latest detection it saw
    code: np.ndarray | None = None  # (N, bytes) uint8, the packed codes of `latent`, where there are any
    #: (N,) float32 mean -log likelihood [nat] of the light curve, or the error of a decoder that has none
    surprise: np.ndarray | None = None
    #: (N,) float32, see `rtf/encoding/strangeness.py`; None where the model was not fitted for it
    strangeness: np.ndarray | None = None

    @property
    def finite(self) -> np.ndarray:
        """(N,) bool: False where a fingerprint, its probabilities or its error is not finite."""
        numbers = (self.latent, self.error[:, None], self.probability)
        return np.all([np.isfinite(x).all(1) for x in numbers if x is not None], axis=0)

    def take(self, rows: np.ndarray) -> "Fingerprints":
        """Those of some of the sources."""
        values = (getattr(self, f.name) for f in fields(self))
        return Fingerprints(*(None if x is None else x[rows] for x in values))


def unsound(detections: Detections) -> dict[int, str]:
    """What is wrong with sources that cannot be encoded, by their number; readers and stores yield none."""
    source = np.repeat(np.arange(len(detections)), detections.length)
    before = np.zeros(len(source), bool)
    before[1:] = (np.diff(detections.mjd) < 0) & (np.diff(source) == 0)
    known = (detections.band >= 0) & (detections.band < len(detections.survey.bands))
    # some surveys count time from the first detection
    code = faults(
        detections.mjd, known, detections.mag, detections.magerr, earliest=-np.inf,
        faintest=detections.survey.faintest,
    )  # fmt: skip
    wrong = {int(k): "no detection" for k in np.flatnonzero(detections.length == 0)}
    wrong |= {int(k): "detections are not sorted by time" for k in np.unique(source[before])}
    for row in np.flatnonzero(code)[::-1]:
        wrong[int(source[row])] = ": ".join(FAULTS[code[row]])
    return wrong


def name_of(histories, number: int) -> str:
    return f"number {number}" if isinstance(histories, Detections) else histories[number].object_id
