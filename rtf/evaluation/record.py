"""Records: what every task returns, and what every table, figure, W&B value and report is made from.

Records of one task on one store stand in one file, RUN/evaluations/TASK@STORE.json.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtf.documents import Table, write_text
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate

#: Methods that need no model.
MAJORITY = "majority class"
CONSTANTS = "training constants"
CHANCE = "chance"


@dataclass(frozen=True)
class Record:
    """One score."""

    score: str  # its name, see `SCORES`
    value: float
    low: float = math.nan  # ends of its 95 % interval; NaN where there is none
    high: float = math.nan
    n: int | None = None  # test sources it was measured on
    level: str = ""  # which question of the task: coarse or fine classes, forecast or interpolation
    method: str = "model"  # who answered: the model, a probe, a trivial baseline
    group: str = "all"  # of which sources or detections: all, a class, a band
    shown: int | None = None  # number of detections the model was shown of each source; None: all
    task: str = ""
    seed: int | None = None  # of the bootstrap
    store: str = ""  # its digest
    run: str = ""  # its id


def record(score: str, estimate: Estimate | float, **keys) -> Record:
    """A record of an estimate, or of a plain number without an interval."""
    if isinstance(estimate, Estimate):
        return Record(score, estimate.value, estimate.low, estimate.high, **keys)
    return Record(score, float(estimate), **keys)


class ScoreKind(NamedTuple):
    """How a score is written: heading, digits after the point, and what it can be."""

    heading: str
    digits: int = 3
    limits: tuple[float, float] = (-math.inf, math.inf)


_SHARE, _POSITIVE = (0.0, 1.0), (0.0, math.inf)
#: Scores that need more than their name; any other is written by its name, with three digits.
SCORES: dict[str, ScoreKind] = {
    **{
        name: ScoreKind(name, 3, _SHARE)
        for name in (
            "accuracy", "balanced accuracy", "macro F1", "ROC-AUC", "recall", "precision", "purity", "ECE",
            "kept", "coverage",
            "same class", "recall at 1", "recall at 10", "within 68 %", "within 95 %",
        )
    },
    "mag": ScoreKind("median |Δmag| [mag]", 3, _POSITIVE),
    "dt": ScoreKind("median |Δt| [day]", 2, _POSITIVE),
    "band": ScoreKind("band accuracy", 3, _SHARE),
    "noise floor": ScoreKind("noise floor [mag]", 3, _POSITIVE),
    "pull": ScoreKind("standard deviation of pulls", 2, _POSITIVE),
    "NLL": ScoreKind("NLL [nat]", 3, _POSITIVE),
    "median rank": ScoreKind("median rank", 0, _POSITIVE),
    **{name: ScoreKind(name, 0, _POSITIVE) for name in ("detections", "have as many")},
}  # fmt: skip


def detection_records(
    statistics: Mapping[tuple[str, str], Callable], sources: np.ndarray, n_sources: int, n_detections: int,
    resamples: Mapping, **keys,
) -> list[Record]:  # fmt: skip
    """Records of statistics over the detections of some of N sources, by (score, method)."""

    def all_cells(counts):
        # every group is cut from the same resamples of all N
        return np.column_stack([statistic(counts[:, sources]) for statistic in statistics.values()])

    found = bootstrap(all_cells, n_sources, width=n_detections // 4, **resamples)
    keys["n"] = len(sources)
    records = [record("detections", n_detections, **keys)]
    return records + [record(s, e, method=m, **keys) for (s, m), e in zip(statistics, found)]


def kind_of(score: str) -> ScoreKind:
    """How to write a score, whatever its name."""
    return SCORES.get(score, ScoreKind(score))


def select(records: Iterable[Record], **keys) -> list[Record]:
    """The records whose attributes are these."""
    return [r for r in records if all(getattr(r, k) == v for k, v in keys.items())]


def pick(records: Iterable[Record], **keys) -> Record | None:
    """The one record whose attributes are these, or None; ValueError if there are several."""
    found = select(records, **keys)
    if len(found) > 1:
        raise ValueError(f"{len(found)} records of {keys}")
    return found[0] if found else None


def distinct(records: Iterable[Record]) -> list[Record]:
    """Records without repeats: trivial baselines are scored with every method."""
    return list({(r.level, r.method, r.group, r.shown, r.score): r for r in records}.values())


def shown_text(record: Record) -> str:
    """The number of detections shown, as text."""
    if record.method == MAJORITY:
        return "any"
    return "all" if record.shown is None else str(record.shown)


def record_table(
    title: str,
    records: Sequence[Record],
    rows: Mapping[str, str | Callable[[Record], str]],
    columns: Mapping[str, Mapping[str, object]] | Sequence[str],
    notes: Sequence[str] = (),
    n: str = "test sources",
) -> Table:
    """Records as a table; a dash where there is none.

    Parameters
    ----------
    rows : heading -> attribute of a record, or a function of it; a row for each combination
    columns : heading -> the attributes that records of the column have; or names of scores
    """
    if not isinstance(columns, Mapping):
        columns = {kind_of(score).heading: {"score": score} for score in columns}

    def name(r: Record) -> tuple[str, ...]:
        return tuple(str(getattr(r, k)) if isinstance(k, str) else k(r) for k in rows.values())

    cells: dict[tuple, dict] = {name(r): {} for r in records}
    for heading, keys in columns.items():
        for r in select(records, **keys):
            cells[name(r)][heading] = r
    columns = [heading for heading in columns if any(heading in found for found in cells.values())]
    lines = []
    for key, found in cells.items():
        texts = {heading: format_estimate(r, kind_of(r.score).digits) for heading, r in found.items()}
        number = next((f"{r.n:,}" for r in found.values() if r.n is not None), "")
        if found:
            lines.append((*key, *(texts.get(heading, "–") for heading in columns), number))
    return Table(title, (*rows, *columns, n), lines, notes)


@dataclass(frozen=True)
class Evaluation:
    """What a task measured of a run on a store, and what it was computed from: one file."""

    task: str
    settings: dict  # all that was set, seed and resamples among it
    store: dict  # digest, path, name and the number of sources in each split
    test: dict  # number and digest of the test sources that were scored, those left out not counted
    run: str  # its id
    weights: str  # their digest
    code: str  # version of this package
    own: bool  # whether the store is the one that the run was trained on
    notes: list[str] = field(default_factory=list)  # what was left out, and how numbers were made
    records: list[Record] = field(default_factory=list)
    arrays: dict = field(default_factory=dict)  # values of each source, to compare runs source by source

    def __post_init__(self):
        same = {"task": self.task, "seed": self.settings.get("seed"), "run": self.run}
        same["store"] = self.store["digest"]
        self.records[:] = [replace(r, **same) for r in self.records]


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write the file, one line a record and one an array, whole or not at all."""
    text = {k: _json(v) for k, v in vars(evaluation).items() if k != "records"}
    records = []
    for r in evaluation.records:
        usual = vars(Record("", math.nan, task=r.task, seed=r.seed, store=r.store, run=r.run))
        records.append(_json({k: v for k, v in vars(r).items() if k == "value" or v != usual[k]}))
    arrays = [f"{_json(k)}: {_json(v)}" for k, v in evaluation.arrays.items()]
    text["records"] = "[\n    " + ",\n    ".join(records) + "\n  ]"
    text["arrays"] = "{\n    " + ",\n    ".join(arrays) + "\n  }"
    write_text(path, "{\n" + ",\n".join(f'  "{k}": {v}' for k, v in text.items()) + "\n}\n")


def read_evaluation(content: dict) -> Evaluation:
    """The evaluation in a file that was read as JSON; ValueError if it is none."""
    try:
        own = [Record(**{k: math.nan if v is None else v for k, v in r.items()}) for r in content["records"]]
        return Evaluation(**{**content, "records": own})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the records of an evaluation: {error}") from None


def _json(value) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value):
    """Mappings, sequences, arrays and paths as what JSON knows; NaN as None, infinity as an error."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("an infinite number is no result")
        return None if math.isnan(value) else value
    return str(value) if isinstance(value, Path) else value


_DIGITS = np.array(list("0123456789abcdefghijklmnopqrstuvwxyz"))


def to_digits(classes: np.ndarray) -> str:
    """Classes (N,) from 0 to 35 as a text of N characters."""
    return "".join(_DIGITS[classes])


def from_digits(text: str) -> np.ndarray:
    """What `to_digits` was given, (N,) int64."""
    return np.searchsorted(_DIGITS, np.array(list(text), dtype=_DIGITS.dtype))
