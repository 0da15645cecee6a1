"""A run folder, and the model in it: everything needed to fingerprint new sources.

config.yaml              the resolved configuration
normalisation.safetensors   statistics of the training split
model.safetensors        weights of the best epoch
probe.safetensors        linear probe of the classes, once `task=probe` has been run
metrics.json, history.json, tables and figures
run.json, tracking.json   its identity and attempts at it; the W&B run that mirrors it
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save_file

from rtf.encoding.fingerprinter import Fingerprinter, RunError
from rtf.features.normalisation import load_statistics
from rtf.features.normalisation import width as feature_width
from rtf.files import whole
from rtf.models.autoencoder import Autoencoder
from rtf.models.branches import GPBranch, ImageBranch

CONFIG, WEIGHTS, STATISTICS = "config.yaml", "model.safetensors", "normalisation.safetensors"
PROBE = "probe.safetensors"


def build(config: DictConfig):
    """Instantiate a part of a run's configuration, admitting only this package's own code.

    A run folder may come from somebody else: a `_target_` outside `rtf` in it is refused.
    """
    for key, target in _targets(config):
        if not str(target).startswith("rtf."):
            raise RunError(f"the configuration names {target!r} at {key}: only rtf's own code is built")
    try:
        return instantiate(config)
    except InstantiationException as error:
        if "Error locating target" not in str(error):
            raise
        raise RunError(f"the configuration names a part that this rtf does not have: {error}") from error


def _targets(node, path: str = ""):
    if OmegaConf.is_dict(node):
        for key, value in node.items():
            if key == "_target_":
                yield path or "the top", value
            yield from _targets(value, f"{path}.{key}".lstrip("."))
    elif OmegaConf.is_list(node):
        for k, value in enumerate(node):
            yield from _targets(value, f"{path}[{k}]")


def build_modalities(config: DictConfig) -> dict[str, Callable]:
    """Feature modalities by name, in the order of their columns."""
    return {name: build(modality) for name, modality in config.modalities.items()}


def build_model(config: DictConfig, modalities: Mapping[str, Callable]) -> Autoencoder:
    """The autoencoder of a resolved configuration; an image backbone is without its pretrained weights."""
    branches = {}
    if "gp" in modalities:
        branches["gp"] = partial(GPBranch, width=modalities["gp"].width)
    if "stamps" in modalities:
        branches["stamps"] = partial(ImageBranch, backbone=build(config.image_backbone))
    head = build(config.head) if config.cls_weight > 0 else None
    parts = {name: build(config[name]) for name in ("encoder", "bottleneck", "decoder")}
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


def load(run: str | Path, device: str = "cpu") -> Fingerprinter:
    """The model of a run folder, ready to encode.

    Raises
    ------
    RunError : if the folder lacks the configuration, the normalisation or the weights, or they do not match
    """
    run = Path(run)
    config = read_config(run)
    for name, made in ((WEIGHTS, "training has not finished"), (STATISTICS, "training has not begun")):
        if not (run / name).exists():
            raise RunError(f"{run} has no {name}: {made}; its rtf.train command, given again, continues it")
    modalities = build_modalities(config)
    model = build_model(config, modalities)
    try:
        model.load_state_dict(load_file(run / WEIGHTS))
    except Exception as error:  # safetensors raises its own type, torch a RuntimeError
        raise RunError(f"{run / WEIGHTS} does not fit the model of {run / CONFIG}: {error}") from error
    return Fingerprinter(model, modalities, load_statistics(run / STATISTICS), config, device)
