"""Which sources train, validate and test: stratified by class, and the tables that say it instead."""

import csv
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np

from rtf.classes import FINE, UNKNOWN, fine_label
from rtf.store.parts import SPLITS

NO_SPLIT = -1
DEFAULT_FRACTIONS = (0.7, 0.15, 0.15)


def stratified(object_id: list[str], label: np.ndarray, seed: int, fractions=DEFAULT_FRACTIONS) -> np.ndarray:
    """Draw a split for every source, class by class; unlabelled sources are a class of their own.

    Within a class the sources are ranked by a hash of seed and name and dealt out systematically from a
    random start, so that a class of n sources has less than one source more or less than n * fraction in
    each split, and no split is favoured over the classes too small to divide. The result does not depend
    on the order of the sources.

    Parameters
    ----------
    object_id : N names, all different
    label : (N,) fine class, -1 unknown
    seed : any integer
    fractions : of train, val and test; they sum to 1

    Returns
    -------
    (N,) int8: 0 train, 1 val, 2 test

    Raises
    ------
    ValueError : fractions are not three numbers from 0 to 1 that sum to 1
    """
    edges = np.cumsum(check_fractions(fractions))
    last = int(np.flatnonzero(fractions)[-1])
    result = np.empty(len(object_id), np.int8)
    key = np.array([_hash(seed, name) for name in object_id], np.uint64)
    for stratum in np.unique(label):
        member = np.flatnonzero(np.asarray(label) == stratum)
        member = member[np.argsort(key[member], kind="stable")]
        start = _hash(seed, f"stratum {stratum}") / 2**64
        place = (np.arange(len(member)) + start) / len(member)
        # Rounding may leave the last edge a little below 1.
        result[member] = np.minimum(np.searchsorted(edges, place, side="right"), last)
    return result


def check_fractions(fractions) -> np.ndarray:
    """(3,) the fractions as numbers, or ValueError."""
    values = np.asarray(fractions, float)
    if values.shape != (len(SPLITS),) or not (values >= 0).all() or not np.isclose(values.sum(), 1):
        raise ValueError(f"split fractions must be three numbers >= 0 that sum to 1, not {fractions}")
    return values


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")


def read_labels(path: Path, unknown: dict[str, str] | None = None) -> dict[str, int]:
    """Fine class by object, of a CSV with `object_id` or `obj_id`, and `type` (name) or `label` (-1 to 9).

    Parameters
    ----------
    unknown : gains the type of each object whose type is no class
    """

    def number(text: str) -> int:
        value = int(text)
        if not UNKNOWN <= value < len(FINE):
            raise ValueError(f"label {value} is not from -1 to {len(FINE) - 1}")
        return value

    labels, texts = _read_table(path, {"type": fine_label, "label": number})
    if unknown is not None:
        unknown |= {name: text for name, text in texts.items() if text and labels[name] == UNKNOWN}
    return labels


def read_splits(path: Path) -> dict[str, int]:
    """Split index by object, of a CSV with `object_id` (or `obj_id`) and `split` (train, val or test)."""

    def number(text: str) -> int:
        if text not in SPLITS:
            raise ValueError(f"split {text!r} is none of {', '.join(SPLITS)}")
        return SPLITS.index(text)

    return _read_table(path, {"split": number})[0]


def _read_table(
    path: Path, parsers: dict[str, Callable[[str], int]]
) -> tuple[dict[str, int], dict[str, str]]:
    """What each object's entry in the first column of `parsers` that is there means, and how it reads."""
    table, texts, line = {}, {}, ""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            header = rows.fieldnames or []
            name = next((n for n in ("object_id", "obj_id") if n in header), None)
            column = next((c for c in parsers if c in header), None)
            if name is None or column is None:
                raise ValueError(
                    f"needs a column object_id or obj_id, and {' or '.join(parsers)}; has {header}"
                )
            for row in rows:
                line = f", line {rows.line_num}"
                object_id, text = ((row[c] or "").strip() for c in (name, column))
                value = parsers[column](text)
                if table.setdefault(object_id, value) != value:
                    raise ValueError(f"{object_id} has two different entries")
                texts[object_id] = text
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}{line}: {error}") from error
    return table, texts
