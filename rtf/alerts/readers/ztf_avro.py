"""ZTF alerts in Avro: `.avro` object container files, and tar archives of them.

Notable:
- every file of the public archive holds one alert and its own 23 kB copy of the schema: parsing that schema
  takes longer than anything else, so a schema is parsed once and remembered by its text
- what comes before the place where a file or an archive is cut short is kept, what is lost is reported
- container format: https://avro.apache.org/docs/1.11.1/specification/#object-container-files
"""

import io
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import fastavro

from rtf.alerts.folders import Parcel, files, parcels
from rtf.alerts.history import SourceHistory
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import packet_history

MAGIC = b"Obj\x01"
TARS = (".tar", ".tar.gz", ".tgz")
FILES_PER_UNIT = 128

_META = fastavro.parse_schema({"type": "map", "values": "bytes"})
_SYNC = 16

# What fastavro raises on bytes that do not follow the schema.
_UNDECODABLE = (
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    StopIteration,
    ValueError,
    struct.error,
)


class BadAvro(ValueError):
    """A file that is not an Avro object container, or not a whole one."""


def recognises(path: Path) -> bool:
    return next(files(path, ".avro", *TARS), None) is not None


@dataclass
class ZtfAvro:
    """Alerts of `.avro` files and of `.tar`, `.tar.gz` and `.tgz` archives of them, in a folder or singly.

    Attributes
    ----------
    negative : keep negative subtractions
    cutouts : keep the cutouts
    """

    negative: bool = False
    cutouts: bool = True

    def units(self, path: Path) -> list[Parcel]:
        """128 Avro files, or one archive, at a time."""
        return parcels(list(files(path, ".avro")), FILES_PER_UNIT) + parcels(list(files(path, *TARS)), 1)

    def read(self, unit: Parcel, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each packet."""
        for path in unit.paths:
            contents = _members(path, report) if path.name.endswith(TARS) else [(path, path.read_bytes())]
            for name, content in contents:
                for packet in _packets(name, content, report):
                    history = packet_history(
                        packet, report, name, negative=self.negative, cutouts=self.cutouts
                    )
                    if history is not None:
                        yield history


def _packets(name, content: bytes, report: ReadReport) -> Iterator[dict]:
    """The records of one object container; a damaged end is reported, what comes before it is kept."""
    try:
        yield from records(content)
    except BadAvro as bad:
        report.skip(name, str(bad))


def records(content: bytes) -> Iterator[dict]:
    """The records of an Avro object container.

    Raises
    ------
    BadAvro : after the last readable record, where the container is cut short or damaged
    """
    if content[:4] != MAGIC:
        raise BadAvro("not an Avro object container file")
    stream = io.BytesIO(content)
    stream.seek(4)
    try:
        meta = fastavro.schemaless_reader(stream, _META, None)
        schema = _schema(meta["avro.schema"])
    except (*_UNDECODABLE, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise BadAvro(f"Avro header is cut short or damaged ({_why(error)})") from error
    codec = meta.get("avro.codec", b"null").decode("latin-1")
    if codec not in ("null", "deflate"):
        raise BadAvro(f"Avro codec {codec} is not supported (null and deflate are)")
    sync = stream.read(_SYNC)
    while stream.tell() < len(content):
        yield from _block(stream, schema, codec, sync)


def _block(stream: io.BytesIO, schema, codec: str, sync: bytes) -> Iterator[dict]:
    try:
        count, size = (fastavro.schemaless_reader(stream, "long", None) for _ in range(2))
    except _UNDECODABLE as error:
        raise BadAvro("Avro file is cut short between two blocks") from error
    if count < 0 or size < 0:
        raise BadAvro("Avro block has a negative size")
    data = stream.read(size)
    cut = len(data) < size
    if codec == "deflate":
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
        except zlib.error as error:
            raise BadAvro(f"Avro block does not decompress, {count} alerts lost ({error})") from error
    block = io.BytesIO(data)
    for k in range(count):
        try:
            record = fastavro.schemaless_reader(block, schema, None)
        except _UNDECODABLE as error:
            how = "cut short" if cut else "damaged"
            raise BadAvro(f"Avro block is {how}, {count - k} of its {count} alerts lost") from error
        yield record
    if cut or stream.read(_SYNC) != sync:
        raise BadAvro("Avro block does not end with the file's sync marker")


@lru_cache(maxsize=64)
def _schema(text: bytes):
    return fastavro.parse_schema(json.loads(text))


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


class _Member(tarfile.TarInfo):
    """A tar entry that remembers why there is no next one: `tarfile` ends a cut archive without a word."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            archive.last_error = error
            raise


def _members(path: Path, report: ReadReport) -> Iterator[tuple[str, bytes]]:
    """Name and content of each Avro file of a tar archive, read from front to back."""
    name = "the beginning"
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member) as archive:
            for member in archive:
                archive.members.clear()  # a night has 10^5 entries, and none is needed again
                if member.isdir():
                    continue
                name = member.name
                if not member.isfile() or not name.endswith(".avro"):
                    report.skip(path, "not an Avro file", item=name)
                    continue
                yield f"{path}:{name}", archive.extractfile(member).read()
            if not isinstance(getattr(archive, "last_error", None), tarfile.EOFHeaderError):
                report.skip(path, f"archive is cut short or damaged, what follows {name} is lost")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = f"archive is cut short or damaged at {name}, the rest is lost ({_why(error)})"
        report.skip(path, reason, item=name)
