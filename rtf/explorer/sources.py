"""One source for the page: light curve, the decoder's curve, stamps; and light curves that a person drops."""

import io
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtf.alerts.cutouts import BadCutout, decode_cutout
from rtf.alerts.folders import Unit
from rtf.alerts.history import SourceHistory, concatenate
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import Survey
from rtf.classes import FINE
from rtf.encoding.fingerprints import unsound
from rtf.figures import stretched

#: Detections and non-detections of a source that are shown, the newest.
MOST = 3000
#: Detections whose stamps are shown.
MOST_STAMPS = 60
#: Sources of a dropped table that are looked at, and its bytes.
DROPPED, DROPPED_BYTES = 12, 4 << 20
STAMPS = ("science", "template", "difference")
#: Times at which the decoder is asked in each band, and for how long after the newest detection [day].
_TIMES, _AHEAD = 150, 20.0


class Light:
    """Where light curves come from: stores, and a folder of histories that a stream writes."""

    def __init__(self, stores: Iterable[Any] = (), histories: Any = None) -> None:
        self.stores = [(store, {name: k for k, name in enumerate(store.object_id)}) for store in stores]
        self.histories = histories

    def __bool__(self) -> bool:
        return bool(self.stores) or self.histories is not None

    def get(self, object_id: str, survey: str = "ztf") -> SourceHistory | None:
        """What is known of an object, without stamps: of several histories the one that goes on longest."""
        return max(self._all(object_id, survey, False), key=_length, default=None)

    def with_stamps(self, object_id: str, survey: str = "ztf") -> SourceHistory | None:
        """The same of those histories that have stamps."""
        return max((h for h in self._all(object_id, survey, True) if stamped(h)), key=_length, default=None)

    def _all(self, object_id: str, survey: str, cutouts: bool) -> list[SourceHistory]:
        found = [] if self.histories is None else [self.histories.get(object_id, survey)]
        for store, index in self.stores:
            if object_id in index and store.survey.name == survey and (store.has_cutouts or not cutouts):
                found += store.histories(np.array([index[object_id]]), cutouts=cutouts)
        return [h for h in found if h is not None and len(h)]


def _length(history: SourceHistory) -> tuple[float, int]:
    return float(history.mjd[-1]), len(history)


def stamped(history: SourceHistory) -> list[int]:
    """The detections with a stamp."""
    cutouts = history.cutouts or []
    return [k for k, stamps in enumerate(cutouts) if any(s is not None for s in stamps)]


def stamp_list(history: SourceHistory | None) -> list[dict]:
    """Number, time, band and brightness of the newest detections with stamps, oldest first."""
    chosen = [] if history is None else stamped(history)[-MOST_STAMPS:]
    if not chosen:
        return []
    value, _ = _shown(history.survey, history.mag[chosen], history.magerr[chosen], history.band[chosen])
    return [
        {"detection": k, "mjd": round(float(history.mjd[k]), 5), "value": round(float(v), 3),
         "unit": _unit(history.survey), "band": history.survey.bands[history.band[k]]}
        for k, v in zip(chosen, value, strict=True)
    ]  # fmt: skip


def light_curve(history: SourceHistory) -> dict:
    """The light curve as plain lists: days [MJD] and magnitudes, or fluxes where they are signed."""
    survey = history.survey
    limits = history.limits[len(history.limits) if survey.signed else -MOST :]  # these are magnitudes
    start = max(0, len(history) - MOST)
    band = history.band[start:]
    value, error = _shown(survey, history.mag[start:], history.magerr[start:], band)
    forced = "forced" in survey.metadata_fields
    return {
        "unit": _unit(survey), "mjd": listed(history.mjd[start:], 5), "band": [survey.bands[b] for b in band],
        "value": listed(value, 3), "error": listed(error, 3),
        "forced": (history.metadata[start:, survey.metadata_fields.index("forced")] == 1).tolist()
        if forced else [],
        "limits": {
            "mjd": listed(limits[:, 0], 5), "band": [survey.bands[int(b)] for b in limits[:, 1]],
            "value": listed(limits[:, 2], 2),
        },
        "left_out": start,
    }  # fmt: skip


def _unit(survey: Survey) -> str:
    return "µJy" if survey.signed else "mag"


