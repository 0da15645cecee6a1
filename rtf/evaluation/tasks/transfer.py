"""Transfer: does a model trained on simulated sources alone classify light curves of the sky?

Notable:
- nothing is tuned on a real source: the probe for N detections is fitted on the run's own training split at
  the same N, the head is the run's own, and real sources are only scored
- beside every real score stands the same one on the simulated test split of the same classes: the difference
  is what the simulation lacks
- SN Ia against TDE is ranked by p(TDE) / (p(TDE) + p(SN Ia)), which no prior of the other classes changes
- a table of plain numbers of both kinds of light curves says where they differ: the probability that a real
  source lies above a simulated one (ties half) is 0.5 where they agree, whatever their units and shapes
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtf.alerts.history import BANDS, Detections, join
from rtf.classes import FINE, UNKNOWN, coarse_label
from rtf.evaluation import classification as cls
from rtf.evaluation import statistics
from rtf.evaluation.record import MAJORITY, Record, distinct, record, record_table, select, shown_text
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.figures import confusion_figure
from rtf.store.read import open_store

SN_IA, TDE = FINE.index("SN Ia"), FINE.index("TDE")
RANKED = "ROC-AUC SN Ia / TDE"
REAL, SIMULATED, BARE = "real", "simulated", "simulated, bare"
ABOVE = "P(real > simulated)"
#: Sources of either kind below which a class is not compared.
FEWEST = 5
#: Closer detections belong to one visit of the field [day].
_ONE_VISIT = 0.1
QUANTITIES = (
    "detections", "span [day]", "median gap [day]", "first to brightest [day]", "first mag", "brightest mag",
    "range [mag]", "median magerr [mag]", *(f"share of {band}" for band in BANDS),
)  # fmt: skip


def transfer(given: Inputs, *, stores: Sequence[str], counts: Sequence[int | str]) -> Evaluated:
    """Score real sources at each number of detections, coarse and fine, and describe how they differ.

    Parameters
    ----------
    stores : data sets of real light curves; all their sources are scored, whatever their split
    counts : numbers of detections, and "all"
    """
    model, train, test = given.model, given.split("train"), given.split("test")
    known = given.trained | set(train.object_id)
    real, label, sizes = read_real(stores, model.needs_cutouts, known)
    learn = train.label["fine"]
    label, left_out = only_trained(label, learn)
    # the simulated test split, cut to the classes that the real sources have
    same = np.where(np.isin(test.label["fine"], np.unique(label[label >= 0])), test.label["fine"], UNKNOWN)
    scored = {REAL: (real, label), SIMULATED: (test.detections, same)}
    if model.needs_cutouts or "metadata" in model.modalities:
        scored[BARE] = (without(test.detections, real), same)

    made, mistakes, steps = Evaluated(), {}, cls.checked_counts(counts)
    for n in steps:
        latent = given.encode("train", n).latent
        probes = {"fine": cls.fit_probe(latent, learn), "coarse": cls.fit_probe(latent, coarse_label(learn))}
        for where, (detections, truth) in scored.items():
            found = given.encode("test", n) if where == SIMULATED else model.encode(detections, first=n)
            truth = cls.known_where_finite(truth, found)
            if not (truth != UNKNOWN).any():
                continue
            by = {"probe": {
                level: cls.probe_probabilities(probes[level], found.latent, len(names))
                for level, names in LEVELS.items()
            }}  # fmt: skip
            if (fine := found.probability) is not None:
                by["head"] = {"fine": fine, "coarse": cls.coarse_probability(fine)}
            for method, probability in by.items():
                for level, names in LEVELS.items():
                    own, of_train = (coarse_label(x) if level == "coarse" else x for x in (truth, learn))
                    keys = {"level": level, "method": method, "shown": n}
                    records, arrays = cls.class_scores(
                        probability[level], own, of_train, names, **keys, **given.resamples
                    )
                    made.records += [
                        replace(r, group=where if r.group == "all" else f"{where}, {r.group}")
                        for r in records if r.group == "all" or where == REAL
                    ]  # fmt: skip
                    if where == REAL:
                        mistakes[keys["level"], method, n] = cls.confusion_of(
                            arrays, level, "/".join(map(str, filter(None, (method, n)))), len(names)
                        )
                made.records += ranked(probability["fine"], truth, method, n, where, given.resamples)
    made.records = distinct(made.records)
    notes = _notes(given, real, sizes, label, left_out)
    for level in LEVELS:
        own = [r for r in select(made.records, level=level) if r.group in scored]
        made.tables.append(record_table(
            f"Simulated to real, {level} classes", sorted(own, key=lambda r: r.method == MAJORITY),
            {"detections": shown_text, "read by": "method", "sources": "group"},
            (*cls.SCORES, *([RANKED] if level == "fine" else [])), notes, "number",
        ))  # fmt: skip
    made.tables.append(mistakes_table(made.records, mistakes))
    apart = compare(given.view("train"), learn, model.view(real), label, given.resamples)
    made.records += apart
    made.tables.append(apart_table(apart))
    for (level, method, n), confusion in mistakes.items():
        if n == steps[-1]:
            title = f"real sources, {method} trained on simulated ones, {level}, {n or 'all'} detections"
            figure = confusion_figure(confusion, LEVELS[level], title)
            made.figures[f"transfer_{level}_{method}.png"] = figure
    return made


def read_real(
    stores: Sequence[str], cutouts: bool = False, trained: frozenset[str] | set[str] = frozenset()
) -> tuple[Detections, np.ndarray, dict[str, int]]:
    """All sources of several stores as one: detections, (N,) fine labels, and how many each store has."""
    if isinstance(stores, str) or not len(stores):
        raise ValueError("please give stores of real light curves as task.stores=[PATH,...]")
    parts, labels, sizes = [], [], {}
    for path in stores:
        opened = open_store(path)
        if known := sorted(trained & set(opened.object_id)):
            raise ValueError(
                f"{path}: {len(known)} of its sources are in the run's training split ({known[0]}, ...): "
                "that would be no transfer"
            )
        parts.append(opened.detections(cutouts=cutouts))
        labels.append(opened.label.astype(np.int64))
        sizes[Path(path).name] = opened.n
    return join(parts), np.concatenate(labels), sizes


def without(simulated: Detections, real: Detections) -> Detections:
    """Simulated detections without the metadata, and the stamps, that no real detection has."""
    changes = {}
    if not np.isfinite(real.metadata).any():
        changes["metadata"] = np.full_like(simulated.metadata, np.nan)
    if real.stamp is None or not (real.stamp >= 0).any():
        changes |= {"stamp": None, "read_stamps": None}
    return replace(simulated, **changes)


def only_trained(label: np.ndarray, train_label: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Labels with classes that have no training source made unknown, and what is left out, counted by why."""
    trained = np.isin(label, np.unique(train_label[train_label != UNKNOWN]))
    left_out = {"without a label": int((label == UNKNOWN).sum())}
    for c in np.unique(label[~trained & (label != UNKNOWN)]):
        left_out[f"{FINE[c]}, not a training class"] = int((label == c).sum())
    kept = np.where(trained, label, UNKNOWN)
    if not (kept != UNKNOWN).any():
        raise ValueError(f"none of {len(label)} real sources is of a training class: {left_out}")
    return kept, left_out


