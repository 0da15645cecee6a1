"""AppleCiDEr's raw alerts: `DIR/{object_id}/alerts.npy`, each a pickled array of ZTF alerts.

Notable:
- a pickle can run any code when it is loaded. These are loaded by an unpickler that knows NumPy arrays and
  plain containers and refuses everything else by name; nothing is imported on a file's word
- splits come from a table, labels from files of their own
"""

import collections
import csv
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.alerts.history import SourceHistory
from rtf.alerts.readers.photometry_events import SPLITS, UNREADABLE, fine_index
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import packet_history
from rtf.classes import UNKNOWN

FOLDERS_PER_UNIT = 64

_NUMPY = {
    "_reconstruct": np._core.multiarray._reconstruct,
    "scalar": np._core.multiarray.scalar,
    "_frombuffer": np._core.numeric._frombuffer,
}


class RefusedPickle(pickle.UnpicklingError):
    """A pickle that asks for something that is neither a NumPy array nor a plain container."""


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 and older hold bytes; `_codecs.encode` itself would run any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedPickle(f"refused: the pickle asks for _codecs.encode with {encoding!r}")
    return text.encode("latin-1")


# The names a pickle may use, each with what it means here: NumPy 1 and 2 keep theirs in different places.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytearray"): bytearray,
    **{
        (f"numpy.{core}.{module}", name): _NUMPY[name]
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"),
        )
    },
}  # fmt: skip

# What unpickling bytes that are no pickle, or a damaged one, raises.
_DAMAGED = (
    pickle.UnpicklingError, EOFError, OSError, AttributeError, IndexError, KeyError, MemoryError,
    OverflowError, TypeError, ValueError,
)  # fmt: skip


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise RefusedPickle(f"refused: the pickle asks for {module}.{name}")
        return _ALLOWED[module, name]


@dataclass(frozen=True)
class Objects:
    """Some object folders with the split of each, the unit of parallel work."""

    folders: tuple[Path, ...]
    splits: tuple[str, ...]
    labels: Path | None

    def __str__(self) -> str:
        return f"{self.folders[0]} … {self.folders[-1].name} ({len(self.folders)})"


def recognises(path: Path) -> bool:
    return next(Path(path).glob("*/alerts.npy"), None) is not None


@dataclass
class AppleCider:
    """One folder an object, with all alerts of it.

    Attributes
    ----------
    negative : keep negative subtractions
    cutouts : keep the cutouts
    splits : table with columns obj_id, split; by default splits.csv in the folder or beside it, if there
    labels : folder with {split}/{object_id}.npz, key `label`; by default `labels` in the folder or beside it,
        if there
    """

    negative: bool = False
    cutouts: bool = True
    splits: str | None = None
    labels: str | None = None

    def units(self, path: Path) -> list[Objects]:
        """64 object folders at a time.

        Raises
        ------
        FileNotFoundError : `splits` or `labels` was given and is not there
        ValueError : the table of splits lacks a column or has an unknown split
        """
        path = Path(path)
        table = _beside(path, "splits.csv", self.splits)
        labels = _beside(path, "labels", self.labels)
        splits = read_splits(table) if table else {}
        folders = [
            f for f in sorted(path.iterdir()) if f.is_dir() and not f.name.startswith(".") and f != labels
        ]
        parts = [folders[k : k + FOLDERS_PER_UNIT] for k in range(0, len(folders), FOLDERS_PER_UNIT)]
        return [Objects(tuple(part), tuple(splits.get(f.name, "") for f in part), labels) for part in parts]

    def read(self, unit: Objects, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each alert."""
        for folder, split in zip(unit.folders, unit.splits):
            file = folder / "alerts.npy"
            try:
                alerts = load_alerts(file)
            except FileNotFoundError:
                report.skip(folder, "no alerts.npy in this folder")
                continue
            except _DAMAGED as error:
                refused = isinstance(error, RefusedPickle)
                report.skip(
                    file, str(error) if refused else f"unreadable ({type(error).__name__}: {error})"[:300]
                )
                continue
            label = _label(unit.labels, split, folder.name, report)
            for alert in alerts:
                history = packet_history(
                    alert, report, file, negative=self.negative, cutouts=self.cutouts, object_id=folder.name
                )
                if history is not None:
                    history.label, history.split = label, split
                    yield history


def load_alerts(path: Path) -> np.ndarray:
    """The alerts in an `alerts.npy`.

    Returns
    -------
    (A,) object array of dict

    Raises
    ------
    RefusedPickle : it asks for anything but NumPy arrays and plain containers; the message names it
    ValueError : not a pickled one-dimensional array; unpickling damaged bytes raises other errors too
    """
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"unknown version {version} of the NPY format")
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(stream)
        if not dtype.hasobject:
            raise ValueError(f"an array of {dtype} instead of alerts")
        alerts = _DataOnly(stream).load()
    if not isinstance(alerts, np.ndarray) or alerts.ndim != 1 or alerts.shape != shape:
        raise ValueError("not a one-dimensional array of alerts")
    return alerts


def read_splits(path: Path) -> dict[str, str]:
    """Split of each object in a table with columns obj_id, split.

    Raises
    ------
    ValueError : a column is missing, or a split is none of train, val, test
    """
    with Path(path).open(newline="") as stream:
        table = csv.DictReader(stream)
        for column in ("obj_id", "split"):
            if column not in (table.fieldnames or ()):
                raise ValueError(f"{path}: column {column} is missing")
        splits = {row["obj_id"]: row["split"] for row in table}
    for name, split in splits.items():
        if split not in SPLITS:
            raise ValueError(f"{path}: split of {name} is {split!r}, none of {', '.join(SPLITS)}")
    return splits


def _beside(path: Path, name: str, given: str | None) -> Path | None:
    if given is not None:
        if not Path(given).exists():
            raise FileNotFoundError(f"{given}: not there")
        return Path(given)
    return next((place / name for place in (path, path.absolute().parent) if (place / name).exists()), None)


def _label(labels: Path | None, split: str, object_id: str, report: ReadReport) -> int:
    if labels is None:
        return UNKNOWN
    places = [labels / name / f"{object_id}.npz" for name in ((split,) if split else SPLITS)]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        report.count("unlabelled")
        return UNKNOWN
    try:
        with np.load(file, allow_pickle=False) as content:
            return fine_index(content["label"], file, report)
    except UNREADABLE as error:
        report.skip(file, f"unreadable ({type(error).__name__}: {str(error)[:200]})", field="label")
        return UNKNOWN
