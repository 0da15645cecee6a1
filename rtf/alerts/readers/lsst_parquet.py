"""LSST alerts as the Fink broker distributes them: parquet files, one alert a row, nested like Avro.

Only the leaves that a history needs are read from disk; Fink's own columns stay there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from rtf.alerts.folders import files
from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import guarded
from rtf.alerts.lsst import FORCED_FIELDS, SOURCE_FIELDS, packet_histories
from rtf.alerts.parquet import SUFFIXES, RowGroup, batches, row_groups, schema
from rtf.alerts.readers.fink_parquet import packets
from rtf.alerts.report import BadItem, ReadReport
from rtf.alerts.ztf import CUTOUT_FIELDS

_ROWS = 32  # unpacked together; histories have a thousand rows and more
_REQUIRED = ("diaSource",)


def recognises(path: Path) -> bool:
    return any(set(_REQUIRED) <= set(schema(file).names) for file in files(path, *SUFFIXES))


@dataclass
class LsstParquet:
    """Alerts of one parquet file or of all in a folder and the folders in it."""

    negative: bool = True  # keep detections of negative flux
    cutouts: bool = True  # keep the cutouts
    forced: bool = True  # keep forced photometry
    solar_system: bool = False  # keep alerts of the Solar System

    def units(self, path: Path) -> list[RowGroup]:
        """One row group at a time."""
        return row_groups(files(path, *SUFFIXES))

    def read(self, unit: RowGroup, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each alert."""
        return guarded(self._alerts(unit, report), report, unit.path, unit.item)

    def _alerts(self, group: RowGroup, report: ReadReport) -> Iterator[SourceHistory]:
        for batch in batches(group, lambda file: self._leaves(file.schema), _ROWS):
            yield from packet_histories(packets(batch), report, group.path, **vars(self))

    def _leaves(self, columns: pq.ParquetSchema) -> list[str]:
        """The full paths of the leaves to read."""
        wanted = {name: set(SOURCE_FIELDS) for name in ("diaSource", "prvDiaSources")}
        wanted["diaSource"] |= {"diaObjectId", "ssObjectId", "ra", "dec"}
        wanted["diaObject"] = {"ra", "dec"}
        if self.forced:
            wanted["prvDiaForcedSources"] = set(FORCED_FIELDS)
        if self.cutouts:
            wanted |= {name: {name} for name in CUTOUT_FIELDS}
        paths = [columns.column(k).path.split(".") for k in range(len(columns))]
        if not any(path[0] == "diaSource" for path in paths):
            raise BadItem("column missing", "diaSource")
        return [".".join(path) for path in paths if path[-1] in wanted.get(path[0], ())]
