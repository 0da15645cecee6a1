"""LSST alerts in Avro: `.avro` files and tar archives of them, as containers or in Confluent's wire format.

Notable:
- a wire message is a zero byte, four bytes with the number of its schema, and a record; the schema comes from
  a folder: NUMBER.avsc, or the folder `lsst/alert/packet/schema` of the package lsst-alert-packet
- schema 904 is version 9.4
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from rtf.alerts.folders import Unit, files, units
from rtf.alerts.history import SourceHistory
from rtf.alerts.limits import HEADER, PACKET, guarded
from rtf.alerts.lsst import packet_histories
from rtf.alerts.readers.ztf_avro import (
    FILES_PER_UNIT,
    LOOKED_AT,
    TARS,
    BadAvro,
    members,
    records,
    schemaless_record,
    survey_of,
)
from rtf.alerts.report import ReadReport

WIRE = b"\0"
_PREFIX = 5  # bytes before the record


def recognises(path: Path) -> bool:
    return any(survey_of(file) == "lsst" for file in islice(files(path, ".avro", *TARS), LOOKED_AT))


@dataclass
class LsstAvro:
    """Alerts of `.avro` files and of `.tar`, `.tar.gz` and `.tgz` archives of them, in a folder or singly."""

    negative: bool = True  # keep detections of negative flux
    cutouts: bool = True  # keep the cutouts
    forced: bool = True  # keep forced photometry
    solar_system: bool = False  # keep alerts of the Solar System
    schemas: str | None = None  # folder of schemas, for files in the wire format

    def units(self, path: Path) -> list[Unit]:
        """128 Avro files, or one archive, at a time."""
        return units(list(files(path, ".avro")), FILES_PER_UNIT) + units(list(files(path, *TARS)))

    def read(self, unit: Unit, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each alert."""
        settings = {name: value for name, value in vars(self).items() if name != "schemas"}
        for path in unit.items:
            archive = path.name.lower().endswith(TARS)
            for name, content in members(path, report) if archive else [(path, path)]:
                packets = guarded(self._packets(content), report, name)
                yield from packet_histories(packets, report, name, **settings)

    def _packets(self, content: bytes | Path) -> Iterator[dict]:
        if isinstance(content, Path):
            with content.open("rb") as file:
                wire = file.read(1) == WIRE
            if not wire:
                yield from records(content)
                return
            if content.stat().st_size > PACKET:
                raise BadAvro(f"larger than {PACKET:,} bytes")
            content = content.read_bytes()
        if content[:1] == WIRE:
            yield wire_record(content, self.schemas)
        else:
            yield from records(content)


def wire_record(message: bytes, schemas: str | None) -> dict:
    """The record of a message in Confluent's wire format; BadAvro where it or its schema is not there."""
    number = int.from_bytes(message[1:_PREFIX], "big")
    if schemas is None:
        raise BadAvro(f"in the wire format, with schema {number}: name a folder of schemas, reader.schemas=")
    return schemaless_record(message, _PREFIX, schema_text(str(schemas), number))


@lru_cache(maxsize=64)
def schema_text(folder: str, number: int) -> bytes:
    """The schema of a number, JSON, from a folder; BadAvro where it has none."""
    whole = Path(folder) / f"{number}.avsc"
    major, minor = divmod(number, 100)
    parts = Path(folder) / str(major) / str(minor)
    try:
        if whole.is_file() and whole.stat().st_size <= HEADER:
            return whole.read_bytes()
        if parts.is_dir():
            return json.dumps(_whole(parts, f"lsst.v{major}_{minor}.alert", set())).encode()
    except (OSError, ValueError) as error:
        raise BadAvro(f"schema {number} in {folder} cannot be read ({error})") from error
    raise BadAvro(f"there is no schema {number} in {folder}: neither {whole.name} nor {major}/{minor}")


def _whole(folder: Path, name: str, known: set[str]):
    """A schema with the records that it names, each in a file of its name, put where they are first named."""

    def filled(schema):
        if isinstance(schema, str):
            file = folder / f"{schema}.avsc"
            if schema in known or "." not in schema or not file.is_file() or file.stat().st_size > HEADER:
                return schema
            known.add(schema)
            return filled(json.loads(file.read_text(encoding="utf-8")))
        if isinstance(schema, list):
            return [filled(branch) for branch in schema]
        inner = {key: filled(schema[key]) for key in ("type", "items", "values") if key in schema}
        if "fields" in schema:
            inner["fields"] = [field | {"type": filled(field["type"])} for field in schema["fields"]]
        return schema | inner

    return filled(name)
