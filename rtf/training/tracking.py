"""A run in Weights & Biases: the mirror of its run folder, which stays the truth.

Notable:
- one run folder is one W&B run, whose id follows from the run's identity: an interrupted training, a repeated
  command and an evaluation by hand go on in it
- W&B's step is the epoch. tracking.json notes what W&B has, so that no epoch is logged twice or missing;
  results of evaluations follow after the last epoch
- offline, the default, needs no account and no network: each attempt is a folder RUN/wandb/offline-run-*, and
  `wandb sync` sends them in the order of their times
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import CONFIG, STATISTICS, WEIGHTS, read_config
from rtf.files import write_json
from rtf.training.runs import METRICS, is_main, read_record

#: Which W&B run mirrors a run folder: {mode, project, entity, id, step}, the step being the next.
TRACKING = "tracking.json"
MODES = ("offline", "online", "none")
#: What evaluations measured: one file a task and store, TASK@STORE.json (`rtf.evaluation.record`).
EVALUATIONS = "evaluations"
_HISTORY, _FINGERPRINTS = "history.json", "fingerprints.parquet"


class Tracker(Callback):
    """Writes one run to W&B, opened when there is something to log; a callback that logs each epoch.

    Parameters
    ----------
    run : run folder
    where : mode, project and entity; what tracking.json of the run has is added
    pictures : settings of a callback that draws during training, or None
    """

    def __init__(self, run: str | Path, where: dict, pictures: DictConfig | None = None):
        self.run, self.session = Path(run), None
        self.where = _read_tracking(self.run) | where
        drawing = [instantiate(pictures, log=self.log_picture)] if pictures else []
        #: For the trainer. Pictures come first: logging an epoch ends it.
        self.callbacks = () if where["mode"] == "none" else (*drawing, self)

    def on_fit_start(self, trainer, task) -> None:
        if trainer.is_global_zero:
            self.open()  # so that a missing login is told of before the first epoch

    def on_train_epoch_end(self, trainer, task) -> None:
        if trainer.is_global_zero:
            self.log_epochs(trainer.current_epoch + 1)

    def log_epochs(self, end: int) -> None:
        """Log the epochs before `end` that W&B does not have."""
        self.open()
        for line in json.loads((self.run / _HISTORY).read_text()):
            if self.where["step"] <= line["epoch"] < end:
                self._log(line, line["epoch"])

    def _log(self, values: dict, step: int) -> None:
        self.session.log(values, step=step, commit=True)
        self.where["step"] = step + 1
        write_json(self.run / TRACKING, self.where)

    def log_picture(self, name: str, path: Path, epoch: int) -> None:
        """Add a picture to an epoch that is not logged yet."""
        import wandb

        self.log_epochs(epoch)
        if self.where["step"] <= epoch:
            self.session.log({name: wandb.Image(str(path))}, step=epoch, commit=False)

    def log_results(self, task: str, tables: Sequence, figures: Sequence[Path]) -> None:
        """Send what an evaluation task made: its tables and figures, and the records of all tasks.

        Parameters
        ----------
        task : name of the evaluation, with the store where it is not the run's own
        tables : with a title, columns and rows of text (`rtf.documents.Table`)
        figures : images, or pages of HTML
        """
        if self.where["mode"] == "none":
            return
        import wandb

        self.open()
        made = {}
        for table in tables:
            rows = [list(row) for row in table.rows]
            made[f"{task}/{_key(table.title)}"] = wandb.Table(list(table.columns), rows)
        for figure in map(Path, figures):
            name = f"{task}/{_key(figure.stem)}"
            if figure.suffix == ".html":
                made[f"{name}_page"] = wandb.Html(str(figure), inject=False)
            else:
                made[name] = wandb.Image(str(figure))
        self._log(made, max(self.where["step"], read_config(self.run).epochs))
        self._mirror()

    def open(self):
        """The W&B run, opened or resumed if it is not open."""
        if self.session is None:
            self.where["id"] = self.where.get("id") or wandb_id(self.run)
            self.session = _open(self.run, self.where)
            self.where["step"] = max(self.where.get("step", 0), self.session.step)
        return self.session

    def close(self, interrupted: bool = False, failed: bool = False) -> None:
        """End the W&B run, if it was opened; an interrupted one is marked as one that will go on."""
        if self.session is None:
            return
        if interrupted:
            self.session.mark_preempting()
        elif not failed:
            self._mirror()
            if self.where["mode"] == "online":
                self._send_artifacts()
        self.session.finish(exit_code=int(interrupted or failed))
        self.session = None

    def _mirror(self) -> None:
        """Metrics and records of the run folder to the summary, its evaluations to the W&B run's files."""
        metrics = self.run / METRICS
        if metrics.exists():
            self.session.summary.update(json.loads(metrics.read_text()))
        for path in result_files(self.run):
            self.session.summary.update(numbers(json.loads(path.read_text(encoding="utf-8"))))
            # A copy, not the link that `save` would make: the run folder may be moved before it is sent.
            copy = Path(self.session.dir) / EVALUATIONS / path.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
            self.session.save(str(copy), base_path=self.session.dir, policy="now", glob=False)

    def _send_artifacts(self) -> None:
        import wandb

        for kind, names in (("model", (WEIGHTS, CONFIG, STATISTICS)), ("fingerprints", (_FINGERPRINTS,))):
            if not all((self.run / name).exists() for name in names):
                continue
            artifact = wandb.Artifact(f"{kind}-{self.session.id}", kind)
            for name in names:
                artifact.add_file(str(self.run / name))
            self.session.log_artifact(artifact)


