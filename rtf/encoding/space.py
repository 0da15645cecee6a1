"""Spaces: only fingerprints of one space can be compared, searched together or read by one probe.

A space is what makes a fingerprint: weights of encoder and bottleneck, normalisation, modalities, view. What
reads a fingerprint (decoder, head) and where the model lies or runs change nothing.
"""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np
from omegaconf import OmegaConf

from rtf.features.view import view_settings
from rtf.jobs import digest

#: Raise it when the same detections give other features, so that the same weights give another fingerprint:
#: a change in rtf/features/ or in the forward pass, not in what readers leave out.
PREPROCESSING = 1


class OtherSpace(ValueError):
    """Fingerprints of different spaces, which cannot be compared."""


def space_of(model) -> str:
    """The space of a `Fingerprinter`: 12 hex digits."""
    sha = sha256()
    for part in ("encoder", "bottleneck"):
        for name, value in sorted(getattr(model.model, part).state_dict().items()):
            _add(sha, f"{part}.{name}", value.detach().cpu().numpy())
    for modality, values in sorted(model.statistics.items()):
        for name, value in sorted(values.items()):
            _add(sha, f"{modality}.{name}", np.asarray(value))
    config = OmegaConf.to_container(model.config)
    parts = ["modalities", "encoder", "bottleneck", *(["image_backbone"] if model.needs_cutouts else [])]
    settings = {part: dict(config[part]) for part in parts}
    settings.get("image_backbone", {}).pop("weights", None)  # where they came from
    view = {k: v if isinstance(v, str) else float(v) for k, v in view_settings(model.config.data).items()}
    sha.update(digest([PREPROCESSING, list(config["modalities"]), settings, view]).encode())
    return sha.hexdigest()[:12]


def _add(sha, name: str, values: np.ndarray) -> None:
    sha.update(f"{name} {values.dtype} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())


def one_space(spaces: Iterable[tuple[str, str]]) -> str:
    """The space that all of (name, space) have; OtherSpace names two that differ."""
    found: dict[str, str] = {}
    for name, space in spaces:
        found.setdefault(space, name)
    if len(found) > 1:
        (a, x), (b, y) = list(found.items())[:2]
        raise OtherSpace(
            f"fingerprints of different spaces cannot be mixed: {x} is of {a}, {y} is of {b}. Encode both "
            "with one run, or map one space to the other (python -m rtf.align)"
        )
    return next(iter(found), "")
