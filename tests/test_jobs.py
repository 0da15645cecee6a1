"""A whole result takes its place, and takes no other folder away for it."""

from types import SimpleNamespace

import pytest

from rtf.jobs import put_in_place
from rtf.simulation.write import write_survey
from rtf.store.plan import store_to_extend


def folder(path, text):
    path.mkdir()
    (path / "it").write_text(text)
    return path


def test_a_former_result_is_replaced_and_nothing_is_left(tmp_path):
    out = folder(tmp_path / "out", "former")
    put_in_place(folder(tmp_path / "new", "new"), out)
    assert (out / "it").read_text() == "new" and list(tmp_path.iterdir()) == [out]
    put_in_place(tmp_path / "new", out)  # again, after all was done
    assert (out / "it").read_text() == "new" and list(tmp_path.iterdir()) == [out]


def test_a_folder_that_somebody_else_made_is_left_alone(tmp_path):
    out, new = folder(tmp_path / "out", "former"), folder(tmp_path / "new", "new")
    other = folder(tmp_path / "out.old", "mine")
    for _ in range(2):
        with pytest.raises(FileExistsError, match=r"out\.old is in the way"):
            put_in_place(new, out)
    assert [(x / "it").read_text() for x in (out, new, other)] == ["former", "new", "mine"]


def test_what_a_stopped_run_left_is_removed(tmp_path, monkeypatch):
    out, new = folder(tmp_path / "out", "former"), folder(tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        patch.setattr("rtf.jobs.remove", lambda path: path.exists() and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            put_in_place(new, out)
    assert (tmp_path / "out.old").exists()
    put_in_place(new, out)
    assert (out / "it").read_text() == "new" and list(tmp_path.iterdir()) == [out]


def write(out):
    write_survey(SimpleNamespace(units=pytest.fail), out, "avro", settings={}, split=None, overwrite=True)


@pytest.mark.parametrize("begin", [write, lambda out: store_to_extend(out, append=False, overwrite=True)])
def test_a_folder_in_the_way_is_named_before_any_work(tmp_path, begin):
    out = folder(tmp_path / "out", "former")
    (out / "simulation.json").write_text("{}")
    (out / "zarr.json").write_text('"rtf-store"')
    folder(tmp_path / "out.old", "mine")
    with pytest.raises(FileExistsError, match=r"out\.old is in the way"):
        begin(out)
