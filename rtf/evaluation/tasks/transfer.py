"""From simulated to real: a model trained on simulated sources alone classifies light curves of the sky.

Notable:
- nothing is tuned on a real source: the probe for N detections is fitted on the run's own training split at
  the same N, the head is the run's own, and real sources are only scored
- beside every real score stands the same one on the simulated test split of the same classes: the difference
  is what the simulation lacks
- SN Ia against TDE is ranked by p(TDE) / (p(TDE) + p(SN Ia)), which no prior of the other classes changes
- a table of plain numbers of both kinds of light curves says where they differ
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections, join
from rtf.classes import FINE, UNKNOWN, coarse_label
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import metrics, tables
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate
from rtf.evaluation.tasks import domain
from rtf.evaluation.tasks.early import LEVELS, checked_counts, coarse_probability
from rtf.evaluation.tasks.probe import ProbeResult, fit_probe, score_probabilities
from rtf.figures import confusion_figure
from rtf.files import write_json
from rtf.store.store import Store, open_store

COUNTS = (5, 10, 20, "all")
SN_IA, TDE = FINE.index("SN Ia"), FINE.index("TDE")


def run_transfer(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    stores: Sequence[str],
    counts: Sequence[int | str] = COUNTS,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """Scores of real sources at each number of detections, coarse and fine, and why they are what they are.

    Writes transfer.json, transfer.md and transfer_{coarse,fine}_{probe,head}.png (confusion at all
    detections).

    Parameters
    ----------
    stores : data sets of real light curves; all their sources are scored, whatever their split
    counts : numbers of detections, and "all"

    Raises
    ------
    ValueError : no store given, a real source that the run was trained on, counts that are neither, no real
        source of a class with training sources
    """
    counts = checked_counts(counts)
    real, label, n_sources = read_real(
        stores, model.needs_cutouts, set(store.object_id[store.sources("train")])
    )
    ours = {s: store.detections(s, cutouts=model.needs_cutouts) for s in ("train", "test")}
    own_label = {s: store.label[store.sources(s)].astype(np.int64) for s in ours}
    label, left_out = only_trained(label, own_label["train"])
    # the simulated test split, cut to the classes that the real sources have
    same = np.where(np.isin(own_label["test"], np.unique(label[label >= 0])), own_label["test"], UNKNOWN)

    scored = [("real", real, label), ("simulated", ours["test"], same)]
    if model.needs_cutouts or "metadata" in model.modalities:
        scored.append(("simulated, bare", without(ours["test"], real), same))
    results: dict = {level: {} for level in LEVELS}
    ranking: dict = {}
    settings = {"seed": seed, "n_bootstrap": n_bootstrap}
    for n in counts:
        first = None if n == "all" else n
        train = model.encode(ours["train"], first=first)
        fine = fit_probe(train.latent, own_label["train"])
        coarse = fit_probe(train.latent, coarse_label(own_label["train"]))
        for where, detections, truth in scored:
            found = model.encode(detections, first=first)
            given = {"probe": {"fine": _columns(fine, found.latent, len(FINE))}}
            given["probe"]["coarse"] = _columns(coarse, found.latent, len(LEVELS["coarse"]))
            if found.probability is not None:
                given["head"] = {"fine": found.probability, "coarse": coarse_probability(found.probability)}
            for reader, probability in given.items():
                for level, names in LEVELS.items():
                    here, there = (truth, own_label["train"])
                    if level == "coarse":
                        here, there = coarse_label(here), coarse_label(there)
                    if (here != UNKNOWN).any():
                        results[level][n, reader, where] = score_probabilities(
                            probability[level], here, there, names, **settings
                        )
                ranking[n, reader, where] = ranked(probability["fine"], truth, **settings)

    apart = domain.compare(model.view(ours["train"]), own_label["train"], model.view(real), label, **settings)
    notes = _notes(model, ours["train"], real, n_sources, label, left_out)
    made = [transfer_table(results[level], ranking, level, notes) for level in LEVELS]
    made += [mistakes_table(results["coarse"]), domain.domain_table(apart)]
    record = {
        "sources": n_sources, "left_out": left_out, "notes": notes, "domain": tables.plain(apart),
        **{level: _nested({k: tables.probe_dict(r) for k, r in of.items()}) for level, of in results.items()},
        "sn_ia_vs_tde_auc": _nested({k: tables.plain(r) for k, r in ranking.items()}),
    }  # fmt: skip
    write_json(out / "transfer.json", record)
    tables.write_markdown(out / "transfer.md", made)
    figures = []
    for level, of in results.items():
        for (n, reader, where), r in of.items():
            if n == counts[-1] and where == "real":
                figures.append(out / f"transfer_{level}_{reader}.png")
                title = f"real sources, {reader} trained on simulated ones, {level}, {n} detections"
                _confusion(r, figures[-1], title)
    return made, figures


def read_real(
    stores: Sequence[str], cutouts: bool = False, trained: set[str] = frozenset()
) -> tuple[Detections, np.ndarray, dict[str, int]]:
    """All sources of several stores as one: detections, (N,) fine labels, and how many each store has.

    Raises
    ------
    ValueError : no store, or sources of which the name is among `trained`
    rtf.store.store.StoreError : a store that cannot be read
    """
    if isinstance(stores, str) or not len(stores):
        raise ValueError("please give stores of real light curves as task.stores=[PATH,...]")
    parts, labels, sizes = [], [], {}
    for path in stores:
        opened = open_store(path)
        known = sorted(trained & set(opened.object_id))
        if known:
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
    """Labels with classes that have no training source made unknown, and what is left out, counted by why.

    Raises
    ------
    ValueError : nothing is left
    """
    trained = np.isin(label, np.unique(train_label[train_label != UNKNOWN]))
    left_out = {"without a label": int((label == UNKNOWN).sum())}
    for c in np.unique(label[~trained & (label != UNKNOWN)]):
        left_out[f"{FINE[c]}, not a training class"] = int((label == c).sum())
    kept = np.where(trained, label, UNKNOWN)
    if not (kept != UNKNOWN).any():
        raise ValueError(f"none of {len(label)} real sources is of a training class: {left_out}")
    return kept, left_out


def ranked(probability: np.ndarray, label: np.ndarray, *, seed: int, n_bootstrap: int) -> dict | None:
    """ROC-AUC of TDE against SN Ia by p(TDE) / (p(TDE) + p(SN Ia)), or None where either is absent.

    Parameters
    ----------
    probability : (N, 15) fine; a source of which both are 0 is ranked in the middle, at 0.5
    label : (N,) fine
    """
    two = np.isin(label, (SN_IA, TDE))
    truth = (label[two] == TDE).astype(int)
    if not truth.any() or truth.all():
        return None
    pair = np.asarray(probability, float)[two][:, [SN_IA, TDE]]
    total = pair.sum(1)
    score = np.where(total > 0, pair[:, 1] / np.where(total > 0, total, 1), 0.5)

    def auc(counts):
        return metrics.class_auc(truth, np.column_stack([1 - score, score]), counts)[:, 1]

    found = bootstrap(auc, len(truth), n_resamples=n_bootstrap, seed=seed)
    return {"auc": found, "n_sn_ia": int((truth == 0).sum()), "n_tde": int(truth.sum())}


def transfer_table(
    results: dict[tuple, ProbeResult], ranking: dict[tuple, dict | None], level: str, notes: Sequence[str]
) -> tables.Table:
    """One row a number of detections, reader and kind of source, then the majority-class baselines."""
    rows, baselines = [], {}
    for (n, reader, where), r in results.items():
        scores = [format_estimate(e) for e in (r.accuracy, r.balanced_accuracy, r.auc)]
        pair = ranking[n, reader, where]
        auc = format_estimate(pair["auc"] if pair else Estimate(*3 * (np.nan,)))
        rows.append((str(n), reader, where, *scores, auc, f"{int(r.test_count.sum()):,}"))
        baselines[where] = r
    for where, r in baselines.items():
        scores = [format_estimate(e) for e in (r.baseline.accuracy, r.baseline.balanced_accuracy)]
        name = f"majority class ({r.baseline.class_name})"
        rows.append((name, "", where, *scores, "0.500", "0.500", f"{int(r.test_count.sum()):,}"))
    counts = "; ".join(
        f"{where}: "
        + ", ".join(f"{n} {int(k):,}" for n, k in zip(r.class_names, r.test_count, strict=True) if k)
        for where, r in baselines.items()
    )
    r = next(iter(results.values()))
    how = f"95 % intervals: {r.n_resamples:,} bootstrap resamples of the sources, seed {r.seed}."
    columns = (
        "detections", "read by", "sources", "accuracy", "balanced accuracy", "ROC-AUC (macro)",
        "ROC-AUC SN Ia / TDE", "number",
    )  # fmt: skip
    title = f"Simulated to real, {level} classes"
    return tables.Table(title, columns, tuple(rows), (how, f"Sources scored, {counts}.", *notes))


def mistakes_table(results: dict[tuple, ProbeResult]) -> tables.Table:
    """Recall of each real class at each number of detections, and what it is taken for most."""
    rows = []
    for (n, reader, where), r in results.items():
        if where != "real":
            continue
        for c in np.flatnonzero(r.test_count):
            wrong = np.where(np.arange(len(r.class_names)) == c, 0, r.confusion[c])
            taken = f"{r.class_names[wrong.argmax()]} ({wrong.max():,})" if wrong.any() else "–"
            recall, total = format_estimate(r.recall[c]), f"{r.test_count[c]:,}"
            rows.append((r.class_names[c], str(n), reader, recall, taken, total))
    rows.sort(key=lambda row: list(LEVELS["coarse"]).index(row[0]))
    columns = ("class", "detections", "read by", "recall", "most taken for", "real sources")
    return tables.Table("Real sources by class, coarse", columns, tuple(rows))


def _notes(model, ours: Detections, real: Detections, n_sources, label, left_out) -> list[str]:
    sizes = ", ".join(f"{name} {n:,}" for name, n in n_sources.items())
    notes = [f"Real sources: {sizes}; scored {int((label != UNKNOWN).sum()):,}."]
    left = ", ".join(f"{n:,} {why}" for why, n in left_out.items() if n)
    if left:
        notes.append(f"Real sources left out: {left}.")
    if "metadata" in model.modalities:
        shares = (100 * np.isfinite(d.metadata).any(1).mean() for d in (real, ours))
        notes.append(
            "Detections with any metadata: {:.0f} % real, {:.0f} % simulated; missing is masked.".format(
                *shares
            )
        )
    if model.needs_cutouts or "metadata" in model.modalities:
        notes.append("Simulated, bare: without the metadata and stamps that no real detection has.")
    if model.needs_cutouts:
        shares = (0.0 if d.stamp is None else 100 * (d.stamp >= 0).mean() for d in (real, ours))
        notes.append(
            "Detections with stamps: {:.0f} % real, {:.0f} % simulated; missing is masked.".format(*shares)
        )
    return notes


def _confusion(result: ProbeResult, path: Path, title: str) -> None:
    # only classes that are there or were answered
    used = np.flatnonzero(result.confusion.sum(0) + result.confusion.sum(1))
    names = [result.class_names[c] for c in used]
    confusion_figure(result.confusion[np.ix_(used, used)], names, path, title)


def _columns(probe, fingerprints: np.ndarray, n_classes: int) -> np.ndarray:
    probability = np.zeros((len(fingerprints), n_classes))
    probability[:, probe.classes] = probe.probabilities(fingerprints)
    return probability


def _nested(flat: dict[tuple, object]) -> dict:
    nested: dict = {}
    for (n, reader, where), value in flat.items():
        nested.setdefault(str(n), {}).setdefault(reader, {})[where] = value
    return nested
