"""How much would more real sources help? python -m experiments.learning_curve RUN STORE

Boosted trees on summaries of what the model RUN sees learn the five supernovae from an eighth, a quarter,
half and all of STORE's training split (four draws each). They are tested on its test split, beside the head
of the model if it has one.
"""

import sys

import numpy as np

import rtf
from experiments.same_sources import seen
from rtf.classes import SUPERNOVAE, UNKNOWN
from rtf.documents import Table, to_markdown
from rtf.evaluation.classification import head_probability
from rtf.evaluation.statistics import Estimate, bootstrap, format_estimate, macro_f1
from rtf.evaluation.trees import tree_probabilities

SHARES, DRAWS = (1 / 8, 1 / 4, 1 / 2, 1), 4


def row(name: str, n: int, probabilities: list[np.ndarray], label: np.ndarray) -> tuple[str, ...]:
    """Accuracy, and macro F1 with its interval over test sources: means over the draws."""
    told = [p.argmax(1) for p in probabilities]
    f1 = [bootstrap(lambda c, t=t: macro_f1(label, t, c, len(SUPERNOVAE)), len(label)) for t in told]
    accuracy = np.mean([t == label for t in told])
    return name, f"{n:,}", f"{accuracy:.3f}", format_estimate(Estimate(*np.mean(f1, axis=0)))


def main(run: str, store: str) -> None:
    model, rng = rtf.load(run), np.random.default_rng(0)
    sides = []
    for split in ("train", "test"):
        detections, classes = seen(model, store, split)
        known = np.flatnonzero(classes["supernovae"] != UNKNOWN)
        sides.append((detections.take(known), classes["supernovae"][known]))
    (train, learnt), (test, label) = sides
    rows = []
    for share in SHARES:
        found, n = [], round(share * len(train))
        for _ in range(DRAWS if share < 1 else 1):
            own = rng.permutation(len(train))[:n]
            found.append(tree_probabilities(train.take(own), learnt[own], test, len(SUPERNOVAE), 0))
        rows.append(row("trees", n, found, label))
    if (fine := model.encode(test).probability) is not None:
        head = head_probability(fine, "supernovae")
        rows.append(row("head (and what else it learnt from)", len(train), [head], label))
    columns = ("classifier", "real training sources", "accuracy", "macro F1")
    print(to_markdown(Table(f"{len(test):,} test sources, five supernovae", columns, rows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
