"""Looking at an input folder: which files are there, in a fixed order, and in units of a given size."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Unit:
    """Files, folders or row groups that are read together: one unit of parallel work."""

    items: tuple

    def __str__(self) -> str:
        first, last = self.items[0], self.items[-1]
        return str(first) if len(self.items) == 1 else f"{first} … {last} ({len(self.items)})"

    def apart(self) -> list["Unit"]:
        """One unit for each item."""
        return [Unit((item,)) for item in self.items]


def units(items: Sequence, size: int = 1) -> list[Unit]:
    return [Unit(tuple(items[k : k + size])) for k in range(0, len(items), size)]


def files(path: Path, *suffixes: str) -> Iterator[Path]:
    """`path` itself where it is a file with one of the suffixes, in any case, or such files below it, sorted.

    Hidden files are left alone. Links to folders are followed, each folder once. A folder that cannot be
    listed is yielded itself: it fails to open, by name.
    """
    path = Path(path)
    for file in [path] if path.is_file() else sorted(_below(path)):
        if file.is_dir() or (file.name.lower().endswith(suffixes) and not file.name.startswith(".")):
            yield file


def _below(folder: Path) -> Iterator[Path]:
    """Every regular file below a folder, and the files and folders that cannot be looked at."""
    seen, closed = set(), []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=closed.append):
        folders.sort()
        folder_id = os.path.realpath(place)
        if folder_id in seen:
            folders.clear()
            continue
        seen.add(folder_id)
        for name in names:
            try:
                regular = stat.S_ISREG(os.stat(os.path.join(place, name)).st_mode)
            except FileNotFoundError:  # a link to nowhere
                continue
            except OSError:
                regular = True
            if regular:
                yield Path(place, name)
    yield from (Path(error.filename) for error in closed)
