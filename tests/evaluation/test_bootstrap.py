import numpy as np
import pytest

from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate, interval, resample_counts


def test_counts_are_multinomial_draws_whatever_the_chunk():
    whole = np.concatenate(list(resample_counts(50, 400, seed=1)))
    pieces = np.concatenate(list(resample_counts(50, 400, seed=1, width=300_000)))
    assert (whole == pieces).all() and whole.shape == (400, 50)
    assert (whole.sum(1) == 50).all()
    # Variance of one count: n p (1 - p) with p = 1 / n.
    assert whole.var() == pytest.approx(1 - 1 / 50, rel=0.05)


def test_interval_covers_the_mean_of_a_normal_sample():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        x = rng.normal(3.0, 2.0, 80)
        e = bootstrap(lambda w, x=x: w @ x / w.sum(1), 80, n_resamples=400, seed=trial)
        covered += e.low <= 3.0 <= e.high
        assert e.value == pytest.approx(x.mean())
    assert 0.90 < covered / 300 < 0.98  # 95 %, give or take three standard deviations


def test_interval_has_the_known_width():
    x = np.random.default_rng(0).normal(size=2000)
    e = bootstrap(lambda w: w @ x / w.sum(1), 2000, seed=0)
    assert e.high - e.low == pytest.approx(2 * 1.96 * x.std() / np.sqrt(2000), rel=0.08)


def test_same_seed_same_interval_and_several_statistics_at_once():
    x = np.random.default_rng(0).normal(size=(30, 2))
    both = bootstrap(lambda w: w @ x / w.sum(1, keepdims=True), 30, seed=3)
    assert both[1] == bootstrap(lambda w: (w @ x / w.sum(1, keepdims=True))[:, 1], 30, seed=3)
    assert both[1] != bootstrap(lambda w: (w @ x / w.sum(1, keepdims=True))[:, 1], 30, seed=4)


def test_undefined_resamples_are_left_out():
    assert interval(1.0, np.array([np.nan, 1.0, 1.0])) == Estimate(1.0, 1.0, 1.0)
    assert np.isnan(interval(1.0, np.array([np.nan])).low)
    with pytest.raises(ValueError, match="empty set"):
        bootstrap(lambda w: w.sum(1), 0)


def test_format():
    assert format_estimate(Estimate(0.8744, 0.861, 0.8861)) == "0.874 [0.861, 0.886]"
    assert format_estimate(Estimate(0.5, float("nan"), float("nan"))) == "0.500"
    assert format_estimate(Estimate(float("nan"), 0.0, 1.0)) == "–"
