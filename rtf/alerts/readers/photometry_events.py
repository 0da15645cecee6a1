"""Photometry events: `DIR/{split}/{object_id}.npz` with `data` and `label`, the photometry-only baseline."""

import io
import math
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.alerts.folders import Unit, units
from rtf.alerts.history import SPLITS, SourceHistory, from_columns
from rtf.alerts.limits import PACKET, guarded
from rtf.alerts.report import BadItem, ReadReport
from rtf.alerts.ztf import FAULTS, LATEST, faults, object_name
from rtf.classes import FINE, UNKNOWN

FILES_PER_UNIT = 256

_COLUMNS = {"time": "dt", "band": "band id", "mag": "logflux", "magerr": "logflux_err"}
_FAULTS = [(_COLUMNS.get(field, field), reason) for field, reason in FAULTS]
_FAULTS[2] = ("dt", f"beyond {LATEST:g} days")


def recognises(path: Path) -> bool:
    return any(next((Path(path) / split).glob("*.npz"), None) is not None for split in SPLITS)


@dataclass
class PhotometryEvents:
    """One file a source; columns dt, dt_prev [day], band id (0 g, 1 r, 2 i), logflux, logflux_err [dex].

    The files say how many days after the first detection a detection came, not when: `mjd` counts from 0.
    They have neither subtractions nor cutouts.
    """

    negative: bool = False  # without effect here, as is cutouts
    cutouts: bool = True

    def units(self, path: Path) -> list[Unit]:
        """256 files at a time."""
        sources = [file for split in SPLITS for file in sorted((Path(path) / split).glob("*.npz"))]
        return units(sources, FILES_PER_UNIT)

    def read(self, unit: Unit, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each file."""
        for path in unit.items:
            report.count("files")
            yield from guarded(_source(path, report), report, path)


def _source(path: Path, report: ReadReport) -> Iterator[SourceHistory]:
    object_id = object_name(path.stem)
    content = read_npz(path, ("data", "label"))
    if "data" not in content:
        raise BadItem("missing", "data")
    data = content["data"].astype(np.float64)
    label = fine_index(content["label"], path, report) if "label" in content else UNKNOWN
    if data.ndim != 2 or data.shape[1] < 5:
        raise BadItem(f"shape {data.shape} instead of (L, 5 or more)", "data")
    time, band, mag, magerr = data[:, 0], data[:, 2], -2.5 * data[:, 3], data[:, 4] / 0.4
    known = (band == 0) | (band == 1) | (band == 2)
    code = faults(time, known, mag, magerr, earliest=-LATEST)
    report.skip_rows(path, _FAULTS, code, lambda k: f"row {k}")
    keep = code == 0
    report.count("detections", int(keep.sum()))
    yield from_columns(
        object_id, time[keep], band[keep], mag[keep], magerr[keep], label=label, split=path.parent.name
    )


def read_npz(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays `names` of an NPZ file, as far as it has them; BadItem where one is not what it claims.

    NumPy's own reader allocates whatever shape a file claims and unpacks whatever was packed.
    """
    arrays = {}
    if path.stat().st_size > PACKET:
        raise BadItem(f"larger than {PACKET:,} bytes")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name not in names:
                continue
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadItem("unknown compression", name)
            with archive.open(member) as packed:
                content = packed.read(PACKET + 1)
            if len(content) > PACKET:
                raise BadItem(f"larger than {PACKET:,} bytes", name)
            stream = io.BytesIO(content)
            shape, fortran, dtype = read_npy_header(stream)
            if dtype.hasobject:
                raise BadItem("holds Python objects instead of numbers", name)
            if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
                raise BadItem(f"shape {shape} does not fit its bytes", name)
            flat = np.frombuffer(content, dtype, offset=stream.tell()) if dtype.itemsize else np.empty(0)
            arrays[name] = flat.reshape(shape, order="F" if fortran else "C")
    return arrays


def read_npy_header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of an array in the NPY format."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise BadItem(f"unknown version {version} of the NPY format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def fine_index(value: np.ndarray, path: Path, report: ReadReport) -> int:
    """A stored fine class, or unknown, reported, where it is none of `FINE`; -1 stands for unknown itself."""
    if value.size == 1 and value.dtype.kind in "iuf":
        number = float(value.reshape(()))
        if number == UNKNOWN or number in range(len(FINE)):
            return int(number)
    report.skip(path, f"not a fine class 0 to {len(FINE) - 1}, kept as unknown", field="label")
    return UNKNOWN
