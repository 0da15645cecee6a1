"""Light-curve tables, parquet or CSV: one detection a row, or one object a row with lists in its columns.

Notable:
- everything is done on whole columns; one source costs a few slices
- rows are named by their number in the file, counted from 0; those of one object may lie anywhere
- a row without a magnitude but with `limmag` is a non-detection; a file may hold nothing else
"""

import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rtf.alerts import ztf
from rtf.alerts.folders import Unit, files, units
from rtf.alerts.history import NO_CANDID, SPLITS, SourceHistory, from_columns
from rtf.alerts.limits import HEADER, RATIO, TABLE, guarded
from rtf.alerts.parquet import SUFFIXES, RowGroup, batches, row_groups, schema
from rtf.alerts.report import BadItem, ReadReport, printable
from rtf.alerts.surveys import ZERO_POINT, Survey, survey_named
from rtf.classes import UNKNOWN, fine_label

REQUIRED = ("object_id", "mjd", "band", "mag", "magerr")
OPTIONAL = ("type", "isdiffpos", "ra", "dec", "candid", "split", "limmag")
#: What a table of non-detections needs.
LIMITS = ("object_id", "mjd", "band", "limmag")
WANTED = REQUIRED + OPTIONAL
CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")

_ROWS = 1 << 17  # of a parquet file, decoded together
_LOOKED_AT = 4096  # files of a folder, before deciding that it holds no tables
_BLOCK = 4 << 20  # bytes of a CSV file, decoded together
_FAULTS = [
    *(({"time": "mjd"}.get(field, field), reason) for field, reason in ztf.FAULTS),
    ("limmag", f"missing or outside {ztf.BRIGHTEST:g} to {ztf.FAINTEST:g}"),
    ("split", f"none of {', '.join(SPLITS)}"),
]
_MAG_FAULTS = [k for k, (field, _) in enumerate(_FAULTS) if field == "mag"]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def recognises(path: Path) -> bool:
    """At least three of the five columns in one of the files: the reader then names what is missing."""
    return any(len(set(REQUIRED) & set(names)) >= 3 for _, names in _headers(path))


def explain(path: Path) -> str:
    """Which columns the first table has, where there is one that no reader understands."""
    file, names = next(((file, names) for file, names in _headers(path) if names), (None, []))
    if file is None:
        return ""
    has = printable(", ".join(names))
    return f"{file} has the columns {has}; a light-curve table needs {', '.join(REQUIRED)}"


def _headers(path: Path) -> Iterator[tuple[Path, list[str]]]:
    for file in islice(files(path, *SUFFIXES, *CSV), _LOOKED_AT):
        if file.name.lower().endswith(SUFFIXES):
            yield file, _leaves(schema(file))
            continue
        try:
            yield file, _csv_header(file)[0]
        except Exception:  # its turn to be reported comes when it is read
            yield file, []


def _leaves(columns: pa.Schema) -> list[str]:
    """Names of columns, and of those inside a record or a list of records."""
    names = []
    for field in columns:
        kind = field.type.value_type if _is_list(field.type) else field.type
        names += [inner.name for inner in kind] if pa.types.is_struct(kind) else [field.name]
    return names


