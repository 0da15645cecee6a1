"""Anomaly detection: do sources of classes the model never saw stand out from the test split?

Notable:
- inliers are the test sources of the store, outliers the sources of other stores, by class. A class that
  the train split has is no outlier: it is left out and named
- scores, higher is stranger: reconstruction error, isolation forest (Liu, Ting & Zhou 2008), distance to the
  k-th nearest training fingerprint, as it is and standardised (in the first a few wide dimensions decide).
  Whatever is fitted is fitted on training fingerprints alone; no score has seen an outlier
- beside them the number of detections, which needs no model, taken both ways: fast transients are detected
  few times, and a score that does no better than counting has found nothing else
- what differs between the stores besides the class (stamps, missing metadata) is named under the table
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprints
from rtf.evaluation import statistics
from rtf.evaluation.record import CHANCE, Record, record, record_table, select
from rtf.evaluation.run import Evaluated, Inputs
from rtf.figures import COLOURS, MARKERS, grid_of, legend, literal, tidy, whiskers
from rtf.store.read import Store, open_store

#: Scores that need no model, one the negative of the other.
TRIVIAL = ("few detections", "many detections")
BEST = "best possible"


def anomaly(
    given: Inputs, *, outliers: str | Sequence[str], neighbours: int, trees: int, top: int
) -> Evaluated:
    """Score how each class of the outlier stores stands out, and how pure the `top` strangest sources are."""
    paths = [outliers] if isinstance(outliers, str) else list(outliers)
    if not paths:
        raise ValueError(
            "please give task.outliers=STORE, the store or stores whose sources are the outliers"
        )
    others = [open_store(path) for path in paths]
    if own := [path for path, other in zip(paths, others) if other.digest == given.store.digest]:
        raise ValueError(f"outliers: {own[0]} is the store of the inliers, and the model trained on it")
    train, test = given.split("train"), given.split("test")
    usual = (test.label["fine"] == UNKNOWN) | np.isin(test.label["fine"], train.label["fine"])
    if not usual.any():
        raise ValueError(f"{given.store.path} has no test source of a class it trains on: no inliers")

    scorers = fit_scorers(train.found.latent, neighbours=neighbours, trees=trees, seed=given.seed)
    found = [given.model.encode(o.detections(cutouts=given.model.needs_cutouts)) for o in others]
    scores = [anomaly_scores(f, scorers) for f in found]
    outlier = {name: np.concatenate([s[name] for s in scores]) for name in scores[0]}
    group = [FINE[c] if c != UNKNOWN else Path(p).stem for p, o in zip(paths, others) for c in o.label]
    group = np.array(group)
    trained = [FINE[c] for c in np.unique(train.label["fine"]) if c != UNKNOWN]
    keep, notes = ~np.isin(group, trained), []
    if dropped := [f"{c} ({n:,})" for c in trained if (n := int((group == c).sum()))]:
        notes.append(f"Left out, in the train split: {', '.join(dropped)}.")
    known = np.isin(np.concatenate([o.object_id for o in others]), list(given.trained))
    broken = ~np.all([np.isfinite(s) for s in outlier.values()], axis=0)
    for out, why in ((known, "the run was trained on them"), (broken, "fingerprints not finite")):
        if (out & keep).any():
            notes.append(f"Left out, {why}: {(out & keep).sum():,} outliers.")
    keep &= ~known & ~broken
    if not keep.any():
        raise ValueError("no outliers left: " + " ".join(notes))
    inlier = {name: s[usual] for name, s in anomaly_scores(test.found, scorers).items()}
    outlier = {name: s[keep] for name, s in outlier.items()}
    records = anomaly_records(inlier, outlier, group[keep], top, given.resamples)
    if not usual.all():
        notes.append(f"Left out, inliers of a class not in the train split: {(~usual).sum():,}.")
    how = [
        f"{' and '.join(TRIVIAL)}: without a model, the baseline; whichever suits the class.",
        f"{usual.sum():,} inliers. Isolation forest and distance to neighbour {neighbours} are fitted on "
        "training fingerprints alone.",
        given.how.replace("the test sources", "inliers and outliers"),
        *notes,
        *differences(given.model, given.store, others),
    ]
    titles = {"ROC-AUC": "Anomaly detection, ROC-AUC (chance 0.5)",
              "purity": f"Outliers among the {top} strangest sources"}  # fmt: skip
    tables = []
    for score, title in titles.items():
        own = select(records, score=score)
        columns = {r.method: {"method": r.method} for r in own}
        tables.append(record_table(title, own, {"outliers": "group"}, columns, how, "number"))
    return Evaluated(records, tables, {"anomaly.png": anomaly_figure(records, inlier, outlier)})


def fit_scorers(train: np.ndarray, *, neighbours: int, trees: int, seed: int) -> dict[str, Callable]:
    """Fit what scores fingerprints (N, F) as (N,), higher is stranger, on training fingerprints (M, F)."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors

    if not 0 < neighbours <= len(train):
        raise ValueError(f"neighbours={neighbours} of {len(train)} training fingerprints")
    std = train.astype(float).std(0)
    forest = IsolationForest(n_estimators=trees, random_state=seed).fit(train)

    def distance(scale):
        near = NearestNeighbors(n_neighbors=neighbours).fit(train / scale)
        return lambda latent: near.kneighbors(latent / scale)[0][:, -1]

    return {
        "isolation forest": lambda latent: -forest.score_samples(latent),
        "neighbour distance": distance(1.0),
        "neighbour distance, standardised": distance(np.where(std > 0, std, 1.0)),
    }


