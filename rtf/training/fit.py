"""Train one run, into one folder, from the beginning or from where it was stopped.

The run folder is the truth (its contents: `rtf/encoding/load.py`). Until training is finished it also holds
checkpoints/last.ckpt, written at the end of every epoch; the same command continues from it, and ends with
the same metrics as a run that was not stopped, because whatever is random in epoch k follows from (seed, k).
"""

import atexit
import json
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from omegaconf import DictConfig
from torch import distributed

from rtf import __version__
from rtf.alerts.surveys import survey_named
from rtf.classes import FINE
from rtf.encoding import load
from rtf.encoding.fingerprinter import Fingerprinter, RunError
from rtf.encoding.strangeness import fit_strangeness
from rtf.features.normalisation import masked_columns, save_statistics
from rtf.features.view import view_settings
from rtf.files import whole, write_json
from rtf.models.autoencoder import Autoencoder
from rtf.models.calibration import fit_temperature
from rtf.models.encoder import ImageBranch
from rtf.models.losses import class_log_prior, survey_log_prior
from rtf.store.batches import Sources
from rtf.store.read import open_store
from rtf.training.augment import Augmentation
from rtf.training.checkpoints import Checkpoints, WholeCheckpoints, newest_checkpoint
from rtf.training.data import TrainingBatches, TrainingData, ValidationBatches, load_training_data
from rtf.training.runs import (
    METRICS,
    begin,
    environment,
    hold_together,
    identity,
    is_main,
    record_model,
    refuse_other,
)
from rtf.training.task import ReconstructionTask

log = logging.getLogger(__name__)

#: What is done about classes that are not equally common.
IMBALANCE = ("none", "sampling", "logit_adjustment")


