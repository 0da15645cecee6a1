"""Light-curve tables, parquet or CSV: one detection a row.

Notable:
- everything is done on whole columns; one source costs a few slices
- rows are named by their number in the file, counted from 0
- rows of one object may lie anywhere in a file and in several files
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rtf.alerts.folders import files
from rtf.alerts.history import BANDS, METADATA_FIELDS, NO_CANDID, SourceHistory, from_columns
from rtf.alerts.report import NAMED, ReadReport
from rtf.alerts.ztf import exact_candid, fault, positive, usable
from rtf.classes import UNKNOWN, fine_label

REQUIRED = ("object_id", "mjd", "band", "mag", "magerr")
OPTIONAL = ("type", "isdiffpos", "ra", "dec", "candid", "split")
SPLITS = ("train", "val", "test")

_TEXT = ("object_id", "band", "type", "isdiffpos", "split")
_LOOKED_AT = 16  # files of a folder, before deciding that it holds no tables


@dataclass(frozen=True)
class Part:
    """A row group of a parquet file or a whole CSV file, the unit of parallel work."""

    path: Path
    group: int | None
    first_row: int

    def __str__(self) -> str:
        return str(self.path) if self.group is None else f"{self.path} row group {self.group}"


def recognises(path: Path) -> bool:
    """At least three of the five columns: the reader then names what is missing."""
    candidates = list(files(path, ".parquet", ".csv"))[:_LOOKED_AT]
    return any(len(set(REQUIRED) & set(_names(file))) >= 3 for file in candidates)


@dataclass
class LightCurveTable:
    """Columns object_id, mjd, band (g, r, i), mag, magerr[, type][, isdiffpos][, ra, dec][, candid][, split].

    `type` is a class name (`rtf.classes.fine_label`); rows of other types have no label and are counted as
    `unknown_type`.

    Attributes
    ----------
    negative : keep negative subtractions
    cutouts : without effect here, a table has none
    """

    negative: bool = False
    cutouts: bool = True

    def units(self, path: Path) -> list[Part]:
        """One row group of a parquet file, or one CSV file, at a time."""
        units = []
        for file in files(path, ".parquet", ".csv"):
            if file.suffix == ".csv":
                units.append(Part(file, None, 0))
                continue
            try:
                metadata = pq.read_metadata(file)
            except (pa.ArrowInvalid, OSError):
                units.append(Part(file, 0, 0))  # for `read` to report
                continue
            row = 0
            for k in range(metadata.num_row_groups):
                units.append(Part(file, k, row))
                row += metadata.row_group(k).num_rows
        return units

    def read(self, unit: Part, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each object of the part."""
        try:
            table = _table(unit)
        except (pa.ArrowException, OSError) as error:
            report.skip(unit.path, f"unreadable table ({str(error)[:200]})")
            return
        for column in REQUIRED:
            if column not in table.column_names:
                report.skip(unit.path, "column missing", field=column)
                return
        report.count("rows", table.num_rows)
        yield from _sources(table, unit, report, self.negative)


def _names(file: Path) -> list[str]:
    try:
        if file.suffix == ".parquet":
            return pq.read_schema(file).names
        with file.open(encoding="utf-8") as stream:
            return [name.strip(' "\n\r') for name in stream.readline(10_000).split(",")]
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError):
        return []


def _table(unit: Part) -> pa.Table:
    if unit.group is None:
        options = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(_TEXT, pa.string()), strings_can_be_null=True
        )
        return pa.csv.read_csv(unit.path, convert_options=options)
    file = pq.ParquetFile(unit.path)
    columns = [name for name in REQUIRED + OPTIONAL if name in file.schema_arrow.names]
    return file.read_row_group(unit.group, columns)


