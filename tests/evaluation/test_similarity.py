"""Similarity search against brute force, by hand, and on a model whose fingerprints are known."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation.record import CHANCE, pick, select
from rtf.evaluation.search import precision_at, recall_at, scaler, self_ranks
from rtf.evaluation.tasks.similarity import BEST, class_precision, self_recall, similarity
from rtf.features.view import view
from tests.evaluation.fakes import FakeStore, inputs
from tests.sources import made_up_sources

SETTINGS = {"seed": 0, "n_resamples": 50}


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@given(st.integers(12, 60), st.integers(1, 10), st.integers(0, 10_000))
def test_precision_equals_sorting_everything(n, k, seed):
    rng = np.random.default_rng(seed)
    index, label = unit(rng.normal(size=(n, 5))), rng.integers(0, 3, n)
    expected = []
    for i in range(n):
        others = np.delete(np.arange(n), i)
        nearest = others[np.argsort(-(index[others] @ index[i]))[:k]]
        expected.append((label[nearest] == label[i]).mean())
    np.testing.assert_allclose(precision_at(index, label, k), expected)


def test_ties_count_as_the_mean_over_their_orders():
    """Five fingerprints of which three are equal: the mean over every way to fill the last place."""
    index = unit(np.array([[1.0, 0], [1, 1], [1, 1], [1, 1], [0, 1]]))
    label = np.array([0, 0, 1, 1, 0])
    pairs = list(itertools.combinations([1, 2, 3], 2))  # source 0: two of the three equal ones
    expected = np.mean([np.mean([label[j] == 0 for j in pair]) for pair in pairs])
    assert precision_at(index, label, 2)[0] == pytest.approx(expected)
    # all collapsed to one point: the share of the class among the others
    same = np.ones((9, 2)) / np.sqrt(2)
    label = np.array([0] * 6 + [1] * 3)
    np.testing.assert_allclose(precision_at(same, label, 4), [5 / 8] * 6 + [2 / 8] * 3)


@given(st.integers(2, 40), st.integers(0, 10_000))
def test_ranks_equal_sorting_everything(n, seed):
    rng = np.random.default_rng(seed)
    index, own = unit(rng.normal(size=(n, 4))), rng.permutation(n)[: (n + 1) // 2]
    query = unit(index[own] + 0.5 * rng.normal(size=(len(own), 4)))
    above, equal = self_ranks(query, own, index)
    assert (equal >= 1).all()
    assume((equal == 1).all())  # two cosines of thousands can lie within the rounding of float32
    for q, o, a in zip(query, own, above):
        assert np.argsort(-(index @ q)).tolist().index(o) == a
    for k in (1, 10):
        assert (recall_at(above, equal, k) == (above < k)).all()


def test_a_collapsed_fingerprint_finds_itself_by_chance_alone():
    index = np.tile(unit(np.ones((1, 3))), (40, 1))
    records = self_recall(index, np.arange(40), index, 5, SETTINGS)
    for k in (1, 10):
        found, chance = (pick(records, score=f"recall at {k}", method=m).value for m in ("model", CHANCE))
        assert found == pytest.approx(chance) == pytest.approx(k / 40)
    assert pick(records, score="median rank").value == 20.5


def test_a_perfect_fingerprint_finds_itself_first():
    index = unit(np.random.default_rng(0).normal(size=(700, 16)))
    records = self_recall(index[5:9], np.arange(5, 9), index, 5, SETTINGS)
    found = pick(records, score="recall at 1", method="model")
    assert found.value == found.low == 1 and found.n == 4 and pick(records, score="median rank").value == 1


def test_precision_of_classes_by_hand():
    """Two tight groups and a stray: chance and the best possible are the class's own."""
    index = unit(np.array([[1, 0.01 * k] for k in range(6)] + [[0.01 * k, 1] for k in range(4)] + [[-1, -1]]))
    label = np.array([0] * 6 + [1] * 4 + [2])
    records = class_precision(index, label, ("a", "b", "c", "d"), "fine", 3, SETTINGS)
    values = {m: {r.group: r.value for r in select(records, method=m)} for m in ("model", CHANCE, BEST)}
    assert list(values["model"]) == ["all", "mean over classes", "a", "b", "c"]
    assert [values["model"][c] for c in "abc"] == [values[BEST][c] for c in "abc"] == [1, 1, 0]
    assert [values[CHANCE][c] for c in "abc"] == pytest.approx([5 / 10, 3 / 10, 0])
    assert values["model"]["all"] == pytest.approx(10 / 11)
    assert values["model"]["mean over classes"] == pytest.approx(2 / 3)
    # sources without a class neither ask nor are found
    unknown = np.append(label, [-1, -1])
    again = class_precision(np.vstack([index, index[:2]]), unknown, ("a", "b", "c", "d"), "fine", 3, SETTINGS)
    assert again == records
    with pytest.raises(ValueError, match="more than 3 test sources with a class, not 2"):
        class_precision(index[:2], label[:2], ("a", "b"), "fine", 3, SETTINGS)


def test_scaling_uses_training_statistics_alone():
    rng = np.random.default_rng(0)
    train = 50 + rng.normal(size=(300, 4)) * [1, 10, 1, 0]  # a shared mean, a wide and a dead dimension
    test = 50 + rng.normal(size=(20, 4)) * [1, 10, 1, 0]
    scale = scaler(train)
    np.testing.assert_allclose(np.linalg.norm(scale(test), axis=1), 1)
    np.testing.assert_array_equal(scale(test)[:5], scale(test[:5]))  # no statistics of the test split
    assert (unit(test) @ unit(test).T).min() > 0.9 and (scale(test) @ scale(test).T).min() < -0.5  # mended
    with pytest.raises(ValueError, match="train split is empty"):
        scaler(train[:0])


class FirstDetections:
    """A "model" whose fingerprint is the first three magnitudes: known from N = 3, not before."""

    needs_cutouts = False

    def encode(self, detections, first=None):
        seen = view(detections, 257 if first is None else first)
        latent = np.zeros((len(seen), 3), np.float32)
        for k, (a, b) in enumerate(zip(seen.offset, seen.offset[1:])):
            latent[k, : b - a] = seen.mag[a:b][:3]
        return Fingerprints(latent, None, latent[:, 0], seen.length, seen.length - 1)


def test_the_task_asks_with_those_that_have_more_and_draws_what_it_found():
    histories = made_up_sources(160, seed=5, max_length=15)
    store = FakeStore(splits={"train": histories[:80], "test": histories[80:]})
    made = similarity(inputs(FirstDetections(), store), counts=[1, 3, 10, 20, "all"], k=10)
    lengths = np.array([len(h) for h in histories[80:]])
    recall = select(made.records, score="recall at 1", method="model")
    assert [(r.shown, r.n) for r in recall] == [(n, (lengths > n).sum()) for n in (1, 3, 10)]
    assert recall[0].value < 0.7 and [r.value for r in recall[1:]] == [1, 1]
    assert pick(made.records, score="recall at 10", method=CHANCE, shown=3).value == 10 / 80
    assert [row[0] for row in made.tables[0].rows] == ["1", "3", "10"]
    left, right = made.figures["similarity.png"].axes
    line = next(c for c in left.lines if c.get_label() == "recall at 1")
    np.testing.assert_allclose(line.get_ydata(orig=False), [r.value for r in recall])
    fine = select(made.records, level="fine", method="model")
    assert [bar.get_width() for bar in right.patches] == [r.value for r in fine]
    assert [t.get_text() for t in right.get_yticklabels()] == [f"{r.group} ({r.n:,})" for r in fine]
