"""Anomaly detection against scikit-learn, by hand, and on stores whose outliers are known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation.tasks.anomaly import choose_classes, evaluate_anomaly, run_anomaly
from rtf.evaluation.tasks.anomaly_figure import roc_curve
from rtf.evaluation.tasks.anomaly_scores import fit_scorers, purity
from rtf.features.view import view
from rtf.store.build import preprocess
from rtf.store.store import open_store
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


def test_scores_and_curves_equal_scikit_learn():
    rng = np.random.default_rng(0)
    inlier, outlier = rng.integers(0, 8, 90).astype(float), rng.integers(3, 11, 40).astype(float)
    group = np.array(["Kilonova"] * 25 + ["TDE"] * 15)
    result = evaluate_anomaly({"s": inlier}, {"s": outlier}, group, top=10, seed=0, n_bootstrap=50)
    assert [g["name"] for g in result["groups"]] == ["all together", "Kilonova", "TDE"]
    for g in result["groups"]:
        own = outlier if g["name"] == "all together" else outlier[group == g["name"]]
        truth = np.r_[np.zeros(90), np.ones(len(own))]
        auc = g["auc"]["s"]
        assert auc.value == pytest.approx(reference.roc_auc_score(truth, np.r_[inlier, own]))
        assert auc.low < auc.value < auc.high
        assert g["n_outliers"] == len(own) and g["expected"] == len(own) / (90 + len(own))
    fall, rise = roc_curve(inlier, outlier)
    expected = reference.roc_curve(
        np.r_[np.zeros(90), np.ones(40)], np.r_[inlier, outlier], drop_intermediate=False
    )
    np.testing.assert_allclose([fall, rise], expected[:2])


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


def test_trained_classes_are_left_out_or_a_control():
    group = np.array(["SN Ia", "SN Ia", "Kilonova", "mystery"])
    keep, notes = choose_classes(group, {"SN Ia"}, None)
    assert keep.tolist() == [False, False, True, True] and "in the train split: SN Ia (2)" in notes[0]
    keep, notes = choose_classes(group, {"SN Ia"}, ["SN Ia", "Kilonova"])
    assert keep.tolist() == [True, True, True, False]
    assert "not asked for: mystery (1)" in notes[0] and "control and no outlier: SN Ia" in notes[1]
    with pytest.raises(ValueError, match="no outlier is of class TDE"):
        choose_classes(group, {"SN Ia"}, ["TDE"])
    with pytest.raises(ValueError, match="no outliers left"):
        choose_classes(group[:2], {"SN Ia"}, None)


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


def test_run_anomaly(tmp_path):
    quiet = {"workers": 0, "progress": False}
    preprocess(Reader([0, 3], 0), "made up", tmp_path / "usual.zarr", **quiet)
    preprocess(Reader([10, 0, -1], 1, 5.0), "made up", tmp_path / "strange.zarr", **quiet)
    store, out = open_store(tmp_path / "usual.zarr"), tmp_path / "out"
    settings = {"neighbours": 3, "trees": 30, "top": 10, "seed": 0, "n_bootstrap": 40}
    made, figures = run_anomaly(Summary(), store, out, outliers=str(tmp_path / "strange.zarr"), **settings)
    result = json.loads((out / "anomaly.json").read_text())
    groups = {g["name"]: g for g in result["groups"]}
    assert list(groups) == ["all together", "Kilonova", "strange"]
    test = store.sources("test")
    assert result["n_inliers"] == test.stop - test.start and groups["Kilonova"]["n_outliers"] == 40
    assert groups["Kilonova"]["auc"]["neighbour distance"]["value"] > 0.98
    assert groups["Kilonova"]["purity"]["neighbour distance"]["value"] > 0.95
    counting = [groups["Kilonova"]["auc"][f"{how} detections"]["value"] for how in ("few", "many")]
    assert sum(counting) == pytest.approx(1)
    # an error that is the same for all ranks nothing, and the strangest are a random choice
    assert groups["strange"]["auc"]["reconstruction error"]["value"] == 0.5
    assert groups["strange"]["purity"]["reconstruction error"]["value"] == pytest.approx(
        groups["strange"]["expected"]
    )
    text = (out / "anomaly.md").read_text()
    assert (
        "left out, in the train split: SN Ia (40)" in text
        and "few detections and many detections: without a model" in text
    )
    assert len(made) == 2 and figures[0].stat().st_size > 10_000
    # asked for by name, a trained class of another store is a control
    strange = [str(tmp_path / "strange.zarr")]
    run_anomaly(Summary(), store, out, outliers=strange, classes=["SN Ia"], **settings)
    assert "control and no outlier: SN Ia" in (out / "anomaly.md").read_text()
    with pytest.raises(ValueError, match="store of the inliers"):
        run_anomaly(Summary(), store, out, outliers=str(tmp_path / "usual.zarr"), **settings)
    with pytest.raises(ValueError, match=r"please give task\.outliers"):
        run_anomaly(Summary(), store, out, outliers=[], **settings)
