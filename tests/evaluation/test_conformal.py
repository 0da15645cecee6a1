"""Conformal sets hold the right class as often as they say."""

import numpy as np
import pytest

from rtf.evaluation.conformal import sets, thresholds


def made_up(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident probabilities of three classes, one of them rare and hard."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=[0.7, 0.25, 0.05])
    logit = rng.normal(size=(n, 3)) + np.array([2.5, 2.0, 0.5])[label, None] * np.eye(3)[label]
    odds = np.exp(3 * logit)
    return odds / odds.sum(1, keepdims=True), label


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_holds_on_average_and_by_class(coverage):
    (p, y), (q, z) = made_up(20000, 0), made_up(20000, 1)
    for by_class in (False, True):
        inside = sets(q, thresholds(p, y, coverage, by_class))[np.arange(len(z)), z]
        if by_class:
            shares = [inside[z == c].mean() for c in range(3)]
            assert min(shares) > coverage - 0.04
        else:
            assert inside.mean() == pytest.approx(coverage, abs=0.02) or inside.mean() > coverage
            assert inside[z == 2].mean() < coverage - 0.1  # the rare class pays


def test_few_or_no_sources_of_a_class_and_unknown_labels():
    p, y = made_up(300, 0)
    y = np.where(y == 2, -1, y)
    made = thresholds(p, y, 0.9, by_class=True)
    assert made[2] == thresholds(p, y, 0.9, by_class=False)[2]
    assert thresholds(p[:5], np.zeros(5, int), 0.9, False).tolist() == [
        0,
        0,
        0,
    ]  # five cannot say: all classes
    assert sets(p, np.ones(3)).sum(1).tolist() == [1] * 300
    with pytest.raises(ValueError, match="between 0 and 1"):
        thresholds(p, y, 1.0, False)