@dataclass
class LightCurveTable:
    """Columns object_id, mjd, band (g, r, i), mag, magerr[, type][, isdiffpos][, ra, dec][, candid][, split].

    Non-detections are rows without `mag` that have `limmag`, the limiting magnitude, in the same files or in
    files of their own (object_id, mjd, band, limmag).

    `type` is a class name (`rtf.classes.fine_label`); rows of other types have no label and are counted as
    `unknown_type`. `isdiffpos` is t, true, 1 or f, false, 0, -1. A CSV file may be compressed (.csv.gz),
    separated by commas, semicolons or tabs, and have comment lines that begin with #.
    """

    negative: bool = False  # keep negative subtractions
    cutouts: bool = True  # without effect here, a table has none
    survey: str = "ztf"  # whose bands they are; AB magnitudes of lsst become asinh magnitudes

    def units(self, path: Path) -> list[RowGroup | Unit]:
        """One row group of a parquet file, or one CSV file, at a time."""
        return row_groups(files(path, *SUFFIXES)) + units(list(files(path, *CSV)))

    def read(self, unit: RowGroup | Unit, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each object, of every batch of rows."""
        group = unit if isinstance(unit, RowGroup) else None
        path, part = (group.path, group.item) if group else (unit.items[0], "")
        for histories in guarded(self._batches(group, path, report), report, path, part):
            yield from histories

    def _batches(self, group: RowGroup | None, path: Path, report) -> Iterator[list[SourceHistory]]:
        row, tables = 0, _csv_batches(path, report)
        if group:
            row, tables = group.first_row, batches(group, lambda file: _columns(file.schema_arrow), _ROWS)
        for batch in tables:
            report.count("rows", batch.num_rows)
            columns, rows = _flat(batch, row, path, report)
            yield list(_sources(columns, rows, path, report, self.negative, survey_named(self.survey)))
            row += batch.num_rows
        if not row:
            raise BadItem("no rows")


def _columns(columns: pa.Schema) -> list[str]:
    """The columns to read; BadItem where one that is needed is missing, or one is there twice."""
    _check_names(_leaves(columns))
    return [field.name for field in columns if set(_leaves(pa.schema([field]))) & set(WANTED)]


def _check_names(names: list[str]) -> None:
    needed = LIMITS if "limmag" in names and "mag" not in names else REQUIRED
    for name in WANTED:
        if names.count(name) > 1:
            raise BadItem("column is there twice", name)
        if name in needed and name not in names:
            raise BadItem(f"column missing; there are {printable(', '.join(names))}", name)


class _Gunzipped(gzip.GzipFile):
    """What is in a compressed table, unless it is much more than the file."""

    def read(self, size=-1):
        content = super().read(size)
        if self.tell() > TABLE + RATIO * os.path.getsize(self.name):
            raise BadItem(f"decompresses to more than {RATIO} times its size")
        return content


def _open(path: Path):
    return _Gunzipped(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _csv_header(path: Path) -> tuple[list[str], str, int, str]:
    """Column names, separator, lines before the first row, and encoding of a CSV file."""
    with _open(path) as file:
        head = file.read(HEADER)
    encoding = "utf16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf8"
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\n|\r", text)
    first = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise BadItem("no header line")
    splits = [(mark, [name.strip(" \"'") for name in lines[first].split(mark)]) for mark in ",;\t"]
    mark, names = max(splits, key=lambda split: (len(set(split[1]) & set(WANTED)), len(split[1])))
    return names, mark, first + 1, encoding


def _csv_batches(path: Path, report: ReadReport) -> Iterator[pa.RecordBatch]:
    names, mark, skip, encoding = _csv_header(path)
    _check_names(names)

    def bad_row(row) -> str:
        if not row.text.startswith("#"):
            reason = f"{row.actual_columns} fields instead of {row.expected_columns}"
            report.skip(path, reason, item=f"line {row.number}")
        return "skip"

    wanted = [name for name in names if name in WANTED]
    # unique stand-ins for columns that nobody asks for
    names = [name if name in wanted else f"{k} {name}" for k, name in enumerate(names)]
    with _open(path) as stream:
        form = {"column_names": names, "encoding": encoding, "skip_rows": skip}
        types = {"column_types": dict.fromkeys(wanted, pa.binary()), "include_columns": wanted}
        yield from pa.csv.open_csv(
            stream,
            pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK, **form),
            pa.csv.ParseOptions(delimiter=mark, invalid_row_handler=bad_row),
            pa.csv.ConvertOptions(strings_can_be_null=True, **types),
        )


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _flat(batch: pa.RecordBatch, first: int, path, report) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Columns by name with one detection a row, and the number in the file of the row it comes from."""
    rows = np.arange(first, first + batch.num_rows)
    columns = _without_records(dict(zip(batch.schema.names, batch.columns)))
    lists = [name for name, column in columns.items() if _is_list(column.type)]
    if lists:
        lengths = [pc.fill_null(pc.list_value_length(columns[n]), 0).to_numpy() for n in lists]
        same = np.all([length == lengths[0] for length in lengths], axis=0)
        faults = [("", ""), ("", "lists of different lengths")]
        report.skip_rows(path, faults, 1 - same, lambda k: f"row {rows[k]}")
        index = np.repeat(np.flatnonzero(same), lengths[0][same])
        rows = rows[index]
        for name, column in columns.items():
            columns[name] = column.filter(pa.array(same)).flatten() if name in lists else column.take(index)
    return _without_records(columns), rows


def _without_records(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """The same, with the columns inside a record in its place."""
    flat = {}
    for name, column in columns.items():
        inside = pa.types.is_struct(column.type)
        flat |= zip([field.name for field in column.type], column.flatten()) if inside else {name: column}
    return flat


def _sources(
    columns, rows, path, report: ReadReport, negative: bool, survey: Survey
) -> Iterator[SourceHistory]:
    names, source, known = _names(columns["object_id"])
    absent = np.full(len(rows), np.nan)
    time, mag, magerr, depth = (
        _numbers(columns, name) if name in columns else absent for name in ("mjd", "mag", "magerr", "limmag")
    )
    band = _look_up(columns, "band", lambda name: survey.bands.index(name) if name in survey.bands else -1)
    sign, split = np.ones(len(rows), int), np.zeros(len(rows), int)
    if "isdiffpos" in columns:
        sign = _look_up(columns, "isdiffpos", lambda v: {True: 1, False: 0, None: -1}[ztf.positive(v)])
    if "split" in columns:
        numbers = {name: k for k, name in enumerate(("", *SPLITS))}
        split = _look_up(columns, "split", lambda name: numbers.get(name or "", -1), 0)

    # Reasons of this table's own follow those that all share.
    reasons = [*_FAULTS, *((("object_id", reason)) for reason in known)]
    code = ztf.faults(time, band >= 0, mag, magerr)
    code[split < 0] = len(_FAULTS) - 1
    code[sign < 0] = len(ztf.FAULTS) - 1
    code[source < 0] = len(_FAULTS) - 1 - source[source < 0]
    missed = np.isnan(mag) & (np.isfinite(depth) | ("mag" not in columns)) & (source >= 0)
    limit_code = ztf.faults(time, band >= 0, depth, np.zeros(len(rows)))
    limit_code[np.isin(limit_code, _MAG_FAULTS)] = len(_FAULTS) - 2
    code[missed] = limit_code[missed]
    report.skip_rows(path, reasons, code, lambda k: f"row {rows[k]}")
    missed &= code == 0
    report.count("non_detections", int(missed.sum()))
    keep = (code == 0) & ~missed
    if not negative:
        report.count("negative", int((keep & (sign == 0)).sum()))
        keep &= sign != 0
    report.count("detections", int(keep.sum()))

    label = np.full(len(rows), UNKNOWN)
    if "type" in columns:
        label = _labels(columns, keep, source, report)
    candid = _candids(columns["candid"], report) if "candid" in columns else np.full(len(rows), NO_CANDID)
    ra, dec = np.full((2, len(rows)), np.nan)
    if "ra" in columns and "dec" in columns:
        ra, dec = (_numbers(columns, name) for name in ("ra", "dec"))
        ra[~((np.abs(ra) <= 360) & (np.abs(dec) <= 90))] = np.nan
        dec[np.isnan(ra)] = np.nan

    owned = _by_source(source, np.flatnonzero(missed))
    limits = {k: ztf.sound_limits(time[own], band[own], depth[own]) for k, own in owned.items()}
    none = np.empty((0, 3))
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((candid[rows], band[rows], time[rows], source[rows]))]
    source, label, split, ra, dec = source[rows], label[rows], split[rows], ra[rows], dec[rows]
    place = np.lexsort((ra, dec, source))  # NaN goes last: the first of a source is its smallest position
    mag, magerr, band = mag[rows], magerr[rows], band[rows].astype(np.int8)
    if survey.signed:
        flux = 10 ** (0.4 * (ZERO_POINT - mag))
        mag, magerr = survey.magnitude(flux, flux * magerr * np.log(10) / 2.5, band)
    values = time[rows], band, np.float32(mag), np.float32(magerr)
    metadata = np.full((len(rows), len(survey.metadata_fields)), np.nan, np.float32)
    candid = candid[rows]
    for k in np.setdiff1d(np.arange(len(names)), source):
        # no detection is left of it, which the caller counts
        yield from_columns(names[k], [], [], [], [], limits=limits.get(k, none), survey=survey)
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(rows)]):
        own = slice(start, stop)
        yield SourceHistory(
            names[source[start]], *(column[own] for column in values), metadata[own], candid[own], None,
            float(ra[place[start]]), float(dec[place[start]]), int(label[own].max()),
            ("", *SPLITS)[max(split[own], key=("", *SPLITS).__getitem__)] if split[own].any() else "",
            limits.get(int(source[start]), none), survey=survey,
        )  # fmt: skip


