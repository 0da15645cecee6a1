"""Bootstrap and metrics: against known distributions, scikit-learn, and repeats of the sources."""

import numpy as np
import pytest
from sklearn import metrics as reference

from rtf.evaluation import statistics
from rtf.evaluation.statistics import (
    Estimate,
    bootstrap,
    format_estimate,
    interval,
    noise_floor,
    resample_counts,
    weighted_noise_floor,
)  # fmt: skip


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


@pytest.fixture
def sample():
    """Labels, scores with many ties, predictions, and weights: real-valued, counts, and counts with zeros."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 150)
    score = rng.integers(0, 6, (150, 4)) + 2.0 * (label[:, None] == np.arange(4)) * (
        rng.random((150, 1)) < 0.5
    )
    score = score + 0.1
    score /= score.sum(1, keepdims=True)
    weights = np.stack([rng.random(150), rng.integers(0, 4, 150), np.ones(150)])
    return label, score, score.argmax(1), weights


def test_metrics_equal_scikit_learn(sample):
    label, score, prediction, weights = sample
    accuracy = statistics.accuracy(label, prediction, weights)
    balanced = statistics.balanced_accuracy(label, prediction, weights, 4)
    recall = statistics.recall(label, prediction, weights, 4)
    auc = statistics.class_auc(label, score, weights)
    macro = statistics.mean_over_classes(auc)
    for b, w in enumerate(weights):
        assert accuracy[b] == pytest.approx(reference.accuracy_score(label, prediction, sample_weight=w))
        assert balanced[b] == pytest.approx(
            reference.balanced_accuracy_score(label, prediction, sample_weight=w)
        )
        np.testing.assert_allclose(
            recall[b], reference.recall_score(label, prediction, average=None, sample_weight=w)
        )
        for c in range(4):
            expected = reference.roc_auc_score(label == c, score[:, c], sample_weight=w)
            assert auc[b, c] == pytest.approx(expected)
        expected = reference.roc_auc_score(label, score, multi_class="ovr", average="macro", sample_weight=w)
        assert macro[b] == pytest.approx(expected)


def test_auc_counts_ties_half():
    label = np.array([0, 0, 1, 1])
    ones = np.ones((1, 4))
    assert statistics.class_auc(label, np.zeros((4, 2)), ones).tolist() == [[0.5, 0.5]]
    score = np.array([[3.0, 0], [1, 0], [1, 0], [0, 0]])  # pairs 3>1, 3>0, 1=1, 1>0
    assert statistics.class_auc(label, score, ones)[0, 0] == 3.5 / 4


def test_absent_classes_are_left_out_of_the_mean():
    label = np.array([0, 0, 1, 2])
    prediction = np.array([0, 1, 1, 0])
    weights = np.array([[1, 1, 1, 1], [1, 1, 2, 0]])
    np.testing.assert_allclose(
        statistics.recall(label, prediction, weights, 4), [[0.5, 1, 0, np.nan], [0.5, 1, np.nan, np.nan]]
    )
    np.testing.assert_allclose(statistics.balanced_accuracy(label, prediction, weights, 4), [0.5, 0.75])
    auc = statistics.class_auc(label, np.eye(4)[prediction], weights)
    assert np.isnan(auc).tolist() == [[False, False, False, True], [False, False, True, True]]
    assert statistics.mean_over_classes(auc)[1] == pytest.approx(auc[1, :2].mean())
    # One class alone has no AUC at all.
    assert np.isnan(statistics.class_auc(np.zeros(3, int), np.eye(3), np.ones((1, 3)))).all()


@pytest.mark.parametrize("n_values", [0, 1, 2, 61, 3001])
def test_weighted_median_equals_numpy_on_repeats(n_values):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 12, n_values)
    values = rng.integers(0, 20, n_values) / 7 + source  # ties too; and medians that move with the weights
    counts = rng.integers(0, 4, (200, 12)).astype(np.int32)
    counts[0] = 0
    median = statistics.weighted_median(values, source)(counts)
    expected = [np.median(r) if len(r := np.repeat(values, row[source])) else np.nan for row in counts]
    np.testing.assert_allclose(median, expected)


def test_noise_floor_equals_monte_carlo():
    rng = np.random.default_rng(0)
    sigma = 10 ** rng.uniform(-2, -0.3, 500)
    drawn = np.median(np.abs(rng.normal(0, sigma, (2000, 500))))
    assert noise_floor(sigma) == pytest.approx(drawn, rel=5e-3)
    assert noise_floor(np.full(3, 0.1)) == pytest.approx(0.0674489750)
    for bad in ([], [0.1, 0.0], [0.1, np.nan]):
        with pytest.raises(ValueError, match="noise floor"):
            noise_floor(np.array(bad))


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_weighted_noise_floor_equals_that_of_the_repeats(spread):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 10, 80)
    sigma = 0.05 * 10 ** (spread * rng.uniform(-1, 1, 80))
    counts = rng.multinomial(10, np.full(10, 0.1), 30)
    counts[0] = 0
    floors = weighted_noise_floor(sigma, source, 10)(counts)
    assert np.isnan(floors[0])
    for row, floor in zip(counts[1:], floors[1:], strict=True):
        assert floor == pytest.approx(noise_floor(np.repeat(sigma, row[source])), rel=1e-3)
