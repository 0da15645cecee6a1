import json

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.evaluation.reliability import (
    error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from rtf.evaluation.tables import to_markdown
from rtf.evaluation.tasks.calibration import (
    at_temperature,
    evaluate_calibration,
    run_calibration,
    temperature_of,
)
from tests.evaluation.run_fakes import FakeModel, FakeStore


def drawn(n, seed=0, sharp=2.0, n_classes=5):
    """Probabilities, and labels drawn from them: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logit = sharp * rng.normal(size=(n, n_classes))
    probability = np.exp(logit)
    probability /= probability.sum(1, keepdims=True)
    return probability, (probability.cumsum(1) < rng.random((n, 1))).sum(1)


def plain_error(probability, label, n_bins):
    """The definition, one bin after the other."""
    top = probability.max(1)
    right = probability.argmax(1) == label
    error = 0.0
    for b in range(n_bins):
        inside = (top > b / n_bins) & (top <= (b + 1) / n_bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    return error


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(0, 1000), st.integers(1, 30))
def test_error_follows_the_definition(n, seed, n_bins):
    probability, label = drawn(n, seed)
    label = np.roll(label, 1)
    expected = plain_error(probability, label, n_bins)
    assert expected_calibration_error(probability, label, n_bins) == pytest.approx(expected, abs=1e-12)


def test_error_by_hand():
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    # bin of 0.9: half right; 0.8: right; 0.55: wrong
    assert expected_calibration_error(probability, [0, 1, 1, 0], 10) == pytest.approx(
        (2 * 0.4 + 0.2 + 0.55) / 4
    )
    assert expected_calibration_error(np.eye(3), [0, 1, 2]) == 0
    assert expected_calibration_error(np.eye(3), [1, 2, 0]) == 1


def test_weights_are_repeats():
    probability, label = drawn(60)
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 4)
    for score in (expected_calibration_error, negative_log_likelihood):
        repeated = [score(np.repeat(probability, c, 0), np.repeat(label, c)) for c in counts]
        np.testing.assert_allclose(score(probability, label, weights=counts), repeated)


def test_calibrated_probabilities_have_the_error_of_chance():
    errors = [expected_calibration_error(*drawn(500, seed)) for seed in range(60)]
    expected = np.mean([error_by_chance(drawn(500, seed)[0], 15) for seed in range(60)])
    assert np.mean(errors) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(temperature):
    probability, label = drawn(6000)
    spoiled = at_temperature(probability, 1 / temperature)
    found = temperature_of(spoiled, label)
    assert found == pytest.approx(temperature, rel=0.06)
    np.testing.assert_allclose(at_temperature(spoiled, temperature), probability, rtol=1e-9)
    assert (spoiled.argmax(1) == probability.argmax(1)).all()


def test_temperature_leaves_out_what_says_nothing():
    probability, label = drawn(300)
    odd = np.vstack([probability, [[0.5, 0.5, 0, 0, 0], [0.2] * 5]])
    assert temperature_of(odd, [*label, 3, -1]) == temperature_of(probability, label)
    with pytest.raises(ValueError, match="no labelled source"):
        temperature_of(probability, np.full(300, -1))
    with pytest.raises(ValueError, match="positive"):
        at_temperature(probability, 0.0)


def test_evaluation_before_and_after():
    probability, label = drawn(2000)
    label[:5] = -1
    result = evaluate_calibration(at_temperature(probability, 1 / 3), 3.0, label, label, n_bootstrap=200)
    assert result.after["ece"].value < 2 * result.chance["after"] < result.before["ece"].value
    assert result.difference["nll"].high < 0 and result.difference["accuracy"].value == 0
    assert result.before["accuracy"] == result.after["accuracy"]
    assert result.n_unknown == 5 and result.n_sources == 1995
    assert result.baseline["nll"].value > result.after["nll"].value
    bins = result.reliability["after"]
    assert bins.count.sum() == 1995 and len(bins.edges) == 16
    filled = bins.count > 100
    for mean, e in zip(bins.confidence[filled], np.array(bins.accuracy, dtype=object)[filled]):
        assert e.low - 0.1 < mean < e.high + 0.1
    assert np.isnan(bins.confidence[bins.count == 0]).all()


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="no sources"):
        expected_calibration_error(np.empty((0, 3)), [])
    with pytest.raises(ValueError, match="sum to 1"):
        expected_calibration_error(np.full((2, 3), np.nan), [0, 1])
    with pytest.raises(ValueError, match="one label a row"):
        negative_log_likelihood(np.eye(3), [0, 1])
    with pytest.raises(ValueError, match="between 0 and 2"):
        reliability(np.eye(3), [0, 1, 3])
    with pytest.raises(ValueError, match="training and the test"):
        evaluate_calibration(np.eye(3), 1.0, [-1, -1, -1], [0, 1])


@pytest.mark.parametrize("head", [True, False])
def test_the_task_writes_a_table_and_a_figure(tmp_path, head):
    made, figures = run_calibration(FakeModel(head), FakeStore(), tmp_path, seed=0, n_bootstrap=50)
    text = to_markdown(made[0])
    assert ("| head, after |" in text) is head and "| linear probe, before | 1 |" in text
    assert "training class shares" in text
    record = json.loads((tmp_path / "calibration.json").read_text())
    assert set(record) == ({"head", "linear probe"} if head else {"linear probe"})
    if head:  # what the head gives is what a temperature of 2 made of its raw probabilities
        given = FakeModel().encode(FakeStore().detections("test")).probability
        label = FakeStore().label[FakeStore().sources("test")]
        assert record["head"]["after"]["ece"]["value"] == pytest.approx(
            expected_calibration_error(given, label), abs=1e-6
        )
        assert record["head"]["temperature"] == 2.0
    assert matplotlib.image.imread(figures[0]).shape[0] > 500
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "calibration.json", "calibration.md", "reliability.png",
    ]  # fmt: skip