def _by_source(source: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
    """The `rows` of each source."""
    rows = rows[np.argsort(source[rows], kind="stable")]
    whose, starts = np.unique(source[rows], return_index=True)
    return dict(zip(whose.tolist(), np.split(rows, starts[1:])))


def _names(column: pa.Array) -> tuple[list[str], np.ndarray, list[str]]:
    """Names of objects, each row's index in them, or -1, -2, ... for the reasons why it has no name."""
    values, index = _categories(column, "object_id")
    names, reasons, meaning = [], ["missing"], []
    for value in values:
        try:
            names.append(ztf.object_name(value))
            meaning.append(len(names) - 1)
        except BadItem as bad:
            if str(bad) not in reasons[:20]:
                reasons.append(str(bad))
            meaning.append(-1 - reasons.index(str(bad)))
    return names, np.array([*meaning, -1])[index], reasons


def _labels(columns, keep: np.ndarray, source: np.ndarray, report: ReadReport) -> np.ndarray:
    values, index = _categories(columns["type"], "type")
    label = np.array([*(fine_label(_text(value)) for value in values), UNKNOWN])[index]
    unknown = keep & (index >= 0) & (label == UNKNOWN)
    report.count("unknown_type", int(unknown.sum()))
    pairs = np.unique(np.stack([source[unknown], index[unknown]]), axis=1)
    for k, number in zip(*np.unique(pairs[1], return_counts=True)):
        report.unknown_type(_text(values[k]), int(number))
    return label


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _categories(column: pa.Array, name: str) -> tuple[list, np.ndarray]:
    """The distinct values of a column, and (rows,) the index of each row's value in them, -1 for null."""
    try:
        encoded = _decoded(column).dictionary_encode()
    except pa.ArrowException:
        raise BadItem(f"{column.type}, not text", name) from None
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy().astype(np.int64)


def _look_up(columns: dict[str, pa.Array], name: str, meaning, absent: int = -1) -> np.ndarray:
    """(rows,) int: what each row's value means."""
    values, index = _categories(columns[name], name)
    return np.array([*(meaning(_text(value)) for value in values), absent])[index]


def _numbers(columns: dict[str, pa.Array], name: str) -> np.ndarray:
    """(rows,) float64, NaN for null, -999 and text that is no number; BadItem for another kind of column."""
    column, kinds = _decoded(columns[name]), pa.types
    kind = column.type
    if kinds.is_temporal(kind):
        raise BadItem("dates, not numbers", name)
    if kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        try:
            numbers = column.cast(pa.string()).cast(pa.float64())
        except pa.ArrowInvalid:
            values, index = _categories(column, name)
            if any(_DATE.match(_text(value)) for value in values):
                raise BadItem("dates, not numbers", name) from None
            numbers = np.array([*(_number(value) for value in values), np.nan])[index]
    elif kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_null(kind):
        numbers = column.cast(pa.float64(), safe=False)
    else:
        raise BadItem(f"{kind}, not numbers", name)
    if isinstance(numbers, pa.Array):
        numbers = numbers.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(numbers == -999, np.nan, numbers)


def _number(text) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _candids(column: pa.Array, report: ReadReport) -> np.ndarray:
    if pa.types.is_integer(column.type):
        ids = pc.fill_null(column.cast(pa.int64(), safe=False), NO_CANDID).to_numpy()
        return np.where(ids >= 0, ids, NO_CANDID)
    values, index = _categories(column, "candid")
    ids = [ztf.exact_candid(_text(value)) for value in values]
    imprecise = np.array([*(value is None for value in ids), False])[index].sum()
    report.count("imprecise_candid", int(imprecise))
    return np.array([*(NO_CANDID if value is None else value for value in ids), NO_CANDID], np.int64)[index]
