"""AppleCiDEr's raw alerts: `DIR/{object_id}/alerts.npy`, each a pickled array of ZTF alerts.

Notable:
- a pickle can run any code when it is loaded. This unpickler knows NumPy arrays and plain containers and
  refuses everything else by name; nothing is imported on a file's word
- a pickle can also crash or fill the process by itself. Its instructions are looked at before any is obeyed,
  and functions of this module that check what they are told make NumPy's types
- splits come from a table, labels from files of their own
"""

import io
import math
import os
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.alerts.folders import Unit, units
from rtf.alerts.history import SPLITS, SourceHistory
from rtf.alerts.limits import PACKET, guarded
from rtf.alerts.readers.photometry_events import fine_index, read_npy_header, read_npz
from rtf.alerts.report import BadItem, ReadReport
from rtf.alerts.tables import read_splits
from rtf.alerts.ztf import packet_histories
from rtf.classes import UNKNOWN

FOLDERS_PER_UNIT = 64

_FILE = 4 * PACKET  # bytes of an alerts.npy: 4000 alerts
_INSTRUCTIONS = PACKET // 2  # bytes of it that are not text or stamps; each may become 16 bytes in memory
_CONTAINERS = 1 << 20  # lists and dicts in it; an alert has 40
_TUPLES = 24  # in it, but for those that only carry arguments: nested, they take ages to compare

# Instructions of a pickle that need no second look: numbers, short text, references to earlier values (by a
# number below 2^24), and putting them together. A tuple holds one or two numbers, or arguments.
_INTEGER = r"(?:K.|M..|J.{4})"
_TEXT = "|".join(rf"\x{n:02x}.{{{n}}}" for n in range(1, 33))
_HARMLESS = re.compile(
    rf"(?s:h.|G.{{8}}|N\x85?|[\x94(aesuRb\x88\x89\x90\x91\x93]|{_INTEGER}(?:\x85|{_INTEGER}\x86)?"
    rf"|\x8c(?:{_TEXT})|\x8a\x08.{{8}}|[t\x85-\x87](?:\x94|q.|r...\x00)?[Rb]|q.|[jr]...\x00){{0,4000}}".encode(
        "latin-1"
    )
)
#: Bytes of the length that precedes text, bytes and long integers.
_LENGTH = dict(zip(b"UTXB\x8c\x8d\x8e\x8aC\x8b\x96", (1, 4, 4, 4, 1, 8, 8, 1, 1, 4, 8)))


class RefusedPickle(BadItem):
    """A pickle that asks for something that is neither a NumPy array nor a plain container."""


def _check(content: bytes, place: int) -> None:
    """Look at every instruction of the pickle at `place`, without obeying any.

    Raises
    ------
    RefusedPickle : an instruction that plain data do not need, or more of them than data need
    BadItem : the pickle is cut short
    """
    instructions = containers = tuples = 0
    while True:
        end = _HARMLESS.match(content, place).end()
        instructions += end - place
        code = content[end : end + 1]
        place = end + 1
        if code == b".":
            return
        if code in (b"\x80", b"\x95"):  # version, frame
            place += 1 if code == b"\x80" else 8
        elif code == b"c":
            place = content.find(b"\n", content.find(b"\n", place) + 1) + 1 or len(content)
        elif code and code[0] in _LENGTH:
            width = _LENGTH[code[0]]
            place += width + int.from_bytes(content[place : place + width], "little")
        elif code in (b"]", b"}", b")", b"\x8f"):
            containers += 1
        elif code in (b"t", b"\x85", b"\x86", b"\x87"):
            tuples += 1
        elif code:
            raise RefusedPickle(f"refused: the pickle has an instruction {code!r} that data do not need")
        if place > len(content) or not code:
            raise BadItem("the pickle is cut short")
        if instructions > _INSTRUCTIONS or containers > _CONTAINERS or tuples > _TUPLES:
            raise RefusedPickle("refused: the pickle holds more values or tuples than alerts do")