def ranked(
    probability: np.ndarray, label: np.ndarray, method: str, shown: int | None, where: str, resamples: Mapping
) -> list[Record]:
    """Score the ROC-AUC of TDE against SN Ia by p(TDE) / (p(TDE) + p(SN Ia)); nothing where either is absent.

    Parameters
    ----------
    probability : (N, 15) fine; a source of which both are 0 is ranked in the middle, at 0.5
    label : (N,) fine
    """
    two = np.isin(label, (SN_IA, TDE))
    truth = (label[two] == TDE).astype(int)
    if not truth.any() or truth.all():
        return []
    pair = np.asarray(probability, float)[two][:, [SN_IA, TDE]]
    total = pair.sum(1)
    score = np.where(total > 0, pair[:, 1] / np.where(total > 0, total, 1), 0.5)
    keys = {"level": "fine", "method": method, "shown": shown, "group": where, "n": len(truth)}
    return [record(RANKED, _auc(truth, score, resamples), **keys)]


def mistakes_table(records: list[Record], mistakes: Mapping):
    """Recall of each real class at each number of detections, and what it is taken for most."""
    own = [r for r in select(records, level="coarse", score="recall") if r.group.startswith(f"{REAL}, ")]
    names = LEVELS["coarse"]
    own.sort(key=lambda r: names.index(r.group.removeprefix(f"{REAL}, ")))

    def taken(r: Record) -> str:
        confusion = mistakes[r.level, r.method, r.shown]
        return cls.most_confused(confusion, names, names.index(r.group.removeprefix(f"{REAL}, ")))

    rows = {"class": "group", "detections": shown_text, "read by": "method", "most taken for": taken}
    return record_table("Real sources by class, coarse", own, rows, ("recall",), (), "real sources")


