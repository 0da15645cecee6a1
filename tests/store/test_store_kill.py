"""A build killed at any moment and started again gives the same bytes as one that was not killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.store.kill_everywhere import tree
from tests.store.store_fakes import FakeReader

HERE = Path(__file__).parent


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}


@pytest.mark.parametrize("mode", ["build", "append"])
def test_killed_before_any_rename_or_removal(tmp_path, mode):
    command = [sys.executable, str(HERE / "kill_everywhere.py"), str(tmp_path), mode]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 6


def test_a_killed_program_leaves_no_worker_and_what_it_read(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    program = (
        "import sys; from tests.store.store_fakes import FakeReader; from rtf.store.build import preprocess\n"
        "if __name__ == '__main__':\n"
        "    reader = FakeReader(kill_at=3, kill_main=sys.argv[2])\n"
        "    preprocess(reader, 'in', sys.argv[1], workers=2, progress=False)\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "s"), str(pid)]
    assert subprocess.run(command, env=ENVIRONMENT, timeout=60).returncode == -signal.SIGKILL
    worker = int(pid.read_text())
    for _ in range(100):
        if not _runs(worker):
            break
        time.sleep(0.1)
    assert not _runs(worker)
    assert len(list((tmp_path / "s.parts").glob("*.json"))) >= 2
    reader = FakeReader(kill_at=3, kill_main=str(pid))
    read = FakeReader.read
    monkeypatch.setattr(FakeReader, "read", lambda self, unit, report: read(FakeReader(), unit, report))
    for name in ("s", "t"):
        preprocess(reader, "in", tmp_path / name, workers=0, progress=False)
    assert tree(tmp_path / "s") == tree(tmp_path / "t")


def _runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_killed_worker_is_an_error_and_its_unit_is_read_again(tmp_path):
    reader = FakeReader(kill_at=3)
    with pytest.raises(BrokenProcessPool):
        preprocess(reader, "in", tmp_path / "s", workers=2, progress=False)
    assert not (tmp_path / "s").exists()
    # parts that another reader left are not used, those of this one are
    preprocess(FakeReader(seed=1), "in", tmp_path / "s", workers=0, progress=False)
    preprocess(FakeReader(seed=1), "in", tmp_path / "t", workers=0, progress=False)
    assert tree(tmp_path / "s") == tree(tmp_path / "t")


def test_units_read_before_a_kill_are_not_read_again(tmp_path, monkeypatch):
    class Stopped(BaseException):
        pass

    read, seen = FakeReader.read, []

    def stopping(self, unit, report):
        seen.append(unit)
        if unit == 3 and len(seen) == 4:
            raise Stopped
        return read(self, unit, report)

    monkeypatch.setattr(FakeReader, "read", stopping)
    with pytest.raises(Stopped):
        preprocess(FakeReader(), "in", tmp_path / "s", workers=0, progress=False)
    preprocess(FakeReader(), "in", tmp_path / "s", workers=0, progress=False)
    assert seen == [0, 1, 2, 3, 3, 4]
    assert open_store(tmp_path / "s").n
