"""Evaluation after training: each task once, and again when its settings change."""

import json

import pytest
from omegaconf import OmegaConf

from rtf.evaluation.run import evaluate_run
from tests.small_runs import train

TASK = {"_target_": "rtf.evaluation.tasks.tasks.run_probe", "_partial_": True, "seed": 0, "n_bootstrap": 20}


def test_a_task_is_done_once_and_again_with_other_settings(store, tmp_path):
    run, sent = tmp_path / "run", []
    train(store, run, "epochs=1")
    tasks = OmegaConf.create({"probe": TASK})

    def note(name, tables, figures):
        sent.append((name, len(tables), len(figures)))

    assert evaluate_run(run, tasks, note) == ["probe"]
    first = json.loads((run / "probe.json").read_text())
    assert evaluate_run(run, tasks, note) == []
    tasks.probe.n_bootstrap = 30
    assert evaluate_run(run, tasks, note) == ["probe"]
    assert first != json.loads((run / "probe.json").read_text())
    assert sent == [("probe", 3, 2)] * 2


def test_a_task_that_fails_is_not_done(store, tmp_path):
    run = tmp_path / "run"
    train(store, run, "epochs=1")
    tasks = OmegaConf.create({"probe": {**TASK, "n_bootstrap": -1}})
    with pytest.raises(ValueError):
        evaluate_run(run, tasks)
    tasks.probe.n_bootstrap = 20
    assert evaluate_run(run, tasks) == ["probe"]
