"""Training: it learns, it repeats itself, and a killed run ends as one that was not."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from safetensors.numpy import load_file, save_file

import rtf
from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import read_config, trained_on
from rtf.features.normalisation import feature_columns
from rtf.features.photometry import Photometry
from rtf.features.view import view
from rtf.store.batches import Sources
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.training.data import TrainingBatches, load_training_data
from rtf.training.runs import read_record
from rtf.training.task import warmup_cosine
from tests.small_runs import SMALL, losses, train
from tests.sources import ListReader, MadeUpReader, made_up_sources


def test_training_beats_predicting_the_mean(store, tmp_path):
    """The normalised channels have unit variance, so predicting the mean has an MSE of about 1."""
    metrics = train(store, tmp_path / "run", "epochs=25", "decoder=sequence", "loss=mse", "optimizer.lr=3e-3")
    assert np.mean([metrics[f"val/{c}"] for c in ("log1p_dt", "logflux")]) < 0.7
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [h["epoch"] for h in history] == list(range(25))
    assert {"train/loss", "train/learning_rate", "train/sources_per_second"} <= history[0].keys()


def test_the_best_epoch_is_chosen_without_the_price_of_the_bottleneck(store, tmp_path):
    high = ("bottleneck.commitment=5", "optimizer.lr=1e-2", "decoder=sequence")
    metrics = train(store, tmp_path / "run", "epochs=12", "bottleneck=vqvae", *high)
    score = [h["val/loss"] - h["val/bottleneck"] for h in _history(tmp_path / "run")]
    total = [h["val/loss"] for h in _history(tmp_path / "run")]
    assert metrics["best_epoch"] == np.argmin(score) + 1 != np.argmin(total) + 1
    assert metrics["val/score"] == pytest.approx(min(score), rel=1e-5)


def test_the_same_seed_gives_the_same_run(store, tmp_path):
    runs = [train(store, tmp_path / name, "epochs=2") for name in "ab"]
    other = train(store, tmp_path / "c", "epochs=2", "seed=1")
    assert losses(runs[0]) == losses(runs[1]) != losses(other)


def test_a_killed_run_resumes_to_the_same_metrics(store, tmp_path):
    """SIGKILL between two epochs and in the middle of one; dropout is on, so random state matters."""
    overrides = ["epochs=6", "encoder.dropout=0.2", "decoder.dropout=0.1", "batch_size=16"]
    expected = train(store, tmp_path / "whole", *overrides)
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "rtf.train", f"data.store={store}", f"run={run}", *SMALL, *overrides]
    for epochs_before_kill in (2, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(_history(run)) < epochs_before_kill:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (run / "metrics.json").exists()
    resumed = train(store, run, *overrides)
    assert losses(resumed) == losses(expected)
    assert [h["val/loss"] for h in _history(run)] == [h["val/loss"] for h in _history(tmp_path / "whole")]
    a, b = rtf.load(run), rtf.load(tmp_path / "whole")
    for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(x, y)


def _history(run) -> list:
    path = run / "history.json"
    return json.loads(path.read_text()) if path.exists() else []


def test_a_finished_run_is_left_alone_and_another_configuration_is_refused(store, tmp_path):
    first = train(store, tmp_path / "run", "epochs=1")
    before = (tmp_path / "run/model.safetensors").stat().st_mtime_ns
    assert losses(train(store, tmp_path / "run", "epochs=1", "log_every=7")) == losses(first)
    assert (tmp_path / "run/model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"another configuration \(epochs: 1 there, 2 now\)"):
        train(store, tmp_path / "run", "epochs=2")


def test_a_run_folder_is_self_contained(store, tmp_path):
    train(store, tmp_path / "run", "epochs=1", "cls_weight=0.5")
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    model = rtf.load(moved)
    found = model.encode(made_up_sources(7, seed=5))
    assert found.latent.shape == (7, 16) and np.isfinite(found.latent).all()
    np.testing.assert_allclose(found.probability.sum(1), 1, rtol=1e-5)
    assert "${" not in (moved / "config.yaml").read_text()
    assert json.loads((moved / "metrics.json").read_text())["rtf_version"] == rtf.__version__


def test_encoding_does_not_depend_on_batches_or_on_what_comes_later(store, tmp_path):
    train(store, tmp_path / "run", "epochs=1", "data.view=first", "data.max_days=100")
    model, sources = rtf.load(tmp_path / "run"), made_up_sources(30, seed=7, min_length=8)
    all_at_once, one_by_one = model.encode(sources), model.encode(sources, batch_size=1)
    np.testing.assert_allclose(all_at_once.latent, one_by_one.latent, atol=2e-5)
    np.testing.assert_allclose(all_at_once.error, one_by_one.error, rtol=1e-3)
    # a detection beyond the model's hundred days changes nothing
    late = [s.select(np.r_[np.arange(len(s)), len(s) - 1]) for s in sources]
    for s in late:
        s.mjd[-1] = s.mjd[0] + 101
    np.testing.assert_array_equal(model.encode(late).latent, all_at_once.latent)
    assert (model.encode(late).last == all_at_once.last).all()


def test_the_latest_view_ends_at_the_detection_that_it_names(store, tmp_path):
    train(store, tmp_path / "run", "epochs=1", "data.max_days=20", "data.min_detections=2")
    model, sources = rtf.load(tmp_path / "run"), made_up_sources(30, seed=7, min_length=8)
    found, six = model.encode(sources), model.encode(sources, first=6)
    assert found.last.tolist() == [len(s) - 1 for s in sources] and (six.last == 5).all()
    assert (found.n_detections < found.last + 1).any()
    # what is older than the view changes nothing
    short = [s.select(np.arange(len(s) - n, len(s))) for s, n in zip(sources, found.n_detections)]
    np.testing.assert_array_equal(model.encode(short).latent, found.latent)


def test_reconstruction_is_aligned_with_its_source(store, tmp_path):
    train(store, tmp_path / "run", "epochs=1")
    model, sources = rtf.load(tmp_path / "run"), made_up_sources(20, seed=3)
    together = model.reconstruct(sources)
    for k in (0, 7, 19):
        rows = slice(*together.seen.offset[k : k + 2])
        alone = model.reconstruct([sources[k]])
        np.testing.assert_allclose(together.mag[rows], alone.mag, atol=1e-3)
        np.testing.assert_array_equal(together.seen.mag[rows], sources[k].mag[: rows.stop - rows.start])


@pytest.mark.parametrize(
    ("missing", "message"),
    [("model.safetensors", "training has not finished"), ("config.yaml", "not a run folder")],
)
def test_an_incomplete_run_folder_says_what_is_missing(store, tmp_path, missing, message):
    train(store, tmp_path / "run", "epochs=1")
    (tmp_path / "run" / missing).unlink()
    with pytest.raises(RunError, match=f"{message}|{missing}"):
        rtf.load(tmp_path / "run")


def test_damaged_weights_are_named(store, tmp_path):
    train(store, tmp_path / "run", "epochs=1")
    weights = tmp_path / "run/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"model\.safetensors does not fit"):
        rtf.load(tmp_path / "run")


FOREIGN = (
    "os.system", "rtf.models.elsewhere.Encoder", "rtf.encoding.load.np.load", "rtf.encoding.load.torch.load",
    "rtf.files.Path.write_text", "rtf.store.plan.clear", "rtf.jobs.remove", "rtf.training.fit.fit",
)  # fmt: skip


@pytest.mark.parametrize(
    "place", ["encoder", "modalities.photometry", "encoder.extra", "head", "decoder.list"]
)
def test_a_run_folder_cannot_make_us_run_other_code(store, tmp_path, place):
    """Whatever the configuration names is called: only the parts in conf/ may be."""
    train(store, tmp_path / "run", "epochs=1")
    before = read_config(tmp_path / "run")
    for target in FOREIGN:
        hostile = before.copy()
        call = {"_target_": target, "file": str(tmp_path / "called")}
        OmegaConf.update(hostile, place, [call] if place.endswith("list") else call, force_add=True)
        OmegaConf.save(hostile, tmp_path / "run/config.yaml")
        with pytest.raises(RunError, match=f"'{re.escape(target)}' at {place}.*only the targets of conf/"):
            rtf.load(tmp_path / "run")
    hostile = before.copy()
    hostile.encoder.pool = "${oc.env:HOME}"
    OmegaConf.save(hostile, tmp_path / "run/config.yaml")
    with pytest.raises(RunError, match="an interpolation in encoder"):
        rtf.load(tmp_path / "run")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_and_statistics_that_are_not_finite_are_refused(store, tmp_path, value):
    train(store, tmp_path / "run", "epochs=1")
    for name, message in (("model", "is not finite"), ("normalisation", "is not finite, or not above 0")):
        path = tmp_path / f"run/{name}.safetensors"
        before = path.read_bytes()
        tensors = load_file(path)
        key = next(k for k in tensors if k.endswith(("embed.weight", "std")))
        tensors[key].flat[0] = value
        save_file(tensors, path)
        with pytest.raises(RunError, match=message):
            rtf.load(tmp_path / "run")
        path.write_bytes(before)
    assert rtf.load(tmp_path / "run")


def test_a_run_that_was_moved_and_continued_keeps_its_best_epoch(store, tmp_path):
    """The weights saved are those of the epoch whose metrics are saved."""
    overrides = ("epochs=8", "optimizer.lr=1e-1", "batch_size=16", "seed=5", "warmup=0", "decoder=sequence")
    overrides += ("augment.thin=0", "encoder.dropout=0", "data.view=first", "data.max_days=100")
    whole = train(store, tmp_path / "whole", *overrides)
    assert whole["best_epoch"] < 7
    run = tmp_path / "first"
    stop = [Stop(7)]
    with pytest.raises(SystemExit):
        train(store, run, *overrides, callbacks=stop)
    moved = run.rename(tmp_path / "moved")
    assert losses(train(store, moved, *overrides)) == losses(whole)
    a, b = (rtf.load(r).model.state_dict().values() for r in (moved, tmp_path / "whole"))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class Stop(Callback):
    """Stops a training as Ctrl-C does, after so many epochs."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_train_epoch_start(self, trainer, task) -> None:
        if trainer.current_epoch == self.epochs:
            raise KeyboardInterrupt


