"""Runs read back: the same from their folders as from W&B.

W&B is the stand-in of tests/report/wandb_responses.py: its responses are written after the schema that the
installed client asks for, not recorded from the live service.
"""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from rtf.documents import Table
from rtf.encoding.fingerprinter import RunError
from rtf.evaluation.record import Record
from rtf.files import write_json
from rtf.report.read import read_runs
from rtf.training.tracking import Tracker, log_results
from tests.report.made_up import digest_of, write_results
from tests.report.wandb_responses import API_KEY, ENTITY, wandb_server

TABLE = Table("By class", ("class", "accuracy"), (("SN Ia", "0.90"),))


def make_run(folder, name, sweep=None, epochs=3, metrics=True):
    """A run folder as a training of three epochs leaves it, without the model."""
    folder.mkdir(parents=True)
    config = {
        "latent_dim": 8,
        "epochs": 3,
        "bottleneck": {"_target_": "rtf.models.bottlenecks.vae.VAE"},
        "seed": 0,
    }
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    record = {
        "id": name.encode().hex().zfill(64),
        "name": name,
        "sweep": sweep,
        "tags": [],
        "command": f"train {name}",
    }
    write_json(folder / "run.json", record)
    history = [
        {"epoch": e, "val/loss": 1 / (e + 3), "train/loss": 1 / (e + 2), "seconds": 0.1}
        for e in range(epochs)
    ]
    write_json(folder / "history.json", history)
    if metrics:
        found = {"best_epoch": 2, "val/loss": 0.25, "parameters": 1234, "rtf_version": "0.1.0"}
        write_json(folder / "metrics.json", found)
    return folder


def track(run, *results: str):
    """Mirror a run folder in W&B, offline, as training and evaluation do."""
    tracker = Tracker(run, {"mode": "offline", "project": "rtf", "entity": ENTITY})
    tracker.log_epochs(3)
    tracker.close()
    for task in results:
        made = [Record("accuracy", 0.9, 0.8, 0.95, level="fine"), Record("accuracy", 0.5, group="TDE")]
        write_results(run, task, (made, {"fine/truth": "0077"}), digest=digest_of("s"))
        log_results(run, task, [TABLE], [])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("runs")
    make_run(top / "sizes/a-1", "a", "sizes")
    make_run(top / "sizes/b-2", "b", "sizes")
    make_run(top / "alone", "alone")
    return top


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A W&B server, to which every way out of wandb's processes leads."""
    with wandb_server(tmp_path_factory.mktemp("wandb")) as server:
        yield server


