"""Anomaly detection: do sources of classes the model never saw stand out from the test split?

Notable:
- inliers are the test sources of the run's store, outliers the sources of other stores, by class. A class
  that the train split has is no outlier: it is left out and named. Asked for by name in `classes` it becomes
  a control: stores alike in all but the class give it a ROC-AUC of 0.5
- scores, higher is stranger: reconstruction error, isolation forest (Liu, Ting & Zhou 2008), distance to the
  k-th nearest training fingerprint, as it is and standardised. Whatever is fitted is fitted on training
  fingerprints alone; no score has seen an outlier
- beside them the number of detections, which needs no model, taken both ways: fast transients are detected
  few times, and a score that does no better than counting has found nothing else
- what differs between the stores besides the class (stamps, missing metadata) is named under the table
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import metrics, tables
from rtf.evaluation.statistics import bootstrap, format_estimate
from rtf.evaluation.tasks.anomaly_figure import anomaly_figure
from rtf.evaluation.tasks.anomaly_scores import TRIVIAL, anomaly_scores, fit_scorers, purity
from rtf.files import write_json
from rtf.store.store import Store, open_store

ALL = "all together"


def run_anomaly(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    outliers: str | Sequence[str],
    classes: Sequence[str] | None = None,
    neighbours: int = 10,
    trees: int = 200,
    top: int = 100,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """ROC-AUC of each outlier class and of all, and how pure the strangest sources are.

    Writes anomaly.json, anomaly.md and anomaly.png.

    Parameters
    ----------
    outliers : store or stores of the outliers
    classes : names to take as outliers; None: every class the train split does not have
    neighbours : the distance is that to this training fingerprint
    top : how many of the strangest sources

    Raises
    ------
    ValueError : no outliers or no inliers left, a class that no outlier store has, the run's own store
    """
    paths = [outliers] if isinstance(outliers, str) else list(outliers)
    if not paths:
        raise ValueError(
            "please give task.outliers=STORE, the store or stores whose sources are the outliers"
        )
    if own := [path for path in paths if Path(path).resolve() == Path(store.path).resolve()]:
        raise ValueError(f"outliers: {own[0]} is the store of the inliers, and the model trained on it")
    train = model.encode(store.detections("train", cutouts=model.needs_cutouts))
    test = model.encode(store.detections("test", cutouts=model.needs_cutouts))
    trained = {FINE[c] for c in np.unique(store.label[store.sources("train")]) if c != UNKNOWN}
    label = store.label[store.sources("test")]
    usual = np.array([c == UNKNOWN or FINE[c] in trained for c in label], bool)

    groups, scores, others = [], [], []
    scorers = fit_scorers(train.latent, neighbours=neighbours, trees=trees, seed=seed)
    for path in paths:
        other = open_store(path)
        others.append(other)
        found = model.encode(other.detections(cutouts=model.needs_cutouts))
        groups.append([FINE[c] if c != UNKNOWN else Path(path).stem for c in other.label])
        scores.append(anomaly_scores(found, scorers))
    group = np.concatenate(groups)
    keep, notes = choose_classes(group, trained, classes)
    inlier = {name: s[usual] for name, s in anomaly_scores(test, scorers).items()}
    outlier = {name: np.concatenate([s[name] for s in scores])[keep] for name in inlier}
    if not usual.any():
        raise ValueError(f"{store.path} has no test source of a class it trains on: no inliers")

    result = evaluate_anomaly(inlier, outlier, group[keep], top=top, seed=seed, n_bootstrap=n_bootstrap)
    if not usual.all():
        notes.append(f"left out, inliers of a class not in the train split: {(~usual).sum():,}.")
    notes += differences(model, store, others)
    settings = {
        "neighbours": neighbours,
        "trees": trees,
        "top": top,
        "seed": seed,
        "n_bootstrap": n_bootstrap,
    }
    write_json(out / "anomaly.json", tables.plain({**settings, "notes": notes, **result}))
    made = anomaly_tables(result, top, notes, f"{n_bootstrap:,}", seed, neighbours)
    tables.write_markdown(out / "anomaly.md", made)
    anomaly_figure(result, inlier, outlier, out / "anomaly.png")
    return made, [out / "anomaly.png"]


def choose_classes(
    group: np.ndarray, trained: set[str], classes: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Which sources are outliers, (N,) bool, and notes on those that are not.

    Parameters
    ----------
    group : (N,) class or store name of each source
    trained : classes of the train split
    classes : those asked for, or None

    Raises
    ------
    ValueError : a class asked for that no source has, or nothing left
    """
    there = dict(zip(*np.unique(group, return_counts=True), strict=True))
    if classes is not None and (absent := [c for c in classes if c not in there]):
        raise ValueError(f"classes: no outlier is of class {', '.join(absent)}; there are {', '.join(there)}")
    chosen = [c for c in there if (c in classes if classes is not None else c not in trained)]
    if not chosen:
        raise ValueError(
            f"no outliers left: the train split has every class of the outlier stores ({', '.join(there)})"
        )
    notes = []
    if dropped := [f"{c} ({n:,})" for c, n in there.items() if c not in chosen]:
        why = "in the train split" if classes is None else "not asked for"
        notes.append(f"left out, {why}: {', '.join(dropped)}.")
    if control := [c for c in chosen if c in trained]:
        notes.append(f"in the train split, thus a control and no outlier: {', '.join(control)}.")
    return np.isin(group, chosen), notes


