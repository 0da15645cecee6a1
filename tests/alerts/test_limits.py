"""Non-detections: read from packets and tables, merged like detections, kept in stores, never detections."""

import csv
from itertools import permutations

import numpy as np
import pytest

from rtf.alerts.history import concatenate, from_columns
from rtf.alerts.read import read_histories
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.alerts.ztf import packet_history
from rtf.simulation.survey import SimulatedSurvey, history_of, simulate_source
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.sources import ListReader, MadeUpReader, made_up_sources, merge


def table(path, rows: list[dict]):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_packets_tell_the_visits_that_saw_nothing():
    """An entry without a magnitude is a limit where it has a depth, and what it is not is left out."""
    past = [
        {"jd": 2459000.5, "fid": 2, "diffmaglim": 20.25, "magpsf": None},
        {"jd": 2458999.5, "fid": 1, "diffmaglim": 19.5, "magpsf": None},
        {"jd": 2458998.5, "fid": 1, "diffmaglim": -999.0, "magpsf": None},
        {"jd": 2458997.5, "fid": 9, "diffmaglim": 20.0, "magpsf": None},
        {"jd": None, "fid": 1, "diffmaglim": 20.0, "magpsf": None},
    ]
    packet = {
        "objectId": "a", "prv_candidates": past,
        "candidate": {"jd": 2459002.5, "fid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t"},
    }  # fmt: skip
    report = ReadReport()
    history = packet_history(packet, report, "x")
    assert history.limits.tolist() == [[58999.0, 0, 19.5], [59000.0, 1, 20.25]]
    assert report.counts["non_detections"] == 5 and len(history) == 1


def test_packets_of_a_simulated_source_give_its_limits_back():
    from rtf.simulation.packets import packets

    survey = SimulatedSurvey(4, seed=2)
    for number in range(4):
        source = simulate_source(survey, number)
        read = [packet_history(p, ReadReport(), "x") for p in packets(source)]
        merged, _ = merge([h for h in read if h is not None])
        np.testing.assert_array_equal(merged.limits, history_of(source).limits)
        assert len(merged.limits) > 0


def test_limits_of_several_packets_merge_in_any_order():
    parts = [
        [[59000.0, 0, 20.0], [59001.0, 1, 19.0]],
        [[59000.0, 0, 20.0], [59002.0, 1, 19.5]],
        [[59001.0, 1, 18.5]],  # the same visit, told less deep
    ]
    made = []
    for order in permutations(parts):
        histories = [from_columns("a", [59010.0], [0], [18.0], [0.1], limits=np.array(p)) for p in order]
        made.append(merge(histories)[0].limits.tolist())
    assert all(limits == [[59000, 0, 20], [59001, 1, 18.5], [59002, 1, 19.5]] for limits in made)


def test_tables_hold_limits_in_rows_without_a_magnitude_or_in_files_of_their_own(tmp_path):
    rows = [
        {"object_id": "a", "mjd": 59000, "band": "g", "mag": "", "magerr": "", "limmag": 20.5},
        {"object_id": "a", "mjd": 59002, "band": "g", "mag": 18.5, "magerr": 0.1, "limmag": 20.6},
        {"object_id": "a", "mjd": 59003, "band": "r", "mag": "", "magerr": "", "limmag": ""},
        {"object_id": "b", "mjd": 59003, "band": "r", "mag": "", "magerr": "", "limmag": 99},
    ]
    report = ReadReport()
    (history,) = read_histories(table(tmp_path / "mixed.csv", rows), report=report)
    assert history.limits.tolist() == [[59000, 0, pytest.approx(20.5)]] and len(history) == 1
    assert sorted((i["item"], i["field"]) for i in report.items) == [("row 2", "mag"), ("row 3", "limmag")]

    alone = [{k: r[k] for k in ("object_id", "mjd", "band", "limmag")} for r in rows]
    path = table(tmp_path / "limits.csv", alone)
    with pytest.raises(NothingReadable, match="2 non-detections"):
        read_histories(path)


def test_limits_are_appended_to_a_store_and_read_back(tmp_path):
    """A table of limits alone adds to the sources that are there, and to no others."""
    out = tmp_path / "s.zarr"
    preprocess(MadeUpReader(30), "made up", out, workers=0, progress=False)
    before = open_store(out)
    names = before.object_id[:2].tolist()
    start = [float(before.detections().mjd[before.offset[k]]) for k in range(2)]
    rows = [
        {"object_id": name, "mjd": round(mjd - 3, 4), "band": "g", "limmag": 20.5}
        for name, mjd in zip([*names, "nobody"], [*start, start[0]])
    ]
    from rtf.alerts.readers.light_curve_table import LightCurveTable

    preprocess(
        LightCurveTable(), table(tmp_path / "l.csv", rows), out, append=True, workers=0, progress=False
    )
    store = open_store(out)
    assert store.n == before.n and store.digest != before.digest
    assert len(store.limits()) == len(before.limits()) + 2
    first = store.detections().limits[store.offset[:2]]
    assert np.isfinite(first[:, 0]).all() and (first[:, 0] <= 3.001).all()


def test_a_store_gives_back_the_limits_it_was_given(tmp_path):
    sources = made_up_sources(25, 3)
    preprocess(ListReader(sources), "x", tmp_path / "s.zarr", workers=0, progress=False)
    store = open_store(tmp_path / "s.zarr")
    kept = {h.object_id: h for h in store.histories()}
    for history in sources:
        np.testing.assert_array_equal(
            kept[history.object_id].limits[:, :2], history.limits[:, :2].astype(float)
        )
        np.testing.assert_allclose(kept[history.object_id].limits[:, 2], history.limits[:, 2], atol=1e-5)
    order = [kept[name] for name in store.object_id]
    np.testing.assert_array_equal(concatenate(order).limits, store.detections().limits)
    for split in ("train", "val", "test"):
        part = store.sources(split)
        np.testing.assert_array_equal(
            store.detections(split).limits, concatenate(order[part.start : part.stop]).limits
        )
