"""Calibration against its definition, on probabilities that are calibrated by construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.evaluation.record import pick, select
from rtf.evaluation.tasks.calibration import (
    SHARES,
    at_temperature,
    calibration,
    calibration_records,
    error_by_chance,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    temperature_of,
)  # fmt: skip
from tests.evaluation.fakes import FakeModel, FakeStore, inputs

RESAMPLES = {"seed": 0, "n_resamples": 200}


def once(score, probability, label, *n_bins):
    """A score of the sample itself."""
    return score(np.asarray(probability), np.asarray(label), *n_bins, np.ones((1, len(label))))[0]


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
    assert once(expected_calibration_error, probability, label, n_bins) == pytest.approx(expected, abs=1e-12)


def test_error_by_hand():
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    # bin of 0.9: half right; 0.8: right; 0.55: wrong
    found = once(expected_calibration_error, probability, [0, 1, 1, 0], 10)
    assert found == pytest.approx((2 * 0.4 + 0.2 + 0.55) / 4)
    assert once(expected_calibration_error, np.eye(3), [0, 1, 2], 15) == 0
    assert once(expected_calibration_error, np.eye(3), [1, 2, 0], 15) == 1


def test_counts_are_repeats():
    probability, label = drawn(60)
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 4)
    for score, n_bins in ((expected_calibration_error, (15,)), (negative_log_likelihood, ())):
        repeated = [once(score, np.repeat(probability, c, 0), np.repeat(label, c), *n_bins) for c in counts]
        np.testing.assert_allclose(score(probability, label, *n_bins, counts), repeated)


def test_calibrated_probabilities_have_the_error_of_chance():
    errors = [once(expected_calibration_error, *drawn(500, seed), 15) for seed in range(60)]
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
    assert temperature_of(odd, np.array([*label, 3, -1])) == temperature_of(probability, label)
    with pytest.raises(ValueError, match="no labelled source"):
        temperature_of(probability, np.full(300, -1))
    with pytest.raises(ValueError, match="positive"):
        at_temperature(probability, 0.0)


def test_records_before_and_after():
    probability, label = drawn(2000)
    shares = np.tile(np.bincount(label) / len(label), (len(label), 1))
    spoiled = at_temperature(probability, 1 / 3)
    records = calibration_records(spoiled, label, shares, 3.0, "head", 15, RESAMPLES)
    before, after = (
        {r.score: r for r in select(records, level=level, method="head")} for level in ("before", "after")
    )
    assert after["ECE"].value < 2 * after["ECE by chance"].value < before["ECE"].value
    assert before["ECE"].value == pytest.approx(once(expected_calibration_error, spoiled, label, 15))
    assert after["NLL"].value == pytest.approx(once(negative_log_likelihood, probability, label))
    assert after["change of NLL"].value == pytest.approx(after["NLL"].value - before["NLL"].value)
    assert after["change of NLL"].high < 0 and before["accuracy"].value == after["accuracy"].value
    assert (before["temperature"].value, after["temperature"].value) == (1, 3)
    assert pick(records, method=SHARES, score="NLL").value > after["NLL"].value


def test_bins_hold_every_source_and_calibrated_ones_lie_on_the_diagonal():
    probability, label = drawn(2000)
    bins = reliability(probability, label, 15, RESAMPLES)
    assert len(bins) == 15 and sum(n for n, *_ in bins) == 2000
    for n, confidence, right in bins:
        if n > 100:
            assert right.low - 0.05 < confidence < right.high + 0.05
        assert np.isnan(confidence) == (n == 0)


@pytest.mark.parametrize("head", [True, False])
def test_the_task_scores_head_and_probe(head):
    given = inputs(FakeModel(head), FakeStore())
    made = calibration(given, n_bins=15)
    rows = [tuple(row[:2]) for row in made.tables[0].rows]
    of_probe = [("probe", "before"), ("probe", "after")]
    assert rows == [*([("head", "before"), ("head", "after")] if head else []), *of_probe, (SHARES, "")]
    assert pick(made.records, score="temperature", level="before", method="probe").value == 1
    axes = made.figures["reliability.png"].axes
    assert len(axes) == (4 if head else 2)
    if head:  # what the head gives is what a temperature of 2 made of its raw probabilities
        probability, label = given.split("test").found.probability, given.split("test").label["fine"]
        found = pick(made.records, score="ECE", level="after", method="head").value
        assert found == pytest.approx(once(expected_calibration_error, probability, label, 15), abs=1e-6)
        drawn_bars = [bar.get_height() for bar in axes[1].patches]  # head, after: sources in each bin
        count = np.array([n for n, *_ in reliability(probability.astype(float), label, 15, RESAMPLES)])
        np.testing.assert_allclose(drawn_bars, count / count.sum())


def test_without_labels_it_says_so():
    store = FakeStore()
    store.label[store.sources("test")] = -1
    with pytest.raises(ValueError, match="labelled sources in the test split"):
        calibration(inputs(store=store), n_bins=15)
