"""Transfer: does a model trained on simulated sources alone classify light curves of the sky?

Notable:
- probe and head see no real source: the probe for N detections is fitted on the run's own training split at
  the same N. The simulator itself was tuned on real tables: experiments/README.md says on which
- beside every real score stands the same one on the simulated test split of the same classes
- SN Ia against TDE is ranked by p(TDE) / (p(TDE) + p(SN Ia)), which no prior of the other classes changes
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections, join
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


def transfer(given: Inputs, *, stores: Sequence[str], counts: Sequence[int | str]) -> Evaluated:
    """Score all sources of real `stores`, whatever their split, at each number of detections."""
    model, train, test = given.model, given.split("train"), given.split("test")
    known = given.trained | set(train.object_id)
    real, label, sizes = read_real(stores, model.needs_cutouts, known)
    learn = {"fine": train.label["fine"], "coarse": coarse_label(train.label["fine"])}
    label, left_out = only_trained(label, learn["fine"])
    # the simulated test split, cut to the classes that the real sources have
    same = np.where(np.isin(test.label["fine"], np.unique(label[label >= 0])), test.label["fine"], UNKNOWN)
    scored = {REAL: (real, label), SIMULATED: (test.detections, same)}
    if model.needs_cutouts or "metadata" in model.modalities:
        scored[BARE] = (without(test.detections, real), same)

    made, steps = Evaluated(), cls.checked_counts(counts)
    for n in steps:
        latent = given.encode("train", n).latent
        probes = {level: cls.fit_probe(latent, learn[level]) for level in LEVELS}
        for where, (detections, truth) in scored.items():
            found = given.encode("test", n) if where == SIMULATED else model.encode(detections, first=n)
            truth = cls.known_where_finite(truth, found)
            if not (truth != UNKNOWN).any():
                continue
            for (method, level), probability in cls.readings(found, probes, learn).items():
                if method == cls.ALIKE:
                    continue
                own = truth if level == "fine" else coarse_label(truth)
                keys = {"level": level, "method": method, "shown": n}
                of_level = own, learn[level], LEVELS[level]
                records, arrays = cls.class_scores(probability, *of_level, **keys, **given.resamples)
                made.records += [replace(r, group=where) for r in records if r.group == "all"]
                if level == "fine":
                    made.records += ranked(probability, truth, method, n, where, given.resamples)
                if where == REAL:
                    of_class = [r for r in records if r.group != "all"]
                    made.records += [replace(r, group=f"{REAL}, {r.group}") for r in of_class]
                if where == REAL and n == steps[-1]:
                    place = method if n is None else f"{method}/{n}"
                    confusion = cls.confusion_of(arrays, level, place, len(LEVELS[level]))
                    title = f"real sources, {method} trained on simulated ones, {n or 'all'} detections"
                    figure = confusion_figure(confusion, LEVELS[level], title)
                    made.figures[f"transfer_{level}_{method}.png"] = figure
    made.records = distinct(made.records)
    notes = _notes(given, real, sizes, label, left_out)
    for level in LEVELS:
        own = [r for r in select(made.records, level=level) if r.group in scored]
        made.tables.append(record_table(
            f"Simulated to real, {level} classes", sorted(own, key=lambda r: r.method == MAJORITY),
            {"detections": shown_text, "read by": "method", "sources": "group"},
            (*cls.SCORES, *([RANKED] if level == "fine" else [])), notes, "number",
        ))  # fmt: skip
    of_class = [r for r in select(made.records, level="coarse", score="recall") if r.group not in scored]
    made.tables.append(record_table(
        "Real sources by class, coarse", sorted(of_class, key=lambda r: r.group),
        {"class": "group", "detections": shown_text, "read by": "method"}, ("recall",), (), "real sources",
    ))  # fmt: skip
    return made


def read_real(stores: Sequence[str], cutouts: bool = False, trained: Set[str] = frozenset()):
    """All sources of several stores as one: detections, (N,) fine labels, and how many each store has."""
    if isinstance(stores, str) or not len(stores):
        raise ValueError("please give stores of real light curves as task.stores=[PATH,...]")
    opened = [open_store(path) for path in stores]
    for store in opened:
        if known := sorted(trained & set(store.object_id)):
            n, which = len(known), f"are in the run's training split ({known[0]}, ...)"
            raise ValueError(f"{store.path}: {n} of its sources {which}: that would be no transfer")
    label = np.concatenate([store.label.astype(np.int64) for store in opened])
    sizes = {Path(store.path).name: store.n for store in opened}
    return join([store.detections(cutouts=cutouts) for store in opened]), label, sizes


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
    kept = np.where(np.isin(label, train_label), label, UNKNOWN)
    left_out = {"without a label": int((label == UNKNOWN).sum())}
    for c in np.unique(label[label != kept]):
        left_out[f"{FINE[c]}, not a training class"] = int((label == c).sum())
    if not (kept != UNKNOWN).any():
        raise ValueError(f"none of {len(label)} real sources is of a training class: {left_out}")
    return kept, left_out


def ranked(
    probability: np.ndarray, label: np.ndarray, method: str, shown: int | None, where: str, resamples: Mapping
) -> list[Record]:
    """Score the ROC-AUC of TDE against SN Ia of fine probabilities (N, 15); nothing where either is absent.

    Where both probabilities are 0 a source is ranked at 0.5.
    """
    two = np.isin(label, (SN_IA, TDE))
    truth = (label[two] == TDE).astype(int)
    if not truth.any() or truth.all():
        return []
    ia, tde = np.asarray(probability, float)[two][:, [SN_IA, TDE]].T
    score = np.divide(tde, ia + tde, out=np.full(len(truth), 0.5), where=ia + tde > 0)

    def statistic(counts):
        return statistics.class_auc(1 - truth, score[:, None], counts)[:, 0]

    found = statistics.bootstrap(statistic, len(truth), **resamples)
    keys = {"level": "fine", "method": method, "shown": shown, "group": where, "n": len(truth)}
    return [record(RANKED, found, **keys)]


def _notes(given: Inputs, real: Detections, sizes: Mapping, label, left_out: Mapping) -> list[str]:
    model, ours = given.model, given.split("train").detections
    stores, left = (", ".join(f"{n:,} {what}" for what, n in x.items() if n) for x in (sizes, left_out))
    notes = [
        given.how,
        f"Real sources: {stores}; scored {int((label != UNKNOWN).sum()):,}.",
        *cls.class_notes(label, given.split("train").label["fine"], FINE)[:1],
        *([f"Real sources left out: {left}."] if left else []),
    ]
    if model.needs_cutouts or "metadata" in model.modalities:
        known = [np.isfinite(d.metadata).any(1).mean() for d in (real, ours)]
        stamps = [0.0 if d.stamp is None else (d.stamp >= 0).mean() for d in (real, ours)]
        text = "{:.0%} real, {:.0%} simulated; with stamps: {:.0%} real, {:.0%} simulated"
        notes.append(f"Detections with any metadata: {text.format(*known, *stamps)}. Missing is masked.")
        notes.append("Simulated, bare: without the metadata and stamps that no real detection has.")
    return notes
