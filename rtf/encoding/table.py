"""The table of fingerprints that `rtf.encode` writes; whoever only puts tables together needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rtf.alerts.history import NO_CANDID, SourceHistory, concatenate
from rtf.alerts.report import ReadReport
from rtf.classes import FINE
from rtf.encoding.space import OtherSpace, one_space
from rtf.files import whole
from rtf.models.probe import LinearProbe

if TYPE_CHECKING:
    from rtf.encoding.fingerprinter import Fingerprinter, Fingerprints


def load_probe(run: Path, space: str) -> LinearProbe | None:
    """The run's saved linear probe, or None if `task=probe` has not been evaluated.

    Raises
    ------
    OtherSpace : it was fitted on fingerprints of another space
    """
    from rtf.encoding.load import PROBE

    path = Path(run) / PROBE
    if not path.exists():
        return None
    probe = LinearProbe.load(path)
    if probe.space not in ("", space):
        raise OtherSpace(
            f"{path} was fitted on fingerprints of space {probe.space}, and the run's are of {space}: fit it "
            f"again (python -m rtf.evaluate run={run} task=probe), or remove it"
        )
    return probe


def class_probabilities(fingerprints: Fingerprints, probe: LinearProbe | None) -> tuple[str, np.ndarray]:
    """Where class probabilities come from ("head", "probe" or "none") and (N, 10) of them.

    A class the probe never saw, and every class without head and probe, is NaN: unknown, not improbable.
    """
    if fingerprints.probability is not None:
        return "head", fingerprints.probability
    probability = np.full((len(fingerprints.latent), len(FINE)), np.nan, np.float32)
    if probe is None:
        return "none", probability
    probability[:, probe.classes] = probe.probabilities(fingerprints.latent)
    return "probe", probability


def fingerprint_table(
    model: Fingerprinter,
    histories: list[SourceHistory],
    probe: LinearProbe | None = None,
    report: ReadReport | None = None,
    where: str = "",
    progress=None,
    alerts: bool = False,
) -> pa.Table:
    """Fingerprints of sources, one row each.

    Sources that cannot be encoded, or whose fingerprint is not finite, are left out and named in `report`, as
    of the file `where`. With `alerts` each history is what one alert knew (`rtf/alerts/known.py`).

    Columns
    -------
    object_id : string
    candid : int64, the latest detection the fingerprint includes, of `alerts` the alert's own; null where the
        survey gives no id
    mjd : double, time of that detection [day]
    ra, dec : double, position of the source [degree]; null where unknown
    n_detections : int32, detections the fingerprint includes
    n_history : int32, detections the source has in all (the model sees its first 257, within 100 days)
    space : string, what the fingerprint can be compared with (`rtf/encoding/space.py`); also in the schema's
        metadata
    fingerprint : list of latent_dim float
    code : fixed-size binary, the bytes that `fingerprint` is looked up with (`Fingerprinter.from_code`); only
        from a bottleneck that has codes
    p_SN_Ia ... p_TDE : float, class probabilities; null where unknown
    reconstruction_error : float, dimensionless
    strangeness : float from 0 to 1, the share of validation sources of as many detections that are less
        strange (`rtf/encoding/strangeness.py`); null where the run was not fitted for it
    """
    from rtf.encoding.fingerprinter import unsound

    report = ReadReport() if report is None else report
    wrong = unsound(concatenate(histories))
    for k, reason in wrong.items():
        report.skip(where, reason, item=histories[k].object_id)
    histories = [h for k, h in enumerate(histories) if k not in wrong]
    if not histories:
        return pa.table({})
    found = model.encode(histories, progress=progress)
    for k in np.flatnonzero(~found.finite):
        report.skip(where, "its fingerprint is not finite", item=histories[k].object_id)
    if not found.finite.all():
        histories, found = [histories[k] for k in np.flatnonzero(found.finite)], found.take(found.finite)
    source, probability = class_probabilities(found, probe)
    last = [len(h) - 1 for h in histories] if alerts else found.last.tolist()
    candid = np.array([h.candid[k] for h, k in zip(histories, last, strict=True)], np.int64)
    position = np.array([(h.ra, h.dec) for h in histories], np.float64)
    unknown = ~np.isfinite(position).all(1)
    columns = {
        "object_id": pa.array([h.object_id for h in histories], pa.string()),
        "candid": pa.array(candid, mask=candid == NO_CANDID),
        "mjd": pa.array([float(h.mjd[k]) for h, k in zip(histories, last, strict=True)], pa.float64()),
        "ra": pa.array(position[:, 0], mask=unknown),
        "dec": pa.array(position[:, 1], mask=unknown),
        "n_detections": pa.array(found.n_detections.astype(np.int32)),
        "n_history": pa.array([len(h) for h in histories], pa.int32()),
        "space": pa.DictionaryArray.from_arrays(np.zeros(len(histories), np.int32), [model.space]),
        "fingerprint": pa.FixedSizeListArray.from_arrays(found.latent.ravel(), found.latent.shape[1]),
    }
    if found.code is not None:
        packed = pa.py_buffer(np.ascontiguousarray(found.code))
        columns["code"] = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(found.code.shape[1]), len(found.code), [None, packed]
        )
    for name, values in zip(FINE, probability.T):
        columns[f"p_{name.replace(' ', '_')}"] = pa.array(values, mask=~np.isfinite(values))
    columns["reconstruction_error"] = pa.array(found.error)
    strange = found.strangeness
    columns["strangeness"] = pa.nulls(len(histories), pa.float32()) if strange is None else pa.array(strange)
    about = {"class_probabilities_from": source, "space": model.space}
    return pa.table(columns).replace_schema_metadata(about)


def merge_tables(parts: list[Path], out: Path) -> int:
    """Write the rows of several tables, one after another, as one; returns their number.

    Tables without columns, of parts without a source, are passed over. Nothing is written without a row.

    Raises
    ------
    OtherSpace : their fingerprints are of different spaces
    """
    parts = [path for path in parts if len(pq.read_schema(path))]
    schemas = [pq.read_schema(path) for path in parts]
    one_space((str(path), (s.metadata or {}).get(b"space", b"").decode()) for path, s in zip(parts, schemas))
    if not parts:
        return 0
    rows = 0
    with whole(out) as temporary, pq.ParquetWriter(temporary, schemas[0], compression="zstd") as writer:
        for path in parts:
            table = pq.read_table(path)
            writer.write_table(table)
            rows += len(table)
    return rows


def write_table(table: pa.Table, out: Path) -> None:
    """A parquet file, whole or not at all."""
    with whole(out) as temporary:
        pq.write_table(table, temporary, compression="zstd")
