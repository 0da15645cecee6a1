"""A process's peak memory. Apart from the baseline, whose torch alone would be 450 MiB."""

import multiprocessing
import os
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def peak_memory(function, *args) -> float:
    """Largest resident memory [MiB] of a process of its own that calls a function.

    Not `ru_maxrss`: a process begins with that of the one that started it, however little it holds itself.

    Parameters
    ----------
    function, args : picklable; the module of the function is imported there and counts
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, function, args).result()


def _peak_here(function, args) -> float:
    function(*args)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_of_tree(command: list[str], step: float = 0.2) -> tuple[float, float, float]:
    """Run a command; the largest memory [MiB] of it and its children together, and its seconds.

    Twice: the sum of their resident memories, and the same with pages that several share counted once.
    """
    began, resident, proportional = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        sums = [sum(x) / 1024 for x in zip(*map(_memory, _tree(process.pid)))]
        resident, proportional = max(resident, sums[0]), max(proportional, sums[1])
        time.sleep(step)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return resident, proportional, time.perf_counter() - began


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                found += _tree(int(child))
    except OSError:  # it has ended
        pass
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Resident and proportional memory [KiB] of a process; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return tuple(int(text.split(name)[1].split()[0]) for name in ("Rss:", "Pss:"))
    except (OSError, IndexError):
        return 0, 0
