"""How far simulated and real light curves lie apart, class by class, in plain numbers a model sees.

Notable:
- what is described is the model's view: its first detections and days, nothing after
- the distance of two distributions is the probability that a real source lies above a simulated one (ties
  half), 0.5 where they agree: free of units and of the shape of either
- a quantity that a source does not have (a gap of a single detection) is left out for that source, not zero
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from rtf.alerts.history import BANDS, Detections
from rtf.classes import FINE
from rtf.evaluation import metrics
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate
from rtf.evaluation.tables import Table

#: Quantities of a light curve by name, with the digits to show.
QUANTITIES = {
    "detections": 1, "span [day]": 1, "median gap [day]": 2, "first to brightest [day]": 1,
    "first mag": 2, "brightest mag": 2, "range [mag]": 2, "median magerr [mag]": 3,
    **{f"share of {band}": 2 for band in BANDS},
}  # fmt: skip

#: Sources of either kind below which a class is not compared.
FEWEST = 5

#: Closer detections belong to one visit of the field [day].
_ONE_VISIT = 0.1


def describe(detections: Detections) -> dict[str, np.ndarray]:
    """The `QUANTITIES` of each source: (N,) each, NaN where a source does not have one.

    A gap is the time between detections at least 0.1 day apart (two bands of one visit are no cadence).
    """
    found = {name: np.full(len(detections), np.nan) for name in QUANTITIES}
    for k, (a, b) in enumerate(pairwise(detections.offset)):
        if a == b:
            continue
        day, mag = detections.mjd[a:b] - detections.mjd[a], detections.mag[a:b]
        gap = np.diff(day)
        gap = gap[gap >= _ONE_VISIT]
        bands = np.bincount(detections.band[a:b], minlength=len(BANDS)) / (b - a)
        values = (
            b - a, day[-1], np.median(gap) if len(gap) else np.nan, day[mag.argmin()], mag[0], mag.min(),
            np.ptp(mag), np.median(detections.magerr[a:b]), *bands,
        )  # fmt: skip
        for column, value in zip(found.values(), values, strict=True):
            column[k] = value
    return found


def compare(
    simulated: Detections, simulated_label: np.ndarray, real: Detections, real_label: np.ndarray,
    *, seed: int, n_bootstrap: int,
) -> list[dict]:  # fmt: skip
    """Medians of both and the probability that real is above simulated, for classes that both have.

    Returns
    -------
    rows with class, quantity, n_simulated, n_real, simulated, real and above (`Estimate` each)
    """
    described = describe(simulated), describe(real)
    rows = []
    for c in np.unique(real_label[real_label >= 0]):
        members = simulated_label == c, real_label == c
        if min(m.sum() for m in members) < FEWEST:
            continue
        for name in QUANTITIES:
            columns = [d[name][m] for d, m in zip(described, members, strict=True)]
            ours, theirs = (x[np.isfinite(x)] for x in columns)
            if not len(ours) or not len(theirs):
                continue
            rows.append(
                {
                    "class": FINE[c], "quantity": name, "n_simulated": len(ours), "n_real": len(theirs),
                    "simulated": _median(ours, seed, n_bootstrap), "real": _median(theirs, seed, n_bootstrap),
                    "above": _above(ours, theirs, seed, n_bootstrap),
                }
            )  # fmt: skip
    return rows


def domain_table(rows: list[Mapping], title: str = "Simulated and real light curves, by class") -> Table:
    """Each quantity of each class, the farthest apart first within a class."""
    order = sorted(rows, key=lambda r: (FINE.index(r["class"]), -abs(r["above"].value - 0.5)))
    cells = []
    for r in order:
        digits = QUANTITIES[r["quantity"]]
        medians = (format_estimate(r[name], digits) for name in ("simulated", "real"))
        counts = f"{r['n_simulated']:,}", f"{r['n_real']:,}"
        cells.append((f"{r['class']}: {r['quantity']}", *medians, format_estimate(r["above"], 2), *counts))
    columns = (
        "class: quantity", "simulated, median", "real, median", "P(real > simulated)", "simulated", "real"
    )  # fmt: skip
    notes = (
        "The model's view of each source; simulated: training split. 0.5: the distributions agree; 0 or 1: "
        f"they do not overlap. Classes of fewer than {FEWEST} sources of either kind are left out. "
        "Intervals: bootstrap over sources.",
    )
    return Table(title, columns, tuple(cells), notes)


def _median(values: np.ndarray, seed: int, n_bootstrap: int) -> Estimate:
    median = metrics.WeightedMedian(values, np.arange(len(values)))
    return bootstrap(median, len(values), n_resamples=n_bootstrap, seed=seed)


def _above(ours: np.ndarray, theirs: np.ndarray, seed: int, n_bootstrap: int) -> Estimate:
    label = np.repeat([0, 1], [len(ours), len(theirs)])
    score = np.concatenate([ours, theirs])

    def statistic(counts):
        return metrics.class_auc(label, np.column_stack([-score, score]), counts)[:, 1]

    return bootstrap(statistic, len(label), n_resamples=n_bootstrap, seed=seed)
