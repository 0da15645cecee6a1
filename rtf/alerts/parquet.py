"""Parquet files, row group by row group and batch by batch: what both parquet readers share."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rtf.alerts.limits import memory_limit
from rtf.alerts.report import BadItem

SUFFIXES = (".parquet", ".pq", ".parq")

_ROWS = 1 << 16  # beyond these a row has at least a byte in its file; else a few are repeated without end
_BUFFER = 1 << 20
_GROUPS = 10_000  # more than that would take ages to open one by one


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file: one unit of parallel work."""

    path: Path
    index: int  # which group, -1 where the file does not open
    first_row: int  # number of its first row in the file

    @property
    def item(self) -> str:
        """What to add to the name of the file."""
        return f"row group {self.index}" if self.index > 0 else ""

    def apart(self) -> list["RowGroup"]:
        return [self]

    def __str__(self) -> str:
        return f"{self.path} {self.item}".rstrip()


def row_groups(files: Iterable[Path]) -> list[RowGroup]:
    """Every row group. A file that does not open is a unit too, so that reading it reports it."""
    groups = []
    for file in files:
        try:
            with memory_limit():
                metadata = pq.read_metadata(file)
                _check_groups(metadata)
                rows = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
            groups += [RowGroup(file, k, first) for k, first in enumerate(accumulate([0, *rows[:-1]]))]
        except Exception:
            groups.append(RowGroup(file, -1, 0))
    return groups


def _check_groups(metadata: pq.FileMetaData) -> None:
    if metadata.num_row_groups > _GROUPS:
        raise BadItem(f"claims {metadata.num_row_groups:,} row groups")


def schema(file: Path) -> pa.Schema:
    """The columns of a file, none where it does not open."""
    try:
        with memory_limit():
            return pq.read_schema(file)
    except Exception:
        return pa.schema([])


def batches(group: RowGroup, choose, rows: int) -> Iterator[pa.RecordBatch]:
    """Some `rows` of a row group at a time; `choose` names the columns to read, given the open file."""
    # buffered, so that a column of stamps is not in memory as a whole
    with pq.ParquetFile(group.path, buffer_size=_BUFFER) as file:
        _check_groups(file.metadata)
        if not file.metadata.num_row_groups:
            raise BadItem("no rows")
        claimed, size = file.metadata.row_group(max(group.index, 0)).num_rows, group.path.stat().st_size
        if claimed > _ROWS + size:
            raise BadItem(f"claims {claimed:,} rows in {size:,} bytes")
        yield from file.iter_batches(rows, [group.index], choose(file), use_threads=False)
