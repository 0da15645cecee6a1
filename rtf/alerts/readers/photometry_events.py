"""Photometry events: `DIR/{split}/{object_id}.npz` with `data` and `label`, the photometry-only baseline."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.alerts.folders import Parcel, parcels
from rtf.alerts.history import SourceHistory, from_columns
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import fault, usable
from rtf.classes import FINE, UNKNOWN

SPLITS = ("train", "val", "test")
FILES_PER_UNIT = 256

#: What NumPy raises on a damaged NPZ file.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def recognises(path: Path) -> bool:
    return any(next((Path(path) / split).glob("*.npz"), None) is not None for split in SPLITS)


@dataclass
class PhotometryEvents:
    """One file a source; columns dt, dt_prev [day], band id (0 g, 1 r, 2 i), logflux, logflux_err [dex].

    The files say how many days after the first detection a detection came, not when: `mjd` counts from 0.

    Attributes
    ----------
    negative, cutouts : without effect here, the files have neither subtractions nor cutouts
    """

    negative: bool = False
    cutouts: bool = True

    def units(self, path: Path) -> list[Parcel]:
        """256 files at a time."""
        sources = [file for split in SPLITS for file in sorted((Path(path) / split).glob("*.npz"))]
        return parcels(sources, FILES_PER_UNIT)

    def read(self, unit: Parcel, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each file."""
        for path in unit.paths:
            history = _source(path, report)
            if history is not None:
                yield history


def _source(path: Path, report: ReadReport) -> SourceHistory | None:
    report.count("files")
    try:
        with np.load(path, allow_pickle=False) as content:
            missing = {"data"} - set(content.files)
            if missing:
                report.skip(path, "missing", field="data")
                return None
            data = np.asarray(content["data"], np.float64)
            label = fine_index(content["label"], path, report) if "label" in content.files else UNKNOWN
    except UNREADABLE as error:
        report.skip(path, f"unreadable NPZ file ({type(error).__name__}: {str(error)[:200]})")
        return None
    if data.ndim != 2 or data.shape[1] < 5:
        report.skip(path, f"shape {data.shape} instead of (L, 5 or more)", field="data")
        return None
    time, band, mag, magerr = data[:, 0], data[:, 2], -2.5 * data[:, 3], data[:, 4] / 0.4
    known = (band == 0) | (band == 1) | (band == 2)
    keep = known & usable(time, mag, magerr)
    for k in np.flatnonzero(~keep):
        name, reason = fault(time[k], known[k], mag[k], magerr[k])
        column = {"time": "dt", "band": "band id", "mag": "logflux", "magerr": "logflux_err"}[name]
        report.skip(path, reason, item=f"row {k}", field=column)
    report.count("detections", int(keep.sum()))
    return from_columns(
        path.stem, time[keep], band[keep], mag[keep], magerr[keep], label=label, split=path.parent.name
    )


def fine_index(value: np.ndarray, path: Path, report: ReadReport) -> int:
    """A stored fine class, or unknown, reported, where it is none of `FINE`; -1 stands for unknown itself."""
    value = np.asarray(value)
    if value.size == 1 and value.dtype.kind in "iuf":
        number = float(value.reshape(()))
        if number == UNKNOWN or number in range(len(FINE)):
            return int(number)
    report.skip(path, f"not a fine class 0 to {len(FINE) - 1}, kept as unknown", field="label")
    return UNKNOWN
