"""How many marks until 90 % of a rare class stand in the first 100 of the list?

python experiments/marks.py store=data/real.zarr out=marks.csv

A person looks for one class among the test sources of a real store: every source that they mark is
interesting if it is of the class, else boring. After every five marks the list is ordered anew, the boring
last. Four ways: the probe of `rtf.rank` and of the explorer, the first of the list being marked, as the page
invites to; the same probe, sources being marked at random; no probe, the list ordered by strangeness alone; a
list in random order.

Each seed takes 80 % of the test sources, and draws. Reported are the median of the seeds and the interval
that holds 95 % of them; "more than" where the marks did not do. Sources that the model was trained on are
left out.
"""

import csv
import math
import sys

import numpy as np

import rtf
from rtf.classes import FINE
from rtf.encoding.load import trained_on
from rtf.encoding.shipped import run_folder
from rtf.explorer.marks import interest, sunk
from rtf.store.read import open_store

FEWEST, LIST, SHARE, STEP = 8, 100, 0.9, 5


def main(
    store: str, out: str, run: str = "ztf", split: str = "test", seeds: int = 20, most: int = 400
) -> None:
    names, label, latent, strangeness = sources_of(store, run, split)
    print(f"{len(names):,} {split} sources of {store}, fingerprints of {run}")
    rows = []
    for c in range(len(FINE)):
        if not FEWEST <= (n := int((label == c).sum())) <= LIST:
            continue
        found = [simulated(label == c, latent, strangeness, seed, most) for seed in range(seeds)]
        for name in found[0]:
            values = np.array([f[name] for f in found], float)
            low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], method="inverted_cdf")
            rows.append([FINE[c], n, name, *(told(v, most) for v in (middle, low, high)), seeds])
            print("  ".join(str(x) for x in rows[-1]), flush=True)
    with open(out, "w", newline="") as file:
        csv.writer(file).writerows([["class", "sources", "way", "marks", "low", "high", "seeds"], *rows])


def told(value: float, most: int) -> str:
    return f"more than {most}" if math.isinf(value) else f"{value:.0f}"


def sources_of(store: str, run: str, split: str):
    """Names, labels, fingerprints and strangeness; of the test split without what the run was trained on."""
    own, model = open_store(store), rtf.load(run)
    chosen = own.sources(split)
    detections = own.detections(split)
    names, label = own.object_id[chosen], own.label[chosen]
    known = trained_on(run_folder(run)) if split == "test" else frozenset()
    keep = np.flatnonzero([name not in known for name in names])
    found = model.encode(detections.take(keep))
    keep, found = keep[found.finite], found.take(found.finite)
    return names[keep], label[keep], found.latent, found.strangeness


def simulated(
    rare: np.ndarray, latent: np.ndarray, strangeness: np.ndarray, seed: int, most: int
) -> dict[str, float]:
    """Marks that each way needs with 80 % of the sources; infinite where `most` do not do."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(rare))[: int(0.8 * len(rare))]
    rare, latent, strangeness = rare[chosen], latent[chosen], strangeness[chosen]
    drawn = rng.random(len(rare))

    def probe(marked):
        return interest(latent, marked, rare[marked], strangeness)

    def alone(score):
        return lambda marked: sunk(score.copy(), marked[~rare[marked]])

    ways = {
        "probe, first of the list": (probe, None), "probe, at random": (probe, drawn),
        "strangeness alone": (alone(strangeness), None), "random list": (alone(drawn), None),
    }  # fmt: skip
    enough = math.ceil(SHARE * rare.sum())
    return {
        name: marks_until(rare, ranking, next_by, most, enough) for name, (ranking, next_by) in ways.items()
    }


def marks_until(rare, ranking, next_by, most: int, enough: int) -> float:
    """Marks until `enough` of the rare are in the first 100 of a ranking that hears of every five marks.

    The next to mark are the first of the ranking, or the largest in `next_by`.
    """
    marked = np.empty(0, np.int64)
    while True:
        ranked = np.argsort(-ranking(marked), kind="stable")
        if rare[ranked[:LIST]].sum() >= enough:
            return len(marked)
        if len(marked) >= most:
            return math.inf
        left = ranked if next_by is None else np.argsort(-next_by, kind="stable")
        marked = np.concatenate([marked, left[~np.isin(left, marked)][:STEP]])


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    numbers = {k: int(given.pop(k)) for k in ("seeds", "most") if k in given}
    main(**given, **numbers)