def test_half_a_checkpoint_does_not_end_a_run(store, tmp_path, caplog):
    whole = train(store, tmp_path / "whole", "epochs=4")
    for left in ("best.ckpt", None):
        run = tmp_path / f"run_{left}"
        with pytest.raises(SystemExit):
            train(store, run, "epochs=4", callbacks=[Stop(3)])
        for name in {"last.ckpt", "best.ckpt"} - {left}:
            path = run / "checkpoints" / name
            path.write_bytes(path.read_bytes()[:5000])
        assert losses(train(store, run, "epochs=4")) == losses(whole)
        assert "last.ckpt cannot be read" in caplog.text


def test_a_full_disk_leaves_the_former_checkpoint(store, tmp_path, monkeypatch):
    run, save = tmp_path / "run", torch.save
    with pytest.raises(SystemExit):
        train(store, run, "epochs=4", callbacks=[Stop(2)])
    before = (run / "checkpoints/last.ckpt").read_bytes()

    def half(value, path) -> None:
        save(value, path)
        path.write_bytes(path.read_bytes()[:1000])
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="is the disk full"):
        train(store, run, "epochs=4")
    assert (run / "checkpoints/last.ckpt").read_bytes() == before
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}


def test_epoch_means_are_those_of_the_split(store, tmp_path):
    """Terms by source are not weighted by detections: batches hold sources of like length."""
    settings = ("cls_weight=1", "batch_size=8", "bottleneck=vae", "decoder=sequence")
    metrics = train(store, tmp_path / "run", "epochs=1", *settings)
    model, opened = rtf.load(tmp_path / "run"), open_store(store)
    seen = model.view(opened.detections("val"))
    sources = Sources(
        seen, feature_columns(model.modalities, seen, model.statistics), opened.label[opened.sources("val")]
    )
    with torch.inference_mode():
        batch = sources.batch(np.arange(len(sources)))
        output = model.model(batch)
        terms = model.model.decoder.losses(output.decoded, batch, "huber")
        classes = torch.nn.functional.cross_entropy(output.logits, batch.label)
    assert metrics["val/classification"] == pytest.approx(float(classes), rel=1e-4)
    assert metrics["val/reconstruction"] == pytest.approx(float(terms["reconstruction"].value), rel=1e-4)
    assert metrics["val/score"] == pytest.approx(
        metrics["val/reconstruction"] + metrics["val/classification"]
    )


