"""Every reader on synthetic packets: layouts, settings, splits and labels, and bad input."""

import copy
import io
import os
import pickle
import tarfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtf.alerts.read import auto_reader, existing, read_histories, reader_class, readers
from rtf.alerts.readers.applecider import AppleCider, RefusedPickle, _DataOnly, load_alerts
from rtf.alerts.readers.fink_parquet import FinkParquet
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.readers.photometry_events import PhotometryEvents
from rtf.alerts.readers.ztf_avro import BadAvro, ZtfAvro, records
from rtf.alerts.report import NothingReadable, ReadReport
from tests.packets import avro, packets, stamp, write_applecider, write_avro, write_parquet

OBJECTS = ("ZTF20aaaaaaa", "ZTF20aaaaaab")


@pytest.fixture
def alerts() -> list[dict]:
    """Seven packets of two objects, shuffled; 6 + 10 rows, of which 3 + 6 are repeats."""
    both = packets(OBJECTS[0], 3, seed=1, size=9) + packets(OBJECTS[1], 4, seed=2, size=9)
    return [both[k] for k in (3, 0, 6, 2, 1, 5, 4)]


def tar(path, contents: dict[str, bytes], mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def as_files(alerts):
    return {f"{p['candid']}.avro": avro([p]) for p in alerts}


def same(one, other):
    assert [h.object_id for h in one] == [h.object_id for h in other]
    for a, b in zip(one, other):
        for name in ("mjd", "band", "mag", "magerr", "metadata", "candid"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.cutouts, a.ra, a.dec) == (b.cutouts, b.ra, b.dec)


LAYOUTS = {
    "files": lambda folder, alerts: write_avro(folder / "in", alerts)[0].parent,
    "one file": lambda folder, alerts: _written(folder / "all.avro", avro(alerts)),
    "deflated": lambda folder, alerts: _written(folder / "all.avro", avro(alerts, "deflate")),
    "tar": lambda folder, alerts: tar(folder / "night.tar", as_files(alerts)),
    "tar.gz": lambda folder, alerts: tar(folder / "night.tar.gz", as_files(alerts), "w:gz"),
    "tgz": lambda folder, alerts: tar(folder / "night.tgz", as_files(alerts), "w:gz"),
    "parquet": lambda folder, alerts: write_parquet(folder / "part.parquet", alerts, row_group_size=2),
    "applecider": lambda folder, alerts: write_applecider(folder / "in", alerts)[0].parent.parent,
}


def _written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cutouts", [True, False])
def test_every_container_of_the_same_packets_gives_the_same_histories(layout, cutouts, alerts, tmp_path):
    path = LAYOUTS[layout](tmp_path, alerts)
    report = ReadReport()
    histories = read_histories(path, report=report, cutouts=cutouts)
    expected = read_histories(write_avro(tmp_path / "expected", alerts)[0].parent, cutouts=cutouts)
    same(histories, expected)
    assert [len(h) for h in histories] == [3, 4]
    expected = Counter(packets=7, objects=2, detections=16, repeats=9, non_detections=7)
    assert report.counts == expected
    assert not report.skipped
    for history in histories:
        assert cutouts == (history.cutouts is not None)
        if cutouts:
            assert all(stamp is not None for detection in history.cutouts for stamp in detection)


def test_units_are_picklable_named_and_in_order(alerts, tmp_path):
    for layout, make in LAYOUTS.items():
        folder = tmp_path / layout
        folder.mkdir()
        path = make(folder, alerts)
        reader = pickle.loads(pickle.dumps(auto_reader(path)))
        units = reader.units(path)
        assert units == reader.units(path) == pickle.loads(pickle.dumps(units))
        assert all(str(folder) in str(unit) for unit in units)
    assert len(FinkParquet().units(tmp_path / "parquet")) == 4


def test_every_reader_is_found_and_has_settings():
    found = readers()
    assert set(found) == {
        "applecider", "fink_parquet", "light_curve_table", "lsst_avro", "lsst_parquet", "photometry_events",
        "ztf_avro",
    }  # fmt: skip
    for module in found.values():
        reader = reader_class(module)(negative=True, cutouts=False)
        assert reader.negative and not reader.cutouts


# Avro and archives


def test_a_truncated_avro_file(alerts, tmp_path):
    paths = write_avro(tmp_path, alerts)
    paths[1].write_bytes(paths[1].read_bytes()[:-5000])
    report = ReadReport()
    histories = read_histories(tmp_path, report=report)
    assert len(histories) == 2 and report.counts["packets"] == 6
    (item,) = report.items
    assert item["file"] == str(paths[1]) and "1 of its 1 alerts lost" in item["reason"]


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_what_comes_before_the_cut_of_an_avro_file_is_kept(codec, alerts):
    content = avro(alerts, codec)
    whole = list(records(content))
    assert len(whole) == 7
    for end in np.linspace(5, len(content) - 1, 60).astype(int):
        kept = []
        with pytest.raises(BadAvro):
            for record in records(content[:end]):
                kept.append(record)
        assert kept == whole[: len(kept)]
    assert len(kept) == 7  # only the marker at the very end was missing


def test_a_damaged_avro_file_never_stops_the_reading(alerts):
    content = avro(alerts[:2])
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 300):
        changed = bytearray(content)
        changed[position] ^= rng.integers(1, 256)
        report = ReadReport()
        reader = ZtfAvro()
        list(_read_bytes(reader, bytes(changed), report))


