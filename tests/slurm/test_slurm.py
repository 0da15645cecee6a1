"""Sweeps on a real SLURM: preempted runs go on and end as if nothing had happened, failed ones fail alone."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import rtf
from rtf.cli.command import resolved
from rtf.store.read import open_store
from rtf.training.fit import fit
from rtf.training.runs import state
from tests.packets import packets, write_avro
from tests.slurm.conftest import until
from tests.slurm.settings import SMALL

ROOT = Path(rtf.__file__).parents[1]
#: What depends on the clock.
TIMINGS = {"seconds", "minutes", "train/sources_per_second"}
EPOCHS = 20


@pytest.fixture(scope="module", autouse=True)
def jobs_of_one_core(tmp_path_factory):
    """The user's cluster file."""
    path = tmp_path_factory.mktemp("user") / "cluster.yaml"
    path.write_text("cpu: {partition: batch, cpus_per_task: 1}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RTF_CLUSTER", str(path))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@contextmanager
def started(line: str, *settings: str) -> Iterator[subprocess.Popen]:
    """A command as a user gives it; it does not outlive the test."""
    command = [sys.executable, "-m", *line.split(), *(settings or SMALL)]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def slurm_says(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def untimed(path: Path):
    rows = json.loads(path.read_text())
    if isinstance(rows, dict):
        return {k: v for k, v in rows.items() if k not in TIMINGS}
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]


def test_preempted_runs_of_a_sweep_end_as_if_uninterrupted_and_a_failed_one_is_named(slurm, survey, tmp_path):
    settings = f"data.store={survey} epochs={EPOCHS} sweep=s runs={tmp_path}"
    preempted = []
    with started(
        f"rtf.train -m hydra/launcher=slurm_cpu {settings} imbalance=none,sampling,oversample"
    ) as sweep:
        for name in ("TERM", "USR2"):  # preemption with a time of grace; the time limit
            run = until(lambda: next(iter(set(trained(tmp_path / "s")) - {*preempted}), None), "an epoch")
            slurm_says("scancel", f"--signal={name}", array_job(record(run)["attempts"][0]["job"]))
            preempted.append(run)
        _, err = sweep.communicate(timeout=300)

    assert sweep.returncode != 0 and "imbalance is 'oversample'" in err and "'imbalance=oversample'" in err, (
        err
    )
    runs = [path.parent for path in (tmp_path / "s").glob("*/run.json")]
    assert sorted(map(state, runs)) == ["failed", "finished", "finished"]
    for run, name in zip(preempted, ("SIGTERM", "SIGUSR2")):
        log = (run / "train.log").read_text()
        assert log.count(f"{name}: job") == log.count("is requeued") == 1
        first, second = record(run)["attempts"]
        assert first["job"] == second["job"] and 0 < second["from_epoch"] < EPOCHS
        imbalance = OmegaConf.load(run / "config.yaml").imbalance
        whole = tmp_path / imbalance
        train_here(whole, *settings.split(), f"imbalance={imbalance}")
        for name in ("metrics.json", "history.json"):
            assert untimed(run / name) == untimed(whole / name), f"{run}: {name}"


def test_processes_that_share_a_run_are_requeued_together_into_the_same_tracked_run(slurm, survey, tmp_path):
    """Two tasks of one job train one model; what W&B is told of it, by whichever attempt, is one W&B run."""
    settings = f"data.store={survey} epochs={EPOCHS}"
    shared = f"rtf.train -m hydra/launcher=slurm_cpu {settings} sweep=s runs={tmp_path} devices=2"
    with started(shared, *SMALL, "tracking=wandb", "~tracking.pictures") as training:
        run = until(lambda: next(iter(trained(tmp_path / "s")), None), "an epoch")
        slurm_says("scancel", "--signal=TERM", record(run)["attempts"][0]["job"])
        _, err = training.communicate(timeout=300)
    assert training.returncode == 0, err
    first, second = record(run)["attempts"]
    assert first["job"] == second["job"] and 0 < second["from_epoch"] < EPOCHS
    train_here(tmp_path / "one", *settings.split())
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "one", run))
    assert two["val/loss"] == pytest.approx(one["val/loss"], rel=0.03)
    assert len(json.loads((run / "history.json").read_text())) == EPOCHS
    tracked = [path.stem.removeprefix("run-") for path in run.glob("wandb/offline-run-*/run-*.wandb")]
    assert len(tracked) == 2 and len({*tracked}) == 1


