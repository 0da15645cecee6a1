"""The metadata of a `diaSource` (`rtf.alerts.surveys.lsst`), by the distributions of real alerts.

Numbers are quantiles of 30,342 distinct detections of 60 objects, March 2026. Forced photometry has
`scienceFlux` and `forced` alone. Missing is NaN: dipole fits of what is no dipole, and `dipoleFluxDiff`,
which has no model.
"""

import numpy as np

from rtf.alerts.surveys.lsst import LSST
from rtf.simulation.cadence import Visits
from rtf.simulation.lsst.detections import LsstDetections
from rtf.simulation.scene import Scene
from rtf.simulation.sky import Event, Place

_COLUMN = {name: k for k, name in enumerate(LSST.metadata_fields)}
_PIXELS = 1681  # of a PSF fit
#: Shares of detections with each flag.
_FLAGS = {
    "centroid_flag": 0.013, "shape_flag": 0.029, "psfFlux_flag": 0.013, "pixelFlags_cr": 0.0012,
    "pixelFlags_edge": 0.0, "pixelFlags_interpolated": 0.0048, "pixelFlags_saturated": 0.0002,
    "pixelFlags_streak": 0.0008,
}  # fmt: skip
_DIPOLES = 0.055  # share of detections on a host brighter than ten times the difference flux


def draw_metadata(
    rng: np.random.Generator,
    visits: Visits,
    detections: LsstDetections,
    scene: Scene,
    place: Place,
    event: Event,
) -> tuple[np.ndarray, np.ndarray]:
    """Metadata (L, F) float32 of a source's rows, and positions (L, 2) float64, ra and dec [degree]."""
    count, snr, forced = len(detections.visit), detections.snr, detections.forced
    table = np.full((len(LSST.metadata_fields), count), np.nan, np.float32)
    normal, uniform = rng.standard_normal((16, count)), rng.random((2 + len(_FLAGS), count))

    def put(name, value):
        table[_COLUMN[name]] = value

    flux, error = detections.flux, detections.fluxerr
    seeing = visits.fwhm[detections.visit] * LSST.pixel  # [arcsec]
    variance = (seeing / 2.355) ** 2  # of the PSF [arcsec^2]
    weak = 10 / np.maximum(snr, 1.0)
    # Reliability grows with S/N: medians 0.53 at 6, 0.75 at 11, 0.82 at 22.
    logit = 0.6 + 1.1 * np.log10(np.maximum(snr, 5.0) / 6) + 0.9 * normal[0]
    put("reliability", 1 / (1 + np.exp(-logit)))
    put("snr", snr)
    put("extendedness", np.minimum(0.17 * weak**0.9 * np.exp(1.3 * normal[1]), 1.0))
    put("isNegative", flux < 0)
    on_light = np.abs(flux) < 0.1 * detections.template
    dipole = uniform[0] < _DIPOLES * np.where(on_light, 1.8, 0.4)
    put("isDipole", dipole)
    put("templateFlux", detections.template)
    science = flux + detections.template + 0.4 * error * normal[2]
    put("scienceFlux", science)
    put("apFlux", flux * (1 - 0.03 + 1.3 / np.maximum(snr, 3.0) * normal[3]))
    put("psfNdata", _PIXELS)
    bright = 1 + (np.maximum(snr, 1.0) / 250) ** 2
    put("psfChi2", _PIXELS * (1.035 * np.exp(0.035 * normal[4]) * bright + 0.05 * np.abs(normal[5])))
    centroid = 0.62 * seeing / np.maximum(snr, 1.0)  # [arcsec]
    put("raErr", centroid * np.exp(0.2 * normal[6]) / 3600)
    put("decErr", centroid * np.exp(0.2 * normal[7]) / 3600)
    shape = 1.6 / np.maximum(snr, 3.0)
    e1, e2 = 0.05 * normal[8], 0.05 * normal[9]
    xx, yy, xy = variance * (1 + e1), variance * (1 - e1), variance * e2
    put("ixxPSF", xx)
    put("iyyPSF", yy)
    put("ixyPSF", xy)
    put("ixx", xx * 0.94 * np.exp(np.minimum(2.2 * shape, 0.6) * normal[10]))
    put("iyy", yy * 0.94 * np.exp(np.minimum(2.2 * shape, 0.6) * normal[11]))
    put("ixy", xy + variance * np.minimum(2 * shape, 0.5) * normal[12])
    put("trailLength", 1.95 * np.sqrt(variance) * np.exp(0.28 * normal[13]))
    put("dipoleLength", np.where(dipole, 0.05 * np.exp(0.9 * normal[14]), np.nan))
    put("dipoleMeanFlux", np.where(dipole, science, np.nan))
    for k, (name, share) in enumerate(_FLAGS.items()):
        put(name, uniform[2 + k] < share)
    table[: _COLUMN["forced"], forced] = np.nan
    table[_COLUMN["scienceFlux"], forced] = science[forced]
    put("forced", forced)
    scatter = np.hypot(0.015, centroid) * rng.standard_normal((2, count))
    scale = 3600 * np.array([np.cos(np.radians(place.dec)), 1.0])
    positions = np.array([place.ra, place.dec]) + scatter.T / scale
    positions[:, 0] %= 360.0
    return np.ascontiguousarray(table.T), positions