def _read_bytes(reader, content, report):
    from rtf.alerts.limits import guarded
    from rtf.alerts.ztf import packet_history

    for packet in guarded(records(content), report, "changed"):
        yield packet_history(packet, report, "changed")


def test_a_foreign_file_in_a_tar(alerts, tmp_path):
    contents = {"README.txt": b"hello", **as_files(alerts), "fake.avro": b"not Avro"}
    path = tar(tmp_path / "night.tar.gz", contents, "w:gz")
    report = ReadReport()
    assert len(read_histories(path, report=report)) == 2
    assert report.counts["packets"] == 7
    items = {item["item"] or item["file"]: item["reason"] for item in report.items}
    assert items == {
        "README.txt": "not an Avro file",
        f"{path}:fake.avro": "not an Avro object container file",
    }


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive(mode, alerts, tmp_path):
    path = tar(tmp_path / ("night.tar.gz" if mode == "w:gz" else "night.tar"), as_files(alerts), mode)
    content = path.read_bytes()
    whole = {candid for h in read_histories(path) for candid in h.candid}
    seen = set()
    for end in np.linspace(600, len(content) * 0.995 - (10240 if mode == "w" else 0), 25).astype(int):
        path.write_bytes(content[:end])
        report = ReadReport()
        histories = list(ZtfAvro().read(ZtfAvro().units(path)[0], report))
        assert {c for h in histories for c in h.candid} <= whole
        seen.add(len(histories))
        assert any("archive is cut short" in item["reason"] for item in report.items), end
        assert all(item["file"].startswith(str(path)) for item in report.items)
    assert len(seen) > 3


def test_a_cut_exactly_between_two_members(alerts, tmp_path):
    path = tar(tmp_path / "night.tar", as_files(alerts))
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:third])
    report = ReadReport()
    assert len(list(ZtfAvro().read(ZtfAvro().units(path)[0], report))) == 2
    assert "archive is cut short" in report.items[0]["reason"]


def test_an_unsupported_codec(alerts):
    content = avro(alerts[:1]).replace(b"\x08null", b"\x08zstd")
    with pytest.raises(BadAvro, match="codec zstd"):
        list(records(content))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("candidate", lambda p: p.update(candidate=None)),
        ("magpsf", lambda p: p["candidate"].update(magpsf=float("nan"))),
        ("sigmapsf", lambda p: p["candidate"].update(sigmapsf=-0.1)),
        ("fid", lambda p: p["candidate"].update(fid=7)),
        ("jd", lambda p: p["candidate"].update(jd=float("nan"))),
        ("cutoutScience", lambda p: p["cutoutScience"].update(stampData=b"plain bytes")),
    ],
)
@pytest.mark.parametrize("layout", ["files", "tar", "parquet", "applecider"])
def test_a_bad_packet_among_good_ones(layout, field, change, alerts, tmp_path):
    alerts = copy.deepcopy(alerts)
    change(alerts[2])
    report = ReadReport()
    histories = read_histories(LAYOUTS[layout](tmp_path, alerts), report=report)
    assert len(histories) == 2 and report.counts["packets"] == 7
    (item,) = report.items
    assert (
        item["field"] == field and str(alerts[2]["candid"]) in item["item"] and str(tmp_path) in item["file"]
    )
    assert sum(report.skipped.values()) == 1