def test_a_sweep_ends_when_a_job_died_and_left_no_result(slurm, survey, tmp_path):
    """This SLURM keeps no accounts, so that only its queue tells."""
    settings = f"data.store={survey} epochs=100000 sweep=s runs={tmp_path}"
    with started(f"rtf.train -m hydra/launcher=slurm_cpu {settings}") as sweep:
        run = until(lambda: next(iter(trained(tmp_path / "s")), None), "an epoch")
        slurm_says("scancel", "--signal=KILL", record(run)["attempts"][0]["job"])
        _, err = sweep.communicate(timeout=120)
    assert sweep.returncode != 0 and "not produced any output" in err, err


def test_a_store_is_made_by_the_jobs_of_an_array(slurm, tmp_path):
    """Each job reads its share of the alerts; the last one to finish merges."""
    write_avro(tmp_path / "alerts", [p for k in range(9) for p in packets(f"ZTF20aaaa{k:03d}", n=4, seed=k)])
    line = [sys.executable, "-m", "rtf.preprocess"]
    settings = [f"input={tmp_path}/alerts", "workers=0", "progress=false"]
    subprocess.run([*line, *settings, f"out={tmp_path}/whole.zarr"], cwd=ROOT, check=True, timeout=120)
    array = [
        "-m",
        *settings,
        "shards=2",
        "shard=range(2)",
        "hydra/launcher=slurm_cpu",
        f"out={tmp_path}/shared.zarr",
    ]
    subprocess.run([*line, *array], cwd=ROOT, check=True, timeout=240)
    assert len(list((tmp_path / "shared.zarr.jobs").rglob("*_submitted.pkl"))) == 2
    stores = [open_store(tmp_path / f"{name}.zarr") for name in ("whole", "shared")]
    assert stores[0].n == stores[1].n == 9 and stores[0].digest == stores[1].digest


def trained(sweep: Path) -> list[Path]:
    """Runs that can be continued."""
    return [path.parents[1] for path in sweep.glob("*/checkpoints/last.ckpt")]


def array_job(number: str) -> str:
    """1_0, the job of an array, for the number that it has by itself."""
    jobs = dict(line.split() for line in slurm_says("squeue", "-h", "-r", "-o", "%A %i").splitlines())
    return jobs.get(number, number)


def train_here(run: Path, *overrides: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = resolved(compose("train", [*SMALL, *overrides]))
    fit(run, config, instantiate(config.optimizer))


def test_a_script_of_ones_own_is_requeued_at_a_signal_and_stays_cancelled(slurm, tmp_path):
    script, out, log = (tmp_path / name for name in ("job.sh", "out", "log"))
    (tmp_path / "train.py").write_text(
        "import logging, time\n"
        "from rtf.training.preemption import Preemption\n"
        f"logging.basicConfig(filename='{log}')\n"
        "with Preemption():\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(600)\n"
        "print('done')\n"
    )
    script.write_text(f"#!/bin/bash\nsrun {sys.executable} {tmp_path}/train.py\n")
    options = ("--parsable", f"--chdir={ROOT}", f"--output={out}", "--open-mode=append", "--requeue")
    job = slurm_says("sbatch", *options, str(script)).strip()

    def attempts() -> int:
        return out.read_text().count("begun") if out.exists() else 0

    until(attempts, "the first attempt")
    slurm_says("scancel", "--signal=USR1", job)
    until(lambda: attempts() == 2, "the second attempt")
    slurm_says("scancel", job)
    until(lambda: job not in slurm_says("squeue", "-h", "-o", "%i"), "the end of the job")
    assert attempts() == 2 and "done" not in out.read_text()
    said = log.read_text()  # srun passes nothing on once its job was cancelled
    assert f"SIGUSR1: job {job} is requeued" in said and f"SIGTERM: job {job} was ended" in said


def test_outside_slurm_sigterm_ends_training_at_once(survey, tmp_path):
    run = tmp_path / "run"
    with started(f"rtf.train data.store={survey} run={run} epochs=100000") as training:
        until(lambda: (run / "checkpoints/last.ckpt").exists(), "the first epoch")
        training.send_signal(signal.SIGTERM)
        out, err = training.communicate(timeout=60)
    assert training.returncode == 128 + signal.SIGTERM
    assert "SIGTERM: stopping; the same command continues" in out + err and "Traceback" not in out + err
    assert state(run) == "interrupted" and not (run / "failed.json").exists()
