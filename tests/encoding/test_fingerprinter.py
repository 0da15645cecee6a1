"""Fingerprints: sound sources in, finite numbers out; whatever is not so is named."""

from dataclasses import replace

import numpy as np
import pytest

import rtf
from rtf.alerts.report import ReadReport
from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import usable_device
from rtf.encoding.table import fingerprint_table
from tests.small_runs import train
from tests.sources import made_up_sources


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "run"
    train(store, run, "epochs=1", "cls_weight=0.3")
    return rtf.load(run)


def reversed_in_time(h):
    return h.select(np.arange(len(h))[::-1])


def with_value(name: str, value: float):
    def change(h):
        values = getattr(h, name).copy()
        values[1] = value
        return replace(h, **{name: values})

    return change


FAULTS = {
    "not sorted by time": reversed_in_time,
    "no detection": lambda h: h.select(np.arange(0)),
    "band: unknown": with_value("band", 5),
    "mag: missing": with_value("mag", np.nan),
    "mag: outside": with_value("mag", 1e20),
    "time: missing": with_value("mjd", np.inf),
    "magerr: negative": with_value("magerr", -0.1),
    "magerr: greater": with_value("magerr", 1e20),
}


@pytest.mark.parametrize(("reason", "change"), FAULTS.items())
def test_a_source_that_cannot_be_encoded_is_named_and_costs_the_others_nothing(model, reason, change):
    sources = made_up_sources(8, seed=3)
    bad = [*sources[:5], change(sources[5]), *sources[6:]]
    with pytest.raises(ValueError, match=f"1 of 8 sources .* the first is made3_00005.*{reason}"):
        model.encode(bad)
    report = ReadReport()
    table = fingerprint_table(model, bad, report=report, where="night")
    assert table["object_id"].to_pylist() == [h.object_id for k, h in enumerate(sources) if k != 5]
    (item,) = report.items
    assert item["item"] == "made3_00005" and item["file"] == "night" and reason in item["reason"]


@pytest.mark.parametrize("value", [1e38, -1e38, np.inf, np.nan])
def test_metadata_of_any_size_give_finite_fingerprints(model, value):
    sources = made_up_sources(4)
    sources[2].metadata[:] = value
    found = model.encode(sources)
    assert found.finite.all() and np.isfinite(found.probability).all()


def test_fingerprints_that_are_not_finite_are_left_out_and_named(model, monkeypatch):
    encode, sources = model.encode, made_up_sources(6)

    def broken(*arguments, **settings):
        found = encode(*arguments, **settings)
        found.latent[2] = np.nan
        return found

    monkeypatch.setattr(model, "encode", broken)
    report = ReadReport()
    table = fingerprint_table(model, sources, report=report)
    assert len(table) == 5 and report.items[0]["item"] == sources[2].object_id
    assert report.skipped == {"its fingerprint is not finite": 1}
    assert np.isfinite(np.stack(table["fingerprint"].to_numpy())).all()


@pytest.mark.parametrize("device", ["cuda", "gpu", "mps", "cuda:7", "toaster"])
def test_a_device_that_is_not_there_is_one_clear_line(device):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RunError, match=f"device={device}"):
        usable_device(device)


def test_training_on_a_gpu_that_is_not_there_is_one_clear_line(store, tmp_path):
    with pytest.raises(RunError, match="accelerator=toaster is none that torch knows"):
        train(store, tmp_path / "run", "accelerator=toaster")


def test_a_night_without_a_sound_source_gives_no_fingerprints(model):
    report = ReadReport()
    assert (
        len(fingerprint_table(model, [with_value("mag", np.nan)(made_up_sources(1)[0])], report=report)) == 0
    )
    assert sum(report.skipped.values()) == 1