# Fink's parquet


def test_parquet_with_other_types_and_columns(alerts, tmp_path):
    """Doubles for floats, a column of nulls, Fink's own columns, and a file that is none."""
    for packet in alerts:
        packet |= {"cdsxmatch": "Unknown", "lc_features_g": {"mean": 1.0}}
        packet["candidate"] |= {"ssnamenr": None, "rb": None}
        packet["prv_candidates"] = packet["prv_candidates"] or None
    write_parquet(tmp_path / "a.parquet", alerts[:4])
    write_parquet(tmp_path / "b.parquet", alerts[4:])
    (tmp_path / "c.parquet").write_bytes(b"no parquet")
    report = ReadReport()
    histories = read_histories(tmp_path, report=report)
    assert [len(h) for h in histories] == [3, 4] and report.counts["repeats"] == 9
    assert report.items[0]["file"].endswith("c.parquet") and len(report.items) == 1


def test_parquet_without_a_candidate(alerts, tmp_path):
    rows = [{k: v for k, v in p.items() if k != "candidate"} for p in alerts]
    path = write_parquet(tmp_path / "a.parquet", rows)
    with pytest.raises(NothingReadable, match=r"a\.parquet candidate: column missing"):
        read_histories(path, FinkParquet())


# AppleCiDEr's raw alerts


def test_splits_and_labels(alerts, tmp_path):
    folder = write_applecider(tmp_path / "alerts", alerts)[0].parent.parent
    (tmp_path / "splits.csv").write_text(f"obj_id,split\n{OBJECTS[0]},test\n{OBJECTS[1]},train\n")
    for split, name, label in (("test", OBJECTS[0], 9), ("train", OBJECTS[1], 3)):
        (tmp_path / "labels" / split).mkdir(parents=True)
        np.savez(tmp_path / "labels" / split / f"{name}.npz", label=label)
    histories = read_histories(folder)
    assert [(h.split, h.label) for h in histories] == [("test", 9), ("train", 3)]

    (tmp_path / "other.csv").write_text(f"obj_id,split\n{OBJECTS[0]},val\n")
    report = ReadReport()
    histories = read_histories(folder, report=report, splits=str(tmp_path / "other.csv"))
    assert [(h.split, h.label) for h in histories] == [("val", -1), ("", 3)]
    assert report.counts["unlabelled"] == 1

    np.savez(tmp_path / "labels" / "test" / f"{OBJECTS[0]}.npz", label=99)
    report = ReadReport()
    assert [h.label for h in read_histories(folder, report=report)] == [-1, 3]
    assert report.items[0]["field"] == "label"


def test_splits_that_cannot_be_used(alerts, tmp_path):
    folder = write_applecider(tmp_path / "alerts", alerts)[0].parent.parent
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_histories(folder, splits=str(tmp_path / "nowhere.csv"))
    (tmp_path / "splits.csv").write_text("object,split\nx,train\n")
    with pytest.raises(ValueError, match=r"splits\.csv: needs a column object_id or obj_id, and split"):
        read_histories(folder)
    (tmp_path / "splits.csv").write_text("obj_id,split\nx,training\n")
    with pytest.raises(ValueError, match=r"splits\.csv, line 2: split 'training' is none of"):
        read_histories(folder)


