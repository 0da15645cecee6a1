"""What differs from survey to survey, as data: one module for each, with one `Survey`.

Notable:
- a band is an index into `BANDS`, the letters of all surveys; a survey has the first few of them
- a survey that sends magnitudes keeps them. One that sends signed fluxes has asinh magnitudes in their place
  (Lupton, Gunn & Szalay 1999, AJ 118, 1406): of bright sources they are AB magnitudes, of fluxes around zero
  and below they are finite, and `Survey.flux` gives the flux back
- two more describe the same sources in other terms, for models to be compared (`rtf/alerts/convert.py`):
  `ztf_asinh` has ZTF in asinh magnitudes, `ztf_lsst` has what ZTF and LSST have in common
"""

from dataclasses import dataclass, field

import numpy as np

BANDS = ("g", "r", "i", "u", "z", "y")
#: AB magnitude of 1 nJy.
ZERO_POINT = 31.4
_POGSON = 2.5 / np.log(10)


@dataclass(frozen=True)
class Survey:
    """Facts of one survey."""

    name: str
    title: str
    bands: tuple[str, ...]  # the first of `BANDS`
    wavelength: tuple[float, ...]  # effective, of each band [nm]
    metadata_fields: tuple[str, ...]  # columns of the metadata of a detection
    time_scale: str  # of its Modified Julian Dates
    stamp_size: int  # pixels a side of the stamps that a model sees
    #: Whether cutouts come in several sizes, of which a model sees the middle; else a smaller one was cut by
    #: a chip edge.
    centred: bool
    pixel: float  # arcsec a pixel
    cutout_unit: str
    #: Flux [nJy] of each band below which asinh magnitudes turn linear, about the noise of one visit; empty:
    #: the survey has magnitudes.
    softening: tuple[float, ...] = field(default=())

    def __post_init__(self):
        if self.bands != BANDS[: len(self.bands)] or len(self.wavelength) != len(self.bands):
            raise ValueError(
                f"{self.name}: its bands must be the first of {', '.join(BANDS)}, with wavelengths"
            )

    @property
    def signed(self) -> bool:
        """Whether fluxes may be negative, and magnitudes are asinh magnitudes."""
        return bool(self.softening)

    @property
    def faintest(self) -> float:
        """No magnitude is greater; -5 is the smallest."""
        return 60.0 if self.signed else 35.0

    @property
    def by_wavelength(self) -> list[int]:
        """Bands from the bluest to the reddest."""
        return np.argsort(self.wavelength, kind="stable").tolist()

    def magnitude(self, flux, fluxerr, band) -> tuple[np.ndarray, np.ndarray]:
        """Asinh magnitudes and their errors of fluxes and errors [nJy] in bands (indices), of one shape."""
        b = np.asarray(self.softening)[np.asarray(band)]
        scaled = np.asarray(flux, np.float64) / (2 * b)
        mag = ZERO_POINT - _POGSON * (np.arcsinh(scaled) + np.log(b))
        return mag, _POGSON * np.asarray(fluxerr, np.float64) / (2 * b * np.hypot(scaled, 1))

    def flux(self, mag, magerr, band) -> tuple[np.ndarray, np.ndarray]:
        """Fluxes and their errors [nJy] of magnitudes and errors in bands (indices), of one shape."""
        mag, magerr = np.asarray(mag, np.float64), np.asarray(magerr, np.float64)
        if not self.signed:
            found = 10 ** (0.4 * (ZERO_POINT - mag))
            return found, found * magerr / _POGSON
        b = np.asarray(self.softening)[np.asarray(band)]
        scaled = np.sinh((ZERO_POINT - mag) / _POGSON - np.log(b))
        return 2 * b * scaled, magerr * 2 * b * np.hypot(scaled, 1) / _POGSON


def survey_named(name: str) -> Survey:
    """The survey of that name; ValueError names those there are."""
    from rtf.alerts.surveys import lsst, ztf, ztf_asinh, ztf_lsst

    known = {s.name: s for s in (ztf.ZTF, lsst.LSST, ztf_asinh.ZTF_ASINH, ztf_lsst.ZTF_LSST)}
    if name not in known:
        raise ValueError(f"no survey {name!r}; there are {', '.join(known)}")
    return known[name]
