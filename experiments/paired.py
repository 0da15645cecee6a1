"""Two sets of runs on the same supernovae: experiments/paired.py STORE --base RUN ... --other RUN ...

Coarse classes of the test split by the first detections, tidal disruptions aside (their files have no
non-detections). What the other runs score less what the base runs score, run by run and in the mean, with the
95 % interval of 500 resamples of the sources (seed 0); the runs are paired in the order given.
"""

import argparse

import numpy as np

import rtf
from rtf.classes import COARSE, FINE, coarse_label
from rtf.evaluation import statistics
from rtf.evaluation.classification import classes_alike, head_probability
from rtf.store.read import open_store

TDE = COARSE.index("TDE")
SCORES = ("accuracy", "balanced accuracy, classes alike", "ROC-AUC")


def scores(probability: np.ndarray, label: np.ndarray, train_label: np.ndarray, counts) -> np.ndarray:
    """(3, B) `SCORES` under counts (B, N) of the sources."""
    alike = classes_alike(probability, train_label)
    alike[:, TDE] = 0
    present = np.unique(label)
    return np.stack([
        statistics.accuracy(label, probability.argmax(1), counts),
        statistics.balanced_accuracy(label, alike.argmax(1), counts, len(COARSE)),
        statistics.mean_over_classes(statistics.class_auc(label, probability, counts)[:, present]),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--base", nargs="+", required=True)
    parser.add_argument("--other", nargs="+", required=True)
    args = parser.parse_args()
    store, models = open_store(args.store), [[rtf.load(r) for r in x] for x in (args.base, args.other)]
    left_out = [FINE.index(name) for name in models[0][0].config.data.leave_out]
    fine, detections = store.label[store.sources("test")].astype(int), store.detections("test")
    keep = (coarse_label(fine) >= 0) & (fine != FINE.index("TDE")) & ~np.isin(fine, left_out)
    detections, label = detections.take(np.flatnonzero(keep)), coarse_label(fine[keep]).astype(int)
    train_label = coarse_label(store.label[store.sources("train")]).astype(int)
    rng, n = np.random.default_rng(0), len(label)
    drawn = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(500)]
    counts = np.stack([np.ones(n, int), *drawn])
    for first in (3, 5, 10, None):
        found = [
            [head_probability(m.encode(detections, first=first).probability, "coarse") for m in part]
            for part in models
        ]
        base, other = ([scores(p, label, train_label, counts) for p in part] for part in found)
        gains = np.stack([b - a for a, b in zip(base, other, strict=True)])
        for k, name in enumerate(SCORES):
            low, high = np.quantile(gains.mean(0)[k, 1:], [0.025, 0.975])
            each = ", ".join(f"{g:+.3f}" for g in gains[:, k, 0])
            shown = "all" if first is None else first
            print(f"{shown:>4} detections, {n:,} sources, {name}: {gains.mean(0)[k, 0]:+.3f} "
                  f"[{low:+.3f}, {high:+.3f}] ({each})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
