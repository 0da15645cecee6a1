"""Work spread over processes, and what a process does not need given back.

Notable:
- workers are forked from a server that has imported little, and end when this process is killed
- no worker is given a job before its last one is done: when one dies, few jobs can be to blame
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def give_back() -> None:
    """Return freed memory to the system, which glibc keeps: a gigabyte after long sequences."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def in_processes(
    function: Callable, jobs: list[tuple], workers: int | None = None, died: Callable | None = None
) -> Iterator[tuple]:
    """Call `function(*job)` for every job; yields (index of the job, what it returned), as they finish.

    Parameters
    ----------
    function, jobs : picklable
    workers : processes; 0 stays in this one, and so do 1 and a single job unless `died` is given; None is one
        for each core
    died : called as `died(*job)` in this process when a job ends its process, twice; its result is the job's.
        By default that is an error

    Raises
    ------
    What the function raises; jobs not begun are dropped
    BrokenProcessPool : a process was killed or crashed
    """
    workers = min(cores() if workers is None else workers, len(jobs))
    if workers <= (1 if died is None else 0):
        for k, job in enumerate(jobs):
            yield k, function(*job)
        return
    waiting = dict(enumerate(jobs))
    while waiting:
        suspects = yield from _pool(function, waiting, workers)
        if suspects and died is None:
            raise BrokenProcessPool("a worker was killed or crashed")
        for k in suspects:
            with executor(1) as pool:
                try:
                    result = pool.submit(function, *jobs[k]).result()
                except BrokenProcessPool:
                    result = died(*jobs[k])
            yield k, result


def _pool(function: Callable, waiting: dict[int, tuple], workers: int) -> Iterator[tuple]:
    """Do the jobs, which leave `waiting` as they begin; returns those under way when a worker died."""
    pool, running = executor(workers), {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                k = next(iter(waiting))
                running[pool.submit(function, *waiting[k])] = k
                del waiting[k]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future), result
    except BrokenProcessPool:
        if not running:  # no job is to blame
            raise
    finally:
        pool.shutdown(cancel_futures=True)
    return list(running.values())


def executor(workers: int) -> ProcessPoolExecutor:
    """So many processes that end with this one."""
    return ProcessPoolExecutor(workers, mp_context=get_context("forkserver"), initializer=_die_with_parent)


def _die_with_parent() -> None:
    def wait_for_it() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait_for_it, daemon=True).start()
