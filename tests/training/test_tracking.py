"""Tracking: one W&B run for a run folder, whatever interrupts it, and no network unless asked for.

What wandb wrote offline is read with its own inspector; where a server is needed, it is the stand-in of
tests/report/wandb_responses.py, whose responses are written after W&B's schema and not recorded from it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback

import rtf
from rtf.cli.command import resolved
from rtf.documents import Table
from rtf.encoding.fingerprinter import RunError
from rtf.evaluation.record import Record
from rtf.store.build import preprocess
from rtf.training.fit import fit
from rtf.training.tracking import log_results, tracked
from tests.report.made_up import digest_of, write_results
from tests.report.wandb_responses import API_KEY, ENTITY, wandb_server
from tests.sources import MadeUpReader

CONF = Path(rtf.__file__).parents[1] / "conf"
SMALL = [
    "encoder.d_model=16", "encoder.n_layers=1", "encoder.n_heads=2", "encoder.d_ff=16", "decoder.d_model=16",
    "decoder.n_layers=1", "decoder.d_ff=16", "latent_dim=4", "modalities=photometry",
    "progress=false", "accelerator=cpu", "num_threads=1", "sweep=small", "tags=[tiny]",
]  # fmt: skip
TABLE = Table("By class, coarse", ("class", "accuracy"), (("SN Ia", "0.90"), ("AGN", "0.80")))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A W&B server, to which every way out of wandb's processes leads."""
    with wandb_server(tmp_path_factory.mktemp("wandb")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "made_up.zarr"
    preprocess(MadeUpReader(60), "made up", path, workers=0, progress=False)
    return path


class StopAfter(Callback):
    """Ends training as Ctrl-C does."""

    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, task):
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


