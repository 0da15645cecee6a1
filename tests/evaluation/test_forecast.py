"""Forecasts: nothing later than the cut is looked at, baselines against references, a calibrated oracle."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from rtf.alerts.history import concatenate, from_columns
from rtf.alerts.read import read_histories
from rtf.encoding.fingerprinter import Fingerprinter, RunError
from rtf.evaluation.tasks import baselines as extrapolate
from rtf.evaluation.tasks.baselines import LightCurveGP, Seen, fit_gp, line, persistence
from rtf.evaluation.tasks.forecast import ask, hide, run_forecast, split_at, spread_sources
from rtf.evaluation.tasks.forecast_scores import Answers, evaluate_group, within
from rtf.features.normalisation import fit_statistics
from rtf.features.photometry import Photometry
from rtf.features.view import view
from rtf.models.autoencoder import Autoencoder
from rtf.models.bottlenecks.ae import AEBottleneck
from rtf.models.decoders.query import QueryDecoder
from rtf.models.decoders.sequence import SequenceDecoder
from rtf.models.encoder import Encoder

TRUE_SCATTER = 0.15


def smooth_sources(n: int, seed: int = 0, longest: int = 40):
    """Parabolas with a peak of their own; scatter beyond the errors, which are right."""
    rng = np.random.default_rng(seed)
    histories = []
    for k in range(n):
        length = int(rng.integers(3, longest))
        days, band = np.sort(rng.uniform(0, 60, length)), rng.integers(0, 2, length)
        magerr = rng.uniform(0.03, 0.2, length)
        peak = 18 + 0.1 * (k % 10)
        mag = truth(peak, days, band) + np.hypot(magerr, TRUE_SCATTER) * rng.normal(size=length)
        histories.append(from_columns(f"smooth{k:04d}", 59000 + days, band, mag, magerr, label=k % 10))
    return histories


def truth(peak, days, band):
    return peak + 0.3 * band + ((days - 15) / 20) ** 2


class Oracle:
    """In the place of a model: its fingerprints are peaks, and it knows how much sources scatter."""

    needs_cutouts = False

    def __init__(self, histories):
        self.peak = {h.mjd[0]: 18 + 0.1 * (k % 10) for k, h in enumerate(histories)}
        self.shown = []

    def view(self, detections, first=257):
        return view(detections, first)

    def encode(self, detections, first=None):
        seen = detections if first is None else view(detections, first)
        self.shown.append(seen)
        self.start = seen.mjd[seen.offset[:-1]]
        return SimpleNamespace(latent=np.array([[self.peak[t], t - 59000] for t in self.start]))

    def query(self, latent, days, band):
        # a parabola about day 15 of the survey's clock, not of the source's own
        mag = truth(latent[:, :1], days + latent[:, 1:], band)
        return mag, np.full(mag.shape, TRUE_SCATTER)


class FakeStore:
    """Training and test split of `histories`, and what tasks read of a store besides."""

    path = "made up"

    def __init__(self, train, test):
        self.split = {"train": concatenate(train), "test": concatenate(test)}
        self.object_id = np.array([h.object_id for h in [*train, *test]])
        self.label = np.array([h.label for h in [*train, *test]])
        self.where = {"train": slice(0, len(train)), "test": slice(len(train), len(train) + len(test))}

    def detections(self, split, **_):
        return self.split[split]

    def sources(self, split):
        return self.where[split]


@pytest.fixture(scope="module")
def survey():
    train, test = smooth_sources(30, seed=1), smooth_sources(120, seed=2)
    return FakeStore(train, test), Oracle(test)


@pytest.fixture(scope="module")
def outcome(survey, tmp_path_factory):
    out = tmp_path_factory.mktemp("forecast")
    store, oracle = survey
    made, figures = run_forecast(oracle, store, out, seed=0, n_bootstrap=100, counts=[5, 10])
    return out, made, figures, json.loads((out / "forecast.json").read_text())


def test_an_oracle_is_at_its_noise_calibrated_and_better_than_every_baseline(outcome):
    _, _, _, record = outcome
    kinds = {(r["asked"], r["n_shown"], tuple(r["window"] or ())) for r in record["rows"]}
    windows = [(0, 3), (3, 7), (7, 14), (14, 30)]
    expected = {("forecast", n, w) for n in (5, 10) for w in windows}
    assert kinds == expected | {("shown", 5, ()), ("shown", 10, ()), ("interpolation", None, ())}
    for r in record["rows"]:
        assert r["error"]["model"]["value"] == pytest.approx(0.12, abs=0.05)
        assert r["pull"]["model"]["value"] == pytest.approx(1, abs=0.2)
        for level, within_it in r["coverage"]["model"].items():
            assert within_it["value"] == pytest.approx(float(level), abs=0.12)
        assert ("gp" in r["error"]) == (r["asked"] != "shown") == (r["gain"] is not None)
        if r["window"] == [14, 30]:
            assert r["gain"]["low"] > 0
            best = min(r["error"][m]["value"] for m in ("gp", "line", "persistence"))
            assert r["error"]["model"]["high"] < best
            assert r["gain"]["value"] == pytest.approx(
                r["error"]["gp"]["value"] - r["error"]["model"]["value"]
            )


def test_files_are_written_and_every_number_has_its_interval(outcome):
    out, made, figures, record = outcome
    assert [f.name for f in figures] == ["forecast_calibration.png", "forecast_light_curves.png"]
    assert all(f.stat().st_size > 20_000 for f in figures)
    text = (out / "forecast.md").read_text()
    assert "first 5 | 14 to 30 days ahead" in text and "two thirds | hidden third" in text
    assert "100 bootstrap resamples" in text
    first = record["rows"][0]
    cell = first["error"]["model"]
    assert f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]" in made[0].rows[0]
    assert {len(row) for t in made for row in t.rows} == {10}


@given(n=st.integers(1, 12), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_a_cut_is_by_time_and_loses_nothing(n, seed):
    detections = concatenate(smooth_sources(8, seed))
    seen, later = split_at(detections, n)
    assert (seen.length == np.minimum(detections.length, n)).all()
    assert (seen.length + later.length == detections.length).all()
    for k in np.flatnonzero(later.length):
        assert seen.mjd[seen.offset[k + 1] - 1] <= later.mjd[later.offset[k]]


def test_hidden_detections_lie_inside_and_their_choice_is_seeded():
    detections = concatenate([h for h in smooth_sources(40) if len(h) >= 5])
    hidden = hide(detections, 3)
    assert not hidden[detections.offset[:-1]].any() and not hidden[detections.offset[1:] - 1].any()
    share = np.add.reduceat(hidden, detections.offset[:-1]) / (detections.length - 2)
    assert share == pytest.approx(1 / 3, abs=0.17) and (share > 0).all()
    assert (hide(detections, 3) == hidden).all() and (hide(detections, 4) != hidden).any()


def test_later_magnitudes_reach_neither_fingerprint_nor_baseline(survey):
    store, oracle = survey
    test = store.split["test"]
    test = test.take(np.flatnonzero(test.length > 6))
    process = LightCurveGP(18.5, 0.5, 0.8, 20.0, 0.9, 0.1)
    found = []
    for change in (0.0, 5.0):
        later = np.arange(len(test.mjd)) - np.repeat(test.offset[:-1], test.length) >= 6
        altered = test.rows(np.ones(len(test.mjd), bool))
        altered.mag = test.mag + np.float32(change) * later
        seen, targets = split_at(altered, 6)
        found.append(ask(oracle, seen, targets, np.arange(len(test)), process))
    assert (oracle.shown[-1].length == 6).all()
    assert (found[1].observed - found[0].observed > 4).all()
    for method in ("model", "gp", "line", "persistence"):
        assert (found[0].predicted[method] == found[1].predicted[method]).all(), method


def test_the_process_equals_scikit_learns():
    mjd, mag = np.array([0.0, 1, 4, 9, 12]), np.array([19, 18.8, 18.3, 18.1, 18.4])
    seen = Seen(mjd, np.zeros(5, int), mag, np.full(5, 0.1))
    process = LightCurveGP(18.5, 0.5, 0.8, 7.0, 0.9, 0.05)
    kernel = ConstantKernel(0.25, "fixed") + 0.64 * Matern(7.0, nu=1.5)
    reference = GaussianProcessRegressor(kernel, alpha=0.1**2 + 0.05**2, optimizer=None)
    reference.fit(seen.mjd[:, None], seen.mag - 18.5)
    asked = np.array([-3.0, 2.0, 13.0, 40.0])
    mean, deviation = reference.predict(asked[:, None], return_std=True)
    mag, sigma = process(seen, asked, np.zeros(4, int))
    np.testing.assert_allclose(mag, mean + 18.5, rtol=1e-6)
    np.testing.assert_allclose(sigma**2, deviation**2 + 0.05**2, rtol=1e-6)
    assert process.log_likelihood(seen) == pytest.approx(reference.log_marginal_likelihood(), rel=1e-6)
    # a band never seen is known by its correlation with the one that was
    other, wider = process(seen, asked, np.ones(4, int))
    assert (wider[1:3] > sigma[1:3]).all() and abs(other[1] - mag[1]) < 0.3


def test_the_process_is_fitted_to_the_training_split():
    rng = np.random.default_rng(0)
    true, histories = LightCurveGP(18.5, 0.5, 0.8, 15.0, 0.8, 0.1), []
    for k in range(80):
        days, band = np.sort(rng.uniform(0, 60, 25)), rng.integers(0, 2, 25)
        covariance = true._covariance(days, band, days, band) + np.diag(np.full(25, 0.1**2 + 0.05**2))
        mag = rng.multivariate_normal(np.full(25, 18.5), covariance)
        histories.append(from_columns(f"{k}", days, band, mag, np.full(25, 0.05)))
    found = fit_gp(concatenate(histories))
    assert found.amplitude == pytest.approx(0.8, rel=0.25) and found.days == pytest.approx(15, rel=0.25)
    assert found.correlation == pytest.approx(0.8, abs=0.1) and found.scatter == pytest.approx(0.1, abs=0.03)
    with pytest.raises(ValueError, match="no source of two detections"):
        fit_gp(concatenate([h.select(np.array([0])) for h in histories]))


def test_persistence_and_lines_by_hand():
    mag = 18 + 0.1 * np.array([0.0, 1, 2, 3, 4, 9])
    seen = Seen(np.array([0.0, 1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, 0, 1]), mag, np.full(6, 0.1))
    asked, band = np.array([6.0, 2.5, 6.0, 4.5, -1.0]), np.array([0, 0, 1, 2, 0])
    np.testing.assert_allclose(persistence(seen, asked, band), [18.4, 18.2, 18.9, 18.4, 18.0])
    # onward in g, between neighbours in g; r and i have too few for a line
    np.testing.assert_allclose(line(seen, asked, band), [18.6, 18.25, 18.9, 18.4, 18.0], rtol=1e-6)
    one = concatenate(smooth_sources(3))
    both = extrapolate.predicted(LightCurveGP(18, 1, 1, 10, 0.5, 0.1), one, one)
    assert both.shape == (2, len(one.mjd))


def test_scores_by_hand_and_windows():
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(30), 8)
    observed, magerr = rng.normal(18, 1, 240), np.full(240, 0.1)
    predicted = {"model": observed + rng.normal(0, 0.2, 240), "gp": observed + rng.normal(0, 0.5, 240)}
    sigma = {m: np.full(240, 0.2) for m in predicted}
    answers = Answers(source, np.tile(np.arange(8.0), 30), observed, magerr, predicted, sigma)
    member = within(answers, (3, 6))
    assert set(answers.ahead[member]) == {4, 5, 6} and within(answers, (0, 3)).sum() == 4 * 30
    row = evaluate_group(answers, member, "forecast", 5, (3, 6), 40, 0, 200)
    assert (row.n_sources, row.n_detections) == (30, 90)
    error = {m: np.median(np.abs(p - observed)[member]) for m, p in predicted.items()}
    pull = ((observed - predicted["gp"]) / np.hypot(0.2, 0.1))[member]
    assert row.gain.value == pytest.approx(error["gp"] - error["model"]) and row.gain.low > 0
    assert row.coverage["gp"][0.95].value == pytest.approx((np.abs(pull) <= 1.959964).mean())
    assert row.pull["gp"].value == pytest.approx(pull.std())
    for e in (*row.error.values(), *row.pull.values(), row.gain, row.coverage["gp"][0.68]):
        assert e.low < e.value < e.high


def test_drawn_sources_run_from_well_to_badly_forecast():
    error = np.linspace(0, 1, 20)
    source = np.repeat(np.arange(20), 6)
    answers = Answers(source, np.full(120, 5.0), error[source], source, {"model": source * 0.0}, {})
    assert (np.diff(spread_sources(answers)) > 0).all() and len(spread_sources(answers)) == 6


def test_a_model_with_a_query_decoder_is_evaluated_and_another_is_refused(survey, tmp_path):
    torch.manual_seed(0)
    store, (photometry, small) = survey[0], ({"photometry": Photometry()}, {"d_model": 16, "d_ff": 16})
    statistics = fit_statistics(photometry, store.split["train"])
    config = OmegaConf.create({"latent_dim": 8, "data": {"max_detections": 257, "max_days": 100.0}})

    def fingerprinter(decoder):
        encoder = partial(Encoder, n_layers=1, n_heads=2, **small)
        model = Autoencoder(7, 8, encoder, AEBottleneck, partial(decoder, **small))
        return Fingerprinter(model, photometry, statistics, config)

    run_forecast(fingerprinter(QueryDecoder), store, tmp_path, seed=0, n_bootstrap=20, counts=[8])
    record = json.loads((tmp_path / "forecast.json").read_text())
    assert all(r["error"]["model"]["value"] > 0.3 for r in record["rows"])  # it has learned nothing
    with pytest.raises(RunError, match="decoder=query"):
        sequence = fingerprinter(partial(SequenceDecoder, n_heads=2))
        run_forecast(sequence, store, tmp_path, seed=0, n_bootstrap=20, counts=[8])


def test_wrong_counts_are_named(survey, tmp_path):
    store, oracle = survey
    for counts in ([], [0]):
        with pytest.raises(ValueError, match="counts"):
            run_forecast(oracle, store, tmp_path, seed=0, n_bootstrap=10, counts=counts)
    three = [h.select(np.arange(3)) for h in smooth_sources(4)]
    with pytest.raises(ValueError, match="more than 200 detections"):
        store = FakeStore(smooth_sources(5), three)
        run_forecast(Oracle(three), store, tmp_path, seed=0, n_bootstrap=10, counts=[200])
    with pytest.raises(ValueError, match="test split is empty"):
        run_forecast(oracle, FakeStore(three, []), tmp_path, seed=0, n_bootstrap=10, counts=[5])


def test_the_process_forecasts_real_supernovae_better_than_the_last_magnitude(real_data):
    """The baseline is no straw man: on real light curves it is right within its errors, and well ahead."""
    everything = concatenate(read_histories(real_data / "lightcurves/ztf_bts_snia.parquet")[:400])
    sources = view(everything.take(np.flatnonzero(view(everything).length > 10)))
    half = len(sources) // 2
    process = fit_gp(sources.take(np.arange(half)))
    seen, targets = split_at(sources.take(np.arange(half, len(sources))), 10)
    last = np.repeat(seen.mjd[seen.offset[1:] - 1], targets.length)
    mag, sigma = extrapolate.predicted(process, seen, targets)
    lasting = extrapolate.predicted(persistence, seen, targets)
    soon = targets.mjd - last <= 14
    assert soon.sum() > 300
    error, reference = (np.median(np.abs(x - targets.mag)[soon]) for x in (mag, lasting))
    assert error < 0.8 * reference
    inside = np.abs(mag - targets.mag) <= 1.96 * np.hypot(sigma, targets.magerr)
    assert inside[soon].mean() > 0.93
