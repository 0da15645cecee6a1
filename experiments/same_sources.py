"""Boosted trees on all that a run was trained on: python -m experiments.same_sources RUN STORE...

The trees of task=probe learn from the training split of the store that is tested. A run that was trained on
further stores (data.also_train) has seen more; here trees on summaries of what the model sees learn from all
of it, each source once, and are tested on the test split of each STORE.
"""

import sys

import numpy as np

import rtf
from rtf.alerts.history import Detections, join
from rtf.classes import COARSE, FINE, SUPERNOVAE, UNKNOWN, coarse_label, supernova_label
from rtf.documents import Table, to_markdown
from rtf.evaluation.statistics import bootstrap, format_estimate
from rtf.evaluation.tasks.probe import LEAST_DETECTIONS
from rtf.evaluation.trees import tree_probabilities
from rtf.store.read import open_store


def seen(model, path: str, split: str) -> tuple[Detections, dict[str, np.ndarray]]:
    """What the model sees of a split, and its classes; those that the run keeps out are left out."""
    store = open_store(path)
    label = store.label[np.arange(store.n)[store.sources(split)]]
    kept = np.flatnonzero(~np.isin(label, [FINE.index(name) for name in model.config.data.leave_out]))
    detections = store.detections(split, cutouts=False).take(kept)
    few = detections.length < LEAST_DETECTIONS  # as task=probe does
    five = np.where(few, UNKNOWN, supernova_label(label[kept]))
    return model.view(detections), {"coarse": coarse_label(label[kept]), "supernovae": five}


def main(run: str, *stores: str) -> None:
    model = rtf.load(run)
    data = model.config.data
    parts = [seen(model, path, "train") for path in (data.store, *(s["store"] for s in data.also_train))]
    train = join([detections for detections, _ in parts])
    rows = []
    for path in stores:
        test, classes = seen(model, path, "test")
        for level, names in (("coarse", COARSE), ("supernovae", SUPERNOVAE)):
            label = np.concatenate([own[level] for _, own in parts])
            known = np.flatnonzero(classes[level] != UNKNOWN)
            true = classes[level][known]
            told = tree_probabilities(train, label, test.take(known), len(names), 0).argmax(1)
            right = told == true
            found = bootstrap(lambda counts, right=right: counts @ right / counts.sum(1), len(known))
            balanced = np.mean([right[true == c].mean() for c in np.unique(true)])
            rows.append((path, level, format_estimate(found), f"{balanced:.3f}", f"{len(known):,}"))
    columns = ("store", "classes", "accuracy", "balanced accuracy", "test sources")
    print(to_markdown(Table(f"Trees that learnt from {len(train):,} sources", columns, rows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