def anomaly_scores(found: Fingerprints, scorers: Mapping[str, Callable]) -> dict[str, np.ndarray]:
    """Every score of N sources, (N,) each, by name; NaN where a fingerprint is not finite."""
    n_detections = found.n_detections.astype(float)
    finite = found.finite
    fitted = {name: np.full(len(finite), np.nan) for name in scorers}
    if finite.any():
        for name, score in scorers.items():
            fitted[name][finite] = score(found.latent[finite])
    counted = zip(TRIVIAL, (-n_detections, n_detections), strict=True)
    return {"reconstruction error": found.error.astype(float), **fitted, **dict(counted)}


def differences(model, store: Store, others: Sequence[Store]) -> list[str]:
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


def anomaly_records(
    inlier: Mapping[str, np.ndarray],
    outlier: Mapping[str, np.ndarray],
    group: np.ndarray,
    top: int,
    resamples: Mapping,
) -> list[Record]:
    """Score ROC-AUC and purity by every score, for all outliers and each group of them against all inliers.

    Beside the purity: that of a random choice, and the best possible. Scores are (N,) and (M,) by name.
    """
    n_inliers, records = len(next(iter(inlier.values()))), []
    for name in ["all", *sorted(set(group.tolist()))]:
        member = np.ones(len(group), bool) if name == "all" else group == name
        label = np.r_[np.zeros(member.sum(), int), np.ones(n_inliers, int)]  # column 0 of the score: outliers
        joined = {s: np.r_[outlier[s][member], inlier[s]] for s in inlier}

        def statistic(counts, label=label, joined=joined):
            aucs = [statistics.class_auc(label, s[:, None], counts)[:, 0] for s in joined.values()]
            return np.column_stack([*aucs, *(purity(s, label == 0, counts, top) for s in joined.values())])

        found = statistics.bootstrap(statistic, len(label), **resamples)
        keys = {"group": name, "n": int(member.sum())}
        of_score = zip(("ROC-AUC",) * len(joined) + ("purity",) * len(joined), found, [*joined] * 2)
        records += [record(score, e, method=method, **keys) for score, e, method in of_score]
        records.append(record("purity", keys["n"] / len(label), method=CHANCE, **keys))
        records.append(record("purity", min(keys["n"] / min(top, len(label)), 1), method=BEST, **keys))
    return records


def purity(score: np.ndarray, outlier: np.ndarray, counts: np.ndarray, top: int) -> np.ndarray:
    """Share of outliers among the `top` highest scores of each resample; ties share the last places."""
    order = np.argsort(-score, kind="stable")
    start = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    drawn = np.add.reduceat(counts[:, order], start, axis=1).astype(float)
    strange = np.add.reduceat(counts[:, order] * outlier[order], start, axis=1)
    before = np.cumsum(drawn, axis=1) - drawn
    taken = np.clip(top - before, 0, drawn)
    share = np.divide(strange, drawn, out=np.zeros_like(drawn), where=drawn > 0)
    return (taken * share).sum(1) / taken.sum(1)


def anomaly_figure(records: Sequence[Record], inlier: Mapping, outlier: Mapping) -> Figure:
    """ROC-AUC of each group and score with 95 % intervals, and ROC curves of all outliers together."""
    from sklearn.metrics import roc_curve

    auc = select(records, score="ROC-AUC")
    groups = list({r.group: r.n for r in auc}.items())
    figure, (left, right) = grid_of(2, 6, max(3.9, 0.7 + 0.72 * len(groups)))
    y = np.arange(len(groups))[::-1]
    for k, name in enumerate(inlier):
        grey = TRIVIAL.index(name) if name in TRIVIAL else None
        colour = COLOURS[k] if grey is None else ("0.4", "0.65")[grey]
        own = select(auc, method=name)
        left.errorbar(
            [r.value for r in own], y + 0.14 * (len(inlier) / 2 - 0.5 - k), xerr=whiskers(own), color=colour,
            fmt=MARKERS[k], markersize=6, elinewidth=1.4, label=name,
        )  # fmt: skip
        dash = "-" if grey is None else "--"
        truth = np.repeat([0, 1], [len(inlier[name]), len(outlier[name])])
        fall, rise, _ = roc_curve(truth, np.r_[inlier[name], outlier[name]], drop_intermediate=False)
        right.plot(fall, rise, color=colour, linewidth=1.6, linestyle=dash)
    left.axvline(0.5, color="0.45", linestyle=":", linewidth=1.3)
    left.set_yticks(y, [literal(f"{name} ({n:,})") for name, n in groups])
    left.hlines(y[:-1] - 0.5, *left.get_xlim(), color="0.9", linewidth=0.8)
    left.set(ylim=(-0.5, len(groups) - 0.5), xlabel="ROC-AUC, 95 % intervals")
    n_inliers = len(next(iter(inlier.values())))
    left.set_title(f"class of outlier (sources) against {n_inliers:,} inliers", fontsize=11)
    right.plot([0, 1], [0, 1], color="0.45", linestyle=":", linewidth=1.3)
    right.set(xlabel="share of inliers above the threshold", ylabel="share of outliers above the threshold")
    right.set_title(f"all {groups[0][1]:,} outliers together", fontsize=11)
    right.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    tidy(left, right)
    legend(figure, (left,))
    return figure