def _shown(survey: Survey, mag, magerr, band) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors in `_unit`."""
    if not survey.signed:
        return np.asarray(mag), np.asarray(magerr)
    flux, error = survey.flux(mag, magerr, band)
    return flux / 1000, error / 1000


def listed(values, digits: int) -> list:
    """Rounded plain numbers, None where one is not finite."""
    return [round(v, digits) if np.isfinite(v) else None for v in np.asarray(values, float).tolist()]


def decoder_curve(model, history: SourceHistory, latent: np.ndarray, mjd: float) -> dict:
    """What a fingerprint (F,), made when the newest detection was at `mjd`, holds of the light curve.

    Values, as of `light_curve`, and their uncertainties (1 sigma, without measurement noise) in the bands
    that were seen, as plain lists by band, at times [MJD] that are shared.
    """
    known = int(np.searchsorted(history.mjd, mjd + 1e-5, "right")) or len(history)
    seen = model.view(concatenate([history]), first=known)
    first, last = float(seen.mjd[0]), float(seen.mjd[-1])
    days = np.linspace(0.0, last - first + _AHEAD, _TIMES)
    bands = sorted(set(history.band.tolist()))
    band = np.repeat(np.array(bands), len(days))
    mag, sigma = model.query(latent[None], np.tile(days, len(bands))[None], band[None])
    value, sigma = (x.reshape(len(bands), -1) for x in _shown(history.survey, mag[0], sigma[0], band))
    curves = {
        history.survey.bands[b]: {"value": listed(v, 3), "sigma": listed(s, 3)}
        for b, v, s in zip(bands, value, sigma, strict=True)
    }
    return {"mjd": listed(first + days, 4), "last": round(last, 5), "bands": curves}


def stamp_png(history: SourceHistory, detection: int, kind: str) -> bytes | None:
    """A stamp as a PNG, the first row at the bottom; None where none was sent or it does not decode."""
    if history.cutouts is None or not 0 <= detection < len(history):
        return None
    stamp = history.cutouts[detection][STAMPS.index(kind)]
    if stamp is None:
        return None
    try:
        image = decode_cutout(stamp)
    except BadCutout:
        return None
    if not np.isfinite(image).any():
        return None
    grey = np.clip(stretched(image), 0, 1)
    shade = np.where(np.isfinite(grey), np.round(255 * np.nan_to_num(grey)), 40).astype(np.uint8)
    return png(shade[::-1])  # FITS counts rows from below


def png(grey: np.ndarray) -> bytes:
    """A grey picture (h, w) uint8 as PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = np.pad(grey, ((0, 0), (1, 0))).tobytes()  # each begins with its filter, none
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@dataclass
class _Dropped:
    """A file that is in memory alone."""

    content: bytes
    name: str = "the dropped table"

    def open(self, mode: str = "rb"):
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return self.name


def dropped(content: bytes, survey: str = "ztf") -> tuple[list[SourceHistory], list[str]]:
    """Sources of a light-curve table (CSV) that can be encoded, at most `DROPPED`, and what is wrong with it.

    Its bands are those of `survey`, the model's.

    Detections beyond the newest `MOST` of a source are left out.
    """
    report = ReadReport()
    found: dict[str, SourceHistory] = {}
    more = False
    for history in LightCurveTable(survey=survey).read(Unit((_Dropped(content),)), report):
        if len(history) and (history.object_id in found or len(found) < DROPPED):
            found[history.object_id] = history.select(np.arange(max(0, len(history) - MOST), len(history)))
        more |= history.object_id not in found and len(history) > 0
    histories = list(found.values())
    wrong = unsound(concatenate(histories)) if histories else {}
    notes = [str(line) for line in report.first_items()][:5]
    notes += [f"{histories[k].object_id}: {reason}" for k, reason in list(wrong.items())[:5]]
    if more:
        notes.append(f"only the first {DROPPED} sources are looked at")
    return [h for k, h in enumerate(histories) if k not in wrong], notes


def probabilities_of(encoded, number: int) -> dict[str, float]:
    """Class probabilities of one of the encoded sources by name; empty without a classification head."""
    if encoded.probability is None:
        return {}
    return {name: round(float(p), 4) for name, p in zip(FINE, encoded.probability[number])}
