"""Kill a build with SIGKILL before each of its renames and removals, run it again, and compare the bytes.

    python kill_everywhere.py FOLDER build|overwrite|append

A program of its own because it forks for every kill, before any thread starts. Prints the number of kills.
"""

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path

from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.store.store_fakes import FakeReader

FIRST = FakeReader(units_number=1, per_unit=2)
SECOND = FakeReader(units_number=1, per_unit=2, first=1)

#: Of the files of a group being written or removed only one in so many.
STRIDE = 40


def run(job, kill_before: int | None = None) -> int:
    """The signal that ended `job` in a process of its own, 0 if it ran to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen, inside = itertools.count(), itertools.count()

    def watch(event: str, arguments: tuple) -> None:
        if event not in ("os.rename", "os.remove", "os.rmdir"):
            return
        # A removal relative to a folder is one of many of a whole tree.
        many = ".new/" in str(arguments[0]) or arguments[-1] != -1
        if many and next(inside) % STRIDE:
            return
        if next(seen) == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    job()
    os._exit(0)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def main(folder: Path, mode: str) -> None:
    def job(out: Path):
        extra = {} if mode == "build" else {mode: True}
        return lambda: preprocess(SECOND, "in", out, workers=0, progress=False, **extra)

    def prepare(name: str) -> Path:
        (folder / name).mkdir()
        if mode != "build":
            shutil.copytree(folder / "before", folder / name / "s")
        return folder / name / "s"

    if mode != "build":
        assert run(lambda: preprocess(FIRST, "in", folder / "before", workers=0, progress=False)) == 0
    straight = prepare("straight")
    assert run(job(straight)) == 0
    for point in itertools.count():
        out = prepare(str(point))
        status = run(job(out), point)
        if status == 0:
            break
        assert status == -signal.SIGKILL, status
        assert run(job(out)) == 0, f"{mode}: not finished after a kill before step {point}"
        assert tree(out) == tree(straight), f"{mode}: other bytes after a kill before step {point}"
        left = [p.name for p in out.parent.iterdir() if p != out]
        assert not left, f"{mode}: {left} left after a kill before step {point}"
        shutil.rmtree(out.parent)
    assert open_store(straight).n
    print(point)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
