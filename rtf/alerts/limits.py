"""What one item of an input may cost, and the guard that keeps a bad one from ending the reading.

Notable:
- a few bytes can ask for any amount of memory: compressed zeros, counts, shapes, repeated references. Each
  reader refuses what it can see coming by these numbers; `memory_limit` catches the rest
"""

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

#: Bytes of one packet, archive member or small file, decompressed. A ZTF alert has 60 kB, one of LSST 140 kB.
PACKET = 64 << 20
#: Bytes that Python objects made of one packet may take.
OBJECTS = 512 << 20
#: Bytes that may be allocated while one packet, or one batch of rows, is decoded.
MEMORY = 1 << 30
#: Bytes of a header: an Avro schema, the name of an archive member, the first lines of a table.
HEADER = 1 << 20
#: Levels of nesting; alerts have 4.
DEPTH = 32
#: Characters of an object's name.
NAME = 256
#: How much a compressed table may grow; real ones grow tenfold.
RATIO = 100
#: Seconds a worker may need for the next history; after that it counts as hung and is ended.
SILENCE = 600

_limited = False


@contextmanager
def memory_limit() -> Iterator[None]:
    """Let allocations fail (MemoryError) that would add more than `MEMORY` to this process."""
    global _limited
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        if _limited:
            raise OSError
        with open("/proc/self/statm", "rb") as file:
            limit = int(file.read().split()[5]) * resource.getpagesize() + MEMORY
    except OSError:  # an outer block limits it already, or this system keeps no such account
        yield
        return
    within = [x for x in (soft, hard) if x != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *within]), hard))
    _limited = True
    try:
        yield
    finally:
        _limited = False
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def guarded(histories: Iterable, report, file, item: str = "") -> Iterator:
    """Yield what one file, archive member or row group gives; what ends it early becomes a skip.

    Parameters
    ----------
    histories : usually a generator; anything that it raises is caught, its memory is limited
    report : the `ReadReport` that then names `file`, `item` and the reason
    """
    histories = iter(histories)
    while True:
        try:
            with memory_limit():
                history = next(histories)
        except StopIteration:
            return
        except Exception as error:
            report.fail(error, file, item=item)
            return
        yield history
