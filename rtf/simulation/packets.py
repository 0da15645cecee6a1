"""A simulated source as the alert packets that the survey would have sent of it.

Notable:
- field names, order and types are those of ZTF's schema 4.02
  (https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html), so that a broker's reader takes them
- missing is what it is in real packets: -999 where PS1 has no neighbour or no magnitude of it, and where no
  asteroid is near; null elsewhere. What is not simulated (apertures, pixel positions, forced photometry) is
  null, and -999 where the schema has no null
- `pid` is the survey's: night, day fraction, read-out channel (here always 0)
- the history holds every visit of the 30 days before: alerts of either sign with 14 of the 30 metadata, and
  non-detections with their limit. Its entries are made once and shared by a source's packets: change none
- reading the packets back gives the history to the last bit
"""

import io
from collections.abc import Iterable, Iterator
from functools import cache

import fastavro
import numpy as np

from rtf.alerts.history import METADATA_FIELDS
from rtf.alerts.ztf import CUTOUT_FIELDS, HISTORY_METADATA, MISSING, MJD_ZERO
from rtf.simulation.survey import HISTORY_DAYS, SimulatedSource

PUBLISHER = "RTF simulated survey"
VERSION = "4.02"
_NIGHT_ZERO = 2457754.5  # JD of the beginning of the survey's night 0
_EXPOSURE = 30.0  # [s]
#: Ends each Avro block; one for all files, so that the same survey is the same bytes.
_SYNC = b"RTF simulation: "

# "?" marks what may be null.
_CANDIDATE = """
jd:double fid:int pid:long diffmaglim:float? pdiffimfilename:string? programpi:string? programid:int
candid:long isdiffpos:string tblid:long? nid:int? rcid:int? field:int? xpos:float? ypos:float? ra:double
dec:double magpsf:float sigmapsf:float chipsf:float? magap:float? sigmagap:float? distnr:float?
magnr:float? sigmagnr:float? chinr:float? sharpnr:float? sky:float? magdiff:float? fwhm:float?
classtar:float? mindtoedge:float? magfromlim:float? seeratio:float? aimage:float? bimage:float?
aimagerat:float? bimagerat:float? elong:float? nneg:int? nbad:int? rb:float? ssdistnr:float?
ssmagnr:float? ssnamenr:string? sumrat:float? magapbig:float? sigmagapbig:float? ranr:double
decnr:double sgmag1:float? srmag1:float? simag1:float? szmag1:float? sgscore1:float? distpsnr1:float?
ndethist:int ncovhist:int jdstarthist:double? jdendhist:double? scorr:double? tooflag:int?
objectidps1:long? objectidps2:long? sgmag2:float? srmag2:float? simag2:float? szmag2:float?
sgscore2:float? distpsnr2:float? objectidps3:long? sgmag3:float? srmag3:float? simag3:float?
szmag3:float? sgscore3:float? distpsnr3:float? nmtchps:int rfid:long jdstartref:double jdendref:double
nframesref:int rbversion:string dsnrms:float? ssnrms:float? dsdiff:float? magzpsci:float?
magzpsciunc:float? magzpscirms:float? nmatches:int clrcoeff:float? clrcounc:float? zpclrcov:float?
zpmed:float? clrmed:float? clrrms:float? neargaia:float? neargaiabright:float? maggaia:float?
maggaiabright:float? exptime:float? drb:float? drbversion:string
"""
_FORCED = """
field:int? rcid:int? fid:int pid:long rfid:long sciinpseeing:float? scibckgnd:float? scisigpix:float?
magzpsci:float? magzpsciunc:float? magzpscirms:float? clrcoeff:float? clrcounc:float? exptime:float?
adpctdif1:float? adpctdif2:float? diffmaglim:float? programid:int jd:double forcediffimflux:float?
forcediffimfluxunc:float? procstatus:string? distnr:float? ranr:double decnr:double magnr:float?
sigmagnr:float? chinr:float? sharpnr:float?
"""

CANDIDATE_TYPES, _FORCED_TYPES = (
    dict(field.split(":") for field in table.split()) for table in (_CANDIDATE, _FORCED)
)
_NAMES = list(CANDIDATE_TYPES)
#: An entry of the history has the first fields and a few more, and all but five may be null.
PAST_TYPES = {
    name: CANDIDATE_TYPES[name].rstrip("?")
    + ("" if name in ("jd", "fid", "pid", "programid", "rbversion") else "?")
    for name in (
        *_NAMES[: _NAMES.index("decnr") + 1], "scorr", "magzpsci", "magzpsciunc", "magzpscirms", "clrcoeff",
        "clrcounc", "rbversion",
    )
}  # fmt: skip