def describe(detections: Detections) -> dict[str, np.ndarray]:
    """The `QUANTITIES` of each source: (N,) each, NaN where a source does not have one.

    A gap is the time between detections at least 0.1 day apart (two bands of one visit are no cadence).
    """
    rows = np.full((len(detections), len(QUANTITIES)), np.nan)
    for k, (a, b) in enumerate(pairwise(detections.offset)):
        if a == b:
            continue
        day, mag = detections.mjd[a:b] - detections.mjd[a], detections.mag[a:b]
        gap = np.diff(day)
        gap = gap[gap >= _ONE_VISIT]
        rows[k] = (
            b - a, day[-1], np.median(gap) if len(gap) else np.nan, day[mag.argmin()], mag[0], mag.min(),
            np.ptp(mag), np.median(detections.magerr[a:b]),
            *np.bincount(detections.band[a:b], minlength=len(BANDS)) / (b - a),
        )  # fmt: skip
    return dict(zip(QUANTITIES, rows.T))


def compare(
    simulated: Detections, simulated_label: np.ndarray, real: Detections, real_label: np.ndarray,
    resamples: Mapping,
) -> list[Record]:  # fmt: skip
    """Score the medians of both, and the probability that real is above simulated, by class and quantity."""
    described, records = (describe(simulated), describe(real)), []
    for c in np.unique(real_label[real_label >= 0]):
        members = simulated_label == c, real_label == c
        if min(m.sum() for m in members) < FEWEST:
            continue
        for name in QUANTITIES:
            ours, theirs = (d[name][m][np.isfinite(d[name][m])] for d, m in zip(described, members))
            if not len(ours) or not len(theirs):
                continue
            keys = {"level": "light curves", "group": FINE[c], "n": len(theirs)}
            for method, values in ((SIMULATED, ours), (REAL, theirs)):
                median = statistics.WeightedMedian(values, np.arange(len(values)))
                found = statistics.bootstrap(median, len(values), **resamples)
                records.append(record(name, found, method=method, **keys))
            truth = np.repeat([0, 1], [len(ours), len(theirs)])
            found = _auc(truth, np.concatenate([ours, theirs]), resamples)
            records.append(record(name, found, method=ABOVE, **keys))
    return records


def apart_table(records: list[Record]):
    """Each quantity of each class, the farthest apart first within a class."""
    off = {(r.group, r.score): -abs(r.value - 0.5) for r in select(records, method=ABOVE)}
    own = sorted(records, key=lambda r: (FINE.index(r.group), off[r.group, r.score]))
    notes = (
        "The model's view of each source; simulated: training split. 0.5: the distributions agree; 0 or 1: "
        f"they do not overlap. Classes of fewer than {FEWEST} sources of either kind are left out. "
        "Intervals: bootstrap over sources.",
    )
    columns = {f"{m}, median": {"method": m} for m in (SIMULATED, REAL)} | {ABOVE: {"method": ABOVE}}
    rows = {"class": "group", "quantity": "score"}
    title = "Simulated and real light curves, by class"
    return record_table(title, own, rows, columns, notes, "real sources")


def _auc(truth: np.ndarray, score: np.ndarray, resamples: Mapping) -> statistics.Estimate:
    def auc(counts):
        return statistics.class_auc(truth, np.column_stack([-score, score]), counts)[:, 1]

    return statistics.bootstrap(auc, len(truth), **resamples)


def _notes(given: Inputs, real: Detections, sizes: Mapping, label, left_out: Mapping) -> list[str]:
    model, ours = given.model, given.split("train").detections
    notes = [
        given.how,
        f"Real sources: {', '.join(f'{name} {n:,}' for name, n in sizes.items())}; "
        f"scored {int((label != UNKNOWN).sum()):,}.",
        *cls.class_notes(label, given.split("train").label["fine"], FINE)[:1],
    ]
    if left := ", ".join(f"{n:,} {why}" for why, n in left_out.items() if n):
        notes.append(f"Real sources left out: {left}.")
    shares = {}
    if "metadata" in model.modalities:
        shares["any metadata"] = [np.isfinite(d.metadata).any(1).mean() for d in (real, ours)]
    if model.needs_cutouts:
        shares["stamps"] = [0.0 if d.stamp is None else (d.stamp >= 0).mean() for d in (real, ours)]
    for what, (theirs, own) in shares.items():
        text = f"{100 * theirs:.0f} % real, {100 * own:.0f} % simulated"
        notes.append(f"Detections with {what}: {text}; missing is masked.")
    if shares:
        notes.append("Simulated, bare: without the metadata and stamps that no real detection has.")
    return notes
