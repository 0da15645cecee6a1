"""One bad file, packet or row beside good ones: it is skipped by name, and all others are read."""

import gzip
import io
import json
import math
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtf.alerts.limits import MEMORY, NAME, memory_limit
from rtf.alerts.read import auto_reader, read_histories
from rtf.alerts.readers.applecider import load_alerts
from rtf.alerts.readers.ztf_avro import ZtfAvro, records
from rtf.alerts.report import NAMED, REASONS, NothingReadable, ReadReport, printable
from rtf.alerts.tables import read_labels
from rtf.alerts.ztf import CUTOUT_FIELDS, positive
from rtf.store import parts
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.packets import _schema, avro, packets, write_applecider, write_avro, write_parquet


def rows(*objects: str, n: int = 6) -> list[dict]:
    return [
        {"object_id": o, "mjd": 59000.0 + 2 * k, "band": "gr"[k % 2], "mag": 18.0 + k / 10, "magerr": 0.05}
        for o in objects
        for k in range(n)
    ]


def table(path, *objects: str, n: int = 6, **columns):
    """A good light-curve table; `columns` replace its own, None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = pa.Table.from_pylist(rows(*objects, n=n)).to_pydict() | columns
    values = pa.table({name: column for name, column in values.items() if column is not None})
    if path.suffix == ".csv":
        text = [",".join(values.column_names)]
        text += [",".join("" if x is None else str(x) for x in row.values()) for row in values.to_pylist()]
        path.write_text("\n".join(text) + "\n")
    else:
        pq.write_table(values, path)
    return path


def both_ways(path, tmp_path, **settings):
    """What `read_histories` and `preprocess` read, the same names, and the report of the latter."""
    report = ReadReport()
    names = [h.object_id for h in read_histories(path, report=report, **settings)]
    out = tmp_path / "both.zarr"
    other = preprocess(auto_reader(path, **settings), path, out, workers=0, overwrite=True, progress=False)
    assert sorted(open_store(out).object_id.tolist()) == names
    assert other.skipped == report.skipped and other.items == report.items
    return names, report


def the_item(report: ReadReport) -> dict:
    (item,) = report.items
    return item


# Tables


DATES = {
    "timestamps": pa.array([10**15] * 6, pa.timestamp("us")),
    "days": pa.array([20000] * 6, pa.date32()),
    "text": ["2020-01-01T00:00:00"] * 6,
}


@pytest.mark.parametrize("kind", DATES)
@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_dates_in_place_of_numbers(kind, name, tmp_path):
    table(tmp_path / "in/a.csv", "A")
    table(tmp_path / "in" / name, "B", mjd=DATES[kind])
    names, report = both_ways(tmp_path / "in", tmp_path)
    item = the_item(report)
    assert names == ["A"] and item["file"].endswith(name)
    assert (item["field"], item["reason"]) == ("mjd", "dates, not numbers")


@pytest.mark.parametrize("mjd", [2459000.5, 2020.5, 1.6e9, -1.0, 0.0, 1e300])
@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_times_that_are_no_modified_julian_dates(mjd, name, tmp_path):
    table(tmp_path / "in/a.csv", "A")
    table(tmp_path / "in" / name, "B", mjd=[mjd] * 6)
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["A"] and len(report.items) == 6
    assert "no Modified Julian Date" in report.items[0]["reason"] and report.items[0]["field"] == "mjd"


def test_a_julian_date_too_many_in_a_packet(tmp_path):
    one, other = packets(n=1)[0], packets("ZTF20other", n=1)[0]
    one["candidate"]["jd"] -= 2400000.5
    write_avro(tmp_path / "in", [one, other | {"candid": 7}])
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["ZTF20other"] and the_item(report)["field"] == "jd"


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_a_column_that_is_there_twice(name, tmp_path):
    table(tmp_path / "in/a.csv", "A")
    good = pa.Table.from_pylist(rows("B")).append_column("mag", pa.array([19.0] * 6))
    if name == "b.csv":
        pa.csv.write_csv(good, tmp_path / "in" / name)
    else:
        pq.write_table(good, tmp_path / "in" / name)
    names, report = both_ways(tmp_path / "in", tmp_path)
    item = the_item(report)
    assert names == ["A"] and (item["field"], item["reason"]) == ("mag", "column is there twice")


def test_a_cut_csv_and_a_row_with_too_many_fields(tmp_path):
    path = table(tmp_path / "x.csv", *(f"S{k:03d}" for k in range(100)))
    lines = path.read_text()[:-12].split("\n")
    lines[3] += ",extra"
    path.write_text("\n".join(lines))
    names, report = both_ways(path, tmp_path)
    assert len(names) == 100 and report.counts["detections"] == 598
    assert [(i["item"], i["reason"]) for i in report.items] == [
        ("line 4", "6 fields instead of 5"),
        ("line 601", "3 fields instead of 5"),
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.csv.gz", "x.tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_as_portals_write_it(mark, name, encoding, tmp_path):
    text = table(tmp_path / "plain.csv", "A", "B").read_text().replace(",", mark)
    lines = text.splitlines()
    lines.insert(3, "# a comment, in the middle; of it")
    content = "\r\n".join(["# from a portal", "", "# more", *lines, ""]).encode(encoding)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["A", "B"] and report.counts["detections"] == 12 and not report.skipped


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_a_table_without_rows_is_said_to_be_one(name, tmp_path):
    table(tmp_path / "in/a.csv", "A")
    empty = pa.Table.from_pylist(rows("B")).slice(0, 0)
    if name == "b.csv":
        (tmp_path / "in" / name).write_text(",".join(empty.column_names) + "\n")
    else:
        pq.write_table(empty, tmp_path / "in" / name)
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["A"] and the_item(report)["reason"] == "no rows"


def test_other_column_names_are_told(tmp_path):
    text = table(tmp_path / "x.csv", "A").read_text()
    for old, new in (("object_id", "oid"), ("magerr", "sigmapsf"), ("mag,", "magpsf,"), ("band", "fid")):
        text = text.replace(old, new)
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(
        NothingReadable, match=r"oid, mjd, fid, magpsf, sigmapsf; a .* needs object_id, mjd, "
    ):
        read_histories(tmp_path / "x.csv")


SIGNS = {
    "numbers": [1.0, -1.0, 1.0, 1.0, -1.0, 1.0],
    "integers": [1, -1, 1, 1, 0, 1],
    "text": ["1", "-1", "t", "true", "f", "T"],
    "booleans": [True, False, True, True, False, True],
    "bytes": [b"1", b"-1", b"t", b"1.0", b"f", b"1"],
}


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_signs_of_any_type(kind, name, tmp_path):
    if (kind, name) == ("bytes", "x.csv"):
        pytest.skip("a CSV file has no bytes")
    path = table(tmp_path / name, "A", isdiffpos=SIGNS[kind])
    report = ReadReport()
    read_histories(path, report=report)
    assert report.counts["detections"] == 4 and report.counts["negative"] == 2 and not report.skipped
    assert len(read_histories(path, negative=True)[0]) == 6


def test_signs_that_mean_nothing():
    for value in (None, 2, -2, 0.5, float("nan"), "yes?", "", [], {}, b"\xff", np.float64(7)):
        assert positive(value) is None


def nested(kind: str) -> pa.Table:
    """Two objects, one a row, as nested-pandas, LSDB and HATS write them."""
    lists = {name: [[r[name] for r in rows(o)] for o in "AB"] for name in ("mjd", "band", "mag", "magerr")}
    if kind == "lists":
        return pa.table({"object_id": ["A", "B"], **lists})
    records = [[dict(zip(lists, entry)) for entry in zip(*(lists[n][k] for n in lists))] for k in range(2)]
    if kind == "records":
        return pa.table({"object_id": [1, 2], "lc": records, "type": ["SN Ia", "foo"]})
    return pa.table({"object_id": ["A", "B"], "lc": [{n: lists[n][k] for n in lists} for k in range(2)]})


@pytest.mark.parametrize("kind", ["lists", "records", "record of lists"])
def test_one_object_a_row(kind, tmp_path):
    pq.write_table(nested(kind), tmp_path / "x.parquet")
    a, b = read_histories(tmp_path / "x.parquet")
    (expected,) = read_histories(table(tmp_path / "y.parquet", "A"))
    assert [a.object_id, b.object_id] == (["1", "2"] if kind == "records" else ["A", "B"])
    for name in ("mjd", "band", "mag", "magerr"):
        np.testing.assert_array_equal(getattr(a, name), getattr(expected, name))
    assert kind != "records" or (a.label, b.label) == (0, -1)


def test_lists_of_different_lengths_are_a_bad_row(tmp_path):
    columns = nested("lists").to_pydict()
    columns["mag"][1] = columns["mag"][1][:-1]
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    names, report = both_ways(tmp_path / "x.parquet", tmp_path)
    assert names == ["A"] and the_item(report)["item"] == "row 1"


def test_the_first_file_of_a_folder_decides_nothing(tmp_path):
    night = packets("ZTF20a", 2) + packets("ZTF20b", 1, seed=1)
    for first in ("a", "z"):
        folder = tmp_path / first
        write_avro(folder / "avro", night)
        (folder / "fink").mkdir()
        write_parquet(folder / "fink" / "m.parquet", night)
        pq.write_table(pa.table({"ssnamenr": ["a"], "n": [1]}), folder / "fink" / f"{first}.parquet")
        (folder / "fink" / f"{first}{first}.parquet").write_bytes(b"PAR1 cut short")
        with pytest.raises(ValueError, match="fink_parquet and ztf_avro"):
            auto_reader(folder)
        names, report = both_ways(folder / "fink", tmp_path)
        assert names == ["ZTF20a", "ZTF20b"]
        assert {os.path.basename(i["file"]) for i in report.items} == {
            f"{first}.parquet",
            f"{first}{first}.parquet",
        }


def test_linked_folders_and_loops(tmp_path):
    for k in range(3):
        table(tmp_path / f"archive/n{k}/x.csv", f"S{k}")
    (tmp_path / "in/n0").mkdir(parents=True)
    table(tmp_path / "in/n0/x.csv", "S0")
    for k in (1, 2):
        (tmp_path / f"in/n{k}").symlink_to(tmp_path / f"archive/n{k}")
    (tmp_path / "in/n0/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/twice").symlink_to(tmp_path / "archive/n2")
    (tmp_path / "in/broken.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in/pipe.csv")
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["S0", "S1", "S2"] and report.counts["rows"] == 18 and not report.skipped


NAMES = {
    "integers": (
        pa.array([10**18 + 1, 10**18 + 2], pa.int64()),
        ["1000000000000000001", "1000000000000000002"],
    ),
    "unsigned": (pa.array([2**64 - 1, 7], pa.uint64()), ["18446744073709551615", "7"]),
    "doubles": (pa.array([170000001.0, 5.0]), ["170000001", "5"]),
    "bytes": (pa.array([b"one", b"two"]), ["one", "two"]),
    "dictionary": (pa.array(["one", "two"]).dictionary_encode(), ["one", "two"]),
    "large doubles": (pa.array([1.7e17, 1.7e17 + 64]), "doubles cannot hold these ids exactly"),
    "doubles as text": (pa.array(["170000001.0", "5.0"]), ["170000001", "5"]),
    "large doubles as text": (
        pa.array(["1.7e+17", "1.70000001e+17"]),
        "doubles cannot hold these ids exactly",
    ),
    "fractions": (pa.array([1.5, 2.5]), "doubles cannot hold these ids exactly"),
    "booleans": (pa.array([True, False]), "bool instead of text"),
    "lists": (pa.array([["one"], ["two"]]), ["one", "two"]),
    "records": (pa.array([{"x": 1}, {"x": 2}]), "column missing"),
    "no UTF-8": (pa.array([b"\xff\xfe", b"\xff"]), "cannot be printed"),
    "control characters": (pa.array(["A\x00", "B\x1b[31m"]), "cannot be printed"),
    "long": (pa.array(["x" * (NAME + 1), "y" * 10**6]), "longer than 256 characters"),
    "empty": (pa.array(["", None]), "missing"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_any_type(kind, tmp_path):
    column, expected = NAMES[kind]
    table(tmp_path / "in/a.parquet", "good")
    table(tmp_path / "in/b.parquet", "x", n=2, object_id=column)
    names, report = both_ways(tmp_path / "in", tmp_path)
    if isinstance(expected, list):
        assert names == sorted([*expected, "good"]) and not report.skipped
    else:
        assert names == ["good"] and report.items
        assert all(i["file"].endswith("b.parquet") and len(i["reason"]) <= 300 for i in report.items)
        assert expected in report.items[0]["reason"]


BAD_NAMES = ["x" * 300, "A\x00", "\ud800", b"\xff", 1.7e17, True, [], {}, None, float("nan"), 10**5000]


@pytest.mark.parametrize("value", BAD_NAMES, ids=lambda value: type(value).__name__)
def test_names_of_packets(value, tmp_path):
    night = packets("ZTF20good", 1) + [packets("ZTF20bad", 1, seed=1)[0] | {"objectId": value}]
    alerts = np.empty(2, object)
    alerts[:] = night
    from rtf.alerts.ztf import packet_history

    report = ReadReport()
    histories = [packet_history(p, report, "file") for p in night]
    assert histories[0].object_id == "ZTF20good" and histories[1] is None
    assert the_item(report)["field"] == "objectId"


@pytest.mark.parametrize(("value", "name"), [(12, "12"), (np.int64(7), "7"), (b"abc", "abc"), (5.0, "5")])
def test_names_that_are_numbers_or_bytes(value, name):
    from rtf.alerts.ztf import packet_history

    assert packet_history(packets(n=1)[0] | {"objectId": value}, ReadReport(), "").object_id == name


@pytest.mark.parametrize("magerr", [1e39, 1e20, 101.0, math.inf, -1e-3])
def test_errors_that_are_none(magerr, tmp_path):
    table(tmp_path / "in/a.parquet", "A")
    table(tmp_path / "in/b.parquet", "B", magerr=[magerr] * 6)
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["A"] and report.items[0]["field"] == "magerr"


def test_metadata_beyond_any_measurement_are_missing_and_counted(tmp_path):
    packet = packets(n=1)[0]
    packet["candidate"] |= {"sky": 1e38, "scorr": -1e38, "rb": math.inf, "fwhm": 2.0}
    write_avro(tmp_path / "in", [packet])
    report = ReadReport()
    (history,) = read_histories(tmp_path / "in", report=report)
    finite = history.metadata[np.isfinite(history.metadata)]
    assert (np.abs(finite) < 1e13).all() and 2.0 in finite
    assert {k: v for k, v in report.counts.items() if k.startswith("wild")} == {
        "wild sky": 1, "wild scorr": 1, "wild rb": 1,
    }  # fmt: skip


def test_types_that_are_no_class_are_named(tmp_path):
    kinds = ["SNIa", "Ia?", "Ia?", "foo", "Ia?", "foo"]
    names = [f"S{k}" for k in range(6)]
    path = table(tmp_path / "x.csv", *names, type=[kind for kind in kinds for _ in range(6)])
    report = ReadReport()
    assert [h.label for h in read_histories(path, report=report)] == [0, -1, -1, -1, -1, -1]
    assert report.unknown_types == {"Ia?": 3, "foo": 2}
    assert "5 sources have a type that is no class: Ia? (3), foo (2)" in report.summary()
    again = ReadReport.from_dict(json.loads(json.dumps(report.as_dict())))
    assert again == report

    labels = tmp_path / "types.csv"
    labels.write_text("object_id,type\n" + "".join(f"{n},{k}\n" for n, k in zip(names, kinds)) + "T,\n")
    unknown: dict[str, str] = {}
    assert read_labels(labels, unknown)["S0"] == 0
    assert unknown == dict(zip(names[1:], kinds[1:]))


def test_a_million_bad_rows_fit_in_a_report(tmp_path):
    report = ReadReport()
    for k in range(NAMED + 5):
        report.skip(f"file{k}" * 200, f"reason {k}\x1b[31m")
    report.skip_rows("table", [("", ""), ("mag", "bad")], np.ones(10**6, int), str)
    assert len(report.items) == NAMED and len(report.skipped) <= REASONS + 1
    assert sum(report.skipped.values()) == 10**6 + NAMED + 5
    assert all(len(i["file"]) <= 300 and i["reason"].isprintable() for i in report.items)
    other = ReadReport()
    other.add(report)
    other.add(report)
    assert len(other.items) == NAMED and sum(other.skipped.values()) == 2 * (10**6 + NAMED + 5)
    assert printable([[1]] * 3) == "(list)" and printable(10**5000) == "(int)"


def test_a_file_that_cannot_be_read(tmp_path):
    paths = write_avro(tmp_path / "in", packets("ZTF20a", 1) + packets("ZTF20b", 1, seed=1))
    paths[0].unlink()
    paths[0].symlink_to("/proc/self/mem")  # reading it is an error for every user, root too
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["ZTF20b"] and the_item(report)["file"] == str(paths[0])


# Avro and archives


def container(schema: dict | bytes, data: bytes, count: int, codec: bytes = b"null") -> bytes:
    """An Avro file of one block with any schema and data."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    meta = io.BytesIO()
    fastavro.schemaless_writer(
        meta, {"type": "map", "values": "bytes"}, {"avro.schema": text, "avro.codec": codec}
    )
    return b"Obj\x01" + meta.getvalue() + b"S" * 16 + long(count) + long(len(data)) + data + b"S" * 16


