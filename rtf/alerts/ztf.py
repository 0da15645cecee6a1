"""A ZTF alert packet, a dict in whichever container it came, as a `SourceHistory`.

Notable:
- the alert's own `candidate` and each entry of `prv_candidates` is a row; a history entry without a magnitude
  is a non-detection, kept as a limit where it says how deep it was
- history entries carry 14 of the 30 metadata; the others stay missing
- one `itemgetter` and one `np.array` for each kind of row: this runs once for every alert of the night
- fields: https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html
"""

import re
from collections.abc import Iterable, Iterator
from operator import itemgetter

import numpy as np

from rtf.alerts.cutouts import SIZE, check_cutout
from rtf.alerts.history import METADATA_FIELDS, NO_CANDID, NO_CUTOUTS, SourceHistory, from_columns
from rtf.alerts.limits import NAME
from rtf.alerts.report import BadItem, ReadReport, printable

MJD_ZERO = 2400000.5
MISSING = -999.0
FAINTEST, BRIGHTEST = 35.0, -5.0
#: Modified Julian Dates of the years 1899 and 2269: a Julian Date, a year or a Unix time is outside.
EARLIEST, LATEST = 15_000.0, 150_000.0
LARGEST_ERROR = 100.0
#: Metadata beyond it measure nothing; their squares and sums stay finite in float32 up to here.
LARGEST_METADATA = 1e12

#: What can be wrong with a detection: which column, and how. A code of 0 is nothing.
FAULTS = (
    ("", ""),
    ("time", "missing or not finite"),
    ("time", f"outside {EARLIEST:g} to {LATEST:g} days: no Modified Julian Date"),
    ("band", "unknown band"),
    ("mag", "missing or NaN"),
    ("mag", f"outside {BRIGHTEST:g} to {FAINTEST:g}"),
    ("magerr", "missing or not finite"),
    ("magerr", "negative"),
    ("magerr", f"greater than {LARGEST_ERROR:g}"),
    ("isdiffpos", "none of t, 1, f, 0, -1"),
)

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

_PACKET_FIELDS = {"time": "jd", "band": "fid", "mag": "magpsf", "magerr": "sigmapsf"}

#: Every field of `candidate` that is read, and of an entry of `prv_candidates`.
CANDIDATE_FIELDS = (*_COLUMNS, "isdiffpos", "candid", "ra", "dec")
HISTORY_FIELDS = (*_HISTORY_COLUMNS, "isdiffpos", "candid")
_LIMIT_COLUMNS = ("jd", "fid", "diffmaglim")

# An integer that a program wrote as a double.
_DOUBLE = re.compile(r"\d+\.0|\d(\.\d+)?[eE]\+\d\d\d?")

_TEXTS = {True: ("t", "true", "1", "1.0", "+1"), False: ("f", "false", "0", "0.0", "-1", "-1.0")}
# 1, 1.0 and True are one key, and so are 0, 0.0 and False.
_POSITIVE = {True: True, False: False, -1: False} | {
    spelling: sign
    for sign, texts in _TEXTS.items()
    for text in texts
    for case in (text, text.upper(), text.capitalize())
    for spelling in (case, case.encode())
}


