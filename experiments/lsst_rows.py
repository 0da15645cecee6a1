"""Gaps, depths, errors and metadata of LSST stores: `python experiments/lsst_rows.py STORE [STORE]`.

Notable:
- gaps are between consecutive rows of one source in one band; depth is that of a row's error, 5 sigma [mag]
- errors by magnitude are medians of the flux error of rows of either sign within half a magnitude
"""

import sys

import numpy as np

from rtf.alerts.history import concatenate
from rtf.alerts.surveys.lsst import LSST
from rtf.store.read import open_store

MAGNITUDES = (20, 22)
FIELDS = ("snr", "reliability", "extendedness", "isNegative", "isDipole", "ixxPSF", "psfChi2", "trailLength")


def describe(path: str) -> None:
    """Print what the rows of a store are like."""
    histories = list(open_store(path).histories())
    rows = concatenate(histories)
    forced = rows.metadata[:, LSST.metadata_fields.index("forced")] == 1
    flux, error = LSST.flux(rows.mag, rows.magerr, rows.band)
    source = np.repeat(np.arange(len(rows)), rows.length)
    depth, magnitude = 31.4 - 2.5 * np.log10(5 * error), 31.4 - 2.5 * np.log10(np.abs(flux) + 1e-3)
    counts = [np.median(np.bincount(source[keep], minlength=len(rows))) for keep in (forced, ~forced)]
    print(f"{path}: {len(rows)} sources, medians {counts[1]:.0f} detections, {counts[0]:.0f} forced")
    print("band  share  gaps <30 min  <12 h  <1.5 d  more  depth 10 50 90 %  error at", MAGNITUDES, "[nJy]")
    for k in LSST.by_wavelength:
        own = np.flatnonzero(rows.band == k)
        order = own[np.lexsort((rows.mjd[own], source[own]))]
        gap = np.diff(rows.mjd[order])[np.diff(source[order]) == 0]
        if not len(gap):
            continue
        shares = np.histogram(gap, [-1, 0.0208, 0.5, 1.5, np.inf])[0] / len(gap)
        near = [np.median(error[own][np.abs(magnitude[own] - m) < 0.5]) for m in MAGNITUDES]
        print(
            LSST.bands[k], f"{len(own) / len(rows.mjd):.2f}", np.round(shares, 2),
            np.percentile(depth[own], [10, 50, 90]).round(2), np.round(near),
        )  # fmt: skip
    for name in FIELDS:
        values = rows.metadata[~forced, LSST.metadata_fields.index(name)]
        values = values[np.isfinite(values)]
        print(f"{name}: mean {values.mean():.3g}; 5, 50, 95 %", np.percentile(values, [5, 50, 95]).round(3))


if __name__ == "__main__":
    for store in sys.argv[1:]:
        describe(store)
