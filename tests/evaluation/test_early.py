"""Early classification on a model whose fingerprint at N is known in advance."""

import numpy as np
import pytest

from rtf.classes import FINE
from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation.record import MAJORITY, pick, select
from rtf.evaluation.tasks.early import early
from rtf.features.view import view
from tests.evaluation.fakes import FakeStore, inputs
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


@pytest.fixture(scope="module")
def histories():
    return made_up_sources(230, seed=2)


def shelf(histories) -> FakeStore:
    return FakeStore(splits={"train": histories[:150], "test": histories[150:]})


def test_the_head_is_scored_at_each_count(histories):
    model = MeanMagnitude({h.candid[0]: h.label for h in histories})
    made = early(inputs(model, shelf(histories)), counts=[10, 3, "all"])
    lengths = np.array([len(h) for h in histories[150:]])
    have = select(made.records, score="have as many", level="fine", method="probe")
    assert {r.shown: r.value for r in have} == {3: 80, 10: (lengths >= 10).sum(), None: 80}
    for level in ("coarse", "fine"):
        at = {"level": level, "method": "head", "group": "all"}
        shown = [r.shown for r in select(made.records, score="accuracy", **at)]
        assert shown == [3, 10, None]
        assert pick(made.records, score="accuracy", shown=10, **at).value == 1
        assert pick(made.records, score="ROC-AUC", shown=3, **at).value == pytest.approx(0.5)
    assert [t.title for t in made.tables] == [
        f"Early classification, {c} classes" for c in ("coarse", "fine")
    ]
    rows = [tuple(row[:3]) for row in made.tables[1].rows]
    assert ("10", "head", "1.000 [1.000, 1.000]") in rows and rows[-1][:2] == ("any", MAJORITY)
    assert made.tables[1].rows[0][-1] == "80"  # every row has the same test sources


def test_the_figure_draws_the_records(histories):
    made = early(inputs(MeanMagnitude(), shelf(histories)), counts=[3, 10, "all"])
    axes = made.figures["early.png"].axes[3]  # fine, accuracy
    line = next(line for line in axes.lines if line.get_label() == "probe")
    own = select(made.records, level="fine", method="probe", score="accuracy", group="all")
    np.testing.assert_allclose(line.get_xydata(), [(3, own[0].value), (10, own[1].value), (18, own[2].value)])
    base = pick(made.records, level="fine", method=MAJORITY, score="accuracy")
    assert [base.value] * 2 in [list(line.get_ydata()) for line in axes.lines]


def test_without_a_head_the_probe_alone(histories):
    made = early(inputs(MeanMagnitude(), shelf(histories)), counts=[5])
    assert [tuple(row[:2]) for row in made.tables[0].rows] == [("5", "probe"), ("any", MAJORITY)]


def test_later_detections_change_nothing(histories):
    """What a model does at N does not depend on what came later: the scores at 5 are the same without it."""
    cut = [h.select(np.arange(min(5, len(h)))) for h in histories]
    whole, only = (early(inputs(MeanMagnitude(), shelf(h)), counts=[5]) for h in (histories, cut))
    assert whole.records == only.records and whole.arrays == only.arrays
