"""Photometry: (D, 4 and one a band), what every model reads and what the decoder rebuilds.

Columns: log1p(dt), log1p(dt_prev) [dt in days since the first, since the previous detection],
logflux = -0.4 mag, logflux_err = 0.4 magerr [dex], and the band one-hot, of ZTF g, r, i. Of a survey with
signed fluxes the magnitudes, and so logflux, are asinh ones (`rtf/alerts/surveys`), linear in flux around
zero, and a column is 1 for forced photometry. Where sources of several surveys stand together, a last column
says how far the filter is from the band of that letter: ten times the relative difference of their
wavelengths, 0 where it is unknown.
"""

from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import Detections
from rtf.alerts.surveys import Survey, survey_named

CHANNELS = ("log1p_dt", "log1p_dt_prev", "logflux", "logflux_err")
#: Metadata that are columns of the photometry in the surveys that have them.
_EXTRA = ("forced", "wavelength")


def time_columns(days: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """(..., 2) float32 of days since the first and since the previous detection (...)."""
    return np.log1p(np.stack([days, previous], -1)).astype(np.float32)


def width(survey: Survey) -> int:
    """Number of columns."""
    return len(CHANNELS) + len(survey.bands) + len(extra_fields(survey))


def extra_fields(survey: Survey) -> tuple[str, ...]:
    """Metadata of a survey that become columns of its photometry."""
    return tuple(name for name in _EXTRA if name in survey.metadata_fields)


def wavelength_column(wavelength, of_band):
    """The last column of wavelengths and those of the bands of that letter [nm]."""
    return 10 * (wavelength / of_band - 1)


def photometry(detections: Detections) -> np.ndarray:
    """(D, width) float32 photometry of concatenated light curves; column meanings above."""
    mjd, offset = detections.mjd, detections.offset
    dt = mjd - np.repeat(mjd[offset[:-1]] if len(mjd) else mjd, detections.length)
    dt_prev = np.diff(mjd, prepend=mjd[:1])
    dt_prev[offset[:-1][detections.length > 0]] = 0.0
    survey = detections.survey
    columns = np.empty((len(mjd), width(survey)), np.float32)
    columns[:, :2] = time_columns(dt, dt_prev)
    columns[:, 2] = -0.4 * detections.mag
    columns[:, 3] = 0.4 * detections.magerr
    first = len(CHANNELS) + len(survey.bands)
    columns[:, len(CHANNELS) : first] = detections.band[:, None] == np.arange(len(survey.bands))
    for k, name in enumerate(extra_fields(survey), first):
        given = detections.metadata[:, survey.metadata_fields.index(name)]
        if name == "forced":
            columns[:, k] = given == 1
        else:
            of_band = np.float32(survey.wavelength)[detections.band]
            shift = wavelength_column(given, of_band)
            columns[:, k] = np.where(np.isnan(shift), 0.0, shift)
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

    survey: str = "ztf"

    @property
    def width(self) -> int:
        return width(survey_named(self.survey))

    def fit(self, detections: Detections) -> dict[str, np.ndarray]:
        """Statistics of the training split: `mean` and `std`, (4,) each, over all its detections."""
        continuous = photometry(detections)[:, : len(CHANNELS)].astype(np.float64)
        std = continuous.std(0)
        return {"mean": continuous.mean(0), "std": np.where(std > 0, std, 1.0)}

    def __call__(self, detections: Detections, statistics: dict[str, np.ndarray], out: np.ndarray) -> None:
        """Fill `out` (D, width) float32: four standardised channels, then the band one-hot."""
        out[:] = photometry(detections)
        out[:, : len(CHANNELS)] -= statistics["mean"].astype(np.float32)
        out[:, : len(CHANNELS)] /= statistics["std"].astype(np.float32)
