"""Tables that say what alerts do not: the class of objects, and their split."""

import csv
from collections.abc import Callable
from pathlib import Path

from rtf.alerts.history import SPLITS
from rtf.classes import FINE, UNKNOWN, fine_label


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
                needed = f"object_id or obj_id, and {' or '.join(parsers)}"
                raise ValueError(f"needs a column {needed}; has {header}")
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
