"""The explorer and the ranking, as a user types them."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytest.importorskip("lancedb")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from rtf.archive import open_archive
from tests.archive.made_up import table
from tests.commands import ROOT
from tests.entry.test_commands import failed, ok
from tests.explorer.serving import free_port, status, until

MARKS = "survey,object_id,mark\nztf,ZTF000000003,interesting\nztf,ZTF000000004,boring\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An archive of fifty made-up objects, and marks."""
    folder = tmp_path_factory.mktemp("explorer")
    open_archive(folder / "found").add(table(50))
    (folder / "marks.csv").write_text(MARKS)
    (folder / "other.csv").write_text("a,b\n")
    return folder


def test_the_map_is_made_and_the_command_ends(folder):
    printed = ok("rtf.explore archive=found serve=false run=null", folder)
    assert "50 objects are on the map of found" in printed and (folder / "found.map").is_dir()
    assert "no model in the box makes fingerprints of space" in ok(
        "rtf.explore archive=found serve=false", folder
    )
    assert "the model is of space" in ok("rtf.explore archive=found serve=false run=ztf", folder)


def test_it_answers_until_it_is_interrupted(folder):
    port = free_port()
    line = [
        sys.executable,
        "-m",
        "rtf.explore",
        "archive=found",
        "run=null",
        f"port={port}",
        "marks=mine.csv",
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    server = subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        # libraries may say something first
        assert any(line.startswith(f"http://localhost:{port}") for line in server.stdout)
        until(lambda: status(port).get("ready"), 60)
        assert status(port)["n"] == 50
    finally:
        server.terminate()
    assert server.wait(15) in (0, -15)
    assert not (folder / "mine.csv").exists()


def test_the_list_follows_the_marks(folder):
    printed = ok("rtf.rank archive=found marks=marks.csv nights=1000 k=50 out=list.parquet", folder)
    found = pq.read_table(folder / "list.parquet")
    names, marks = found["object_id"].to_pylist(), found["mark"].to_pylist()
    assert len(names) == 50 and "ZTF000000003" in names[:3] and names[-1] == "ZTF000000004"
    assert marks[names.index("ZTF000000003")] == "interesting" and "boring" in printed
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist(), reverse=True)
    assert len(pq.read_table(folder / "list.parquet").schema.names) > 20
    assert "ZTF" in ok(
        "rtf.rank archive=found marks=marks.csv nights=1 k=3", folder
    )  # marked on former nights


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rtf.explore archive=nowhere serve=false", "nowhere is no archive"),
        ("rtf.explore archive=found serve=false space=1234567890e1", "has no fingerprints of space"),
        ("rtf.explore archive=found serve=false store=nothing.zarr", "is not a store"),
        ("rtf.explore archive=found serve=false store=[a.zarr,b.zarr]", "a.zarr is not a store"),
        ("rtf.explore archive=found serve=false history=nothing", "no such folder"),
        ("rtf.explore archive=found serve=false marks=other.csv", "is no file of marks"),
        ("rtf.rank archive=found marks=nothing.csv", "nothing.csv"),
        ("rtf.rank archive=found", "marks"),
        ("rtf.rank archive=nowhere marks=marks.csv", "is no archive"),
    ],
)
def test_a_mistake_gets_one_clear_message(folder, line, message):
    assert message in failed(line, folder)