def _sources(table: pa.Table, unit: Part, report: ReadReport, negative: bool) -> Iterator[SourceHistory]:
    columns = set(table.column_names)
    names, source = _categories(table["object_id"])
    time, mag, magerr = (_numbers(table[name]) for name in ("mjd", "mag", "magerr"))
    band = _look_up(table["band"], lambda name: BANDS.index(name) if name in BANDS else -1)
    sign = np.ones(table.num_rows, int)
    if "isdiffpos" in columns:
        sign = _look_up(table["isdiffpos"], lambda value: {True: 1, False: 0, None: -1}[positive(value)])
    split = np.zeros(table.num_rows, int)
    if "split" in columns:
        split = _look_up(table["split"], _split_index, 0)

    with np.errstate(over="ignore"):
        keep = (source >= 0) & (band >= 0) & (sign >= 0) & (split >= 0) & usable(time, mag, magerr)
    for number, k in enumerate(np.flatnonzero(~keep)):
        if source[k] < 0:
            field, reason = "object_id", "missing"
        elif sign[k] < 0:
            field, reason = "isdiffpos", "none of t, 1, f, 0"
        elif split[k] < 0:
            field, reason = "split", f"none of {', '.join(SPLITS)}"
        else:
            field, reason = fault(time[k], band[k] >= 0, mag[k], magerr[k])
            field = {"time": "mjd"}.get(field, field)
        item = f"row {unit.first_row + k}" if number < NAMED else ""
        report.skip(unit.path, reason, item=item, field=field)
    if not negative:
        report.count("negative", int((keep & (sign == 0)).sum()))
        keep &= sign != 0
    report.count("detections", int(keep.sum()))

    label = np.full(table.num_rows, UNKNOWN)
    if "type" in columns:
        label = _look_up(table["type"], fine_label, UNKNOWN)
        named = table["type"].is_valid().to_numpy()
        report.count("unknown_type", int((keep & named & (label == UNKNOWN)).sum()))
    candid = _candids(table["candid"], report) if "candid" in columns else np.full(table.num_rows, NO_CANDID)
    nowhere = np.full(table.num_rows, np.nan)
    ra, dec = (_numbers(table[x]) for x in ("ra", "dec")) if {"ra", "dec"} <= columns else (nowhere, nowhere)

    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((candid[rows], band[rows], time[rows], source[rows]))]
    source, label, split, ra, dec = source[rows], label[rows], split[rows], ra[rows], dec[rows]
    place = np.lexsort((ra, dec, source))  # NaN goes last: the first of a source is its smallest position
    values = (
        time[rows],
        band[rows].astype(np.int8),
        mag[rows].astype(np.float32),
        magerr[rows].astype(np.float32),
    )
    metadata = np.full((len(rows), len(METADATA_FIELDS)), np.nan, np.float32)
    candid = candid[rows]
    for k in np.setdiff1d(np.arange(len(names)), source):
        yield from_columns(names[k], [], [], [], [])  # nothing left of it, which the caller counts
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(rows)]):
        own = slice(start, stop)
        yield SourceHistory(
            names[source[start]], *(column[own] for column in values), metadata[own], candid[own], None,
            float(ra[place[start]]), float(dec[place[start]]), int(label[own].max()),
            ("", *SPLITS)[max(split[own], key=("", *SPLITS).__getitem__)] if split[own].any() else "",
        )  # fmt: skip


def _split_index(name: str) -> int:
    """1, 2, 3 for train, val, test; 0 for none, -1 for something else."""
    return SPLITS.index(name) + 1 if name in SPLITS else -1 if name else 0


def _categories(column: pa.ChunkedArray) -> tuple[list, np.ndarray]:
    """The distinct values of a column, and (rows,) the index of each row's value in them, -1 for null."""
    text = column.cast(pa.string()).combine_chunks()
    encoded = text.dictionary_encode() if not isinstance(text, pa.ChunkedArray) else text.chunk(0)
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy().astype(np.int64)


def _look_up(column: pa.ChunkedArray, meaning, absent: int = -1) -> np.ndarray:
    """(rows,) int: what each row's text means."""
    names, index = _categories(column)
    return np.array([*(meaning(name) for name in names), absent])[index]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) float64, NaN for null and for text that is no number."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        names, index = _categories(column)
        return np.array([*(_number(name) for name in names), np.nan])[index]
    numbers = column.cast(pa.float64()).to_numpy().copy()
    numbers[numbers == -999] = np.nan
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _candids(column: pa.ChunkedArray, report: ReadReport) -> np.ndarray:
    if pa.types.is_integer(column.type):
        ids = pc.fill_null(column, NO_CANDID).to_numpy().astype(np.int64)
        return np.where(ids >= 0, ids, NO_CANDID)
    ids = [exact_candid(value) for value in column.to_pylist()]
    if None in ids:
        report.count("imprecise_candid", ids.count(None))
    return np.array([NO_CANDID if value is None else value for value in ids], np.int64)
