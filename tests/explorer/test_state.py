"""The archive behind the page: kept maps, rows that come later, marks and models of other spaces."""

import numpy as np
import pytest

from rtf.archive import open_archive
from rtf.explorer import places
from rtf.explorer.state import Explorer
from tests.archive.made_up import SPACE, Model, table


def made(folder, n: int = 90, **more) -> Explorer:
    state = Explorer(open_archive(folder), **more)
    state.prepare_model()
    state.open()
    return state


@pytest.fixture
def folder(tmp_path):
    open_archive(tmp_path / "archive").add(table(50))
    return tmp_path / "archive"


def where(state) -> dict:
    points = state.points
    return dict(zip(points.names, zip(points.column("x").tolist(), points.column("y").tolist()), strict=True))


def test_rows_that_come_later_are_placed_and_move_nothing(folder):
    state = made(folder)
    before = where(state)
    state.archive.add(table(20, seed=1))
    state.follow()
    after = where(state)
    assert len(after) == 70 and before.items() <= after.items() and np.isfinite(list(after.values())).all()
    assert state.changes[0].tolist() == list(range(50, 70))
    state.follow()
    assert len(state.changes) == 1


def test_the_map_is_kept_for_the_next_start(folder, monkeypatch):
    first = where(made(folder))
    open_archive(folder).add(table(20, seed=1))
    monkeypatch.setattr(places, "fit", lambda *_: pytest.fail("fitted again"))
    again = made(folder)
    assert first.items() <= where(again).items() and len(where(again)) == 70
    open_archive(folder).compact()
    assert where(made(folder)) == where(again)


def test_a_map_of_a_small_archive_is_fitted_anew_when_it_has_grown(tmp_path):
    folder = tmp_path / "small"
    for seed, n, fitted in ((0, 10, 10), (1, 30, 10), (2, 20, 60)):
        open_archive(folder).add(table(n, seed=seed))
        assert len(made(folder).map.anchors) == fitted
    assert len(made(folder, refit=True, sample=20).map.anchors) == 20


def test_compaction_while_it_looks_changes_nothing(folder):
    state = made(folder)
    state.archive.add(table(20, seed=1))
    state.archive.compact()
    before = where(state)
    state.follow()
    assert before.items() <= where(state).items() and state.changes[0].tolist() == list(range(50, 70))
    numbers, latent = state.fingerprints(np.arange(70))
    assert numbers.tolist() == list(range(70)) and latent.shape == (70, 16)


def test_a_folder_that_cannot_be_written_costs_the_kept_map_alone(folder, monkeypatch):
    monkeypatch.setattr(places, "save", lambda *_: (_ for _ in ()).throw(PermissionError("read only")))
    assert made(folder).status["ready"]


def test_a_model_of_another_space_is_left_out_with_a_note(folder):
    state = made(folder, load_model=lambda: Model("another"))
    assert state.model is None and "the model is of space another" in state.model_note
    state = made(folder, load_model=lambda: 1 / 0)
    assert state.model is None and "division by zero" in state.model_note


def test_codes_alone_need_their_model(tmp_path):
    open_archive(tmp_path / "codes").add(table(30), keep="code")
    state = made(tmp_path / "codes", load_model=lambda: Model(SPACE))
    assert (
        np.isfinite(state.points.column("x")).all() and len(state.neighbours(np.ones(8, np.float32), 3)) == 3
    )
    # a kept map needs no model; one that is to be fitted does
    assert made(tmp_path / "codes").status["ready"]
    with pytest.raises(ValueError, match="need their model"):
        made(tmp_path / "codes", refit=True)


def test_the_list_follows_marks(folder):
    state = made(folder)
    strangest = state.tonight(1e6, False, 10)
    assert [one["strangeness"] for one in strangest] == sorted(
        (one["strangeness"] for one in strangest), reverse=True
    )
    assert state.tonight(1e6, True, 10) == strangest  # no marks yet
    state.marks.set("ztf", strangest[0]["object_id"], "boring")
    state.marks.set("ztf", strangest[5]["object_id"], "interesting")
    state.marks.set("ztf", "of another archive", "interesting")
    mine = [one["object_id"] for one in state.tonight(1e6, True, 50)]
    assert mine[-1] == strangest[0]["object_id"] and strangest[5]["object_id"] in mine[:5]
    assert len(state.tonight(1.0, False, 500)) < 5


def test_what_goes_wrong_is_said(folder, monkeypatch):
    monkeypatch.setattr(places, "fit", lambda *_: 1 / 0)
    state = Explorer(open_archive(folder))
    state.work()
    assert state.status["error"] == "ZeroDivisionError: division by zero" and not state.status["ready"]