def differences(model: Fingerprinter, store: Store, others: Sequence[Store]) -> list[str]:
    """What besides the class tells the stores apart, as notes."""
    notes = []
    for other in others:
        name = Path(other.path).stem
        if model.needs_cutouts and store.has_cutouts != other.has_cutouts:
            notes.append(f"{name} {'has' if other.has_cutouts else 'lacks'} stamps, unlike the inliers.")
        if "metadata" in model.modalities:
            mine, theirs = (float(np.isfinite(s.read("metadata")).mean()) for s in (store, other))
            if abs(mine - theirs) > 0.05:
                notes.append(f"{name}: {theirs:.0%} of the metadata known, {mine:.0%} of the inliers' store.")
    return notes


def evaluate_anomaly(
    inlier: Mapping[str, np.ndarray],
    outlier: Mapping[str, np.ndarray],
    group: np.ndarray,
    *,
    top: int,
    seed: int,
    n_bootstrap: int,
) -> dict:
    """ROC-AUC and purity of every score for every group of outliers against all inliers.

    Parameters
    ----------
    inlier, outlier : by score, (N,) and (M,)
    group : (M,) names

    Returns
    -------
    n_inliers, and groups: one of {name, n_outliers, expected, best, auc, purity} for each name and for all.
    `expected` is the purity of a random choice, `best` that of a perfect one
    """
    n_inliers = len(next(iter(inlier.values())))
    names = [ALL, *sorted(set(group.tolist()))]
    groups = []
    for name in names:
        member = np.ones(len(group), bool) if name == ALL else group == name
        label = np.r_[np.zeros(member.sum(), int), np.ones(n_inliers, int)]  # column 0 of the score: outliers
        joined = {s: np.r_[outlier[s][member], inlier[s]] for s in inlier}

        def statistic(counts, label=label, joined=joined):
            aucs = [metrics.class_auc(label, s[:, None], counts)[:, 0] for s in joined.values()]
            pure = [purity(s, label == 0, counts, top) for s in joined.values()]
            return np.column_stack([*aucs, *pure])

        found = bootstrap(statistic, len(label), n_resamples=n_bootstrap, seed=seed)
        n = int(member.sum())
        taken = min(top, len(label))
        groups.append({
            "name": name, "n_outliers": n, "expected": n / len(label), "best": min(n / taken, 1.0),
            "auc": dict(zip(joined, found[: len(joined)], strict=True)),
            "purity": dict(zip(joined, found[len(joined) :], strict=True)),
        })  # fmt: skip
    return {"n_inliers": n_inliers, "groups": groups}


def anomaly_tables(result: Mapping, top: int, notes, n_resamples: str, seed: int, neighbours: int):
    """ROC-AUC and purity, a row a group of outliers, a column a score."""
    scores = list(result["groups"][0]["auc"])
    n_inliers = f"{result['n_inliers']:,}"
    how = (
        f"Isolation forest and distance to neighbour {neighbours} are fitted on training fingerprints alone.",
        f"95 % intervals: {n_resamples} bootstrap resamples of inliers and outliers, seed {seed}.",
        *notes,
    )
    auc_rows, purity_rows = [], []
    for g in result["groups"]:
        sizes = (g["name"], f"{g['n_outliers']:,}", n_inliers)
        auc_rows.append((*sizes, *(format_estimate(g["auc"][s]) for s in scores)))
        ends = (f"{g['expected']:.3f}", f"{g['best']:.3f}")
        purity_rows.append((*sizes, *ends, *(format_estimate(g["purity"][s]) for s in scores)))
    sizes = ("outliers", "number", "inliers")
    trivial = f"{' and '.join(TRIVIAL)}: without a model, the baseline; whichever suits the class."
    return [
        tables.Table(
            "Anomaly detection, ROC-AUC (chance 0.5)", (*sizes, *scores), tuple(auc_rows), (trivial, *how)
        ),
        tables.Table(
            f"Outliers among the {top} strangest sources",
            (*sizes, "by chance", "best possible", *scores),
            tuple(purity_rows),
            (trivial, *how),
        ),
    ]
