"""A ZTF alert packet, a dict in whichever container it came, as a `SourceHistory`.

Notable:
- the alert's own `candidate` and each entry of `prv_candidates` is a row; a history entry without a magnitude
  is a non-detection and no row
- history entries carry 14 of the 30 metadata; the others stay missing
- numbers leave the dicts through one `itemgetter` and one `np.array` for each kind of row: this runs once for
  every alert of the night
- fields: https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html
"""

from operator import itemgetter

import numpy as np

from rtf.alerts.cutouts import BadCutout, check_cutout
from rtf.alerts.history import METADATA_FIELDS, NO_CANDID, NO_CUTOUTS, SourceHistory, from_columns
from rtf.alerts.report import ReadReport

MJD_ZERO = 2400000.5
MISSING = -999.0
FAINTEST, BRIGHTEST = 35.0, -5.0

CUTOUT_FIELDS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")

#: Metadata that a `prv_candidates` entry carries too.
HISTORY_METADATA = (
    "sharpnr", "scorr", "diffmaglim", "sky", "sigmapsf", "chinr", "classtar", "rb", "chipsf", "distnr",
    "magnr", "fwhm", "clrcoeff", "clrcounc",
)  # fmt: skip

_LEADING = ("jd", "fid", "magpsf")
_COLUMNS = _LEADING + METADATA_FIELDS
_ERROR = _COLUMNS.index("sigmapsf")
_HISTORY_COLUMNS = _LEADING + HISTORY_METADATA
_HISTORY_INDEX = np.array([_COLUMNS.index(name) for name in _HISTORY_COLUMNS])
_LARGEST = float(np.finfo(np.float32).max)

#: Every field of `candidate` that is read, and of an entry of `prv_candidates`.
CANDIDATE_FIELDS = (*_COLUMNS, "isdiffpos", "candid", "ra", "dec")
HISTORY_FIELDS = (*_HISTORY_COLUMNS, "isdiffpos", "candid")

# 1, 1.0 and True are one key, and so are 0, 0.0 and False.
_POSITIVE = dict.fromkeys(("t", "1", "T", "true", "True", b"t", b"1", True), True) | dict.fromkeys(
    ("f", "0", "F", "false", "False", b"f", b"0", False), False
)


class BadPacket(ValueError):
    """A packet or a history entry that cannot be used: `field` is what is wrong with it, `reason` how."""

    def __init__(self, field: str, reason: str):
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


def packet_history(
    packet: dict,
    report: ReadReport,
    file,
    *,
    negative: bool = False,
    cutouts: bool = True,
    object_id: str = "",
) -> SourceHistory | None:
    """The detections in one packet.

    Parameters
    ----------
    packet : `objectId`, `candidate`, `prv_candidates` and the three cutouts, as ZTF's Avro schema nests them
    report : gains `packets` (always), `detections`, `non_detections`, `negative` (subtractions left out),
        `imprecise_candid` (ids that a reader before us rounded, and which are therefore not used),
        `unreadable_numbers`, and what was skipped
    file : where the packet came from, for the report
    negative : keep negative subtractions (`isdiffpos` f or 0)
    cutouts : keep the cutouts of the packet's own candidate, after making sure that they decode
    object_id : name to use in place of `objectId`

    Returns
    -------
    The history, empty where every detection was a negative subtraction; None where the packet is bad, which
    the report then says. A bad entry of `prv_candidates` is left out alone.
    """
    report.count("packets")
    try:
        return _read(packet, report, file, negative, cutouts, object_id)
    except BadPacket as bad:
        report.skip(file, bad.reason, item=_name(packet, object_id), field=bad.field)
        return None


def positive(isdiffpos) -> bool | None:
    """Whether a subtraction is positive; None where `isdiffpos` is none of t, 1, f, 0."""
    try:
        return _POSITIVE.get(isdiffpos)
    except TypeError:  # something that cannot be a dict key, such as a list
        return None


def exact_candid(value) -> int | None:
    """A detection id as int, `NO_CANDID` where there is none, None where it was rounded on its way here.

    Fink's later files hold the history's ids as doubles, which are multiples of 512 at that size: no id.
    """
    if type(value) is int:
        return value if 0 <= value < 2**63 else NO_CANDID
    if isinstance(value, np.integer):
        return exact_candid(int(value))
    if isinstance(value, str) and value.isdecimal():
        return exact_candid(int(value))
    if not isinstance(value, float) or not value >= 0:
        return NO_CANDID
    return int(value) if value < 2**53 and value == int(value) else None


def fault(mjd: float, band_known: bool, mag: float, magerr: float) -> tuple[str, str] | None:
    """What is wrong with a detection: which of time, band, mag, magerr, and how; None where nothing."""
    if not np.isfinite(mjd):
        return "time", "missing or not finite"
    if not band_known:
        return "band", "unknown band"
    if np.isnan(mag):
        return "mag", "missing or NaN"
    if not BRIGHTEST <= mag <= FAINTEST:
        return "mag", f"outside {BRIGHTEST:g} to {FAINTEST:g}"
    if not np.isfinite(magerr):
        return "magerr", "missing or not finite"
    if magerr < 0:
        return "magerr", "negative"
    return None


def usable(mjd, mag, magerr) -> np.ndarray:
    """(L,) bool: where time, magnitude and error of detections are sound; `fault` says what is wrong."""
    return np.isfinite(mjd) & (mag >= BRIGHTEST) & (mag <= FAINTEST) & (magerr >= 0) & (magerr < np.inf)


