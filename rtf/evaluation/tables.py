"""Results as tables: for the terminal (rich), for GitHub (markdown), for JSON (plain dicts).

Notable:
- a `Table` is text already; how it is shown is a separate step
- every score is written with its interval, beside the number of sources and the baseline
- what was left out, and how the intervals were made, stands under the table
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from rtf.alerts.history import BANDS
from rtf.documents import Table, to_markdown, to_rich, write_markdown  # noqa: F401
from rtf.evaluation.statistics import format_estimate
from rtf.evaluation.tasks.physical import PhysicalResult, PhysicalRow
from rtf.evaluation.tasks.probe import ProbeResult


def probe_table(
    results: Mapping[str, ProbeResult], title: str = "Linear probe", name: str = "model"
) -> Table:
    """One row a result (a model, or a number of detections), then the majority-class baseline.

    Results on other sources or other classes have other baselines; each is shown, with whose it is.

    Parameters
    ----------
    results : by the text of the first column
    name : heading of the first column
    """
    rows, baselines, notes = [], {}, []
    for key, r in results.items():
        scores = [format_estimate(e) for e in (r.accuracy, r.balanced_accuracy, r.auc)]
        sizes = (_count(r.train_count.sum()), _count(r.test_count.sum()))
        rows.append((str(key), *scores, *sizes))
        b = r.baseline
        scores = [format_estimate(e) for e in (b.accuracy, b.balanced_accuracy)]
        baseline = (f"majority class ({b.class_name})", *scores, f"{b.auc.value:.3f}", *sizes)
        baselines.setdefault(baseline, []).append(str(key))
        notes += [f"{key}: {note}" if len(results) > 1 else note for note in _left_out(r)]
    for baseline, keys in baselines.items():
        whose = f", {', '.join(keys)}" if len(baselines) > 1 else ""
        rows.append((baseline[0] + whose, *baseline[1:]))
    columns = (name, "accuracy", "balanced accuracy", "ROC-AUC (macro)", "train sources", "test sources")
    return Table(title, columns, tuple(rows), (*_how(results.values()), *notes))


def class_table(result: ProbeResult, title: str = "Linear probe by class") -> Table:
    """Counts, recall and ROC-AUC of each class, their means, and the baseline's."""
    rows = [
        (name, _count(train), _count(test), format_estimate(recall), format_estimate(auc))
        for name, train, test, recall, auc in zip(
            result.class_names, result.train_count, result.test_count, result.recall, result.class_auc,
            strict=True,
        )
    ]  # fmt: skip
    sizes = (_count(result.train_count.sum()), _count(result.test_count.sum()))
    b = result.baseline
    rows.append(
        ("mean over classes", *sizes, format_estimate(result.balanced_accuracy), format_estimate(result.auc))
    )
    rows.append(
        (
            f"majority class ({b.class_name})",
            *sizes,
            format_estimate(b.balanced_accuracy),
            f"{b.auc.value:.3f}",
        )
    )
    columns = ("class", "train sources", "test sources", "recall", "ROC-AUC (one vs rest)")
    return Table(title, columns, tuple(rows), (*_how([result]), *_left_out(result)))


_PHYSICAL_COLUMNS = (
    "sources", "detections", "median |Δmag| [mag]", "noise floor [mag]", "median |Δt| [day]", "band accuracy",
)  # fmt: skip


def physical_table(result: PhysicalResult, title: str = "Reconstruction in physical units") -> Table:
    """All detections, by class, band and number of detections; under each group its baseline."""
    rows = []
    for r in result.rows:
        names = {"all": "all", "class": r.group, "band": f"{r.group} band", "length": f"{r.group} detections"}
        name = names[r.kind]
        rows += [(name, *_physical_cells(r)), ("↳ training constants", *_baseline_cells(r))]
    notes = [*_how([result]), _physical_note(result.constants)]
    if result.n_unknown:
        notes.append(f"{result.n_unknown:,} of {result.n_sources:,} sources have no class: in no class row.")
    return Table(title, ("group", *_PHYSICAL_COLUMNS), tuple(rows), tuple(notes))


