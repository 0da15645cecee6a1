"""Rows of an archive, made from tables of fingerprints (`rtf/encoding/table.py`)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rtf.classes import FINE
from rtf.encoding.space import one_space

#: About how many bytes of rows are added at once, and what a row takes beside its fingerprint.
_BATCH_BYTES, _ROW_BYTES = 16 << 20, 300
_MOST_ROWS = 1 << 16
#: What is kept of a fingerprint: floats and code, or the code alone.
KEEP = ("all", "code")


class ArchiveError(ValueError):
    """What is wrong with an archive, a table for it, or a question to it."""


def probability_column(name: str) -> str:
    return f"p_{name.replace(' ', '_')}"


#: Columns with one number or name a row; the others follow from the model.
_PLAIN = {
    "survey": pa.string(), "object_id": pa.string(), "candid": pa.int64(), "mjd": pa.float64(),
    "ra": pa.float64(), "dec": pa.float64(), "n_detections": pa.int32(), "space": pa.string(),
}  # fmt: skip
PROBABILITIES = {probability_column(name): name for name in FINE}
#: Columns that a search answers with by default: reading all takes as long as finding the rows.
ANSWER = (
    "survey", "object_id", "candid", "mjd", "ra", "dec", "n_detections", "most_probable", "strangeness",
)  # fmt: skip


def archive_schema(latent_dim: int, code_bytes: int | None, keep: str) -> pa.Schema:
    """Columns of a space.

    survey, object_id, space : string
    candid : int64, null where the survey gives none
    mjd : double, time of the latest detection [day]
    ra, dec : double [degree], ra from 0 to 360; null where unknown
    n_detections : int32
    fingerprint : fixed-size list of latent_dim float; not there with `keep` "code"
    code : fixed-size binary, null where unknown; not there for a model without codes
    most_probable : string, the class of the largest probability; null where none is known
    p_SN_Ia ... : float, class probabilities; null where unknown
    strangeness, reconstruction_error : float; null where unknown
    """
    columns = dict(_PLAIN)
    if keep == "all":
        columns["fingerprint"] = pa.list_(pa.float32(), latent_dim)
    if code_bytes is not None:
        columns["code"] = pa.binary(code_bytes)
    columns |= {"most_probable": pa.string()} | dict.fromkeys(PROBABILITIES, pa.float32())
    columns |= dict.fromkeys(("strangeness", "reconstruction_error"), pa.float32())
    return pa.schema(columns)


def batches_of(source, name: str) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) of parts of a table, a parquet file, or a folder of them, of bounded size each."""
    if isinstance(source, (pa.Table, pa.RecordBatch)):
        table = pa.table(source) if isinstance(source, pa.Table) else pa.Table.from_batches([source])
        size = _rows(table.schema)
        for start in range(0, len(table), size):
            yield name, table.slice(start, size)
        return
    path = Path(source)
    files = sorted(p for p in path.rglob("*.parquet") if p.is_file()) if path.is_dir() else [path]
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there")
    if not files:
        raise ArchiveError(f"{path} holds no parquet file")
    for file in files:
        try:
            # not pre_buffer: it holds a whole row group
            content = pq.ParquetFile(file, pre_buffer=False)
        except pa.ArrowInvalid as error:
            raise ArchiveError(f"{file} is no parquet file: {error}") from error
        metadata = content.schema_arrow.metadata
        wanted = [n for n in content.schema_arrow.names if n in _wanted()]
        for batch in content.iter_batches(_rows(content.schema_arrow), columns=wanted):
            yield str(file), pa.Table.from_batches([batch]).replace_schema_metadata(metadata)


def _wanted() -> set[str]:
    return {*_PLAIN, "fingerprint", "code", *PROBABILITIES, "strangeness", "reconstruction_error"}


