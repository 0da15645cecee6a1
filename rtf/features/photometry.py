"""Photometry: (D, 7), what every model reads and what the decoder rebuilds.

Columns: log1p(dt), log1p(dt_prev) [dt in days since the first, since the previous detection],
logflux = -0.4 mag, logflux_err = 0.4 magerr [dex], and the band one-hot (g, r, i).
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import BANDS, Detections

CHANNELS = ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")


def time_columns(days: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """(..., 2) float32 of days since the first and since the previous detection (...)."""
    return np.log1p(np.stack([days, previous], -1)).astype(np.float32)


def photometry(detections: Detections) -> np.ndarray:
    """(D, 7) float32 photometry of concatenated light curves; column meanings above."""
    mjd, offset = detections.mjd, detections.offset
    dt = mjd - np.repeat(mjd[offset[:-1]] if len(mjd) else mjd, detections.length)
    dt_prev = np.diff(mjd, prepend=mjd[:1])
    dt_prev[offset[:-1][detections.length > 0]] = 0.0
    columns = np.empty((len(mjd), len(CHANNELS) + len(BANDS)), np.float32)
    columns[:, :2] = time_columns(dt, dt_prev)
    columns[:, 2] = -0.4 * detections.mag
    columns[:, 3] = 0.4 * detections.magerr
    columns[:, 4:] = detections.band[:, None] == np.arange(len(BANDS))
    return columns


def physical(continuous: np.ndarray) -> dict[str, np.ndarray]:
    """Days since the first detection, magnitude and its error from (..., 4) unnormalised channels."""
    return {
        "dt": np.expm1(continuous[..., 0]),
        "mag": -2.5 * continuous[..., 2],
        "magerr": 2.5 * continuous[..., 3],
    }


@dataclass(frozen=True)
class Photometry:
    """The photometry modality: standardised with the mean and deviation of the training split."""

    width: int = len(CHANNELS) + len(BANDS)

    def fit(self, detections: Detections) -> dict[str, np.ndarray]:
        """Statistics of the training split: `mean` and `std`, (4,) each, over all its detections."""
        continuous = photometry(detections)[:, : len(CHANNELS)].astype(np.float64)
        std = continuous.std(0)
        return {"mean": continuous.mean(0), "std": np.where(std > 0, std, 1.0)}

    def __call__(self, detections: Detections, statistics: dict[str, np.ndarray], out: np.ndarray) -> None:
        """Fill `out` (D, 7) float32: four standardised channels, then the band one-hot."""
        out[:] = photometry(detections)
        out[:, : len(CHANNELS)] -= statistics["mean"].astype(np.float32)
        out[:, : len(CHANNELS)] /= statistics["std"].astype(np.float32)
