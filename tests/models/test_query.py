"""The query decoder: independent queries, its likelihood, units, and that it learns a made-up truth."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.alerts.history import concatenate
from rtf.features.normalisation import feature_columns, fit_statistics
from rtf.features.photometry import Photometry
from rtf.features.view import view
from rtf.models.decoders.query import HUBER_REACH, QueryDecoder, negative_log_density
from rtf.store.batches import Sources
from tests.sources import made_up_sources

MODALITIES = {"photometry": Photometry()}


@pytest.fixture(scope="module")
def data():
    detections = view(concatenate(made_up_sources(40, min_length=5, max_length=30)))
    statistics = fit_statistics(MODALITIES, detections)
    sources = Sources(detections, feature_columns(MODALITIES, detections, statistics))
    return SimpleNamespace(detections=detections, statistics=statistics, sources=sources)


def decoder(data, **settings) -> QueryDecoder:
    torch.manual_seed(0)
    made = QueryDecoder(16, d_model=32, d_ff=48, **settings).eval()
    made.set_statistics(**data.statistics["photometry"])
    torch.nn.init.normal_(made.out.weight)  # answers that differ from one query to the next
    return made


def latents(n: int) -> torch.Tensor:
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(1))


@given(seed=st.integers(0, 1000), n=st.integers(2, 40))
@settings(max_examples=12, deadline=None)
def test_a_query_gets_the_same_answer_alone_and_among_others(data, seed, n):
    made, rng = decoder(data), np.random.default_rng(seed)
    latent, days = latents(3), torch.from_numpy(rng.uniform(-5, 130, (3, n)))
    band = torch.from_numpy(rng.integers(0, 3, (3, n)))
    row, column = rng.integers(3), rng.integers(n)
    with torch.inference_mode():
        together = made.at(latent, days, band, data.statistics)
        alone = made.at(
            latent[row : row + 1],
            days[row : row + 1, column : column + 1],
            band[row : row + 1, column : column + 1],
            data.statistics,
        )
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[row, column], one[0, 0], atol=2e-4, rtol=1e-5)


def test_answers_at_detections_are_those_of_at(data):
    """Training, reconstruction and questions at any time are one function, in one set of units."""
    made, chosen = decoder(data), np.arange(12)
    length = np.random.default_rng(0).integers(3, data.sources.length[chosen] + 1)
    batch = data.sources.batch(chosen, length, targets=True)
    latent = latents(12)
    with torch.inference_mode():
        decoded = made(latent, batch)
        mag, sigma = made.at(latent, batch.target.days, batch.target.band, data.statistics)
        rebuilt = made.rebuilt(decoded, batch, data.statistics)
        shown_only = made(latent, replace(batch, target=None))
        from_shown = made.rebuilt(shown_only, replace(batch, target=None), data.statistics)
    mask = batch.mask
    scale, zero = (float(data.statistics["photometry"][k][2]) for k in ("std", "mean"))
    torch.testing.assert_close(mag[batch.target.mask], -2.5 * (decoded.mean * scale + zero))
    torch.testing.assert_close(rebuilt["mag"][mask], mag[:, : mask.shape[1]][mask], atol=1e-4, rtol=0)
    for name in rebuilt:
        assert rebuilt[name].shape == mask.shape and not rebuilt[name][~mask].any()
        torch.testing.assert_close(rebuilt[name], from_shown[name], atol=1e-4, rtol=0)
    # Times and bands are the true ones, and the error holds that of the measurement.
    assert torch.equal(rebuilt["band"], batch.band * mask) and torch.equal(rebuilt["dt"], batch.days * mask)
    first = data.detections.rows(
        np.concatenate([np.arange(n) < k for n, k in zip(data.sources.length, [*length, *[0] * 28])])
    )
    expected = np.hypot(sigma[:, : mask.shape[1]][mask].numpy(), first.magerr)
    np.testing.assert_allclose(rebuilt["magerr"][mask], expected, rtol=1e-3)
    np.testing.assert_allclose(made.error(decoded, batch), made.error(shown_only, batch), rtol=1e-4)
    residual = (rebuilt["mag"][0][mask[0]].numpy() - first.mag[: length[0]]) / (2.5 * scale)
    np.testing.assert_allclose(made.error(decoded, batch)[0], np.mean(residual**2), rtol=1e-3)


@pytest.mark.parametrize("distance", ["huber", "mse"])
def test_the_density_is_one(distance):
    x = torch.linspace(-40, 40, 200_001, dtype=torch.float64)
    density = torch.exp(-negative_log_density(x, distance))
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-6)


def test_the_likelihood_is_that_of_the_residual_with_its_measurement_error(data):
    made = decoder(data)
    batch = data.sources.batch(np.arange(10), np.full(10, 4), targets=True)
    with torch.inference_mode():
        decoded = made(latents(10), batch)
        decoded.mean = decoded.truth + 0.1  # a residual within the normal core
        losses = made.losses(decoded, batch, "mse")
    deviation = torch.sqrt(decoded.log_sigma.exp() ** 2 + decoded.error**2)
    normal = torch.distributions.Normal(decoded.mean, deviation)
    torch.testing.assert_close(losses["reconstruction"].value, -normal.log_prob(decoded.truth).mean())
    # in magnitudes the measurement error is the survey's own
    scale = 2.5 * data.statistics["photometry"]["std"][2]
    members = data.detections.take(np.arange(10))
    np.testing.assert_allclose(decoded.error * scale, members.magerr, rtol=1e-3)
    assert losses["logflux"].value == pytest.approx(0.1, rel=1e-4)
    with pytest.raises(ValueError, match=r"'mae'.*huber and mse"):
        made.losses(decoded, batch, "mae")


def test_a_wild_detection_pulls_with_bounded_force():
    pull = torch.tensor([1.0, 10.0, 1000.0], requires_grad=True)
    negative_log_density(pull, "huber").sum().backward()
    torch.testing.assert_close(pull.grad, torch.tensor([1.0, HUBER_REACH, HUBER_REACH]))


@pytest.mark.parametrize("magerr", [0.0, 5.0])
def test_extreme_errors_and_outliers_leave_the_loss_finite(data, magerr):
    made = decoder(data).train()
    batch = data.sources.batch(np.arange(6), np.full(6, 3), targets=True)
    mean, std = (data.statistics["photometry"][k] for k in ("mean", "std"))
    batch.target.values[..., 3] = (0.4 * magerr - mean[3]) / std[3]
    batch.target.values[0, 0, 2] = 1e4
    loss = made.losses(made(latents(6), batch), batch, "huber")["reconstruction"].value
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in made.parameters())


def test_future_weight_says_what_counts(data):
    batch = data.sources.batch(np.arange(8), np.full(8, 3), targets=True)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        made = decoder(data, future_weight=weight)
        with torch.inference_mode():
            losses[weight] = made.losses(made(latents(8), batch), batch)["reconstruction"].value
    made = decoder(data)
    with torch.inference_mode():
        alone = made.losses(made(latents(8), replace(batch, target=None)), batch)["reconstruction"].value
    torch.testing.assert_close(losses[0.0], alone)
    later = int((batch.target.mask & ~batch.target.shown).sum())
    future = (losses[1.0] * (24 + later) - losses[0.0] * 24) / later
    torch.testing.assert_close(losses[3.0], (losses[0.0] * 24 + 3 * future * later) / (24 + 3 * later))
    assert made.losses(made(latents(8), batch), batch)["future_logflux"].value > 0


def test_statistics_travel_with_the_weights(data):
    made, other = decoder(data), QueryDecoder(16, d_model=32, d_ff=48)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.std, made.std) and not torch.equal(other.std, torch.ones(4))
    with pytest.raises(ValueError, match="photometry std"):
        other.set_statistics(np.zeros(4), np.ones(3))


def test_it_learns_a_light_curve_and_its_scatter():
    """Fingerprints that hold peak and width: the answers become the curve, the uncertainty its scatter."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    made = QueryDecoder(2, d_model=32, n_layers=1, d_ff=64)
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    error, scatter = 0.1, 0.2

    def drawn(n):
        latent, days = torch.randn(n, 2, generator=rng), 60 * torch.rand(n, 12, generator=rng)
        band = torch.randint(0, 2, (n, 12), generator=rng)
        truth = latent[:, :1] + 0.5 * band - ((days - 20) / 25) ** 2 * (1 + 0.3 * latent[:, 1:])
        noisy = truth + math.hypot(error, scatter) * torch.randn(n, 12, generator=rng)
        values = torch.stack([days * 0, days * 0, noisy, days * 0 + error], -1)
        everywhere = torch.ones(n, 12, dtype=torch.bool)
        return latent, SimpleNamespace(
            days=days, band=band, features=values, mask=everywhere, target=None, truth=truth
        )

    for _ in range(250):
        latent, batch = drawn(32)
        loss = made.losses(made(latent, batch), batch)["reconstruction"].value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    latent, batch = drawn(300)
    with torch.inference_mode():
        decoded = made.eval()(latent, batch)
    assert (decoded.mean.view(300, 12) - batch.truth).abs().median() < 0.12
    assert float(decoded.log_sigma.exp().median()) == pytest.approx(scatter, abs=0.07)


def test_wrong_questions_and_settings_are_named(data):
    made, latent = decoder(data), latents(2)
    days, band = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="band: indices"):
        made.at(latent, days, band + 3, data.statistics)
    with pytest.raises(ValueError, match="for 2 fingerprints"):
        made.at(latent, days[:1], band[:1], data.statistics)
    assert made.at(latent, days[:, :0], band[:, :0], data.statistics)[0].shape == (2, 0)
    for wrong in ({"future_weight": -1.0}, {"beta": math.nan}, {"sigma_floor": 0.0}):
        with pytest.raises(ValueError, match=f"decoder.{next(iter(wrong))}"):
            QueryDecoder(16, **wrong)