def physical_comparison(
    results: Mapping[str, PhysicalResult],
    title: str = "Reconstruction in physical units",
    name: str = "model",
) -> Table:
    """One row a model, over all detections, then the baseline; arguments as `probe_table`."""
    rows, baselines = [], {}
    for key, result in results.items():
        overall = next(r for r in result.rows if r.kind == "all")
        rows.append((str(key), *_physical_cells(overall)))
        baselines.setdefault((_baseline_cells(overall), result.constants), []).append(str(key))
    for (cells, _), keys in baselines.items():
        rows.append(("training constants" + (f", {', '.join(keys)}" if len(baselines) > 1 else ""), *cells))
    notes = dict.fromkeys(_physical_note(result.constants) for result in results.values())
    return Table(title, (name, *_PHYSICAL_COLUMNS), tuple(rows), (*_how(results.values()), *notes))


def probe_dict(result: ProbeResult) -> dict:
    """The result for JSON, without the fitted probe (which has a file of its own).

    `truth` and `predicted` are texts there, of one digit (base 36) a source: see `from_digits`.
    """
    record = plain(dataclasses.replace(result, probe=None))
    del record["probe"]
    return record | {name: to_digits(getattr(result, name)) for name in ("truth", "predicted")}


_DIGITS = np.array(list("0123456789abcdefghijklmnopqrstuvwxyz"))


def to_digits(classes: np.ndarray) -> str:
    """Classes (N,) from 0 to 35 as a text of N characters: a line of a file instead of N."""
    return "".join(_DIGITS[classes])


def from_digits(text: str) -> np.ndarray:
    """What `to_digits` was given, (N,) int64."""
    return np.searchsorted(_DIGITS, np.array(list(text), dtype=_DIGITS.dtype))


def physical_dict(result: PhysicalResult) -> dict:
    """The result for JSON."""
    return plain(result)


def plain(value):
    """Dataclasses, mappings, sequences and arrays as what JSON knows; NaN (no such number) as None.

    Raises
    ------
    ValueError : an infinite number
    TypeError : anything else JSON does not know
    """
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
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
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"no plain form of {type(value).__name__}")


def _physical_cells(r: PhysicalRow) -> tuple[str, ...]:
    estimates = [format_estimate(r.mag), format_estimate(r.noise_floor), format_estimate(r.dt, 2)]
    return (_count(r.n_sources), _count(r.n_detections), *estimates, format_estimate(r.band))


def _baseline_cells(r: PhysicalRow) -> tuple[str, ...]:
    estimates = [format_estimate(r.baseline_mag), "", format_estimate(r.baseline_dt, 2)]
    return (_count(r.n_sources), _count(r.n_detections), *estimates, format_estimate(r.baseline_band))


def _physical_note(constants) -> str:
    return (
        f"Training constants: {constants.mag:.2f} mag, {constants.dt:.1f} d, {BANDS[constants.band]} band. "
        "Noise floor: median |Δmag| that the noiseless magnitudes would have."
    )


def _how(results) -> list[str]:
    return list(
        dict.fromkeys(
            f"95 % intervals: {r.n_resamples:,} bootstrap resamples of the test sources, seed {r.seed}."
            for r in results
        )
    )


def _left_out(r: ProbeResult) -> list[str]:
    notes = []
    if r.n_train_unknown or r.n_test_unknown:
        notes.append(
            f"left out, no label: {r.n_train_unknown:,} training, {r.n_test_unknown:,} test sources."
        )
    if r.without_test:
        notes.append(f"not in the means, no test source: {', '.join(r.without_test)}.")
    if r.without_training:
        notes.append(f"never predicted, no training source: {', '.join(r.without_training)}.")
    return notes


def _count(n) -> str:
    return f"{int(n):,}"