def _read(packet, report, file, negative, cutouts, object_id) -> SourceHistory:
    candidate = packet.get("candidate") if isinstance(packet, dict) else None
    if not isinstance(candidate, dict):
        raise BadPacket("candidate", "missing")
    object_id = object_id or packet.get("objectId")
    if not isinstance(object_id, str) or not object_id:
        raise BadPacket("objectId", "missing")
    past, absent = _past_detections(packet.get("prv_candidates"), report, file, packet, object_id)

    values = np.full((1 + len(past), len(_COLUMNS)), np.nan)
    values[0] = _numbers([candidate], _COLUMNS, report)
    if past:
        values[1:, _HISTORY_INDEX] = _numbers(past, _HISTORY_COLUMNS, report)
    values[values == MISSING] = np.nan
    time, filter_id, mag, magerr = values[:, 0], values[:, 1], values[:, 2], values[:, _ERROR]
    known = (filter_id == 1) | (filter_id == 2) | (filter_id == 3)
    signs = [positive(candidate.get("isdiffpos")), *(positive(entry.get("isdiffpos")) for entry in past)]
    keep = known & usable(time, mag, magerr)
    if not keep.all() or None in signs:
        for k in range(len(values)):
            wrong = _wrong(signs[k], time[k], known[k], mag[k], magerr[k])
            if wrong is None:
                continue
            if k == 0:
                raise BadPacket(*wrong)
            keep[k] = False
            item = f"{_name(packet, object_id)} history entry at jd {past[k - 1].get('jd')}"
            report.skip(file, wrong[1], item=item, field=f"prv_candidates.{wrong[0]}")
    if not negative:
        is_negative = np.array([sign is False for sign in signs]) & keep
        keep &= ~is_negative

    stamps = None
    if cutouts and keep[0]:
        stamps = [_cutouts(packet), *[NO_CUTOUTS] * len(past)]
        if stamps[0] == NO_CUTOUTS:
            stamps = None

    # Everything that can make the whole packet bad is behind us: from here on it counts.
    report.count("non_detections", absent)
    if not negative:
        report.count("negative", int(is_negative.sum()))
    candid = _candids(candidate, packet, past, report)
    index = np.flatnonzero(keep)
    report.count("detections", len(index))
    metadata = values[:, len(_LEADING) :]
    metadata[~(np.abs(metadata) <= _LARGEST)] = np.nan
    return from_columns(
        object_id, time[index] - MJD_ZERO, filter_id[index] - 1, mag[index], magerr[index],
        metadata=metadata[index], candid=candid[index],
        cutouts=None if stamps is None else [stamps[k] for k in index],
        ra=_coordinate(candidate.get("ra")), dec=_coordinate(candidate.get("dec")),
    )  # fmt: skip


def _past_detections(entries, report, file, packet, object_id) -> tuple[list[dict], int]:
    """The entries of `prv_candidates` that have a magnitude, and how many have none."""
    if entries is None:
        return [], 0
    past, absent = [], 0
    for entry in entries:
        if not isinstance(entry, dict):
            item = _name(packet, object_id)
            report.skip(file, "history entry is not a record", item=item, field="prv_candidates")
            continue
        mag = entry.get("magpsf")
        if mag is None or mag != mag or mag == MISSING:
            absent += 1
        else:
            past.append(entry)
    return past, absent


def _numbers(entries: list[dict], names: tuple[str, ...], report: ReadReport) -> np.ndarray:
    """(len(entries), len(names)) float64, NaN where an entry lacks a field or holds no number in it."""
    pick = itemgetter(*names)
    try:
        rows = [pick(entry) for entry in entries]
    except KeyError:  # some broker drops fields that are null
        rows = [[entry.get(name) for name in names] for entry in entries]
    try:
        return np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.array([[_float(value, report) for value in row] for row in rows])


def _float(value, report: ReadReport) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        report.count("unreadable_numbers")
        return float("nan")


def _wrong(sign, time, band_known, mag, magerr) -> tuple[str, str] | None:
    wrong = fault(time, band_known, mag, magerr)
    if wrong is not None:
        return {"time": "jd", "band": "fid", "mag": "magpsf", "magerr": "sigmapsf"}[wrong[0]], wrong[1]
    return ("isdiffpos", "none of t, 1, f, 0") if sign is None else None


def _candids(candidate: dict, packet: dict, past: list[dict], report: ReadReport) -> np.ndarray:
    own = exact_candid(candidate.get("candid"))
    if own is None or own == NO_CANDID:
        own = exact_candid(packet.get("candid"))
    ids = [own, *[exact_candid(entry.get("candid")) for entry in past]]
    if None in ids:
        report.count("imprecise_candid", ids.count(None))
        ids = [NO_CANDID if value is None else value for value in ids]
    return np.array(ids, np.int64)


def _cutouts(packet: dict) -> tuple[bytes | None, bytes | None, bytes | None]:
    stamps = []
    for name in CUTOUT_FIELDS:
        stamp = packet.get(name)
        if isinstance(stamp, dict):
            stamp = stamp.get("stampData")
        if stamp is not None:
            try:
                check_cutout(stamp)
            except BadCutout as bad:
                raise BadPacket(name, str(bad)) from bad
        stamps.append(stamp)
    return tuple(stamps)


def _coordinate(value) -> float:
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        return float("nan")
    return degrees if np.isfinite(degrees) and degrees != MISSING else float("nan")


def _name(packet, object_id: str) -> str:
    """What a person can find a packet by."""
    if not isinstance(packet, dict):
        return object_id
    candidate = packet.get("candidate")
    inner = candidate.get("candid") if isinstance(candidate, dict) else None
    candid = packet.get("candid", inner)
    name = object_id or packet.get("objectId") or ""
    return f"{name} candid {candid}" if candid is not None else str(name)
