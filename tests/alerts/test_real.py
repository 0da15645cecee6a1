"""Real alerts and light curves: every count against one made here, with fastavro and pyarrow alone."""

import tarfile
from collections import Counter

import fastavro
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rtf.alerts.history import METADATA_FIELDS
from rtf.alerts.merge import merge_objects
from rtf.alerts.read import read_histories
from rtf.alerts.readers.fink_parquet import FinkParquet
from rtf.alerts.readers.ztf_avro import ZtfAvro
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.classes import FINE
from tests.packets import write_applecider
from tests.sources import merge

FINK = (
    "cataclysmic", "dwarf_agn", "mixed_a", "mixed_b", "repeat_objects", "slsn_candidates", "sn_candidates",
    "young_stars",
)  # fmt: skip
COUNTED = ("packets", "objects", "empty", "detections", "repeats", "non_detections", "negative")


def avro_packets(real_data):
    for path in sorted((real_data / "ztf_alerts/avro").glob("*.avro")):
        with path.open("rb") as stream:
            yield from fastavro.reader(stream)


def fink_packets(path):
    return pq.read_table(path, columns=["objectId", "candidate", "prv_candidates"]).to_pylist()


def counted(packets, negative: bool) -> Counter:
    """The counts of a reading, made the long way.

    A detection is known by its id, and by its time and band where the file rounded the id to a double. Time
    and band alone would not do: ZTF sometimes finds one object two or three times in one exposure.
    """
    counts, objects = Counter(dict.fromkeys(COUNTED, 0)), set()
    ids, at, without_id = {}, set(), set()
    for packet in packets:
        counts["packets"] += 1
        objects.add(packet["objectId"])
        for row in [packet["candidate"], *(packet["prv_candidates"] or [])]:
            if row["magpsf"] is None or np.isnan(row["magpsf"]):
                counts["non_detections"] += 1
            elif row["isdiffpos"] in "f0" and not negative:
                counts["negative"] += 1
            else:
                assert row["isdiffpos"] in "t1f0" and row["sigmapsf"] >= 0 and row["fid"] in (1, 2, 3)
                counts["detections"] += 1
                place = (packet["objectId"], row["jd"], row["fid"])
                if isinstance(row["candid"], float):
                    without_id.add(place)
                else:
                    ids[row["candid"]] = packet["objectId"]
                    at.add(place)
    left = without_id - at
    counts["objects"] = len({*ids.values(), *(place[0] for place in left)})
    counts["empty"] = len(objects) - counts["objects"]
    counts["repeats"] = counts["detections"] - len(ids) - len(left)
    return counts


def check(path, packets, negative, cutouts=True):
    expected, report = counted(packets, negative), ReadReport()
    if expected["objects"]:
        histories = read_histories(path, report=report, negative=negative, cutouts=cutouts)
    else:
        with pytest.raises(NothingReadable):
            read_histories(path, report=report, negative=negative, cutouts=cutouts)
        histories = []
    assert {name: report.counts[name] for name in COUNTED} == expected
    assert not report.skipped and not report.items
    assert sum(len(h) for h in histories) == expected["detections"] - expected["repeats"]
    assert all((np.diff(h.mjd) >= 0).all() and np.isfinite(h.mag).all() for h in histories)
    return histories


@pytest.mark.parametrize("negative", [False, True])
def test_avro_files(real_data, negative):
    histories = check(real_data / "ztf_alerts/avro", avro_packets(real_data), negative)
    assert sum(len(h) for h in histories) == len({c for h in histories for c in h.candid})
    own = {packet["candid"]: packet for packet in avro_packets(real_data)}
    for history in histories:
        for candid, stamps in zip(history.candid, history.cutouts or []):
            if int(candid) in own:
                assert stamps[2] == own[int(candid)]["cutoutDifference"]["stampData"]


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".tgz"])
def test_a_tar_of_the_avro_files(real_data, kind, tmp_path):
    path = tmp_path / f"night{kind}"
    with tarfile.open(path, "w" if kind == ".tar" else "w:gz") as archive:
        archive.add(real_data / "ztf_alerts/avro", "ztf_public_20200201")
    histories = check(path, avro_packets(real_data), False)
    for one, other in zip(histories, read_histories(real_data / "ztf_alerts/avro")):
        np.testing.assert_array_equal(one.metadata, other.metadata)
        assert one.cutouts == other.cutouts


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", FINK)
def test_fink_parquet(real_data, name, negative):
    path = real_data / f"ztf_alerts/fink_parquet/{name}.parquet"
    check(path, fink_packets(path), negative)