class History(Callback):
    """Metrics of every epoch, kept in history.json and in the checkpoint, and a log line now and then."""

    def __init__(self, run: Path, every: int):
        self.run, self.every, self.epochs = run, every, {}

    def on_train_epoch_start(self, trainer, task) -> None:
        self.sources, self.seconds, self.began = 0, 0.0, time.perf_counter()

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx) -> None:
        self.sources += len(batch) * trainer.world_size
        self.seconds = time.perf_counter() - self.began

    def state_dict(self) -> dict:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict) -> None:
        self.epochs = state["epochs"]

    def on_train_epoch_end(self, trainer, task) -> None:
        epoch = trainer.current_epoch
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        metrics["train/sources_per_second"] = self.sources / self.seconds
        metrics["train/learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        broken = [k for k, v in metrics.items() if not np.isfinite(v)]
        if broken:
            where = f"{broken[0]} is not finite in epoch {epoch + 1}"
            raise RunError(f"{where}: try a lower optimizer.lr, or precision=32-true")
        metrics["seconds"] = time.perf_counter() - self.began
        self.epochs[epoch] = metrics
        if not trainer.is_global_zero:
            return
        write_json(self.run / "history.json", [{"epoch": e, **m} for e, m in sorted(self.epochs.items())])
        if epoch % self.every == 0 or epoch + 1 == trainer.max_epochs:
            shown = [metrics[name] for name in ("train/loss", "val/loss", "train/sources_per_second")]
            message = "epoch %d/%d: train %.4f, val %.4f, %.0f sources/s"
            log.info(message, epoch + 1, trainer.max_epochs, *shown)


def fit(
    run: str | Path,
    config: DictConfig,
    optimizer: Callable[..., torch.optim.Optimizer],
    *,
    callbacks: tuple[Callback, ...] = (),
    progress: Callable | None = None,
) -> dict:
    """Train the model of a configuration, or continue it, or do nothing if it is finished.

    Parameters
    ----------
    run : run folder, made if absent
    config : the resolved configuration (`conf/train.yaml` composed)
    optimizer : builds the optimiser from parameters
    callbacks : more Lightning callbacks, called after an epoch is in history.json
    progress : context manager of a bar, given what is done and of how many, while features are computed

    Returns
    -------
    The metrics of the best epoch, as in metrics.json

    Raises
    ------
    RunError : the folder holds a run of another configuration
    RunBusy : another process is training it
    """
    run, run_id = Path(run), identity(config)
    refuse_other(run, config, run_id)
    with hold_together(run):
        if (run / METRICS).exists():
            log.info("%s is finished: nothing to do", run)
            return json.loads((run / METRICS).read_text())
        if is_main():
            begin(run, config, run_id)
        return _train(run, config, optimizer, callbacks, progress)


def _train(run: Path, config: DictConfig, optimizer, callbacks, progress) -> dict:
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    if config.imbalance not in IMBALANCE:
        raise ValueError(f"imbalance is {config.imbalance!r}; it must be one of {', '.join(IMBALANCE)}")
    if config.devices != "auto" and not (type(config.devices) is int and config.devices > 0):
        raise ValueError(f"devices is {config.devices!r}; it must be auto, or a number from 1 up")
    if config.accelerator != "auto":
        load.usable_device(config.accelerator, "accelerator")
    _quiet()
    modalities = load.build_modalities(config)
    torch.manual_seed(config.seed)
    model = load.build_model(config, modalities)
    former = newest_checkpoint(run)
    if former:  # holds the weights of a pretrained backbone too: no hub is needed to continue
        _load_checkpoint(model, former)
    else:
        for branch in _image_branches(model).values():
            branch.backbone.load_pretrained()
    if (stored := open_store(config.data.store).survey.name) != config.survey:
        raise RunError(f"{config.data.store} is of {stored}: train with survey={stored}")
    data = load_training_data(
        config.data.store, modalities, also_train=config.data.also_train,
        leave_out=list(config.data.leave_out), progress=progress, **view_settings(config.data),
    )  # fmt: skip
    if model.head is not None and not (data.train.label >= 0).any():
        raise RunError(
            f"cls_weight={config.cls_weight} trains a classification head, but none of the {len(data.train)} "
            "training sources has a label: give labels to rtf.preprocess, or take cls_weight=0"
        )
    save_statistics(run / load.STATISTICS, data.statistics)
    with whole(run / load.SOURCES) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in sorted(data.seen)))
    if hasattr(model.decoder, "set_statistics"):
        model.decoder.set_statistics(**data.statistics["photometry"])
    cache_frozen(model, data, config.accelerator)
    parameters = sum(p.numel() for p in model.parameters())
    log.info(
        "%s: %d training and %d validation sources, %s parameters, fingerprint of %d bytes",
        run, len(data.train), len(data.val), f"{parameters:,}", model.bottleneck.bytes,
    )  # fmt: skip
    task = ReconstructionTask(
        model, optimizer, loss=config.loss, cls_weight=config.cls_weight, warmup=config.warmup,
        seed=config.seed,
        log_prior=class_log_prior(data.train.label, len(FINE), torch.from_numpy(data.weight))
        if config.imbalance == "logit_adjustment" else None,
    )  # fmt: skip
    task.fingerprinter = lambda: Fingerprinter(model, modalities, data.statistics, config, task.device)
    if model.head is not None:
        model.class_bias.copy_(_class_bias(data, config))
    history = History(run, config.log_every)
    checkpoint = Checkpoints(
        run / "checkpoints", "best", monitor="val/score", save_last=True, save_top_k=1,
        enable_version_counter=False, save_on_train_epoch_end=True,
    )  # fmt: skip
    bar = [RichProgressBar(leave=False)] if config.progress else []
    trainer = lightning.Trainer(
        max_epochs=config.epochs, gradient_clip_val=config.gradient_clip, precision=config.precision,
        accelerator=config.accelerator, devices=config.devices, num_nodes=config.num_nodes,
        use_distributed_sampler=False, plugins=[WholeCheckpoints(), *environment()],
        callbacks=[history, checkpoint, *callbacks, *bar], enable_progress_bar=config.progress,
        enable_model_summary=False, logger=False, log_every_n_steps=1, num_sanity_val_steps=0,
        default_root_dir=run,
    )  # fmt: skip
    if former:
        log.info("continuing from %s", former)
    if trainer.world_size > 1:
        atexit.register(_leave_group)
    batch, targets = config.batch_size, model.decoder.needs_targets
    ranks = {"rank": trainer.global_rank, "world_size": trainer.world_size}
    training = TrainingBatches(
        data.train, batch, config.seed, config.truncate_min, lambda: trainer.current_epoch,
        parts=data.parts, columns=masked_columns(modalities), modality_dropout=config.modality_dropout,
        balanced=config.imbalance == "sampling", targets=targets, statistics=data.statistics,
        augmentation=Augmentation(
            **config.augment, n_fields=len(survey_named(config.survey).metadata_fields)
        ), **ranks,
    )  # fmt: skip
    validation = ValidationBatches(data.val, batch, targets, **ranks)
    try:
        trainer.fit(task, training, validation, ckpt_path=former, weights_only=True)
    except SystemExit:  # how Lightning ends on Ctrl-C
        log.warning("interrupted: the same command continues %s", run)
        raise
    metrics = _best(history.epochs)
    if trainer.is_global_zero:
        _load_checkpoint(model.cpu(), checkpoint.best_model_path)
        if model.head is not None:
            model.temperature.fill_(_temperature(model, data.val, batch))
            metrics["temperature"] = float(model.temperature)
        load.save_weights(run, model)
        fingerprinter = task.fingerprinter()
        _save_strangeness(run, fingerprinter, config)
        label = data.train.label
        record_model(run, fingerprinter.space, [FINE[c] for c in label[label >= 0].unique().tolist()])
        metrics |= {"parameters": parameters, "fingerprint_bytes": model.bottleneck.bytes}
        # All epochs, also those before an interruption.
        minutes = sum(epoch["seconds"] for epoch in history.epochs.values()) / 60
        metrics |= {"minutes": minutes, "rtf_version": __version__}
        write_json(run / METRICS, metrics)
        log.info(
            "best epoch %d, validation loss %.4f, after %.1f minutes; the run is in %s",
            metrics["best_epoch"], metrics["val/loss"], metrics["minutes"], run,
        )  # fmt: skip
    return metrics


