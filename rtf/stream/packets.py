"""Messages of a broker as alert packets: the three framings in which surveys send Avro.

Notable:
- a message says itself which framing it has: an object container begins with `Obj\\x01` (ZTF); Fink puts the
  schema, JSON, into the key; Confluent's wire format begins with a zero byte and the number of a schema, from
  a folder (`readers/lsst_avro.py`) or a registry (https://docs.confluent.io/platform/current/schema-registry)
- a message may come from anybody: schemas and sizes are checked as for files (`rtf/alerts/limits.py`), and
  whatever is wrong with one becomes a reason
- decoding takes a third of the work and holds Python's lock: it has a process of its own, which a hostile
  message may crash, or keep busy, without harm to more than itself
"""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, lru_cache

from rtf.alerts import lsst, ztf
from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import HEADER, guarded
from rtf.alerts.readers.lsst_avro import schema_text
from rtf.alerts.readers.ztf_avro import MAGIC, BadAvro, records, schemaless_record
from rtf.alerts.report import ReadReport
from rtf.workers import executor

_CONFLUENT = 5  # bytes before the record: zero, and four of the schema's number
_SECONDS = 10  # to wait for a registry
_LONGEST = 120  # seconds that a batch, or a message, may take to be decoded

#: The schema of a number, as JSON; None, or BadAvro with the reason, where there is none.
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
    """Schemas by number from a folder (`schema_text`), a registry's address, or, with None, from nowhere.

    OSError, of what is asked of it, where a registry cannot be reached.
    """

    def schema(number: int) -> bytes | None:
        if place is None:
            return None
        if not str(place).startswith(("http://", "https://")):
            return schema_text(str(place), number)
        address = f"{str(place).rstrip('/')}/schemas/ids/{number}"
        try:
            with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
                return json.loads(answer.read(2 * HEADER))["schema"].encode()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        except TimeoutError as error:  # which here is said of a process that does not answer
            raise urllib.error.URLError("timed out") from error

    return lru_cache(256)(schema)


def histories_of(
    value: bytes,
    key: bytes | None,
    schemas: Schemas,
    where: str = "",
    *,
    survey: str = "ztf",
    negative: bool | None = None,
    cutouts: bool = True,
) -> tuple[list[SourceHistory], ReadReport]:
    """The packets of a message, and what was left out and why.

    `negative` keeps detections of negative flux; None: as the survey's reader does.

    Raises
    ------
    OSError : a registry cannot be reached; nothing is wrong with the message
    """
    report, schema, start = ReadReport(), key, 0
    container, in_key = value[:4] == MAGIC, key is not None and key[:1] == b"{"
    if not container and not in_key and value[:1] == b"\0" and len(value) > _CONFLUENT:
        number, start = int.from_bytes(value[1:_CONFLUENT], "big"), _CONFLUENT
        try:
            schema = schemas(number)
        except BadAvro as error:
            report.skip(where, str(error))
            return [], report
        if schema is None:
            report.skip(where, f"there is no schema {number} where schemas are looked for (stream.schemas=)")
            return [], report
    elif not container and not in_key:
        framings = "an Avro container, of Confluent's wire format, or with its schema as key"
        report.skip(where, f"the message is none of {framings}")
        return [], report
    packets = guarded(records(value) if container else _schemaless(value, start, schema), report, where)
    settings = {"cutouts": cutouts} | ({} if negative is None else {"negative": negative})
    read = {"ztf": ztf, "lsst": lsst}[survey].packet_histories
    return list(read(packets, report, where, **settings)), report


SOLAR_SYSTEM = "of the Solar System"  # the reason for leaving out an alert that is good

#: What became of a message: its packets, reasons for what was left out in them, and why there are none.
Decoded = tuple[list[SourceHistory], Counter, str | None]


def decode(
    messages: Sequence[tuple], place: str | None, survey: str, negative: bool | None, cutouts: bool
) -> list[Decoded]:
    """What becomes of each (value, key); schemas are from `place`.

    OSError where a registry cannot be reached.
    """
    schemas, found = _schemas(place), []
    for value, key in messages:
        packets, report = histories_of(value, key, schemas, survey=survey, negative=negative, cutouts=cutouts)
        reason = None if packets else next(iter(report.skipped), "the message holds no packet")
        if left := report.counts["solar_system"]:
            report.skipped[SOLAR_SYSTEM] += left
            reason = None
        found.append((packets, Counter() if reason else report.skipped, reason))
    return found


_schemas = cache(schemas_from)


class Decoder:
    """`decode`, in a process of its own; with `workers=0` in this one."""

    def __init__(
        self, place: str | None, survey: str, negative: bool | None, cutouts: bool, workers: int = 1
    ) -> None:
        self._settings, self._workers, self._pool = (place, survey, negative, cutouts), workers, None

    def __call__(self, messages: Sequence[tuple]) -> list[Decoded]:
        """What becomes of each (value, key); one that ends the process, or is not done in time, is bad."""
        if not self._workers:
            return decode(messages, *self._settings)
        try:
            return self._decoded(messages)
        except (BrokenProcessPool, TimeoutError) as error:
            self.close()
            if len(messages) == 1:
                how = "ended the process" if isinstance(error, BrokenProcessPool) else "was not done in time"
                return [([], Counter(), f"decoding it {how}")]
        return [result for message in messages for result in self([message])]

    def _decoded(self, messages: Sequence[tuple]) -> list[Decoded]:
        if self._pool is None:
            self._pool = executor(1)
        return self._pool.submit(decode, messages, *self._settings).result(_LONGEST)

    def close(self) -> None:
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()  # it may hang
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _schemaless(value: bytes, start: int, text: bytes) -> Iterator[dict]:
    yield schemaless_record(value, start, text)
