"""Linear probe: how well does a linear classifier read the class from frozen fingerprints?"""

from rtf.documents import Table
from rtf.evaluation import classification as cls
from rtf.evaluation.record import Record, record_table, select
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.figures import confusion_figure


def probe(given: Inputs, *, save: bool = True) -> Evaluated:
    """Fit a probe on the train split and score it on the test split, coarse and fine.

    With `save` the fine probe is kept in the run folder, and `rtf.encode` gives its class probabilities.
    """
    train, test = given.split("train"), given.split("test")
    made = Evaluated()
    for level, names in LEVELS.items():
        fitted = cls.fit_probe(train.found.latent, train.label[level])
        probability = cls.probe_probabilities(fitted, test.found.latent, len(names))
        records, arrays = cls.class_scores(
            probability, test.label[level], train.label[level], names,
            level=level, method="probe", **given.resamples,
        )  # fmt: skip
        made.records += records
        made.arrays |= arrays
        made.figures[f"confusion_{level}.png"] = confusion_figure(
            cls.confusion_of(arrays, level, "probe", len(names)), names,
            f"linear probe, {level} classes, test split",
        )  # fmt: skip
        made.tables.append(class_table(given, records, level))
        if level == "fine" and save:
            made.probe = fitted
    overall = record_table(
        "Linear probe on frozen fingerprints", select(made.records, group="all"),
        {"classes": "level", "read by": "method"}, cls.SCORES, [given.how],
    )  # fmt: skip
    made.tables.insert(0, overall)
    return made


def class_table(given: Inputs, records: list[Record], level: str) -> Table:
    """Recall and ROC-AUC of each class."""
    test, train = (given.split(name).label[level] for name in ("test", "train"))
    rows = [r for r in records if r.group != "all"]
    return record_table(
        f"Linear probe by class, {level}", rows, {"class": "group"},
        {"recall": {"score": "recall"}, "ROC-AUC (one vs rest)": {"score": "ROC-AUC"}},
        [given.how, *cls.class_notes(test, train, LEVELS[level])],
    )  # fmt: skip
