"""Forecasts: nothing later than the cut is looked at, baselines against references, a calibrated oracle."""

from functools import partial

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
from rtf.encoding.fingerprinter import Fingerprinter, Fingerprints, RunError
from rtf.evaluation.record import pick, select
from rtf.evaluation.tasks import baselines
from rtf.evaluation.tasks.baselines import LightCurveGP, Seen, fit_gp, persistence
from rtf.evaluation.tasks.forecast import (
    GP,
    NOISE,
    Answers,
    ask,
    forecast,
    group_records,
    hide,
    split_at,
    spread_sources,
    within,
)  # fmt: skip
from rtf.features.normalisation import fit_statistics
from rtf.features.photometry import Photometry
from rtf.features.view import view
from rtf.models.autoencoder import Autoencoder
from rtf.models.bottlenecks.ae import AEBottleneck
from rtf.models.decoders.query import QueryDecoder
from rtf.models.decoders.sequence import SequenceDecoder
from rtf.models.encoder import Encoder
from tests.evaluation.fakes import FakeStore, inputs

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
        latent = np.array([[self.peak.get(t, 18.0), t - 59000] for t in self.start])
        return Fingerprints(latent, None, latent[:, 0], seen.length, seen.length - 1)

    def query(self, latent, days, band):
        # a parabola about day 15 of the survey's clock, not of the source's own
        mag = truth(latent[:, :1], days + latent[:, 1:], band)
        return mag, np.full(mag.shape, TRUE_SCATTER)


@pytest.fixture(scope="module")
def survey():
    train, test = smooth_sources(30, seed=1), smooth_sources(120, seed=2)
    return FakeStore(splits={"train": train, "test": test}), Oracle(test)


@pytest.fixture(scope="module")
def made(survey):
    store, oracle = survey
    return forecast(inputs(oracle, store, n_bootstrap=100), counts=[5, 10])


def test_an_oracle_is_at_its_noise_calibrated_and_better_than_every_baseline(made):
    windows = [f"{a} to {b} days ahead" for a, b in ((0, 3), (3, 7), (7, 14), (14, 30))]
    expected = {("forecast", n, w) for n in (5, 10) for w in windows}
    expected |= {("interpolation", None, "all")}
    assert {(r.level, r.shown, r.group) for r in made.records} == expected
    for level, shown, group in expected:
        own = select(made.records, level=level, shown=shown, group=group)
        value = {(r.score, r.method): r.value for r in own}
        assert value["mag", "model"] == pytest.approx(0.12, abs=0.05)
        assert value["pull", "model"] == pytest.approx(1, abs=0.2)
        for score, nominal in (("within 68 %", 0.68), ("within 95 %", 0.95)):
            assert value[score, "model"] == pytest.approx(nominal, abs=0.12)
        assert {("mag", GP), ("gain", GP)} <= set(value)
        if group == windows[-1]:
            assert pick(own, score="gain").low > 0
            best = min(value["mag", m] for m in (GP, "last in band"))
            assert pick(own, score="mag", method="model").high < best
            assert value["gain", GP] == pytest.approx(value["mag", GP] - value["mag", "model"])
    assert all(r.low <= r.value <= r.high for r in made.records if r.score != "detections")


def test_tables_and_figures_show_the_records(made, survey):
    errors, _ = made.tables
    rows = {tuple(row[:3]): dict(zip(errors.columns, row)) for row in errors.rows}
    assert {("forecast", "5", "14 to 30 days ahead"), ("interpolation", "all", "all")} <= set(rows)
    cell = pick(made.records, level="interpolation", score="mag", method="model")
    shown = rows["interpolation", "all", "all"]["model"]
    assert shown == f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    panels = [axes for axes in made.figures["forecast.png"].axes if axes.get_visible()]
    names = [axes.get_title().split()[-1] for axes in panels]
    assert len(set(names)) == 6 and set(names) <= set(survey[0].object_id[survey[0].sources("test")])


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
    test = store.detections("test")
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
    for method in ("model", GP, "last in band"):
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


def test_persistence_by_hand():
    mag = 18 + 0.1 * np.array([0.0, 1, 2, 3, 4, 9])
    seen = Seen(np.array([0.0, 1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, 0, 1]), mag, np.full(6, 0.1))
    asked, band = np.array([6.0, 2.5, 6.0, 4.5, -1.0]), np.array([0, 0, 1, 2, 0])
    np.testing.assert_allclose(persistence(seen, asked, band), [18.4, 18.2, 18.9, 18.4, 18.0])
    one = concatenate(smooth_sources(3))
    both = baselines.predicted(LightCurveGP(18, 1, 1, 10, 0.5, 0.1), one, one)
    assert both.shape == (2, len(one.mjd))


