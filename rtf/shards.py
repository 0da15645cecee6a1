"""A command divided into shards that run anywhere, at any time, and share a folder.

Notable:
- every shard leaves its share there; whichever finds the shares of all completes the command, so none waits
  for another and none is special
- what must happen once happens under a lock that dies with its holder (flock; over NFS from Linux 2.6.12 on)
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32


@dataclass(frozen=True)
class Shard:
    """Shard `index`, 0 to `of` - 1."""

    index: int = 0
    of: int = 1

    def __str__(self) -> str:
        return f"shard {self.index} of {self.of}"

    def label(self, what: str) -> str:
        """Of a progress bar."""
        return what if self.of == 1 else f"{what}, {self}"

    def has(self, object_id: str) -> bool:
        """Whether an object belongs to this shard; the same on every machine."""
        return crc32(object_id.encode()) % self.of == self.index


#: The whole input in one go.
WHOLE = Shard()


def chosen_shard(shards: int | None, shard: int | None) -> Shard:
    """The shard that the settings `shards` and `shard` ask for; neither given: the whole input.

    Raises
    ------
    ValueError : one is given without the other, either is no whole number, or out of range
    """
    if shards is None and shard is None:
        return WHOLE
    for name, value in (("shards", shards), ("shard", shard)):
        if value is None:
            raise ValueError(
                f"{name} is not given: give both, as in -m shards=8 'shard=range(8)', or neither of them"
            )
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r}; it must be a whole number")
    if shards < 1:
        raise ValueError(f"shards is {shards}; it must be 1 or more")
    if not 0 <= shard < shards:
        raise ValueError(f"shard is {shard}; with shards={shards} it must be from 0 to {shards - 1}")
    return Shard(shard, shards)


def named(shards: list[int]) -> str:
    """Shards in a sentence."""
    return f"shard{'s' if len(shards) > 1 else ''} {', '.join(map(str, shards))}"


@contextmanager
def locked(path: Path, keep: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock at `path`, waiting for whoever holds it; the file goes with the lock unless `keep()`.

    Where work goes on, keep it: who waits for a file that was removed has to begin again with a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _acquired(path)
    try:
        yield
    finally:
        if not keep() and _is_at(file, path):
            path.unlink()
        fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do while a forked process has it open
        os.close(file)


def _acquired(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                return file
        except OSError as error:
            if error.errno != errno.ESTALE:  # that is: removed by its last holder, on another machine
                os.close(file)
                error.add_note(f"{path}: shards need a file system with flock")
                raise
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still has its name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
