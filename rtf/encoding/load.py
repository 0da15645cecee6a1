"""A run folder, and the model in it: everything needed to fingerprint new sources.

config.yaml              the resolved configuration
normalisation.safetensors   statistics of the training split
model.safetensors        weights of the best epoch
strangeness.safetensors  what makes fingerprints into strangeness
probe.safetensors        linear probe of the classes, once `task=probe` has been run
metrics.json, history.json, tables and figures
run.json, tracking.json   its identity, data and attempts at it; the W&B run that mirrors it
sources.txt              names of the sources that it was trained and validated on
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save_file

from rtf.encoding.fingerprinter import Fingerprinter, RunError
from rtf.encoding.shipped import run_folder
from rtf.encoding.strangeness import Strangeness
from rtf.features.normalisation import load_statistics
from rtf.features.normalisation import width as feature_width
from rtf.features.snapshots import per_source
from rtf.files import whole
from rtf.models.autoencoder import Autoencoder
from rtf.models.encoder import ImageBranch, VectorBranch

CONFIG, WEIGHTS, STATISTICS = "config.yaml", "model.safetensors", "normalisation.safetensors"
PROBE, SOURCES, STRANGENESS = "probe.safetensors", "sources.txt", "strangeness.safetensors"
#: Groups of conf/ that a model is made of, by their name in a run's configuration.
PARTS = ("modalities", "encoder", "bottleneck", "decoder", "head", "image_backbone")
_allowed: set[str] = set()


def allow(target: str) -> None:
    """Let run folders name a class or function of your own, which conf/ does not, for this process.

    Allow only what is safe to call with any arguments: a run folder says which.
    """
    _allowed.add(target)


@cache
def _own_targets() -> frozenset[str]:
    """Every `_target_` that the package's conf/ has for a part of a model."""
    folders = [resources.files("rtf.conf") / group for group in PARTS]
    files = (f for folder in folders for f in folder.iterdir() if f.name.endswith(".yaml"))
    return frozenset(target for f in files for _, target in _targets(yaml.safe_load(f.read_text())))


def refuse_foreign(config: DictConfig) -> None:
    """Make sure that a run's configuration builds parts of this package and nothing else.

    A run folder may come from anybody, and whatever `_target_` names is called.

    Raises
    ------
    RunError : it names another target, or holds an interpolation, which can read the environment
    """
    for part in PARTS:
        content = OmegaConf.to_container(config, resolve=False).get(part)
        if "${" in repr(content):
            raise RunError(f"the configuration has an interpolation in {part}; that of a run has none")
        for key, target in _targets(content, part):
            if target not in _own_targets() | _allowed:
                raise RunError(
                    f"the configuration names {target!r} at {key}, a part that this rtf does not have: only "
                    "the targets of conf/ are built (rtf.encoding.load.allow admits one of your own)"
                )


def _targets(node, path: str = "") -> Iterator[tuple[str, str]]:
    """Place and name of every `_target_` in a configuration."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield path, str(value)
            yield from _targets(value, f"{path}.{key}")
    elif isinstance(node, list):
        for k, value in enumerate(node):
            yield from _targets(value, f"{path}[{k}]")


def build_modalities(config: DictConfig) -> dict[str, Callable]:
    """Feature modalities by name, in the order of their columns."""
    return {name: instantiate(modality) for name, modality in config.modalities.items()}


def build_model(config: DictConfig, modalities: Mapping[str, Callable]) -> Autoencoder:
    """The autoencoder of a resolved configuration; an image backbone is without its pretrained weights."""
    branches = {}
    for name, modality in per_source(modalities).items():
        if getattr(modality, "images", False):
            branches[name] = partial(ImageBranch, backbone=instantiate(config.image_backbone))
        else:
            branches[name] = partial(VectorBranch, width=modality.width)
    head = instantiate(config.head) if config.cls_weight > 0 else None
    parts = {name: instantiate(config[name]) for name in ("encoder", "bottleneck", "decoder")}
    return Autoencoder(feature_width(modalities), config.latent_dim, **parts, head=head, branches=branches)


def save_weights(run: Path, model: Autoencoder) -> None:
    with whole(run / WEIGHTS) as temporary:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary)


def read_config(run: Path) -> DictConfig:
    """The resolved configuration of a run folder."""
    run = Path(run)
    if not run.is_dir():
        raise RunError(f"{run} is not a run folder: no such directory")
    if not (run / CONFIG).exists():
        raise RunError(f"{run} is not a run folder: it has no {CONFIG}")
    return OmegaConf.load(run / CONFIG)


def trained_on(run: str | Path) -> frozenset[str]:
    """Names of all sources that a run was trained or validated on; empty where its folder does not say."""
    path = Path(run) / SOURCES
    return frozenset(path.read_text().splitlines()) if path.exists() else frozenset()


def usable_device(name: str, setting: str = "device") -> torch.device:
    """The device of this name; `setting` is what the user called it by.

    Raises
    ------
    RunError : there is none of this name, here
    """
    try:
        device = torch.device("cuda" if name == "gpu" else name)
    except RuntimeError:
        raise RunError(f"{setting}={name} is none that torch knows: take cpu or cuda") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise RunError(f"no GPU of that kind here ({setting}={name}): take {setting}=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RunError(f"{setting}={name}: there are {torch.cuda.device_count()} GPUs here, counted from 0")
    return device


def load(run: str | Path, device: str = "cpu", coded: bool = False) -> Fingerprinter:
    """The model of a run folder, or of that name in the box, ready to encode.

    `coded` replaces each fingerprint of floats by what its code stands for (bottleneck=ae_rvq).

    Raises
    ------
    RunError : the folder lacks the configuration, the normalisation or the weights, they do not match, are
        not finite, or name code that is not this package's; or there is no such device
    """
    run, device = run_folder(run), usable_device(device)
    config = read_config(run)
    for name, made in ((WEIGHTS, "training has not finished"), (STATISTICS, "training has not begun")):
        if not (run / name).exists():
            raise RunError(f"{run} has no {name}: {made}; its rtf.train command, given again, continues it")
    refuse_foreign(config)
    try:
        modalities = build_modalities(config)
        model = build_model(config, modalities)
    except InstantiationException as error:
        raise RunError(f"{run / CONFIG} does not fit this version of rtf: {error}") from error
    file = STATISTICS
    try:
        statistics = load_statistics(run / file)
        file = WEIGHTS
        model.load_state_dict(load_file(run / file))
        file = STRANGENESS
        strangeness = Strangeness.load(run / file) if (run / file).exists() else None
    except Exception as error:  # safetensors raises its own type, torch a RuntimeError
        raise RunError(f"{run / file} does not fit {run / CONFIG}, or is damaged: {error}") from error
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise RunError(f"{run / WEIGHTS}: {name} is not finite")
    for name, values in statistics.items():
        for key, value in values.items():
            if not np.isfinite(value).all() or (key in ("std", "scale") and not (value > 0).all()):
                raise RunError(f"{run / STATISTICS}: {key} of {name} is not finite, or not above 0")
    if coded:
        if not hasattr(model.bottleneck, "coded"):
            raise RunError(f"{run} has no codes beside its floats; bottleneck=ae_rvq has")
        model.bottleneck.coded = True
    return Fingerprinter(model, modalities, statistics, config, device, strangeness)