_UNKNOWN = {"int": -999, "long": -999, "double": MISSING, "float": MISSING, "string": "simulated"}


def _blank(types: dict[str, str]) -> dict:
    """A record of which nothing is known."""
    return {name: None if kind.endswith("?") else _UNKNOWN[kind] for name, kind in types.items()}


_BLANK_CANDIDATE = _blank(CANDIDATE_TYPES) | {
    "programid": 1, "ssdistnr": MISSING, "ssmagnr": MISSING, "ssnamenr": "null", "tooflag": 0,
    "exptime": _EXPOSURE,
}  # fmt: skip
_BLANK_PAST = _blank(PAST_TYPES) | {"programid": 1}

#: What is left of an alert in the histories of later ones.
_KEPT = (
    "jd", "fid", "pid", "nid", "field", "candid", "isdiffpos", "ra", "dec", "magpsf", *HISTORY_METADATA,
)  # fmt: skip
_COUNTS = frozenset(("nmtchps", "ndethist", "ncovhist"))
#: Metadata of which the survey sends -999 where they are missing, not null.
_SENTINEL = _COUNTS | {name for name in METADATA_FIELDS if name[0] == "s" and name[2:5] == "mag"} | {
    "sgscore1", "sgscore2", "distpsnr1", "distpsnr2",
}  # fmt: skip


@cache
def schema() -> dict:
    """The Avro schema of the packets, parsed by fastavro."""
    cutout = _record("cutout", {"fileName": "string", "stampData": "bytes"})
    kinds = {
        "schemavsn": "string",
        "publisher": "string",
        "objectId": "string",
        "candid": "long",
        "candidate": _record("candidate", CANDIDATE_TYPES),
        "prv_candidates": {"type": "array", "items": _record("prv_candidate", PAST_TYPES)},
        "fp_hists": {"type": "array", "items": _record("fp_hist", _FORCED_TYPES)},
        **dict(zip(CUTOUT_FIELDS, (cutout, "ztf.alert.cutout", "ztf.alert.cutout"))),
    }
    optional = {"prv_candidates", "fp_hists", *CUTOUT_FIELDS}
    fields = [_field(name, kind, name in optional) for name, kind in kinds.items()]
    return fastavro.parse_schema(
        {"type": "record", "name": "alert", "namespace": "ztf", "version": VERSION, "fields": fields}
    )


def _record(name: str, types: dict[str, str]) -> dict:
    fields = [_field(field, kind.rstrip("?"), kind.endswith("?")) for field, kind in types.items()]
    return {"type": "record", "name": name, "namespace": "ztf.alert", "fields": fields}


def _field(name: str, kind, optional: bool) -> dict:
    return {"name": name, **({"type": ["null", kind], "default": None} if optional else {"type": kind})}


def packets(source: SimulatedSource) -> Iterator[dict]:
    """The packets of a source, one for each of its alerts of either sign, in order of time.

    Times of `alerts` are those of its `visits`, whole steps of a float64 Julian Date.
    """
    alerts, of_alert = source.alerts, source.detections.visit.tolist()
    jd = source.visits.mjd + MJD_ZERO
    entries, candidates = _non_detections(source, jd), _candidates(source)
    for visit, candidate in zip(of_alert, candidates):
        entries[visit] = _BLANK_PAST | {name: candidate[name] for name in _KEPT}
    stamps = alerts.cutouts or [(None, None, None)] * len(alerts)
    for visit, candidate, cutouts in zip(of_alert, candidates, stamps):
        first = int(np.searchsorted(jd, jd[visit] - HISTORY_DAYS))
        yield {
            "schemavsn": VERSION,
            "publisher": PUBLISHER,
            "objectId": alerts.object_id,
            "candid": candidate["candid"],
            "candidate": candidate,
            "prv_candidates": entries[first:visit] or None,
            "fp_hists": None,
            **_cutouts(candidate, cutouts),
        }


