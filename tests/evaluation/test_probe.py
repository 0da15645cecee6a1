import io
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rtf.evaluation.metrics import confusion
from rtf.evaluation.statistics import Estimate
from rtf.evaluation.tables import (
    class_table,
    from_digits,
    plain,
    probe_dict,
    probe_table,
    to_digits,
    to_markdown,
    to_rich,
)  # fmt: skip
from rtf.evaluation.tasks.probe import evaluate_probe, fit_probe, score_probabilities
from rtf.models.probe import LinearProbe

NAMES = ("SN Ia", "SN II", "AGN", "TDE")


def blobs(n, n_classes, seed=0, spread=2.0):
    rng = np.random.default_rng(seed)
    label = rng.choice(n_classes, n, p=np.arange(n_classes, 0, -1) / np.arange(n_classes + 1).sum())
    centre = np.random.default_rng(99).normal(size=(n_classes, 6))
    return (5 + 3 * (centre[label] + spread * rng.normal(size=(n, 6)))).astype(np.float32), label.astype(
        np.int8
    )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_equal_scikit_learn(n_classes):
    train, label = blobs(300, n_classes)
    train[:, 3] = 7.0  # a dead dimension of the fingerprint
    test, _ = blobs(50, n_classes, seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=10_000)).fit(train, label)
    probe = fit_probe(train, label)
    np.testing.assert_allclose(probe.probabilities(test), model.predict_proba(test), rtol=1e-5, atol=1e-7)
    assert probe.classes.tolist() == list(range(n_classes))


def test_probe_is_saved_and_loaded(tmp_path):
    train, label = blobs(100, 3)
    probe = fit_probe(train, np.where(label == 1, 5, label))
    probe.save(tmp_path / "probe.safetensors")
    again = LinearProbe.load(tmp_path / "probe.safetensors")
    assert again.classes.tolist() == [0, 2, 5]
    assert (again.probabilities(train) == probe.probabilities(train)).all()
    assert [p.name for p in tmp_path.iterdir()] == ["probe.safetensors"]


def test_evaluate_probe_and_its_tables():
    train, train_label = blobs(400, 3)
    test, test_label = blobs(120, 3, seed=1)
    test_label[:4], train_label[:7] = -1, -1
    result = evaluate_probe(train, train_label, test, test_label, NAMES, seed=0, n_bootstrap=200)
    known = test_label >= 0
    prediction = result.probe.probabilities(test).argmax(1)
    assert result.accuracy.value == (prediction == test_label)[known].mean()
    for e in (result.accuracy, result.balanced_accuracy, result.auc, *result.recall[:3]):
        assert e.low <= e.value <= e.high and e.low < e.high
    assert result.without_test == ("TDE",) and result.without_training == ()
    assert np.isnan(result.recall[3].value)
    assert (result.n_train_unknown, result.n_test_unknown) == (7, 4)
    assert result.confusion.sum() == result.test_count.sum() == 116
    assert result.train_count.sum() == 393
    again = evaluate_probe(train, train_label, test, test_label, NAMES, seed=0, n_bootstrap=200)
    assert again.accuracy == result.accuracy and again.auc == result.auc

    text = to_markdown(probe_table({"vae": result, "again": again}))
    assert f"| {result.accuracy.value:.3f} [{result.accuracy.low:.3f}, {result.accuracy.high:.3f}] |" in text
    assert text.count("majority class (SN Ia)") == 1 and "200 bootstrap resamples" in text
    assert "no test source: TDE" in text and "left out, no label: 7 training, 4 test" in text
    by_class = to_markdown(class_table(result))
    assert f"| SN II | {result.train_count[1]} | {result.test_count[1]} |" in by_class
    assert f"{result.balanced_accuracy.value:.3f}" in by_class

    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(to_rich(probe_table({"vae": result})))
    assert f"{result.auc.value:.3f} [{result.auc.low:.3f}, {result.auc.high:.3f}]" in console.export_text()

    record = json.loads(json.dumps(probe_dict(result), allow_nan=False))
    truth, predicted = (from_digits(record[name]) for name in ("truth", "predicted"))
    assert np.array_equal(confusion(truth, predicted, len(result.class_names)), result.confusion)
    assert record["recall"][3]["value"] is None and record["accuracy"]["value"] == result.accuracy.value
    assert record["confusion"] == result.confusion.tolist() and "probe" not in record


def test_classes_are_written_as_a_text_and_read_again():
    classes = np.random.default_rng(0).permutation(np.arange(36).repeat(3))
    assert np.array_equal(from_digits(to_digits(classes)), classes)
    assert to_digits(np.array([0, 9, 10, 14])) == "09ae" and len(from_digits("")) == 0


def test_majority_baseline_by_hand():
    train_label = np.array([1, 1, 1, 0, 2, -1])  # SN II is the commonest in training, not in the test
    test_label = np.array([0, 0, 1, 2])
    result = score_probabilities(np.eye(4)[[0, 1, 1, 2]], test_label, train_label, NAMES, n_bootstrap=300)
    assert result.baseline.class_name == "SN II"
    assert result.baseline.accuracy.value == 1 / 4
    assert result.baseline.accuracy.low == 0 and result.baseline.accuracy.high > 1 / 2
    assert result.baseline.balanced_accuracy.value == pytest.approx(1 / 3)
    assert result.baseline.auc == Estimate(0.5, 0.5, 0.5)
    assert result.accuracy.value == 3 / 4
    assert result.balanced_accuracy.value == pytest.approx((0.5 + 1 + 1) / 3)
    # SN Ia: 2 * 2 pairs, of which one source ties with both others; SN II: 3 pairs, one tied; AGN: right
    assert [e.value for e in result.class_auc[:3]] == [0.75, pytest.approx(2.5 / 3), 1.0]


def test_class_without_training_counts_as_wrong():
    train, train_label = blobs(200, 2)
    test, test_label = blobs(60, 2, seed=1)
    test_label[:10] = 3
    result = evaluate_probe(train, train_label, test, test_label, NAMES, seed=0, n_bootstrap=50)
    assert result.without_training == ("TDE",) and result.without_test == ("AGN",)
    assert result.recall[3].value == 0 and result.class_auc[3].value == 0.5
    assert "never predicted, no training source: TDE" in to_markdown(probe_table({"x": result}))


def test_errors_say_what_is_wrong():
    x, label = blobs(40, 3)
    kwargs = dict(class_names=NAMES, seed=0, n_bootstrap=10)
    with pytest.raises(ValueError, match="at least two classes"):
        evaluate_probe(x, np.zeros(40, int), x, label, **kwargs)
    with pytest.raises(ValueError, match="test split: none of its 40 sources"):
        evaluate_probe(x, label, x, np.full(40, -1), **kwargs)
    with pytest.raises(ValueError, match="none of its 0 sources"):
        evaluate_probe(x, label, x[:0], label[:0], **kwargs)
    with pytest.raises(ValueError, match="between -1 and 3"):
        evaluate_probe(x, label, x, label + 2, **kwargs)
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 40 sources"):
        fit_probe(x, label)
    with pytest.raises(ValueError, match="one label a row"):
        fit_probe(x, label[:-1])
    with pytest.raises(ValueError, match="infinite"):
        plain([float("inf")])
    with pytest.raises(TypeError, match="no plain form"):
        plain({1, 2})
