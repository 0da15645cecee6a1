"""From flux to what LSST sends: signed difference fluxes, detections at 5 sigma, and forced photometry.

Notable:
- noise: the depth of the visit, photons of source and host, 0.6 % of the flux, as errors of real alerts grow
- a `diaSource` has |S/N| of 5; forced photometry is there for every visit from 30 days before the first
  detection to the last one, which is what its alert tells. A visit that made a detection is there once
- a history has at most `MOST_ROWS` rows, the first ones: a model sees 257
"""

from typing import NamedTuple

import numpy as np

from rtf.alerts.surveys.lsst import LSST
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import THRESHOLD, ZERO_POINT
from rtf.simulation.scene import Scene, share_at_source

NANOJANSKY = 10 ** (0.4 * (31.4 - ZERO_POINT))  # in the unit of the light-curve models
FORCED_DAYS = 30.0  # before the first detection for which forced photometry is there
MOST_ROWS = 400
#: Electrons of one visit per nJy in g r i u z y; relative error of bright sources; share of the host's light
#: that the subtraction leaves as noise; noise of the template over that of a visit.
ELECTRONS = np.array([2.2, 1.6, 1.15, 0.75, 0.75, 0.4])
FLOOR, RESIDUAL, TEMPLATE_NOISE = 0.006, 0.002, 0.25
_PSF_AREA = 2.27  # noise-equivalent area over FWHM squared


class LsstDetections(NamedTuple):
    """What is sent of one source: (L,) arrays in order of time."""

    visit: np.ndarray  # int, index into the visits
    mag: np.ndarray  # asinh magnitude
    magerr: np.ndarray
    snr: np.ndarray  # absolute flux over its error
    positive: np.ndarray  # bool; forced photometry counts as positive
    forced: np.ndarray  # bool
    flux: np.ndarray  # difference [nJy]
    fluxerr: np.ndarray
    template: np.ndarray  # flux of the host under the PSF [nJy], as measured

    @property
    def counted(self) -> np.ndarray:
        """(L,) bool: the detections that make a source worth following."""
        return ~self.forced

    identified = counted


def six_bands(scene: Scene) -> np.ndarray:
    """Magnitudes (N, 6) in g r i u z y of a scene, whose objects have g r i z."""
    g, r, i, z = scene.magnitudes.T
    return np.stack([g, r, i, g + 0.5 + 0.9 * (g - r), z, z - 0.5 * (i - z)], 1)


def detect(rng: np.random.Generator, visits: Visits, flux: np.ndarray, host: Scene) -> LsstDetections:
    """Detections and forced photometry of a true difference flux (V,), in the unit of zero point 25."""
    band = visits.band.astype(int)
    area = _PSF_AREA * (0.2 * float(np.median(visits.fwhm))) ** 2
    light = 10 ** (0.4 * (31.4 - six_bands(host)[0])) * share_at_source(host, area)  # (6,) [nJy]
    template = light[band]
    true = flux * NANOJANSKY
    sky = 10 ** (0.4 * (31.4 - visits.depth)) / 5
    normal = rng.standard_normal((4, len(flux)))
    science = np.maximum(true + template, 0.0)
    variance = sky**2 * (1 + TEMPLATE_NOISE**2) + science / ELECTRONS[band] + (FLOOR * true) ** 2
    error = np.sqrt(variance) * np.exp(0.03 * normal[0])
    measured = true + error * normal[1] + RESIDUAL * template * normal[2]
    reference = template + TEMPLATE_NOISE * np.median(sky) * normal[3]
    found = np.abs(measured) >= THRESHOLD * error
    first = visits.mjd[found][0] if found.any() else np.inf
    visit = np.flatnonzero(visits.mjd >= first - FORCED_DAYS)[:MOST_ROWS]
    visit = visit[: int(np.append(np.flatnonzero(found[visit]), -1).max()) + 1]
    # Packets carry fluxes as 32-bit numbers: what a reader makes of them must be the same.
    measured, error = (x[visit].astype(np.float32).astype(np.float64) for x in (measured, error))
    mag, magerr = LSST.magnitude(measured, error, band[visit])
    forced = ~found[visit]
    return LsstDetections(
        visit, mag, magerr, np.abs(measured) / error, forced | (measured >= 0), forced, measured, error,
        reference[visit],
    )  # fmt: skip