@contextmanager
def tracked(run: str | Path, config: DictConfig) -> Iterator[Tracker]:
    """Track what is done inside, as `config.tracking` says; the W&B run ends with it.

    Raises
    ------
    RunError : `config.tracking.mode` is unknown, or W&B cannot be reached or refuses the run
    """
    settings = config.tracking
    if settings.mode not in MODES:
        raise RunError(f"tracking.mode is {settings.mode!r}; it must be one of {', '.join(MODES)}")
    where = {k: settings.get(k) for k in ("mode", "project", "entity")} if is_main() else {"mode": "none"}
    tracker = Tracker(run, where, settings.get("pictures"))
    try:
        yield tracker
    except Exception:
        tracker.close(failed=True)
        raise
    except BaseException:  # Ctrl-C, or the end of a job's time
        tracker.close(interrupted=True)
        raise
    tracker.close()


def log_results(run: str | Path, task: str, tables: Sequence, figures: Sequence[Path]) -> None:
    """Send the results of an evaluation made after the training to the run's W&B run, if it was tracked."""
    if where := _read_tracking(Path(run)):
        tracker = Tracker(run, where)
        tracker.log_results(task, tables, figures)
        tracker.close()


def result_files(run: Path) -> list[Path]:
    """The evaluations of a run folder."""
    return sorted((run / EVALUATIONS).glob("*@*.json"))


def numbers(evaluation: dict) -> dict[str, float]:
    """The records of an evaluation by name, such as probe/fine/accuracy or early/coarse/head/first 3/ROC-AUC.

    Ends of intervals are NAME/low and NAME/high. On a store that is not the run's own, the task is
    TASK@STORE.
    """
    task = evaluation["task"]
    if not evaluation["own"]:
        task += f"@{evaluation['store']['digest'][:8]}"
    found = {}
    for record in evaluation["records"]:
        shown = f"first {record['shown']}" if record.get("shown") else None
        words = (task, record.get("level"), record.get("method"), record.get("group"), shown, record["score"])
        name = "/".join(word for word in words if word)
        values = ((name, "value"), (f"{name}/low", "low"), (f"{name}/high", "high"))
        found |= {key: record[end] for key, end in values if record.get(end) is not None}
    return found


def wandb_id(run: Path) -> str:
    """The W&B id of a run folder: 8 digits of the run's identity, and 8 of its sweep and name.

    The same configuration trained in another sweep, or under another name, is another W&B run.
    """
    record = read_record(run)
    text = (run / CONFIG).read_text()
    identity = record.get("id") or hashlib.sha256(text.encode()).hexdigest()
    place = f"{record.get('sweep') or ''}/{run.resolve().name}"
    return identity[:8] + hashlib.sha256(place.encode()).hexdigest()[:8]


def _read_tracking(run: Path) -> dict:
    path = run / TRACKING
    return json.loads(path.read_text()) if path.exists() else {}


def _open(run: Path, where: dict):
    import wandb

    record, config = read_record(run), OmegaConf.to_container(read_config(run))
    more = {"identity": record.get("id"), "command": record.get("command")}
    # For wandb as a whole too: offline it would otherwise ask the server whether to report errors to it.
    wandb.setup(wandb.Settings(mode=where["mode"], silent=True))
    settings = wandb.Settings(mode=where["mode"], silent=True, reinit="create_new")
    try:
        session = wandb.init(
            dir=str(run), id=where["id"], resume="allow",
            project=where["project"], entity=where["entity"], group=record.get("sweep"), job_type="train",
            name=record.get("name") or run.resolve().name, tags=record.get("tags"), config=config | more,
            settings=settings,
        )  # fmt: skip
    except wandb.errors.Error as error:
        raise RunError(
            f"{run} cannot be tracked in W&B ({error}): log in with `wandb login`, see tracking.project and "
            "tracking.entity, or take tracking.mode=offline"
        ) from error
    session.define_metric("epoch", hidden=True)
    for kind in ("train", "val"):
        session.define_metric(f"{kind}/*", step_metric="epoch")
    return session


def _key(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower()
