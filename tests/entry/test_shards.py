"""Alerts to a store and to fingerprints in shards: the same as in one go, whatever becomes of a shard."""

import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import rtf
from rtf.alerts.read import auto_reader
from rtf.alerts.report import NothingReadable
from rtf.cli.command import resolved
from rtf.encode import encode
from rtf.encoding import night
from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import CONFIG, STATISTICS, build_modalities, build_model, save_weights
from rtf.features.normalisation import save_statistics
from rtf.jobs import Shard
from rtf.simulation.survey import SimulatedSurvey
from rtf.simulation.write import write_survey
from rtf.store import parts
from rtf.store.build import preprocess, preprocess_shard
from rtf.store.read import open_store
from rtf.training.data import load_training_data
from tests.entry.test_commands import ROOT, SMALL, ok
from tests.store.kill_everywhere import tree

N = 10
QUIET = {"workers": 0, "progress": False}


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolved(compose(name, list(overrides)))


def untrained_run(store: Path, run: Path, *overrides: str) -> Path:
    """A run folder with random weights, for what does not depend on how good they are."""
    config = composed("train", f"data.store={store}", f"run={run}", *SMALL.split(), *overrides)
    modalities, data = build_modalities(config), config.data
    view = {"max_detections": data.max_detections, "max_days": data.max_days}
    run.mkdir()
    torch.manual_seed(1)
    OmegaConf.save(config, run / CONFIG)
    save_statistics(run / STATISTICS, load_training_data(store, modalities, **view).statistics)
    save_weights(run, build_model(config, modalities))
    return run


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A simulated survey as a folder of packets and as archives, one of them cut short; a store; a run."""
    folder = tmp_path_factory.mktemp("work")
    survey = SimulatedSurvey(N, seed=3, classes={"SN Ia": 0.5, "SN II": 0.5})
    write_survey(
        survey, folder / "avro", "avro", settings={}, workers=0, split=lambda n, _: ["train"] * len(n)
    )
    (folder / "tar").mkdir()
    packets = sorted((folder / "avro").rglob("*.avro"))
    for k in range(4):  # every object has packets in all of them
        with tarfile.open(folder / f"tar/{k}.tar", "w") as archive:
            for path in packets[k::4]:
                archive.add(path, path.name)
    os.truncate(folder / "tar/1.tar", (folder / "tar/1.tar").stat().st_size * 2 // 3)
    for form in ("avro", "tar"):
        preprocess(auto_reader(folder / form), folder / form, folder / f"{form}.zarr", **QUIET)
    untrained_run(folder / "avro.zarr", folder / "run", "cls_weight=0.1")
    return folder


def encoding(work: Path, source: str, out: Path, shard: Shard | None = None, *more: str):
    shards = [] if shard is None else [f"shards={shard.of}", f"shard={shard.index}"]
    line = [f"run={work}/run", f"input={work / source}", f"out={out}", "progress=false", "workers=0"]
    return composed("encode", *line, *shards, *more)


def assert_same_table(a: Path, b: Path, exact: bool) -> None:
    a, b = pq.read_table(a), pq.read_table(b)
    assert a.schema.equals(b.schema, check_metadata=True)
    for name in a.column_names:
        x, y = a[name].combine_chunks(), b[name].combine_chunks()
        if exact or name in ("object_id", "candid", "mjd", "n_detections", "n_history", "space"):
            assert x.equals(y), name
        else:
            x, y = (np.stack(v.to_numpy(zero_copy_only=False)) for v in (x, y))
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5, err_msg=name)


def report_of(out: Path) -> dict:
    report = json.loads(Path(f"{out}.report.json").read_text())
    report.pop("made_from", None)
    return report


@pytest.mark.parametrize("form", ["avro", "tar"])
def test_preprocess_gives_the_same_bytes(work, form, tmp_path):
    reader = auto_reader(work / form)
    assert len(reader.units(work / form)) >= 3
    for k in (1, 0, 2):
        report, missing = preprocess_shard(reader, work / form, tmp_path / "s", Shard(k, 3), **QUIET)
    assert not missing and tree(tmp_path / "s") == tree(work / f"{form}.zarr")
    assert (sum(report.skipped.values()) == 1) == (form == "tar")


@pytest.mark.parametrize("source", ["avro", "tar", "tar.zarr"])
def test_encode_gives_the_same_rows_and_report(work, source, tmp_path, capsys):
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    encode(encoding(work, source, whole))
    for k in (1, 0, 2):
        encode(encoding(work, source, out, Shard(k, 3)))
    assert_same_table(whole, out, exact=False)
    assert report_of(whole) == report_of(out)
    assert len(pq.read_table(out)) == (N if source == "avro" else open_store(work / "tar.zarr").n)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{p.name}{s}" for p in (out, whole) for s in ("", ".report.json")
    ]
    assert "still waits for shards 0, 2 of 3" in capsys.readouterr().out


def test_shards_are_cut_where_one_run_cuts(work, tmp_path, monkeypatch):
    """Then the same sources share a batch, and nothing differs, not even by rounding."""
    monkeypatch.setattr(night, "LOT_BYTES", 1 << 11)
    for source in ("avro", "avro.zarr"):
        whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
        encode(encoding(work, source, whole))
        for k in range(3):
            encode(encoding(work, source, out, Shard(k, 3)))
        assert_same_table(whole, out, exact=True)
    for n, of in ((24, 3), (3, 8), (0, 2), (100, 7)):
        assert [j for k in range(of) for j in Shard(k, of).part_of(n)] == list(range(n))


def test_a_shard_that_is_done_is_not_encoded_again_unless_the_run_changed(work, tmp_path, monkeypatch):
    out, calls, lot = tmp_path / "out.parquet", [], night._encode_lot
    monkeypatch.setattr(night, "_encode_lot", lambda *a: calls.append(a[2].name[12]) or lot(*a))
    monkeypatch.setattr(night, "_cut", lambda sizes, shard: np.arange(len(sizes)) * 3 // len(sizes))
    for k in (0, 0, 2):
        encode(encoding(work, "avro.zarr", out, Shard(k, 3)))
    # killed before its report is there, a shard is done again
    (tmp_path / "out.parquet.parts/table-0000002.json").unlink()
    for k in (2, 1, 0, 1, 2):
        encode(encoding(work, "avro.zarr", out, Shard(k, 3)))
    assert calls == ["0", "2", "2", "1"] and not (tmp_path / "out.parquet.parts").exists()
    untrained_run(work / "avro.zarr", tmp_path / "run")
    encode(encoding(work, "avro.zarr", out, Shard(0, 3), f"run={tmp_path}/run"))
    assert calls[4:] == ["0"] and (tmp_path / "out.parquet.parts").exists()


def test_a_shard_reads_what_no_other_has_read(work, tmp_path, monkeypatch):
    """In whatever order they come, every unit is read once."""
    read, reading = [], parts.read_unit
    monkeypatch.setattr(parts, "read_unit", lambda *a: read.append(a[3]) or reading(*a))
    for k in (2, 0, 1):
        encode(encoding(work, "tar", tmp_path / "out.parquet", Shard(k, 3)))
    assert sorted(read) == [0, 1, 2, 3]


@pytest.mark.parametrize("bottleneck", ["vqvae", "rvq", "fsq"])
def test_codes_stand_for_the_fingerprints(work, bottleneck, tmp_path):
    """They are written in as many bytes as the bottleneck states, in shards too, and give the latent back."""
    run = untrained_run(work / "avro.zarr", tmp_path / "run", f"bottleneck={bottleneck}")
    for k in range(2):
        config = encoding(work, "avro.zarr", tmp_path / "f.parquet", Shard(k, 2), f"run={run}")
        encode(config)
    table, model = pq.read_table(config.out), rtf.load(run)
    assert table.schema.field("code").type.byte_width == model.model.bottleneck.bytes
    code = np.stack([np.frombuffer(c, np.uint8) for c in table["code"].to_pylist()])
    latent = np.stack(table["fingerprint"].to_numpy())
    np.testing.assert_array_equal(model.from_code(code), latent)
    assert len(np.unique(latent, axis=0)) > 1
    with pytest.raises(RunError, match="has no codes"):
        rtf.load(work / "run").from_code(code)


def test_shards_that_end_together_merge_once(work, tmp_path, monkeypatch):
    out, written, write = tmp_path / "out.parquet", [], night.merge_tables
    monkeypatch.setattr(night, "merge_tables", lambda t, o: written.append(o) or write(t, o))
    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(encode, encoding(work, "avro", out, Shard(k, 4))) for k in range(4)]
    assert [end.result() for end in ends] == [None] * 4 and written == [out]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.parquet", "out.parquet.report.json"]


def test_nothing_readable_is_said_by_the_last(work, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/one.avro").write_bytes(b"Obj\x01 and no more")
    with pytest.raises(NothingReadable, match=r"one\.avro"):
        encode(encoding(work, str(tmp_path / "bad"), tmp_path / "out.parquet", Shard(1, 2)))


def test_the_commands(work, tmp_path):
    """Both in a multirun, at the same time; what the launcher leaves lies beside what was made."""
    lines = [
        f"rtf.preprocess -m input={work}/avro out={tmp_path}/s workers=0",
        f"rtf.encode -m run={work}/run input={work}/avro.zarr out={tmp_path}/f.parquet",
    ]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda x: ok(f"{x} shards=2 shard=range(2) progress=false", tmp_path), lines))
    assert "still waits for shard 1" in said[0] and f"{N} sources" in said[0]
    assert "still waits for shard 1 of 2" in said[1] and f"{N} fingerprints" in said[1]
    assert tree(tmp_path / "s") == tree(work / "avro.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "f.parquet", "f.parquet.jobs", "f.parquet.report.json", "s", "s.jobs",
    ]  # fmt: skip
