"""Early classification on a model whose fingerprint at N is known in advance."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from rtf.alerts.history import concatenate
from rtf.classes import COARSE, COARSE_OF_FINE, FINE, coarse_label
from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation.tasks.early import checked_counts, coarse_probability, run_early
from rtf.features.view import view
from tests.sources import made_up_sources


class MeanMagnitude:
    """A "model" whose fingerprint is mean and first magnitude, and whose head knows the class from N = 10."""

    needs_cutouts = False

    def __init__(self, label=None):
        self.label = label or {}

    def view(self, detections, first=None):
        return view(detections, 257 if first is None else first)

    def encode(self, detections, first=None):
        seen = self.view(detections, first)
        mean = np.array([seen.mag[a:b].mean() for a, b in zip(seen.offset, seen.offset[1:])])
        latent = np.column_stack([mean, seen.mag[seen.offset[:-1]], seen.length]).astype(np.float32)
        probability = None
        if self.label:
            known = np.array([self.label[c] for c in seen.candid[seen.offset[:-1]]])
            probability = np.full((len(seen), len(FINE)), 1 / len(FINE), np.float32)
            if first is None or first >= 10:
                probability = np.eye(len(FINE), dtype=np.float32)[known]
        return Fingerprints(latent, probability, latent[:, 0], seen.length, seen.length - 1)


@dataclass
class Shelf:
    """A store of made-up sources: the first 150 are the train split, the others the test split."""

    histories: list

    def __post_init__(self):
        self.label = np.array([h.label for h in self.histories], np.int8)
        self.coarse = coarse_label(self.label)

    def sources(self, split):
        return {"train": slice(0, 150), "test": slice(150, len(self.histories))}[split]

    def detections(self, split, cutouts=False):
        return concatenate(self.histories[self.sources(split)])


@pytest.fixture(scope="module")
def shelf():
    return Shelf(made_up_sources(230, seed=2))


def test_the_head_is_scored_at_each_count(shelf, tmp_path):
    model = MeanMagnitude({h.candid[0]: h.label for h in shelf.histories})
    made, figures = run_early(model, shelf, tmp_path, counts=[10, 3, "all"], seed=0, n_bootstrap=60)
    result = json.loads((tmp_path / "early.json").read_text())
    lengths = np.array([len(h) for h in shelf.histories[150:]])
    assert result["test_sources_with_n"] == {"3": 80, "10": int((lengths >= 10).sum()), "all": 80}
    for level in ("coarse", "fine"):
        assert list(result[level]["head"]) == list(result[level]["probe"]) == ["3", "10", "all"]
        assert result[level]["head"]["10"]["accuracy"]["value"] == 1
        assert result[level]["head"]["3"]["auc"]["value"] == pytest.approx(0.5)
        probe = result[level]["probe"]["10"]["accuracy"]
        assert probe["low"] <= probe["value"] <= probe["high"]
    assert [t.title for t in made] == [f"Early classification, {c} classes" for c in ("coarse", "fine")]
    text = (tmp_path / "early.md").read_text()
    assert "| 10 | head | 1.000 [1.000, 1.000] |" in text and "majority class" in text
    assert text.count("60 bootstrap resamples") == 2
    assert figures == [tmp_path / "early.png"] and figures[0].stat().st_size > 10_000


def test_without_a_head_the_probe_alone(shelf, tmp_path):
    made, _ = run_early(MeanMagnitude(), shelf, tmp_path, counts=[5], seed=0, n_bootstrap=20)
    assert [row[:2] for row in made[0].rows[:-1]] == [("5", "probe")]
    assert made[0].rows[-1][0].startswith("majority class")


def test_later_detections_change_nothing(shelf, tmp_path):
    """What a model does at N does not depend on what came later: the scores at 5 are the same without it."""
    run_early(MeanMagnitude(), shelf, tmp_path / "whole", counts=[5], seed=0, n_bootstrap=20)
    cut = Shelf([h.select(np.arange(min(5, len(h)))) for h in shelf.histories])
    run_early(MeanMagnitude(), cut, tmp_path / "cut", counts=[5], seed=0, n_bootstrap=20)
    texts = [(tmp_path / f / "early.json").read_text() for f in ("whole", "cut")]
    assert texts[0] == texts[1]


def test_coarse_probabilities_are_sums_of_the_fine_ones():
    fine = np.random.default_rng(0).dirichlet(np.ones(len(FINE)), 20)
    coarse = coarse_probability(fine)
    assert coarse.shape == (20, len(COARSE))
    for c in range(len(COARSE)):
        np.testing.assert_allclose(coarse[:, c], fine[:, c == COARSE_OF_FINE].sum(1))


def test_counts_are_sorted_and_checked():
    assert checked_counts([50, 3, "all", 3]) == [3, 50, "all"]
    for bad in ([], [0], ["some"], [2.5], [True]):
        with pytest.raises(ValueError, match="counts must be"):
            checked_counts(bad)
