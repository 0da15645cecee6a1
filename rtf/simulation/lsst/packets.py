"""A simulated source as the LSST alert packets that would have been sent of it.

Notable:
- a reduced schema of our own under the official field names, in object containers; what a reader here takes
  is in it. Missing is null
- a packet is one detection, all earlier ones, and forced photometry of the visits before it that made none.
  Entries are encoded once and shared by a source's packets: change none
- fluxes are 32-bit numbers, as the survey sends them; reading the packets back gives the history to the
  last bit
"""

import io
from collections.abc import Iterable, Iterator
from functools import cache

import fastavro

from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.ztf import CUTOUT_FIELDS
from rtf.simulation.packets import encoded, long_of
from rtf.simulation.survey import SimulatedSource

_NAMESPACE = "lsst.v11_1"
_SYNC = b"RTF simulation: "
_BOOLEAN = frozenset(name for name in LSST.metadata_fields if "lag" in name) | {"isNegative", "isDipole"}
_MEASURED = LSST.metadata_fields[:-1]  # without `forced`
_SHARED = {
    "diaObjectId": "long",
    "midpointMjdTai": "double",
    "ra": "double",
    "dec": "double",
    "band": "string",
}
_FLUX = {"psfFlux": "float", "psfFluxErr": "float"}


def _kind(name: str) -> str:
    return "boolean" if name in _BOOLEAN else "int" if name == "psfNdata" else "float"


@cache
def schema() -> dict:
    """The Avro schema of the packets, parsed by fastavro."""

    def record(name, needed, optional):
        fields = [{"name": field, "type": kind} for field, kind in needed.items()]
        fields += [
            {"name": field, "type": ["null", kind], "default": None} for field, kind in optional.items()
        ]
        return {"type": "record", "name": name, "fields": fields}

    measured = {name: _kind(name) for name in _MEASURED}
    source = record("diaSource", {"diaSourceId": "long"} | _SHARED, _FLUX | measured)
    forced = record(
        "diaForcedSource", {"diaForcedSourceId": "long"} | _SHARED, _FLUX | {"scienceFlux": "float"}
    )
    nested = record("diaObject", {"diaObjectId": "long", "ra": "double", "dec": "double"}, {})
    past = {"type": "array", "items": f"{_NAMESPACE}.diaSource"}
    optional = {
        "prvDiaSources": past, "prvDiaForcedSources": {"type": "array", "items": forced},
        "diaObject": nested, **dict.fromkeys(CUTOUT_FIELDS, "bytes"),
    }  # fmt: skip
    alert = record("alert", {"diaSourceId": "long", "diaSource": source}, optional)
    return fastavro.parse_schema(alert | {"namespace": _NAMESPACE})


def packets(source: SimulatedSource) -> Iterator[dict]:
    """The packets of a source, one for each of its detections of either sign, in order of time."""
    alerts, detections = source.alerts, source.detections
    number = int(alerts.object_id)
    columns = (
        alerts.candid, alerts.mjd, source.positions, alerts.band, detections.flux, detections.fluxerr,
        detections.forced, alerts.metadata,
    )  # fmt: skip
    past: list[dict] = []
    forced: list[dict] = []
    cutouts = alerts.cutouts or [(None, None, None)] * len(alerts)
    for k, (candid, mjd, (ra, dec), band, flux, error, is_forced, values) in enumerate(
        zip(*(column.tolist() for column in columns))
    ):
        entry = {
            "diaObjectId": number, "midpointMjdTai": mjd, "ra": ra, "dec": dec, "band": LSST.bands[band],
            "psfFlux": flux, "psfFluxErr": error,
        }  # fmt: skip
        known = dict(zip(_MEASURED, values))
        if is_forced:
            forced.append({"diaForcedSourceId": k + 1, **entry, "scienceFlux": known["scienceFlux"]})
            continue
        own = {"diaSourceId": candid, **entry, **{name: _sent(name, v) for name, v in known.items()}}
        yield {
            "diaSourceId": candid, "diaSource": own, "prvDiaSources": past.copy() or None,
            "prvDiaForcedSources": forced.copy() or None,
            "diaObject": {"diaObjectId": number, "ra": alerts.ra, "dec": alerts.dec},
            **dict(zip(CUTOUT_FIELDS, cutouts[k])),
        }  # fmt: skip
        past.append(own)


def _sent(name: str, value: float):
    if value != value:
        return None
    return bool(value) if name in _BOOLEAN else int(value) if name == "psfNdata" else value


def containers(alerts: Iterable[dict]) -> Iterator[bytes]:
    """Each packet of a source as the content of an Avro file of its own, uncompressed."""
    before, entry, forced, after = _parts()
    known: dict[int, bytes] = {}

    def listed(entries, kind) -> list[bytes]:
        if not entries:
            return [long_of(0)]  # the null of the union
        known.update({id(e): encoded(kind, e) for e in entries if id(e) not in known})
        return [long_of(1), long_of(len(entries)), *(known[id(e)] for e in entries), long_of(0)]

    for alert in alerts:
        record = b"".join([
            encoded(before, alert), *listed(alert["prvDiaSources"], entry),
            *listed(alert["prvDiaForcedSources"], forced), encoded(after, alert),
        ])  # fmt: skip
        yield b"".join([_header(), long_of(1), long_of(len(record)), record, _SYNC])


@cache
def _parts() -> tuple[dict, dict, dict, dict]:
    """Schemas of the fields before a packet's lists, of an entry of each list, of the fields after them."""
    fields = {field["name"]: field for field in schema()["fields"]}
    source = fields["diaSource"]["type"]
    forced = fields["prvDiaForcedSources"]["type"][1]["items"]
    names = list(fields)
    record = {"type": "record", "name": "part"}
    before, after = (
        fastavro.parse_schema({**record, "fields": [fields[name] for name in chosen]})
        for chosen in (names[:2], names[4:])
    )
    return before, source, forced, after


@cache
def _header() -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema(), [], sync_marker=_SYNC)
    return stream.getvalue()
