"""A small model, packets and a broker for tests of the stream."""

import io
import os
import time

import fastavro

from rtf.alerts.history import SourceHistory
from rtf.alerts.readers.ztf_avro import records
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import packet_history
from tests.packets import avro, packets


def histories(packets_: list[dict], cutouts: bool = True) -> list[SourceHistory]:
    return [packet_history(p, ReadReport(), "made up", cutouts=cutouts) for p in packets_]


def night(n_objects: int = 20, n: int = 5, cutouts: bool = True) -> list[dict]:
    """Packets of several objects, in the order of time."""
    made = [p for k in range(n_objects) for p in packets(f"ZTF20aaaa{k:03d}", n, seed=k, cutouts=cutouts)]
    return sorted(made, key=lambda p: p["candidate"]["jd"])


def containers(packets_: list[dict]) -> list[bytes]:
    return [avro([p]) for p in packets_]


def schemaless(container: bytes) -> tuple[bytes, bytes]:
    """The one record of a container, schemaless, and the schema."""
    stream = io.BytesIO(container)
    reader = fastavro.reader(stream)
    schema = reader.metadata["avro.schema"]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, reader.writer_schema, next(records(container)))
    return out.getvalue(), schema.encode() if isinstance(schema, str) else schema


def crashing(messages: list[tuple], *settings) -> list:
    """In place of `decode`: a message ends the process, another one keeps it busy."""
    from rtf.stream.packets import decode

    for value, _ in messages:
        if value == b"crash":
            os._exit(1)
        if value == b"hang":
            time.sleep(600)
    return decode(messages, *settings)