def test_all_of_fink(real_data):
    folder = real_data / "ztf_alerts/fink_parquet"
    assert {path.stem for path in folder.glob("*.parquet")} == set(FINK)
    check(folder, [p for path in sorted(folder.glob("*.parquet")) for p in fink_packets(path)], False)


@pytest.mark.parametrize("name", FINK)
def test_values_of_every_fink_detection(real_data, name):
    path = real_data / f"ztf_alerts/fink_parquet/{name}.parquet"
    expected = {}
    for packet in fink_packets(path):
        for row in (packet["prv_candidates"] or []) + [packet["candidate"]]:
            if row["magpsf"] is not None:
                key = (packet["objectId"], row["jd"] - 2400000.5, row["fid"] - 1)
                expected.setdefault(key, []).append(row)
    histories = read_histories(path, negative=True, cutouts=False)
    assert len(expected) == len({(h.object_id, *x) for h in histories for x in zip(h.mjd, h.band)})
    for history in histories:
        for k in range(len(history)):
            rows = expected[history.object_id, history.mjd[k], int(history.band[k])]
            values = {
                tuple(_value(row[name]) for name in ("magpsf", "sigmapsf", "rb", "sky")) for row in rows
            }
            columns = [METADATA_FIELDS.index(name) for name in ("rb", "sky")]
            own = (history.mag[k], history.magerr[k], *history.metadata[k, columns])
            assert tuple(_value(x) for x in own) in values


def _value(number) -> np.float32 | None:
    return None if number is None or number == -999 or np.isnan(number) else np.float32(number)


@pytest.fixture(scope="module")
def fink_alerts(real_data):
    """All real alerts of Fink as whole dicts, to be laid out anew."""
    folder = real_data / "ztf_alerts/fink_parquet"
    names = ["objectId", "candid", "candidate", "prv_candidates"]
    names += ["cutoutScience", "cutoutTemplate", "cutoutDifference"]
    tables = [pq.read_table(path, columns=names) for path in sorted(folder.glob("*.parquet"))]
    return [packet for table in tables for packet in table.to_pylist()]


def test_applecider_layout_of_the_real_alerts(real_data, fink_alerts, tmp_path):
    write_applecider(tmp_path / "alerts", fink_alerts)
    splits = ("train", "val", "test")
    objects = sorted({p["objectId"] for p in fink_alerts})
    lines = [f"{name},{splits[k % 3]}" for k, name in enumerate(objects)]
    (tmp_path / "splits.csv").write_text("\n".join(["obj_id,split", *lines]))
    for k, name in enumerate(objects):
        (tmp_path / "labels" / splits[k % 3]).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / "labels" / splits[k % 3] / f"{name}.npz", label=k % len(FINE))
    histories = check(tmp_path / "alerts", fink_alerts, False)
    for history, other in zip(histories, read_histories(real_data / "ztf_alerts/fink_parquet")):
        assert history.object_id == other.object_id
        np.testing.assert_array_equal(history.mjd, other.mjd)
        np.testing.assert_array_equal(history.metadata, other.metadata)
        assert history.cutouts == other.cutouts
        k = objects.index(history.object_id)
        assert (history.split, history.label) == (splits[k % 3], k % len(FINE))


