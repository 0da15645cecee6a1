"""Marks in a person's file, and the list that follows them."""

import csv

import numpy as np
import pytest

from rtf.explorer import marks as module
from rtf.explorer.marks import Marks, interest, read_marks


def test_marks_are_kept_changed_and_taken_away(tmp_path):
    path = tmp_path / "marks.csv"
    marks = Marks(path)
    assert not path.exists()
    marks.set("ztf", 'a,"b"\n=1', "interesting")
    marks.set("ztf", "c", "boring")
    marks.set("ztf", "c", "interesting")
    marks.set("lsst", "c", "boring")
    marks.set("lsst", "c", None)
    found = Marks(path).of
    assert {key: mark for key, (mark, _) in found.items()} == {
        ("ztf", 'a,"b"\n=1'): "interesting",
        ("ztf", "c"): "interesting",
    }
    with path.open(newline="") as file:
        assert next(csv.reader(file)) == ["survey", "object_id", "mark", "time"]
    with pytest.raises(ValueError, match="interesting or boring"):
        marks.set("ztf", "a", "dull")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "survey,object_id,mark\nztf,a,dull\n", "\xff\xfe"])
def test_a_file_of_something_else_is_never_written_over(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="is no file of marks"):
        Marks(path)
    assert path.read_text(encoding="latin-1") == text


def test_a_missing_file_is_an_error_where_marks_are_only_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_marks(tmp_path / "none.csv")


def test_there_is_an_end_to_marks(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    marks = Marks(None)
    for name in "aab":
        marks.set("ztf", name, "boring")
    with pytest.raises(ValueError, match="2 marks already"):
        marks.set("ztf", "c", "boring")


def test_a_few_marks_find_the_others_of_a_group():
    rng = np.random.default_rng(0)
    rare = np.arange(500) < 20
    latent = rng.normal(size=(500, 16)) + 2.5 * rare[:, None] * rng.normal(size=16)
    strange = rng.random(500)
    marked = np.array([0, 1, 2, 100, 200])
    score = interest(latent, marked, rare[marked], strange)
    first = np.argsort(-score)[:20]
    assert rare[first].mean() >= 0.9 and not set(first) & {100, 200}
    assert set(np.argsort(score)[:2]) == {100, 200}  # boring comes last


def test_without_an_interesting_mark_strangeness_decides():
    strange = np.array([0.1, 0.9, np.nan, 0.7])
    latent = np.eye(4)
    assert np.argsort(-interest(latent, [], [], strange)).tolist() == [1, 3, 2, 0]
    assert np.argsort(-interest(latent, [1], [False], strange)).tolist() == [3, 2, 0, 1]


def test_only_interesting_marks_and_all_marked():
    latent = np.random.default_rng(0).normal(size=(6, 3))
    assert np.isfinite(interest(latent, np.arange(6), np.ones(6, bool), np.ones(6))).all()
    assert np.isfinite(interest(latent, np.arange(6), np.arange(6) < 3, np.ones(6))).all()
    assert np.isfinite(interest(latent, [2], [True], np.full(6, np.nan))).all()