def _rows(schema: pa.Schema) -> int:
    kind = schema.field("fingerprint").type if "fingerprint" in schema.names else None
    width = kind.list_size if isinstance(kind, pa.FixedSizeListType) else 64
    return max(256, min(_MOST_ROWS, _BATCH_BYTES // (4 * width + _ROW_BYTES)))


def space_of_table(table: pa.Table, name: str) -> str:
    """The one space of a table's fingerprints."""
    told = (table.schema.metadata or {}).get(b"space", b"").decode()
    spaces = (
        pc.unique(table["space"].combine_chunks().cast(pa.string())).drop_null().to_pylist()
        if "space" in table.column_names
        else []
    )
    space = one_space((name, s) for s in [*spaces, *([told] if told else [])])
    if not space:
        raise ArchiveError(f"{name} does not say the space of its fingerprints: encode again (rtf.encode)")
    return space


def rows_of(table: pa.Table, survey: str, keep: str, name: str = "the table") -> tuple[pa.Table, int]:
    """Rows for an archive, each once, and how many had no finite fingerprint.

    Raises
    ------
    ArchiveError : a column is missing or of the wrong type
    """
    lacking = [n for n in ("object_id", "mjd", "n_detections", "fingerprint") if n not in table.column_names]
    if lacking:
        raise ArchiveError(f"{name} has no column {', '.join(lacking)}: it is no table of rtf.encode")
    latent = _fingerprints(table["fingerprint"].combine_chunks(), name)
    code = table["code"].combine_chunks() if "code" in table.column_names else None
    if keep == "code" and code is None:
        raise ArchiveError(f"{name} has no codes to keep: keep=all keeps its floats")
    width = None if code is None else code.type.byte_width
    schema = archive_schema(latent.shape[1], width, keep)
    values = {
        "survey": pa.repeat(survey, len(table)),
        "space": pa.repeat(space_of_table(table, name), len(table)),
    }
    for field in schema:
        if field.name in ("fingerprint", "most_probable", *values):
            continue
        if field.name not in table.column_names:
            values[field.name] = pa.nulls(len(table), field.type)
            continue
        try:
            values[field.name] = table[field.name].combine_chunks().cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ArchiveError(f"{name}: column {field.name} is {error}") from error
    values["ra"] = _turned(values["ra"])
    if keep == "all":
        values["fingerprint"] = pa.FixedSizeListArray.from_arrays(latent.ravel(), latent.shape[1])
    values["most_probable"] = _most_probable(values)
    good = np.isfinite(latent).all(1) & (latent != 0).any(1)
    for column in ("object_id", "mjd", "n_detections"):
        good &= values[column].is_valid().to_numpy(zero_copy_only=False)
    good &= np.isfinite(values["mjd"].fill_null(np.nan).to_numpy(zero_copy_only=False))
    if keep == "code":
        good &= code.is_valid().to_numpy(zero_copy_only=False)
    made = pa.table([values[field.name] for field in schema], schema=schema)
    return first_of_each(made.filter(pa.array(good))), int((~good).sum())


def _fingerprints(column: pa.Array, name: str) -> np.ndarray:
    """(N, F) float32, NaN where null."""
    kind = column.type
    if isinstance(kind, pa.FixedSizeListType):
        width = kind.list_size
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        widths = pc.unique(pc.list_value_length(column)).drop_null().to_pylist()
        if len(widths) > 1:
            raise ArchiveError(f"{name}: fingerprints of {len(widths)} lengths")
        width = widths[0] if widths else 1
    else:
        raise ArchiveError(f"{name}: column fingerprint is {kind}, no list of floats")
    found = np.full((len(column), width), np.nan, np.float32)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    flat = column.drop_null().flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    found[valid] = flat.reshape(-1, width)
    return found


def _turned(ra: pa.Array) -> pa.Array:
    """Right ascensions from 0 to 360 [degree]."""
    degrees = ra.fill_null(np.nan).to_numpy(zero_copy_only=False) % 360
    degrees = np.where(degrees >= 360, 0.0, degrees)  # what is a little below 0
    return pa.array(degrees, mask=~np.isfinite(degrees))


def _most_probable(values: dict[str, pa.Array]) -> pa.Array:
    chance = np.stack([values[c].fill_null(np.nan).to_numpy(zero_copy_only=False) for c in PROBABILITIES], 1)
    known = np.isfinite(chance)
    best = np.where(known, chance, -np.inf).argmax(1)
    return pa.array(np.array(FINE, object)[best], pa.string(), mask=~known.any(1))


def first_of_each(rows: pa.Table) -> pa.Table:
    """Rows of which none has the key of an earlier one: survey and candid, or object_id and mjd."""
    if not len(rows):
        return rows
    nothing = rows["candid"].is_null()
    keys = pa.table({
        "survey": rows["survey"], "candid": rows["candid"].fill_null(0), "nothing": nothing,
        "object_id": pc.if_else(nothing, rows["object_id"], pa.scalar("")),
        "mjd": pc.if_else(nothing, rows["mjd"], pa.scalar(0.0)), "row": np.arange(len(rows)),
    })  # fmt: skip
    first = keys.group_by(["survey", "candid", "nothing", "object_id", "mjd"]).aggregate([("row", "min")])
    return rows.take(first["row_min"].combine_chunks().sort())


def new_rows(rows: pa.Table, there) -> pa.Table:
    """Those rows of one survey whose key a Lance table does not hold; its keys pass by in batches."""
    from lancedb.expr import col, lit

    found = []
    nothing = rows["candid"].is_null()
    for column, some in (("candid", rows.filter(pc.invert(nothing))), ("mjd", rows.filter(nothing))):
        if not len(some):
            continue
        # a merge by LanceDB holds the keys of the whole table in memory
        low, high = (some[column].combine_chunks().sort()[k].as_py() for k in (0, -1))
        asked = (col("survey") == lit(some["survey"][0].as_py())) & (col(column) >= lit(low))
        scan = there.search().where(asked & (col(column) <= lit(high)))
        own, new = _key(some, column), np.ones(len(some), bool)
        for batch in scan.select(["object_id", column]).to_batches(batch_size=_MOST_ROWS):
            known = _key(pa.Table.from_batches([batch]), column)
            new &= ~pc.is_in(own, value_set=known).to_numpy(zero_copy_only=False)
        found.append(some.filter(pa.array(new)))
    return pa.concat_tables(found) if found else rows


def _key(rows: pa.Table, column: str) -> pa.Array:
    """The candid, or name and time to the last bit."""
    if column == "candid":
        return rows["candid"].combine_chunks()
    bits = rows["mjd"].combine_chunks().view(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(bits, rows["object_id"].combine_chunks().cast(pa.string()), " ")
