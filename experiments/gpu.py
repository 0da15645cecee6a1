"""Figures of one card, for gpu.sh: training and encoding rates, equality with the CPU, two processes.

Training steps are those of rtf.train on batches that its loader makes anew in every epoch, without Lightning
around them; sources are simulated. Floating-point operations are counted by torch on one batch, forward and
backward.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.utils.flop_counter import FlopCounterMode

import rtf
from rtf.cli.command import resolved
from rtf.documents import Table, to_markdown
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.load import build_modalities, build_model
from rtf.features.normalisation import masked_columns
from rtf.features.view import view_settings
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.training.augment import Augmentation
from rtf.training.data import TrainingBatches, load_training_data
from rtf.training.task import ReconstructionTask

#: Dense peak in TFLOP/s by card: float32 by tensor cores (TF32), bfloat16.
PEAK = {"H100": (494, 989), "H200": (494, 989), "A100": (156, 312), "RTX 4090": (83, 165), "L4": (60, 121)}
PUBLISHED = 12771 * 200  # sources shown in a published training
SECONDS = 12.0  # of each measurement
COMMON = ["cls_weight=0.3", "tracking=none", "data.view=latest"]


def settings(store: Path, *overrides):
    with initialize_config_dir(str(Path(rtf.__file__).parents[1] / "conf"), version_base="1.3"):
        return resolved(compose("train", [f"data.store={store}", *COMMON, *overrides]))


def built(config, device):
    """Model and data of a configuration, as rtf.train makes them."""
    modalities = build_modalities(config)
    torch.manual_seed(0)
    model = build_model(config, modalities)
    data = load_training_data(config.data.store, modalities, **view_settings(config.data))
    model.decoder.set_statistics(**data.statistics["photometry"])
    return model.to(device), modalities, data


def training(config, device, seconds: float, bf16: bool, compiled: bool) -> tuple[float, float]:
    """Sources a second, and floating-point operations of one."""
    model, modalities, data = built(config, device)
    task = ReconstructionTask(model, None, loss="huber", cls_weight=0.3, warmup=0.05, seed=0)
    optimizer = instantiate(config.optimizer)(model.parameters())
    epoch = 0
    batches = TrainingBatches(
        data.train, config.batch_size, 0, 3, lambda: epoch, columns=masked_columns(modalities),
        modality_dropout=0.1, targets=True, augmentation=Augmentation(0.5), statistics=data.statistics,
    )  # fmt: skip

    def loss_of(batch):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            values = {name: mean.value for name, mean in task.losses(batch).items()}
            return task.total(values)

    model.train()
    flops = FlopCounterMode(display=False)
    first = next(iter(batches)).to(device)
    with flops:
        loss_of(first).backward()
    if compiled:
        model.encoder.transformer = torch.compile(model.encoder.transformer, dynamic=True)

    def step(batch):
        optimizer.zero_grad(set_to_none=True)
        loss_of(batch.to(device, non_blocking=True)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for k, batch in enumerate(batches):  # warm up
        step(batch)
        if k == 20:
            break
    synchronise(device)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        epoch += 1
        for batch in batches:
            step(batch)
            done += len(batch)
            if time.perf_counter() - start > seconds:
                break
    synchronise(device)
    return done / (time.perf_counter() - start), flops.get_total_flops() / len(first)


def synchronise(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def encoding(config, device, seconds: float, batch: int) -> tuple[float, float]:
    """Light curves a second from detections in memory to fingerprints, and of batches on the card alone."""
    model, modalities, data = built(config, device)
    fingerprinter = Fingerprinter(model, modalities, data.statistics, config, device)
    detections = open_store(config.data.store).detections("train", cutouts=fingerprinter.needs_cutouts)
    some = detections.take(np.arange(len(detections)).repeat(-(-2 * batch // len(detections)))[: 2 * batch])
    fingerprinter.encode(some, batch_size=batch)
    whole = rate(lambda: fingerprinter.encode(some, batch_size=batch), len(some), seconds / 2, device)
    sources = np.arange(len(data.train)).repeat(-(-batch // len(data.train)))[:batch]
    held = data.train.batch(sources).to(device)
    with torch.inference_mode():
        alone = rate(lambda: model.encode(held), batch, seconds / 2, device)
    return whole, alone


def rate(call, n: int, seconds: float, device) -> float:
    call()
    synchronise(device)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        call()
        synchronise(device)
        done += n
    return done / (time.perf_counter() - start)


def equality(config, device) -> float:
    """Largest difference of fingerprints from the CPU's, in standard deviations of their column."""
    found = []
    for where in (torch.device("cpu"), device):
        model, modalities, data = built(config, where)
        fingerprinter = Fingerprinter(model, modalities, data.statistics, config, where)
        detections = open_store(config.data.store).detections("val", cutouts=fingerprinter.needs_cutouts)
        found.append(fingerprinter.encode(detections).latent)
    return float((np.abs(found[0] - found[1]) / np.maximum(found[0].std(0), 1e-6)).max())


