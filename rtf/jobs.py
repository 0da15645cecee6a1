"""Work that may be stopped, repeated and divided: what it is made from, its parts, its place.

Notable:
- whatever is kept is known by what it was made from: settings, and the content of the files they name
- every shard leaves its parts in a shared folder; whichever finds those of all others there completes the
  work
- what must happen once happens under a lock that dies with its holder (flock; over NFS from Linux 2.6.12 on)
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from rtf.files import write_json

#: Bytes of a file that are compared, at its beginning, in its middle and at its end.
_SAMPLE = 1 << 14


def digest(value) -> str:
    """A name for plain JSON values: equal values, equal names."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def describe(value) -> Any:
    """Plain JSON values that tell settings apart: objects by type and fields, else by `repr`."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__dict__"):
        return {"type": f"{type(value).__module__}.{type(value).__qualname__}", **describe(vars(value))}
    return repr(value)


def made_from(*values, known: dict | None = None) -> str:
    """A name for values and for the content of every file and folder that they name.

    `known` keeps what was seen of each file, for calls that share files.
    """
    known = {} if known is None else known
    return digest([[describe(v) for v in values], [_contents(v, known) for v in values]])


def _contents(value, known: dict) -> list:
    if isinstance(value, (str, Path)):
        name = str(value)
        if name not in known:
            known[name] = _content(name) if name and os.path.exists(name) else []
        return known[name]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [found for v in value if (found := _contents(v, known))]
    return _contents(vars(value), known) if hasattr(value, "__dict__") else []


def _content(name: str) -> list:
    """Size, time and a sample of a file, or of all files of a folder."""
    if os.path.isdir(name):
        with os.scandir(name) as entries:
            below = sorted(entry.path for entry in entries if not entry.name.startswith("."))
        return [[os.path.basename(path), _content(path)] for path in below]
    sample = blake2b(digest_size=8)
    try:
        if not os.path.isfile(name):
            return ["no file"]  # a pipe would be waited for
        with open(name, "rb") as file:
            status = os.fstat(file.fileno())
            last = max(status.st_size - _SAMPLE, 0)
            for start in sorted({0, last // 2, last}):
                sample.update(os.pread(file.fileno(), _SAMPLE, start))
    except OSError as error:
        return [type(error).__name__]
    return [status.st_size, status.st_mtime_ns, sample.hexdigest()]


def finish_part(path: Path, made_from: str, record: dict) -> None:
    """Say that the part at `path` is whole: its record, PART.json, is written last."""
    write_json(path.with_suffix(".json"), {"made_from": made_from, **record})


def part_record(path: Path, made_from: str) -> dict | None:
    """The record of a part that is whole and made from this; None if there is none."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        return None
    return record if record.get("made_from") == made_from else None


def beside(out: Path, suffix: str) -> Path:
    """The file or folder OUT + suffix."""
    return out.with_name(out.name + suffix)


def put_in_place(new: Path, out: Path) -> None:
    """Give the folder `new` the name `out`; a former one is OUT.old for that moment (see `refuse_old`)."""
    refuse_old(out)
    old, mark = beside(out, ".old"), beside(out, ".old.ours")
    if new.exists():
        if out.exists():
            remove(old)
            mark.touch()
            os.rename(out, old)
        os.rename(new, out)
    remove(old)
    mark.unlink(missing_ok=True)


def refuse_old(out: Path) -> None:
    """Make sure that OUT.old is free, or left by a stopped `put_in_place`; else FileExistsError."""
    old = beside(out, ".old")
    if old.exists() and not beside(out, ".old.ours").exists():
        raise FileExistsError(f"{old} is in the way: move it, or choose another out=")


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Shard:
    """Shard `index`, 0 to `of` - 1; by default the whole input."""

    index: int = 0
    of: int = 1

    def __str__(self) -> str:
        return f"shard {self.index} of {self.of}"

    def label(self, what: str) -> str:
        """Of a progress bar."""
        return what if self.of == 1 else f"{what}, {self}"

    def part_of(self, n: int) -> range:
        """Which of n things in a row this shard does."""
        return range(self.index * n // self.of, (self.index + 1) * n // self.of)


WHOLE = Shard()


def chosen_shard(shards: int | None, shard: int | None) -> Shard:
    """The shard that the settings ask for, neither given: the whole input; ValueError for what is wrong."""
    if shards is None and shard is None:
        return WHOLE
    for name, value in (("shards", shards), ("shard", shard)):
        if value is None:
            raise ValueError(f"{name} is not given: give both, as in -m shards=8 'shard=range(8)'")
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
    """Hold the lock at `path`, waiting for whoever holds it; the file goes with the lock unless `keep()`."""
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