class _Type:
    """A `numpy.dtype` of numbers, text or objects: what a pickle says of it, checked."""

    def __init__(self, text, *_):
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        if not isinstance(text, str) or not re.fullmatch(r"[biufcSUO]\d{0,5}", text):
            raise RefusedPickle(f"refused: the pickle asks for an array of {text!r}"[:200])
        self.dtype = np.dtype(text)

    def __setstate__(self, state):
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", b"<", b">"):
            order = state[1] if isinstance(state[1], str) else state[1].decode()
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose contents are checked before NumPy takes them: a wrong state can crash the process."""

    def __setstate__(self, state):
        shape, kind, fortran, data = state[-4:]
        if not all(type(n) is int and n >= 0 for n in shape) or not isinstance(kind, _Type):
            raise RefusedPickle("refused: the pickle holds an array without shape or type")
        items = isinstance(data, list) if kind.dtype.hasobject else isinstance(data, bytes)
        if not items or len(data) != math.prod(shape) * (1 if type(data) is list else kind.dtype.itemsize):
            raise RefusedPickle("refused: the pickle holds an array that does not fit its shape")
        super().__setstate__((1, tuple(shape), kind.dtype, bool(fortran), data))


def _reconstruct(*_) -> _Array:
    return np.ndarray.__new__(_Array, (0,), "u1")


def _scalar(kind: _Type, data: bytes | str):
    data = data.encode("latin-1") if isinstance(data, str) else data
    (value,) = np.frombuffer(data, kind.dtype)
    return value


def _frombuffer(data: bytes, kind: _Type, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 and older hold bytes; `_codecs.encode` itself would run any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedPickle(f"refused: the pickle asks for _codecs.encode with {encoding!r}")
    return text.encode("latin-1")


def _plain_items(items) -> list:
    """Members of a set or pairs of a dict, of which a dict needs no more than the values a set may have."""
    if not isinstance(items, (list, set)) or any(isinstance(x, (tuple, frozenset)) for x in items):
        raise RefusedPickle("refused: the pickle holds a set of containers")
    return items


# The names a pickle may use, each with what it means here: NumPy 1 and 2 keep theirs in different places.
_ALLOWED = {
    ("numpy", "ndarray"): _reconstruct,
    ("numpy", "dtype"): _Type,
    ("collections", "OrderedDict"): lambda pairs=(): {str(key): value for key, value in pairs},
    ("_codecs", "encode"): _encode,
    ("builtins", "set"): lambda items=(): set(_plain_items(items)) if items else set(),
    ("builtins", "frozenset"): lambda items=(): frozenset(_plain_items(items)) if items else frozenset(),
    ("builtins", "bytearray"): lambda data=b"": bytearray(memoryview(data)),
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        module = "builtins" if module == "__builtin__" else module
        if (module, name) not in _ALLOWED:
            raise RefusedPickle(f"refused: the pickle asks for {module}.{name}"[:200])
        meaning = _ALLOWED[module, name]
        # a function of its own for each pickle, which may write into what it is given
        return lambda *arguments: meaning(*arguments)


@dataclass(frozen=True)
class Folder:
    """The folder of one object, the split it is in and where labels are."""

    path: Path
    split: str
    labels: Path | None

    def __str__(self) -> str:
        return str(self.path)


def recognises(path: Path) -> bool:
    return next(Path(path).glob("*/alerts.npy"), None) is not None


@dataclass
class AppleCider:
    """One folder an object, with all alerts of it.

    `splits` and `labels` default to splits.csv and labels/ in the folder or beside it, if there.
    """

    negative: bool = False  # keep negative subtractions
    cutouts: bool = True  # keep the cutouts
    splits: str | None = None  # table with columns obj_id, split
    labels: str | None = None  # folder with {split}/{object_id}.npz, key `label`

    def units(self, path: Path) -> list[Unit]:
        """64 object folders at a time.

        Raises
        ------
        FileNotFoundError : `splits` or `labels` was given and is not there
        ValueError : the table of splits lacks a column or has an unknown split
        """
        path = Path(path)
        table = _beside(path, "splits.csv", self.splits)
        labels = _beside(path, "labels", self.labels)
        splits = {name: SPLITS[k] for name, k in read_splits(table).items()} if table else {}
        folders = [
            Folder(folder, splits.get(folder.name, ""), labels)
            for folder in sorted(path.iterdir())
            if folder.is_dir() and not folder.name.startswith(".") and folder != labels
        ]
        return units(folders, FOLDERS_PER_UNIT)

    def read(self, unit: Unit, report: ReadReport) -> Iterator[SourceHistory]:
        """One history for each alert."""
        for item in unit.items:
            file = item.path / "alerts.npy"
            if os.path.lexists(file):
                yield from guarded(self._alerts(item, file, report), report, file)
            else:
                report.skip(item.path, "no alerts.npy in this folder")

    def _alerts(self, item: Folder, file: Path, report: ReadReport) -> Iterator[SourceHistory]:
        name = item.path.name
        alerts = load_alerts(file)
        label = _label(item.labels, item.split, name, report)
        settings = {"negative": self.negative, "cutouts": self.cutouts, "object_id": name}
        for history in packet_histories(alerts, report, file, **settings):
            history.label, history.split = label, item.split
            yield history


def load_alerts(path: Path) -> np.ndarray:
    """The alerts in an `alerts.npy`, (A,) object array of dict.

    Raises
    ------
    RefusedPickle : it asks for anything but NumPy arrays and plain containers; the message names it
    BadItem : not a pickled one-dimensional array; unpickling damaged bytes raises other errors too
    """
    if path.stat().st_size > _FILE:
        raise BadItem(f"larger than {_FILE:,} bytes")
    content = path.read_bytes()
    stream = io.BytesIO(content)
    shape, _, dtype = read_npy_header(stream)
    if not dtype.hasobject:
        raise BadItem(f"an array of {dtype} instead of alerts")
    _check(content, stream.tell())
    alerts = _DataOnly(stream).load()
    if not isinstance(alerts, np.ndarray) or alerts.ndim != 1 or alerts.shape != shape:
        raise BadItem("not a one-dimensional array of alerts")
    return alerts


def _beside(path: Path, name: str, given: str | None) -> Path | None:
    if given is not None:
        if not Path(given).exists():
            raise FileNotFoundError(f"{given}: not there")
        return Path(given)
    return next((place / name for place in (path, path.absolute().parent) if (place / name).exists()), None)


def _label(labels: Path | None, split: str, object_id: str, report: ReadReport) -> int:
    if labels is None:
        return UNKNOWN
    places = (labels / name / f"{object_id}.npz" for name in ((split,) if split else SPLITS))
    file = next((place for place in places if place.exists()), None)
    if file is None:
        report.count("unlabelled")
        return UNKNOWN
    try:
        return fine_index(read_npz(file, ("label",))["label"], file, report)
    except Exception as error:
        report.fail(error, file, field="label")
        return UNKNOWN
