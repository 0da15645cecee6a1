"""What a model may see of a source at its first N detections: the one place where a history is cut.

Notable:
- view `first` begins at the source's first detection and ends at the N-th, or where it is full: the
  fingerprint of a source that lives longer stays as it was
- view `latest` ends at the N-th detection and reaches back so many days, or so many detections where they
  reach further: it follows its source, and a lone detection of years later does not hide the event
- of a night with many exposures a view may hold the first few of each band alone, so that it reaches further
  back: 128 points of a deep field are one night, else
- nothing after the N-th detection has any influence, so what is computed from a view cannot leak
"""

from collections.abc import Mapping

import numpy as np

from rtf.alerts.history import Detections

VIEWS = ("first", "latest")
MAX_DETECTIONS = 257
MAX_DAYS = 100.0
MIN_DETECTIONS = 30
#: A night ends when a source is not detected for so long [day]: it needs no observatory's time zone.
NIGHT_GAP = 0.25
#: How far beyond the newest detection in a view `latest` training asks for the light curve [day].
HORIZON = 100.0


def view(
    detections: Detections,
    first: int | np.ndarray | None = None,
    *,
    kind: str = "first",
    max_detections: int = MAX_DETECTIONS,
    max_days: float = MAX_DAYS,
    min_detections: int = MIN_DETECTIONS,
    per_night: int | None = None,
) -> Detections:
    """What a model sees of each source at its first detections.

    Parameters
    ----------
    detections : sources to cut
    first : how many detections each source has so far, one number or (N,); None: all
    kind : "first" or "latest", see above
    max_detections, max_days : how many detections fit, and how many days between the first and the last
    min_detections : the latest view holds so many, where there are, however old they are
    per_night : so many detections of a band in a night at most, the first ones; None: all. Stamps of the
        others are left out with them

    Returns
    -------
    Detections of the same N sources
    """
    length = detections.length
    stop = detections.offset[:-1] + (length if first is None else np.minimum(first, length))
    row = np.arange(len(detections.mjd))
    if per_night is not None:
        few = few_of_each_night(detections.rows(row < np.repeat(stop, length)), per_night)
        return view(
            few, kind=kind, max_detections=max_detections, max_days=max_days, min_detections=min_detections
        )
    start = np.append(window_starts(detections, kind, max_detections, max_days, min_detections), 0)
    start = np.where(stop > detections.offset[:-1], start[stop - 1], stop)
    if kind == "first":
        stop = np.minimum(stop, start + max_detections)
    keep = (row >= np.repeat(start, length)) & (row < np.repeat(stop, length))
    if kind == "first":
        keep &= detections.mjd - detections.mjd[np.repeat(start, length)] <= max_days
    return detections.rows(keep)


def few_of_each_night(detections: Detections, per_night: int) -> Detections:
    """The same sources with the first `per_night` detections of each band and night."""
    if per_night < 1:
        raise ValueError(f"data.per_night is {per_night}; it must be 1 or more, or null")
    return detections.rows(night_rank(detections) < per_night)


def night_rank(detections: Detections) -> np.ndarray:
    """(D,) how many detections of the same source, band and night come before each one."""
    source = np.repeat(np.arange(len(detections)), detections.length)
    begins = (np.diff(detections.mjd, prepend=-np.inf) > NIGHT_GAP) | (np.diff(source, prepend=-1) > 0)
    group = np.cumsum(begins) * len(detections.survey.bands) + detections.band
    order = np.argsort(group, kind="stable")
    new = np.diff(group[order], prepend=-1) > 0
    place = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return rank


def window_starts(
    detections: Detections, kind: str, max_detections: int, max_days: float, min_detections: int
) -> np.ndarray:
    """(D,) row of the first detection that a view holds whose newest detection is in row 0, 1, ..., D - 1.

    Raises
    ------
    ValueError : an unknown `kind`
    """
    if kind not in VIEWS:
        raise ValueError(f"data.view is {kind!r}; it must be one of {', '.join(VIEWS)}")
    begin = np.repeat(detections.offset[:-1], detections.length)
    if kind == "first":
        return begin
    seen = np.arange(len(begin)) - begin + 1
    early = _before(detections, detections.mjd - max_days, "left")
    start = np.minimum(early, np.maximum(seen - min_detections, 0))
    return begin + np.maximum(start, seen - max_detections)


def window_ends(detections: Detections, kind: str) -> np.ndarray:
    """(D,) row after the last detection that training asks for when a view ends in row 0, 1, ..., D - 1."""
    if kind == "first":
        return np.repeat(detections.offset[1:], detections.length)
    begin = np.repeat(detections.offset[:-1], detections.length)
    return begin + _before(detections, detections.mjd + HORIZON, "right")


def _before(detections: Detections, time: np.ndarray, side: str) -> np.ndarray:
    """(D,) detections of the same source before the time of each row; "right" counts equal ones too."""
    n = len(time)
    source = np.repeat(np.arange(len(detections)), detections.length)
    turn = np.repeat([0, 1] if side == "right" else [1, 0], n)  # at equal times
    order = np.lexsort((turn, np.concatenate([detections.mjd, time]), np.tile(source, 2)))
    counted = np.cumsum(order < n)
    found = np.empty(n, np.int64)
    found[order[order >= n] - n] = counted[order >= n]
    return found - np.repeat(detections.offset[:-1], detections.length)


def view_settings(data: Mapping) -> dict:
    """The keywords of `view` in a run's settings `data`; older runs have some of them."""
    found = {name: data[name] for name in ("max_detections", "max_days")}
    kind, least = data.get("view", "first"), data.get("min_detections", MIN_DETECTIONS)
    found |= {"kind": kind, "min_detections": least}
    # Models without it keep their space.
    return found if data.get("per_night") is None else found | {"per_night": int(data["per_night"])}
