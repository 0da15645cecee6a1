"""GP features: 38 numbers of each band g, r, i, from a Gaussian process through the band's magnitudes.

Notable:
- magnitudes, not fluxes: one range of kernels serves bright and faint sources, and most declines are nearly
  straight
- computed from exactly the detections given, each source by itself: the same bits alone and in any batch
- a band of fewer than 3 detections, or all at one time, is not fitted: only its count is known
- `FEATURE_TABLE` has the names, units and gaps of the features

The prior mean is the mean of the band's magnitudes; 0.01 mag, the calibration of an alert's photometry, is
added to each error in quadrature.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtf.alerts.history import Detections
from rtf.alerts.surveys.ztf import ZTF
from rtf.features.gp.likelihood import fit_kernels
from rtf.features.gp.posterior import condition
from rtf.features.gp.shape import FEATURE_TABLE, GP_FEATURES, shape_features
from rtf.features.metadata import robust_columns, robust_statistics

__all__ = ["FEATURE_TABLE", "GP_FEATURES", "GPFeatures", "gp_features"]

MIN_DETECTIONS = 3
ERROR_FLOOR = 0.01  # mag
#: Numbers held at once while a curve is looked at on its grid: they should fit the processor's cache.
_CHUNK = 4000


def gp_features(detections: Detections) -> np.ndarray:
    """(N, 3, 38) float32, `GP_FEATURES` of each source's g, r and i, NaN where one cannot be computed.

    Raises
    ------
    ValueError : mjd, mag or magerr is not finite, magerr is negative, or band is none of g, r, i
    """
    for name in ("mjd", "mag", "magerr"):
        if not np.isfinite(getattr(detections, name)).all():
            raise ValueError(f"{name} is not finite for some detections: GP features cannot be computed")
    if (detections.magerr < 0).any():
        raise ValueError("magerr is negative for some detections: GP features cannot be computed")
    if detections.survey.signed:
        raise ValueError(f"GP features are of magnitudes; {detections.survey.title} has signed fluxes")
    if ((detections.band < 0) | (detections.band >= len(ZTF.bands))).any():
        raise ValueError(
            f"band is none of 0 to {len(ZTF.bands) - 1} ({', '.join(ZTF.bands)}) for some detections"
        )
    features = np.full((len(detections), len(ZTF.bands), len(GP_FEATURES)), np.nan, np.float32)
    flat = features.reshape(-1, len(GP_FEATURES))
    # A curve is one source's detections in one band: together, still in time order.
    curve = np.repeat(np.arange(len(detections)), detections.length) * len(ZTF.bands) + detections.band
    order = np.argsort(curve, kind="stable")
    days = (detections.mjd - detections.mjd[np.repeat(detections.offset[:-1], detections.length)])[order]
    mag, magerr = (x[order].astype(np.float64) for x in (detections.mag, detections.magerr))
    count = np.bincount(curve, minlength=len(flat))
    flat[:, GP_FEATURES.index("n_detections")] = count
    first = np.cumsum(count) - count
    fitted = np.flatnonzero(count >= MIN_DETECTIONS)
    fitted = fitted[days[first[fitted] + count[fitted] - 1] > days[first[fitted]]]
    if not len(fitted):
        return features

    # Longest first, as the likelihood wants them; those of equal length are then neighbours.
    fitted = fitted[np.argsort(-count[fitted], kind="stable")]
    count, first = count[fitted], first[fitted]
    position = np.arange(count[0])[:, None]
    row, within = first + np.minimum(position, count - 1), position < count
    start, centre = days[first], np.where(within, mag[row], 0.0).sum(0) / count
    columns = (days[row] - start, mag[row] - centre, magerr[row] ** 2 + ERROR_FLOOR**2)
    amplitude, length, _ = fit_kernels(count, *columns)
    edges = np.flatnonzero(np.diff(count, prepend=0, append=0))
    for left, right in pairwise(edges):
        n = count[left]
        size = max(1, _CHUNK // n)
        for k in range(left, right, size):
            some = slice(k, min(k + size, right))
            t, y, noise = (np.ascontiguousarray(x[:n, some].T) for x in columns)
            fit = condition(t, y, noise, amplitude[some], length[some])
            found = shape_features(fit, y, noise, centre[some], start[some])
            found |= {"gp_amplitude": amplitude[some], "gp_length": length[some]}
            flat[fitted[some]] = np.stack([found[name] for name in GP_FEATURES], 1)
    return features


@dataclass(frozen=True)
class GPFeatures:
    """The GP modality: 114 features of each source, scaled values then masks (1 where missing)."""

    width: int = 2 * len(ZTF.bands) * len(GP_FEATURES)
    per_source = True

    @property
    def names(self) -> tuple[str, ...]:
        """The 114 features, band by band, as "g.peak_mag"."""
        return tuple(f"{band}.{name}" for band in ZTF.bands for name in GP_FEATURES)

    def compute(self, detections: Detections) -> np.ndarray:
        """(N, 114) float32 from exactly the detections given, columns `names`, NaN where missing."""
        return gp_features(detections).reshape(len(detections), self.width // 2)

    def present(self, raw: np.ndarray) -> np.ndarray:
        """(N,) bool, whether any band of a source was fitted."""
        fitted = [k for k, name in enumerate(self.names) if name.endswith(".peak_mag")]
        return np.isfinite(raw[:, fitted]).any(1)

    def fit(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """`median` and `scale`, (114,) each, of training values (M, 114), as of the metadata modality."""
        return robust_statistics(raw)

    def normalise(self, raw: np.ndarray, statistics: dict[str, np.ndarray]) -> np.ndarray:
        """(N, 228) float32: asinh((x - median) / scale), 0 where missing, then the masks."""
        scaled = np.empty((len(raw), self.width), np.float32)
        robust_columns(raw, statistics, scaled)
        return scaled
