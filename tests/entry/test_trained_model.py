"""The trained model that comes with the project, on real sources that it was not trained on."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import rtf
from rtf.classes import SUPERNOVAE, supernova_label
from rtf.encoding.load import trained_on
from rtf.evaluation.classification import head_probability

RUN = Path(__file__).parents[2] / "experiments/models/real_supernovae"


@pytest.fixture(scope="module")
def histories(real_data, tmp_path_factory) -> list:
    """Every fourth test source of the table of real supernovae, with five detections and more."""
    table = pq.read_table(real_data / "lightcurves/ztf_supernovae.parquet")
    table = table.filter(pc.equal(table["split"], "test"))
    names = sorted(set(table["object_id"].to_pylist()))[::4]
    path = tmp_path_factory.mktemp("real") / "test.parquet"
    pq.write_table(table.filter(pc.is_in(table["object_id"], pc.cast(names, table["object_id"].type))), path)
    return [h for h in rtf.read_histories(path) if len(h) >= 5]


def test_it_was_not_trained_on_test_sources(histories):
    assert not trained_on(RUN) & {h.object_id for h in histories} and len(trained_on(RUN)) > 4000


def test_it_classifies_and_rebuilds_real_supernovae(histories):
    """Worse than the figures in RESULTS.md by no more than a quarter of the sources allows."""
    model = rtf.load(RUN)
    label = supernova_label([h.label for h in histories])
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
