"""Drawn splits: stratified, independent of order, and what tables are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.alerts.tables import read_labels, read_splits
from rtf.store.splits import stratified

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=200)
FRACTIONS = st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.0, 0.1, 0.9)])


@settings(max_examples=60, deadline=None)
@given(names=NAMES, seed=st.integers(0, 2**40), fractions=FRACTIONS, data=st.data())
def test_every_class_is_divided_by_the_fractions(names, seed, fractions, data):
    label = np.array(data.draw(st.lists(st.integers(-1, 9), min_size=len(names), max_size=len(names))))
    split = stratified(names, label, seed, fractions)
    for stratum in np.unique(label):
        member = label == stratum
        counts = np.bincount(split[member], minlength=3)
        assert (np.abs(counts - member.sum() * np.array(fractions)) < 1 + 1e-9).all()
    assert not (split[:, None] == np.flatnonzero(np.array(fractions) == 0)).any()

    order = np.array(data.draw(st.permutations(range(len(names)))))
    assert (stratified([names[k] for k in order], label[order], seed, fractions) == split[order]).all()


def test_seeds_differ_and_small_classes_are_shared_fairly():
    names = [f"s{k}" for k in range(1000)]
    label = np.arange(1000) % 500 % 10
    assert (stratified(names, label, 0) != stratified(names, label, 1)).mean() > 0.3
    single = np.bincount(np.concatenate([stratified(["x"], np.array([0]), seed) for seed in range(400)]))
    assert np.abs(single / 400 - (0.7, 0.15, 0.15)).max() < 0.08


@pytest.mark.parametrize(
    "text, message",
    [
        ("name,split\nx,train\n", "needs a column object_id"),
        ("obj_id,split\nx,training\n", "line 2: split 'training'"),
        ("obj_id,split\nx,train\nx,val\n", "line 3: x has two"),
    ],
)
def test_a_bad_table_names_its_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_splits(path)


def test_labels_by_name_or_number(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("object_id,type\na,SN Ia\nb,Nova\nc,SN Ib/c\nd,\n")
    assert read_labels(path) == {"a": 0, "b": 7, "c": -1, "d": -1}
    path.write_text("obj_id,label\na,3\n")
    assert read_labels(path) == {"a": 3}
    path.write_text("obj_id,label\na,25\n")
    with pytest.raises(ValueError, match="line 2: label 25"):
        read_labels(path)