def test_scores_by_hand_and_windows():
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(30), 8)
    observed, magerr = rng.normal(18, 1, 240), np.full(240, 0.1)
    predicted = {"model": observed + rng.normal(0, 0.2, 240), GP: observed + rng.normal(0, 0.5, 240)}
    sigma = {m: np.full(240, 0.2) for m in predicted}
    answers = Answers(source, np.tile(np.arange(8.0), 30), observed, magerr, predicted, sigma)
    member = within(answers, (3, 6))
    assert set(answers.ahead[member]) == {4, 5, 6} and within(answers, (0, 3)).sum() == 4 * 30
    records = group_records(answers, member, {"level": "forecast"}, 40, {"seed": 0, "n_resamples": 200})
    found = {(r.score, r.method): r for r in records}
    assert found["detections", "model"].value == 90 and {r.n for r in records} == {30}
    error = {m: np.median(np.abs(p - observed)[member]) for m, p in predicted.items()}
    pull = ((observed - predicted[GP]) / np.hypot(0.2, 0.1))[member]
    gain = found.pop(("gain", GP))
    assert gain.value == pytest.approx(error[GP] - error["model"]) and gain.low > 0
    assert found["within 95 %", GP].value == pytest.approx((np.abs(pull) <= 1.959964).mean())
    assert found["pull", GP].value == pytest.approx(pull.std())
    assert found["mag", NOISE].value == pytest.approx(0.6745 * 0.1, rel=1e-3)
    for score, method in (("mag", "model"), ("pull", GP), ("within 68 %", GP)):
        e = found[score, method]
        assert e.low < e.value < e.high


def test_drawn_sources_run_from_well_to_badly_forecast():
    error = np.linspace(0, 1, 20)
    source = np.repeat(np.arange(20), 6)
    answers = Answers(source, np.full(120, 5.0), error[source], source, {"model": source * 0.0}, {})
    assert (np.diff(spread_sources(answers)) > 0).all() and len(spread_sources(answers)) == 6


def test_a_model_with_a_query_decoder_is_evaluated_and_another_is_refused(survey):
    torch.manual_seed(0)
    store, (photometry, small) = survey[0], ({"photometry": Photometry()}, {"d_model": 16, "d_ff": 16})
    statistics = fit_statistics(photometry, store.detections("train"))
    config = OmegaConf.create({"latent_dim": 8, "data": {"max_detections": 257, "max_days": 100.0}})

    def fingerprinter(decoder):
        encoder = partial(Encoder, n_layers=1, n_heads=2, **small)
        model = Autoencoder(7, 8, encoder, AEBottleneck, partial(decoder, **small))
        return Fingerprinter(model, photometry, statistics, config)

    made = forecast(inputs(fingerprinter(QueryDecoder), store, n_bootstrap=20), counts=[8])
    # it has learned nothing
    assert all(r.value > 0.3 for r in select(made.records, score="mag", method="model"))
    with pytest.raises(RunError, match="decoder=query"):
        forecast(inputs(fingerprinter(partial(SequenceDecoder, n_heads=2)), store), counts=[8])


def test_wrong_counts_are_named(survey):
    store, oracle = survey
    for counts in ([], [0]):
        with pytest.raises(ValueError, match="counts"):
            forecast(inputs(oracle, store), counts=counts)
    three = [h.select(np.arange(3)) for h in smooth_sources(4)]
    with pytest.raises(ValueError, match="more than 200 detections"):
        short = FakeStore(splits={"train": smooth_sources(5), "test": three})
        forecast(inputs(Oracle(three), short), counts=[200])
    with pytest.raises(ValueError, match="no source in its test split"):
        forecast(inputs(oracle, FakeStore(splits={"train": three, "test": []})), counts=[5])


def test_the_process_forecasts_real_supernovae_better_than_the_last_magnitude(real_data):
    """The baseline is no straw man: on real light curves it is right within its errors, and well ahead."""
    everything = concatenate(read_histories(real_data / "lightcurves/ztf_bts_snia.parquet")[:400])
    sources = view(everything.take(np.flatnonzero(view(everything).length > 10)))
    half = len(sources) // 2
    process = fit_gp(sources.take(np.arange(half)))
    seen, targets = split_at(sources.take(np.arange(half, len(sources))), 10)
    last = np.repeat(seen.mjd[seen.offset[1:] - 1], targets.length)
    mag, sigma = baselines.predicted(process, seen, targets)
    lasting = baselines.predicted(persistence, seen, targets)
    soon = targets.mjd - last <= 14
    assert soon.sum() > 300
    error, reference = (np.median(np.abs(x - targets.mag)[soon]) for x in (mag, lasting))
    assert error < 0.8 * reference
    inside = np.abs(mag - targets.mag) <= 1.96 * np.hypot(sigma, targets.magerr)
    assert inside[soon].mean() > 0.93
