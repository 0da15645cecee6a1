import numpy as np
import pytest
from sklearn import metrics as reference

from rtf.evaluation import metrics


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
    accuracy = metrics.accuracy(label, prediction, weights)
    balanced = metrics.balanced_accuracy(label, prediction, weights, 4)
    recall = metrics.recall(label, prediction, weights, 4)
    auc = metrics.class_auc(label, score, weights)
    macro = metrics.macro_auc(label, score, weights)
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
    expected = reference.confusion_matrix(label, prediction)
    assert (metrics.confusion(label, prediction, 4) == expected).all()


def test_auc_counts_ties_half():
    label = np.array([0, 0, 1, 1])
    ones = np.ones((1, 4))
    assert metrics.class_auc(label, np.zeros((4, 2)), ones).tolist() == [[0.5, 0.5]]
    score = np.array([[3.0, 0], [1, 0], [1, 0], [0, 0]])  # pairs 3>1, 3>0, 1=1, 1>0
    assert metrics.class_auc(label, score, ones)[0, 0] == 3.5 / 4


def test_absent_classes_are_left_out_of_the_mean():
    label = np.array([0, 0, 1, 2])
    prediction = np.array([0, 1, 1, 0])
    weights = np.array([[1, 1, 1, 1], [1, 1, 2, 0]])
    np.testing.assert_allclose(
        metrics.recall(label, prediction, weights, 4), [[0.5, 1, 0, np.nan], [0.5, 1, np.nan, np.nan]]
    )
    np.testing.assert_allclose(metrics.balanced_accuracy(label, prediction, weights, 4), [0.5, 0.75])
    auc = metrics.class_auc(label, np.eye(4)[prediction], weights)
    assert np.isnan(auc).tolist() == [[False, False, False, True], [False, False, True, True]]
    assert metrics.macro_auc(label, np.eye(4)[prediction], weights)[1] == pytest.approx(auc[1, :2].mean())
    # One class alone has no AUC at all.
    assert np.isnan(metrics.macro_auc(np.zeros(3, int), np.eye(3), np.ones((1, 3)))).all()


@pytest.mark.parametrize("n_values", [0, 1, 2, 61, 3001])
def test_weighted_median_equals_numpy_on_repeats(n_values):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 12, n_values)
    values = rng.integers(0, 20, n_values) / 7 + source  # ties too; and medians that move with the weights
    counts = rng.integers(0, 4, (200, 12)).astype(np.int32)
    counts[0] = 0
    median = metrics.WeightedMedian(values, source, window=0.05)(counts)
    expected = [np.median(r) if len(r := np.repeat(values, row[source])) else np.nan for row in counts]
    np.testing.assert_allclose(median, expected)
    with pytest.raises(TypeError, match="whole numbers"):
        metrics.WeightedMedian(values, source)(counts.astype(float))