def long(n: int) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, "long", n)
    return stream.getvalue()


def record(name="r", **fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


RECURSIVE = record("L", next=["null", "L"])
WIDE = record("r0", **{f"f{k}": "null" for k in range(8)})
for level in range(1, 12):
    WIDE = record(f"r{level}", first=WIDE, **{f"f{k}": f"r{level - 1}" for k in range(8)})

BOMBS = {
    "a recursive schema": (container(RECURSIVE, long(1) * 100000 + long(0), 1), "recursive"),
    "endless empty records": (container(record(), b"", 2**40), "no alerts"),
    "an array of nothing": (
        container(record(x={"type": "array", "items": "null"}), long(2**40), 1), "nothing"
    ),
    "a record of many records of nothing": (container(WIDE, b"", 1), "no alerts"),
    "many large records": (
        container(record(x={"type": "array", "items": ["null", WIDE]}), long(1), 1), "larger than"
    ),
    "a deep schema": (
container(b'{"type": "array", "items":' * 500 + b'"int"' + b"}" * 500, b"", 1), "schema",
    ),
    "a block of zeros": (
        container(record(x="bytes"), gzip.zlib.compress(bytes(1 << 28))[2:-4], 1, b"deflate"), "larger than"
    ),
    "a huge count": (container(record(x="int"), b"", 2**40), "alerts lost"),
    "a huge block": (container(record(x="int"), b"", 1)[:-17] + long(2**50), "larger than"),
    "text as a schema": (container(b"[" * 100000, b"", 1), "schema"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_avro_file_that_asks_for_too_much(bomb, tmp_path):
    content, reason = BOMBS[bomb]
    write_avro(tmp_path / "in", packets("ZTF20good", 1))
    (tmp_path / "in/a.avro").write_bytes(content)
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["ZTF20good"]
    assert the_item(report)["file"].endswith("a.avro") and reason in the_item(report)["reason"]


def test_a_schema_with_a_wrong_default():
    packet, schema, data = packets(n=2)[1], _schema(), io.BytesIO()
    fastavro.schemaless_writer(data, _schema(), packet)
    schema["fields"][2]["default"] = None
    with pytest.raises(fastavro.schema.SchemaParseException):
        fastavro.parse_schema(json.loads(json.dumps(schema)))
    (read,) = records(container(schema, data.getvalue(), 1))
    assert read["candid"] == packet["candid"] and len(read["prv_candidates"]) == 2


def test_a_tar_without_its_end_mark(tmp_path):
    path = tmp_path / "x.tar"
    night = packets("ZTF20a", 2)
    with tarfile.open(path, "w") as archive:
        for packet in night:
            info = tarfile.TarInfo(f"{packet['candid']}.avro")
            content = avro([packet])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        end = archive.offset
    path.write_bytes(path.read_bytes()[:end])
    names, report = both_ways(path, tmp_path)
    assert names == ["ZTF20a"] and report.counts["packets"] == 2
    assert "lacks only its end mark" in the_item(report)["reason"] and "is lost" not in report.summary()


def header(name: bytes, size: int, kind: bytes) -> bytes:
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[: len(name)] = name
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"0", b"S"])
@pytest.mark.parametrize("size", [1 << 33, -(1 << 20)])
def test_a_tar_member_of_any_size(kind, size, tmp_path):
    path = tmp_path / "in/x.tar.gz"
    path.parent.mkdir()
    first = avro(packets("ZTF20a", 1))
    info = tarfile.TarInfo("first.avro")
    info.size = len(first)
    content = info.tobuf() + first + bytes(-len(first) % 512) + header(b"second.avro", size, kind)
    path.write_bytes(gzip.compress(content + bytes(1 << 20)))
    names, report = both_ways(path.parent, tmp_path)
    assert names == ["ZTF20a"] and report.items[0]["file"].startswith(str(path))


# NPZ and pickles


def npz(path, data, label=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, data=data, label=label)
    return path


EVENTS = np.stack([np.arange(6.0), np.ones(6), np.arange(6) % 2, np.full(6, -7.6), np.full(6, 0.02)], 1)


def _encrypted(path):
    content = bytearray(npz(path, EVENTS).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def _npz_of(path, member: bytes, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("data.npy", member)


def _shape(shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


NPZ = {
    "encrypted": _encrypted,
    "a giant shape": lambda path: _npz_of(path, _shape("(10000000000, 5)")),
    "a negative shape": lambda path: _npz_of(path, _shape("(-1, -5)", bytes(40))),
    "zeros": lambda path: _npz_of(path, _shape("(3355443, 5)", bytes(1 << 27))),
    "lzma": lambda path: _npz_of(path, _shape("(1, 5)", bytes(40)), zipfile.ZIP_LZMA),
    "nested header": lambda path: _npz_of(path, _shape("(" * 5000 + ")" * 5000)),
    "records": lambda path: npz(path, np.zeros(3, [("a", "f8"), ("b", "f8")])),
    "text": lambda path: npz(path, np.array([["a"] * 5])),
}


@pytest.mark.parametrize("kind", NPZ)
def test_a_bad_npz_file(kind, tmp_path):
    npz(tmp_path / "in/train/good.npz", EVENTS)
    NPZ[kind](tmp_path / "in/train/a.npz")
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["good"] and the_item(report)["file"].endswith("a.npz")


def pickled(path, body: bytes, shape: str = "(1,)"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)


ND = b"cnumpy.core.multiarray\n_reconstruct\n"
ARRAY = ND + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R"
HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01"  # 2^40
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"
PICKLES = {
    "an array with a short state": ARRAY + b"K\x01\x85b.",
    "an array without a state": ARRAY + b"Nb.",
    "an array with a huge shape": ARRAY + b"(K\x01" + HUGE + b"\x85" + DTYPE + b"\x89C\x00tb.",
    "a dtype with a short state": b"cnumpy\ndtype\nX\x02\x00\x00\x00V8\x89\x88\x87R(K\x03tb.",
    "a huge dtype": b"cnumpy\ndtype\nX\x0a\x00\x00\x00V100000000\x89\x88\x87R.",
    "a scalar of objects": b"cnumpy.core.multiarray\nscalar\n"
    + DTYPE.replace(b"\x02\x00\x00\x00f8", b"\x01\x00\x00\x00O")
    + b"C\x08abcdefgh\x86R.",
    "a huge bytearray": b"cbuiltins\nbytearray\n" + HUGE + b"\x85R.",
    "a huge text": b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "a huge memo": b"Nr\xff\xff\xff\x7f.",
    "a billion laughs": b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(120)) + b".",
    "nested tuples": b")" + b"\x85" * 200000 + b".",
    "a tree of tuples as a key": b"}K\x01\x85" + b"q\x00h\x00\x86" * 60 + b"Ns.",
    "many containers": b"(" + b"}" * (3 << 20) + b"l.",
    "an object of its own": b"cbuiltins\nset\n)\x81.",
    "a name written over": b"c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
    "no stop": b"]",
}  # fmt: skip


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_means_harm(kind, wrapped, tmp_path):
    write_applecider(tmp_path / "in", packets("ZTF20good", 2, cutouts=False))
    body = PICKLES[kind]
    # inside an array of one alert, so that it is what an alerts.npy has to be
    inside = (
        ARRAY + b"(K\x01K\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R\x89]" + body[:-1] + b"atb."
    )
    pickled(tmp_path / "in/ZTF20bad/alerts.npy", b"\x80\x04" + (inside if wrapped else body))
    names, report = both_ways(tmp_path / "in", tmp_path)
    assert names == ["ZTF20good"] and report.counts["detections"] >= 2
    assert the_item(report)["file"].endswith("ZTF20bad/alerts.npy")


def test_every_protocol_is_still_read(tmp_path):
    alerts = np.empty(2, object)
    alerts[:] = [
        {
            "x": np.float32(1.5),
            "y": np.arange(6).reshape(2, 3),
            "z": "é" * 300,
            "big": 2**200,
            "t": (None, 1),
        },
        {
            "s": {1, "a"},
            "f": frozenset((2,)),
            "b": bytearray(b"ab"),
            "u": np.str_("text"),
            "e": set(),
            "n": -1,
        },
    ]
    for protocol in (2, 3, 4, 5):
        pickled(tmp_path / "alerts.npy", pickle.dumps(alerts, protocol), "(2,)")
        again = load_alerts(tmp_path / "alerts.npy")
        np.testing.assert_array_equal(again[0].pop("y"), alerts[0]["y"])
        assert again[0] == {k: v for k, v in alerts[0].items() if k != "y"} and again[1] == alerts[1]


# Processes and memory


def test_the_memory_limit_is_an_error_and_leaves_no_trace():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), memory_limit():
        bytearray(2 * MEMORY)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


class Killer(ZtfAvro):
    """Ends its process at a file whose name says so."""

    def read(self, unit, report):
        for path in unit.items:
            if "killer" in path.name:
                os.kill(os.getpid(), 11)
        yield from super().read(unit, report)


def test_a_file_that_ends_its_worker_is_found_and_skipped(tmp_path):
    night = [p for k in range(3) for p in packets(f"ZTF20{k}", 1, seed=k, cutouts=False)]
    write_avro(tmp_path / "in", night)
    (tmp_path / "in/killer.avro").write_bytes(avro(night[:1]))
    report = preprocess(Killer(), tmp_path / "in", tmp_path / "s", workers=1, progress=False)
    assert open_store(tmp_path / "s").n == 3
    assert the_item(report)["file"].endswith("killer.avro")


def test_a_worker_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(parts, "SILENCE", 1)

    def silent():
        time.sleep(30)
        yield None

    worker = multiprocessing.get_context("fork").Process(target=lambda: list(parts._timed(silent())))
    worker.start()
    worker.join(20)
    assert worker.exitcode == -signal.SIGALRM


CHILD = """
import sys
from rtf.alerts.read import read_histories
from rtf.alerts.report import ReadReport
report = ReadReport()
names = [h.object_id for h in read_histories(sys.argv[1], report=report)]
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(names), int(peak) >> 10, *(i["file"] for i in report.items[:3]))
"""


def peak(path) -> tuple[int, int, list[str]]:
    """Sources read in a process of its own, its peak memory [MiB], and the bad files."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    n, memory, *named = run.stdout.split()
    return int(n), int(memory), named


def _long_values(path):
    """Half a megabyte of text, which a dictionary and run lengths repeat in every row."""
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), ["x" * (1 << 19)])
    columns = {"object_id": names, "mjd": np.full(100_000, 59000.0), "band": ["g"] * 100_000}
    pq.write_table(pa.table(columns | {"mag": np.full(100_000, 19.0), "magerr": np.full(100_000, 0.1)}), path)


def _long_lists(path):
    values = pa.array([np.zeros(40_000_000)])
    text = pa.array([["g"]])
    pq.write_table(
        pa.table({"object_id": ["A"], "mjd": values, "band": text, "mag": values, "magerr": values}), path
    )


def _many_rows(path):
    n = 20_000_000
    columns = {"object_id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), ["A"])}
    columns |= {"mjd": np.full(n, 59000.0), "mag": np.full(n, 19.0), "magerr": np.full(n, 0.1)}
    columns["band"] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), ["g"])
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=n)


def _large_stamps(path):
    """Eight megabytes, three times in each of a thousand alerts."""
    columns = pa.Table.from_pylist(packets("bad", 1, cutouts=False)).select(["objectId", "candidate"])
    columns = columns.take(pa.array(np.zeros(1000, int)))
    for name in CUTOUT_FIELDS:
        stamps = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), [bytes(8 << 20)])
        columns = columns.append_column(name, pa.StructArray.from_arrays([stamps], ["stampData"]))
    pq.write_table(columns, path)


def test_a_small_parquet_file_of_large_stamps(tmp_path):
    write_parquet(tmp_path / "good.parquet", packets("good", 1))
    _large_stamps(tmp_path / "a.parquet")
    n, memory, named = peak(tmp_path)
    assert n == 1 and memory < 1600 and set(named) == {str(tmp_path / "a.parquet")}


@pytest.mark.parametrize("make", [_long_values, _long_lists, _many_rows])
def test_a_small_parquet_file_of_many_values(make, tmp_path):
    table(tmp_path / "good.parquet", "good")
    make(tmp_path / "a.parquet")
    n, memory, named = peak(tmp_path)
    assert n == 1 and memory < 1600 and named == [str(tmp_path / "a.parquet")]


def test_a_small_gzip_of_a_large_table(tmp_path):
    table(tmp_path / "good.csv", "good")
    row = b"A,59000,g,19,0.1\n"
    with gzip.open(tmp_path / "a.csv.gz", "wb", 9) as file:
        file.write(b"object_id,mjd,band,mag,magerr\n")
        for _ in range(60):
            file.write(row * 500_000)
    for name, filler in (("b.csv.gz", b"x"), ("c.csv.gz", b"\n")):
        content = b"object_id,mjd,band,mag,magerr\n" + filler * (1 << 28)
        (tmp_path / name).write_bytes(gzip.compress(content, 1))
    n, memory, named = peak(tmp_path)
    assert n == 2 and memory < 1600
    assert sorted(named) == [str(tmp_path / x) for x in ("a.csv.gz", "b.csv.gz", "c.csv.gz")]
