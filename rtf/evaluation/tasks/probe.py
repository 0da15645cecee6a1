"""Linear probe: how well does a linear classifier read the class from frozen fingerprints?"""

from rtf.evaluation import classification as cls
from rtf.evaluation.record import record_table, select
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
        labels = test.label[level], train.label[level], names
        keys = {"level": level, "method": "probe", **given.resamples}
        records, arrays = cls.class_scores(probability, *labels, **keys)
        made.records += records
        made.arrays |= arrays
        confusion = cls.confusion_of(arrays, level, "probe", len(names))
        title = f"linear probe, {level} classes, test split"
        made.figures[f"confusion_{level}.png"] = confusion_figure(confusion, names, title)
        made.tables.append(record_table(
            f"Linear probe by class, {level}", [r for r in records if r.group != "all"], {"class": "group"},
            {"recall": {"score": "recall"}, "ROC-AUC (one vs rest)": {"score": "ROC-AUC"}},
            [given.how, *cls.class_notes(*labels)],
        ))  # fmt: skip
    made.probe = fitted if save else None  # of the last level, the fine classes
    overall = select(made.records, group="all")
    rows = {"classes": "level", "read by": "method"}
    title = "Linear probe on frozen fingerprints"
    made.tables.insert(0, record_table(title, overall, rows, cls.SCORES, [given.how]))
    return made
