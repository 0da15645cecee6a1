"""Run folders: which one a configuration has, who may train in it, and how far it is.

Notable:
- the same settings and data have the same folder, RUNS/SWEEP/NAME-ID. Settings that only say how a run is
  carried out (`FREE`) do not count, and data count by their content, not by their path
- the lock is the kernel's (flock): it ends with the process that holds it. NFS (Linux 2.6.12 and later)
  carries it between machines, Lustre does if mounted with `flock`
- of the processes that train one model together the first holds the lock, and the others follow
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch import distributed

from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import CONFIG
from rtf.files import whole, write_json
from rtf.store.read import open_store
from rtf.training.checkpoints import LAST

#: Settings that may differ when a run is continued: they say how it runs and is looked at, not what it is.
FREE = (
    "run", "runs", "sweep", "name", "tags", "tracking", "evaluate", "n_bootstrap", "scale", "progress",
    "accelerator", "devices", "num_nodes", "num_threads", "log_every", "debug",
)  # fmt: skip

RECORD, FAILURE, LOCK, METRICS = "run.json", "failed.json", ".lock", "metrics.json"

#: Environment variable: the run that a process was started to train together with the one that started it.
TOGETHER = "RTF_TOGETHER"


class RunRefused(RunError):
    """The run folder is not for this process: nothing is wrong with the run in it."""


class RunBusy(RunRefused):
    """Another process is training the run at this moment."""


def stores(config: DictConfig) -> list[str]:
    """Paths of the stores that a configuration trains on, its own first."""
    more = [entry if isinstance(entry, str) else entry["store"] for entry in config.data.also_train]
    return [str(config.data.store), *map(str, more)]


def identity(config: DictConfig) -> str:
    """SHA-256, in hex, of what a resolved configuration trains, on which data.

    Raises
    ------
    StoreError : a store of it cannot be read
    """
    settings = {k: v for k, v in OmegaConf.to_container(config).items() if k not in FREE}
    data = dict(settings["data"])
    digests = iter(entry["digest"] for entry in data_of(config))
    data["store"] = next(digests)
    data["also_train"] = [
        next(digests) if isinstance(e, str) else {**e, "store": next(digests)} for e in data["also_train"]
    ]
    text = json.dumps({**settings, "data": data}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def data_of(config: DictConfig) -> list[dict]:
    """Path and digest of the stores that a configuration trains on, its own first."""
    return [{"path": os.path.abspath(path), "digest": open_store(path).digest} for path in stores(config)]


def run_name(config: DictConfig) -> str:
    """`config.name`, or one that says what sets a run apart, such as vae_64_photometry+metadata_s0."""
    if config.name:
        return str(config.name)
    part = {group: config[group]["_target_"].split(".")[-2] for group in ("bottleneck", "decoder")}
    words = [part["bottleneck"], str(config.latent_dim), "+".join(config.modalities)]
    if "stamps" in config.modalities:
        backbone = config.image_backbone
        kinds = {"greyscale": backbone.get("greyscale"), "finetuned": backbone.get("frozen") is False}
        kinds = [kind for kind, is_so in kinds.items() if is_so]
        words.append("-".join([backbone["_target_"].split(".")[-2], *kinds]))
    if part["decoder"] != "query":
        words.append(part["decoder"])
    return "_".join([*words, f"s{config.seed}"])


def run_folder(config: DictConfig) -> Path:
    """The folder of a run: `config.run`, or RUNS/SWEEP/NAME-ID."""
    if config.run:
        return Path(config.run)
    name = re.sub(r"[^\w.+=-]+", "-", run_name(config))
    return Path(config.runs) / str(config.sweep or "") / f"{name}-{identity(config)[:8]}"


def refuse_other(run: Path, config: DictConfig, run_id: str) -> None:
    """Make sure that what was trained in the run folder, if anything, was this configuration on these data.

    A folder in which no epoch was finished is free for another: a mistake is mended under the same name.

    Raises
    ------
    RunRefused : it is not; the message names what differs
    """
    if not ((run / CONFIG).exists() and _began(run)):
        return
    former = read_record(run).get("id")
    if former == run_id:
        return
    new, old = (OmegaConf.to_container(c) for c in (config, OmegaConf.load(run / CONFIG)))
    different = sorted(k for k in {*new, *old} if k not in FREE and new.get(k) != old.get(k))
    changes = "; ".join(f"{k}: {old.get(k)} there, {new.get(k)} now" for k in different)
    if not changes and former is not None:
        changes = f"the data in {', '.join(stores(config))} are not those it was begun with"
    if changes:
        raise RunRefused(f"{run} holds a run of another configuration ({changes}). Choose another run=")


def is_main() -> bool:
    """Whether this is the first of the processes that train one model together: the one that writes."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_only  # takes seconds, and a report needs none

    return rank_zero_only.rank == 0


@contextmanager
def hold_together(run: Path) -> Iterator[None]:
    """`hold`, for all the processes that train one model together; it raises in every one of them."""
    if distributed.is_initialized():  # a sweep whose earlier runs they trained together
        refused = [None]
        with ExitStack() as stack:
            if is_main():
                try:
                    stack.enter_context(hold(run))
                except RunError as error:
                    refused = [error]
            distributed.broadcast_object_list(refused)
            if refused[0] is not None:
                raise refused[0]
            yield
    elif is_main():
        with hold(run):
            os.environ[TOGETHER] = str(run.resolve())  # seen by the processes that Lightning starts meanwhile
            try:
                yield
            finally:
                os.environ.pop(TOGETHER, None)
    else:
        follow(run)
        yield


