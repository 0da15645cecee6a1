"""Packets as dicts: what becomes a detection and what does not."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.alerts.history import METADATA_FIELDS, NO_CANDID
from rtf.alerts.merge import merge_objects
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import exact_candid, packet_history
from tests.packets import packets


def read(packet, **settings):
    report = ReadReport()
    return packet_history(packet, report, "file.avro", **settings), report


def test_the_values_arrive():
    packet = packets(n=4)[-1]
    history, report = read(packet)
    own = packet["candidate"]
    assert len(history) == 4 and report.counts["detections"] == 4 and report.counts["non_detections"] == 1
    assert (np.diff(history.mjd) > 0).all()
    assert history.mjd[-1] == own["jd"] - 2400000.5
    assert list(history.band) == [0, 0, 1, 0]
    assert history.mag[-1] == np.float32(own["magpsf"]) and history.magerr[-1] == np.float32(own["sigmapsf"])
    assert history.candid[-1] == own["candid"]
    assert (history.ra, history.dec) == (10.0, -5.0)
    for k, name in enumerate(METADATA_FIELDS):
        expected = np.nan if own[name] == -999 else np.float32(own[name])
        np.testing.assert_equal(history.metadata[-1, k], expected)
        past = packet["prv_candidates"][1].get(name, np.nan)
        np.testing.assert_equal(history.metadata[0, k], np.float32(past))
    assert history.cutouts[-1] == tuple(packet[n]["stampData"] for n in packet if n.startswith("cutout"))
    assert history.cutouts[0] == (None, None, None)
    assert read(packet, cutouts=False)[0].cutouts is None
    assert read(packet, object_id="other")[0].object_id == "other"


@pytest.mark.parametrize("value", ["t", "1", True, 1, b"t", b"1", np.True_, np.str_("t")])
@pytest.mark.parametrize("no", ["f", "0", False, 0, b"f", b"0"])
def test_signs(value, no):
    packet = packets(n=2, cutouts=False)[-1]
    packet["prv_candidates"][1] |= {"isdiffpos": no}
    packet["candidate"]["isdiffpos"] = value
    history, report = read(packet)
    assert list(history.candid) == [packet["candid"]] and report.counts["negative"] == 1
    history, report = read(packet, negative=True)
    assert len(history) == 2 and report.counts["negative"] == 0


def test_a_negative_candidate_leaves_its_history():
    packet = packets(n=3)[-1]
    packet["candidate"]["isdiffpos"] = "f"
    history, report = read(packet)
    assert len(history) == 2 and history.cutouts is None
    assert report.counts["negative"] == 1 and not report.skipped


def put(field, value):
    def change(packet):
        packet["candidate"][field] = value

    return change


def drop(field):
    def change(packet):
        del packet["candidate"][field]

    return change


BAD = {
    "candidate": lambda packet: packet.pop("candidate"),
    "objectId": lambda packet: packet.pop("objectId"),
    "magpsf": put("magpsf", float("nan")),
    "magpsf ": put("magpsf", -999.0),
    "magpsf  ": put("magpsf", 99.0),
    "magpsf   ": put("magpsf", "bright"),
    "sigmapsf": put("sigmapsf", -0.1),
    "sigmapsf ": put("sigmapsf", float("nan")),
    "sigmapsf  ": drop("sigmapsf"),
    "jd": put("jd", float("inf")),
    "jd ": drop("jd"),
    "fid": put("fid", 4),
    "isdiffpos": put("isdiffpos", None),
    "isdiffpos ": put("isdiffpos", ["t"]),
    "cutoutTemplate": lambda packet: packet.update(cutoutTemplate={"stampData": b"no stamp"}),
    "cutoutScience": lambda packet: packet.update(cutoutScience="text"),
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_packet_is_skipped_by_name(field):
    packet = packets(n=3)[-1]
    BAD[field](packet)
    history, report = read(packet)
    assert history is None
    assert report.counts["packets"] == 1 and report.counts["detections"] == 0
    (item,) = report.items
    assert item["file"] == "file.avro" and item["field"] == field.strip() and item["reason"]
    assert str(packet["candid"]) in item["item"]


def test_cutouts_that_are_not_kept_are_not_checked():
    packet = packets(n=1)[0] | {"cutoutScience": {"stampData": b"no stamp"}}
    assert len(read(packet, cutouts=False)[0]) == 1


@pytest.mark.parametrize("value", [None, 3, [], "text"])
def test_no_packet_at_all(value):
    history, report = read(value)
    assert history is None and report.items[0]["field"] == "candidate"


def test_a_bad_history_entry_is_skipped_alone():
    packet = packets(n=5)[-1]
    past = packet["prv_candidates"]
    packet["prv_candidates"] = [
        past[0], past[1] | {"sigmapsf": -1.0}, past[2] | {"fid": 9}, past[3] | {"isdiffpos": None}, past[4],
        "text",
    ]  # fmt: skip
    history, report = read(packet)
    assert len(history) == 2 and report.counts["detections"] == 2 and report.counts["non_detections"] == 1
    fields = {item["field"] for item in report.items}
    names = {"prv_candidates.sigmapsf", "prv_candidates.fid", "prv_candidates.isdiffpos", "prv_candidates"}
    assert fields == names


def test_missing_metadata_are_nan():
    packet = packets(n=2, cutouts=False)[-1]
    packet["candidate"] |= {"rb": None, "sky": -999, "fwhm": float("inf"), "scorr": "many"}
    del packet["candidate"]["drb" if "drb" in packet["candidate"] else "classtar"]
    history, report = read(packet)
    for name in ("rb", "sky", "fwhm", "scorr", "classtar"):
        assert np.isnan(history.metadata[-1, METADATA_FIELDS.index(name)])
    assert report.counts["unreadable_numbers"] == 1


def test_ids():
    exact = 2695378462115010012
    assert exact_candid(exact) == exact_candid(np.int64(exact)) == exact_candid(str(exact)) == exact
    assert exact_candid(float(exact)) is None
    assert exact_candid(12.0) == 12
    for value in (None, float("nan"), -1, "x", 2**70):
        assert exact_candid(value) == NO_CANDID


def test_a_rounded_id_is_matched_by_time_and_band():
    own = packets(n=3)
    for packet in own:
        for past in packet["prv_candidates"]:
            past["candid"] = None if past["candid"] is None else float(past["candid"])
    report = ReadReport()
    (merged,) = merge_objects([packet_history(p, report, "") for p in own], report)
    assert [int(c) for c in merged.candid] == [p["candid"] for p in own]
    assert report.counts["repeats"] == 3 and report.counts["imprecise_candid"] == 3


def same(one, other):
    for name in ("mjd", "band", "mag", "magerr", "metadata", "candid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.cutouts, one.ra, one.dec) == (other.cutouts, other.ra, other.dec)


@given(order=st.permutations(range(6)), rounded=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_order_of_packets_does_not_matter(order, rounded):
    own = copy.deepcopy(packets(n=6, size=5))
    own[2]["candidate"] |= {"ra": 9.5}
    if rounded:
        for k, packet in enumerate(own):
            packet["prv_candidates"] = [
                # another reduction of the same exposure, with slightly different values
                past | {"candid": None, "magpsf": past["magpsf"] and past["magpsf"] + 0.001 * k}
                for past in packet["prv_candidates"]
            ]
    one, _ = packet_histories(own)
    other, _ = packet_histories([own[k] for k in order])
    same(one, other)
    assert len(one) == 6 and one.ra == 9.5


def packet_histories(own):
    report = ReadReport()
    (merged,) = merge_objects([packet_history(p, report, "") for p in own], report)
    assert report.counts["detections"] == len(merged) + report.counts["repeats"] == 21
    return merged, report


@given(order=st.permutations(range(5)))
@settings(max_examples=30, deadline=None)
def test_the_order_does_not_matter_when_the_packets_of_some_detections_are_missing(order):
    own = packets(n=6, cutouts=False)[1:]
    for k, packet in enumerate(own):
        packet["prv_candidates"] = [
            past | {"candid": None, "magpsf": past["magpsf"] and past["magpsf"] + 0.001 * k}
            for past in packet["prv_candidates"]
        ]
    one, other = (
        merge_objects([packet_history(p, ReadReport(), "") for p in x], ReadReport())[0]
        for x in (own, [own[k] for k in order])
    )
    same(one, other)