def test_a_head_without_labels_is_an_error(tmp_path):
    sources = made_up_sources(60)
    for history in sources:
        history.label = -1
    preprocess(ListReader(sources), "in", tmp_path / "s.zarr", workers=0, progress=False)
    with pytest.raises(RunError, match=r"cls_weight=0\.3 .* none of the 42 training sources has a label"):
        train(tmp_path / "s.zarr", tmp_path / "run", "epochs=1", "cls_weight=0.3")
    train(tmp_path / "s.zarr", tmp_path / "run", "epochs=1")


def test_a_run_knows_the_sources_it_has_seen(store, tmp_path, monkeypatch):
    monkeypatch.chdir(store.parent)
    train(store.name, tmp_path / "run", "epochs=1")
    opened = open_store(store)
    seen = np.concatenate([opened.object_id[opened.sources(part)] for part in ("train", "val")])
    assert trained_on(tmp_path / "run") == set(seen.tolist())
    # and its store, from whatever folder it is looked at
    assert read_config(tmp_path / "run").data.store == str(store)
    data = read_record(tmp_path / "run")["data"]
    assert data == {"store": {"path": str(store), "digest": opened.digest}, "also_train": []}


def test_sources_that_are_tested_on_are_not_trained_on_through_another_store(tmp_path, caplog):
    sources = made_up_sources(80)
    preprocess(ListReader(sources), "in", tmp_path / "own.zarr", workers=0, progress=False)
    preprocess(ListReader(sources), "in", tmp_path / "more.zarr", workers=0, progress=False, seed=1)
    modalities, view_ = {"photometry": Photometry()}, {"max_detections": 257, "max_days": 100.0}
    data = load_training_data(tmp_path / "own.zarr", modalities, also_train=[tmp_path / "more.zarr"], **view_)
    own = open_store(tmp_path / "own.zarr")
    assert not set(own.object_id[own.sources("test")]) & data.seen
    assert "validates or tests on them" in caplog.text


