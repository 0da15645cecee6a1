"""An LSST alert, a dict in whichever container it came, as a `SourceHistory`.

Notable:
- the alert's own `diaSource`, each entry of `prvDiaSources` and each of `prvDiaForcedSources` is a row; their
  signed fluxes [nJy] become asinh magnitudes (`rtf/alerts/surveys`)
- forced photometry of a visit that made a detection repeats it: it has the same time and band, and is left
  out. It is given no id, so that the merge of packets does the same across alerts
- an entry of `prvDiaSources` that is there twice, or is the alert's own, counts once
- alerts of the Solar System (no diaObjectId) are counted and left out unless asked for
- schema 7 to 11: https://github.com/lsst/alert_packet
"""

from collections.abc import Iterable, Iterator

import numpy as np

from rtf.alerts.history import NO_CANDID, NO_CUTOUTS, SourceHistory, from_columns
from rtf.alerts.report import BadItem, ReadReport, printable
from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.ztf import (
    EARLIEST,
    LARGEST_METADATA,
    LATEST,
    cutouts_of,
    exact_candid,
    numbers_of,
    object_name,
)

_NUMBERS = ("midpointMjdTai", "psfFlux", "psfFluxErr")
_FIELDS = LSST.metadata_fields[:-1]
_FORCED = len(_FIELDS)
#: Every field of a `diaSource` that is read, and of a forced one.
SOURCE_FIELDS = (*_NUMBERS, "band", "diaSourceId", *_FIELDS)
FORCED_FIELDS = (*_NUMBERS, "band", "scienceFlux")
_BAND = {name: k for k, name in enumerate(LSST.bands)}
#: AB magnitude -5; whatever a camera reports beyond measures nothing.
LARGEST_FLUX = 1e14

#: Pixels a side; trailed sources have larger cutouts than the usual 30.
LARGEST_CUTOUT = 512

#: What can be wrong with a row: which field, and how. A code of 0 is nothing.
FAULTS = (
    ("", ""),
    ("midpointMjdTai", "missing or not finite"),
    ("midpointMjdTai", f"outside {EARLIEST:g} to {LATEST:g} days: no Modified Julian Date"),
    ("band", "unknown band"),
    ("psfFlux", "missing or not finite"),
    ("psfFlux", f"beyond {LARGEST_FLUX:g} nJy"),
    ("psfFluxErr", "missing, not finite or negative"),
)


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
    negative: bool = True,
    cutouts: bool = True,
    forced: bool = True,
    solar_system: bool = False,
) -> SourceHistory | None:
    """The detections and forced photometry in one packet.

    Parameters
    ----------
    packet : `diaSource`, `prvDiaSources`, `prvDiaForcedSources`, `diaObject` and the three cutouts, nested as
        in the alert schema
    report : gains `packets` (always), `detections`, `forced`, `repeats in packets`, `negative` (detections of
        negative flux left out), `solar_system` (alerts left out) and what was skipped
    file : where the packet came from, for the report
    negative : keep detections of negative flux
    cutouts : keep the cutouts of the packet's own source, after making sure that they decode
    forced : keep forced photometry
    solar_system : keep alerts that belong to no object of the fixed sky, under the names of their ssObjectId

    Returns
    -------
    The history; None where the packet is bad or of the Solar System. A bad row is left out alone.
    """
    report.count("packets")
    try:
        return _read(packet, report, file, negative, cutouts, forced, solar_system)
    except Exception as error:
        report.fail(error, file, item=_name(packet))
        return None


