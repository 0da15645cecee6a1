"""Read runs back, from run folders or from Weights & Biases, in one form.

Notable:
- unfinished and failed runs are among them: look at `state`
- what W&B answers is tested against responses written after the schema that the installed client asks for
"""

import glob
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import CONFIG
from rtf.evaluation.record import Evaluation, read_evaluation
from rtf.training.runs import METRICS, read_record, state
from rtf.training.tracking import EVALUATIONS, result_files

_WANDB = "wandb:"
#: States of W&B in our words; whatever else stops a run there (crashed, killed, preempted) interrupts it.
_STATES = {"finished": "finished", "running": "running", "failed": "failed", "pending": "new"}


@dataclass(frozen=True)
class Run:
    """One training run and what is known of it."""

    id: str  # identity of configuration and data, 64 hex digits; empty where it was not recorded
    name: str
    sweep: str | None
    state: str  # finished, running, interrupted, failed or new
    config: dict  # resolved
    metrics: dict = field(default_factory=dict)  # of the best epoch; empty unless training is finished
    history: list[dict] = field(default_factory=list)  # metrics of each epoch, in order
    evaluations: list[Evaluation] = field(default_factory=list)  # on any store
    #: By task, those on one store: the run's own, or that of the data set it stands in.
    results: dict[str, Evaluation] = field(default_factory=dict)
    store: str = ""  # digest of the one it was trained on; empty where nothing tells
    also_train: tuple[str, ...] | None = None  # digests of added stores; None where nothing tells
    where: str = ""  # run folder, or address in W&B


def read_runs(*sources: str | Path, progress=None) -> list[Run]:
    """All runs of the sources, each once.

    A source is a folder or a glob of folders, searched for run folders at any depth; or
    wandb:ENTITY/PROJECT[/SWEEP], read through W&B's public API (`wandb login` first). `progress` makes a bar.
    """
    folders, runs = {}, []
    for source in map(os.fspath, sources):
        if source.startswith(_WANDB):
            runs += (found := _from_wandb(source))
        else:
            tops = glob.glob(source, recursive=True)
            found = sorted({folder for top in tops for folder in _run_folders(top)})
            folders |= {os.path.realpath(folder): folder for folder in found}
        if not found:
            raise RunError(f"no run in {source}")
    with progress("runs", len(folders)) if progress else nullcontext(lambda done: None) as advance:
        for folder in folders.values():
            runs.append(_from_folder(folder))
            advance(1)
    return runs


def _run_folders(top: str) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        if CONFIG in files:
            yield Path(folder)
            below.clear()  # what is inside belongs to the run
        below[:] = [name for name in below if not name.startswith(".")]


def _from_folder(run: Path) -> Run:
    record = read_record(run)
    data = record.get("data") or {}
    evaluations = [_evaluation(_read(path, {}), path) for path in result_files(run)]
    return Run(
        id=record.get("id", ""),
        name=record.get("name") or run.resolve().name,
        sweep=record.get("sweep"),
        state=state(run),
        config=OmegaConf.to_container(OmegaConf.load(run / CONFIG)),
        metrics=_read(run / METRICS, {}),
        history=_read(run / "history.json", []),
        also_train=tuple(e["digest"] for e in data["also_train"]) if "also_train" in data else None,
        where=str(run),
        **_on_own_store(evaluations, (data.get("store") or {}).get("digest", "")),
    )


def _on_own_store(evaluations: list[Evaluation], store: str) -> dict:
    store = store or next((e.store["digest"] for e in evaluations if e.own), "")
    own = {e.task: e for e in evaluations if e.store["digest"] == store}
    return {"evaluations": evaluations, "results": own, "store": store}


def _evaluation(content: dict, where) -> Evaluation:
    try:
        return read_evaluation(content)
    except ValueError as error:
        raise RunError(f"{where}: {error}") from None


def _read(path: Path, default):
    if not path.exists():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}") from None


def _from_wandb(source: str) -> list[Run]:
    import wandb

    parts = source.removeprefix(_WANDB).split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise RunError(f"{source} should be wandb:ENTITY/PROJECT or wandb:ENTITY/PROJECT/SWEEP")
    project = "/".join(parts[:2])
    filters = {"group": parts[2]} if len(parts) == 3 else {}
    try:
        # not lazily: the configurations come with the list; histories and files are asked for run by run
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(_from_api, wandb.Api().runs(project, filters=filters, lazy=False)))
    except wandb.errors.UsageError as error:
        raise RunError(f"{source} needs a W&B account: `wandb login`, or WANDB_API_KEY ({error})") from None
    except (ValueError, wandb.errors.Error) as error:
        raise RunError(f"{source} cannot be read from W&B, or not from this account: {error}") from error


def _from_api(run) -> Run:
    """A run of `wandb.Api`, where `rtf.training.tracking` put it."""
    config = {k: v for k, v in run.config.items() if k not in ("identity", "command")}
    # Not W&B's own entries, an epoch's, a task's or an image: those of metrics.json.
    summary = {
        k: v for k, v in run.summary.items()
        if isinstance(v, int | float | str)
        and (k.startswith("val/") or ("/" not in k and k[0] != "_" and k not in ("epoch", "seconds")))
    }  # fmt: skip
    # An epoch interrupted between its logging and its checkpoint is there twice: the later counts.
    epochs = {line["epoch"]: line for line in run.scan_history() if "train/loss" in line}
    return Run(
        id=run.config.get("identity") or "",
        name=run.name,
        sweep=run.group,
        state=_STATES.get(run.state, "interrupted"),
        config=config,
        metrics=summary if "best_epoch" in summary else {},
        history=[
            {k: v for k, v in epochs[e].items() if not k.startswith("_") and isinstance(v, int | float)}
            for e in sorted(epochs)
        ],
        where=run.url,
        **_on_own_store(_wandb_evaluations(run), ""),
    )


def _wandb_evaluations(run) -> list[Evaluation]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(run.files(), key=lambda file: file.name):
            if file.name.startswith(f"{EVALUATIONS}/") and file.name.endswith(".json"):
                with file.download(root=folder, replace=True) as opened:
                    found.append(_evaluation(json.load(opened), f"{run.url}, {file.name}"))
    return found
