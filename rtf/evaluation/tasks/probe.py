"""Linear probe: how well does a linear classifier read the class from frozen fingerprints?

Beside it stand the model's own head, as it is and with the class shares divided out, which suits balanced
scores, and boosted trees on summaries of the same light curves, which need no model. A third level asks for
the five classes of supernovae in which photometric classifiers are compared (Superphot+, de Soto et al.
2024), of sources with five detections and more.
"""

from collections.abc import Sequence

import numpy as np

from rtf.classes import SUPERNOVAE, UNKNOWN, supernova_label
from rtf.evaluation import classification as cls
from rtf.evaluation import statistics
from rtf.evaluation.record import Record, distinct, from_digits, record, record_table, select
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.evaluation.trees import tree_probabilities
from rtf.figures import confusion_figure

FIVE, TREES = "supernovae", "trees on summaries"
LEAST_DETECTIONS = 5


def probe(given: Inputs, *, save: bool = True, trees: bool = True) -> Evaluated:
    """Fit a probe on the train split and score it on the test split, coarse, fine and five supernovae.

    With `save` the fine probe is kept in the run folder, and `rtf.encode` gives its class probabilities.
    """
    train, test = given.split("train"), given.split("test")
    made = Evaluated()
    for level, names in (LEVELS | {FIVE: SUPERNOVAE}).items():
        learn, truth = (five_labels(s) if level == FIVE else s.label[level] for s in (train, test))
        if level == FIVE and (len(set(learn) - {UNKNOWN}) < 2 or (truth == UNKNOWN).all()):
            continue  # no survey of supernovae
        fitted = cls.fit_probe(train.found.latent, learn)
        made.probe = fitted if save and level == "fine" else made.probe
        answers = {"probe": cls.probe_probabilities(fitted, test.found.latent, len(names))}
        if test.found.probability is not None:
            answers[cls.HEAD] = cls.head_probability(test.found.probability, level)
            answers[cls.ALIKE] = cls.classes_alike(answers[cls.HEAD], learn)
        if trees and level != "fine":
            both = given.view("train"), learn, given.view("test"), len(names)
            answers[TREES] = tree_probabilities(*both, given.seed)
        labels = truth, learn, names
        level_records = []
        for method, probability in answers.items():
            keys = {"level": level, "method": method, **given.resamples}
            records, arrays = cls.class_scores(probability, *labels, **keys)
            level_records += records
            made.arrays |= arrays
        level_records = distinct(level_records)
        if TREES in answers:
            level_records += gains(made.arrays, level, set(answers) - {TREES}, given)
        made.records += level_records
        best = cls.HEAD if cls.HEAD in answers and level == FIVE else "probe"
        what = "five classes of supernovae" if level == FIVE else f"{level} classes"
        title = f"{best if best == cls.HEAD else 'linear probe'}, {what}, test split"
        confusion = cls.confusion_of(made.arrays, level, best, len(names))
        made.figures[f"confusion_{level}.png"] = confusion_figure(confusion, names, title)
        made.tables.append(record_table(
            f"By class, {level}", [r for r in level_records if r.group != "all"],
            {"class": "group", "read by": "method"},
            {"recall": {"score": "recall"}, "ROC-AUC (one vs rest)": {"score": "ROC-AUC"}},
            [given.how, *cls.class_notes(*labels), *notes_of(level)],
        ))  # fmt: skip
    rows = {"classes": "level", "read by": "method"}
    overall = [r for r in select(made.records, group="all") if r.score in cls.SCORES]
    title = "Classes read from frozen fingerprints"
    made.tables.insert(0, record_table(title, overall, rows, cls.SCORES, [given.how]))
    if won := [r for r in made.records if r.score.startswith("gain")]:
        note = f"{given.how} The difference on the same resamples. {TREES}: of what the model sees."
        scores = list(dict.fromkeys(r.score for r in won))
        made.tables.insert(1, record_table(f"Gain over {TREES}", won, rows, scores, [note]))
    return made


def five_labels(split) -> np.ndarray:
    """(N,) index into `SUPERNOVAE`, unknown for other classes and for sources of few detections."""
    few = split.detections.length < LEAST_DETECTIONS
    return np.where(few, UNKNOWN, supernova_label(split.label["fine"])).astype(np.int64)


def notes_of(level: str) -> list[str]:
    """What the five classes are."""
    if level != FIVE:
        return []
    return [f"Sources of {LEAST_DETECTIONS} detections and more. SN II with IIP, SN Ib/c with IIb, SLSN-I."]


def gains(arrays: dict, level: str, methods: Sequence[str], given: Inputs) -> list[Record]:
    """Accuracy and macro F1 less those of the trees, on the same sources and resamples."""
    truth, base = (from_digits(arrays[f"{level}/{name}"]) for name in ("truth", TREES))
    n_classes, records = int(max(truth.max(), base.max())) + 1, []
    for method in sorted(methods):
        own = from_digits(arrays[f"{level}/{method}"])

        def difference(counts, own=own):
            score = statistics.accuracy, lambda *x: statistics.macro_f1(*x, max(n_classes, own.max() + 1))
            return np.column_stack([s(truth, own, counts) - s(truth, base, counts) for s in score])

        found = statistics.bootstrap(difference, len(truth), **given.resamples)
        keys = {"level": level, "method": method, "n": len(truth)}
        records += [record(f"gain in {s}", e, **keys) for s, e in zip(("accuracy", "macro F1"), found)]
    return records
