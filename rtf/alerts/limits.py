"""What one item of an input may cost, and the guard that keeps a bad one from ending the reading.

A few bytes can ask for any amount of memory: compressed zeros, counts, shapes, repeated references. Readers
refuse what they can see coming by these numbers; `memory_limit` catches the rest.
"""

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count

import pyarrow as pa

#: Bytes of one packet, archive member or small file, decompressed. A ZTF alert has 60 kB, one of LSST 140 kB.
PACKET = 64 << 20
#: Bytes that Python objects made of one packet may take.
OBJECTS = 512 << 20
#: Bytes that may be allocated while one packet, or one batch of rows, is decoded.
MEMORY = 900 << 20
#: Bytes of a header: an Avro schema, the name of an archive member, the first lines of a table.
HEADER = 1 << 20
#: Levels of nesting; alerts have 4.
DEPTH = 32
#: Characters of an object's name.
NAME = 256
#: How much a compressed table may grow, beyond its first bytes; real ones grow fivefold.
RATIO, TABLE = 20, 16 << 20
#: Seconds a worker may need for the next history; after that it counts as hung and is ended.
SILENCE = 600

# Arrow's own allocator takes a gigabyte at once, which cannot be told from using it.
pa.set_memory_pool(pa.system_memory_pool())

_limited = False


def _ceiling() -> int | None:
    """Bytes that this process may have in memory while the next items are read; None where nobody counts."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * resource.getpagesize() + MEMORY
    except OSError:
        return None


@contextmanager
def memory_limit(ceiling: int | None = None) -> Iterator[None]:
    """Let allocations fail (MemoryError) that would add more than `MEMORY` to this process."""
    global _limited
    ceiling = ceiling or _ceiling()
    if _limited or ceiling is None:  # an outer block limits it, or nothing can
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    within = [x for x in (soft, hard, ceiling) if x != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(within), hard))
    _limited = True
    try:
        yield
    finally:
        _limited = False
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def guarded(items: Iterable, report, file, item: str = "") -> Iterator:
    """Yield what one file, archive member or row group gives; what ends it early becomes a skip.

    `items` is usually a generator: whatever it raises is caught, its memory is limited. `report` then names
    `file`, `item` and the reason.
    """
    items = iter(items)
    for number in count():
        if number % 16 == 0:  # what is read may stay in memory
            ceiling = _ceiling()
        try:
            with memory_limit(ceiling):
                value = next(items)
        except StopIteration:
            return
        except Exception as error:
            report.fail(error, file, item=item)
            return
        yield value