def _exposure(jd: float) -> dict:
    """What the survey numbers exposures by."""
    since = jd - _NIGHT_ZERO
    night = int(since // 1)
    return {"jd": jd, "nid": night, "pid": night * 10**9 + int((since - night) * 1e5) * 10**4 + 15}


def _non_detections(source: SimulatedSource, jd: np.ndarray) -> list[dict]:
    """An entry of `prv_candidates` for every visit, as if nothing had been detected."""
    visits = source.visits
    columns = (jd, visits.band + 1, np.float32(visits.depth), visits.field)
    return [
        _BLANK_PAST | _exposure(time) | {"fid": fid, "diffmaglim": depth, "field": field}
        for time, fid, depth, field in zip(*(column.tolist() for column in columns))
    ]


def _candidates(source: SimulatedSource) -> list[dict]:
    """The `candidate` of every alert."""
    alerts = source.alerts
    jd = alerts.mjd + MJD_ZERO
    # The beginning is told only where the first alert is the first detection that `ndethist` counts.
    counted = float(alerts.metadata[0, METADATA_FIELDS.index("ndethist")]) if len(alerts) else 0.0
    field = source.visits.field[source.detections.visit]
    columns = (
        jd, alerts.band + 1, alerts.candid, source.positive, source.positions, field, alerts.mag,
        alerts.metadata, alerts.magerr,
    )  # fmt: skip
    begin = float(jd[0]) if counted == 1 else None
    return [
        _BLANK_CANDIDATE
        | _exposure(time)
        | _metadata(metadata)
        | {
            "fid": fid, "candid": candid, "isdiffpos": "t" if positive else "f", "ra": ra, "dec": dec,
            "field": field, "magpsf": mag, "sigmapsf": magerr,
            "jdstarthist": begin, "jdendhist": time,
        }
        for time, fid, candid, positive, (ra, dec), field, mag, metadata, magerr in zip(
            *(column.tolist() for column in columns)
        )
    ]  # fmt: skip


def _metadata(values: list[float]) -> dict:
    """The 30 metadata of an alert, missing ones as the survey sends them."""
    known = {
        name: value if value == value else MISSING if name in _SENTINEL else None
        for name, value in zip(METADATA_FIELDS, values)
    }
    for name in _COUNTS:
        known[name] = int(known[name])
    for number in "12":
        if known[f"distpsnr{number}"] == MISSING:
            known[f"objectidps{number}"] = int(MISSING)
    return known


def _cutouts(candidate: dict, stamps) -> dict:
    """The cutouts under the survey's file names."""
    name = f"candid{candidate['candid']}"
    image = f"{name}_pid{candidate['pid']}_targ"
    difference = "scimref" if candidate["isdiffpos"] == "t" else "refmsci"
    names = f"{image}_sci.fits.gz", f"{name}_ref.fits.gz", f"{image}_{difference}.fits.gz"
    return {
        field: None if stamp is None else {"fileName": file, "stampData": stamp}
        for field, file, stamp in zip(CUTOUT_FIELDS, names, stamps)
    }


def containers(alerts: Iterable[dict]) -> Iterator[bytes]:
    """Each packet of a source as the content of an Avro file of its own, uncompressed as the survey sends it.

    The entries that histories share are encoded once: fastavro's writer of whole packets is far slower.
    """
    before, past, after = _around_history()
    known: dict[int, bytes] = {}
    for alert in alerts:
        entries = alert["prv_candidates"] or []
        known |= {id(entry): encoded(past, entry) for entry in entries if id(entry) not in known}
        shared = (
            [long_of(1), long_of(len(entries)), *(known[id(entry)] for entry in entries)] if entries else []
        )
        record = b"".join([encoded(before, alert), *shared, long_of(0), encoded(after, alert)])
        yield b"".join([_header(), long_of(1), long_of(len(record)), record, _SYNC])


@cache
def _around_history() -> tuple[dict, dict, dict]:
    """Schemas of a packet's fields before its history, of an entry of the history, of the fields after it."""
    fields = schema()["fields"]
    at = next(k for k, field in enumerate(fields) if field["name"] == "prv_candidates")
    record = {"type": "record", "name": "part"}
    before, after = (fastavro.parse_schema({**record, "fields": f}) for f in (fields[:at], fields[at + 1 :]))
    return before, fields[at]["type"][1]["items"], after


def encoded(kind, value) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, kind, value)
    return stream.getvalue()


def long_of(value: int) -> bytes:
    return encoded("long", value)


@cache
def _header() -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema(), [], sync_marker=_SYNC)
    return stream.getvalue()