class Evil:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_pickle_that_wants_to_run_code(alerts, tmp_path):
    folder = write_applecider(tmp_path / "in", alerts)[0].parent.parent
    proof = tmp_path / "it ran"
    rows = np.empty(1, object)
    rows[0] = {"candidate": Evil(os.system, f"touch '{proof}'")}
    (folder / "evil").mkdir()
    np.save(folder / "evil" / "alerts.npy", rows, allow_pickle=True)
    (folder / "without").mkdir()
    report = ReadReport()
    assert len(read_histories(folder, report=report)) == 2
    assert not proof.exists()
    (refused, without) = report.items
    assert refused["file"] == str(folder / "evil" / "alerts.npy")
    assert refused["reason"] == f"refused: the pickle asks for {os.system.__module__}.system"
    assert without["file"].endswith("without") and "no alerts.npy" in without["reason"]


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_both_generations_of_numpy(module, protocol, tmp_path):
    rows = np.empty(2, object)
    rows[:] = [
        {"jd": np.float64(2459000.5), "fid": np.int32(1), "a": np.arange(3.0)},
        {"s": {1, 2}, "t": (None,)},
    ]
    path = tmp_path / "alerts.npy"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    body = pickle.dumps(rows, protocol)
    if module == "numpy.core":  # as NumPy 1 wrote it; a name's length precedes it from protocol 4 on
        names = (b"numpy._core.multiarray", b"numpy._core.numeric")
        for name in names:
            older = name.replace(b"_core", b"core")
            body = body.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(older)]) + older)
            body = body.replace(b"c" + name + b"\n", b"c" + older + b"\n")
        assert b"_core" not in body
    if protocol >= 4:
        body = _without_frames(body)
    path.write_bytes(header.getvalue() + body)
    alerts = load_alerts(path)
    assert alerts[0]["jd"] == 2459000.5 and alerts[0]["fid"] == 1 and alerts[1] == {"s": {1, 2}, "t": (None,)}
    np.testing.assert_array_equal(alerts[0]["a"], [0, 1, 2])


def _without_frames(body: bytes) -> bytes:
    """A pickle without its frame opcode, whose length no longer fits."""
    assert body[2:3] == b"\x95"
    return body[:2] + body[11:]