def _read(packet, report, file, negative, cutouts, forced, solar_system) -> SourceHistory | None:
    own = packet.get("diaSource") if isinstance(packet, dict) else None
    if not isinstance(own, dict):
        raise BadItem("missing", "diaSource")
    number = exact_candid(own.get("diaObjectId"))
    if number is None:
        raise BadItem("a double cannot hold this id exactly", "diaSource.diaObjectId")
    if number in (0, NO_CANDID):
        if not solar_system:
            report.count("solar_system")
            return None
        number = exact_candid(own.get("ssObjectId"))
        if number in (None, 0, NO_CANDID):
            raise BadItem("missing, and so is ssObjectId", "diaSource.diaObjectId")
    object_id = object_name(number)
    sources = [own, *_entries(packet, "prvDiaSources")]
    others = _entries(packet, "prvDiaForcedSources") if forced else []

    n = len(sources)
    values = np.full((n + len(others), len(_NUMBERS)), np.nan)
    metadata = np.full((len(values), len(LSST.metadata_fields)), np.nan, np.float32)
    values[:n] = numbers_of(sources, _NUMBERS, report)
    with np.errstate(over="ignore", invalid="ignore"):
        metadata[:n, :_FORCED] = numbers_of(sources, _FIELDS, report)
        if others:
            found = numbers_of(others, (*_NUMBERS, "scienceFlux"), report)
            values[n:], metadata[n:, _FIELDS.index("scienceFlux")] = found[:, :-1], found[:, -1]
        metadata[np.abs(metadata) > LARGEST_METADATA] = np.nan
    metadata[:, _FORCED] = np.arange(len(values)) >= n
    time, flux, error = values.T
    band = np.array([_BAND.get(row.get("band"), -1) for row in (*sources, *others)])
    ids = [exact_candid(row.get("diaSourceId")) for row in sources]
    candid = np.array([NO_CANDID if k is None else k for k in ids] + [NO_CANDID] * len(others), np.int64)

    code = _faults(time, band, flux, error)
    if code[0]:
        raise BadItem(FAULTS[code[0]][1], f"diaSource.{FAULTS[code[0]][0]}")
    name = _name(packet)
    report.skip_rows(file, [(f"history.{f}", why) for f, why in FAULTS], code, lambda k: f"{name} row {k}")
    keep = code == 0
    keep[:n] &= _first(candid[:n])
    repeats = int((code == 0).sum() - keep.sum())
    visit = [*zip(time.tolist(), band.tolist())]
    detected = {*visit[:n]}
    keep[n:] &= np.array([key not in detected for key in visit[n:]], bool)
    below = keep & (flux < 0) & (metadata[:, _FORCED] == 0) & (not negative)
    keep &= ~below
    stamps = cutouts_of(packet, LARGEST_CUTOUT) if cutouts and keep[0] else NO_CUTOUTS

    index = np.flatnonzero(keep)
    mag, magerr = LSST.magnitude(flux[index], error[index], band[index])
    where = packet.get("diaObject") if isinstance(packet.get("diaObject"), dict) else own
    history = from_columns(
        object_id, time[index], band[index], mag, magerr, metadata=metadata[index], candid=candid[index],
        cutouts=None if stamps == NO_CUTOUTS else [stamps, *[NO_CUTOUTS] * (len(index) - 1)],
        ra=_degrees(where.get("ra"), own.get("ra"), 360), dec=_degrees(where.get("dec"), own.get("dec"), 90),
        alert=float(time[0]), own=0 if keep[0] else -1, survey=LSST,
    )  # fmt: skip
    report.count("repeats in packets", repeats)
    report.count("negative", int(below.sum()))
    report.count("forced", int(keep[n:].sum()))
    report.count("detections", len(index))
    return history


def _entries(packet: dict, name: str) -> list[dict]:
    entries = packet.get(name)
    if entries is None:
        return []
    if not isinstance(entries, (list, tuple)):
        raise BadItem(f"{type(entries).__name__} instead of a list", name)
    if not all(isinstance(entry, dict) for entry in entries):
        raise BadItem("an entry is not a record", name)
    return list(entries)


def _float(value) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _faults(time, band, flux, error) -> np.ndarray:
    """(L,) int: what is wrong with each row, as an index into `FAULTS`."""
    with np.errstate(invalid="ignore"):
        wrong = (
            ~np.isfinite(time), (time < EARLIEST) | (time > LATEST), band < 0, ~np.isfinite(flux),
            np.abs(flux) > LARGEST_FLUX, ~(np.isfinite(error) & (error >= 0)),
        )  # fmt: skip
    return np.select(wrong, range(1, len(FAULTS)), 0)


def _first(candid: np.ndarray) -> np.ndarray:
    """(S,) bool: the first row of each id; rows without one stay."""
    first = candid == NO_CANDID
    first[np.unique(candid, return_index=True)[1]] = True
    return first


def _degrees(value, other, largest: float) -> float:
    for degrees in (_float(value), _float(other)):
        if abs(degrees) <= largest:
            return degrees
    return float("nan")


def _name(packet) -> str:
    source = packet.get("diaSource") if isinstance(packet, dict) else None
    return printable(f"alert {source.get('diaSourceId')}" if isinstance(source, dict) else "alert")
