"""Image backbones: sizes, independence of the batch, freezing, and where pretrained weights come from.

There is no hub here: its cache is made by the tests, laid out as the hub's own client lays it out.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import save_file

from rtf.models.image_backbones.simple import SimpleCNN
from rtf.models.image_backbones.zoobot import WeightsError, Zoobot

CONFIGS = Path(__file__).parents[2] / "conf/image_backbone"
NAME = "mwalmsley/zoobot-encoder-convnext_pico"
STAMPS = torch.randn(3, 3, 63, 63, generator=torch.Generator().manual_seed(0))
#: A ConvNeXt of 3.7 million parameters: all that is asked of the pico one, in a third of the time.
SMALL = "convnext_atto"

needs_zoobot = pytest.mark.skipif(find_spec("zoobot") is None, reason="zoobot is not installed")


def small(**settings) -> Zoobot:
    pytest.importorskip("zoobot")
    return Zoobot(**{"model": SMALL, "weights": "random", **settings})


def weights(seed: int = 0, channels: int = 3) -> dict:
    """Weights of the small encoder, every tensor random, as a checkpoint on the hub has them."""
    generator = torch.Generator().manual_seed(seed)
    encoder = small(greyscale=channels == 1).encoder.encoder
    return {n: 0.05 * torch.randn(v.shape, generator=generator) for n, v in encoder.state_dict().items()}


def same(module: Zoobot, state: dict) -> bool:
    loaded = module.encoder.encoder.state_dict()
    return loaded.keys() == state.keys() and all(torch.equal(loaded[n], state[n]) for n in state)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Put a repository into an empty hub cache, offline: refs/main, a snapshot and the blobs it links to."""
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(name: str, config: dict, write, file: str = "model.safetensors", commit: str = "0" * 40) -> Path:
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        snapshot, blobs = repository / "snapshots" / commit, repository / "blobs"
        for folder in (snapshot, blobs, repository / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (repository / "refs/main").write_text(commit)
        (blobs / f"c{commit}").write_text(json.dumps(config))
        write(blobs / f"w{commit}")
        for link, blob in (("config.json", "c"), (file, "w")):
            (snapshot / link).symlink_to(Path("../../blobs") / f"{blob}{commit}")
        return tmp_path / "hub"

    return put


def config(**changes) -> dict:
    return {"architecture": SMALL, "num_classes": 0, "num_features": 320} | changes


def test_the_simple_network_and_its_parameters():
    model = SimpleCNN()
    assert sum(p.numel() for p in model.parameters()) == 257_344
    assert model(STAMPS).shape == (3, model.width) == (3, 128)
    assert not model.frozen and model.lr_factor == 1 and model.load_pretrained() is None
    scale = SimpleCNN(width=16).convolutions(STAMPS).std()
    assert 0.3 < scale < 3  # neither fades nor explodes through the layers


@pytest.mark.parametrize("build", [SimpleCNN, small])
def test_a_stamp_gives_the_same_features_alone_and_in_company(build):
    model = build().train() if build is small else build().eval()
    model.load_pretrained()
    with torch.no_grad():
        together = model(STAMPS)
        torch.testing.assert_close(
            torch.cat([model(s[None]) for s in STAMPS]), together, atol=1e-5, rtol=1e-4
        )
    assert together.std(0).mean() > 0
    assert model(STAMPS[:0]).shape == (0, model.width)


@needs_zoobot
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_builds(path):
    settings = OmegaConf.load(path)
    assert settings._target_.startswith("rtf.") and settings._partial_ is False
    model = instantiate(settings)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == {"simple": 257_344, "zoobot_finetuned": 8_532_672}.get(path.stem, 0)
    assert model.width == {"simple": 128, "zoobot_greyscale": 1536}.get(path.stem, 512)
    assert model.lr_factor == (1 if path.stem == "simple" else 0.5)
    if path.stem == "zoobot":
        model.weights = "random"
        model.load_pretrained()
        assert model(STAMPS[:1]).shape == (1, 512)


def test_frozen_and_fine_tuned():
    frozen, tuned = small(), small(frozen=False)
    for model in (frozen, tuned):
        model.load_pretrained()
        model.train()
    assert not frozen.encoder.training and tuned.encoder.training
    assert not frozen(STAMPS).requires_grad and tuned(STAMPS[:1]).requires_grad
    assert not any(p.requires_grad for p in frozen.parameters())


def test_prepared_values_become_zoobots_range():
    """Seen through an encoder that only averages: black is 0, white 1, beyond them the same."""
    model = small(black=-1, white=6)
    model.load_pretrained()
    model.encoder.encoder.forward = lambda images: images.mean((2, 3)).repeat(1, 107)[:, :320]
    levels = torch.tensor([-5.0, -1, 0, 6, 80])[:, None, None, None].expand(5, 3, 63, 63)
    torch.testing.assert_close(model(levels)[:, 0], torch.tensor([0, 0, 1 / 7, 1, 1]))
    with pytest.raises(ValueError, match=r"image_backbone\.black"):
        small(black=6, white=6)


def test_greyscale_sees_the_stamps_one_by_one():
    model = small(greyscale=True)
    model.load_pretrained()
    assert model.encoder.encoder.stem[0].in_channels == 1 and model.width == 3 * 320
    features = model(STAMPS)
    shuffled = model(STAMPS[:, [2, 0, 1]])
    torch.testing.assert_close(shuffled.reshape(3, 3, 320), features.reshape(3, 3, 320)[:, [2, 0, 1]])


def test_checkpointing_gives_the_same_gradients():
    plain, saving = small(frozen=False), small(frozen=False, checkpointing=True)
    for model in (plain, saving):  # timm's own start nearly switches the blocks off
        model.load_state_dict({f"encoder.encoder.{n}": v for n, v in weights().items()})
    gradients = []
    for model in (plain, saving):
        model.train()
        model(STAMPS[:2]).square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    assert (
        saving.encoder.encoder.stages[0].grad_checkpointing
        and not plain.encoder.encoder.stages[0].grad_checkpointing
    )
    assert len(gradients[0]) > 50
    torch.testing.assert_close(*gradients)


def test_no_weights_no_features():
    model = small(weights="hf_hub:nobody/nothing")
    with pytest.raises(WeightsError, match="no weights yet"):
        model(STAMPS)
    trained = small(weights="hf_hub:nobody/nothing")
    trained.load_state_dict(
        weights_of := small().state_dict()
    )  # as from a finished run, inside a model or not
    holder = torch.nn.ModuleDict({"stamps": small(weights="hf_hub:nobody/nothing")})
    holder.load_state_dict({f"stamps.{n}": v for n, v in weights_of.items()})
    torch.testing.assert_close(trained(STAMPS), holder["stamps"](STAMPS))


def test_weights_from_the_hubs_cache(hub):
    state, older = weights(0), weights(1)
    hub(NAME, config(), lambda path: save_file(older, path), commit="1" * 40)
    hub(NAME, config(), lambda path: save_file(state, path))
    model = small(weights=f"hf_hub:{NAME}")
    model.load_pretrained()
    assert same(model, state)
    pinned = small(weights=f"hf_hub:{NAME}@{'1' * 40}")
    pinned.load_pretrained()
    assert same(pinned, older)


def test_weights_from_the_hubs_cache_as_a_pytorch_file(hub):
    state = weights(2, channels=1)
    hub("a/b", config(), lambda path: torch.save(state, path), "pytorch_model.bin")
    model = small(weights="hf_hub:a/b", greyscale=True)
    model.load_pretrained()
    assert same(model, state)
    with pytest.raises(WeightsError, match=r"stem.0.weight is \(40, 1, 4, 4\).*greyscale"):
        small(weights="hf_hub:a/b").load_pretrained()


def test_the_cache_that_the_environment_names(hub):
    """In a process of its own, as a user has it."""
    state = weights(3)
    cache = hub(NAME, config(), lambda path: save_file(state, path))
    code = (
        "from rtf.models.image_backbones.zoobot import Zoobot\n"
        f"model = Zoobot(model={SMALL!r}, weights='hf_hub:{NAME}'); model.load_pretrained()\n"
        "print(float(model.encoder.encoder.state_dict()['head.norm.bias'].double().sum()))"
    )
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == float(state["head.norm.bias"].double().sum())


def test_a_hub_that_has_it_not_says_what_to_do(hub):
    for name in (NAME, "no valid/name/at all"):
        model = small(weights=f"hf_hub:{name}")
        with pytest.raises(WeightsError) as error:
            model.load_pretrained()
        for word in (name, "image_backbone.weights", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "weights=random"):
            assert word in str(error.value)
        with pytest.raises(WeightsError, match="no weights yet"):  # and nothing in their place
            model(STAMPS)
    hub(NAME, config(architecture="convnext_nano"), lambda path: save_file(weights(), path))
    with pytest.raises(WeightsError, match=r"is a convnext_nano, image_backbone\.model a convnext_atto"):
        small(weights=f"hf_hub:{NAME}").load_pretrained()
    hub("a/config_alone", config(), lambda path: path.write_bytes(b""), "another.file")
    with pytest.raises(WeightsError, match="weights=random"):
        small(weights="hf_hub:a/config_alone").load_pretrained()


@pytest.mark.parametrize("form", ["safetensors", "pth", "zoobot.ckpt"])
def test_weights_from_a_local_file(tmp_path, form):
    state, path = weights(4), tmp_path / f"weights.{form}"
    if form == "safetensors":
        save_file(state, path)
    elif form == "pth":  # with a classification layer, which is no part of the encoder
        torch.save(state | {"head.fc.weight": torch.zeros(5, 320), "head.fc.bias": torch.zeros(5)}, path)
    else:  # a Lightning checkpoint of Zoobot: the encoder inside, a head beside
        inside = {f"encoder.{n}": v for n, v in state.items()} | {"head.weight": torch.zeros(2, 320)}
        torch.save({"state_dict": inside, "epoch": 3}, path)
    model = small(weights=path)
    model.load_pretrained()
    assert same(model, state)


def test_files_that_are_not_there_damaged_or_of_something_else(tmp_path):
    def refused(path, message):
        with pytest.raises(WeightsError, match=message):
            small(weights=path).load_pretrained()

    refused(tmp_path / "none.pth", "no such file.*\n.*weights=random")
    refused("mwalmsley/zoobot", "hub names start with hf_hub:")
    for suffix in ("safetensors", "pth"):
        (tmp_path / f"damaged.{suffix}").write_bytes(b"\x80\x02damaged" * 20)
        refused(tmp_path / f"damaged.{suffix}", "damaged")
    torch.save({"code": subprocess.Popen}, tmp_path / "code.pth")
    refused(tmp_path / "code.pth", "tensors alone")
    torch.save([1], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", "a list instead")
    state = weights()
    save_file(
        {n: v for n, v in state.items() if n != "stem.1.bias"} | {"x": torch.zeros(1)},
        tmp_path / "a.safetensors",
    )
    refused(tmp_path / "a.safetensors", "1 tensors missing, such as stem.1.bias; 1 too many, such as x")


@needs_zoobot
def test_an_architecture_timm_does_not_know():
    with pytest.raises(ValueError, match=r"image_backbone\.model is 'resnet_of_mine'"):
        Zoobot(model="resnet_of_mine")


@needs_zoobot
@pytest.mark.parametrize("made_by", ["classifier", "regressor", "encoder"])
def test_checkpoints_that_the_package_makes(made_by, tmp_path):
    """As its users have them: saved by Lightning, with a head, metrics and settings beside."""
    import lightning
    from zoobot.pytorch.training.finetune import FinetuneableZoobotClassifier, FinetuneableZoobotRegressor
    from zoobot.pytorch.training.representations import ZoobotEncoder

    encoder = small().encoder.encoder
    encoder.load_state_dict(weights(seed=5))
    module = {
        "classifier": lambda: FinetuneableZoobotClassifier(encoder=encoder, num_classes=2),
        "regressor": lambda: FinetuneableZoobotRegressor(encoder=encoder),
        "encoder": lambda: ZoobotEncoder(encoder),
    }[made_by]()
    trainer = lightning.Trainer(max_epochs=0, logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    ours = small(weights=str(tmp_path / "mine.ckpt"))
    ours.load_pretrained()
    assert same(ours, weights(seed=5))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval().encoder(images), module.eval().encoder(images))
