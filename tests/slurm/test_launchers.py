"""The launchers of a sweep without a cluster: what they ask for, and the local one at work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import rtf
from rtf.cli.cluster import SETTINGS, ClusterError, read_cluster, setting
from tests.slurm.settings import SMALL

ROOT = Path(rtf.__file__).parents[1]
EXAMPLE = ROOT / "conf/cluster.example.yaml"


@pytest.fixture(autouse=True)
def no_cluster_file(monkeypatch, tmp_path):
    """No file but the test's own is found."""
    monkeypatch.delenv("RTF_CLUSTER", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def launcher(name: str, *overrides: str) -> dict:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["hydra/launcher=" + name, *overrides], return_hydra_config=True)
    with_values = config.hydra.launcher
    for key in ("submitit_folder", "name"):  # known only when Hydra runs
        with_values[key] = ""
    return OmegaConf.to_container(with_values, resolve=True)


def test_without_a_cluster_file_slurm_decides():
    for name in ("slurm_gpu", "slurm_cpu"):
        made = launcher(name)
        assert [made[k] for k in ("partition", "account", "qos", "cpus_per_task", "mem_gb")] == [None] * 5
        assert made["additional_parameters"] == {"requeue": True} and made["timeout_min"] == 240
        assert made["tasks_per_node"] == made["nodes"] == 1
    assert launcher("slurm_gpu")["gres"] == "gpu:1" and launcher("slurm_cpu")["gres"] is None


def test_devices_and_nodes_of_the_training_are_those_of_the_job(monkeypatch):
    monkeypatch.setenv("RTF_CLUSTER", str(EXAMPLE))
    made = launcher("slurm_gpu", "devices=4", "num_nodes=2")
    assert (made["nodes"], made["tasks_per_node"], made["gres"]) == (2, 4, "gpu:a100:4")


def test_the_example_names_every_setting_and_fills_the_launchers(monkeypatch):
    monkeypatch.setenv("RTF_CLUSTER", str(EXAMPLE))
    assert set(read_cluster(EXAMPLE)["gpu"]) == set(SETTINGS)
    gpu, cpu = launcher("slurm_gpu"), launcher("slurm_cpu", "hydra.launcher.qos=long")
    assert (gpu["partition"], cpu["partition"], cpu["qos"]) == ("gpu", "batch", "long")
    assert gpu["account"] == cpu["account"] == "astro" and gpu["setup"][1:] == ["module load cuda"]
    assert gpu["additional_parameters"] == {"requeue": True, "mail-type": "FAIL"}


def test_the_file_is_found_here_then_at_home(tmp_path):
    home = tmp_path / ".config/rtf/cluster.yaml"
    home.parent.mkdir(parents=True)
    home.write_text("cpu: {partition: home}")
    assert setting("cpu", "partition") == "home" and setting("gpu", "partition") is None
    Path("cluster.yaml").write_text("partition: here\nadditional_parameters: {requeue: false}")
    assert setting("cpu", "partition") == setting("gpu", "partition") == "here"
    assert setting("cpu", "additional_parameters") == {}
    Path("cluster.yaml").write_text("setup: ['export TMPDIR=${SLURM_TMPDIR:-/tmp}']")
    assert launcher("slurm_cpu")["setup"][1:] == ["export TMPDIR=${SLURM_TMPDIR:-/tmp}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu: {partiton: a}", "cluster.yaml: gpu.partiton is no setting; there are partition, account"),
        ("gpus: {partition: a}", "cluster.yaml: gpus is no setting; there are gpu, cpu, partition"),
        ("cpu: {mem_gb: 16G}", "cluster.yaml: cpu.mem_gb must be of type int, not '16G'"),
        ("setup: [1]", "cluster.yaml: setup must be a list of lines"),
        ("cpu: batch", "cluster.yaml: cpu must be a mapping of settings, not 'batch'"),
        ("- gpu", "cluster.yaml: the file must be a mapping"),
        ("gpu: {", "cluster.yaml is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(text, message):
    Path("cluster.yaml").write_text(text)
    with pytest.raises(ClusterError, match=message):
        setting("gpu", "partition")


def test_a_cluster_file_that_is_named_must_exist(monkeypatch):
    monkeypatch.setenv("RTF_CLUSTER", "nowhere.yaml")
    with pytest.raises(ClusterError, match=r"RTF_CLUSTER=nowhere.yaml: no such file"):
        setting("gpu", "partition")


def test_a_sweep_in_processes_of_this_machine(survey, tmp_path):
    line = f"rtf.train -m hydra/launcher=local data.store={survey} runs={tmp_path} sweep=s seed=5"
    done = subprocess.run([sys.executable, "-m", *line.split(), *SMALL, "epochs=1"], cwd=ROOT,
                          capture_output=True, text=True, timeout=200)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "s").glob("*/metrics.json")
    assert json.loads((run.parent / "run.json").read_text())["name"].endswith("_s5")
