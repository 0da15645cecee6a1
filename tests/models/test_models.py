"""The model: padding, masks, batches, and the interface of its parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rtf.alerts.history import concatenate
from rtf.classes import FINE
from rtf.features.metadata import Metadata
from rtf.features.normalisation import feature_columns, fit_statistics
from rtf.features.photometry import CHANNELS, Photometry
from rtf.features.view import view
from rtf.models.autoencoder import Autoencoder
from rtf.models.bottlenecks.ae import AEBottleneck
from rtf.models.decoders.sequence import SequenceDecoder
from rtf.models.encoder import Encoder
from rtf.models.head import classification_head
from rtf.models.layers import Block, Transformer
from rtf.models.losses import Mean, classification_loss
from rtf.store.batches import Sources, batches_by_length
from tests.sources import made_up_sources

MODALITIES = {"photometry": Photometry(), "metadata": Metadata()}
WIDTH = sum(m.width for m in MODALITIES.values())


def sources(n=40, seed=0, **kwargs) -> Sources:
    detections = view(concatenate(made_up_sources(n, seed, **kwargs)))
    statistics = fit_statistics(MODALITIES, detections)
    return Sources(detections, feature_columns(MODALITIES, detections, statistics))


def autoencoder(seed=0, head=True, **encoder) -> Autoencoder:
    torch.manual_seed(seed)
    return Autoencoder(
        WIDTH, 16, lambda width, branches: Encoder(width, branches, **encoder), AEBottleneck, SequenceDecoder,
        classification_head if head else None,
    ).eval()  # fmt: skip


@pytest.mark.parametrize("pool", ["cls", "positions"])
@given(seed=st.integers(0, 1000), others=st.integers(1, 39))
@settings(max_examples=15, deadline=None)
def test_a_source_has_the_same_fingerprint_alone_and_in_any_batch(pool, seed, others):
    data, model = sources(), autoencoder(pool=pool)
    chosen = np.random.default_rng(seed).permutation(len(data))[: others + 1]
    with torch.inference_mode():
        together = model(data.batch(chosen))
        alone = model(data.batch(chosen[:1]))
    torch.testing.assert_close(together.latent[:1], alone.latent, atol=2e-5, rtol=2e-4)
    n = data.length[chosen[0]]
    torch.testing.assert_close(
        together.decoded.continuous[0, :n], alone.decoded.continuous[0], atol=5e-5, rtol=5e-4
    )


def test_nothing_at_padding_reaches_the_fingerprint():
    data, model = sources(), autoencoder()
    batch = data.batch(np.arange(20))
    spoiled = replace(
        batch,
        features=torch.where(batch.mask[..., None], batch.features, 1e3),
        days=torch.where(batch.mask, batch.days, -1e3),
    )
    with torch.inference_mode():
        torch.testing.assert_close(model.encode(spoiled), model.encode(batch), atol=1e-5, rtol=1e-4)


def test_the_order_of_detections_matters_to_the_fingerprint():
    data, model = sources(2, min_length=6, max_length=6), autoencoder()
    batch = data.batch(np.array([0]))
    flipped = replace(batch, features=batch.features.flip(1))
    with torch.inference_mode():
        assert (model.encode(flipped) - model.encode(batch)).abs().max() > 1e-3


def test_truncating_a_batch_equals_truncating_the_source():
    detections = concatenate(made_up_sources(10))
    statistics = fit_statistics(MODALITIES, detections)
    whole = Sources(detections, feature_columns(MODALITIES, detections, statistics))
    cut = view(detections, 3)
    short = Sources(cut, feature_columns(MODALITIES, cut, statistics))
    a, b = whole.batch(np.arange(10), np.full(10, 3)), short.batch(np.arange(10))
    for name in ("features", "days", "band", "mask"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_block_agrees_with_torch_reference():
    """The same weights in PyTorch's own pre-norm layer give the same output, padding and all."""
    torch.manual_seed(0)
    ours = Block(32, 4, 64, dropout=0.0).eval()
    theirs = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    layers = {
        "self_attn.in_proj_": ours.attention.qkv,
        "self_attn.out_proj.": ours.attention.out,
        "linear1.": ours.ff[0],
        "linear2.": ours.ff[3],
        "norm1.": ours.attention_norm,
        "norm2.": ours.ff_norm,
    }
    names = {f"{k}{part}": getattr(v, part) for k, v in layers.items() for part in ("weight", "bias")}
    theirs.load_state_dict(names)
    x, mask = torch.randn(3, 9, 32), torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    with torch.no_grad():
        a = ours(x, mask[:, None, None, :])
        b = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(a[mask], b[mask], atol=1e-5, rtol=1e-4)