@pytest.mark.parametrize("devices", ["7x", "0", "-1"])
def test_devices_are_auto_or_a_number(store, tmp_path, devices):
    with pytest.raises(ValueError, match=f"devices is '?{devices}'?; it must be auto, or a number"):
        train(store, tmp_path / "run", f"devices={devices}")


def test_truncation_is_uniform_from_three_and_differs_between_epochs(store):
    data = load_training_data(store, {"photometry": Photometry()}, max_detections=257, max_days=100)
    epoch = 0  # read by the batches through the closure
    batches = TrainingBatches(data.train, 16, seed=0, truncate_min=3, epoch=lambda: epoch)
    lengths = {}
    for now in range(200):
        epoch = now
        for batch in batches:
            for source, n in zip(batch.source.tolist(), batch.mask.sum(1).tolist()):
                lengths.setdefault(source, []).append(n)
    for source, seen in lengths.items():
        full = data.train.length[source]
        assert len(seen) == 200 and min(seen) == min(3, full) and max(seen) == full
        assert abs(np.mean(seen) - (min(3, full) + full) / 2) < 0.35 * max(full - 3, 1) ** 0.5 + 0.5


def test_ranks_share_an_epoch_without_overlap(store):
    data = load_training_data(store, {"photometry": Photometry()}, max_detections=257, max_days=100)
    shares = [
        [b.source.tolist() for b in TrainingBatches(data.train, 8, 0, 3, lambda: 4, rank=rank, world_size=2)]
        for rank in (0, 1)
    ]
    assert len(shares[0]) == len(shares[1])
    seen = [s for share in shares for b in share for s in b]
    assert len(seen) == len(set(seen)) >= len(data.train) - 8


