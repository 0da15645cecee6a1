"""Looking at an input folder: which files are there, in a fixed order, and in parcels of a given size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parcel:
    """Some files or folders that are read together: one unit of parallel work."""

    paths: tuple[Path, ...]

    def __str__(self) -> str:
        first, last = self.paths[0], self.paths[-1]
        return str(first) if len(self.paths) == 1 else f"{first} … {last.name} ({len(self.paths)})"


def parcels(paths: Sequence[Path], size: int) -> list[Parcel]:
    return [Parcel(tuple(paths[k : k + size])) for k in range(0, len(paths), size)]


def files(path: Path, *suffixes: str) -> Iterator[Path]:
    """`path` itself where it is a file with one of the suffixes, or such files anywhere below it, sorted.

    Hidden files are left alone.
    """
    path = Path(path)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.name.endswith(suffixes) and not file.name.startswith(".") and file.is_file():
            yield file