def follow(run: Path, patience: float = 600.0) -> None:
    """Wait until the first of the processes that train one model together has taken the run up, else RunBusy.

    Under SLURM all processes of a job begin by themselves, and wait at most `patience` [s]. Where Lightning
    began this one, the first had taken a run up before. Elsewhere (torchrun) nothing is known.
    """
    if started_for := os.environ.get(TOGETHER):
        if str(run.resolve()) != started_for:
            raise RunBusy(f"{run} is not what the first process trains")
    elif slurm_job():
        end = time.monotonic() + patience
        while not (run / METRICS).exists() and not (_held(run) and _holder(run).endswith(_in_job())):
            if time.monotonic() > end:
                raise RunBusy(f"{run} is being trained by {_holder(run)}")
            time.sleep(0.2)


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Keep all other processes from training in the run folder.

    Raises
    ------
    RunBusy : another process holds it; the message says which
    RunError : the file system knows no locks
    """
    run.mkdir(parents=True, exist_ok=True)
    with open(run / LOCK, "a+") as file:
        try:
            _lock(file)
        except BlockingIOError:
            raise RunBusy(f"{run} is being trained by {_holder(run)}") from None
        except OSError as error:
            message = f"{run} cannot be locked ({error}): put runs= on a file system with flock"
            raise RunError(message) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}{_in_job()}\n")
        file.flush()
        yield


def _holder(run: Path) -> str:
    """Who holds the run, or held it last: process, host and SLURM job."""
    lock = run / LOCK
    return (lock.read_text().strip() if lock.exists() else "") or "another process"


def _lock(file, patience: float = 1.0) -> None:
    """Take the lock; one held longer than `patience` [s] is a training, a shorter one was `state` looking."""
    end = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def state(run: str | Path) -> str:
    """How far a run is: finished, running, failed, interrupted, or new (nothing was trained yet)."""
    run = Path(run)
    if _held(run):
        return "running"
    if (run / FAILURE).exists():
        return "failed"
    if (run / METRICS).exists():
        return "finished"
    return "interrupted" if (run / LAST).exists() else "new"


def _held(run: Path) -> bool:
    try:
        with open(run / LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or no locks: nobody can hold it
        return False
    return False


def read_record(run: str | Path) -> dict:
    """run.json, or {} where a folder has none."""
    path = Path(run) / RECORD
    return json.loads(path.read_text()) if path.exists() else {}


def begin(run: Path, config: DictConfig, run_id: str) -> None:
    """Keep the configuration, and note in run.json that this process takes the run up.

    Paths of stores are kept as absolute ones: they are the same from every folder.
    """
    data = data_of(config)
    if not (run / CONFIG).exists() or not _began(run):
        kept, paths = config.copy(), [entry["path"] for entry in data]
        kept.data.store = paths[0]
        for k, (entry, path) in enumerate(zip(kept.data.also_train, paths[1:], strict=True)):
            if isinstance(entry, str):
                kept.data.also_train[k] = path
            else:
                entry.store = path
        with whole(run / CONFIG) as temporary:
            OmegaConf.save(kept, temporary)
    record = read_record(run)
    attempt = {"started": _now(), "host": socket.gethostname(), "job": slurm_job()}
    attempt["from_epoch"] = _epochs_done(run)
    record = {
        "id": run_id,
        "name": run_name(config),
        "sweep": config.sweep,
        "tags": list(config.tags),
        "command": _command(run),
        "data": {"store": data[0], "also_train": data[1:]},
        "attempts": [*record.get("attempts", []), attempt],
    }
    write_json(run / RECORD, record)


def record_model(run: Path, space: str, classes: list[str]) -> None:
    """Note in run.json the space of the fingerprints (`rtf/encoding/space.py`) and the classes trained on."""
    write_json(run / RECORD, {**read_record(run), "space": space, "classes": classes})


def in_slurm_step() -> bool:
    """Whether srun started this process; the shell of an allocation is none, though it has its variables."""
    return "SLURM_STEP_ID" in os.environ and "SLURM_JOB_ID" in os.environ


def environment() -> list:
    """For Lightning, which takes a shell in an allocation for one of SLURM's processes: what it really is."""
    from lightning.pytorch.plugins.environments import LightningEnvironment

    return [] if in_slurm_step() or "SLURM_NTASKS" not in os.environ else [LightningEnvironment()]


def slurm_job() -> str | None:
    """Number of the SLURM job that this process belongs to, as all SLURM commands take it, or None outside.

    $SLURM_JOB_ID alone will not do: one job of an array has the number of the array.
    """
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


@contextmanager
def record_failure(run: Path) -> Iterator[None]:
    """Leave failed.json in the run folder if what is done inside fails, and none if it does not.

    Being interrupted is no failure.
    """
    try:
        yield
    except RunRefused:
        raise
    except Exception as error:
        failure = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        write_json(run / FAILURE, failure | {"when": _now(), "host": socket.gethostname()})
        raise
    (run / FAILURE).unlink(missing_ok=True)


def _command(run: Path) -> str:
    """The command that repeats this run alone, also when it was one job of a sweep."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return shlex.join(sys.argv)
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("run=")]
    return shlex.join(["python", "-m", "rtf.train", *overrides, f"run={run}"])


def _began(run: Path) -> bool:
    return (run / LAST).exists() or (run / METRICS).exists()


def _epochs_done(run: Path) -> int:
    history = run / "history.json"
    done = (run / LAST).exists() and history.exists()
    return len(json.loads(history.read_text())) if done else 0


def _in_job() -> str:
    return f", job {slurm_job()}" if slurm_job() else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
