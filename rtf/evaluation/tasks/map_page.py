"""A map of fingerprints as one HTML page that needs nothing else: no server, no library, no network.

Notable:
- data, style and script stand in the page, whose content policy forbids every request
- light curves are packed as 16-bit integers (7 bytes a detection): a few megabytes for thousands of sources
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections
from rtf.figures import BAND_STYLE

#: Style and script; the data take the place of a mark in it.
PAGE = Path(__file__).with_name("map_page.html")
#: Packed magnitudes and their errors are thousandths, days a share of the longest light curve.
_PER_MAG = 1000
_TOP = 65535


def map_page(
    title: str, maps: Mapping[str, np.ndarray], how: Mapping[str, str], object_id: Sequence[str],
    label: np.ndarray, seen: Detections, classes: Sequence[tuple[int, str, str, str]],
) -> str:  # fmt: skip
    """The page as HTML.

    Parameters
    ----------
    maps, how : by name, (N, 2) finite places of the sources, and a line on how they were made
    seen : the detections of the sources as the model saw them
    classes : label, name, colour and shape ("o", "s", "D", "^", "v", "P", "X", "*") in drawing order
    """
    index = {c: k for k, (c, *_) in enumerate(classes)}
    data = {
        "title": title,
        "classes": [{"name": name, "colour": colour, "shape": shape} for _, name, colour, shape in classes],
        "bands": [{"name": name, "colour": c, "shape": m} for name, (c, m) in BAND_STYLE.items()],
        "id": [str(x) for x in object_id],
        "cls": [index[c] for c in np.asarray(label).tolist()],
        "maps": [
            {"name": name, "how": how[name], "xy": np.round(_unit(np.asarray(xy, float)), 4).ravel().tolist()}
            for name, xy in maps.items()
        ],
        **pack(seen),
    }
    # "<" could end the script; JSON may write it as an escape
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return PAGE.read_text(encoding="utf-8").replace("/*DATA*/", text)


def pack(seen: Detections) -> dict:
    """Light curves as base64 of little-endian uint16 and bytes, with what unpacks them."""
    day = seen.mjd - np.repeat(seen.mjd[seen.offset[:-1]], seen.length)
    longest = max(float(day.max(initial=0)), 1e-3)
    numbers = {"day": day / longest * _TOP, "mag": seen.mag * _PER_MAG, "err": seen.magerr * _PER_MAG}
    packed = {k: _base64(np.clip(np.rint(v), 0, _TOP).astype("<u2")) for k, v in numbers.items()}
    return {
        "length": seen.length.tolist(), "dayUnit": longest / _TOP, "magUnit": 1 / _PER_MAG,
        "band": _base64(seen.band.astype(np.uint8)), **packed,
    }  # fmt: skip


def _unit(xy: np.ndarray) -> np.ndarray:
    """Places moved and scaled, alike in both directions, into the unit square."""
    low, high = xy.min(0), xy.max(0)
    return 0.5 + (xy - (low + high) / 2) / max((high - low).max(), 1e-12)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
