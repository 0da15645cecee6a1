"""Early classification: how well can the class be told from the first N detections of a source?

Notable:
- a fingerprint at N is made of the first N detections alone, of training and of test sources; the probe for N
  is fitted on training fingerprints at the same N
- the classification head, where the model has one, is one network for all N: nothing is fitted here. Its
  coarse probability is the sum of the fine ones
- a source of fewer than N detections gives all it has, as in a broker's stream, and each row says how many
  test sources really have N; the test sources of every row are thus the same, and rows compare in pairs
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from rtf.classes import UNKNOWN
from rtf.evaluation import classification as cls
from rtf.evaluation.record import MAJORITY, Record, distinct, pick, record, record_table, select, shown_text
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.figures import count_axis, count_places, draw_band, legend, tidy

#: Colour and marker of what reads the class from the fingerprint.
_STYLE = {"probe": ("#1f4e9c", "o"), "head": ("#d9822b", "s")}
HAVE = "have as many"


def early(given: Inputs, *, counts: Sequence[int | str]) -> Evaluated:
    """Score probe and head at each number of detections, coarse and fine.

    Parameters
    ----------
    counts : numbers of detections, and "all"
    """
    train, test = given.split("train"), given.split("test")
    length = given.view("test").length
    made = Evaluated()
    for n in cls.checked_counts(counts):
        found = {split: given.encode(split, n) for split in ("train", "test")}
        for level, names in LEVELS.items():
            label, learn = (
                cls.known_where_finite(split.label[level], found[name])
                for name, split in (("test", test), ("train", train))
            )
            fitted = cls.fit_probe(found["train"].latent, learn)
            given_by = {"probe": cls.probe_probabilities(fitted, found["test"].latent, len(names))}
            if (fine := found["test"].probability) is not None:
                given_by["head"] = fine if level == "fine" else cls.coarse_probability(fine)
            for method, probability in given_by.items():
                keys = {"level": level, "method": method, "shown": n}
                records, arrays = cls.class_scores(
                    probability, label, learn, names, **keys, **given.resamples
                )
                have = int(((length >= (n or 0)) & (label != UNKNOWN)).sum())
                made.records += [*records, record(HAVE, have, **keys)]
                made.arrays |= arrays
    made.records = distinct(made.records)
    for level, names in LEVELS.items():
        own = select(made.records, level=level, group="all")
        notes = [
            "Every row has the same sources, each with its first N detections, or all it has; have as many: "
            "test sources that have N among the detections the model sees.",
            given.how,
            *cls.class_notes(test.label[level], train.label[level], names),
        ]
        made.tables.append(record_table(
            f"Early classification, {level} classes", sorted(own, key=lambda r: r.method == MAJORITY),
            {"detections": shown_text, "read by": "method"}, (*cls.SCORES, HAVE), notes,
        ))  # fmt: skip
    made.figures["early.png"] = early_figure(made.records)
    return made


def early_figure(records: Sequence[Record]) -> Figure:
    """Balanced accuracy and accuracy against the number of detections, with 95 % bands.

    All detections stand right of the largest number. Under each number: the share of test sources that have
    it.
    """
    figure = Figure(figsize=(11.5, 7.4), layout="constrained")
    panels = figure.subplots(2, len(LEVELS), sharex=True, sharey="row", squeeze=False)
    for column, level in enumerate(LEVELS):
        for row, score in enumerate(("balanced accuracy", "accuracy")):
            axes, own = panels[row, column], select(records, level=level, score=score, group="all")
            for method, (colour, marker) in _STYLE.items():
                line = select(own, method=method)
                draw_band(axes, count_places([r.shown for r in line]), line, colour, marker, method)
            base = pick(own, method=MAJORITY)
            axes.axhline(base.value, color="0.45", linestyle="--", linewidth=1.2, label=MAJORITY)
            axes.set_ylabel("" if column else score)
            axes.set_title("" if row else f"{level} classes", fontsize=12)
    have = select(records, score=HAVE, level="fine", method="probe")
    total = pick(records, score="accuracy", level="fine", method=MAJORITY).n
    labels = [f"{shown_text(r)}\n{100 * r.value / total:.0f}%" for r in have]
    for axes in panels[-1]:
        count_axis(axes, [r.shown for r in have], labels)
        axes.set_xlabel("detections used (below: test sources that have as many)")
    tidy(*panels.flat)
    legend(figure, panels.flat)
    figure.suptitle("Classification from the first detections, test split, 95 % intervals", fontsize=13)
    return figure
