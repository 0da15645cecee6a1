"""What was known of an object when each of its alerts came.

Notable:
- an alert knows what its own packet and the earlier ones tell, by the time of their candidates; later packets
  change nothing, also where they tell of earlier detections or hold better copies of them
- the copies that an alert knows are merged by the one rule (`rtf/alerts/merge.py`)
- an object has P alerts and each is a history of its own: copies that say the same are thrown together first,
  and histories are made one lot after another
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from rtf.alerts.history import NO_CANDID, SourceHistory
from rtf.alerts.merge import Pile, merge_objects, merged_limits
from rtf.alerts.report import ReadReport

#: Detections and non-detections merged at once.
_LOT = 1 << 16


def alert_histories(histories: Iterable[SourceHistory], report: ReadReport) -> Iterator[SourceHistory]:
    """One history for each alert, ordered by object and time; its last detection is the alert's own.

    A packet that came twice is one alert; one whose candidate was left out is none, but tells what it holds.
    Where an input has no packets each detection is an alert. `report` gains what `merge_objects` adds, of the
    whole objects, and `alerts`.
    """
    histories = list(histories)
    packets = [h for h in histories if np.isfinite(h.alert)]
    for whole in merge_objects([h for h in histories if not np.isfinite(h.alert)], report):
        report.count("alerts", len(whole))
        yield from (whole.select(np.arange(k + 1)) for k in range(len(whole)))
    if packets:
        yield from _of_packets(packets, report)


def _of_packets(packets: list[SourceHistory], report: ReadReport) -> Iterator[SourceHistory]:
    pile = Pile.of(packets)
    rows = np.arange(len(pile.source))
    report.count("repeats", len(rows) - len(pile.merged(rows, pile.source)))
    report.count("objects", there := len(np.unique(pile.source)))
    report.count("empty", len(pile.names) - there)

    # Packets in the order in which they came: `turn`, the same for one that came twice.
    start = np.cumsum([0, *(len(h) for h in packets)])
    own = np.array([h.own for h in packets])
    has_own, row = own >= 0, start[:-1] + np.maximum(own, 0)
    band, candid = np.full((2, len(packets)), -1, np.int64)
    for key, name in ((band, "band"), (candid, "candid")):
        key[has_own] = pile.numbers[name][row[has_own]]
    keys = (candid, band, np.array([h.alert for h in packets]), pile.of_history)
    order = np.lexsort(keys)
    new = np.any([np.diff(key[order], prepend=key[order[:1]] - 1) != 0 for key in keys], axis=0)
    turn = np.empty(len(packets), np.int64)
    turn[order] = np.cumsum(new)
    alerts = np.flatnonzero(has_own)
    alerts = alerts[np.unique(turn[alerts], return_index=True)[1]]
    report.count("alerts", len(alerts))

    # Each differing copy of a detection, by the turn of the packet that first told it.
    numbers = pile.numbers
    apart = np.where(pile.n_stamps > 0, rows, -1)
    same = (pile.content, pile.richness, *numbers.values(), apart, pile.source)
    rows = _first_told(turn[pile.history], same)
    told = turn[pile.history[rows]]
    limits = _first_told(turn[pile.limit_history], (*pile.limits.T, pile.of_history[pile.limit_history]))
    limit_told = turn[pile.limit_history[limits]]

    # Turns count on from object to object, so what an alert knows is one range of each.
    ends = [np.searchsorted(told, turn[alerts], "right"), np.searchsorted(limit_told, turn[alerts], "right")]
    first = _first_turns(turn, pile.of_history)[pile.of_history[alerts]]
    starts = [np.searchsorted(told, first), np.searchsorted(limit_told, first)]
    work = np.cumsum((ends[0] - starts[0]) + (ends[1] - starts[1])) // _LOT
    for lot in np.split(np.arange(len(alerts)), np.flatnonzero(np.diff(work)) + 1):
        whose, at = _ranges(starts[0][lot], ends[0][lot])
        kept = pile.merged(rows[at], whose)
        whose, kept = whose[kept], rows[at[kept]]
        there = _not_after(numbers, kept, row[alerts[lot]][whose])
        whose, kept = whose[there], kept[there]
        owner, at = _ranges(starts[1][lot], ends[1][lot])
        owner, known = merged_limits(owner, pile.limits[limits[at]])
        cuts = (pairwise(np.searchsorted(x, np.arange(len(lot) + 1))) for x in (whose, owner))
        for k, (a, b), (c, d) in zip(alerts[lot], *cuts, strict=True):
            name, some = pile.names[pile.of_history[k]], kept[a:b]
            stamps = [pile.cutouts[j] for j in some] if name in pile.with_cutouts else None
            columns = {column: values[some] for column, values in numbers.items()}
            yield SourceHistory(
                name, **columns, metadata=pile.metadata[some], cutouts=stamps, limits=known[c:d],
                alert=packets[k].alert, own=len(some) - 1, ra=packets[k].ra, dec=packets[k].dec,
                survey=pile.survey,
            )  # fmt: skip


def _first_told(turn: np.ndarray, keys: tuple[np.ndarray, ...]) -> np.ndarray:
    """Of rows with equal keys the one of the earliest turn; ordered by turn."""
    order = np.lexsort((turn, *keys))
    new = np.zeros(len(order), bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[order][1:] != key[order][:-1]
    rows = order[new]
    return rows[np.argsort(turn[rows], kind="stable")]


def _first_turns(turn: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(N,) the first turn of each object."""
    first = np.full(source.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, source, turn)
    return first


def _ranges(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers from each `start` to `stop`, one range after another, and before them whose they are."""
    length = stop - start
    whose = np.repeat(np.arange(len(start)), length)
    return whose, np.arange(length.sum()) + np.repeat(start - (np.cumsum(length) - length), length)


def _not_after(numbers: dict[str, np.ndarray], rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Whether detections (M,) come no later than others (M,), in the order of a history."""
    mjd, band, candid = (numbers[name] for name in ("mjd", "band", "candid"))
    same = (mjd[rows] == mjd[own]) & (band[rows] == band[own])
    before = (mjd[rows] < mjd[own]) | ((mjd[rows] == mjd[own]) & (band[rows] < band[own]))
    return before | (same & ((candid[rows] <= candid[own]) | (candid[own] == NO_CANDID)))
