"""Similarity: are the nearest fingerprints of the same class, and does a source find itself?

Notable:
- precision at k: of a test source's k nearest test sources, itself left out, the share of its own class
- self-retrieval: a test source known by its first N detections looks for itself among all test sources at all
  their detections. Only sources with more than N detections ask: the others are identical to their goal
- equal cosines count as the mean over their orders (`rtf.evaluation.search`)
- intervals resample the sources that ask; the sources they search stay
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf import figures
from rtf.classes import UNKNOWN
from rtf.evaluation.classification import checked_counts
from rtf.evaluation.record import CHANCE, Record, record, record_table, select
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.evaluation.search import precision_at, recall_at, scaler, self_ranks
from rtf.evaluation.statistics import bootstrap

BEST = "best possible"
_FOUND = (1, 10)


def similarity(given: Inputs, *, counts: Sequence[int | str], k: int) -> Evaluated:
    """Score precision at k by class, and recall of a source by itself at few detections (`counts`)."""
    test = given.split("test")
    scale = scaler(given.split("train").found.latent)
    index = scale(test.found.latent)
    records = []
    for n in checked_counts(counts):
        asking = np.flatnonzero(test.found.n_detections > n) if n else []  # by all, a source is itself
        if len(asking):
            query = scale(given.model.encode(test.detections.take(asking), first=n).latent)
            records += self_recall(query, asking, index, n, given.resamples)
    for level, names in LEVELS.items():
        records += class_precision(index, test.label[level], names, level, k, given.resamples)
    figure = similarity_figure(records, len(index), k)
    return Evaluated(records, similarity_tables(given, records, len(index), k), {"similarity.png": figure})


def self_recall(query, own, index, shown: int, resamples: Mapping) -> list[Record]:
    """Score recall at 1 and 10, the median rank, and what chance gives; see `self_ranks`."""
    above, equal = self_ranks(query, own, index)
    hits = np.column_stack([recall_at(above, equal, k) for k in _FOUND])
    found = bootstrap(lambda counts: counts @ hits / len(query), len(query), **resamples)
    keys = {"level": "self-retrieval", "shown": shown, "n": len(query)}
    records = [record(f"recall at {k}", e, **keys) for k, e in zip(_FOUND, found)]
    records += [record(f"recall at {k}", min(k / len(index), 1), method=CHANCE, **keys) for k in _FOUND]
    return [*records, record("median rank", np.median(above + (equal + 1) / 2), **keys)]


def class_precision(index, label, names: Sequence[str], level: str, k: int, resamples) -> list[Record]:
    """Score precision at k of all sources, each class, and the mean over classes, beside chance.

    And beside the best possible, for a class of fewer than k + 1 sources cannot fill k places.
    """
    known = label != UNKNOWN
    if known.sum() <= k:
        raise ValueError(f"precision at {k} needs more than {k} test sources with a class, not {known.sum()}")
    label = label[known]
    count = np.bincount(label, minlength=len(names))
    classes = np.flatnonzero(count)
    member = (label[:, None] == classes).astype(float)
    others = count[label] - 1
    found = precision_at(index[known], label, k)
    values = np.column_stack([found, others / (len(label) - 1), np.minimum(others, k) / k])

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            by_class = (counts @ member)[:, :, None]
            by_class = np.stack([counts @ (member * v[:, None]) for v in values.T], -1) / by_class
        overall = (counts @ values / len(label))[:, None]
        mean = np.nanmean(by_class, axis=1, keepdims=True)
        return np.concatenate([overall, mean, by_class], axis=1).reshape(len(counts), -1)

    found = bootstrap(statistic, len(label), **resamples)
    groups = ["all", "mean over classes", *(names[c] for c in classes)]
    sizes = [len(label), len(label), *count[classes].tolist()]
    return [
        record("precision", found[3 * j + i], method=method, level=level, group=group, n=size)
        for j, (group, size) in enumerate(zip(groups, sizes))
        for i, method in enumerate(("model", CHANCE, BEST))
    ]


def similarity_tables(given: Inputs, records: list[Record], n: int, k: int) -> list:
    """Self-retrieval by number of detections, and precision by class."""
    how = f"Cosine of fingerprints standardised by the train split; ties in random order. {given.how}"
    note = f"A test source by its first N detections looks for itself among {n:,} at all of theirs."
    columns = {
        f"{method} at {j}".replace("model", "recall"): {"score": f"recall at {j}", "method": method}
        for j in _FOUND for method in ("model", CHANCE)
    } | {"median rank": {"score": "median rank"}}  # fmt: skip
    own, rows = select(records, level="self-retrieval"), {"detections": "shown"}
    tables = [record_table("Finding itself again", own, rows, columns, [note, how], "sources asking")]
    for level in LEVELS:
        unknown = int((given.split("test").label[level] == UNKNOWN).sum())
        note = f"Share of the {k} most similar others that are of the same class; {unknown:,} have no label."
        own, columns = select(records, level=level), {m: {"method": m} for m in ("model", CHANCE, BEST)}
        title = f"Precision at {k}, {level} classes"
        tables.append(record_table(title, own, {"class": "group"}, columns, [note, how]))
    return tables


def similarity_figure(records: Sequence[Record], n: int, k: int) -> Figure:
    """Recall against the number of detections, and precision by fine class, with 95 % intervals."""
    figure, (left, right) = figures.grid_of(2, 5.7, 4.7, 2, 0.5)
    for row, j in enumerate(_FOUND):
        line = select(records, score=f"recall at {j}", method="model")
        figures.draw_band(left, [r.shown for r in line], line, row, f"recall at {j}")
        left.axhline(min(j / n, 1), color=figures.COLOURS[row], linestyle=":", label=f"chance at {j}")
    if line:
        figures.count_axis(left, [r.shown for r in line], [f"{r.shown}\n({r.n:,})" for r in line])
    left.set(xlabel="detections a source is searched by (sources asking)", title=f"among {n:,} sources",
             ylabel="share of sources that find themselves")  # fmt: skip
    figures.tidy(left)
    fine = select(records, level="fine", method="model")
    figures.draw_bars(right, fine, [f"{r.group} ({r.n:,})" for r in fine], f"precision at {k}")
    for method, colour in ((CHANCE, figures.COLOURS[3]), (BEST, "0.35")):
        place = [r.value for r in select(records, level="fine", method=method)]
        style = {"color": colour, "markersize": 15, "markeredgewidth": 2, "label": method}
        right.plot(place, range(len(place)), "|", **style)
    right.set(xlabel=f"share of the {k} nearest of the same class", title="by class (test sources)")
    figures.legend(figure, (left, right))
    figure.suptitle("Search by cosine among fingerprints of the test split, 95 % intervals", fontsize=13)
    return figure
