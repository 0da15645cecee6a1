import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rtf.alerts.history import concatenate
from rtf.classes import FINE
from rtf.evaluation.tasks import domain
from rtf.evaluation.tasks.transfer import only_trained, ranked, read_real, run_transfer, without
from rtf.store.build import preprocess
from tests.evaluation.run_fakes import FakeModel, FakeStore
from tests.sources import MadeUpReader, made_up_sources


class Renamed(MadeUpReader):
    """Sources of other names, some without a label."""

    def read(self, unit, report):
        for k, source in enumerate(made_up_sources(self.n, self.seed)):
            source.object_id = f"sky{k:03d}"
            source.label = -1 if k < 4 else source.label
            yield source


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "sky.zarr"
    preprocess(Renamed(80, seed=5), "made up", path, workers=0, progress=False)
    return path


@pytest.mark.parametrize("head", [True, False])
def test_the_task_scores_real_sources_at_each_count(tmp_path, real, head):
    model, store = FakeModel(head), FakeStore(200)
    store.label[store.label == 3] = 4  # no training source of SN II
    made, figures = run_transfer(
        model, store, tmp_path, stores=[real], counts=[5, "all"], seed=0, n_bootstrap=40
    )
    record = json.loads((tmp_path / "transfer.json").read_text())
    n_sn_ii = sum(h.label == 3 for h in made_up_sources(80, 5)[4:])
    assert record["left_out"] == {"without a label": 4, "SN II, not a training class": n_sn_ii}
    assert set(model.asked) == {5, None}
    readers = {"probe", "head"} if head else {"probe"}
    for level in ("coarse", "fine"):
        assert set(record[level]) == {"5", "all"} and set(record[level]["5"]) == readers
        scored = record[level]["all"]["probe"]["real"]
        assert sum(scored["test_count"]) == 80 - 4 - n_sn_ii
        assert scored["accuracy"]["low"] <= scored["accuracy"]["value"] <= scored["accuracy"]["high"]
        assert scored["without_training"] == []
    assert [p.name for p in figures] == [
        f"transfer_{s}_{r}.png" for s in ("coarse", "fine") for r in sorted(readers, reverse=True)
    ]
    assert all(p.stat().st_size > 5000 for p in figures)
    text = (tmp_path / "transfer.md").read_text()
    assert "majority class" in text and "most taken for" in text and "P(real > simulated)" in text
    assert f"Real sources left out: 4 without a label, {n_sn_ii} SN II, not a training class." in text
    assert len(made) == 4


def test_simulated_sources_are_also_scored_without_what_real_ones_lack(tmp_path, real):
    model = FakeModel()
    model.modalities = ("photometry", "metadata")
    bare = concatenate(made_up_sources(80, 5))
    full = concatenate(made_up_sources(20, 1))
    assert (without(full, bare).metadata is full.metadata) and without(full, bare).stamp is None
    bare.metadata[:] = np.nan
    assert np.isnan(without(full, bare).metadata).all() and np.isfinite(full.metadata).any()
    run_transfer(model, FakeStore(200), tmp_path, stores=[real], counts=["all"], seed=0, n_bootstrap=20)
    record = json.loads((tmp_path / "transfer.json").read_text())
    assert set(record["fine"]["all"]["probe"]) == {"real", "simulated", "simulated, bare"}


def test_sources_of_the_training_split_are_refused(real):
    with pytest.raises(ValueError, match=r"1 of its sources are in the run's training split \(sky007"):
        read_real([real], trained={"sky007"})
    with pytest.raises(ValueError, match=r"task\.stores="):
        read_real([])


def test_only_trained_classes_are_kept():
    kept, left_out = only_trained(np.array([0, 9, 12, -1, 12]), np.array([0, 0, 9, -1]))
    assert kept.tolist() == [0, 9, -1, -1, -1]
    assert left_out == {"without a label": 1, "SLSN, not a training class": 2}
    with pytest.raises(ValueError, match="none of 2 real sources"):
        only_trained(np.array([3, -1]), np.array([0, 1]))


def test_ranking_of_tde_against_sn_ia_is_the_auc_of_scikit_learn():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(len(FINE)), 200)
    label = rng.choice([0, 4, 9], 200)
    found = ranked(probability, label, seed=0, n_bootstrap=50)
    two = label != 4
    score = probability[two, 9] / (probability[two, 9] + probability[two, 0])
    assert found["auc"].value == pytest.approx(roc_auc_score(label[two] == 9, score))
    assert found["n_tde"] + found["n_sn_ia"] == two.sum()
    assert ranked(probability, np.zeros(200, int), seed=0, n_bootstrap=5) is None
    probability[:, [0, 9]] = 0
    assert ranked(probability, label, seed=0, n_bootstrap=5)["auc"].value == 0.5


def test_light_curves_are_described_by_hand():
    source = made_up_sources(1, min_length=4, max_length=4)[0]
    source.mjd = 59000 + np.array([0.0, 0.03, 3.0, 8.0])
    source.mag, source.magerr = np.float32([19, 18, 17, 18]), np.float32([0.1, 0.2, 0.3, 0.4])
    source.band = np.int8([0, 1, 1, 1])
    found = {name: float(x[0]) for name, x in domain.describe(concatenate([source])).items()}
    assert found == pytest.approx(
        {
            "detections": 4, "span [day]": 8, "median gap [day]": (2.97 + 5) / 2,
            "first to brightest [day]": 3, "first mag": 19, "brightest mag": 17, "range [mag]": 2,
            "median magerr [mag]": 0.25, "share of g": 0.25, "share of r": 0.75, "share of i": 0,
        }
    )  # fmt: skip
    single = domain.describe(concatenate([source.select(np.array([0]))]))
    assert np.isnan(single["median gap [day]"][0])


def test_domains_are_compared_class_by_class():
    sources = made_up_sources(60, 1)
    label = np.array([h.label for h in sources])
    brighter = made_up_sources(60, 1)
    for h in brighter:
        h.mag = h.mag - 10
    rows = domain.compare(concatenate(sources), label, concatenate(brighter), label, seed=0, n_bootstrap=30)
    for r in rows:
        assert r["above"].value == (
            0 if r["quantity"] in ("first mag", "brightest mag") else pytest.approx(0.5)
        )
    count = np.bincount(label, minlength=len(FINE))
    assert {r["class"] for r in rows} == {FINE[c] for c in np.flatnonzero(count >= domain.FEWEST)}
