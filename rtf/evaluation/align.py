"""Alignment: does a map bring new fingerprints to where the old ones lie?

Notable:
- the map is fitted on the training split, its strength chosen on validation, all scores are of test sources
  that neither run was trained on
- search: the archive holds the old fingerprints of the test sources. The 10 nearest of a source by its old
  fingerprint are the truth; how many of them are among the 10 nearest by its new one? Itself does not count
- classes: the old run's head and probe, as they are, read old, mapped and new fingerprints
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import rtf
from rtf.classes import COARSE, FINE, UNKNOWN
from rtf.documents import Table, to_markdown, write_text
from rtf.encoding.align import fit_map
from rtf.encoding.load import load, trained_on
from rtf.encoding.table import load_probe
from rtf.evaluation import classification as cls
from rtf.evaluation import statistics
from rtf.evaluation.record import CHANCE, Record, plain, record, record_table
from rtf.evaluation.run import Inputs
from rtf.evaluation.search import neighbours
from rtf.evaluation.statistics import N_RESAMPLES, bootstrap
from rtf.store.read import open_store

MAP, RESULT = "map.safetensors", "align"
OLD, MAPPED, AS_IS = "old", "new, mapped", "new, as it is"
NEAREST = 10


def align(
    old: str | Path, new: str | Path, store: str | Path, out: str | Path | None = None, *, seed: int = 0,
    n_bootstrap: int = N_RESAMPLES, progress: Callable | None = None,
) -> tuple[list[Record], list[Table], Path]:  # fmt: skip
    """Fit a map from the fingerprints of the run `new` to those of `old`, and measure it.

    Parameters
    ----------
    store : data set whose three splits are used
    out : folder of the map, the records and the tables; None: NEW/align/OLD'S SPACE
    progress : context manager of a bar, given what is done and of how many sources

    Returns
    -------
    records, tables, and the folder

    Raises
    ------
    RunError : a run cannot be used, or no test source is left
    ValueError : the runs are of one space, or a split is empty
    """
    store, runs = open_store(store), {OLD: Path(old), "new": Path(new)}
    models = {name: load(run) for name, run in runs.items()}
    spaces = models["new"].space, models[OLD].space
    if spaces[0] == spaces[1]:
        raise ValueError(f"{old} and {new} are of one space, {spaces[0]}: their fingerprints need no map")
    seen = frozenset().union(*(trained_on(run) for run in runs.values()))
    notes = [f"{run} does not say what it was trained on." for run in runs.values() if not trained_on(run)]
    drawn = {"seed": seed, "n_bootstrap": n_bootstrap, "progress": progress}
    given = {name: Inputs(model, store, trained=seen, **drawn) for name, model in models.items()}
    # these may have been trained on
    fitting = {name: Inputs(model, store, progress=progress) for name, model in models.items()}
    parts = {s: _both(fitting, s) for s in ("train", "val")} | {"test": _both(given, "test")}
    learn, check, test = (parts[s] for s in ("train", "val", "test"))
    fitted, strength, explained = fit_map(
        *((learn[name].found.latent, check[name].found.latent) for name in ("new", OLD)), spaces
    )
    latent = {OLD: test[OLD].found.latent, MAPPED: fitted(test["new"].found.latent)}
    if test["new"].found.latent.shape == latent[OLD].shape:
        latent[AS_IS] = test["new"].found.latent
    resamples = given[OLD].resamples
    records = search_records(latent, resamples)
    probe = load_probe(runs[OLD], spaces[1])
    if probe is None and models[OLD].model.head is None:
        probe = cls.fit_probe(learn[OLD].found.latent, learn[OLD].label["fine"])
        notes.append("The old run has neither head nor probe: one was fitted on its training fingerprints.")
    records += class_records(latent, test[OLD].label["coarse"], models[OLD], probe, resamples)
    records = [replace(r, task=RESULT, seed=seed, store=store.digest) for r in records]

    notes += [f"Map from space {spaces[0]} ({new}) to {spaces[1]} ({old}), on {store.path}."]
    notes += [
        f"Fitted on {len(learn[OLD].object_id):,} sources; ridge of strength {strength:.2g}, chosen on "
        f"{len(check[OLD].object_id):,}, of whose variance it explains {explained:.3f}.",
        given[OLD].how,
        *dict.fromkeys(note for x in (*given.values(), *fitting.values()) for note in x.notes),
    ]
    table = record_table(
        "Old fingerprints and new ones", records, {"what": "level", "read by": "method", "of": "group"},
        {f"recall at {NEAREST}": {"score": f"recall at {NEAREST}"},
         "balanced accuracy": {"score": "balanced accuracy"}}, notes,
    )  # fmt: skip
    folder = runs["new"] / RESULT / spaces[1] if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    fitted.save(folder / MAP)
    about = {"new": spaces[0], "old": spaces[1], "strength": strength, "explained": explained}
    about |= {"runs": {name: str(run) for name, run in runs.items()}, "code": rtf.__version__}
    about |= {"store": store.digest, "notes": notes, "records": [vars(r) for r in records]}
    write_text(folder / f"{RESULT}.json", json.dumps(plain(about), indent=2) + "\n")
    write_text(folder / f"{RESULT}.md", to_markdown(table) + "\n")
    return records, [table], folder


def _both(given: dict[str, Inputs], name: str) -> dict:
    """A split by both models: the sources that both give finite fingerprints of."""
    splits = {key: x.split(name) for key, x in given.items()}
    common = set.intersection(*(set(s.object_id.tolist()) for s in splits.values()))
    taken = {}
    for key, split in splits.items():
        rows = np.flatnonzero([x in common for x in split.object_id])
        label = {level: values[rows] for level, values in split.label.items()}
        taken[key] = split._replace(
            object_id=split.object_id[rows], label=label, detections=split.detections.take(rows),
            found=split.found.take(rows),
        )  # fmt: skip
    return taken


def search_records(latent: dict[str, np.ndarray], resamples: dict) -> list[Record]:
    """Recall at 10 of new queries in the old archive, and what chance gives."""
    archive = latent[OLD]
    n, keys = len(archive), {"level": "search", "n": len(archive)}
    truth = neighbours(archive, archive, NEAREST)
    records = []
    for group in [name for name in latent if name != OLD]:
        found = neighbours(latent[group], archive, NEAREST)
        share = (found[:, :, None] == truth[:, None]).any(2).mean(1)
        value = bootstrap(lambda counts, share=share: counts @ share / n, n, **resamples)
        records.append(record(f"recall at {NEAREST}", value, method="cosine", group=group, **keys))
    return [*records, record(f"recall at {NEAREST}", NEAREST / (n - 1), method=CHANCE, **keys)]


def class_records(latent: dict[str, np.ndarray], label: np.ndarray, model, probe, resamples) -> list[Record]:
    """Balanced accuracy of the coarse classes (N,) by the old run's head and probe."""
    known = label != UNKNOWN
    if not known.any():
        return []
    readers = {}
    if model.model.head is not None:
        readers[cls.HEAD] = model.head_probability
    if probe is not None:
        readers["probe"] = lambda x: cls.probe_probabilities(probe, x, len(FINE))
    records = []
    for method, read in readers.items():
        for group, fingerprints in latent.items():
            guess = cls.coarse_probability(read(fingerprints[known])).argmax(1)

            def statistic(counts, guess=guess):
                return statistics.balanced_accuracy(label[known], guess, counts, len(COARSE))

            value = bootstrap(statistic, int(known.sum()), **resamples)
            keys = {"level": "coarse", "method": method, "group": group, "n": int(known.sum())}
            records.append(record("balanced accuracy", value, **keys))
    return records
