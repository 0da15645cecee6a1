"""Class scores against scikit-learn and by hand; the probe task on a model whose fingerprints are known."""

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rtf.alerts.history import concatenate, from_columns
from rtf.alerts.surveys.lsst import LSST
from rtf.classes import COARSE, COARSE_OF_FINE, FINE, supernova_label
from rtf.evaluation.classification import (
    checked_counts,
    class_notes,
    class_scores,
    coarse_probability,
    confusion_of,
    fit_probe,
    probe_probabilities,
)  # fmt: skip
from rtf.evaluation.record import MAJORITY, pick, select
from rtf.evaluation.tasks.probe import FIVE, TREES, probe
from rtf.evaluation.trees import frequent_bands, light_curve_summaries
from rtf.models.probe import LinearProbe
from tests.evaluation.fakes import FakeModel, inputs

NAMES = ("SN Ia", "SN II", "AGN", "TDE")
KEYS = {"level": "fine", "method": "probe", "seed": 0, "n_resamples": 200}


def blobs(n, n_classes, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    label = rng.choice(n_classes, n, p=np.arange(n_classes, 0, -1) / np.arange(n_classes + 1).sum())
    centre = np.random.default_rng(99).normal(size=(n_classes, 6))
    fingerprints = 5 + 3 * (centre[label] + spread * rng.normal(size=(n, 6)))
    return fingerprints.astype(np.float32), label.astype(np.int8)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_equal_scikit_learn(n_classes):
    train, label = blobs(300, n_classes)
    train[:, 3] = 7.0  # a dead dimension of the fingerprint
    test, _ = blobs(50, n_classes, seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=10_000)).fit(train, label)
    fitted = fit_probe(train, label)
    np.testing.assert_allclose(fitted.probabilities(test), model.predict_proba(test), rtol=1e-5, atol=1e-7)
    assert fitted.classes.tolist() == list(range(n_classes))


def test_the_probe_is_saved_and_loaded(tmp_path):
    train, label = blobs(100, 3)
    fitted = fit_probe(train, np.where(label == 1, 5, label))
    fitted.save(tmp_path / "probe.safetensors")
    again = LinearProbe.load(tmp_path / "probe.safetensors")
    assert again.classes.tolist() == [0, 2, 5]
    assert (again.probabilities(train) == fitted.probabilities(train)).all()


def test_scores_equal_scikit_learn():
    (train, train_label), (test, label) = blobs(400, 4), blobs(150, 4, seed=1)
    label[:4] = -1
    probability = probe_probabilities(fit_probe(train, train_label), test, 4)
    records, arrays = class_scores(probability, label, train_label, NAMES, **KEYS)
    known, predicted = label >= 0, probability.argmax(1)
    own = {"method": "probe", "group": "all"}
    expected = {
        "accuracy": reference.accuracy_score(label[known], predicted[known]),
        "balanced accuracy": reference.balanced_accuracy_score(label[known], predicted[known]),
        "ROC-AUC": reference.roc_auc_score(label[known], probability[known], multi_class="ovr"),
    }
    for score, value in expected.items():
        r = pick(records, score=score, **own)
        assert r.value == pytest.approx(value) and r.low < r.value < r.high and r.n == 146
    recall = reference.recall_score(label[known], predicted[known], average=None)
    assert [pick(records, score="recall", group=name).value for name in NAMES] == pytest.approx(recall)
    matrix = reference.confusion_matrix(label[known], predicted[known])
    assert (confusion_of(arrays, "fine", "probe", 4) == matrix).all()
    again, _ = class_scores(probability, label, train_label, NAMES, **KEYS)
    assert again == records


def test_the_majority_class_by_hand():
    train_label = np.array([1, 1, 1, 0, 2, -1])  # SN II is the commonest in training, not in the test
    label = np.array([0, 0, 1, 2])
    records, _ = class_scores(np.eye(4)[[0, 1, 1, 2]], label, train_label, NAMES, **KEYS)
    base = {r.score: r for r in select(records, method=MAJORITY)}
    assert base["accuracy"].value == 1 / 4
    assert base["accuracy"].low == 0 and base["accuracy"].high >= 1 / 2
    assert base["balanced accuracy"].value == pytest.approx(1 / 3) and base["ROC-AUC"].value == 0.5
    own = {r.score: r.value for r in select(records, method="probe", group="all")}
    assert own["accuracy"] == 3 / 4 and own["balanced accuracy"] == pytest.approx((0.5 + 1 + 1) / 3)
    # SN Ia: 2 * 2 pairs, of which one source ties with both others; SN II: 3 pairs, one tied; AGN: right
    auc = [pick(records, score="ROC-AUC", group=name).value for name in NAMES[:3]]
    assert auc == [0.75, pytest.approx(2.5 / 3), 1.0]
    assert class_notes(label, train_label, NAMES) == [
        "Majority class: SN II. Training/test sources: SN Ia 1/2, SN II 3/1, AGN 1/1.",
        "Left out, no label: 1 training, 0 test sources.",
    ]


def test_a_class_without_training_counts_as_wrong():
    (train, train_label), (test, label) = blobs(200, 2), blobs(60, 2, seed=1)
    label[:10] = 3
    probability = probe_probabilities(fit_probe(train, train_label), test, 4)
    records, _ = class_scores(probability, label, train_label, NAMES, **KEYS)
    tde = {r.score: r.value for r in select(records, group="TDE")}
    assert tde == {"recall": 0, "ROC-AUC": 0.5} and not select(records, group="AGN")
    assert "Never predicted, no training source: TDE." in class_notes(label, train_label, NAMES)
    train_label[:3] = 2
    assert "Not in the means, no test source: AGN." in class_notes(label, train_label, NAMES)