def _leave_group() -> None:
    """Close the connections to the other processes before the interpreter takes them down.

    Left to that, gloo sometimes aborts. Lightning does this for NCCL alone, and a sweep's next run uses them
    again.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _load_checkpoint(model: Autoencoder, path: str | Path) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})


def _image_branches(model: Autoencoder) -> dict[str, ImageBranch]:
    return {n: branch for n, branch in model.encoder.branches.items() if isinstance(branch, ImageBranch)}


def cache_frozen(model: Autoencoder, data: TrainingData, accelerator: str) -> None:
    """Replace stamps by what a frozen backbone makes of them, which no epoch changes."""
    device = "cuda" if torch.cuda.is_available() and accelerator != "cpu" else "cpu"
    for name, branch in _image_branches(model).items():
        if not branch.backbone.frozen:
            continue
        backbone = branch.backbone.to(device)
        for sources in (data.train, data.val):
            stamps = sources.snapshots[name]
            features = np.zeros((len(stamps.values), backbone.width), np.float32)
            with torch.inference_mode():
                for rows in np.array_split(np.flatnonzero(stamps.present), len(stamps.values) // 64 + 1):
                    images = torch.from_numpy(stamps.values[rows]).float().to(device)
                    if len(rows):
                        features[rows] = backbone(images).float().cpu()
            sources.snapshots[name] = replace(stamps, values=features)


def _class_bias(data: TrainingData, config: DictConfig) -> torch.Tensor:
    """(C,) what turns the logits of training into those of the survey that the own store is a sample of.

    Nothing for a class without any training source.
    """
    label, n_own = data.train.label, data.parts[0][0]
    bias = config.prior * survey_log_prior(label[:n_own], len(FINE))
    if config.imbalance == "none":  # else all classes were equally common, or made so
        bias = bias - class_log_prior(label, len(FINE), torch.from_numpy(data.weight))
    trained = torch.bincount(label[label >= 0], minlength=len(FINE)) > 0
    return torch.where(trained, bias, 0.0)


def _save_strangeness(run: Path, fingerprinter: Fingerprinter, config: DictConfig) -> None:
    """Fit strangeness on the splits of the own store, without the classes that are left out."""
    store, kept = open_store(config.data.store), []
    odd = [FINE.index(name) for name in config.data.leave_out]
    for name in ("train", "val"):
        detections = store.detections(name, cutouts=fingerprinter.needs_cutouts)
        usual = ~np.isin(store.label[store.sources(name)], odd)
        kept.append(detections.take(np.flatnonzero(usual)))
    fit_strangeness(fingerprinter, *kept, seed=config.seed).save(run / load.STRANGENESS)


@torch.inference_mode()
def _temperature(model: Autoencoder, val: Sources, batch_size: int) -> float:
    """Temperature of the head's probabilities, on the validation split."""
    outputs = [(model.eval()(batch).logits, batch.label) for batch in ValidationBatches(val, batch_size)]
    logits, label = (torch.cat(x).numpy() for x in zip(*outputs))
    return fit_temperature(logits, label)


def _best(epochs: dict[int, dict]) -> dict:
    """Validation metrics of the epoch with the lowest loss without the bottleneck's own."""
    best = min(epochs, key=lambda e: epochs[e]["val/score"])
    return {"best_epoch": best + 1} | {k: v for k, v in epochs[best].items() if k.startswith("val/")}


def _quiet() -> None:
    """Leave out Lightning's notices that say nothing about this training."""
    for name in ("pytorch.utilities.rank_zero", "fabric.utilities.distributed"):
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)
    if not is_main():  # the first process says it for all
        logging.getLogger("rtf").setLevel(logging.WARNING)
    # Batches are made in the training process by one gather: worker processes would only slow that down.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
