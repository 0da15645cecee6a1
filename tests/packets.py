"""Synthetic ZTF packets, nested and named as ZTF's Avro schema has them, and the files they come in."""

import gzip
import io
import json
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from rtf.alerts.history import METADATA_FIELDS
from rtf.alerts.ztf import CUTOUT_FIELDS, HISTORY_METADATA

_INTEGERS = ("nmtchps", "ndethist", "ncovhist")


def stamp(image: np.ndarray) -> bytes:
    """A cutout as a survey sends it: the image as gzipped FITS."""
    stream = io.BytesIO()
    fits.PrimaryHDU(np.asarray(image)).writeto(stream)
    return gzip.compress(stream.getvalue(), mtime=0)


def entry(
    rng: np.random.Generator, jd: float, candid: int, *, mag: float = 19.0, band: int = 1, sign: str = "t"
):
    """One detection as an entry of `prv_candidates`; `band` is ZTF's, 1 to 3."""
    values = {name: float(np.float32(rng.normal())) for name in HISTORY_METADATA}
    values |= {"sigmapsf": float(np.float32(rng.uniform(0.02, 0.2))), "magpsf": float(np.float32(mag))}
    return values | {"jd": jd, "fid": band, "candid": candid, "isdiffpos": sign}


def non_detection(jd: float, band: int = 1) -> dict:
    """An entry of `prv_candidates` that gives only a limit."""
    empty = dict.fromkeys((*HISTORY_METADATA, "magpsf", "candid", "isdiffpos"))
    return empty | {"jd": jd, "fid": band, "diffmaglim": 20.5}


def candidate(entry: dict, rng: np.random.Generator, ra: float = 10.0, dec: float = -5.0) -> dict:
    """The same detection as a packet's own candidate, with all metadata; one of them is missing as -999."""
    rest = [name for name in METADATA_FIELDS if name not in HISTORY_METADATA]
    more = {name: 3 if name in _INTEGERS else float(np.float32(rng.uniform(10, 20))) for name in rest}
    return entry | more | {"szmag2": -999.0, "ra": ra, "dec": dec}


def packets(
    object_id: str = "ZTF20synthet", n: int = 4, *, seed: int = 0, cutouts: bool = True, size: int = 63
) -> list[dict]:
    """The packets of one object that was detected `n` times: each repeats the detections before it.

    Every third detection is in r, the others in g; one non-detection comes before the first.
    """
    rng = np.random.default_rng(seed)
    start = 2459000.5 + 100 * seed
    detections = [
        entry(rng, start + 1.25 * k, 1_500_000_000_000_000_000 + 1000 * seed + k, band=2 if k % 3 == 2 else 1)
        for k in range(n)
    ]
    result = []
    for k, detection in enumerate(detections):
        past = [non_detection(start - 2), *detections[:k]]
        packet = {"objectId": object_id, "candid": detection["candid"], "schemavsn": "4.02"}
        packet |= {"candidate": candidate(detection, rng), "prv_candidates": past}
        for name in CUTOUT_FIELDS:
            pixels = rng.normal(100, 5, (size, 63)).astype(np.float32)
            packet[name] = {"fileName": "x.fits.gz", "stampData": stamp(pixels)} if cutouts else None
        result.append(packet)
    return result


def _schema() -> dict:
    def fields(names):
        kinds = {
            "jd": "double",
            "ra": "double",
            "dec": "double",
            "fid": "int",
            "candid": "long",
            "isdiffpos": "string",
        }
        kinds |= dict.fromkeys(_INTEGERS, "int")
        return [{"name": n, "type": ["null", kinds.get(n, "float")], "default": None} for n in names]

    leading = ("jd", "fid", "candid", "isdiffpos", "magpsf")
    own = {"type": "record", "name": "candidate", "fields": fields((*leading, "ra", "dec", *METADATA_FIELDS))}
    past = {"type": "record", "name": "prv_candidate", "fields": fields((*leading, *HISTORY_METADATA))}
    cutout = {
        "type": "record",
        "name": "cutout",
        "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
    }
    return {
        "type": "record",
        "name": "alert",
        "namespace": "ztf",
        "fields": [
            {"name": "schemavsn", "type": "string"},
            {"name": "objectId", "type": "string"},
            {"name": "candid", "type": "long"},
            {"name": "candidate", "type": ["null", own], "default": None},
            {"name": "prv_candidates", "type": ["null", {"type": "array", "items": past}], "default": None},
            {"name": "cutoutScience", "type": ["null", cutout], "default": None},
            {"name": "cutoutTemplate", "type": ["null", "ztf.cutout"], "default": None},
            {"name": "cutoutDifference", "type": ["null", "ztf.cutout"], "default": None},
        ],
    }


def avro(packets: list[dict], codec: str = "null") -> bytes:
    """The content of an Avro object container file."""
    stream = io.BytesIO()
    fastavro.writer(stream, json.loads(json.dumps(_schema())), packets, codec=codec)
    return stream.getvalue()


def write_avro(folder: Path, packets: list[dict]) -> list[Path]:
    """One file for each packet, named by its candid as in ZTF's public archive."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for packet in packets:
        paths.append(folder / f"{packet['candid']}.avro")
        paths[-1].write_bytes(avro([packet]))
    return paths


def write_parquet(path: Path, packets: list[dict], row_group_size: int | None = None) -> Path:
    """Packets as rows, as Fink distributes them."""
    pq.write_table(pa.Table.from_pylist(packets), path, row_group_size=row_group_size)
    return path


def write_applecider(folder: Path, packets: list[dict]) -> list[Path]:
    """One folder for each object with all its packets in `alerts.npy`."""
    by_object: dict[str, list[dict]] = {}
    for packet in packets:
        by_object.setdefault(packet["objectId"], []).append(packet)
    paths = []
    for object_id, own in by_object.items():
        alerts = np.empty(len(own), object)
        alerts[:] = own
        paths.append(folder / object_id / "alerts.npy")
        paths[-1].parent.mkdir(parents=True)
        np.save(paths[-1], alerts, allow_pickle=True)
    return paths
