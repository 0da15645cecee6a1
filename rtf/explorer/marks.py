"""Marks of a person: interesting or boring, in a CSV file of their own; and what a list is worth by them."""

import csv
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rtf.files import whole

INTERESTING, BORING = "interesting", "boring"
FIELDS = ("survey", "object_id", "mark", "time")
#: Marks that a file may hold; more than anybody sets by hand.
MOST = 100_000
#: Inverse strength of the probe's regularisation; picked on validation sources (experiments/marks.py).
_PRIOR = 0.03
#: Unmarked sources that stand for boring ones, all together for one mark.
_DRAWN = 50


class Marks:
    """The marks in a file, which is made by the first mark; None keeps them in memory alone."""

    def __init__(self, path: str | os.PathLike | None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self.of = {} if self.path is None else read_marks(self.path, missing=True)

    def set(self, survey: str, object_id: str, mark: str | None) -> None:
        """Mark an object, or take its mark away (None); the file is written whole.

        Raises
        ------
        ValueError : no such mark, or too many of them
        """
        if mark not in (INTERESTING, BORING, None):
            raise ValueError(f"a mark is {INTERESTING} or {BORING}")
        with self._lock:
            marks = dict(self.of)
            marks.pop((survey, object_id), None)
            if mark is not None:
                if len(marks) >= MOST:
                    raise ValueError(f"there are {MOST:,} marks already")
                marks[survey, object_id] = (mark, datetime.now(UTC).isoformat(timespec="seconds"))
            if self.path is not None:
                with whole(self.path) as temporary, temporary.open("w", newline="") as file:
                    csv.writer(file).writerows(table_of(marks))
            self.of = marks


def table_of(marks: dict) -> list[tuple]:
    """Rows of a CSV file, its header first."""
    return [FIELDS, *((*key, *value) for key, value in marks.items())]


def read_marks(path: str | os.PathLike, missing: bool = False) -> dict[tuple[str, str], tuple[str, str]]:
    """(mark, time) by survey and object. `missing`: a file that is not there has none.

    Raises
    ------
    ValueError : the file is none of marks
    """
    path = Path(path)
    if missing and not path.exists():
        return {}
    found = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"survey", "object_id", "mark"} <= set(rows.fieldnames or ()):
                raise ValueError(f"columns survey, object_id and mark are needed; has {rows.fieldnames}")
            for row in rows:
                if row["mark"] not in (INTERESTING, BORING):
                    raise ValueError(
                        f"line {rows.line_num}: mark {row['mark']!r} is neither interesting nor boring"
                    )
                found[row["survey"], row["object_id"]] = (row["mark"], row.get("time") or "")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is no file of marks: {error}") from error
    return found


def interest(
    latent: np.ndarray, marked: np.ndarray, interesting: np.ndarray, strangeness: np.ndarray, seed: int = 0
) -> np.ndarray:
    """(N,) how much a person would like to see each of N sources, from their marks; higher is more.

    A linear probe on the fingerprints and on strangeness, fitted to the marks. Without a boring mark a few
    sources drawn at random stand for boring, for most are. Without an interesting one strangeness decides.

    Parameters
    ----------
    latent : (N, F) fingerprints of the list and of what was marked
    marked : (M,) rows of `latent` with a mark
    interesting : (M,) bool, the marks
    strangeness : (N,), NaN where unknown
    """
    from sklearn.linear_model import LogisticRegression

    strange = np.nan_to_num(np.asarray(strangeness, float), nan=0.5)
    marked, interesting = np.asarray(marked, np.int64), np.asarray(interesting, bool)
    if not interesting.any():
        return sunk(strange.copy(), marked[~interesting])
    columns = np.column_stack([latent, 2 * strange]).astype(float)
    columns = (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-9)
    weight = np.where(interesting, 0.5 / interesting.sum(), 0.5 / max(1, (~interesting).sum()))
    x, y, weight = columns[marked], interesting, weight * len(marked)
    drawn = np.setdiff1d(np.random.default_rng(seed).permutation(len(columns))[:_DRAWN], marked)
    if len(drawn):
        # they weigh as one boring mark
        x, y = np.concatenate([x, columns[drawn]]), np.concatenate([y, np.zeros(len(drawn), bool)])
        weight = np.concatenate([weight, np.full(len(drawn), 1 / len(drawn))])
    if y.all():
        return strange
    probe = LogisticRegression(C=_PRIOR, max_iter=500).fit(x, y, sample_weight=weight)
    return sunk(probe.decision_function(columns), marked[~interesting])


def sunk(score: np.ndarray, boring: np.ndarray) -> np.ndarray:
    """The same scores, but what was marked as boring comes after all others."""
    score[boring] = score.min(initial=0.0) - 1.0
    return score