def train(store, run, *overrides, stop: int = -1):
    """Train, evaluate (a made-up probe) and track, as rtf.train does."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = resolved(compose("train", [f"data.store={store}", f"run={run}", *SMALL, *overrides]))
    with tracked(run, config) as tracker:
        callbacks = (*tracker.callbacks, StopAfter(stop))
        fit(run, config, instantiate(config.optimizer), callbacks=callbacks)
        made = [Record("accuracy", 0.5, 0.4, 0.6, level="fine", method="probe")]
        write_results(run, "probe", (made, {}), digest=digest_of("own"))
        tracker.log_results("probe", [TABLE], [])


def sessions(run: Path) -> list[list[dict]]:
    """What wandb wrote in each of its sessions, read by the program behind `wandb leet inspect --json`."""
    from wandb.util import get_core_path

    found = []
    for path in sorted(run.glob("wandb/*run-*/*.wandb")):
        command = [
            get_core_path(),
            "leet",
            "inspect",
            "--no-observability",
            "--json",
            "--run-file",
            path,
            run,
        ]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        found.append([json.loads(line) for line in lines])
    return found


def of_type(records: list[dict], kind: str) -> list[dict]:
    return [r[kind] for r in records if r["type"] == kind]


@pytest.fixture(scope="module")
def offline(server, store, tmp_path_factory):
    """A run stopped after two of four epochs, continued, and evaluated once more by hand."""
    run = tmp_path_factory.mktemp("runs") / "offline"
    settings = ("epochs=4", "tracking.pictures.every=2")
    with pytest.raises(SystemExit):
        train(store, run, *settings, stop=2)
    train(store, run, *settings)
    made = [Record("ROC-AUC", 0.7, level="coarse", method="head", shown=3)]
    write_results(run, "early", (made, {}), digest=digest_of("own"))
    write_results(run, "early", (made, {}), digest=digest_of("other"), own=False)
    log_results(run, "early", [TABLE], [next(run.rglob("light_curves*.png"))])
    return run


def test_offline_needs_no_network_and_no_login(server, offline):
    """Nor does a process that ends, which is when wandb sends what it collected about itself."""
    code = (
        "from rtf.training.tracking import log_results; from rtf.documents import Table; "
        f"log_results({str(offline)!r}, 'early', [{TABLE!r}], [])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")
    assert len(sessions(offline)) == 4 and server.connections == 0


def test_an_interrupted_and_continued_run_is_one_wandb_run(offline):
    found = sessions(offline)
    runs = [of_type(records, "run")[0] for records in found]
    assert len(runs) >= 3 and len({r["run_id"] for r in runs}) == 1
    record = json.loads((offline / "run.json").read_text())
    assert runs[0]["run_id"].startswith(record["id"][:8])
    for run in runs:
        config = run["config"]["update"]
        assert run["resume"] and (run["project"], run["run_group"], run["job_type"]) == (
            "rtf",
            "small",
            "train",
        )
        assert run["display_name"] == record["name"] and run["tags"] == ["tiny"]
        assert (config["latent_dim"], config["command"], config["identity"]) == (
            4,
            record["command"],
            record["id"],
        )
    assert of_type(found[0], "preempting") and of_type(found[1], "exit")[0]["exit_code"] == 0


def test_history_goes_by_epoch_and_has_each_once(offline):
    lines = [line["item"] for records in sessions(offline) for line in of_type(records, "history")]
    epochs = [line for line in lines if "train/loss" in line]
    steps = [line["_step"] for line in lines]
    assert [line["epoch"] for line in epochs] == [line["_step"] for line in epochs] == [0, 1, 2, 3]
    assert steps == sorted(set(steps))
    for line, expected in zip(epochs, json.loads((offline / "history.json").read_text()), strict=True):
        assert {k: line[k] for k in expected} == expected
    axes = {
        m["glob_name"]: m["step_metric"] for m in of_type(sessions(offline)[0], "metric") if "glob_name" in m
    }
    assert axes == {"train/*": "epoch", "val/*": "epoch"}
    assert any(key.startswith("val/light_curves") for key in epochs[1])


def test_tables_figures_and_numbers_of_evaluations_are_there(offline):
    found = sessions(offline)
    values = {
        k: v for records in found for line in of_type(records, "history") for k, v in line["item"].items()
    }
    assert values["probe/by_class_coarse._type"] == values["early/by_class_coarse._type"] == "table-file"
    assert any(key.startswith("early/light_curves") for key in values)
    (table,) = offline.glob("wandb/*/files/media/table/probe/*.json")
    assert json.loads(table.read_text())["data"] == [list(row) for row in TABLE.rows]
    summary = {k: v for records in found for s in of_type(records, "summary") for k, v in s["update"].items()}
    metrics = json.loads((offline / "metrics.json").read_text())
    assert {k: summary[k] for k in metrics} == metrics
    assert summary["probe/fine/probe/accuracy/low"] == 0.4
    own, other = (
        f"{task}/coarse/head/first 3/ROC-AUC" for task in ("early", f"early@{digest_of('other')[:8]}")
    )
    assert summary[own] == summary[other] == 0.7 and f"{own}/low" not in summary
    saved = {f["path"] for records in found for files in of_type(records, "files") for f in files["files"]}
    assert {f"evaluations/{task}@{digest_of('own')[:8]}.json" for task in ("probe", "early")} <= saved


def test_a_finished_run_and_an_untracked_one_leave_wandb_alone(store, offline, tmp_path):
    before = len(sessions(offline))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = resolved(compose("train", [f"data.store={store}", f"run={offline}", *SMALL, "epochs=4"]))
    with tracked(offline, config) as tracker:
        fit(offline, config, instantiate(config.optimizer), callbacks=tracker.callbacks)
    assert len(sessions(offline)) == before
    train(store, tmp_path / "run", "epochs=1", "tracking=none")
    log_results(tmp_path / "run", "probe", [TABLE], [])
    assert not (tmp_path / "run/wandb").exists()


def test_online_without_a_login_says_what_to_do(server, store, tmp_path):
    with pytest.raises(RunError, match=r"wandb login.*tracking\.mode=offline"):
        train(store, tmp_path / "run", "epochs=1", "tracking.mode=online")


def test_online_the_model_and_the_fingerprints_go_too(server, store, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    run = tmp_path / "online"
    run.mkdir()
    (run / "fingerprints.parquet").write_bytes(b"PAR1")
    settings = ("epochs=3", "tracking.mode=online", f"tracking.entity={ENTITY}")
    with pytest.raises(SystemExit):
        train(store, run, *settings, stop=2)
    train(store, run, *settings)
    assert "wandb" not in capfd.readouterr().err
    (sent,) = server.projects["rtf"].values()
    epochs = [json.loads(line) for line in sent["history"] if "train/loss" in line]
    assert [line["epoch"] for line in epochs] == [0, 1, 2] and sent["state"] == "finished"
    assert {f"model-{sent['name']}", f"fingerprints-{sent['name']}"} <= set(sent["artifacts"])
    name = f"evaluations/probe@{digest_of('own')[:8]}.json"
    assert json.loads(sent["files"][name]) == json.loads((run / name).read_text())


def test_an_unknown_mode_is_named(store, tmp_path):
    with pytest.raises(RunError, match=r"tracking\.mode is 'live'"):
        train(store, tmp_path / "run", "tracking.mode=live")
