"""Messages of a broker as alert packets: the three framings in which surveys send Avro.

Notable:
- a message says itself which framing it has: an object container begins with `Obj\\x01` (ZTF); Fink puts the
  schema, JSON, into the key; Confluent's wire format begins with a zero byte and the number of a schema, from
  a folder (NUMBER.avsc) or a registry (https://docs.confluent.io/platform/current/schema-registry)
- a message may come from anybody: schemas and sizes are checked as for files (`rtf/alerts/limits.py`), and
  whatever is wrong with one becomes a reason
"""

import io
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import fastavro

from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import HEADER, guarded
from rtf.alerts.readers.ztf_avro import MAGIC, BadAvro, parse_schema, records
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import packet_histories

_CONFLUENT = 5  # bytes before the record: zero, and four of the schema's number
_SECONDS = 10  # to wait for a registry

#: The schema of a number, as JSON; None where there is none.
Schemas = Callable[[int], bytes | None]


@dataclass
class Bad:
    """A message that gave no packet, and why."""

    reason: str
    value: bytes
    key: bytes | None = None
    where: str = ""  # topic, partition and offset, or file


@dataclass
class Lot:
    """What a source gives at once."""

    packets: list[SourceHistory] = field(default_factory=list)
    #: When each message was sent [Unix seconds]; NaN where the source does not say.
    times: list[float] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    skipped: Counter = field(default_factory=Counter)  # by reason, in packets that are otherwise good
    messages: int = 0
    n_bytes: int = 0
    position: dict = field(default_factory=dict)  # what the source commits
    last: bool = False  # nothing comes after it


def schemas_from(place: str | None) -> Schemas:
    """Schemas by number from a folder of NUMBER.avsc, a registry's address, or, with None, from nowhere.

    OSError, of what is asked of it, where a registry cannot be reached.
    """

    def schema(number: int) -> bytes | None:
        if place is None:
            return None
        if not str(place).startswith(("http://", "https://")):
            path = Path(place) / f"{number}.avsc"
            return path.read_bytes() if path.is_file() else None
        address = f"{str(place).rstrip('/')}/schemas/ids/{number}"
        try:
            with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
                return json.loads(answer.read(2 * HEADER))["schema"].encode()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    return lru_cache(256)(schema)


def histories_of(
    value: bytes, key: bytes | None, schemas: Schemas, where: str = "", *, negative=False, cutouts=True
) -> tuple[list[SourceHistory], ReadReport]:
    """The packets of a message, and what was left out and why.

    Raises
    ------
    OSError : a registry cannot be reached; nothing is wrong with the message
    """
    report, schema, start = ReadReport(), key, 0
    container, in_key = value[:4] == MAGIC, key is not None and key[:1] == b"{"
    if not container and not in_key and value[:1] == b"\0" and len(value) > _CONFLUENT:
        number, start = int.from_bytes(value[1:_CONFLUENT], "big"), _CONFLUENT
        schema = schemas(number)
        if schema is None:
            report.skip(where, f"there is no schema {number} where schemas are looked for (stream.schemas=)")
            return [], report
    elif not container and not in_key:
        framings = "an Avro container, of Confluent's wire format, or with its schema as key"
        report.skip(where, f"the message is none of {framings}")
        return [], report
    packets = guarded(records(value) if container else _schemaless(value, start, schema), report, where)
    return list(packet_histories(packets, report, where, negative=negative, cutouts=cutouts)), report


def _schemaless(value: bytes, start: int, text: bytes) -> Iterator[dict]:
    if len(text) > HEADER:
        raise BadAvro(f"a schema of {len(text):,} bytes")
    schema = parse_schema(bytes(text))
    if len(value) - start > schema.largest:
        raise BadAvro(f"larger than {schema.largest:,} bytes, the most that this schema may be given")
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        record = fastavro.schemaless_reader(stream, schema.parsed, None)
    except Exception as error:
        raise BadAvro("the Avro record is cut short or damaged, or of another schema") from error
    if stream.tell() != len(value):
        raise BadAvro("the Avro record ends before the message does: it is of another schema")
    yield record
