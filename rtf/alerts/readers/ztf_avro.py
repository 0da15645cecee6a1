"""ZTF alerts in Avro: `.avro` object container files, and tar archives of them.

Notable:
- every file of the public archive holds one alert and its own 23 kB copy of the schema: parsing that schema
  takes longer than anything else, so a schema is parsed once and remembered by its text
- what comes before the place where a file or an archive is cut short is kept, what is lost is reported
- container format: https://avro.apache.org/docs/1.11.1/specification/#object-container-files
"""

import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import fastavro

from rtf.alerts.folders import Unit, files, units
from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import DEPTH, HEADER, OBJECTS, PACKET, guarded
from rtf.alerts.report import BadItem, ReadReport, printable
from rtf.alerts.ztf import packet_histories

MAGIC = b"Obj\x01"
TARS = (".tar", ".tar.gz", ".tgz")
FILES_PER_UNIT = 128
LOOKED_AT, _HEAD = 100, 1 << 16  # files, and bytes of each, to tell the survey by

_META = fastavro.parse_schema({"type": "map", "values": "bytes"})
_SYNC = 16
_UNUSED = ("default", "logicalType")
_ARCHIVE_HEADER = 1 << 16  # bytes of a member's name and attributes


class BadAvro(BadItem):
    """A file that is not an Avro object container, or not a whole one."""


def recognises(path: Path) -> bool:
    return any(survey_of(file) == "ztf" for file in islice(files(path, ".avro", *TARS), LOOKED_AT))


def survey_of(path: Path) -> str:
    """The survey whose alerts a file or an archive holds, as far as its beginning tells; else ztf."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return "ztf"
    if path.name.lower().endswith(TARS):
        return "lsst" if b'"lsst.v' in head else "ztf"
    return "lsst" if head[:1] == b"\0" or (head[:4] == MAGIC and b'"lsst.v' in head) else "ztf"


@dataclass
class ZtfAvro:
    """Alerts of `.avro` files and of `.tar`, `.tar.gz` and `.tgz` archives of them, in a folder or singly."""

    negative: bool = False  # keep negative subtractions
    cutouts: bool = True  # keep the cutouts

    def units(self, path: Path) -> list[Unit]:
        """128 Avro files, or one archive, at a time."""
        return units(list(files(path, ".avro")), FILES_PER_UNIT) + units(list(files(path, *TARS)))

    def read(self, unit: Unit, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each packet."""
        for path in unit.items:
            archive = path.name.lower().endswith(TARS)
            for name, content in members(path, report) if archive else [(path, path)]:
                # a damaged end is reported, what comes before it is kept
                packets = guarded(records(content), report, name)
                yield from packet_histories(packets, report, name, **vars(self))


def records(content: bytes | Path) -> Iterator[dict]:
    """The records of an Avro object container, a file or its content.

    BadAvro, after the last readable record, where the container is cut short or damaged.
    """
    if isinstance(content, Path) and content.stat().st_size <= PACKET:
        content = content.read_bytes()  # which is faster
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        yield from _blocks(stream)


def _blocks(stream: BinaryIO) -> Iterator[dict]:
    head = io.BytesIO(stream.read(HEADER))
    if head.read(4) != MAGIC:
        raise BadAvro("not an Avro object container file")
    try:
        meta = fastavro.schemaless_reader(head, _META, None)
        text = meta["avro.schema"]
    except Exception as error:
        raise BadAvro(f"Avro header is cut short or damaged ({_why(error)})") from error
    schema = parse_schema(text)
    codec = meta.get("avro.codec", b"null").decode("latin-1")
    if codec not in ("null", "deflate"):
        raise BadAvro(f"Avro codec {codec[:20]} is not supported (null and deflate are)")
    sync = head.read(_SYNC)
    stream.seek(head.tell())
    if not stream.read(1):
        raise BadAvro("Avro file holds no alerts")
    stream.seek(head.tell())
    while start := stream.read(2 * 10):
        lengths = io.BytesIO(start)
        try:
            count, size = (fastavro.schemaless_reader(lengths, "long", None) for _ in range(2))
        except Exception as error:
            raise BadAvro("Avro file is cut short between two blocks") from error
        stream.seek(lengths.tell() - len(start), io.SEEK_CUR)
        yield from _block(stream, schema, codec, sync, count, size)


def _block(stream: BinaryIO, schema: "Schema", codec: str, sync: bytes, count: int, size: int):
    if count < 0 or size < 0:
        raise BadAvro("Avro block has a negative size")
    if size > schema.largest:
        raise BadAvro(f"Avro block is larger than {schema.largest:,} bytes, {count} alerts lost")
    data = stream.read(size)
    cut = len(data) < size
    if codec == "deflate":
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflate.decompress(data, schema.largest)
        except zlib.error as error:
            raise BadAvro(f"Avro block does not decompress, {count} alerts lost ({error})") from error
        if inflate.unconsumed_tail:
            raise BadAvro(f"Avro block is larger than {schema.largest:,} bytes, {count} alerts lost")
    block = io.BytesIO(data)
    for k in range(count):
        try:
            record = fastavro.schemaless_reader(block, schema.parsed, None)
        except Exception as error:
            how = "cut short" if cut else "damaged"
            raise BadAvro(f"Avro block is {how}, {count - k} of its {count} alerts lost") from error
        yield record
    if block.read(1):
        raise BadAvro(f"Avro block holds more than the {count} alerts that it claims")
    if cut or stream.read(_SYNC) != sync:
        raise BadAvro("Avro block does not end with the file's sync marker")