def processes(store: Path, work: Path, device) -> str:
    """Two processes that share a training on one card, through rtf.train."""
    command = [
        sys.executable, "-m", "rtf.train", f"data.store={store}", "modalities=photometry", "epochs=2",
        "batch_size=128",
        f"run={work / 'ddp'}", "tracking=none", "progress=false", "devices=2",
        f"accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
    ]  # fmt: skip
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        # NCCL wants a card a process: two processes take turns on one through gloo
        command[-1], note = (
            "accelerator=cpu",
            "two processes of the CPU beside the card (NCCL wants a card each): ",
        )
    else:
        note = ""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return note + "failed: " + (done.stderr or done.stdout).strip().splitlines()[-1]
    return note + "trained"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sources", type=int, default=6000)
    given = parser.parse_args()
    device, seconds = torch.device(given.device), SECONDS if given.device == "cuda" else 3.0
    card = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = next((value for name, value in PEAK.items() if name in card), None)
    torch.backends.cuda.matmul.allow_tf32 = True
    stores = {}
    for name, n, stamps in (("photometry", given.sources, False), ("ztf", given.sources // 8, True)):
        stores[name] = given.work / f"{name}.zarr"
        survey = SimulatedSurvey(n_sources=n, seed=0, stamps=stamps)
        preprocess(survey, "simulated", stores[name], seed=0, fractions=(0.6, 0.2, 0.2), progress=False)
    rows = []
    batch = 1024 if device.type == "cuda" else 64
    for name, store in stores.items():
        for bf16 in (False, True):
            for compiled in (False, True):
                if device.type == "cpu" and (bf16 or compiled):
                    continue
                config = settings(store, f"modalities={name}", f"batch_size={batch}", "bottleneck=ae_rvq")
                sources, flop = training(config, device, seconds, bf16, compiled)
                share = "" if peak is None else f"{100 * sources * flop / 1e12 / peak[bf16]:.2f} %"
                how = f"{'bfloat16' if bf16 else 'float32'}{', compiled' if compiled else ''}"
                rows.append([f"training, {name}, {how}", f"{sources:,.0f} sources/s", share,
                             f"{PUBLISHED / sources / 60:.1f} min for the published training"])  # fmt: skip
                print(rows[-1], file=sys.stderr, flush=True)
    config = settings(stores["photometry"], "modalities=photometry", "bottleneck=ae_rvq")
    for size in (256, 1024, 4096, 16384) if device.type == "cuda" else (64,):
        whole, alone = encoding(config, device, seconds / 2, size)
        rows.append([f"encoding, photometry, batches of {size}", f"{whole:,.0f} light curves/s", "",
                     f"{alone:,.0f}/s for batches on the card"])  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    worst = equality(settings(stores["ztf"], "modalities=ztf", "bottleneck=ae_rvq"), device)
    rows.append(["fingerprints against the CPU's", f"{worst:.1e} standard deviations at most", "", ""])
    rows.append(
        ["two processes of one training", processes(stores["photometry"], given.work, device), "", ""]
    )
    print(to_markdown(Table(card, ["what", "figure", "share of peak", ""], rows)))


if __name__ == "__main__":
    main()
