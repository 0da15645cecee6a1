"""Telling samples apart: equal ones are a draw, however small, and a planted fault is named."""

import numpy as np
import pytest

from rtf.check.two_sample import column_area, tell_apart

NAMES = ["brightness [mag]", "width [d]", "nothing"]


def sample(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3))
    values[rng.random((n, 3)) < 0.1] = np.nan
    return values + [0, shift, 0]


def test_equal_samples_cannot_be_told_apart():
    result = tell_apart(sample(300, 0), sample(300, 1), NAMES, repeats=2, resamples=200)
    assert result.interval[0] < 0.5 < result.interval[1]
    assert 0.42 < result.auc < 0.58


def test_equal_small_samples_are_not_biased():
    areas = [
        tell_apart(sample(24, k), sample(60, 100 + k), NAMES, repeats=1, resamples=10, shuffles=1).auc
        for k in range(6)
    ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.11)


def test_a_fault_is_found_and_named():
    result = tell_apart(sample(300, 0), sample(300, 1, shift=1.5), NAMES, repeats=1, resamples=200)
    # of two unit normals 1.5 apart, a tenth of them missing on either side
    assert 0.75 < result.auc < 0.9
    assert result.interval[0] < result.auc < result.interval[1]
    first = result.features[0]
    assert first.name == "width [d]" and first.importance > 0.2 and first.auc > 0.75
    assert first.simulated - first.real == pytest.approx(1.5, abs=0.3)
    assert first.real_missing == pytest.approx(0.1, abs=0.06)
    assert max(f.importance for f in result.features[1:]) < 0.05


def test_the_larger_side_is_cut_and_the_seed_decides():
    small, large = sample(40, 0), sample(400, 1, shift=1.0)
    again = [tell_apart(small, large, NAMES, 7, repeats=2, resamples=50, shuffles=1) for _ in range(2)]
    assert again[0] == again[1]
    assert (again[0].n_real, again[0].n_simulated, again[0].n_used) == (40, 400, 40)
    with pytest.raises(ValueError, match="3 real and 400 simulated"):
        tell_apart(small[:3], large, NAMES)


def test_the_area_of_a_column_counts_missing_values_and_ties():
    assert column_area(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])) == 0.5
    assert column_area(np.array([1.0, 2]), np.array([3.0, 4])) == 1
    assert column_area(np.array([3, 4]), np.array([1, 2])) == 1
    assert column_area(np.array([np.nan] * 4), np.array([1.0] * 4)) == 1
    assert column_area(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.75
