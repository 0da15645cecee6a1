"""Records: written and read without loss, chosen, and set as tables."""

import json
import math

import numpy as np
import pytest

from rtf.evaluation.record import (
    Evaluation,
    Record,
    distinct,
    from_digits,
    pick,
    plain,
    read_evaluation,
    record,
    record_table,
    select,
    to_digits,
    write_evaluation,
)  # fmt: skip
from rtf.evaluation.statistics import Estimate

RECORDS = [
    record("accuracy", Estimate(0.8, 0.7, 0.9), level="fine", method="probe", n=100),
    record("accuracy", 0.5, level="fine", method="head", shown=3),
    record("recall", math.nan, group="SN Ia", n=0),
]
STORE = {"digest": "ab" * 32, "path": "s.zarr", "name": "s.zarr", "splits": {"test": 100}}


def evaluation(records=RECORDS, arrays=None) -> Evaluation:
    settings = {"seed": 4, "n_bootstrap": 10}
    return Evaluation(
        "probe", settings, STORE, {}, "run", "w", "0", True, ["note"], list(records), arrays or {}
    )


def test_what_is_written_is_read(tmp_path):
    arrays = {"fine/truth": "0123", "xy": np.array([[0.5, 1], [2, 3]])}
    write_evaluation(tmp_path / "probe@abababab.json", evaluation(arrays=arrays))
    text = (tmp_path / "probe@abababab.json").read_text(encoding="utf-8")
    found = read_evaluation(json.loads(text))
    assert len(text.splitlines()) < 25  # a line a record, not one a number
    for before, after in zip(RECORDS, found.records, strict=True):
        for name in ("score", "level", "method", "group", "shown", "n"):
            assert getattr(before, name) == getattr(after, name)
        np.testing.assert_array_equal(
            [before.value, before.low, before.high], [after.value, after.low, after.high]
        )
        assert (after.task, after.seed, after.store, after.run) == ("probe", 4, "ab" * 32, "run")
    assert found.arrays == {"fine/truth": "0123", "xy": [[0.5, 1], [2, 3]]} and found.notes == ["note"]
    assert found == evaluation(found.records, found.arrays)


def test_a_file_of_something_else_is_refused():
    for content in ({}, {"records": [{"value": 1}]}, {"records": [], "odd": 1}):
        with pytest.raises(ValueError, match="not the records of an evaluation"):
            read_evaluation(content)
    with pytest.raises(ValueError, match="infinite"):
        plain([float("inf")])


def test_records_are_chosen_by_what_they_are():
    assert select(RECORDS, level="fine") == RECORDS[:2]
    assert pick(RECORDS, level="fine", shown=3) is RECORDS[1] and pick(RECORDS, level="none") is None
    with pytest.raises(ValueError, match="2 records"):
        pick(RECORDS, level="fine")
    assert distinct([*RECORDS, RECORDS[0]]) == RECORDS


def test_a_table_has_a_row_for_each_name_and_a_dash_for_what_is_not_there():
    mag = [Record("mag", 0.1234, 0.1, 0.2, 7, method=m) for m in ("model", "training constants")]
    table = record_table("t", [*RECORDS, *mag], {"by": "method"}, ["accuracy", "mag"], ["note"])
    assert list(table.columns) == ["by", "accuracy", "median |Δmag| [mag]", "test sources"]
    assert [tuple(row) for row in table.rows] == [
        ("probe", "0.800 [0.700, 0.900]", "–", "100"), ("head", "0.500", "–", ""),
        ("model", "–", "0.123 [0.100, 0.200]", "7"),
        ("training constants", "–", "0.123 [0.100, 0.200]", "7"),
    ]  # fmt: skip


def test_classes_are_written_as_a_text_and_read_again():
    classes = np.random.default_rng(0).permutation(np.arange(36).repeat(3))
    assert np.array_equal(from_digits(to_digits(classes)), classes)
    assert to_digits(np.array([0, 9, 10, 14])) == "09ae" and len(from_digits("")) == 0