def packet_histories(packets: Iterable[dict], *settings, **more) -> Iterator[SourceHistory]:
    """The histories of many packets, without those of bad ones; settings as of `packet_history`."""
    for packet in packets:
        if (history := packet_history(packet, *settings, **more)) is not None:
            yield history


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
        `imprecise_candid` (ids rounded before they came here, not used), `unreadable_numbers`, `wild NAME`
        (metadata beyond any measurement, left out) and what was skipped
    file : where the packet came from, for the report
    negative : keep negative subtractions (`isdiffpos` f, 0 or -1)
    cutouts : keep the cutouts of the packet's own candidate, after making sure that they decode
    object_id : name to use in place of `objectId`

    Returns
    -------
    The history, empty where every detection was a negative subtraction; None where the packet is bad. A bad
    entry of `prv_candidates` is left out alone. The report says what is missing.
    """
    report.count("packets")
    try:
        return _read(packet, report, file, negative, cutouts, object_id)
    except Exception as error:
        report.fail(error, file, item=_name(packet, object_id))
        return None


def object_name(value) -> str:
    """The name of an object, given as text or as an integer of any type.

    BadItem where it is neither, is too long or cannot be printed.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")  # what does not decode is not printable
    if isinstance(value, str) and _DOUBLE.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value == value:
        if not abs(value) < 2**53 or value != int(value):
            reason = "doubles cannot hold these ids exactly; write them as integers or text"
            raise BadItem(reason, "objectId")
        value = int(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**NAME else "9" * (NAME + 1)
    if value is None or value == "" or value != value:
        raise BadItem("missing", "objectId")
    if not isinstance(value, str):
        raise BadItem(f"{type(value).__name__} instead of text", "objectId")
    if len(value) > NAME:
        raise BadItem(f"longer than {NAME} characters: {value[:40]}…", "objectId")
    if not value.isprintable():
        raise BadItem("holds characters that cannot be printed", "objectId")
    return value


def positive(isdiffpos) -> bool | None:
    """Whether a subtraction is positive: t, true, 1 or f, false, 0, -1 of any type; else None."""
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
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return exact_candid(int(value))
    if not isinstance(value, float) or not value >= 0:
        return NO_CANDID
    return int(value) if value < 2**53 and value == int(value) else None


def faults(
    mjd, band_known, mag, magerr, earliest: float = EARLIEST, faintest: float = FAINTEST
) -> np.ndarray:
    """(L,) int: what is wrong with each detection, as an index into `FAULTS`.

    Magnitudes and errors are looked at as the float32 that they become.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mag, magerr = np.asarray(mag, np.float32), np.asarray(magerr, np.float32)
    dated, bright = (mjd >= earliest) & (mjd <= LATEST), (mag >= BRIGHTEST) & (mag <= faintest)
    sound = dated & band_known & bright & (magerr >= 0) & (magerr <= LARGEST_ERROR)
    if sound.all():
        return np.zeros(len(sound), int)
    wrong = (
        ~np.isfinite(mjd), ~dated, ~band_known, np.isnan(mag), ~bright,
        ~np.isfinite(magerr), magerr < 0, ~sound,
    )  # fmt: skip
    return np.select(wrong, range(1, 9), 0)


def _read(packet, report, file, negative, cutouts, object_id) -> SourceHistory:
    candidate = packet.get("candidate") if isinstance(packet, dict) else None
    if not isinstance(candidate, dict):
        raise BadItem("missing", "candidate")
    object_id = object_name(object_id or packet.get("objectId"))
    past, missed = _past_detections(packet.get("prv_candidates"), report, file, packet, object_id)

    values = np.full((1 + len(past), len(_COLUMNS)), np.nan)
    values[0] = numbers_of([candidate], _COLUMNS, report)
    if past:
        values[1:, _HISTORY_INDEX] = numbers_of(past, _HISTORY_COLUMNS, report)
    values[values == MISSING] = np.nan
    time, filter_id, mag, magerr = values[:, 0], values[:, 1], values[:, 2], values[:, _ERROR]
    known = (filter_id == 1) | (filter_id == 2) | (filter_id == 3)
    signs = [positive(candidate.get("isdiffpos")), *(positive(entry.get("isdiffpos")) for entry in past)]
    code = faults(time - MJD_ZERO, known, mag, magerr)
    if None in signs:
        code[(code == 0) & np.array([sign is None for sign in signs])] = len(FAULTS) - 1
    keep = code == 0
    if not keep.all():
        named = [(_PACKET_FIELDS.get(field, field), reason) for field, reason in FAULTS]
        if code[0]:
            raise BadItem(named[code[0]][1], named[code[0]][0])
        name = _name(packet, object_id)
        entries = [(f"prv_candidates.{field}", reason) for field, reason in named]
        where = [f"{name} history entry at jd {printable(entry.get('jd'))}" for entry in past]
        report.skip_rows(file, entries, code, lambda k: where[k - 1])
    is_negative = np.array([sign is False for sign in signs]) & keep & (not negative)
    keep &= ~is_negative
    own = cutouts_of(packet) if cutouts and keep[0] else NO_CUTOUTS

    candid = _candids(candidate, packet, past, report)
    index = np.flatnonzero(keep)
    metadata = values[index, len(_LEADING) :]
    with np.errstate(invalid="ignore"):
        wild = np.abs(metadata) > LARGEST_METADATA
    if wild.any():
        metadata[wild] = np.nan
        for k in np.flatnonzero(wild.any(0)):
            report.count(f"wild {METADATA_FIELDS[k]}", int(wild[:, k].sum()))
    history = from_columns(
        object_id, time[index] - MJD_ZERO, filter_id[index] - 1, mag[index], magerr[index],
        metadata=metadata, candid=candid[index],
        cutouts=None if own == NO_CUTOUTS else [own, *[NO_CUTOUTS] * (len(index) - 1)],
        ra=_coordinate(candidate.get("ra"), 360), dec=_coordinate(candidate.get("dec"), 90),
        limits=_limits(missed, report), alert=float(time[0] - MJD_ZERO), own=0 if keep[0] else -1,
    )  # fmt: skip
    # Everything that can make the whole packet bad is behind us: from here on it counts.
    report.count("non_detections", len(missed))
    report.count("negative", int(is_negative.sum()))
    report.count("detections", len(index))
    return history


def _past_detections(entries, report, file, packet, object_id) -> tuple[list[dict], list[dict]]:
    """The entries of `prv_candidates` that have a magnitude, and those that have none."""
    if entries is None:
        return [], []
    if not isinstance(entries, (list, tuple)):
        raise BadItem(f"{type(entries).__name__} instead of a list", "prv_candidates")
    past, missed = [], []
    for entry in entries:
        if not isinstance(entry, dict):
            item = _name(packet, object_id)
            report.skip(file, "history entry is not a record", item=item, field="prv_candidates")
            continue
        mag = entry.get("magpsf")
        if mag is None or mag != mag or mag == MISSING:
            missed.append(entry)
        else:
            past.append(entry)
    return past, missed


def _limits(entries: list[dict], report: ReadReport) -> np.ndarray:
    """(K, 3) non-detections of which time, band and depth are known, sorted by time."""
    if not entries:
        return np.empty((0, 3))
    time, filter_id, depth = numbers_of(entries, _LIMIT_COLUMNS, report).T
    return sound_limits(time - MJD_ZERO, filter_id - 1, depth)


def sound_limits(mjd: np.ndarray, band: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(K, 3) non-detections sorted by time; those of no sensible time, band (0, 1, 2) or depth are out."""
    sound = (mjd >= EARLIEST) & (mjd <= LATEST) & (depth >= BRIGHTEST) & (depth <= FAINTEST)
    sound &= (band == 0) | (band == 1) | (band == 2)
    limits = np.stack([mjd, band, np.float32(depth)], 1)[sound]
    return limits[np.lexsort((limits[:, 2], limits[:, 1], limits[:, 0]))]


def numbers_of(entries: list[dict], names: tuple[str, ...], report: ReadReport) -> np.ndarray:
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


def _candids(candidate: dict, packet: dict, past: list[dict], report: ReadReport) -> np.ndarray:
    own = exact_candid(candidate.get("candid"))
    if own is None or own == NO_CANDID:
        own = exact_candid(packet.get("candid"))
    ids = [own, *[exact_candid(entry.get("candid")) for entry in past]]
    if None in ids:
        report.count("imprecise_candid", ids.count(None))
        ids = [NO_CANDID if value is None else value for value in ids]
    return np.array(ids, np.int64)


def cutouts_of(packet: dict, largest: int = SIZE) -> tuple[bytes | None, bytes | None, bytes | None]:
    """The three cutouts of a packet, of at most `largest` pixels a side; BadItem where one cannot be read."""
    stamps = []
    for name in CUTOUT_FIELDS:
        stamp = packet.get(name)
        if isinstance(stamp, dict):
            stamp = stamp.get("stampData")
        if stamp is not None:
            try:
                check_cutout(stamp, largest)
            except Exception as error:
                raise BadItem(str(error), name) from error
        stamps.append(stamp)
    return tuple(stamps)


def _coordinate(value, largest: float) -> float:
    try:
        degrees = float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
    return degrees if abs(degrees) <= largest else float("nan")


def _name(packet, object_id: str) -> str:
    """What a person can find a packet by."""
    if not isinstance(packet, dict):
        return object_id
    candidate = packet.get("candidate")
    inner = candidate.get("candid") if isinstance(candidate, dict) else None
    candid = packet.get("candid", inner)
    name = printable(object_id or packet.get("objectId") or "")
    return f"{name} candid {printable(candid)}" if candid is not None else name
