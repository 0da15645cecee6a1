"""Anomaly detection: do sources of classes the model never saw stand out from the test split?

Notable:
- inliers are the test sources of the store; outliers the sources of the classes that the run was never to see
  (`data.leave_out`), and those of other stores, by class. A class that the train split has, or a store that
  was trained on besides (`data.also_train`), is no outlier: it is left out and named
- scores, higher is stranger: reconstruction error, the decoder's -log likelihood, isolation forest (Liu, Ting
  & Zhou 2008), distance to the k-th nearest training fingerprint, as it is and standardised, and strangeness
  (`rtf/encoding/strangeness.py`). None has seen an outlier
- beside them the number of detections, which needs no model, taken both ways: a score that does no better
  than counting has found nothing else
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprints
from rtf.encoding.strangeness import fit_strangeness
from rtf.evaluation import statistics
from rtf.evaluation.record import CHANCE, Record, record, record_table, select
from rtf.evaluation.run import Evaluated, Inputs
from rtf.figures import COLOURS, MARKERS, grid_of, legend, literal, tidy, whiskers
from rtf.store.read import Store, open_store

#: Scores that need no model, one the negative of the other.
TRIVIAL = ("few detections", "many detections")
BEST = "best possible"


def anomaly(given: Inputs, *, outliers: str | list[str], neighbours: int, trees: int, top: int) -> Evaluated:
    """Score how each class of the outlier stores stands out, and how pure the `top` strangest sources are."""
    paths = [outliers] if isinstance(outliers, str) else list(outliers)
    others, odd = [open_store(path) for path in paths], np.isin(given.store.label, given.left_out)
    if not paths and not odd.any():
        raise ValueError(
            "please give task.outliers=STORE: the stores whose sources are the outliers (or train with "
            "data.leave_out=[CLASSES])"
        )
    if own := [path for path, other in zip(paths, others) if other.digest == given.store.digest]:
        raise ValueError(f"outliers: {own[0]} is the store of the inliers, and the model trained on it")
    train, test = given.split("train"), given.split("test")
    seen = (given.classes or set()) | (set(train.label["fine"].tolist()) - {UNKNOWN})
    usual = (test.label["fine"] == UNKNOWN) | np.isin(test.label["fine"], list(seen))
    if not usual.any():
        raise ValueError(f"{given.store.path} has no test source of a class it trains on: no inliers")

    scorers = fit_scorers(train.found.latent, neighbours=neighbours, trees=trees, seed=given.seed)
    model = given.model
    if test.found.surprise is not None and model.strangeness is None:
        model.strangeness = fit_strangeness(
            model, train.detections, given.split("val").detections, given.seed
        )
    stores = [(o, np.arange(o.n)) for o in others] + [(given.store, np.flatnonzero(odd))] * bool(odd.any())
    found = [model.encode(o.detections(cutouts=model.needs_cutouts).take(rows)) for o, rows in stores]
    scores = [anomaly_scores(f, scorers) for f in found]
    outlier = {name: np.concatenate([s[name] for s in scores]) for name in scores[0]}
    label = [(c, Path(o.path).stem) for o, rows in stores for c in o.label[rows]]
    group = np.array([FINE[c] if c != UNKNOWN else stem for c, stem in label])
    names = [name for o, rows in stores for name in o.object_id[rows]]
    left_out = {
        "of classes that were trained on": np.isin(group, [FINE[c] for c in seen]),
        "the run was trained on them": np.isin(names, list(given.trained)),
        "fingerprints not finite": ~np.all([np.isfinite(s) for s in outlier.values()], axis=0),
    }
    keep, notes = np.ones(len(group), bool), []
    if given.classes is None:
        notes.append(
            "The run does not say which classes data.also_train had: they may be among the outliers."
        )
    for why, out in left_out.items():
        counts = Counter(sorted(group[keep & out].tolist())).items()
        notes += [f"Left out, {why}: {', '.join(f'{c} ({n:,})' for c, n in counts)}."] * bool(counts)
        keep &= ~out
    if not keep.any():
        raise ValueError("no outliers left: " + " ".join(notes))
    # encoded again, for the strangeness that may be new
    inliers = anomaly_scores(model.encode(test.detections), scorers)
    inlier = {name: s[usual] for name, s in inliers.items()}
    outlier = {name: s[keep] for name, s in outlier.items()}
    records = anomaly_records(inlier, outlier, group[keep], top, given.resamples)
    if not usual.all():
        notes.append(f"Left out, inliers of a class that was not trained on: {(~usual).sum():,}.")
    how = [
        f"{' and '.join(TRIVIAL)}: without a model, the baseline; whichever suits the class.",
        f"{usual.sum():,} inliers. Isolation forest and distance to neighbour {neighbours} are fitted on "
        "training fingerprints alone.",
        given.how.replace("the test sources", "inliers and outliers"),
        *notes, *differences(given.model, given.store, others),
    ]  # fmt: skip
    tables = []
    titles = ("Anomaly detection, ROC-AUC (chance 0.5)", f"Outliers among the {top} strangest sources")
    for score, title in zip(("ROC-AUC", "purity"), titles):
        own = select(records, score=score)
        columns = {r.method: {"method": r.method} for r in own}
        tables.append(record_table(title, own, {"outliers": "group"}, columns, how, "number"))
    figure = anomaly_figure(records, f"class of outlier (sources) against {usual.sum():,} inliers")
    return Evaluated(records, tables, {"anomaly.png": figure})


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
    n_detections, finite = found.n_detections.astype(float), found.finite
    scores = {"reconstruction error": found.error.astype(float)}
    own = {"decoder likelihood": found.surprise, "strangeness": found.strangeness}
    scores |= {name: values.astype(float) for name, values in own.items() if values is not None}
    for name, score in scorers.items():
        scores[name] = np.full(len(finite), np.nan)
        if finite.any():
            scores[name][finite] = score(found.latent[finite])
    return scores | dict(zip(TRIVIAL, (-n_detections, n_detections)))


def differences(model, store: Store, others: Sequence[Store]) -> list[str]:
    """What besides the class tells the stores apart, as notes."""
    notes = []
    for s in (store, *others):
        if model.needs_cutouts:
            notes.append(f"{Path(s.path).stem} {'has' if s.has_cutouts else 'lacks'} stamps.")
        if "metadata" in model.modalities:
            known = np.isfinite(s.read("metadata")).mean()
            notes.append(f"{Path(s.path).stem}: {known:.0%} of the metadata known.")
    return notes


def anomaly_records(
    inlier: Mapping[str, np.ndarray], outlier: Mapping[str, np.ndarray], group: np.ndarray, top: int,
    resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Score ROC-AUC and purity by every score, for all outliers and each group, against the inliers."""
    records = []
    for name in ["all", *sorted(set(group.tolist()))]:
        member = (group == name) | (name == "all")
        joined = {s: np.r_[outlier[s][member], inlier[s]] for s in inlier}
        n, total = int(member.sum()), len(next(iter(joined.values())))
        label = (np.arange(total) >= n).astype(int)  # outliers are class 0

        def statistic(counts, label=label, joined=joined):
            aucs = [statistics.class_auc(label, s[:, None], counts)[:, 0] for s in joined.values()]
            return np.column_stack([*aucs, *(purity(s, label == 0, counts, top) for s in joined.values())])

        found = iter(statistics.bootstrap(statistic, total, **resamples))
        keys = {"group": name, "n": n}
        for score in ("ROC-AUC", "purity"):
            records += [record(score, next(found), method=method, **keys) for method in joined]
        records.append(record("purity", n / total, method=CHANCE, **keys))
        records.append(record("purity", min(n / min(top, total), 1), method=BEST, **keys))
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


def anomaly_figure(records: Sequence[Record], title: str) -> Figure:
    """ROC-AUC of each group of outliers and each score, with 95 % intervals."""
    auc = select(records, score="ROC-AUC")
    groups = {r.group: r.n for r in auc}
    methods = list(dict.fromkeys(r.method for r in auc))
    figure, (axes,) = grid_of(1, 7.5, max(3.9, 0.7 + 0.72 * len(groups)))
    y = np.arange(len(groups))[::-1]
    for k, (method, colour) in enumerate(zip(methods, [*COLOURS[: len(methods) - 2], "0.4", "0.65"])):
        own = select(auc, method=method)
        place = y + 0.85 * (0.5 - (k + 0.5) / len(methods))
        style = {"color": colour, "fmt": MARKERS[k], "markersize": 6, "label": method}
        axes.errorbar([r.value for r in own], place, xerr=whiskers(own), **style)
    axes.axvline(0.5, color="0.45", linestyle=":", linewidth=1.3)
    axes.set_yticks(y, [literal(f"{name} ({n:,})") for name, n in groups.items()])
    axes.set_xlabel("ROC-AUC, 95 % intervals")
    axes.set_title(title, fontsize=11)
    tidy(axes)
    legend(figure, (axes,))
    return figure
