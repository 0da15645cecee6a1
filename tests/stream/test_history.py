"""Histories from alert to alert: what an alert knew, as the whole input tells it; and what is forgotten."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from rtf.alerts.history import NO_CUTOUTS, SourceHistory, from_columns
from rtf.alerts.known import alert_histories
from rtf.alerts.merge import merge_objects
from rtf.alerts.read import auto_reader
from rtf.alerts.report import ReadReport

pytest.importorskip("lmdb")

from rtf.stream import history
from rtf.stream.history import Histories, HistoryError, only_writer, open_histories
from tests.commands import ROOT
from tests.packets import packets
from tests.stream.streams import histories, night

SPACE = "0123456789ab"
COLUMNS = ("mjd", "band", "mag", "magerr", "metadata", "candid", "limits")


def streamed(folder, some: list[SourceHistory], batch: int, **settings) -> list[SourceHistory]:
    """What each alert knew, in batches."""
    store, known = Histories(folder, **settings), []
    for k in range(0, len(some), batch):
        found, repeats = store.known(some[k : k + batch], "ztf", SPACE)
        assert not repeats
        store.add(some[k : k + batch], "ztf", SPACE)
        known += found
    store.close()
    return known


def assert_same(found: list[SourceHistory], true: list[SourceHistory], stamps: bool = True) -> None:
    def key(h):
        return h.object_id, h.alert, h.candid[-1]

    found, true = sorted(found, key=key), sorted(true, key=key)
    assert [key(h) for h in found] == [key(h) for h in true]
    for a, b in zip(found, true, strict=True):
        for name in COLUMNS:
            assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), (a.object_id, name)
        assert np.array_equal([a.ra, a.dec], [b.ra, b.dec], equal_nan=True)
        if stamps:
            assert latest(a) == latest(b)


def latest(some: SourceHistory):
    """The stamps that a model looks at."""
    return next((c for c in reversed(some.cutouts or []) if None not in c), None)


@pytest.mark.parametrize("batch", (1, 7, 1000))
def test_an_alert_knows_what_the_whole_input_says_it_knew(tmp_path, batch):
    some = histories(night(6, 6))
    some[5].cutouts = None  # of an alert without stamps those of an earlier one count
    assert_same(streamed(tmp_path, some, batch), list(alert_histories(some, ReadReport())))


@pytest.mark.parametrize("batch", (1, 16))
def test_real_alerts_know_what_the_whole_input_says(tmp_path, real_data, batch):
    some = []
    for name in ("ztf_alerts/fink_parquet", "ztf_alerts/typed", "ztf_alerts/avro"):
        reader = auto_reader(real_data / name)
        some += [h for u in reader.units(real_data / name) for h in reader.read(u, ReadReport())]
    unique = {(h.object_id, h.alert, int(h.candid[h.own]) if h.own >= 0 else None): h for h in some}
    some = sorted(unique.values(), key=lambda h: h.alert)
    assert len(some) > 300
    true = list(alert_histories(some, ReadReport()))
    # keep_days: some of the packets tell of detections of years before
    assert_same(streamed(tmp_path, some, batch, keep_days=5000.0), true)


def test_an_alert_that_comes_again_knows_what_it_knew(tmp_path):
    some = histories(packets(n=6))
    streamed(tmp_path, some, 2)
    store = Histories(tmp_path)
    found, repeats = store.known([some[2]], "ztf", SPACE)
    assert not found and repeats == 1
    found, repeats = store.known([some[2]], "ztf", "another")
    assert_same(found, list(alert_histories(some[:3], ReadReport()))[2:])
    size = len(store._lmdb.begin().get(b"ztf/ZTF20synthet", db=store._objects))
    store.add([some[2]], "ztf", SPACE)
    assert len(store._lmdb.begin().get(b"ztf/ZTF20synthet", db=store._objects)) == size


def test_a_record_holds_each_detection_once_or_twice(tmp_path):
    """Poorer copies in later packets add nothing: the record grows with the detections."""
    some = histories(packets(n=40))
    streamed(tmp_path, some, 1)
    store = Histories(tmp_path)
    record = store._record(store._lmdb.begin(), b"ztf/ZTF20synthet", "ztf")
    assert len(record.rows) == 40 and len(record.limits) == 1


def test_get_gives_what_merging_gives(tmp_path):
    some = histories(night(3, 5))
    streamed(tmp_path, some, 4)
    there = open_histories(tmp_path)
    assert len(there) == 3 and there.get("nobody") is None and there.get("ZTF20aaaa001", "lsst") is None
    for true in merge_objects(some, ReadReport()):
        found = there.get(true.object_id)
        assert_same([replace(found, alert=0.0)], [replace(true, alert=0.0)])
        assert sum(None not in c for c in found.cutouts) == 1


def test_another_process_reads_what_was_added_while_the_writer_goes_on(tmp_path):
    program = (
        "import sys; from rtf.stream.history import open_histories; s = open_histories(sys.argv[1])\n"
        "for name in sys.stdin: h = s.get(name.strip()); print(-1 if h is None else len(h), flush=True)"
    )
    some, store = histories(packets(n=4)), Histories(tmp_path)
    line = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        for k, packet in enumerate([None, *some]):
            if packet is not None:
                store.add([packet], "ztf", SPACE)
            reader.stdin.write("ZTF20synthet\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"{k or -1}\n"
        reader.stdin.close()


def test_what_is_old_is_forgotten(tmp_path, monkeypatch):
    some = histories(packets("ZTF20aaaaold", n=3, seed=1) + packets("ZTF20aaaanew", n=3, seed=2))
    store, long_ago = Histories(tmp_path, keep_days=100.0), time.time() - 101 * 86400
    monkeypatch.setattr(history.time, "time", lambda: long_ago)
    store.add(some[:3], "ztf", SPACE)
    assert store.get("ZTF20aaaaold") is not None
    monkeypatch.undo()
    store.add(some[3:], "ztf", SPACE)
    assert store.get("ZTF20aaaaold") is None and len(store) == 1
    late = replace(some[5], mjd=some[5].mjd + 99.0, alert=some[5].alert + 99.0, candid=some[5].candid + 500)
    store.add([late], "ztf", SPACE)
    found = store.get("ZTF20aaaanew")
    assert found.mjd[0] >= late.alert - 100.0 and len(found) < 6


def test_an_object_cannot_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "MOST_ROWS", 10)
    streamed(tmp_path, histories(packets(n=25)), 1)
    found = open_histories(tmp_path).get("ZTF20synthet")
    assert len(found) == 10 and found.candid[-1] % 100 == 24


def test_names_longer_than_a_key(tmp_path):
    names = ["ü" * 256, "ü" * 255 + "v"]
    some = [replace(h, object_id=name) for name in names for h in histories(packets(n=1))]
    streamed(tmp_path, some, 2)
    there = open_histories(tmp_path)
    assert len(there) == 2 and all(there.get(name).object_id == name for name in names)


def test_one_stream_at_a_time(tmp_path):
    with only_writer(tmp_path), pytest.raises(HistoryError, match="another stream"), only_writer(tmp_path):
        pass
    with pytest.raises(HistoryError, match="holds no histories"):
        open_histories(tmp_path / "none")


def nights(folder, count: int, objects: int, keep_days: float, monkeypatch) -> list[int]:
    """Bytes of the folder after each night of new objects, of one alert with 30 detections and stamps."""
    rng, sizes, store = np.random.default_rng(0), [], Histories(folder, keep_days=keep_days)
    for day in range(count):
        monkeypatch.setattr(history.time, "time", lambda day=day: 86400.0 * (20_000 + day))
        for start in range(0, objects, 100):
            packets = []
            for k in range(start, min(start + 100, objects)):
                mjd, stamps = 60_000 + day - np.arange(30.0)[::-1], tuple(rng.bytes(6000) for _ in range(3))
                packet = from_columns(f"{day}_{k}", mjd, np.zeros(30), np.full(30, 19.0), np.full(30, 0.1))
                packet.candid = 30 * (objects * day + k) + np.arange(30)
                packet.cutouts, packet.own, packet.alert = [NO_CUTOUTS] * 29 + [stamps], 29, float(mjd[-1])
                packets.append(packet)
            store.add(packets, "ztf", SPACE)
        sizes.append((folder / "data.mdb").stat().st_size)
    assert len(store) <= (keep_days + 2) * objects
    store.close()
    return sizes


def test_the_folder_does_not_grow_with_the_nights(tmp_path, monkeypatch):
    sizes = nights(tmp_path, 30, 60, 5.0, monkeypatch)
    assert sizes[2] < sizes[6]
    assert sizes[-1] < 1.1 * sizes[8]
