"""Fingerprints of a HATS catalogue of light curves, partition by partition, with lsdb on Dask.

Notable:
- a row is an object, one of its columns a nested light curve; names of columns are settings
- the result is a HATS catalogue of the same objects: position, the columns of the fingerprint table, and
  `reason` where an object could not be encoded
- a partition is finished when its file is there. The same command does those alone that are missing
"""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from rtf.alerts.history import SourceHistory, from_columns
from rtf.alerts.merge import merge_objects
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.report import ReadReport
from rtf.encoding.fingerprints import RunError
from rtf.encoding.shipped import run_folder
from rtf.files import write_json
from rtf.jobs import beside, made_from

#: Columns of a catalogue by what they hold; `light_curve` is the nested one, whose fields are the last four.
COLUMNS = {
    "object_id": "object_id", "ra": "ra", "dec": "dec", "light_curve": "light_curve",
    "mjd": "mjd", "band": "band", "mag": "mag", "magerr": "magerr",
}  # fmt: skip
#: Names of bands in catalogues: ZTF's filter numbers, and those of its data releases.
BANDS = {"1": "g", "2": "r", "3": "i", "zg": "g", "zr": "r", "zi": "i", "g": "g", "r": "r", "i": "i"}
#: Gives the columns of a partition without objects.
EXAMPLE = [from_columns("", [59000.0], [0], [18.0], [0.1])]


def is_catalogue(path: Path) -> bool:
    """Whether a folder is a HATS catalogue, or a collection with one."""
    return any((Path(path) / name).exists() for name in ("hats.properties", "collection.properties"))


def encode_catalogue(
    run: str, path: Path, out: Path, *, columns: Mapping[str, str] | None = None, dask: str | None = None,
    workers: int | None = None, progress: bool = True,
) -> dict[str, int]:  # fmt: skip
    """Write a catalogue of fingerprints.

    Parameters
    ----------
    run : run folder, or the name of a shipped model; workers elsewhere must see it too
    columns : names that differ from `COLUMNS`
    dask : address of a scheduler, such as tcp://host:8786; None: a cluster of this machine
    workers : processes of that cluster; None: one a core

    Returns
    -------
    counts of objects, and of those without a fingerprint

    Raises
    ------
    RunError : lsdb is not installed, a column is not there, or `out` was begun from something else
    """
    try:
        import lsdb
    except ImportError as error:
        raise RunError("catalogues need lsdb: pip install rtf-fingerprints[hats]") from error
    names = COLUMNS | dict(columns or {})
    whole = lsdb.open_catalog(path)
    there = set(whole.all_columns)
    wanted = [names[key] for key in ("object_id", "ra", "dec", "light_curve")]
    if lacking := [name for name in wanted if name not in there]:
        raise RunError(f"{path} has no column {', '.join(lacking)}: name it, as catalogue.light_curve=lc")
    catalogue = lsdb.open_catalog(path, columns=wanted)
    claim(Path(out), made_from(str(Path(path).resolve()), _model(run).space, names))
    if not (Path(out) / "hats.properties").exists():  # which is written last
        meta = fingerprints_of(catalogue.meta, run, names)
        found = catalogue.map_partitions(fingerprints_of, run, names, meta=meta)
        with client(dask, workers):
            try:
                found.write_catalog(
                    out, catalog_name=Path(out).name, as_collection=False, resume=True,
                    progress_bar=progress, addl_hats_properties={"rtf_space": _model(run).space},
                )  # fmt: skip
            except RuntimeError as error:  # lsdb names the partition
                raise RunError(f"{error}; the same command does the partitions that are missing") from error
    done = lsdb.open_catalog(out, columns=["reason"]).compute()
    return {"objects": len(done), "without": int(done["reason"].notna().sum())}


def claim(out: Path, made: str) -> None:
    """Say in OUT.made.json what `out` is made from; RunError where it was begun from something else."""
    record = beside(out, ".made.json")
    if out.exists() and (not record.exists() or json.loads(record.read_text()) != made):
        raise RunError(
            f"{out} is there, made from another catalogue or by another model: choose another name"
        )
    write_json(record, made)


@contextmanager
def client(address: str | None, workers: int | None):
    """A Dask client of a scheduler, or of a cluster of this machine that ends with the block."""
    from distributed import Client, LocalCluster

    if address:
        with Client(address) as connected:
            yield connected
        return
    from rtf.workers import cores

    with (
        LocalCluster(n_workers=workers or cores(), threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@lru_cache(maxsize=1)
def _model(run: str):
    import torch

    from rtf.encoding.load import load

    torch.set_num_threads(1)
    return load(run)


def fingerprints_of(frame, run: str, names: Mapping[str, str]):
    """Fingerprints of one partition, a pandas frame of the same rows; of an empty one, an empty frame."""
    import pandas as pd

    from rtf.encoding.table import fingerprint_table, load_probe

    table, report = light_curves(frame, names), ReadReport()
    histories = read(table, report)
    with_some = [h for h in histories if len(h)]
    model = _model(run)
    made = fingerprint_table(model, with_some or EXAMPLE, load_probe(run_folder(run), model.space), report)
    made = made.drop_columns(["ra", "dec"])  # the catalogue has its own
    made = made.slice(0, len(made) * bool(with_some)).to_pandas(types_mapper=pd.ArrowDtype)
    name = table["object_id"].to_pylist()
    rows = made.set_index("object_id").reindex(name)
    rows.index = frame.index
    why = {item["item"]: item["reason"] for item in report.items}
    reason = [why.get(n, "no detection") if gone else None for n, gone in zip(name, rows["mjd"].isna())]
    own = frame[[names[key] for key in ("object_id", "ra", "dec")]]
    return type(frame)(
        pd.concat([own, rows], axis=1).assign(reason=pd.array(reason, pd.ArrowDtype(pa.string())))
    )


def light_curves(frame, names: Mapping[str, str]) -> pa.Table:
    """A partition as a light-curve table with a row for each object and lists of its detections."""
    columns = {"object_id": pa.array(frame[names["object_id"]].astype(str), pa.string())}
    lists = frame[names["light_curve"]].nest.to_lists(
        [names[key] for key in ("mjd", "band", "mag", "magerr")]
    )
    for key in ("mjd", "band", "mag", "magerr"):
        columns[key] = pa.chunked_array(pa.array(lists[names[key]])).combine_chunks()
    band = columns["band"]
    letters = [BANDS.get(str(value), str(value)) for value in band.values.to_pylist()]
    columns["band"] = pa.ListArray.from_arrays(band.offsets, pa.array(letters, pa.string()))
    return pa.table(columns)


def read(table: pa.Table, report: ReadReport) -> list[SourceHistory]:
    """Histories of a light-curve table; the rules, and what is counted, are those of any such table."""
    reader = LightCurveTable()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "partition.parquet"
        pq.write_table(table, file)
        found = [h for unit in reader.units(file) for h in reader.read(unit, report)] if len(table) else []
    return merge_objects(found, report)