def test_photometry_events_of_the_real_alerts(real_data, tmp_path):
    histories = read_histories(real_data / "ztf_alerts/fink_parquet", cutouts=False)
    written = []
    for k, h in enumerate(histories):
        h = h.select(np.unique(np.column_stack([h.mjd, h.band]), axis=0, return_index=True)[1])
        written.append(h)
        split = ("train", "val", "test")[k % 3]
        (tmp_path / split).mkdir(exist_ok=True)
        dt = h.mjd - h.mjd[0]
        columns = [dt, np.diff(dt, prepend=0), h.band, -0.4 * h.mag, 0.4 * h.magerr]
        np.savez(tmp_path / split / f"{h.object_id}.npz", data=np.column_stack(columns), label=k % 10)
    report = ReadReport()
    events = read_histories(tmp_path, report=report)
    assert [e.object_id for e in events] == [h.object_id for h in written]
    assert report.counts["detections"] == sum(map(len, written)) and not report.skipped
    for k, (e, h) in enumerate(zip(events, written)):
        np.testing.assert_allclose(e.mjd, h.mjd - h.mjd[0], atol=1e-9)
        np.testing.assert_allclose(e.mag, h.mag, rtol=1e-6)
        np.testing.assert_allclose(e.magerr, h.magerr, rtol=1e-6)
        assert e.label == k % 10 and e.split == ("train", "val", "test")[k % 3]


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", ["osc_supernovae_gri", "sdss_s82_rrlyrae", "ztf_bts_snia", "ztf_tde"])
def test_light_curve_tables(real_data, name, negative):
    path = real_data / f"lightcurves/{name}.parquet"
    table = pq.read_table(path)
    rows = len(table)
    good = pc.and_(pc.less_equal(table["mag"], 35), pc.greater_equal(table["magerr"], 0))
    bad = rows - pc.sum(good).as_py()
    table = table.filter(good)
    left_out = 0
    everyone = pc.count_distinct(table["object_id"]).as_py()
    if "isdiffpos" in table.column_names and not negative:
        left_out = pc.sum(pc.is_in(table["isdiffpos"], value_set=_set("f", "0"))).as_py()
        table = table.filter(pc.is_in(table["isdiffpos"], value_set=_set("t", "1")))
    distinct = table.group_by(["object_id", "mjd", "band"]).aggregate([])
    unknown = pc.sum(pc.invert(pc.is_in(table["type"], value_set=_set(*FINE, "SLSN-I")))).as_py()
    expected = {
        "rows": rows,
        "detections": len(table),
        "repeats": len(table) - len(distinct),
        "negative": left_out,
        "objects": pc.count_distinct(table["object_id"]).as_py(),
        "unknown_type": unknown,
    }
    expected["empty"] = everyone - expected["objects"]
    report = ReadReport()
    histories = read_histories(path, report=report, negative=negative)
    assert {key: report.counts[key] for key in expected} == expected
    assert sum(report.skipped.values()) == len(report.items) == bad
    assert bad == (13 if name == "sdss_s82_rrlyrae" else 0)
    types = dict(zip(table["object_id"].to_pylist(), table["type"].to_pylist()))
    for history in histories:
        kind = types[history.object_id]
        kind = "SLSN" if kind == "SLSN-I" else kind
        assert history.label == (FINE.index(kind) if kind in FINE else -1)


def _set(*values):
    import pyarrow as pa

    return pa.array(values, pa.large_string())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_real_packets_does_not_matter(real_data, seed):
    reader = FinkParquet()
    histories = [
        history
        for unit in reader.units(real_data / "ztf_alerts/fink_parquet")
        for history in reader.read(unit, ReadReport())
    ]
    order = np.random.default_rng(seed).permutation(len(histories))
    one = merge_objects(histories, ReadReport())
    other = merge_objects([histories[k] for k in order], ReadReport())
    for a, b in zip(one, other):
        assert (a.object_id, a.ra, a.dec, a.cutouts) == (b.object_id, b.ra, b.dec, b.cutouts)
        for name in ("mjd", "band", "mag", "magerr", "metadata", "candid"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_order_of_rows_in_a_table_does_not_matter(real_data, tmp_path):
    """Two telescopes of the Open Supernova Catalog can share a time and band: always the same one stays."""
    table = pq.read_table(real_data / "lightcurves/osc_supernovae_gri.parquet")
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), tmp_path / "t.parquet")
    one = read_histories(real_data / "lightcurves/osc_supernovae_gri.parquet")
    for a, b in zip(one, read_histories(tmp_path / "t.parquet")):
        np.testing.assert_array_equal(a.mag, b.mag)
        np.testing.assert_array_equal(a.mjd, b.mjd)


def test_reading_in_parts_is_reading_at_once(real_data):
    """Units read apart and merged later give what `read_histories` gives: what parallel reading relies on."""
    folder, reader = real_data / "ztf_alerts/avro", ZtfAvro()
    parts = [
        list(reader.read(unit, ReadReport()))
        for path in sorted(folder.iterdir())
        for unit in reader.units(path)
    ]
    by_object = {}
    for history in (history for part in reversed(parts) for history in part):
        by_object.setdefault(history.object_id, []).append(history)
    for history in read_histories(folder):
        again, _ = merge(by_object[history.object_id])
        np.testing.assert_array_equal(again.metadata, history.metadata)
        assert again.cutouts == history.cutouts
