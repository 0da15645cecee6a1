"""The newest row of each object of an archive, as columns that grow: what the map shows."""

from hashlib import blake2b

import numpy as np
import pyarrow as pa

from rtf.archive.where import separation
from rtf.classes import FINE, UNKNOWN

#: Columns that are read of every row.
COLUMNS = [
    "survey", "object_id", "candid", "mjd", "ra", "dec", "n_detections", "most_probable", "strangeness",
]  # fmt: skip
_TYPES = {
    "survey": np.int16, "candid": np.int64, "mjd": np.float64, "ra": np.float64, "dec": np.float64,
    "n_detections": np.int32, "label": np.int8, "strangeness": np.float32, "row": np.int64, "x": np.float32,
    "y": np.float32,
}  # fmt: skip
#: What the map is sent of each point, in this order; `mjd` counts from the first one.
SENT = {"x": "<f4", "y": "<f4", "mjd": "<f4", "strangeness": "<f4", "n_detections": "<u2", "label": "i1"}


class Points:
    """N objects; a column is an array (N,), `points.column("mjd")`. One thread changes it, any may read."""

    def __init__(self) -> None:
        self.n = 0
        self.names: list[str] = []
        self.surveys: list[str] = []
        self._index: dict[tuple[int, str], int] = {}
        self._columns = {name: np.empty(1024, kind) for name, kind in _TYPES.items()}

    def column(self, name: str) -> np.ndarray:
        return self._columns[name][: self.n]

    def index(self, survey: str, name: str) -> int | None:
        """Number of an object, None where there is none."""
        if survey not in self.surveys:
            return None
        return self._index.get((self.surveys.index(survey), name))

    def update(self, rows: pa.Table) -> np.ndarray:
        """Take rows of an archive (`COLUMNS` and `_rowid`); the numbers of objects that are new or newer.

        Their places are unknown (NaN) until they are set.
        """
        number = self._numbers(rows)
        new = {name: rows[name].to_numpy() for name in ("mjd", "n_detections", "ra", "dec", "strangeness")}
        new["candid"] = rows["candid"].fill_null(-1).to_numpy()
        new["row"] = rows["_rowid"].to_numpy().astype(np.int64)
        new["label"] = labels(rows["most_probable"])
        new["survey"] = np.array([self.surveys.index(s) for s in rows["survey"].to_pylist()], np.int16)
        order = np.lexsort((new["candid"], new["n_detections"], new["mjd"]))
        keys = ("mjd", "n_detections", "candid")
        later, same = np.zeros(len(number), bool), np.ones(len(number), bool)
        for key in keys:
            known = self._columns[key][number]
            later |= same & ~(new[key] <= known)  # what was not there yet is NaN or smallest
            same &= new[key] == known
        moved = number[same]  # the same rows under new numbers
        self._columns["row"][moved] = new["row"][same]
        order = order[later[order]]
        chosen = number[order]  # of several rows of an object the latest stays
        for name, values in new.items():
            known = (
                np.isfinite(values[order]) if name in ("ra", "dec") else slice(None)
            )  # a place stays known
            self._columns[name][chosen[known]] = values[order][known]
        changed = np.unique(chosen)
        for name in ("x", "y"):
            self._columns[name][changed] = np.nan
        return changed

    def _numbers(self, rows: pa.Table) -> np.ndarray:
        """The number of each row's object, a new one where it was not there."""
        found, n = np.empty(len(rows), np.int64), self.n
        for survey in set(rows["survey"].unique().to_pylist()) - set(self.surveys):
            self.surveys.append(survey)
        code = {survey: k for k, survey in enumerate(self.surveys)}
        pairs = zip(rows["survey"].to_pylist(), rows["object_id"].to_pylist(), strict=True)
        for k, (survey, name) in enumerate(pairs):
            key = (code[survey], name)
            number = self._index.get(key)
            if number is None:
                number = self._index[key] = n
                self.names.append(name)
                n += 1
            found[k] = number
        self._grow(n)
        return found

    def _grow(self, n: int) -> None:
        for name, column in self._columns.items():
            if n > len(column):
                longer = np.empty(max(n, 2 * len(column)), column.dtype)
                longer[: self.n] = column[: self.n]
                self._columns[name] = column = longer
            column[self.n : n] = np.nan if column.dtype.kind == "f" else np.iinfo(column.dtype).min
        self.n = n

    def put(self, numbers: np.ndarray, places: np.ndarray) -> None:
        """Set the places (M, 2) of objects."""
        self._columns["x"][numbers], self._columns["y"][numbers] = np.float32(places).T

    def keys(self, numbers: np.ndarray) -> np.ndarray:
        """(M,) uint64 that tell rows apart: survey and candid, or name and time where there is no candid."""
        survey, candid, mjd = (self._columns[name][numbers].tolist() for name in ("survey", "candid", "mjd"))
        found = np.empty(len(numbers), np.uint64)
        for k, (number, s, c, t) in enumerate(zip(numbers.tolist(), survey, candid, mjd, strict=True)):
            own = (
                f"{self.surveys[s]}\0{c}" if c != -1 else f"{self.surveys[s]}\0\0{self.names[number]}\0{t!r}"
            )
            found[k] = int.from_bytes(blake2b(own.encode(), digest_size=8).digest(), "little")
        return found

    def packed(self) -> bytes:
        """What the map is sent: n and 0 as uint32, the first mjd as float64, and the columns `SENT`."""
        n, mjd = self.n, self.column("mjd")
        start = float(np.floor(mjd.min())) if n else 0.0
        parts = [np.array([n, 0], "<u4").tobytes(), np.array([start], "<f8").tobytes()]
        for name, kind in SENT.items():
            values = self._columns[name][:n] - (start if name == "mjd" else 0)
            if kind == "<u2":
                values = np.clip(values, 0, 65535)
            parts.append(values.astype(kind).tobytes())
        return b"".join(parts)

    def described(self, numbers) -> list[dict]:
        """Plain values of objects, for JSON; null where unknown."""
        found = []
        for k in np.asarray(numbers, np.int64).tolist():
            one = {name: plain(self._columns[name][k]) for name in _TYPES if name not in ("row", "candid")}
            one |= {"number": k, "object_id": self.names[k], "survey": self.surveys[one["survey"]]}
            one["class"] = FINE[one["label"]] if one["label"] != UNKNOWN else None
            found.append(one)
        return found

    def named(self, text: str, most: int) -> list[int]:
        """Objects whose names begin with a text, then those that contain it; in any case."""
        text, n, first, then = text.casefold(), self.n, [], []
        for number in range(n):
            name = self.names[number].casefold()
            if name.startswith(text):
                first.append(number)
                if len(first) >= most:
                    break
            elif len(then) < most and text in name:
                then.append(number)
        return [*first, *then][:most]

    def around(self, ra: float, dec: float, radius: float, most: int) -> list[tuple[int, float]]:
        """Objects within a radius [arcsec] of a position [degree] and their separations, nearest first."""
        apart = separation(self.column("ra"), self.column("dec"), ra, dec)
        inside = np.flatnonzero(apart <= radius)
        inside = inside[np.argsort(apart[inside])][:most]
        return [(int(k), float(apart[k])) for k in inside]


def labels(names: pa.ChunkedArray) -> np.ndarray:
    """(N,) int8 fine class index of each name; -1 for none."""
    dictionary = names.combine_chunks().dictionary_encode()
    known = {name: k for k, name in enumerate(FINE)}
    code = np.array([known.get(n, UNKNOWN) for n in dictionary.dictionary.to_pylist()] + [UNKNOWN], np.int8)
    return code[dictionary.indices.fill_null(len(code) - 1).to_numpy()]


def plain(value):
    """A Python number, None where it is not finite."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def listed_column(column: pa.ChunkedArray, digits: int) -> list:
    """A column as rounded plain numbers, None where null or not finite."""
    values = np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]
