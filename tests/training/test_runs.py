"""Run folders: what identifies a run, who may train in it, and how far it is."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rtf.store.build import preprocess
from rtf.training.runs import RunBusy, follow, hold, identity, read_record, record_failure, run_folder, state
from tests.small_runs import SMALL, config, losses, train
from tests.sources import ListReader, MadeUpReader, made_up_sources


def test_the_same_settings_and_data_have_the_same_folder_wherever_they_are(store, tmp_path):
    first = config(store, "null", "runs=here", "sweep=dims")
    folder = run_folder(first)
    assert folder.parent.as_posix() == "here/dims" and folder.name.startswith("ae_16_photometry+metadata_s0-")
    shutil.copytree(store, tmp_path / "copy.zarr")
    # where the data lie, what the run is called, and on what it runs are no part of it
    same = config(tmp_path / "copy.zarr", "null", "name=mine", "tags=[a]", "devices=1", "log_every=3")
    assert identity(same) == identity(first)
    other = [config(store, "null", change) for change in ("seed=1", "latent_dim=8", "loss=mse")]
    preprocess(MadeUpReader(160, seed=1), "other", tmp_path / "other.zarr", workers=0, progress=False)
    other.append(config(tmp_path / "other.zarr", "null"))
    other.append(config(store, "null", f"data.also_train=[{store}]"))
    other.append(config(store, "null", f"data.also_train=[{{store: {store}, weight: 0.5}}]"))
    assert len({identity(first), *map(identity, other)}) == 7


def test_a_run_tells_how_far_it_is_and_how_to_repeat_it(store, tmp_path):
    run = tmp_path / "run"
    assert state(run) == "new"
    train(store, run, "epochs=1", "sweep=dims", "tags=[first,try]")
    assert state(run) == "finished"
    record = read_record(run)
    assert record["sweep"] == "dims" and record["tags"] == ["first", "try"] and len(record["id"]) == 64
    assert [a["from_epoch"] for a in record["attempts"]] == [0]
    (run / "metrics.json").unlink()
    assert state(run) == "interrupted"
    train(store, run, "epochs=1", "sweep=dims")
    assert [a["from_epoch"] for a in read_record(run)["attempts"]] == [0, 1]


def test_a_failure_is_recorded_until_the_run_succeeds(store, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="multiple of n_heads"), record_failure(run):
        train(store, run, "epochs=1", "encoder.n_heads=5")
    assert state(run) == "failed"
    assert "multiple of n_heads" in json.loads((run / "failed.json").read_text())["error"]
    with record_failure(run):  # nothing was trained: the folder is free for the settings mended
        train(store, run, "epochs=1")
    assert state(run) == "finished"


def test_only_one_process_trains_a_run_and_a_dead_one_does_not_keep_it(tmp_path):
    run = tmp_path / "run"
    code = (
        "import time; from pathlib import Path; from rtf.training.runs import hold\n"
        f"with hold(Path({str(run)!r})): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        assert state(run) == "running"
        with pytest.raises(RunBusy, match=f"being trained by process {holder.pid} on "), hold(run):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with hold(run):
        assert state(run) == "running"
    assert state(run) == "new"


def test_looking_at_a_run_does_not_keep_it_from_being_trained(tmp_path):
    """`state` asks for the lock, for a moment; a worker beginning then must not take it for busy."""
    with hold(tmp_path / "run"):
        pass
    with open(tmp_path / "run/.lock") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.3, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with hold(tmp_path / "run"):
            assert state(tmp_path / "run") == "running"


def test_further_processes_of_a_slurm_job_do_as_its_first_one_does(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(RunBusy, match="another process"):
        follow(tmp_path / "run", patience=0.1)
    with hold(tmp_path / "run"):
        follow(tmp_path / "run", patience=0.1)
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with pytest.raises(RunBusy, match=f"process {os.getpid()} on .*, job 7$"):
            follow(tmp_path / "run", patience=0.1)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(RunBusy):  # it held the run once, and does no more
        follow(tmp_path / "run", patience=0.1)
    (tmp_path / "run/metrics.json").write_text("{}")
    follow(tmp_path / "run", patience=0.1)


def test_two_processes_train_as_one_does_and_leave_the_same_runs_to_others(store, tmp_path):
    """Distributed over gloo: each process has half of every batch, and steps are the same.

    A mean over a batch is there the mean of two means, over detections that are not equally many, and sums
    are rounded differently; hence a tolerance. Runs that another process trains, before the first that these
    two train together and after it, are left by both: they must not share steps of two different runs.
    """
    settings = ["epochs=3", "batch_size=16", "modality_dropout=0.3", "cls_weight=0.3"]
    sizes = [f"latent_dim={n}" for n in (4, 8, 12, 16)]
    folders = [run_folder(config(store, "null", *settings, n, f"runs={tmp_path}/two")) for n in sizes]
    line = [sys.executable, "-m", "rtf.train", "-m", f"data.store={store}", f"runs={tmp_path}/two", *SMALL]
    with hold(folders[0]), hold(folders[2]):
        sweep = [*line, *settings, "latent_dim=4,8,12,16", "devices=2"]
        done = subprocess.run(sweep, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [state(folder) for folder in folders] == ["new", "finished"] * 2
    assert f"being trained by process {os.getpid()} on " in done.stdout
    for size, folder in list(zip(sizes, folders))[1::2]:
        one = train(store, tmp_path / f"one_{folder.name[:4]}", *settings, size)
        two = json.loads((folder / "metrics.json").read_text())
        for name, value in losses(one).items():
            assert two[name] == pytest.approx(value, rel=0.06, abs=2e-3), (size, name)
        assert len(read_record(folder)["attempts"]) == 1
        log = (folder / "train.log").read_text()
        assert log.count("training and 27 validation sources") == 1, "one of the processes keeps the log"


def test_processes_wait_for_none_whose_sources_lack_a_modality(tmp_path):
    """One process may have a batch without any GP features: its parameters must take part all the same."""
    sources = made_up_sources(60, max_length=4)
    for history in sources[:50]:
        history.band[:] = np.arange(len(history)) % 2  # too few detections in a band for a fit
    preprocess(ListReader(sources), "in", tmp_path / "s.zarr", workers=0, progress=False)
    line = [sys.executable, "-m", "rtf.train", f"data.store={tmp_path}/s.zarr", f"run={tmp_path}/run", *SMALL]
    settings = ["modalities=photometry_gp", "batch_size=8", "epochs=2", "devices=2"]
    done = subprocess.run([*line, *settings], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert state(tmp_path / "run") == "finished"


def test_a_sweep_started_again_does_what_is_left(store, tmp_path):
    """Skips what is finished, continues what was killed, retries what failed, and leaves what is held."""
    line = [
        sys.executable,
        "-m",
        "rtf.train",
        "-m",
        f"data.store={store}",
        f"runs={tmp_path}",
        "sweep=s",
        *SMALL,
    ]
    sweep = [*line, "epochs=9", "latent_dim=4,8", "encoder.n_heads=4,5"]
    first = subprocess.Popen(sweep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and len(list((tmp_path / "s").glob("ae_8*/checkpoints/last.ckpt"))) == 0:
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert sorted(state(p) for p in (tmp_path / "s").iterdir()) == ["finished", "interrupted"]
    killed = next(p for p in (tmp_path / "s").glob("ae_8*") if (p / "history.json").exists())
    finished = next(p for p in (tmp_path / "s").glob("ae_4*") if (p / "metrics.json").exists())
    before = (finished / "model.safetensors").stat().st_mtime_ns
    again = subprocess.run(sweep, capture_output=True, text=True, timeout=300)
    assert again.returncode and "n_heads" in again.stderr  # the two that cannot be built
    assert state(killed) == "finished" and len(read_record(killed)["attempts"]) >= 2
    assert (finished / "model.safetensors").stat().st_mtime_ns == before
    assert sorted(state(p) for p in (tmp_path / "s").iterdir()) == ["failed"] * 2 + ["finished"] * 2
    with hold(killed):
        (killed / "metrics.json").unlink()
        busy = subprocess.run(
            [*line, "epochs=9", "latent_dim=4,8"], capture_output=True, text=True, timeout=300
        )
    assert busy.returncode == 0 and "is being trained by" in busy.stdout and "left to it" in busy.stdout