def test_coarse_probabilities_are_sums_of_the_fine_ones():
    fine = np.random.default_rng(0).dirichlet(np.ones(len(FINE)), 20)
    coarse = coarse_probability(fine)
    assert coarse.shape == (20, len(COARSE))
    for c in range(len(COARSE)):
        np.testing.assert_allclose(coarse[:, c], fine[:, c == COARSE_OF_FINE].sum(1))


def test_counts_are_sorted_and_checked():
    assert checked_counts([50, 3, "all", 3]) == [3, 50, None]
    for bad in ([], [0], ["some"], [2.5], [True]):
        with pytest.raises(ValueError, match="counts must be"):
            checked_counts(bad)


def test_errors_say_what_is_wrong():
    x, label = blobs(40, 3)
    p = np.full((40, 4), 0.25)
    for arguments, message in (
        ((p, np.full(40, -1), label), "test split: none of its sources"),
        ((p[:0], label[:0], label), "test split: none of its sources"),
        ((p, label, np.full(40, -1)), "training split: none of its sources"),
        ((p * np.nan, label, label), "40 of 40 sources hold numbers that are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            class_scores(*arguments, NAMES, **KEYS)
    with pytest.raises(ValueError, match="at least two classes"):
        fit_probe(x, np.zeros(40, int))
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 40 sources"):
        fit_probe(x, label)
    assert fit_probe(x, np.where(np.arange(40) == 2, -1, label))  # what is left out may be broken


def test_the_task_scores_what_its_probe_predicts():
    given = inputs()
    made = probe(given)
    train, test = given.split("train"), given.split("test")
    predicted = fit_probe(train.found.latent, train.label["fine"]).probabilities(test.found.latent)
    predicted = made.probe.classes[predicted.argmax(1)]
    right = (predicted == test.label["fine"]).mean()
    assert pick(made.records, score="accuracy", method="probe", level="fine").value == pytest.approx(right)
    first, gain, coarse, fine, five = made.tables
    readers = {level: [row[1] for row in first.rows if row[0] == level] for level in ("coarse", "fine", FIVE)}
    assert readers["fine"] == ["probe", MAJORITY, "head", "head, classes alike"]
    assert readers["coarse"] == readers[FIVE] == [*readers["fine"], TREES]
    recall = {r.group: r.value for r in select(made.records, score="recall", level="fine", method="probe")}
    rows = [row for row in fine.rows if row[1] == "probe"]
    assert {row[0] for row in rows} == set(recall)
    assert all(row[2].startswith(f"{recall[row[0]]:.3f} [") for row in rows)
    # the gain is the difference of the scores
    won, head, trees = (
        pick(made.records, score=score, method=method, level=FIVE, group="all").value
        for score, method in (("gain in macro F1", "head"), ("macro F1", "head"), ("macro F1", TREES))
    )
    assert won == pytest.approx(head - trees) and len(gain.rows) == 6
    # five classes, of sources with five detections
    asked = (supernova_label(test.label["fine"]) >= 0) & (test.detections.length >= 5)
    assert {int(row[-1].replace(",", "")) for row in first.rows if row[0] == FIVE} == {int(asked.sum())}
    assert any("SN II with IIP" in note for note in five.notes)
    assert any("Majority class" in note for note in coarse.notes)
    # the figure shows the counts of the confusion matrix, of the classes that occur
    axes = made.figures["confusion_fine.png"].axes[0]
    matrix = confusion_of(made.arrays, "fine", "probe", len(FINE))
    used = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    assert [t.get_text() for t in axes.get_xticklabels()] == [FINE[c] for c in used]
    numbers = [t.get_text() for t in axes.texts if t.get_text().isdigit()]
    assert sum(map(int, numbers)) == matrix.sum() == len(test.object_id)
    assert probe(given, save=False).probe is None


def test_a_source_without_a_finite_fingerprint_is_left_out_and_counted():
    class Broken(FakeModel):
        def encode(self, histories, first=None, **_):
            found = super().encode(histories, first)
            found.latent[::10] = np.nan
            return found

    given = inputs(Broken(head=False))
    made = probe(given)
    assert pick(made.records, score="accuracy", method="probe", level="fine").n == 36
    assert given.notes == [
        f"Left out of the {name} split, their fingerprints are not finite: {k} of {n} sources."
        for name, k, n in (("train", 12, 120), ("test", 4, 40))
    ]


def test_trees_see_the_bands_that_half_of_the_sources_have():
    """By wavelength, with a colour of neighbours at five times; as for g and r, so for six."""
    bands = [[0, 1, 2], [1, 0], [3, 0, 1], [4, 1, 3]]  # u in half of them, i and z in a quarter
    sources = [
        from_columns(
            f"s{k}", 61000.0 + np.arange(len(b)), b, 20 + np.array(b), np.full(len(b), 0.1), survey=LSST
        )
        for k, b in enumerate(bands)
    ]
    detections = concatenate(sources)
    assert [LSST.bands[b] for b in frequent_bands(detections)] == ["u", "g", "r"]
    summaries = light_curve_summaries(detections, frequent_bands(detections))
    assert summaries.shape == (4, 6 + 3 * 10 + 2 * 5)
    np.testing.assert_allclose(summaries[1, -5:], -1)  # g - r
    assert np.isnan(summaries[1, -10:-5]).all()  # u - g without u