def test_the_decoder_decodes_no_more_positions_than_the_batch_has():
    model, data = autoencoder(), sources()
    batch = data.batch(np.argsort(data.length)[:8])
    output = model(batch)
    assert output.decoded.continuous.shape[:2] == batch.mask.shape
    assert batch.mask.shape[1] == data.length[np.argsort(data.length)[:8]].max() < 257


def test_losses_count_real_detections_only():
    model, data = autoencoder(), sources()
    batch = data.batch(np.arange(12))
    with torch.no_grad():
        output = model(batch).decoded
        output.continuous[~batch.mask] = 1e6
        losses = model.decoder.losses(output, batch, "mse")
        expected = ((output.continuous - batch.features[..., :4]) ** 2)[batch.mask].mean(0)
    torch.testing.assert_close(torch.stack([losses[c].value for c in CHANNELS]), expected)
    errors = model.decoder.error(output, batch)
    by_hand = [
        (output.continuous[0, k] - batch.features[0, k, :4]).square().sum() for k in range(data.length[0])
    ]
    band = nn.functional.cross_entropy(output.band[0][batch.mask[0]], batch.band[0][batch.mask[0]])
    torch.testing.assert_close(errors[0], torch.stack(by_hand).mean() + band)


def test_classification_ignores_unknown_classes():
    logits, label = torch.randn(4, len(FINE)), torch.tensor([3, -1, 5, -1])
    expected = nn.functional.cross_entropy(logits[[0, 2]], label[[0, 2]])
    torch.testing.assert_close(classification_loss(logits, label), Mean(expected, torch.tensor(2)))
    assert classification_loss(logits, torch.full((4,), -1)) == (0, 0)


@given(seed=st.integers(0, 100), size=st.integers(1, 50))
def test_batches_hold_every_source_once_and_like_lengths(seed, size):
    length = np.random.default_rng(seed).integers(1, 258, 200)
    for rng in (None, np.random.default_rng(seed)):
        batches = batches_by_length(length, size, rng)
        assert sorted(np.concatenate(batches)) == list(range(200))
        assert max(map(len, batches)) <= size
    padded = sum(length[b].max() * len(b) for b in batches)
    random = np.random.default_rng(seed).permutation(200)
    assert padded <= sum(length[r].max() * len(r) for r in np.array_split(random, len(batches))) * 1.01


def test_a_source_without_detections_is_refused():
    detections = concatenate([*made_up_sources(3), made_up_sources(1)[0].select(np.array([], int))])
    with pytest.raises(ValueError, match="number 3"):
        Sources(detections, np.zeros((len(detections.mjd), WIDTH), np.float32))


def test_wrong_pool_is_named():
    with pytest.raises(ValueError, match=r"encoder\.pool is 'mean'"):
        Encoder(7, pool="mean")


def test_transformer_without_padding_skips_the_mask():
    model, x = Transformer(1, 16, 2, 32, 0.0).eval(), torch.randn(2, 5, 16)
    mask = torch.ones(2, 5, dtype=torch.bool)
    padded = torch.cat([x, torch.zeros(2, 2, 16)], 1)
    longer = torch.cat([mask, torch.zeros(2, 2, dtype=torch.bool)], 1)
    torch.testing.assert_close(model(x, mask), model(padded, longer)[:, :5], atol=1e-5, rtol=1e-4)
