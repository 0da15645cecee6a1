"""Commands as a user types them, each in a process of its own, forked from one with all imports done.

Starting an interpreter and importing torch and Lightning takes most of the time of a small command. The
server below does that once for each test process.
"""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

import rtf

ROOT = Path(rtf.__file__).parents[1]
_IMPORTS = (
    "rtf.training.fit", "rtf.training.tracking", "rtf.evaluation.run", "rtf.report.page", "rtf.store.build",
    "rtf.simulation.survey", "sklearn.linear_model",
)  # fmt: skip


def run(module: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """`python -m MODULE ARGUMENTS` in a folder; what it printed is text."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        job = {"argv": [module, *map(str, arguments)], "cwd": str(cwd), "environment": dict(os.environ)}
        server.stdin.write(json.dumps({**job, "out": str(out), "err": str(err)}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(job["argv"], code, out.read_text(), err.read_text())


@cache
def _server() -> subprocess.Popen:
    line = [sys.executable, "-m", "tests.commands"]
    server = subprocess.Popen(line, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(server.stdin.close)
    return server


def _serve() -> None:
    for name in _IMPORTS:
        __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    while job := sys.stdin.readline():
        child = os.fork()
        if not child:
            _become(**json.loads(job))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def _become(argv: list[str], cwd: str, environment: dict[str, str], out: str, err: str) -> None:
    """Turn this process into the command, and end with it."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        os.dup2(os.open(path, flags | os.O_CREAT), number)
    sys.argv = argv
    sys.path[0] = cwd  # as -m has it
    code = 0
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
