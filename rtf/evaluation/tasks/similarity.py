"""Search by similarity: are the nearest fingerprints of the same class, and does a source find itself?

Notable:
- fingerprints are standardised with the training split's mean and deviation before the cosine: a mean that
  all share makes every cosine 1, and a few wide dimensions would decide alone. `scaling` says otherwise
- precision at k: of a test source's k nearest test sources, itself left out, the share of its own class;
  chance is the share of its class among the others
- self-retrieval: a test source known by its first N detections looks for itself among all test sources at all
  their detections. Only sources with more than N detections ask: the others are identical to their goal
- equal cosines count as the mean over their orders (`rtf.evaluation.search`)
- intervals resample the sources that ask; the sources they search stay
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtf.classes import COARSE, FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import tables
from rtf.evaluation.search import precision_at, recall_at, scaler, self_ranks
from rtf.evaluation.statistics import bootstrap, format_estimate
from rtf.evaluation.tasks.early import checked_counts
from rtf.evaluation.tasks.similarity_figure import similarity_figure
from rtf.files import write_json
from rtf.store.store import Store

COUNTS = (3, 5, 10, 20)
LEVELS = {"coarse": COARSE, "fine": FINE}


def run_similarity(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    counts: Sequence[int] = COUNTS,
    scaling: str = "standardise",
    k: int = 10,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """Precision at k by class, and recall of a source by itself at few detections.

    Writes similarity.json, similarity.md and similarity.png.

    Raises
    ------
    ValueError : an unknown scaling, counts that are not numbers, fewer than two test sources with a class
    """
    counts = [n for n in checked_counts(counts) if n != "all"]  # at all detections a source is itself
    detections = store.detections("test", cutouts=model.needs_cutouts)
    train = model.encode(store.detections("train", cutouts=model.needs_cutouts)).latent
    scale = scaler(train, scaling)
    found = model.encode(detections)
    index = scale(found.latent)
    here = store.sources("test")
    truth = {"coarse": store.coarse[here], "fine": store.label[here]}
    settings = {"seed": seed, "n_resamples": n_bootstrap}

    precision = {
        level: class_precision(index, truth[level], names, k, **settings) for level, names in LEVELS.items()
    }
    recall = []
    for n in counts:
        asking = np.flatnonzero(found.n_detections > n)
        if not len(asking):
            recall.append({"n_detections": n, "n_queries": 0})
            continue
        query = scale(model.encode(detections.take(asking), first=n).latent)
        recall.append({"n_detections": n, **self_recall(query, asking, index, **settings)})

    write_json(
        out / "similarity.json",
        tables.plain({"scaling": scaling, "k": k, "precision": precision, "recall": recall, **settings}),
    )
    how = _how(scaling, n_bootstrap, seed)
    made = [recall_table(recall, len(index), how)]
    made += [
        precision_table(p, f"Precision at {k}, {level} classes", k, how) for level, p in precision.items()
    ]
    tables.write_markdown(out / "similarity.md", made)
    similarity_figure(recall, precision["fine"], len(index), k, out / "similarity.png")
    return made, [out / "similarity.png"]


def self_recall(query, own, index, *, seed: int, n_resamples: int) -> dict:
    """Recall at 1 and 10 and the median rank, with intervals, and what chance gives; see `self_ranks`."""
    above, equal = self_ranks(query, own, index)
    hits = np.column_stack([recall_at(above, equal, k) for k in (1, 10)])
    at_1, at_10 = bootstrap(
        lambda counts: counts @ hits / len(query), len(query), seed=seed, n_resamples=n_resamples
    )
    rank = float(np.median(above + (equal + 1) / 2))
    chance = {f"chance_at_{k}": min(k / len(index), 1.0) for k in (1, 10)}
    return {
        "n_queries": len(query), "n_index": len(index), "recall_at_1": at_1, "recall_at_10": at_10,
        "median_rank": rank, **chance,
    }  # fmt: skip


def class_precision(
    index: np.ndarray, label: np.ndarray, names: Sequence[str], k: int, *, seed: int, n_resamples: int
) -> dict:
    """Precision at k of each class, of all sources, and the mean over classes; sources without a class are
    neither asked about nor found.

    Returns
    -------
    rows of {name, n_sources, precision, chance, best}, and n_unknown. `best` is what a perfect search would
    reach: a class of fewer than k + 1 sources cannot fill k places

    Raises
    ------
    ValueError : not more than k sources with a class
    """
    known = label != UNKNOWN
    if known.sum() <= k:
        raise ValueError(f"precision at {k} needs more than {k} test sources with a class, not {known.sum()}")
    label = label[known]
    count = np.bincount(label, minlength=len(names))
    classes = np.flatnonzero(count)
    member = (label[:, None] == classes).astype(float)
    others = count[label] - 1
    values = np.column_stack(
        [precision_at(index[known], label, k), others / (len(label) - 1), np.minimum(others, k) / k]
    )

    def statistic(counts):
        with np.errstate(invalid="ignore"):
            by_class = (counts @ member)[:, :, None]
            by_class = np.stack([counts @ (member * v[:, None]) for v in values.T], -1) / by_class
        overall = (counts @ values / len(label))[:, None]
        mean = np.nanmean(by_class, axis=1, keepdims=True)
        return np.concatenate([overall, mean, by_class], axis=1).reshape(len(counts), -1)

    estimates = bootstrap(statistic, len(label), seed=seed, n_resamples=n_resamples)
    groups = ["all sources", "mean over classes", *(names[c] for c in classes)]
    sizes = [len(label), len(label), *count[classes]]
    rows = [
        {"name": name, "n_sources": int(size), "precision": p, "chance": c, "best": b}
        for name, size, p, c, b in zip(groups, sizes, *(estimates[i::3] for i in range(3)), strict=True)
    ]
    return {"rows": rows, "n_unknown": int((~known).sum())}


def recall_table(recall: Sequence[Mapping], n_index: int, how: Sequence[str]) -> tables.Table:
    """One row a number of detections."""
    rows = []
    for r in recall:
        cells = ["–"] * 5
        if r["n_queries"]:
            cells = [format_estimate(r["recall_at_1"]), f"{r['chance_at_1']:.4f}"]
            cells += [
                format_estimate(r["recall_at_10"]),
                f"{r['chance_at_10']:.4f}",
                f"{r['median_rank']:.0f}",
            ]
        rows.append((str(r["n_detections"]), *cells, f"{r['n_queries']:,}"))
    columns = (
        "detections", "recall at 1", "chance at 1", "recall at 10", "chance at 10", "median rank",
        "sources asking",
    )  # fmt: skip
    note = (
        f"A test source by its first N detections looks for itself among {n_index:,} test sources at all "
        "their detections; only sources with more than N ask."
    )
    return tables.Table("Finding itself again", columns, tuple(rows), (note, *how))


def precision_table(result: Mapping, title: str, k: int, how: Sequence[str]) -> tables.Table:
    """One row a class."""
    rows = tuple(
        (
            r["name"], f"{r['n_sources']:,}", format_estimate(r["precision"]), format_estimate(r["chance"]),
            f"{r['best'].value:.3f}",
        )
        for r in result["rows"]
    )  # fmt: skip
    notes = [
        f"Share of the {k} most similar other test sources that are of the same class. chance: share of the "
        f"class among them; best possible: less than 1 where a class has not {k} others."
    ]
    if result["n_unknown"]:
        notes.append(f"left out, no label: {result['n_unknown']:,} test sources.")
    columns = ("class", "test sources", f"precision at {k}", "chance", "best possible")
    return tables.Table(title, columns, rows, (*notes, *how))


def _how(scaling: str, n_resamples: int, seed: int) -> list[str]:
    done = {
        "standardise": "standardised with the mean and deviation of the train split",
        "centre": "less the mean of the train split",
        "none": "as they are",
    }
    return [
        f"Cosine of fingerprints {done[scaling]}; equal cosines in random order.",
        f"95 % intervals: {n_resamples:,} bootstrap resamples of the test sources that ask, seed {seed}.",
    ]
