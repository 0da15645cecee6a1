"""A map between two spaces: it turns back what was turned; its test sources are new to both runs."""

import json
from dataclasses import replace

import numpy as np
import pytest

import rtf
from rtf.encoding.align import fit_map, load_map
from rtf.encoding.fingerprinter import RunError
from rtf.encoding.load import SOURCES
from rtf.encoding.space import OtherSpace
from rtf.evaluation.align import AS_IS, MAP, MAPPED, NEAREST, OLD, align, search_records
from rtf.evaluation.record import CHANCE, pick, select
from rtf.evaluation.search import neighbours
from rtf.store.read import open_store
from tests.entry.test_commands import ok
from tests.small_runs import train

FEW = {"n_resamples": 20, "seed": 0}


@pytest.fixture(scope="module")
def work(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(store, folder / "old", "epochs=1", "cls_weight=0.3")
    train(store, folder / "new", "epochs=1", "seed=1", "latent_dim=8")
    return folder


def turned(n: int, seed: int = 0):
    """Fingerprints, and the same turned, stretched and moved into more dimensions."""
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(n, 6)) * np.arange(1, 7)
    return old, old @ np.random.default_rng(9).normal(size=(6, 8)) + 3


def test_a_linear_change_is_turned_back():
    (y, x), (y_val, x_val), (y_test, x_test) = (turned(n, seed) for seed, n in enumerate((200, 50, 60)))
    fitted, strength, explained = fit_map((x, x_val), (y, y_val), ("b", "a"))
    np.testing.assert_allclose(fitted(x_test), y_test, atol=1e-3)
    assert explained > 0.9999 and strength < 1e-3
    records = search_records({OLD: y_test, MAPPED: fitted(x_test)}, FEW)
    assert pick(records, group=MAPPED).value == 1 and pick(records, method=CHANCE).value == 10 / 59


def test_noise_is_not_fitted():
    """As many numbers as sources: least squares would fit them exactly, and explain nothing on validation."""
    rng = np.random.default_rng(0)
    x, x_val, y, y_val = (rng.normal(size=(n, 40)) for n in (45, 200, 45, 200))
    _, strength, explained = fit_map((x, x_val), (y, y_val), ("b", "a"))
    assert strength > 1 and explained > -0.1


def test_neighbours_leave_the_source_itself_out():
    rng = np.random.default_rng(0)
    index = rng.normal(size=(700, 5))
    found = neighbours(index, index, 3)
    unit = index / np.linalg.norm(index, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(700)
    np.testing.assert_array_equal(found, np.argsort(-cosine, 1)[:, :3])
    with pytest.raises(ValueError, match="3 neighbours of each of 3"):
        neighbours(index[:3], index[:3], 3)


def test_a_map_is_refused_between_other_spaces(tmp_path):
    y, x = turned(50)
    fitted = fit_map((x, x), (y, y), ("b", "a"))[0]
    fitted.save(tmp_path / MAP)
    np.testing.assert_array_equal(load_map(tmp_path / MAP, new="b", old="a")(x), fitted(x))
    for spaces in ({"new": "a", "old": "b"}, {"new": "b", "old": "c"}):
        with pytest.raises(OtherSpace, match="maps b to a, not"):
            load_map(tmp_path / MAP, **spaces)
    (tmp_path / MAP).write_bytes(b"nonsense")
    with pytest.raises(RunError, match="no map"):
        load_map(tmp_path / MAP, new="b", old="a")


def test_the_command_writes_map_records_and_table(work, store):
    said = ok(f"rtf.align old={work}/old new={work}/new store={store} n_bootstrap=20")
    old, new = rtf.load(work / "old"), rtf.load(work / "new")
    folder = work / "new/align" / old.space
    found = load_map(folder / MAP, new=new.space, old=old.space)
    assert found.weight.shape == (8, 16) and f"map: {folder / MAP}" in said
    written = json.loads((folder / "align.json").read_text())
    assert written["old"] == old.space and "balanced accuracy" in (folder / "align.md").read_text()
    assert {(r["level"], r["method"], r["group"]) for r in written["records"]} == {
        ("search", "cosine", MAPPED), ("search", CHANCE, "all"),
        ("coarse", "head", OLD), ("coarse", "head", MAPPED),
    }  # fmt: skip


def test_no_test_source_was_trained_on(work, store, tmp_path, monkeypatch):
    test = open_store(store).object_id[open_store(store).sources("test")]
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        for path in (work / name).glob("*.*"):
            if path.is_file():
                (tmp_path / name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "new" / SOURCES).write_text("\n".join(test[: len(test) // 2]))
    records, (table,), _ = align(tmp_path / "old", tmp_path / "new", store, tmp_path / "out", n_bootstrap=5)
    assert select(records, level="search")[0].n == len(test) - len(test) // 2
    assert any("trained on them" in note for note in table.notes)
    (tmp_path / "new" / SOURCES).write_text("\n".join(test))
    with pytest.raises(RunError, match="Nothing is left"):
        align(tmp_path / "old", tmp_path / "new", store, tmp_path / "out")


def test_equal_sizes_are_compared_as_they_are_and_one_space_needs_no_map(work, store, tmp_path):
    train(store, tmp_path / "other", "epochs=1", "seed=2")
    records, _, _ = align(tmp_path / "other", work / "old", store, tmp_path / "out", n_bootstrap=5)
    by = {r.group: r for r in select(records, score=f"recall at {NEAREST}")}
    assert set(by) == {MAPPED, AS_IS, "all"} and by[MAPPED].low <= by[MAPPED].value <= by[MAPPED].high
    methods = {(r.method, r.group) for r in select(records, level="coarse")}
    assert methods == {("probe", group) for group in (OLD, MAPPED, AS_IS)}  # fitted: that run has no head
    with pytest.raises(ValueError, match="need no map"):
        align(work / "old", work / "old", store)


def test_records_stand_with_their_store(work, store, tmp_path):
    records, _, _ = align(work / "old", work / "new", store, tmp_path / "out", n_bootstrap=5, seed=3)
    assert {(r.store, r.seed, r.task) for r in records} == {(open_store(store).digest, 3, "align")}
    again, _, _ = align(work / "old", work / "new", store, tmp_path / "out", n_bootstrap=5, seed=3)
    assert [replace(r) for r in records] == again
