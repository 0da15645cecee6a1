"""The model of the tables, saved by version 0.2 and to be loaded for ever, on real sources new to it."""

from pathlib import Path

import numpy as np
import pytest

import rtf
from rtf.classes import SUPERNOVAE, supernova_label
from rtf.encoding.load import trained_on
from rtf.evaluation.classification import head_probability

RUN = Path(__file__).parents[2] / "experiments/models/real_supernovae"


def test_it_was_not_trained_on_test_sources(real_test_histories):
    assert not trained_on(RUN) & {h.object_id for h in real_test_histories} and len(trained_on(RUN)) > 4000


def test_it_classifies_and_rebuilds_real_supernovae(real_test_histories):
    """Worse than the figures in RESULTS.md by no more than a quarter of the sources allows."""
    model, histories = rtf.load(RUN), real_test_histories
    label = supernova_label([h.label for h in real_test_histories])
    known = label >= 0
    found = model.encode(histories)
    five = head_probability(found.probability, "supernovae")
    assert five.shape[1] == len(SUPERNOVAE)
    assert (five.argmax(1) == label)[known].mean() > 0.83
    rebuilt = model.reconstruct(histories)
    assert np.median(np.abs(rebuilt.mag - rebuilt.seen.mag)) < 0.09
    assert np.median(found.strangeness[known]) == pytest.approx(0.5, abs=0.2)  # here without non-detections
    # what nobody trained on is stranger
    odd = np.array([h.label >= 16 for h in histories])
    assert found.strangeness[odd].mean() > found.strangeness[known].mean()
