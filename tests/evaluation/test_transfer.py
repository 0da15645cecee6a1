import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rtf.alerts.history import concatenate
from rtf.classes import FINE
from rtf.evaluation.record import pick, select
from rtf.evaluation.tasks.transfer import RANKED, only_trained, ranked, read_real, transfer, without
from rtf.store.build import preprocess
from tests.evaluation.fakes import FakeModel, FakeStore, inputs
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


RESAMPLES = {"seed": 0, "n_resamples": 30}


@pytest.mark.parametrize("head", [True, False])
def test_the_task_scores_real_sources_at_each_count(real, head):
    model, store = FakeModel(head), FakeStore(200)
    store.label[store.label == 3] = 4  # no training source of SN II
    made = transfer(inputs(model, store), stores=[real], counts=[5, "all"])
    n_sn_ii = sum(h.label == 3 for h in made_up_sources(80, 5)[4:])
    assert set(model.asked) == {5, None}
    methods = ["probe", "head"] if head else ["probe"]
    for level in ("coarse", "fine"):
        for method in methods:
            for n in (5, None):
                r = pick(made.records, level=level, method=method, shown=n, group="real", score="accuracy")
                assert r.n == 80 - 4 - n_sn_ii and 0 <= r.low <= r.value <= r.high
            own = select(made.records, level=level, method=method, shown=None, score="recall")
            right = sum(r.value * r.n for r in own if r.group.startswith("real, "))
            assert right == pytest.approx(r.value * r.n)  # recall and accuracy are of the same sources
        assert [tuple(row[:2]) for row in made.tables[0].rows][-1] == ("any", "majority class")
    assert {*made.figures} == {f"transfer_{s}_{m}.png" for s in ("coarse", "fine") for m in methods}
    notes = " ".join(made.tables[0].notes)
    assert f"Real sources left out: 4 without a label, {n_sn_ii} SN II, not a training class." in notes
    assert len(made.tables) == 3 and RANKED in made.tables[1].columns


def test_simulated_sources_are_also_scored_without_what_real_ones_lack(real):
    model = FakeModel()
    model.modalities = ("photometry", "metadata")
    bare = concatenate(made_up_sources(80, 5))
    full = concatenate(made_up_sources(20, 1))
    assert (without(full, bare).metadata is full.metadata) and without(full, bare).stamp is None
    bare.metadata[:] = np.nan
    assert np.isnan(without(full, bare).metadata).all() and np.isfinite(full.metadata).any()
    made = transfer(inputs(model, FakeStore(200)), stores=[real], counts=["all"])
    scored = {r.group for r in select(made.records, level="fine", method="probe", score="accuracy")}
    assert scored == {"real", "simulated", "simulated, bare"}


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
    keys = ("probe", 5, "real", RESAMPLES)
    (found,) = ranked(probability, label, *keys)
    two = label != 4
    score = probability[two, 9] / (probability[two, 9] + probability[two, 0])
    assert found.value == pytest.approx(roc_auc_score(label[two] == 9, score))
    assert (found.n, found.score) == (two.sum(), RANKED)
    assert ranked(probability, np.zeros(200, int), *keys) == []
    probability[:, [0, 9]] = 0
    assert ranked(probability, label, *keys)[0].value == 0.5
