"""What was read and what was not: exact counts, and the name and reason of everything left out."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rtf.files import write_json

#: Skipped items, and reasons and types, named in a report; beyond it they are still counted.
NAMED, REASONS = 10_000, 500

_LONGEST = 300  # characters of a name or reason


class NothingReadable(Exception):
    """An input held no readable source."""


class BadItem(ValueError):
    """A file, packet or row that cannot be used: what is wrong, and with which `field` of it."""

    def __init__(self, reason: str, field: str = ""):
        super().__init__(reason)
        self.field = field


def printable(value) -> str:
    """Any value as text that is safe to print: of bounded length, control characters escaped."""
    try:
        # a list can hold another one twice, that another one twice, and so on
        text = f"({type(value).__name__})" if isinstance(value, (list, tuple, dict, set)) else str(value)
    except Exception:  # an integer of 5000 digits, for one
        text = f"({type(value).__name__})"
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class ReadReport:
    """Counts of one reading, additive over parts of the input."""

    #: `packets` (alerts opened), `detections` (usable rows before repeats are merged), `non_detections`,
    #: `negative` (subtractions left out), `repeats` (a detection again), `objects`, `empty` (no detection)
    counts: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)  # bad items by reason
    items: list[dict] = field(default_factory=list)  # the first `NAMED`: file, item, field, reason
    unknown_types: Counter = field(default_factory=Counter)  # sources whose type is no class, by type

    def count(self, name: str, number: int = 1) -> None:
        if number:  # what did not occur is not in the report
            self.counts[name] += number

    def skip(self, file, reason: str, *, item="", field: str = "", number: int = 1) -> None:
        """Note a bad item: which file, which packet or row in it, which field, and why it was left out."""
        file, item, field, reason = (printable(x) for x in (file, item, field, reason))
        _add(self.skipped, f"{field}: {reason}" if field else reason, number)
        if len(self.items) < NAMED:
            self.items.append({"file": file, "item": item, "field": field, "reason": reason})

    def skip_rows(self, file, faults, code, name) -> None:
        """Note the rows whose `code` is not 0: `faults[code]` is (field, reason), `name(k)` names row k."""
        rows = code.nonzero()[0]
        for k in rows[:NAMED].tolist():
            self.skip(file, faults[code[k]][1], item=name(k), field=faults[code[k]][0])
        for c, number in Counter(code[rows[NAMED:]].tolist()).items():
            _add(self.skipped, ": ".join(faults[c]), number)

    def fail(self, error: Exception, file, *, item="", field: str = "") -> None:
        """Note an item that an exception made unreadable: the one way from an exception to a skip."""
        reason = str(error) if isinstance(error, BadItem) else f"unreadable ({type(error).__name__}: {error})"
        self.skip(file, reason, item=item, field=getattr(error, "field", "") or field)

    def unknown_type(self, name, number: int = 1) -> None:
        """Note sources whose type names no class."""
        _add(self.unknown_types, printable(name), number)

    def add(self, other: "ReadReport") -> None:
        self.counts.update(other.counts)
        for mine, theirs in ((self.skipped, other.skipped), (self.unknown_types, other.unknown_types)):
            for name, number in theirs.items():
                _add(mine, name, number)
        self.items.extend(other.items[: NAMED - len(self.items)])

    def as_dict(self) -> dict:
        return {
            "counts": dict(sorted(self.counts.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "skipped_items": self.items,
            "unknown_types": dict(sorted(self.unknown_types.items())),
        }

    @classmethod
    def from_dict(cls, values: dict) -> "ReadReport":
        counts, skipped, types = (Counter(values.get(x, {})) for x in ("counts", "skipped", "unknown_types"))
        return cls(counts, skipped, list(values["skipped_items"]), types)

    def write(self, path: Path) -> None:
        write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: Path) -> "ReadReport":
        return cls.from_dict(json.loads(Path(path).read_text()))

    def first_items(self, number: int = 3) -> list[str]:
        """Lines that name the first bad items."""
        places = [" ".join(filter(None, map(x.get, ("file", "item", "field")))) for x in self.items[:number]]
        return [f"  {place}: {x['reason']}" for place, x in zip(places, self.items)]

    def summary(self) -> str:
        """One line a person can read."""
        names = {
            "packets": "packets", "alerts": "alerts", "objects": "objects",
            "detections": "detections", "repeats": "repeats", "non_detections": "non-detections",
            "negative": "negative subtractions left out", "forced": "of them forced photometry",
            "solar_system": "alerts of the Solar System left out",
            "empty": "objects left without a detection",
        }  # fmt: skip
        parts = [f"{self.counts[key]:,} {name}" for key, name in names.items() if self.counts[key]]
        bad = sum(self.skipped.values())
        if bad:
            parts.append(f"{bad:,} skipped: {_most(self.skipped, 3)}")
        untyped = sum(self.unknown_types.values())
        if untyped:
            verb = "source has" if untyped == 1 else "sources have"
            parts.append(f"{untyped:,} {verb} a type that is no class: {_most(self.unknown_types, 5)}")
        return "; ".join(parts) or "nothing"


def _most(counter: Counter, number: int) -> str:
    listed = ", ".join(f"{name} ({n:,})" for name, n in counter.most_common(number))
    return listed if len(counter) <= number else f"{listed}, …"


def _add(counter: Counter, name: str, number: int) -> None:
    """Count by name, but by no more than `REASONS` names."""
    counter[name if name in counter or len(counter) < REASONS else "others"] += number