@pytest.fixture(scope="module")
def sent(server, folders):
    """The server, with three tracked runs that `wandb sync` sent, one of them evaluated in two sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", API_KEY)
        track(folders / "sizes/a-1", "probe", "early")
        track(folders / "sizes/b-2")
        track(folders / "alone", "probe")
        offline = map(str, folders.rglob("offline-run-*"))
        command = [sys.executable, "-m", "wandb", "sync", *offline]
        subprocess.run(command, check=True, capture_output=True, cwd=folders)
        yield server


def test_without_an_account_wandb_is_not_read(server):
    """The first test here, since wandb remembers who logged in."""
    with pytest.raises(RunError, match="needs a W&B account: `wandb login`"):
        read_runs(f"wandb:{ENTITY}/rtf")


def test_runs_are_the_same_from_folders_and_from_wandb(folders, sent):
    local, remote = ({r.name: r for r in read_runs(s)} for s in (folders, f"wandb:{ENTITY}/rtf"))
    assert local.keys() == remote.keys() == {"a", "b", "alone"}
    for name, run in remote.items():
        assert replace(run, where="") == replace(local[name], where="")
        assert run.where.startswith(sent.url)
    assert remote["a"].results.keys() == {"probe", "early"} and len(remote["a"].history) == 3
    assert remote["a"].results["probe"].arrays == {"fine/truth": "0077"}
    assert [r.value for r in remote["a"].results["probe"].records] == [0.9, 0.5]
    assert remote["a"].state == "finished" and remote["a"].metrics["best_epoch"] == 2


def test_a_sweep_is_chosen_by_its_name(folders, sent):
    for source in (folders / "sizes", folders / "siz*", f"wandb:{ENTITY}/rtf/sizes"):
        assert sorted(r.name for r in read_runs(source)) == ["a", "b"]


def test_many_runs_and_unfinished_ones_are_read(sent):
    """More than a page of runs, in all states of W&B; the epoch that was logged twice counts once."""
    states = ["finished", "running", "crashed", "failed", "killed", "preempted", "pending"]
    lines = [{"_step": 0, "epoch": 0, "train/loss": 3.0}, {"_step": 1, "epoch": 1, "train/loss": 2.0},
             {"_step": 2, "epoch": 1, "train/loss": 1.0}]  # fmt: skip
    for k in range(53):
        run = sent.run("many", f"run{k}")
        run |= {
            "displayName": f"r{k}",
            "state": states[k % 7],
            "history": [json.dumps(line) for line in lines],
        }
        run["summary"] = {"_step": 2, "epoch": 1, "val/loss": 1.5}
    runs = read_runs(f"wandb:{ENTITY}/many")
    assert [r.name for r in runs] == [f"r{k}" for k in range(53)]
    found = ["finished", "running", "interrupted", "failed", "interrupted", "interrupted", "new"]
    assert [r.state for r in runs[:7]] == found
    assert runs[2].history == [{"epoch": 0, "train/loss": 3.0}, {"epoch": 1, "train/loss": 1.0}]
    assert runs[2].metrics == {} and runs[2].id == ""


def test_folders_of_any_state_and_age_are_found(tmp_path):
    make_run(tmp_path / "x/deep/done", "done")
    make_run(tmp_path / "x/stopped", "stopped", epochs=1, metrics=False)
    (tmp_path / "x/stopped/checkpoints").mkdir()
    (tmp_path / "x/stopped/checkpoints/last.ckpt").write_bytes(b"")
    make_run(tmp_path / "x/broke", "broke", metrics=False)
    write_json(tmp_path / "x/broke/failed.json", {"error": "ValueError: no"})
    old = make_run(tmp_path / "x/old", "?")
    (old / "run.json").unlink()
    (old / "wandb/run-1/files").mkdir(parents=True)
    for inner in (old / ".hydra", old / "wandb/run-1/files"):  # none of these is a run folder
        inner.mkdir(exist_ok=True)
        (inner / "config.yaml").write_text("wandb_version: 1\n")
    runs = {r.name: r for r in read_runs(tmp_path)}
    states = {name: r.state for name, r in runs.items()}
    assert states == {"done": "finished", "stopped": "interrupted", "broke": "failed", "old": "finished"}
    assert (runs["old"].id, runs["old"].sweep, runs["old"].where) == ("", None, str(old))
    assert runs["broke"].metrics == {} and runs["broke"].results == {} and len(runs["broke"].history) == 3
    assert [r.name for r in read_runs(tmp_path / "*/sto*")] == ["stopped"]


def test_what_cannot_be_read_is_named(sent, tmp_path):
    sources = {
        tmp_path: "no run in",
        "wandb:rtf": "wandb:ENTITY/PROJECT/SWEEP",
        f"wandb:{ENTITY}/nothing": "cannot be read from W&B.*nothing",
        f"wandb:{ENTITY}/rtf/nothing": "no run in",
    }
    for source, message in sources.items():
        with pytest.raises(RunError, match=message):
            read_runs(source)
    make_run(tmp_path / "run", "run")
    (tmp_path / "run/evaluations").mkdir()
    path = tmp_path / "run/evaluations/probe@01234567.json"
    for text, message in (("{", "is not JSON"), ('{"fine": 1}', "not the records of an evaluation")):
        path.write_text(text)
        with pytest.raises(RunError, match=rf"probe@01234567\.json.*{message}"):
            read_runs(tmp_path)
