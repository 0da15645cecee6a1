"""Early classification: how well the class can be told from the first N detections of a source.

Notable:
- a fingerprint at N is made of the first N detections alone, of training and of test sources; the probe for N
  is fitted on training fingerprints at the same N
- the classification head, where the model has one, is one network for all N: nothing is fitted here. Its
  coarse probability is the sum of the fine ones
- a source of fewer than N detections gives all it has, as in a broker's stream, and each row says how many
  test sources really have N; the test sources of every row are thus the same, and rows compare in pairs
- the majority-class baseline is the same at every N
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import COARSE, COARSE_OF_FINE, FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import tables
from rtf.evaluation.statistics import format_estimate
from rtf.evaluation.tasks.probe import ProbeResult, evaluate_probe, score_probabilities
from rtf.figures import DPI
from rtf.files import whole, write_json
from rtf.store.store import Store

COUNTS = (3, 5, 7, 10, 15, 20, 30, 50, 100, "all")
LEVELS = {"coarse": COARSE, "fine": FINE}

#: Colour and marker of what reads the class from the fingerprint.
_STYLE = {"probe": ("#1f4e9c", "o"), "head": ("#d9822b", "s")}
_SCORES = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}

#: {level: {"probe" or "head": {N: scores}}}
Results = Mapping[str, Mapping[str, Mapping[str, ProbeResult]]]


def run_early(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    counts: Sequence[int | str] = COUNTS,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """Accuracy, balanced accuracy and macro ROC-AUC at each number of detections, coarse and fine.

    Writes early.json, early.md and early.png.

    Parameters
    ----------
    counts : numbers of detections, and "all"

    Raises
    ------
    ValueError : counts that are neither, fewer than two training classes, no labelled test source
    """
    counts = checked_counts(counts)
    detections = {s: store.detections(s, cutouts=model.needs_cutouts) for s in ("train", "test")}
    here = {s: store.sources(s) for s in detections}
    truth = {
        "coarse": {s: store.coarse[rows] for s, rows in here.items()},
        "fine": {s: store.label[rows] for s, rows in here.items()},
    }
    seen = model.view(detections["test"]).length[truth["fine"]["test"] != UNKNOWN]
    n_full = {str(n): int((seen >= n).sum()) if n != "all" else len(seen) for n in counts}

    results: dict = {level: {} for level in LEVELS}
    settings = {"seed": seed, "n_bootstrap": n_bootstrap}
    for n in counts:
        first = None if n == "all" else n
        train, test = (model.encode(detections[s], first=first) for s in ("train", "test"))
        for level, names in LEVELS.items():
            label = truth[level]
            scored = evaluate_probe(
                train.latent, label["train"], test.latent, label["test"], names, **settings
            )
            results[level].setdefault("probe", {})[str(n)] = scored
            if test.probability is not None:
                probability = test.probability if level == "fine" else coarse_probability(test.probability)
                scored = score_probabilities(probability, label["test"], label["train"], names, **settings)
                results[level].setdefault("head", {})[str(n)] = scored

    scores = {
        level: {
            reader: {n: tables.probe_dict(r) for n, r in by_count.items()} for reader, by_count in of.items()
        }
        for level, of in results.items()
    }
    write_json(out / "early.json", {"test_sources_with_n": n_full, **scores})
    made = [early_table(results, level, n_full) for level in LEVELS]
    tables.write_markdown(out / "early.md", made)
    early_figure(results, n_full, out / "early.png")
    return made, [out / "early.png"]


def checked_counts(counts: Sequence[int | str]) -> list[int | str]:
    """Numbers of detections in ascending order, "all" last.

    Raises
    ------
    ValueError : none, or one that is neither a positive whole number nor "all"
    """
    numbers = {n for n in counts if n != "all"}
    bad = [n for n in numbers if not isinstance(n, int) or isinstance(n, bool) or n < 1]
    if bad or not len(counts):
        raise ValueError(f"counts must be numbers of detections from 1 up, or all, not {list(counts)}")
    return [*sorted(numbers), *(["all"] if "all" in counts else [])]


def coarse_probability(fine: np.ndarray) -> np.ndarray:
    """Probabilities of the coarse classes (N, 6) from those of the fine ones (N, 15): sums."""
    return fine.astype(float) @ (COARSE_OF_FINE[:, None] == np.arange(len(COARSE)))


def early_table(results: Results, level: str, n_full: Mapping[str, int]) -> tables.Table:
    """One row a number of detections and reader, then the majority-class baseline.

    Parameters
    ----------
    n_full : by number of detections, the test sources that have them
    """
    readers = results[level]
    rows = []
    for n in readers["probe"]:
        for reader, by_count in readers.items():
            r = by_count[n]
            scores = [format_estimate(e) for e in (r.accuracy, r.balanced_accuracy, r.auc)]
            rows.append((n, reader, *scores, f"{n_full[n]:,}"))
    last = next(reversed(readers["probe"].values()))
    b = last.baseline
    scores = [format_estimate(e) for e in (b.accuracy, b.balanced_accuracy)]
    rows.append((f"majority class ({b.class_name})", "", *scores, f"{b.auc.value:.3f}", ""))
    columns = ("detections", "read by", "accuracy", "balanced accuracy", "ROC-AUC (macro)", "have as many")
    classes = ", ".join(
        f"{name} {train:,}/{test:,}"
        for name, train, test in zip(last.class_names, last.train_count, last.test_count)
        if train or test
    )
    notes = (
        f"{int(last.train_count.sum()):,} training and {int(last.test_count.sum()):,} test sources in every "
        "row, each with its first N detections, or all it has; have as many: test sources that have N among "
        "the detections the model sees.",
        f"training/test sources: {classes}.",
        *tables.probe_table({"": last}).notes,
    )
    return tables.Table(f"Early classification, {level} classes", columns, tuple(rows), notes)


def early_figure(results: Results, n_full: Mapping[str, int], path: str | os.PathLike) -> None:
    """Balanced accuracy and accuracy against the number of detections as PNG, with 95 % bands.

    "all" stands right of the largest number. Under each number: the share of test sources that have it.
    """
    figure = Figure(figsize=(11.5, 7.4), layout="constrained")
    panels = figure.subplots(len(_SCORES), len(results), sharex=True, sharey="row", squeeze=False)
    for column, (level, readers) in enumerate(results.items()):
        for row, (score, name) in enumerate(_SCORES.items()):
            axes = panels[row, column]
            for reader, by_count in readers.items():
                _curve(axes, by_count, score, reader)
            baseline = next(iter(readers["probe"].values())).baseline
            value = getattr(baseline, score).value
            axes.axhline(
                value, color="0.45", linestyle="--", linewidth=1.2, label=f"majority ({baseline.class_name})"
            )
            axes.grid(color="0.92", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if not column:
                axes.set_ylabel(name)
            if not row:
                axes.set_title(f"{level} classes", fontsize=12)
                axes.legend(frameon=False, fontsize=9.5, loc="best")
    keys = list(n_full)
    total = int(next(iter(results["fine"]["probe"].values())).test_count.sum())
    labels = [f"{n}\n{100 * n_full[n] / total:.0f}%" if n != "all" else "all" for n in keys]
    for axes in panels[-1]:
        axes.set_xscale("log")
        axes.set_xticks(_positions(keys), labels, fontsize=8)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("detections used (below: test sources that have as many)")
    figure.suptitle("Classification from the first detections, test split, 95 % intervals", fontsize=13)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _curve(axes, by_count: Mapping[str, ProbeResult], score: str, reader: str) -> None:
    colour, marker = _STYLE[reader]
    estimates = [getattr(r, score) for r in by_count.values()]
    x = _positions(list(by_count))
    axes.fill_between(
        x, [e.low for e in estimates], [e.high for e in estimates], color=colour, alpha=0.16, linewidth=0
    )
    label = {"probe": "linear probe", "head": "classification head"}[reader]
    axes.plot(
        x, [e.value for e in estimates], color=colour, marker=marker, markersize=6, markeredgecolor="white",
        linewidth=1.8, label=label,
    )  # fmt: skip


def _positions(keys: list[str]) -> list[float]:
    numbers = [int(n) for n in keys if n != "all"]
    return [float(n) for n in numbers] + [1.8 * max(numbers, default=1)] * ("all" in keys)
