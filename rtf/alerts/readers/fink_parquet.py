"""ZTF alerts as the Fink broker distributes them: parquet files, one alert a row, nested like Avro.

Notable:
- only the leaves that a history needs are read from disk; Fink's own columns stay there
- files differ: doubles in place of floats, columns whose type is null, `prv_candidates.list.item` in place of
  `.element`, required fields; leaves are found by their name, wherever they are
- leaves are unpacked column by column, which is several times faster than rows through pyarrow's scalars
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rtf.alerts.folders import files
from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import guarded
from rtf.alerts.parquet import SUFFIXES, RowGroup, batches, row_groups, schema
from rtf.alerts.report import BadItem, ReadReport
from rtf.alerts.ztf import CANDIDATE_FIELDS, CUTOUT_FIELDS, HISTORY_FIELDS, packet_histories

_ROWS = 128  # unpacked together
_REQUIRED = ("candidate", "objectId")


def recognises(path: Path) -> bool:
    return any(set(_REQUIRED) <= set(schema(file).names) for file in files(path, *SUFFIXES))


@dataclass
class FinkParquet:
    """Alerts of one parquet file or of all in a folder and the folders in it."""

    negative: bool = False  # keep negative subtractions
    cutouts: bool = True  # keep the cutouts

    def units(self, path: Path) -> list[RowGroup]:
        """One row group at a time."""
        return row_groups(files(path, *SUFFIXES))

    def read(self, unit: RowGroup, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each alert."""
        return guarded(self._alerts(unit, report), report, unit.path, unit.item)

    def _alerts(self, group: RowGroup, report: ReadReport) -> Iterator[SourceHistory]:
        for batch in batches(group, lambda file: _leaves(file.schema, self.cutouts), _ROWS):
            yield from packet_histories(packets(batch), report, group.path, **vars(self))


def _leaves(schema: pq.ParquetSchema, cutouts: bool) -> list[str]:
    """The full paths of the leaves to read."""
    wanted = {"objectId": {"objectId"}, "candid": {"candid"}}
    wanted |= {"candidate": set(CANDIDATE_FIELDS), "prv_candidates": set(HISTORY_FIELDS)}
    if cutouts:
        wanted |= {name: {"stampData", name} for name in CUTOUT_FIELDS}
    paths = [schema.column(k).path.split(".") for k in range(len(schema))]
    for name in _REQUIRED:
        if not any(path[0] == name for path in paths):
            raise BadItem("column missing", name)
    return [".".join(path) for path in paths if path[-1] in wanted.get(path[0], ())]


def packets(batch: pa.RecordBatch) -> Iterator[dict]:
    columns = {name: _values(batch.column(name)) for name in batch.schema.names}
    for row in zip(*columns.values()):
        yield dict(zip(columns, row))


def _values(array: pa.Array) -> list:
    """The elements of a column as Python values: records are dicts, an absent number is NaN or None."""
    kind = array.type
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        rows = [dict(zip(names, row)) for row in zip(*(_values(leaf) for leaf in array.flatten()))]
        if array.null_count:
            rows = [row if ok else None for row, ok in zip(rows, array.is_valid().to_pylist())]
        return rows
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        entries = _values(array.flatten())
        lengths = pc.list_value_length(array).to_pylist()
        rows, start = [], 0
        for length in lengths:
            rows.append(None if length is None else entries[start : start + length])
            start += length or 0
        return rows
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False).tolist()
    return array.to_pylist()