def test_encoding_by_another_codec_is_refused(tmp_path):
    with pytest.raises(RefusedPickle, match="rot13"):
        _DataOnly(io.BytesIO(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.")).load()


@pytest.mark.parametrize("content", [b"", b"no npy", b"\x93NUMPY\x01\x00\x02\x00{}", b"\x93NUMPY\x09\x00"])
def test_a_damaged_alerts_file(content, alerts, tmp_path):
    folder = write_applecider(tmp_path / "in", alerts)[0].parent.parent
    (folder / OBJECTS[0] / "alerts.npy").write_bytes(content)
    report = ReadReport()
    assert [h.object_id for h in read_histories(folder, report=report)] == [OBJECTS[1]]
    assert report.items[0]["file"] == str(folder / OBJECTS[0] / "alerts.npy")


def test_a_truncated_alerts_file(alerts, tmp_path):
    folder = write_applecider(tmp_path / "in", alerts)[0].parent.parent
    file = folder / OBJECTS[0] / "alerts.npy"
    content = file.read_bytes()
    for end in np.linspace(10, len(content) - 1, 30).astype(int):
        file.write_bytes(content[:end])
        report = ReadReport()
        assert [h.object_id for h in read_histories(folder, report=report)] == [OBJECTS[1]]
        assert report.items[0]["file"] == str(file)


# Photometry events


def events(n=4):
    dt = np.cumsum(np.arange(n)).astype(float)
    return np.column_stack(
        [dt, np.diff(dt, prepend=0), np.arange(n) % 3, -0.4 * (19 + dt / 10), np.full(n, 0.04)]
    )


def test_photometry_events(tmp_path):
    for split, name, label in (("train", "b", 3), ("val", "a", 0), ("test", "c", -1)):
        (tmp_path / split).mkdir()
        np.savez(tmp_path / split / f"{name}.npz", data=events().astype(np.float32), label=label)
    np.savez(tmp_path / "feature_stats_day100.npz", mean=np.zeros(4), std=np.ones(4))
    report = ReadReport()
    histories = read_histories(tmp_path, report=report)
    assert [(h.object_id, h.split, h.label) for h in histories] == [
        ("a", "val", 0),
        ("b", "train", 3),
        ("c", "test", -1),
    ]
    np.testing.assert_allclose(histories[0].mjd, [0, 1, 3, 6])
    np.testing.assert_allclose(histories[0].mag, 19 + np.array([0, 1, 3, 6]) / 10, rtol=1e-6)
    np.testing.assert_allclose(histories[0].magerr, 0.1, rtol=1e-6)
    assert list(histories[0].band) == [0, 1, 2, 0]
    assert report.counts["detections"] == 12 and report.counts["files"] == 3


def test_bad_photometry_events(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    bad = events(5)
    bad[1, 2], bad[2, 4], bad[3, 3] = 7, -1, np.nan
    np.savez(folder / "a.npz", data=bad, label=1)
    np.savez(folder / "b.npz", label=1)
    np.savez(folder / "c.npz", data=np.zeros((3, 4)), label=1)
    np.savez(folder / "d.npz", data=np.array([{}], object), label=1)
    (folder / "e.npz").write_bytes(b"no zip")
    np.savez(folder / "f.npz", data=events(), label="SN Ia")
    report = ReadReport()
    histories = read_histories(tmp_path, report=report)
    assert [(h.object_id, len(h), h.label) for h in histories] == [("a", 2, 1), ("f", 4, -1)]
    named = [(os.path.basename(i["file"]), i["item"], i["field"]) for i in report.items]
    assert named[:5] == [
        ("a.npz", "row 1", "band id"), ("a.npz", "row 2", "logflux_err"), ("a.npz", "row 3", "logflux"),
        ("b.npz", "", "data"), ("c.npz", "", "data"),
    ]  # fmt: skip
    assert [n[0] for n in named[5:]] == ["d.npz", "e.npz", "f.npz"]


# Light-curve tables

COLUMNS = {
    "object_id": ["b", "a", "b", "b", "a", "c"],
    "mjd": [59002.0, 59000.0, 59001.0, 59001.0, 59003.0, 59000.0],
    "band": ["g", "r", "i", "g", "g", "g"],
    "mag": [19.0, 20.0, 18.0, 17.0, 21.0, 15.0],
    "magerr": [0.1, 0.2, 0.1, 0.0, 0.3, 0.1],
}


def write_table(path, columns):
    table = pa.table(columns)
    if path.suffix == ".csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=2)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_table(name, tmp_path):
    more = {
        "type": ["SN II", "CV", "SN II", None, "CV", "SN Ib/c"],
        "isdiffpos": ["t", "1", "t", "f", "1", "t"],
        "ra": [3.0, 1.0, 2.0, 2.0, None, 5.0],
        "dec": [-1.0, 0.5, -1.0, -2.0, None, 5.0],
        "candid": [2695378462115010012, None, 7, 8, 9, 10],
        "split": ["train", "test", "train", "", None, "val"],
    }
    report = ReadReport()
    a, b, c = read_histories(write_table(tmp_path / name, COLUMNS | more), report=report)
    assert (a.object_id, a.label, a.split, a.ra, a.dec) == ("a", 7, "test", 1.0, 0.5)
    assert (b.object_id, b.label, b.split, b.ra, b.dec) == ("b", 3, "train", 2.0, -1.0)
    assert (c.label, c.split, c.cutouts) == (-1, "val", None)
    assert list(b.mjd) == [59001, 59002] and list(b.band) == [2, 0] and list(a.candid) == [-1, 9]
    assert name == "t.csv" or list(b.candid) == [7, 2695378462115010012]
    assert report.counts["rows"] == 6 and report.counts["detections"] == 5 and report.counts["negative"] == 1
    assert report.counts["unknown_type"] == 1
    (_, b, _) = read_histories(tmp_path / name, negative=True)
    assert list(b.band) == [0, 2, 0] and np.isnan(b.metadata).all()


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_bad_rows_are_skipped_by_number(name, tmp_path):
    columns = {key: list(values) for key, values in COLUMNS.items()}
    columns["mag"][0] = None
    columns["magerr"][1] = -0.1
    columns["band"][2] = "z"
    columns["mjd"][3] = float("inf")
    report = ReadReport()
    histories = read_histories(write_table(tmp_path / name, columns), report=report)
    assert [h.object_id for h in histories] == ["a", "c"]
    named = [(i["item"], i["field"]) for i in report.items]
    assert named == [("row 0", "mag"), ("row 1", "magerr"), ("row 2", "band"), ("row 3", "mjd")]
    assert all(i["file"] == str(tmp_path / name) for i in report.items)


def test_text_among_the_numbers_of_a_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("object_id,mjd,band,mag,magerr\n007,59000,g,19.5,0.1\n007,59001,g,faint,0.1\n")
    report = ReadReport()
    (history,) = read_histories(path, report=report)
    assert history.object_id == "007" and len(history) == 1
    assert report.items[0]["item"] == "row 1" and report.items[0]["field"] == "mag"


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column(name, column, tmp_path):
    path = write_table(tmp_path / name, {k: v for k, v in COLUMNS.items() if k != column})
    with pytest.raises(NothingReadable, match=f"{name} {column}: column missing"):
        read_histories(path)


def test_an_object_with_nothing_left_is_counted(tmp_path):
    path = write_table(tmp_path / "t.parquet", COLUMNS | {"isdiffpos": ["t"] * 5 + ["f"]})
    report = ReadReport()
    assert len(read_histories(path, report=report)) == 2
    assert report.counts["objects"] == 2 and report.counts["empty"] == 1


def test_a_damaged_table(tmp_path):
    write_table(tmp_path / "a.parquet", COLUMNS)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    report = ReadReport()
    assert len(read_histories(tmp_path, LightCurveTable(), report)) == 3
    assert report.items[0]["file"] == str(tmp_path / "b.parquet")


# What is at the path


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        auto_reader(tmp_path / "nowhere")
    with pytest.raises(NothingReadable, match="empty"):
        auto_reader(tmp_path)
    for reader in (ZtfAvro(), FinkParquet(), AppleCider(), PhotometryEvents(), LightCurveTable()):
        with pytest.raises(NothingReadable, match="empty"):
            read_histories(tmp_path, reader)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NothingReadable, match="applecider, fink_parquet, light_curve_table"):
        read_histories(tmp_path)
    assert existing(str(tmp_path)) == tmp_path


def test_nothing_readable_says_why(tmp_path):
    (tmp_path / "a.avro").write_bytes(b"Obj")
    with pytest.raises(NothingReadable, match=r"a\.avro: not an Avro object container"):
        read_histories(tmp_path)
    packet = packets(n=1, cutouts=False)[0]
    packet["candidate"]["isdiffpos"] = "f"
    write_avro(tmp_path / "negative", [packet])
    with pytest.raises(NothingReadable, match="negative=true"):
        read_histories(tmp_path / "negative")


def test_two_formats_in_one_folder(alerts, tmp_path):
    write_avro(tmp_path, alerts)
    write_parquet(tmp_path / "part.parquet", alerts)
    with pytest.raises(ValueError, match="fink_parquet and ztf_avro"):
        auto_reader(tmp_path)
    assert len(read_histories(tmp_path, ZtfAvro())) == 2
    with pytest.raises(TypeError, match="negative"):
        read_histories(tmp_path, ZtfAvro(), negative=True)


def test_an_edge_stamp_is_kept(tmp_path):
    packet = packets(n=1, size=48)[0]
    write_avro(tmp_path, [packet])
    (history,) = read_histories(tmp_path)
    assert history.cutouts[0][0] == packet["cutoutScience"]["stampData"]
    packet["cutoutScience"]["stampData"] = stamp(np.zeros((80, 80), np.float32))
    write_avro(tmp_path, [packet])
    with pytest.raises(NothingReadable, match="cutoutScience"):
        read_histories(tmp_path)
