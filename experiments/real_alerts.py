"""A run on real alerts with cutouts, by what it is given of them: experiments/real_alerts.py STORE RUN ...

Objects of known type that no run was trained on, coarse classes of the head; 95 % intervals of 1,000
resamples of the objects. The store is made by
  python experiments/alert_types.py types.csv
  python -m rtf.preprocess input=$RTF_REAL_DATA/ztf_alerts/fink_parquet out=alerts.zarr labels=types.csv \
      'fractions=[0,0,1]'
and the same with append=true for ztf_alerts/typed and ztf_alerts/avro.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np

import rtf
from rtf.classes import COARSE, coarse_label
from rtf.documents import Table, to_markdown
from rtf.encoding.load import trained_on
from rtf.encoding.shipped import run_folder
from rtf.evaluation.classification import head_probability
from rtf.evaluation.statistics import accuracy, balanced_accuracy, bootstrap, class_auc, format_estimate
from rtf.evaluation.statistics import mean_over_classes as mean
from rtf.store.read import open_store

GIVEN = {
    "everything": (),
    "no stamps": ("stamps",),
    "no metadata": ("metadata",),
    "photometry and non-detections": ("stamps", "metadata"),
    "photometry": ("stamps", "metadata", "limits"),
}


def without(history, names):
    """A history that lacks some modalities."""
    if "stamps" in names:
        history = replace(history, cutouts=None)
    if "metadata" in names:
        history = replace(history, metadata=np.full_like(history.metadata, np.nan))
    return replace(history, limits=history.limits[:0]) if "limits" in names else history


def main(path: str, *runs: str) -> None:
    store = open_store(path)
    known = frozenset().union(*(trained_on(run_folder(run)) for run in runs))
    histories = [h for h in store.histories(slice(0, store.n), cutouts=True) if h.object_id not in known]
    label = coarse_label(np.array([h.label for h in histories])).astype(int)
    histories = [h for h, k in zip(histories, label) if k >= 0]
    label = label[label >= 0]
    present = np.unique(label)
    print(f"median {np.median([len(h) for h in histories]):.0f} detections;", end=" ")
    print(len(label), "objects:", ", ".join(f"{COARSE[k]} {(label == k).sum()}" for k in present))
    rows = []
    for given, names in GIVEN.items():
        some = [without(h, names) for h in histories]
        row = [given]
        found = [head_probability(rtf.load(run).encode(some).probability, "coarse") for run in runs]
        for score in (
            lambda p, w: accuracy(label, p.argmax(1), w),
            lambda p, w: balanced_accuracy(label, p.argmax(1), w, len(COARSE)),
            lambda p, w: mean(class_auc(label, p, w)[:, present]),
        ):
            by_run = [bootstrap(partial(score, p), len(label)) for p in found]
            row.append(" / ".join(map(format_estimate, by_run)))
        right = [[(p.argmax(1) == label)[label == k].sum() for k in present] for p in found]
        rows.append([*row, " / ".join(" ".join(map(str, r)) for r in right)])
    right = "right of " + " ".join(f"{COARSE[k]} {(label == k).sum()}," for k in present)
    print(
        to_markdown(Table("", ["given", "accuracy", "balanced accuracy", "ROC-AUC", right.rstrip(",")], rows))
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