class Schema(NamedTuple):
    """A schema as fastavro understands it."""

    parsed: dict
    largest: int  # the most bytes of data that it may be given


@lru_cache(maxsize=64)
def parse_schema(text: bytes) -> Schema:
    """An Avro schema from JSON; BadAvro where it is none, or its data could be endless."""
    try:
        # A reader has no use for defaults and logical types, and writers get defaults wrong.
        values = json.loads(text, object_hook=lambda x: {k: x[k] for k in x if k not in _UNUSED})
        parsed = fastavro.parse_schema(values)
        least, own, each = _cost(parsed, {})
    except BadAvro:
        raise
    except Exception as error:
        raise BadAvro(f"the schema in the Avro header is not valid ({_why(error)})") from error
    if least == 0 or own > OBJECTS:
        raise BadAvro("the schema in the Avro header describes no alerts (empty or endless records)")
    return Schema(parsed, min(PACKET, int((OBJECTS - own) / max(each, 1))))


def schemaless_record(message: bytes, start: int, text: bytes) -> dict:
    """The record that begins at byte `start` of a message, by a schema, JSON; BadAvro where it is broken."""
    if len(text) > HEADER:
        raise BadAvro(f"a schema of {len(text):,} bytes")
    schema = parse_schema(bytes(text))
    if len(message) - start > schema.largest:
        raise BadAvro(f"larger than {schema.largest:,} bytes, the most that this schema may be given")
    stream = io.BytesIO(message)
    stream.seek(start)
    try:
        record = fastavro.schemaless_reader(stream, schema.parsed, None)
    except Exception as error:
        raise BadAvro("the Avro record is cut short or damaged, or of another schema") from error
    if stream.tell() != len(message):
        raise BadAvro("the Avro record ends before the message does: it is of another schema")
    return record


_LEAST = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


def _cost(schema, known: dict, depth: int = 0) -> tuple[int, float, float]:
    """What data of a parsed schema cost: `least`, the fewest bytes of one, and `own` and `each`.

    The Python objects made of n bytes take at most `own + each * n` bytes: a few bytes can be a large record,
    or many small ones. `known` has the costs of named types, None for those that we are in the middle of.
    """
    if depth > DEPTH:
        raise BadAvro(f"the schema in the Avro header is nested deeper than {DEPTH} levels")
    if isinstance(schema, list):
        branches = [_cost(branch, known, depth + 1) for branch in schema]
        least, own, each = (max(values) for values in zip(*branches))
        return 1, own, each
    if isinstance(schema, str):
        if schema in _LEAST:
            return _LEAST[schema], 64, 4
        if known[schema] is None:
            raise BadAvro("the schema in the Avro header is recursive, which alerts are not")
        return known[schema]
    kind = schema["type"]
    if kind in ("array", "map"):
        least, own, each = _cost(schema["items" if kind == "array" else "values"], known, depth + 1)
        least, own = (least, own + 16) if kind == "array" else (least + 1, own + 256)
        if least == 0:
            raise BadAvro("the schema in the Avro header has an array of nothing")
        return 1, 256, each + own / least
    name = schema.get("name")
    if kind in ("record", "error"):
        known[name] = None
        fields = [_cost(field["type"], known, depth + 1) for field in schema["fields"]]
        own = 256 + sum(field[1] + 40 for field in fields)
        result = sum(field[0] for field in fields), own, max((field[2] for field in fields), default=0)
    elif kind == "enum":
        result = 1, 64, 0
    elif kind == "fixed":
        result = schema["size"], 64 + schema["size"], 1
    else:
        return _cost(kind, known, depth + 1)
    known[name] = result
    return result


def _why(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}")[:200]


class _Member(tarfile.TarInfo):
    """A tar entry that remembers why there is no next one: `tarfile` ends a cut archive without a word."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            archive.last_error = error
            raise

    def _proc_member(self, archive):
        if self.type in b"LKxgX" and self.size > _ARCHIVE_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)


def members(path: Path, report: ReadReport) -> Iterator[tuple[str, bytes]]:
    """Name and content of each Avro file of a tar archive, read from front to back."""
    name = "the beginning"
    try:
        with path.open("rb") as file:
            mode = "r|gz" if file.read(2) == b"\x1f\x8b" else "r|"
        with tarfile.open(path, mode, tarinfo=_Member) as archive:
            for member in archive:
                archive.members.clear()  # a night has 10^5 entries, and none is needed again
                if member.isdir():
                    continue
                name = printable(member.name)
                if not member.isfile() or member.issparse() or not name.endswith(".avro"):
                    report.skip(path, "not an Avro file", item=name)
                elif member.size > PACKET:
                    report.skip(path, f"larger than {PACKET:,} bytes", item=name)
                else:
                    yield f"{path}:{name}", archive.extractfile(member).read()
                if member.size > 64 * PACKET:
                    raise BadItem(f"member of {member.size:,} bytes")
            last = getattr(archive, "last_error", None)
            if isinstance(last, tarfile.EmptyHeaderError):
                report.skip(path, f"archive is cut short after {name}, or lacks only its end mark")
            elif not isinstance(last, tarfile.EOFHeaderError):
                report.skip(path, f"archive is cut short or damaged, what follows {name} is lost")
    except Exception as error:
        reason = f"archive is cut short or damaged at {name}, the rest is lost ({_why(error)})"
        report.skip(path, reason, item=name)
