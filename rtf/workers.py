"""Work spread over processes.

Notable:
- workers are forked from a server that has imported little, so that threads of this process do no harm
- a worker ends when this process is killed; by itself it would wait for ever
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def in_processes(function: Callable, jobs: list[tuple], workers: int | None = None) -> Iterator[tuple]:
    """Call `function(*job)` for every job, in any order.

    Parameters
    ----------
    function, jobs : picklable
    workers : processes; 0 or 1, or a single job, stays in this one; None is one for each core

    Yields
    ------
    (index of the job, what the function returned), as they finish

    Raises
    ------
    Whatever the function raises, with a note that names the job; jobs not begun are dropped
    """
    workers = min(cores() if workers is None else workers, len(jobs))
    if workers <= 1:
        for k, job in enumerate(jobs):
            yield k, function(*job)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("forkserver"), initializer=_die_with_parent)
    try:
        futures = {pool.submit(function, *job): k for k, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
