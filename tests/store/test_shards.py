"""A store made in shards is the store made in one go, whatever the shards' order, fate and company."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from rtf.alerts.readers import light_curve_table
from rtf.alerts.report import NothingReadable
from rtf.jobs import WHOLE, Shard, chosen_shard, locked
from rtf.store.build import preprocess, preprocess_shard
from rtf.store.read import StoreError, open_store
from tests.store.kill_everywhere import tree
from tests.store.store_fakes import FakeReader

ROOT = Path(__file__).parents[2]
QUIET = {"workers": 0, "progress": False}

#: One shard of three as a process of its own: OUT SHARD KILL, where KILL is a unit or "merge" to die there.
#: It starts when it is told to, and notes every merge.
PROGRAM = """
import os, signal, sys
from rtf.jobs import Shard
from rtf.store import build
from tests.store.store_fakes import FakeReader

out, shard, kill = sys.argv[1], int(sys.argv[2]), sys.argv[3]
read, write_group = FakeReader.read, build.write_group

def reading(self, unit, report):
    for history in read(self, unit, report):
        yield history
        if str(unit) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

def writing(*arguments):
    with open(out + ".merges", "a") as file:
        file.write("once\\n")
    write_group(*arguments)
    if kill == "merge":
        os.kill(os.getpid(), signal.SIGKILL)

FakeReader.read, build.write_group = reading, writing
print("ready", flush=True)
sys.stdin.readline()
build.preprocess_shard(FakeReader(), "in", out, Shard(shard, 3), workers=0, progress=False)
"""


def start(out: Path, shard: int, kill: str = "") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), str(shard), kill], cwd=ROOT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def together(*processes: subprocess.Popen) -> list[int]:
    """Let processes that are ready go at the same moment; how they ended."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait(timeout=60) for process in processes]
    for process in processes:
        process.communicate()
    return codes


