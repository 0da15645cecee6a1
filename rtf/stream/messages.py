"""Fingerprints as messages of a topic: one Avro schema (`fingerprints.avsc`), Confluent's wire format.

Notable:
- what alerts of one visit and band share is sent once: at eight bytes a fingerprint it would outweigh them
- a message is known by what it holds, survey, space and the candids: a reader, or a stream that starts again,
  sees what the topic has already
"""

import io
import json
import struct
import urllib.request
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources

import fastavro
import numpy as np
import pyarrow as pa

from rtf.classes import FINE

#: What is sent of a fingerprint.
SEND = ("all", "code")
#: Alerts in a message, at most: some 600 kB.
MOST = 1500


@cache
def schema() -> dict:
    """The schema, as fastavro understands it."""
    return fastavro.parse_schema(json.loads(schema_text()))


def schema_text() -> str:
    return (resources.files("rtf.stream") / "fingerprints.avsc").read_text()


def key_of(survey: str, space: str, candid: int | None, object_id: str, mjd: float) -> tuple:
    """What an alert's fingerprint is known by: survey, space and candid, or name and time without one."""
    return (survey, space, candid) if candid is not None else (survey, space, object_id, mjd)


def messages_of(
    table: pa.Table,
    bands: Sequence[str],
    days: Sequence[float],
    survey: str,
    send: str = "all",
    number: int = 0,
) -> Iterator[tuple[bytes, list[tuple]]]:
    """Messages with the fingerprints of a table of `rtf/encoding/table.py`, and the keys in each.

    Parameters
    ----------
    bands : of each row
    days : of each row, from the first detection that the fingerprint includes to the latest
    send : "all", codes and floats; or "code"
    number : of the schema, in a registry
    """
    if not len(table):
        return
    if send == "code" and "code" not in table.column_names:
        raise ValueError("send=code: the model has no codes; send=all sends its floats")
    space = table.schema.metadata[b"space"].decode()
    columns = {
        n: table[n].to_pylist()
        for n in ("candid", "object_id", "mjd", "ra", "dec", "n_detections", "strangeness")
    }
    codes = table["code"].to_pylist() if "code" in table.column_names else [b""] * len(table)
    latent = table["fingerprint"].combine_chunks()
    latent = np.asarray(latent.flatten(), "<f4").reshape(len(table), -1)
    chance = [table[f"p_{n.replace(' ', '_')}"].fill_null(np.nan).to_numpy() for n in FINE]
    chance = np.nan_to_num(np.stack(chance, 1), nan=-1.0)
    best = chance.argmax(1).tolist()
    visits: dict[tuple, list[int]] = {}
    for k, visit in enumerate(zip(columns["mjd"], bands, strict=True)):
        visits.setdefault(visit, []).append(k)
    for (mjd, band), rows in visits.items():
        for start in range(0, len(rows), MOST):
            some = rows[start : start + MOST]
            alerts = [
                {
                    "candid": columns["candid"][k], "object_id": columns["object_id"][k],
                    "ra": _number(columns["ra"][k]), "dec": _number(columns["dec"][k]),
                    "n_detections": columns["n_detections"][k], "days": days[k], "code": codes[k] or b"",
                    "fingerprint": latent[k].tobytes() if send == "all" else b"",
                    "most_probable": FINE[best[k]] if chance[k, best[k]] >= 0 else None,
                    "probability": chance[k, best[k]] if chance[k, best[k]] >= 0 else float("nan"),
                    "strangeness": _number(columns["strangeness"][k]),
                }
                for k in some
            ]  # fmt: skip
            content = io.BytesIO()
            content.write(struct.pack(">BI", 0, number))
            record = {"survey": survey, "space": space, "mjd": mjd, "band": band, "alerts": alerts}
            fastavro.schemaless_writer(content, schema(), record)
            yield content.getvalue(), keys_of(record)


def read_message(message: bytes) -> dict:
    """A message as the record of `fingerprints.avsc`; `fingerprint` (F,) float32 or None, of each alert.

    ValueError where it is none.
    """
    content = io.BytesIO(message)
    if content.read(1) != b"\0" or len(content.read(4)) < 4:
        raise ValueError("not of Confluent's wire format")
    try:
        record = fastavro.schemaless_reader(content, schema(), None)
    except Exception as error:
        raise ValueError(f"not fingerprints of {schema()['name']}") from error
    for alert in record["alerts"]:
        floats = alert["fingerprint"]
        alert["fingerprint"] = np.frombuffer(floats, "<f4").copy() if floats else None
    return record


def keys_of(record: dict) -> list[tuple]:
    """What the fingerprints in a message are known by."""
    survey, space, mjd = record["survey"], record["space"], record["mjd"]
    return [key_of(survey, space, a["candid"], a["object_id"], mjd) for a in record["alerts"]]


def register(registry: str, topic: str) -> int:
    """The number that a registry gives the schema of a topic."""
    request = urllib.request.Request(
        f"{registry.rstrip('/')}/subjects/{topic}-value/versions",
        json.dumps({"schema": schema_text()}).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(json.loads(answer.read())["id"])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
