"""A model small enough to train in seconds, as a command would configure it."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import rtf
from rtf.cli.command import resolved
from rtf.training.fit import fit

CONF = Path(rtf.__file__).parents[1] / "conf"
SMALL = [
    "encoder.d_model=32", "encoder.n_layers=1", "encoder.n_heads=4", "encoder.d_ff=64",
    "decoder.d_model=32", "decoder.n_layers=1", "decoder.d_ff=64",
    "latent_dim=16", "tracking=none", "progress=false", "accelerator=cpu", "num_threads=1", "log_every=1",
]  # fmt: skip


def config(store, run, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolved(compose("train", [f"data.store={store}", f"run={run}", *SMALL, *overrides]))


def train(store, run, *overrides, callbacks=()) -> dict:
    settings = config(store, run, *overrides)
    return fit(settings.run, settings, instantiate(settings.optimizer), callbacks=tuple(callbacks))


def losses(metrics: dict) -> dict:
    return {k: v for k, v in metrics.items() if k.startswith("val/") or k == "best_epoch"}
