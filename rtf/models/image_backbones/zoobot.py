"""Zoobot: a ConvNeXt taught by the volunteers of Galaxy Zoo, frozen or fine-tuned.

Source: Walmsley et al. 2023, JOSS 8, 5312.

Notable:
- weights come from the Hugging Face hub, from a local file or, where `weights=random` says so, from nowhere.
  What cannot be had is an error, and a network without its weights refuses to work
- Zoobot saw images between 0 and 1, sky dark but not black, without ImageNet's mean and deviation. Prepared
  stamps therefore go linearly from `black` to 0 and from `white` to 1 and are clipped there
- in colour, science, template and difference take the places of three bands. The greyscale sibling sees them
  one by one: three times the features, and three times the cost of 2.7 GFLOP
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

HUB = "hf_hub:"
RANDOM = "random"

_SIDE = 224  # pixels, as Zoobot was trained
_AT_ONCE = 32  # stamps through a frozen encoder, so that its memory does not grow with the batch
_UNREADABLE = (SafetensorError, UnpicklingError, OSError, EOFError, RuntimeError, ValueError)
_HELP = (
    "Give image_backbone.weights the path of a checkpoint (.safetensors, .pth, .ckpt); or fetch it where "
    "there is a network and copy the hub's cache here (the folder that HF_HUB_CACHE names; with "
    "HF_HUB_OFFLINE=1 nothing is looked for elsewhere); or ask for untrained weights by name: "
    "image_backbone.weights=random"
)


class WeightsError(RuntimeError):
    """Pretrained weights that cannot be had or do not fit."""


class Zoobot(nn.Module):
    """Galaxy Zoo's encoder for stamps.

    Parameters
    ----------
    model : timm's name of the architecture
    weights : where `load_pretrained` finds the weights: "hf_hub:owner/name", optionally "@revision"; the path
        of a local file; or "random"
    frozen : whether the weights never change
    greyscale : an encoder of one channel, for each of the three stamps
    checkpointing : trade time for memory when fine-tuning: activations are computed anew for the gradients
    lr_factor : learning rate in units of the rest of the model's
    black, white : prepared values that become 0 and 1

    Raises
    ------
    ImportError : the package zoobot is not installed
    ValueError : a model that timm does not know, or an empty range
    """

    def __init__(
        self,
        model: str = "convnext_pico",
        weights: str = "hf_hub:mwalmsley/zoobot-encoder-convnext_pico",
        frozen: bool = True,
        greyscale: bool = False,
        checkpointing: bool = False,
        lr_factor: float = 0.5,
        black: float = -1.0,
        white: float = 6.0,
    ):
        super().__init__()
        if not black < white:
            raise ValueError(f"image_backbone.black is {black}; it must be below .white, {white}")
        self.model, self.weights = model, str(weights)
        self.frozen, self.greyscale, self.lr_factor = frozen, greyscale, lr_factor
        self.black, self.white = black, white
        self.encoder = _architecture(model, 1 if greyscale else 3)
        network = self.encoder.encoder
        self.width = network.num_features * (3 if greyscale else 1)
        if checkpointing and not frozen:
            network.set_grad_checkpointing(True)
        if frozen:
            self.encoder.requires_grad_(False)
        self.train()
        self._ready = False
        # Weights may also come with a finished run or a checkpoint of the training.
        self.register_load_state_dict_post_hook(_mark_ready)

    def load_pretrained(self) -> None:
        """Load the weights that `weights` names; "random" leaves those the network was built with.

        Raises
        ------
        WeightsError : they are not there, or of another architecture; the message says what to do
        """
        if self.weights != RANDOM:
            hub = self.weights.startswith((HUB, "hf-hub:"))
            state = from_hub(self.weights, self.model) if hub else from_file(self.weights)
            _load(self.encoder.encoder, state, self.weights)
        self._ready = True

    def train(self, mode: bool = True) -> "Zoobot":
        """As for any module, but a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, stamps: Tensor) -> Tensor:
        """(B, 3, 63, 63) prepared stamps to (B, width); without gradients where frozen.

        Raises
        ------
        WeightsError : neither `load_pretrained` nor a saved state has given the network its weights
        """
        if not self._ready:
            raise WeightsError("Zoobot has no weights yet: call load_pretrained(), or load those of a run")
        if not self.frozen:
            return self._features(stamps)
        with torch.no_grad():
            parts = [self._features(part) for part in stamps.split(_AT_ONCE)]
            return torch.cat(parts) if parts else stamps.new_empty(0, self.width)

    def _features(self, stamps: Tensor) -> Tensor:
        images = ((stamps - self.black) / (self.white - self.black)).clamp(0, 1)
        images = F.interpolate(images, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
        if self.greyscale:
            images = images.flatten(0, 1)[:, None]
        return self.encoder(images).reshape(len(stamps), self.width)


def _architecture(model: str, channels: int) -> nn.Module:
    try:
        import timm  # seconds, as zoobot
        from zoobot.pytorch.training.representations import ZoobotEncoder
    except ImportError as error:
        raise ImportError("Zoobot is not installed: pip install 'rtf-fingerprints[zoobot]'") from error
    if not timm.is_model(model):
        raise ValueError(f"image_backbone.model is {model!r}, which timm does not know")
    return ZoobotEncoder(timm.create_model(model, pretrained=False, num_classes=0, in_chans=channels))


def _mark_ready(module: Zoobot, incompatible) -> None:
    module._ready = module._ready or not incompatible.missing_keys


def from_hub(weights: str, model: str) -> dict[str, Tensor]:
    """The weights of a timm model on the Hugging Face hub, or in its cache.

    `weights` is "hf_hub:owner/name", optionally "@revision"; `model` the architecture it has to be.

    Raises
    ------
    WeightsError : no such repository or file, no network and nothing cached, damaged, or another architecture
    """
    from huggingface_hub.utils import HFValidationError
    from timm.models import load_model_config_from_hf, load_state_dict_from_hf

    name = weights[len(HUB) :]
    try:
        _, found, _ = load_model_config_from_hf(name)
        state = load_state_dict_from_hf(name, "pytorch_model.bin", weights_only=True)
    # The hub's own errors (not found, no connection, offline, not allowed) are OSErrors.
    except (HFValidationError, KeyError, *_UNREADABLE) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"cannot get {weights} from the Hugging Face hub or its cache: {reason}\n{_HELP}"
        raise WeightsError(message) from error
    if found != model:
        raise WeightsError(f"{weights} is a {found}, image_backbone.model a {model}; name matching ones")
    return state


def from_file(path: str | Path) -> dict[str, Tensor]:
    """The weights in a file: safetensors, or a PyTorch file of tensors alone (a pickle can run code).

    Raises
    ------
    WeightsError : not there or not readable
    """
    path = Path(path)
    if not path.is_file():
        hint = f"no such file (hub names start with {HUB})"
        raise WeightsError(f"image_backbone.weights is {str(path)!r}: {hint}\n{_HELP}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(f"{path}: not a checkpoint of tensors alone, or damaged: {error}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: a {type(state).__name__} instead of tensors by name")
    return state


def _load(encoder: nn.Module, state: dict, where: str) -> None:
    """Load all weights of an encoder and nothing else.

    Checkpoints of the package zoobot have the network as `encoder`, and a head beside it.
    """
    state = state.get("state_dict", state)
    if any(name.startswith("encoder.") for name in state):
        state = {n.removeprefix("encoder."): v for n, v in state.items() if n.startswith("encoder.")}
    # A classification layer is no part of the encoder.
    state = {n: v for n, v in state.items() if isinstance(v, Tensor) and not n.startswith("head.fc.")}
    wanted = encoder.state_dict()
    missing, strange = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = [n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape]
    if missing or strange or shapes:
        reasons = [f"{len(missing)} tensors missing, such as {missing[0]}"] if missing else []
        reasons += [f"{len(strange)} too many, such as {strange[0]}"] if strange else []
        for name in sorted(shapes)[:1]:
            theirs, ours = tuple(state[name].shape), tuple(wanted[name].shape)
            reasons.append(f"{name} is {theirs} where {ours} is wanted")
            if len(ours) == 4 and theirs[1:2] != ours[1:2]:
                reasons.append("image_backbone.greyscale must fit the weights: 1 channel or 3")
        raise WeightsError(f"the weights in {where} do not fit image_backbone.model: {'; '.join(reasons)}")
    encoder.load_state_dict(state)