def test_normalisation_comes_from_the_training_split_alone(store):
    data = load_training_data(store, {"photometry": Photometry()}, max_detections=257, max_days=100)
    train = view(open_store(store).detections("train"))
    np.testing.assert_allclose(data.statistics["photometry"]["mean"][2], -0.4 * train.mag.mean(), rtol=1e-5)


def test_schedule_rises_then_falls_to_one_per_cent():
    factors = [warmup_cosine(step, 1000, 0.05) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 50) and max(factors) == pytest.approx(1)
    assert np.argmax(factors) in (49, 50) and factors[-1] == pytest.approx(0.01, abs=1e-4)


def test_sources_of_another_store_can_be_added_to_training(store, tmp_path):
    preprocess(MadeUpReader(40, seed=9), "more", tmp_path / "more.zarr", workers=0, progress=False)
    settings = {"max_detections": 257, "max_days": 100.0}
    alone = load_training_data(store, {"photometry": Photometry()}, **settings)
    both = load_training_data(
        store, {"photometry": Photometry()}, also_train=[tmp_path / "more.zarr"], **settings
    )
    assert len(both.train) > len(alone.train) and len(both.val) == len(alone.val)
    np.testing.assert_array_equal(
        both.statistics["photometry"]["mean"], alone.statistics["photometry"]["mean"]
    )
    last = both.train.batch(np.array([len(both.train) - 1]))
    assert last.mask.sum() == both.train.length[-1]


def test_a_weight_says_how_often_an_epoch_has_each_source_of_a_store(store, tmp_path):
    """Half of a store is another half in each epoch, and every source has its turn."""
    preprocess(MadeUpReader(40, seed=9), "more", tmp_path / "more.zarr", workers=0, progress=False)
    modalities, view_ = {"photometry": Photometry()}, {"max_detections": 257, "max_days": 100.0}
    own = len(load_training_data(store, modalities, **view_).train)
    for weight in (0.5, 2.25):
        mixed = [{"store": str(tmp_path / "more.zarr"), "weight": weight}]
        data = load_training_data(store, modalities, also_train=mixed, **view_)
        more, epochs, count = len(data.train) - own, 40, np.zeros(len(data.train))
        for epoch in range(epochs):
            batches = TrainingBatches(data.train, 16, 0, 3, lambda: epoch, parts=data.parts)  # noqa: B023
            drawn = np.concatenate([b.source.numpy() for b in batches])
            assert len(drawn) == own + round(weight * more) and len(list(batches)) == len(batches)
            count += np.bincount(drawn, minlength=len(count))
        assert (count[:own] == epochs).all()
        assert count[own:].mean() == pytest.approx(round(weight * more) / more * epochs)
        assert count[own:].std() < 5
    for wrong in ({"store": "x", "wight": 1}, {"weight": 1.0}, {"store": "x", "weight": 0}):
        with pytest.raises(ValueError, match="also_train"):
            load_training_data(store, modalities, also_train=[wrong], **view_)


def test_mixed_precision_is_a_setting(store, tmp_path):
    mixed = train(store, tmp_path / "mixed", "epochs=2", "precision=bf16-mixed")
    full = train(store, tmp_path / "full", "epochs=2")
    assert mixed["val/loss"] == pytest.approx(full["val/loss"], rel=0.1) and losses(mixed) != losses(full)
    latent = rtf.load(tmp_path / "mixed").encode(made_up_sources(3)).latent
    assert latent.dtype == np.float32 and np.isfinite(latent).all()


def test_a_training_that_diverges_says_so(store, tmp_path):
    with pytest.raises(RunError, match=r"not finite in epoch 1: try a lower optimizer\.lr"):
        train(store, tmp_path / "run", "epochs=1", "optimizer.lr=1e30", "gradient_clip=1e30")
    assert not (tmp_path / "run/model.safetensors").exists()