def one(out, index, of=3, reader=None, **settings):
    return preprocess_shard(reader or FakeReader(), "in", out, Shard(index, of), **QUIET | settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of FakeReader in one go; its objects are spread over its five units."""
    out = tmp_path_factory.mktemp("whole") / "s"
    report = preprocess(FakeReader(), "in", out, **QUIET)
    return tree(out), report


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 0, 2, 2, 1)])
def test_shards_in_any_order_make_the_same_bytes(tmp_path, whole, order):
    for k in order[:-1]:
        report, missing = one(tmp_path / "s", k)
        assert report.counts["packets"] == 8 * len(range(k, 5, 3))
        assert (
            missing == sorted({0, 1, 2} - set(order[: order.index(k) + 1])) and not (tmp_path / "s").exists()
        )
    assert one(tmp_path / "s", order[-1]) == (whole[1], [])
    assert tree(tmp_path / "s") == whole[0]
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_more_shards_than_units_and_a_shard_that_is_late(tmp_path, whole):
    for k in range(8):
        assert bool(one(tmp_path / "s", k, of=8)[1]) == (k < 4)
    # 5 to 7 had no unit and came after the store was there: they left it as it was, and so does anyone now
    assert tree(tmp_path / "s") == whole[0]
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    with pytest.raises(FileExistsError):
        one(tmp_path / "s", 1, of=8, seed=1)
    with pytest.raises(FileExistsError):
        preprocess(FakeReader(), "in", tmp_path / "s", **QUIET)


def test_a_late_shard_neither_appends_nor_overwrites_again(tmp_path):
    more = FakeReader(first=5, units_number=2)
    for name in ("a", "b"):
        preprocess(FakeReader(), "in", tmp_path / name, **QUIET)
    preprocess(more, "in", tmp_path / "a", append=True, **QUIET)
    for k in (0, 1, 1, 0):
        one(tmp_path / "b", k, of=2, reader=more, append=True)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")

    labels = tmp_path / "labels.csv"
    labels.write_text("object_id,type\nZTF0017,TDE\n")
    for k in (0, 1, 0):
        report, missing = one(tmp_path / "b", k, of=2, overwrite=True, labels=labels)
        assert bool(missing) == (not report.counts["objects"])
    assert not (tmp_path / "b.parts").exists()
    # but a table that was changed since is a reason to begin again
    labels.write_text("object_id,type\nZTF0017,SN Ia\n")
    assert one(tmp_path / "b", 0, of=2, overwrite=True, labels=labels)[1] == [1]


def test_the_command_without_shards_completes_what_shards_began(tmp_path, whole, monkeypatch):
    one(tmp_path / "s", 1)
    seen, read = [], FakeReader.read
    monkeypatch.setattr(FakeReader, "read", lambda self, unit, r: seen.append(unit) or read(self, unit, r))
    preprocess(FakeReader(), "in", tmp_path / "s", **QUIET)
    assert seen == [0, 2, 3] and tree(tmp_path / "s") == whole[0]


def test_shards_with_other_settings_are_refused(tmp_path, whole):
    one(tmp_path / "s", 0)
    with pytest.raises(StoreError, match="shared by shards with other settings"):
        one(tmp_path / "s", 1, seed=1)
    with pytest.raises(StoreError, match="shared by shards with other settings"):
        one(tmp_path / "s", 1, reader=FakeReader(seed=1))
    with pytest.raises(StoreError, match="shared by shards with other settings"):
        preprocess(FakeReader(), "in", tmp_path / "s", seed=1, **QUIET)
    # a mistake that only merging finds can be mended without reading again
    labels = tmp_path / "labels.csv"
    labels.write_text("object_id,type\nnobody,TDE\n")
    (tmp_path / "s.plan.json").unlink()
    for k in (0, 1):
        one(tmp_path / "s", k, labels=labels)
    with pytest.raises(ValueError, match="none of the input's"):
        one(tmp_path / "s", 2, labels=labels)
    assert one(tmp_path / "s", 0) == (whole[1], []) and tree(tmp_path / "s") == whole[0]


@pytest.fixture
def table(tmp_path):
    """Write a light curve of one magnitude for an object, in a file of its own, as if at another time."""
    (tmp_path / "in").mkdir()

    def write(name: str, mag: float, stamp: int = 1_700_000_000) -> None:
        path = tmp_path / f"in/{name}.csv"
        rows = [f"{name},{59000 + k},g,{mag},0.1\n" for k in range(3)]
        path.write_text("object_id,mjd,band,mag,magerr\n" + "".join(rows))
        os.utime(path, (stamp, stamp))

    for name in ("A", "B"):
        write(name, 19.0)
    return write


def magnitudes(store: Path) -> dict:
    return {h.object_id: float(h.mag[0]) for h in open_store(store).histories()}


def test_a_file_that_was_changed_is_read_again(tmp_path, table):
    reader, out = light_curve_table.LightCurveTable(), tmp_path / "s"
    shards = [partial(preprocess_shard, reader, tmp_path / "in", out, Shard(k, 2), **QUIET) for k in (0, 1)]
    assert shards[0]()[1] == [1]
    table("A", 15.0, stamp=1_700_000_000)  # same name, size and time: only what it holds differs
    assert shards[1]()[1] == [0]
    shards[0]()
    assert magnitudes(out) == {"A": 15.0, "B": 19.0}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_of_other_content_is_not_taken_for_what_was_asked(tmp_path, table, overwrite):
    reader, out = light_curve_table.LightCurveTable(), tmp_path / "s"

    def night() -> None:
        for k in (0, 1):
            preprocess_shard(reader, tmp_path / "in", out, Shard(k, 2), overwrite=overwrite, **QUIET)

    night()
    night()  # the same again leaves it as it is
    table("A", 15.0)
    if overwrite:
        night()
        assert magnitudes(out)["A"] == 15.0
    else:
        with pytest.raises(FileExistsError):
            night()


def test_nothing_readable_only_if_all_shards_have_nothing(tmp_path):
    class Late(FakeReader):
        def read(self, unit, report):
            if unit == 4:
                yield from super().read(unit, report)

    for k in (0, 2, 1):
        assert bool(one(tmp_path / "s", k, reader=Late())[1]) == (k != 1)
    for k in (0, 1):
        assert one(tmp_path / "t", k, reader=FakeReader(per_unit=0))[1]
    with pytest.raises(NothingReadable, match=r"a bad packet \(5\)"):
        one(tmp_path / "t", 2, reader=FakeReader(per_unit=0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s", "t.report.json"]


def test_shards_that_run_together_merge_once(tmp_path, whole):
    out = tmp_path / "s"
    # two of them are the same shard: a scheduler may start a job anew before it is sure that it is lost
    assert together(*(start(out, k) for k in (0, 1, 2, 2))) == [0, 0, 0, 0]
    assert tree(out) == whole[0]
    assert (tmp_path / "s.merges").read_text() == "once\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s", "s.merges"]


def test_a_killed_shard_is_completed_by_itself_or_by_another(tmp_path, whole):
    out = tmp_path / "s"
    reader, merger = start(out, 1, kill="4"), start(out, 1, kill="merge")
    for k in (0, 2):
        one(out, k)
    assert together(reader) == [-signal.SIGKILL]
    assert sorted(p.name for p in (tmp_path / "s.parts").glob("*.json")) == [
        f"{k:07d}.json" for k in (0, 1, 2, 3)
    ]
    assert one(out, 0)[1] == [1]
    assert together(merger) == [-signal.SIGKILL]  # with the lock in its hands
    assert one(out, 0) == (whole[1], []) and tree(out) == whole[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s", "s.merges"]


def test_a_lock_is_not_fooled_by_a_file_that_was_removed(tmp_path):
    """Who waits for a lock whose file goes with its holder gets the next one, not the removed one."""
    with locked(tmp_path / "lock", keep=lambda: False):
        child = os.fork()
        if not child:
            with locked(tmp_path / "lock", keep=lambda: True):
                (tmp_path / "second").write_text(str((tmp_path / "first").exists()))
            os._exit(0)
        time.sleep(0.3)
        (tmp_path / "first").touch()
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "second").read_text() == "True" and (tmp_path / "lock").exists()


def test_which_shard():
    assert chosen_shard(None, None) is WHOLE
    assert chosen_shard(8, 7) == Shard(7, 8) and str(Shard(7, 8)) == "shard 7 of 8"
    for shards, shard, message in (
        (8, None, "shard is not given"), (None, 3, "shards is not given"), (8, 8, "from 0 to 7"),
        (8, -1, "from 0 to 7"), (0, 0, "1 or more"), (8, "0,1", "whole number"), (True, 0, "whole number"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            chosen_shard(shards, shard)
