"""A night of alerts: as `model.encode` gives it, in any order of files, whatever becomes of the process."""

import json
import os
import random
import shutil
import signal
import sys
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import rtf
from rtf.alerts.history import concatenate
from rtf.alerts.known import alert_histories
from rtf.alerts.read import auto_reader
from rtf.alerts.report import ReadReport
from rtf.encoding import night
from rtf.encoding.load import PROBE
from rtf.encoding.night import encode_night
from rtf.encoding.space import OtherSpace
from rtf.models.probe import LinearProbe
from rtf.store.build import preprocess
from tests.entry.test_shards import untrained_run
from tests.packets import packets, write_avro

ROOT = Path(rtf.__file__).parents[1]
QUIET = {"workers": 0, "progress": False}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Packets of twelve objects in files of their own, two of them corrupt; a store of them; two models."""
    folder = tmp_path_factory.mktemp("night")
    some = [p for k in range(12) for p in packets(f"ZTF20aaaa{k:03d}", n=3 + k % 4, seed=k, size=20)]
    paths = write_avro(folder / "avro", some)
    os.truncate(paths[5], paths[5].stat().st_size // 2)
    os.truncate(paths[20], 10)
    preprocess(auto_reader(folder / "avro"), folder / "avro", folder / "avro.zarr", **QUIET)
    untrained_run(folder / "avro.zarr", folder / "run", "cls_weight=0.1", "modalities=photometry_limits")
    untrained_run(folder / "avro.zarr", folder / "all", "modalities=all")
    return folder


def encoded(work: Path, source: str, out: Path, run: str = "run", **settings) -> pa.Table:
    path = work / source
    reader = None if path.suffix == ".zarr" else partial(auto_reader, path)
    report, missing = encode_night(work / run, path, out, reader, **QUIET | settings)
    assert not missing and json.loads(Path(f"{out}.report.json").read_text())["counts"] == report.counts
    assert not Path(f"{out}.parts").exists()
    return pq.read_table(out)


def latent(table: pa.Table) -> np.ndarray:
    return np.stack(table["fingerprint"].to_numpy())


@pytest.mark.parametrize("run", ["run", "all"])
@pytest.mark.parametrize("size", [1, 1 << 14, 1 << 25])
def test_it_is_what_the_library_gives_of_all_in_memory(work, run, size, tmp_path, monkeypatch):
    monkeypatch.setattr(night, "LOT_BYTES", size)
    model, report = rtf.load(work / run), ReadReport()
    histories = rtf.read_histories(work / "avro", report=report)
    for source in ("avro", "avro.zarr"):
        table = encoded(work, source, tmp_path / "f.parquet", run)
        rows = np.argsort(table["object_id"].to_pylist())
        assert table["object_id"].take(pa.array(rows)).to_pylist() == [h.object_id for h in histories]
        assert source == "avro.zarr" or (rows == np.arange(len(rows))).all()
        np.testing.assert_allclose(latent(table)[rows], model.encode(histories).latent, atol=1e-5)
    now = encoded(work, "avro", tmp_path / "f.parquet", run) and json.loads(
        (tmp_path / "f.parquet.report.json").read_text()
    )
    assert now["counts"] == report.counts and now["skipped"] == report.skipped
    assert sum(report.skipped.values()) == 2 and len(now["skipped_items"]) == 2


@pytest.mark.parametrize("run", ["run", "all"])
def test_per_alert_has_a_row_for_each_from_what_it_knew(work, run, tmp_path, monkeypatch):
    monkeypatch.setattr(night, "LOT_BYTES", 1 << 14)
    table = encoded(work, "avro", tmp_path / "f.parquet", run, per="alert")
    reader = auto_reader(work / "avro")
    told = [h for unit in reader.units(work / "avro") for h in reader.read(unit, ReadReport())]
    known = list(alert_histories(told, ReadReport()))
    assert table["candid"].to_pylist() == [int(h.candid[-1]) for h in known]
    assert sorted(table["candid"].to_pylist()) == sorted(int(h.candid[h.own]) for h in told)
    assert table["n_history"].to_pylist() == [len(h) for h in known]
    np.testing.assert_allclose(latent(table), rtf.load(work / run).encode(known).latent, atol=1e-5)
    assert len(concatenate(known)) == len(table) > 30


def test_later_packets_change_no_row_of_an_earlier_alert(work, tmp_path):
    before = encoded(work, "avro", tmp_path / "all.parquet", "all", per="alert")
    keep = set(before["candid"].to_pylist()[::2])
    object_of = dict(zip(before["candid"].to_pylist(), before["object_id"].to_pylist()))
    last = {name: max(c for c in keep if object_of[c] == name) for name in set(object_of.values())}
    (tmp_path / "fewer").mkdir()
    for path in (work / "avro").glob("*.avro"):
        if int(path.stem) <= last[object_of.get(int(path.stem), "ZTF20aaaa000")]:
            shutil.copy(path, tmp_path / "fewer")
    after = encoded(tmp_path, "fewer", tmp_path / "f.parquet", str(work / "all"), per="alert")
    rows = {c: k for k, c in enumerate(before["candid"].to_pylist())}
    same = before.take(pa.array([rows[c] for c in after["candid"].to_pylist()]))
    assert len(after) < len(before)
    np.testing.assert_allclose(latent(after), latent(same), atol=1e-5)
    assert after["n_history"].equals(same["n_history"])


def test_a_store_and_a_table_have_an_alert_for_each_detection(work, tmp_path):
    table = encoded(work, "avro.zarr", tmp_path / "f.parquet", per="alert")
    histories = rtf.read_histories(work / "avro")
    assert len(table) == sum(map(len, histories))
    first = [table["object_id"].to_pylist().index(h.object_id) for h in histories]
    expected = rtf.load(work / "run").encode(histories, first=1).latent
    np.testing.assert_allclose(latent(table)[first], expected, atol=1e-5)


def test_the_order_of_files_does_not_matter(work, tmp_path, monkeypatch):
    monkeypatch.setattr(night, "LOT_BYTES", 1 << 14)
    paths = sorted((work / "avro").glob("*.avro"))
    for name, order in (("one", paths), ("two", random.Random(1).sample(paths, len(paths)))):
        (tmp_path / name).mkdir()
        for k, some in enumerate((order[:10], order[10:])):
            with tarfile.open(tmp_path / name / f"{k}.tar", "w") as archive:
                for path in some:
                    archive.add(path, path.name)
    for per in ("object", "alert"):
        a, b = (
            encoded(tmp_path, x, tmp_path / "f.parquet", str(work / "run"), per=per) for x in ("one", "two")
        )
        assert a.equals(b)


def test_killed_at_any_moment_it_ends_with_the_same_bytes(work, tmp_path, monkeypatch):
    """Before each of some renames and removals, in a fork that has everything imported."""
    monkeypatch.setattr(night, "LOT_BYTES", 1 << 13)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of the others
    straight = encoded(work, "avro", tmp_path / "straight.parquet", per="alert")
    out, reader, kills = tmp_path / "out.parquet", partial(auto_reader, work / "avro"), 0
    for stop in (0, 3, 5, 13, 20, 22, 23, 24, 25):
        child = os.fork()
        if not child:
            seen = iter(range(1000))

            def watch(event, _, seen=seen, stop=stop):
                if event in ("os.rename", "os.remove", "os.rmdir") and next(seen) == stop:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(watch)
            encode_night(work / "run", work / "avro", out, reader, per="alert", **QUIET)
            os._exit(0)
        kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        if stop > 5:  # the later ones begin anew, the first ones go on
            assert encoded(work, "avro", out, per="alert").equals(straight)
            assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
                f"{name}{s}" for name in ("out.parquet", "straight.parquet") for s in ("", ".report.json")
            )
            out.unlink()
    torch.set_num_threads(threads)
    assert kills > 5


def test_a_changed_file_is_read_again_and_nothing_else(work, tmp_path, monkeypatch):
    shutil.copytree(work / "avro", tmp_path / "avro")
    out, calls, lot = tmp_path / "f.parquet", [], night._encode_lot
    monkeypatch.setattr(night, "_encode_lot", lambda *a: calls.append(1) or lot(*a))
    before = encoded(tmp_path, "avro", out, str(work / "run"))
    assert encoded(tmp_path, "avro", out, str(work / "run")).equals(before) and len(calls) == 1
    write_avro(tmp_path / "avro", packets("ZTF20new", n=3, seed=99, size=20))
    assert len(encoded(tmp_path, "avro", out, str(work / "run"))) == len(before) + 1 and len(calls) == 2


def test_a_probe_of_another_space_is_refused_before_anything_is_read(work, tmp_path):
    shutil.copytree(work / "run", tmp_path / "run")
    arrays = [np.zeros(16), np.ones(16), np.zeros((2, 16)), np.zeros(2), np.arange(2)]
    LinearProbe(*arrays, space="another").save(tmp_path / "run" / PROBE)
    with pytest.raises(OtherSpace, match="space another"):
        encode_night(tmp_path / "run", work / "avro", tmp_path / "f", auto_reader, **QUIET)
    assert not (tmp_path / "f.parts").exists()
    with pytest.raises(ValueError, match="per is 'packet'"):
        encode_night(work / "run", work / "avro", tmp_path / "f", None, per="packet")
