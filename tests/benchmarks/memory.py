"""A process's peak memory. Apart from the baseline, whose torch alone would be 450 MiB."""

import multiprocessing
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
