"""What was known at each alert: nothing of a later packet, whatever it tells of earlier times."""

import copy

import numpy as np
import pytest

from rtf.alerts.history import SourceHistory
from rtf.alerts.known import alert_histories
from rtf.alerts.merge import merge_objects
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import packet_histories
from rtf.encoding import night
from tests.packets import entry, non_detection, packets
from tests.sources import made_up_sources


def read(some: list[dict], **settings) -> list[SourceHistory]:
    return list(packet_histories(some, ReadReport(), "here", **settings))


def known(some: list[dict], report: ReadReport | None = None) -> list[SourceHistory]:
    return list(alert_histories(read(some), ReadReport() if report is None else report))


def assert_same(a: SourceHistory, b: SourceHistory) -> None:
    assert a.object_id == b.object_id and a.cutouts == b.cutouts
    for name in ("mjd", "band", "mag", "magerr", "metadata", "candid", "limits"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def night_of_packets(n_objects: int = 3, n: int = 5) -> list[dict]:
    """Packets whose histories differ as those of a survey do: windows, late detections, other limits."""
    some, rng = [], np.random.default_rng(0)
    for k in range(n_objects):
        own = packets(f"ZTF20aaaa{k:03d}", n=n, seed=k, size=8)
        for j, packet in enumerate(own):
            packet["prv_candidates"] = copy.deepcopy(packet["prv_candidates"][-3:])
            jd = packet["candidate"]["jd"]
            packet["prv_candidates"].append(non_detection(jd - 0.5, band=1 + j % 2))
            for past in packet["prv_candidates"]:
                if j == 3 and past.get("magpsf") is not None:
                    past["magpsf"] += 0.01  # the survey's photometry was made again
        late = entry(rng, own[1]["candidate"]["jd"] + 0.3, 77 + k, mag=18.0)
        own[3]["prv_candidates"].append(late)
        some += own[:2] + own[3:]  # of the third only its copies in later packets are told
    return some


@pytest.mark.parametrize("order", ["as sent", "reversed", "shuffled"])
def test_each_alert_is_the_merge_of_its_packet_and_the_earlier_ones(order):
    some = night_of_packets()
    mixed = some[::-1] if order == "reversed" else some
    if order == "shuffled":
        mixed = [some[k] for k in np.random.default_rng(1).permutation(len(some))]
    report = ReadReport()
    found = known(mixed, report)
    assert report.counts["alerts"] == len(found) == len(some) and report.counts["objects"] == 3
    whole = ReadReport()
    merge_objects(read(some), whole)
    assert report.counts["repeats"] == whole.counts["repeats"]
    for k, (packet, history) in enumerate(zip(some, found, strict=True)):
        before = [p for p in some[: k + 1] if p["objectId"] == packet["objectId"]]
        (expected,) = merge_objects(read(before), ReadReport())
        assert_same(history, expected)
        assert history.candid[-1] == packet["candid"] and history.own == len(history) - 1


def test_what_only_later_packets_tell_is_not_known_before():
    some = night_of_packets(1)
    found = known(some)
    late, missed = 77, some[0]["candidate"]["candid"] + 2
    told = [(late in h.candid, missed in h.candid) for h in found]
    assert told == [(False, False), (False, False), (True, True), (True, True)]
    assert [len(h.limits) for h in found] == sorted(len(h.limits) for h in found)
    assert len(found[0].limits) < len(found[-1].limits)


def test_dropping_later_packets_changes_nothing_before():
    some = night_of_packets(1)
    whole = known(some)
    for k in range(1, len(some)):
        for a, b in zip(known(some[:k]), whole[:k], strict=True):
            assert_same(a, b)


def test_an_alert_sent_twice_is_one_and_one_left_out_is_none_but_tells():
    some = packets(n=4, size=8)
    assert [h.candid[-1] for h in known([*some, copy.deepcopy(some[1])])] == [p["candid"] for p in some]
    some[2]["candidate"]["isdiffpos"] = "f"
    some[2]["prv_candidates"].append(entry(np.random.default_rng(0), some[0]["candidate"]["jd"] - 1, 5))
    some[3]["prv_candidates"] = []
    found = known(some)
    assert [h.candid[-1] for h in found] == [some[k]["candid"] for k in (0, 1, 3)]
    assert [5 in h.candid for h in found] == [False, False, True]


def test_stamps_are_of_the_own_packet_or_an_earlier_one():
    some = packets(n=4, size=8)
    some[1]["cutoutDifference"] = None
    found = known(some)
    assert [[None not in c for c in h.cutouts] for h in found] == [
        [True], [True, False], [True, False, True], [True, False, True, True],
    ]  # fmt: skip
    assert found[2].cutouts[2][0] == some[2]["cutoutScience"]["stampData"]


def test_without_packets_each_detection_is_an_alert():
    sources, report = made_up_sources(3), ReadReport()
    found = list(alert_histories(sources, report))
    assert len(found) == sum(map(len, sources)) == report.counts["alerts"]
    first = len(sources[0])
    for k, history in enumerate(found[:first]):
        np.testing.assert_array_equal(history.mjd, sources[0].mjd[: k + 1])


def test_lots_are_cut_where_they_are_full():
    """An object with many alerts is not expanded all at once."""
    from rtf.alerts import known as module

    some = read(night_of_packets(5))
    whole = list(alert_histories(some, ReadReport()))
    for size in (1, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_LOT", size)
            for a, b in zip(alert_histories(some, ReadReport()), whole, strict=True):
                assert_same(a, b)
    assert [len(c) for c in night._chunks(whole, 8)] == [8, 8, 4]
