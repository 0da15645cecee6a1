"""The alerts that metadata and cutouts are judged by: one row a packet, real and simulated.

Notable:
- of a real packet only its own candidate counts: history entries lack half of the fields
- real packets of one object stay apart, but belong to one source when sources are resampled
- of a simulated source one alert is drawn at random
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtf.alerts.history import METADATA_FIELDS, Cutouts, SourceHistory
from rtf.alerts.readers.fink_parquet import FinkParquet
from rtf.alerts.readers.ztf_avro import ZtfAvro
from rtf.alerts.report import ReadReport

#: A field that every packet's own candidate has, and no history entry.
_OWN = METADATA_FIELDS.index("ndethist")

#: Folders of real alerts.
REAL_ALERTS = {"ztf_alerts/fink_parquet": FinkParquet, "ztf_alerts/avro": ZtfAvro}


class Alert(NamedTuple):
    """One alert.

    Attributes
    ----------
    object_id : of its source
    sample : file that it came from, "simulated" for simulated ones
    band : index into g, r, i
    metadata : (30,) `METADATA_FIELDS`, NaN where missing
    cutouts : three stamps, or None
    """

    object_id: str
    sample: str
    band: int
    metadata: np.ndarray
    cutouts: Cutouts | None


def real_alerts(folder: Path, cutouts: bool = False) -> list[Alert]:
    """The positive alerts of the folders of real alerts.

    Raises
    ------
    FileNotFoundError : naming the folder
    """
    found = []
    for name, kind in REAL_ALERTS.items():
        path = Path(folder) / name
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such folder of real alerts")
        reader, report = kind(cutouts=cutouts), ReadReport()
        for unit in reader.units(path):
            sample = unit.path.stem if hasattr(unit, "path") else path.name
            for history in reader.read(unit, report):
                found += [
                    _alert(history, row, sample)
                    for row in np.flatnonzero(np.isfinite(history.metadata[:, _OWN]))
                ]
    return found


def simulated_alerts(
    survey, seed: int = 0, advance: Callable[[int], None] = lambda done: None
) -> tuple[list[Alert], np.ndarray]:
    """One alert of each source of a survey, drawn at random, and the class of each source (N,)."""
    rng = np.random.default_rng(seed)
    report, found, labels = ReadReport(), [], []
    for unit in survey.units():
        for history in survey.read(unit, report):
            found.append(_alert(history, int(rng.integers(len(history))), "simulated"))
            labels.append(history.label)
            advance(1)
    return found, np.array(labels)


def by_object(alerts: Iterable[Alert]) -> list[list[Alert]]:
    """The alerts of each source together."""
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(alert.object_id, []).append(alert)
    return list(groups.values())


def _alert(history: SourceHistory, row: int, sample: str) -> Alert:
    stamps = history.cutouts[row] if history.cutouts is not None else None
    stamps = stamps if stamps is not None and None not in stamps else None
    return Alert(history.object_id, sample, int(history.band[row]), history.metadata[row], stamps)
