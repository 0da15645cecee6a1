"""What was read and what was not: exact counts, and the name and reason of everything left out."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rtf.files import write_json

#: Skipped items named in a report; beyond it they are still counted.
NAMED = 10_000


class NothingReadable(Exception):
    """An input held no readable source."""


@dataclass
class ReadReport:
    """Counts of one reading, additive over parts of the input.

    Attributes
    ----------
    counts : kept and left-out items by name: `packets` (alerts opened), `detections` (usable rows before
        repeats are merged), `non_detections`, `negative` (subtractions left out), `repeats` (one detection
        arriving again), `objects`, `empty` (objects left without a detection)
    skipped : bad items by reason
    items : the first `NAMED` bad items, each {"file", "item", "field", "reason"}
    """

    counts: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)
    items: list[dict] = field(default_factory=list)

    def count(self, name: str, number: int = 1) -> None:
        if number:  # what did not occur is not in the report
            self.counts[name] += number

    def skip(self, file, reason: str, *, item: str = "", field: str = "", number: int = 1) -> None:
        """Note a bad item: which file, which packet or row in it, which field, and why it was left out."""
        self.skipped[f"{field}: {reason}" if field else reason] += number
        if len(self.items) < NAMED:
            self.items.append({"file": str(file), "item": str(item), "field": field, "reason": reason})

    def add(self, other: "ReadReport") -> None:
        self.counts.update(other.counts)
        self.skipped.update(other.skipped)
        self.items.extend(other.items[: NAMED - len(self.items)])

    def as_dict(self) -> dict:
        return {
            "counts": dict(sorted(self.counts.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "skipped_items": self.items,
        }

    @classmethod
    def from_dict(cls, values: dict) -> "ReadReport":
        return cls(Counter(values["counts"]), Counter(values["skipped"]), list(values["skipped_items"]))

    def write(self, path: Path) -> None:
        write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: Path) -> "ReadReport":
        return cls.from_dict(json.loads(Path(path).read_text()))

    def summary(self) -> str:
        """One line a person can read."""
        names = {
            "packets": "packets", "objects": "objects", "detections": "detections", "repeats": "repeats",
            "non_detections": "non-detections", "negative": "negative subtractions left out",
            "empty": "objects left without a detection",
        }  # fmt: skip
        parts = [f"{self.counts[key]:,} {name}" for key, name in names.items() if self.counts[key]]
        bad = sum(self.skipped.values())
        if bad:
            worst = ", ".join(f"{reason} ({n:,})" for reason, n in self.skipped.most_common(3))
            parts.append(f"{bad:,} skipped: {worst}")
        return "; ".join(parts) or "nothing"
