"""Spaces: another one for whatever changes a fingerprint, the same one for all else; they do not mix."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import rtf
from rtf.encoding import space as spaces
from rtf.encoding.load import PROBE
from rtf.encoding.space import OtherSpace, space_of
from rtf.encoding.table import fingerprint_table, load_probe, merge_tables, write_table
from rtf.evaluation.classification import fit_probe
from rtf.training.runs import read_record
from tests.small_runs import train
from tests.sources import made_up_sources


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "run"
    train(store, run, "epochs=1", "cls_weight=0.3", "bottleneck=vqvae")
    return run


@pytest.fixture
def model(run):
    return rtf.load(run)


@torch.no_grad()
def nudge(module, number: int = 0) -> None:
    list(module.parameters())[number].view(-1)[0] += 1e-3


OTHERS = {
    "a weight of the encoder": lambda m: nudge(m.model.encoder),
    "a weight of the bottleneck": lambda m: nudge(m.model.bottleneck),
    "a code": lambda m: next(b for n, b in m.model.bottleneck.named_buffers() if b.dim()).add_(1),
    "the normalisation": lambda m: m.statistics["photometry"]["mean"].__setitem__(0, 0.5),
    "the view's days": lambda m: m.config.data.update(max_days=99),
    "the kind of view": lambda m: m.config.data.update(view="first"),
    "a setting of a modality": lambda m: m.config.modalities.photometry.update(width=8),
    "the number of heads": lambda m: m.config.encoder.update(n_heads=2),
}
SAME = {
    "a weight of the decoder": lambda m: nudge(m.model.decoder),
    "a weight of the head": lambda m: nudge(m.model.head),
    "the temperature": lambda m: m.model.temperature.fill_(2),
    "paths and data": lambda m: m.config.update(run="elsewhere") or m.config.data.update(store="moved"),
    "a number written as another type": lambda m: m.config.data.update(
        max_days=float(m.config.data.max_days)
    ),
    "the device": lambda m: setattr(m, "device", torch.device("meta")),
    "weights elsewhere in memory": lambda m: m.model.double().float(),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_changes_fingerprints_changes_the_space(model, change):
    before = space_of(model)
    change(model)
    assert space_of(model) != before


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_nothing_else_does(model, change):
    before = space_of(model)
    change(model)
    assert space_of(model) == before


def test_another_version_of_the_preprocessing_is_another_space(model, monkeypatch):
    before = space_of(model)
    monkeypatch.setattr(spaces, "PREPROCESSING", spaces.PREPROCESSING + 1)
    assert space_of(model) != before


def test_a_run_a_copy_and_a_table_say_the_same(run, model, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    table = fingerprint_table(model, made_up_sources(3))
    write_table(table, tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    found = {read_record(run)["space"], rtf.load(tmp_path / "copy").space, model.space}
    assert found == {*table["space"].to_pylist()} == {table.schema.metadata[b"space"].decode()}
    assert len(model.space) == 12


def test_tables_of_different_spaces_do_not_mix(model, tmp_path):
    table = fingerprint_table(model, made_up_sources(3))
    paths = [tmp_path / f"{k}.parquet" for k in range(3)]
    for path in paths:
        write_table(table, path)
    assert merge_tables(paths, tmp_path / "all.parquet") == 9
    merged = pq.read_schema(tmp_path / "all.parquet")
    assert merged.equals(pq.read_schema(paths[0]), check_metadata=True)
    write_table(table.replace_schema_metadata({"space": "another"}), paths[1])
    with pytest.raises(OtherSpace, match=r"1\.parquet is of another"):
        merge_tables(paths, tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_a_probe_knows_the_space_it_was_fitted_in(model, tmp_path):
    sources = made_up_sources(40)
    probe = fit_probe(model.encode(sources).latent, np.arange(40) % 2)
    for space in ("", model.space):  # those of former versions say nothing
        replace(probe, space=space).save(tmp_path / PROBE)
        np.testing.assert_array_equal(load_probe(tmp_path, model.space).weight, probe.weight)
    replace(probe, space="another").save(tmp_path / PROBE)
    with pytest.raises(OtherSpace, match=f"space another, and the run's are of {model.space}"):
        load_probe(tmp_path, model.space)


def test_the_head_reads_fingerprints_as_encoding_does(model):
    found = model.encode(made_up_sources(10))
    np.testing.assert_allclose(model.head_probability(found.latent), found.probability, atol=1e-6)
