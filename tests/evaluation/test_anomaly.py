"""Anomaly detection against scikit-learn, by hand, and on stores whose outliers are known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from rtf.classes import UNKNOWN
from rtf.encoding.fingerprinter import Fingerprints
from rtf.encoding.load import trained_on
from rtf.evaluation.record import CHANCE, pick, select
from rtf.evaluation.run import evaluate
from rtf.evaluation.tasks.anomaly import (
    anomaly,
    anomaly_records,
    fit_scorers,
    purity,
)  # fmt: skip
from rtf.features.view import view
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.training.runs import read_record
from tests.evaluation.fakes import inputs
from tests.small_runs import train
from tests.sources import made_up_sources


@given(st.integers(3, 40), st.integers(1, 12), st.integers(0, 10_000))
def test_purity_equals_repeating_the_sources(n, top, seed):
    rng = np.random.default_rng(seed)
    score, outlier = rng.permutation(n).astype(float), rng.random(n) < 0.4
    counts = rng.multinomial(n, np.full(n, 1 / n), 5)
    for row, found in zip(counts, purity(score, outlier, counts, top)):
        drawn = np.repeat(np.arange(n), row)
        highest = drawn[np.argsort(-score[drawn], kind="stable")[:top]]
        assert found == pytest.approx(outlier[highest].mean())


def test_purity_shares_the_last_places_among_ties():
    score, outlier = np.array([3.0, 1, 1, 1, 0]), np.array([True, True, False, False, True])
    assert purity(score, outlier, np.ones((1, 5), int), 3)[0] == pytest.approx((1 + 2 * 1 / 3) / 3)


def test_scores_equal_scikit_learn():
    rng = np.random.default_rng(0)
    inlier, outlier = rng.integers(0, 8, 90).astype(float), rng.integers(3, 11, 40).astype(float)
    group = np.array(["Kilonova"] * 25 + ["TDE"] * 15)
    records = anomaly_records({"s": inlier}, {"s": outlier}, group, 10, {"seed": 0, "n_resamples": 50})
    assert list(dict.fromkeys(r.group for r in records)) == ["all", "Kilonova", "TDE"]
    for name in ("all", "Kilonova", "TDE"):
        own = outlier if name == "all" else outlier[group == name]
        truth = np.r_[np.zeros(90), np.ones(len(own))]
        auc = pick(records, group=name, score="ROC-AUC")
        assert auc.value == pytest.approx(reference.roc_auc_score(truth, np.r_[inlier, own]))
        assert auc.low < auc.value < auc.high and auc.n == len(own)
        chance = pick(records, group=name, score="purity", method=CHANCE)
        assert chance.value == len(own) / (90 + len(own))


def test_distance_is_that_to_the_kth_training_fingerprint():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(60, 4)) * [1, 100, 1, 0]
    query = rng.normal(size=(7, 4))
    scorers = fit_scorers(train, neighbours=3, trees=20, seed=0)
    distance = np.sort(np.linalg.norm(query[:, None] - train, axis=2), axis=1)[:, 2]
    np.testing.assert_allclose(scorers["neighbour distance"](query), distance)
    scale = np.where(train.std(0) > 0, train.std(0), 1)
    distance = np.sort(np.linalg.norm((query[:, None] - train) / scale, axis=2), axis=1)[:, 2]
    np.testing.assert_allclose(scorers["neighbour distance, standardised"](query), distance)
    assert scorers["isolation forest"](np.array([[9.0, 900, 9, 0], [0, 0, 0, 0]])).argmax() == 0
    with pytest.raises(ValueError, match="neighbours=61 of 60"):
        fit_scorers(train, neighbours=61, trees=20, seed=0)


class Reader:
    """Made-up sources of two training classes, or of others, far fainter."""

    def __init__(self, labels, seed, fainter=0.0):
        self.labels, self.seed, self.fainter = labels, seed, fainter

    def units(self, path):
        return [0]

    def read(self, unit, report):
        for k, history in enumerate(made_up_sources(120, self.seed)):
            history.label, history.mag = self.labels[k % len(self.labels)], history.mag + self.fainter
            yield history


class Summary:
    """A "model" whose fingerprint is mean and spread of the magnitudes, and its error that of no model."""

    needs_cutouts, modalities = False, {"photometry": None, "metadata": None}

    def encode(self, detections, first=None):
        seen = view(detections)
        mags = [seen.mag[a:b] for a, b in zip(seen.offset, seen.offset[1:])]
        latent = np.array([(m.mean(), m.std()) for m in mags], np.float32)
        return Fingerprints(latent, None, np.ones(len(mags), np.float32), seen.length, seen.length - 1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for name, reader in {"usual": Reader([0, 3], 0), "strange": Reader([10, 0, -1], 1, 5.0)}.items():
        preprocess(reader, "made up", folder / f"{name}.zarr", workers=0, progress=False)
    return folder


SETTINGS = {"neighbours": 3, "trees": 30, "top": 10}


def test_classes_that_were_not_trained_on_stand_out(stores):
    given = inputs(Summary(), open_store(stores / "usual.zarr"))
    made = anomaly(given, outliers=str(stores / "strange.zarr"), **SETTINGS)
    auc = {(r.group, r.method): r.value for r in select(made.records, score="ROC-AUC")}
    pure = {(r.group, r.method): r.value for r in select(made.records, score="purity")}
    assert list(dict.fromkeys(group for group, _ in auc)) == ["all", "Kilonova", "strange"]
    assert pick(made.records, group="Kilonova", score="ROC-AUC", method="isolation forest").n == 40
    assert auc["Kilonova", "neighbour distance"] > 0.98 and pure["Kilonova", "neighbour distance"] > 0.95
    assert auc["Kilonova", "few detections"] + auc["Kilonova", "many detections"] == pytest.approx(1)
    # an error that is the same for all ranks nothing, and the strangest are a random choice
    assert auc["strange", "reconstruction error"] == 0.5
    assert pure["strange", "reconstruction error"] == pytest.approx(pure["strange", CHANCE])
    notes = " ".join(made.tables[0].notes)
    assert (
        "Left out, of classes that were trained on: SN Ia (40)" in notes
        and "few detections and many" in notes
    )
    left = made.figures["anomaly.png"].axes[0]
    points = {c.get_label(): c.lines[0].get_xdata(orig=False).tolist() for c in left.containers}
    assert points["isolation forest"] == [auc[g, "isolation forest"] for g in ("all", "Kilonova", "strange")]


def test_trained_sources_and_classes_are_no_outliers(stores):
    store, strange = open_store(stores / "usual.zarr"), str(stores / "strange.zarr")
    other = open_store(strange)
    kilonovae = other.object_id[other.label == 10]
    learnt = frozenset(kilonovae[:15])
    given = inputs(Summary(), store, trained=learnt - set(store.object_id[store.sources("test")]))
    made = anomaly(given, outliers=strange, **SETTINGS)
    out = [note for note in made.tables[0].notes if "the run was trained on them" in note]
    n = len(given.trained & set(kilonovae))
    assert n and out == [f"Left out, the run was trained on them: Kilonova ({n})."]
    assert pick(made.records, group="Kilonova", score="ROC-AUC", method="isolation forest").n == 40 - n


def test_missing_or_own_outliers_are_named(stores):
    given = inputs(Summary(), open_store(stores / "usual.zarr"))
    with pytest.raises(ValueError, match="store of the inliers"):
        anomaly(given, outliers=str(stores / "usual.zarr"), **SETTINGS)
    with pytest.raises(ValueError, match=r"please give task\.outliers"):
        anomaly(given, outliers=[], **SETTINGS)


def test_what_a_run_trained_on_besides_is_neither_outlier_nor_left_out_of_the_inliers(stores, tmp_path):
    """Sources and classes of `data.also_train`, on the run's own store and by what its folder says."""
    usual, strange = stores / "usual.zarr", stores / "strange.zarr"
    train(usual, tmp_path / "run", "epochs=1", f"data.also_train=[{strange}]")
    assert read_record(tmp_path / "run")["classes"] == ["SN Ia", "SN II", "Kilonova"]
    other = open_store(strange)
    learnt = np.isin(other.object_id, list(trained_on(tmp_path / "run")))
    assert 0 < learnt.sum() < other.n
    task = {"_target_": "rtf.evaluation.tasks.anomaly.anomaly", "_partial_": True, "outliers": str(strange)}
    ((_, (table, _), _),) = evaluate(tmp_path / "run", {"anomaly": task | SETTINGS}, n_bootstrap=20)
    notes = " ".join(table.notes)
    assert "Left out, of classes that were trained on: Kilonova (40), SN Ia (40)." in notes
    n = (learnt & (other.label == UNKNOWN)).sum()
    assert n and f"Left out, the run was trained on them: strange ({n})." in notes
    # a run of before this was noted says so
    record = read_record(tmp_path / "run")
    del record["classes"]
    (tmp_path / "run/run.json").write_text(json.dumps(record))
    ((_, (table, _), _),) = evaluate(tmp_path / "run", {"anomaly": task | SETTINGS}, n_bootstrap=20)
    assert any("does not say which classes data.also_train had" in note for note in table.notes)
