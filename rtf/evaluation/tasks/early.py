"""Early classification: how well can the class be told from the first N detections of a source?

Notable:
- a fingerprint at N is made of the first N detections alone; the probe for N is fitted on training
  fingerprints at the same N. The classification head is one network for all N: nothing is fitted here
- a source of fewer than N detections gives all it has, as in a broker's stream, and each row says how many
  test sources really have N; the test sources of every row are thus the same, and rows compare in pairs
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from rtf import figures
from rtf.classes import UNKNOWN
from rtf.evaluation import classification as cls
from rtf.evaluation.record import MAJORITY, Record, distinct, pick, record, record_table, select, shown_text
from rtf.evaluation.run import LEVELS, Evaluated, Inputs

HAVE = "have as many"


def early(given: Inputs, *, counts: Sequence[int | str]) -> Evaluated:
    """Score probe and head at each number of detections ("all": all), coarse and fine."""
    train, test = given.split("train"), given.split("test")
    length = given.view("test").length
    made = Evaluated()
    for n in cls.checked_counts(counts):
        learnt, found = given.encode("train", n), given.encode("test", n)
        label = {level: cls.known_where_finite(test.label[level], found) for level in LEVELS}
        learn = {level: cls.known_where_finite(train.label[level], learnt) for level in LEVELS}
        probes = {level: cls.fit_probe(learnt.latent, learn[level]) for level in LEVELS}
        for (method, level), probability in cls.readings(found, probes, learn).items():
            keys = {"level": level, "method": method, "shown": n}
            of_level = label[level], learn[level], LEVELS[level]
            records, arrays = cls.class_scores(probability, *of_level, **keys, **given.resamples)
            have = int(((length >= (n or 0)) & (label[level] != UNKNOWN)).sum())
            made.records += [*records, record(HAVE, have, **keys)]
            made.arrays |= arrays
    made.records = distinct(made.records)
    for level, names in LEVELS.items():
        own = select(made.records, level=level, group="all")
        note = "Every row has the same sources, each with its first N detections, or all it has; "
        note += "have as many: test sources that have N among the detections the model sees."
        notes = [note, given.how, *cls.class_notes(test.label[level], train.label[level], names)]
        made.tables.append(record_table(
            f"Early classification, {level} classes", sorted(own, key=lambda r: r.method == MAJORITY),
            {"detections": shown_text, "read by": "method"}, (*cls.SCORES, HAVE), notes,
        ))  # fmt: skip
    made.figures["early.png"] = early_figure(made.records)
    return made


def early_figure(records: Sequence[Record]) -> Figure:
    """Balanced accuracy and accuracy against the number of detections, beside the majority class.

    Under each number: the share of test sources that have it.
    """
    have = select(records, score=HAVE, level="fine", method="probe")
    total = pick(records, score="accuracy", level="fine", method=MAJORITY).n
    steps = {r.shown: f"{shown_text(r)}\n{100 * r.value / total:.0f}%" for r in have}
    lines = {m: select(records, method=m) for m in dict.fromkeys(r.method for r in records) if m != MAJORITY}
    title = "Classification from the first detections, test split, 95 % intervals"
    figure, panels, _ = draw_early(lines, steps, title)
    for (level, score), axes in panels.items():
        base = pick(records, level=level, score=score, method=MAJORITY, group="all").value
        axes.axhline(base, color="0.45", linestyle="--", linewidth=1.2, label=MAJORITY)
        if axes.get_xlabel():
            axes.set_xlabel("detections used (below: test sources that have as many)")
    figures.legend(figure, panels.values())
    return figure


def draw_early(lines: Mapping[str, Sequence[Record]], steps: Mapping[int | None, str], title: str):
    """Draw records by label, with 95 % bands, against numbers of detections, "all" on the right.

    Returns the figure, without a legend, its axes by level and score, and the places of the numbers.
    """
    figure, grid = figures.grid_of(4, 5.6, 3.7, 2, sharex=True, sharey="row")
    scores = ("balanced accuracy", "accuracy")
    panels = dict(zip([(level, score) for score in scores for level in LEVELS], grid))
    at = dict(zip(steps, figures.count_places(list(steps))))
    for (level, score), axes in panels.items():
        for k, (label, records) in enumerate(lines.items()):
            own = select(records, level=level, score=score, group="all")
            figures.draw_band(axes, [at[r.shown] for r in own], own, k, label)
        axes.set_ylabel(score if level == "coarse" else "")
        axes.set_title(f"{level} classes" if score == scores[0] else "", fontsize=11)
        figures.tidy(axes)
    for axes in grid[2:]:
        figures.count_axis(axes, list(steps), list(steps.values()))
        axes.set_xlabel("detections used")
    figure.suptitle(figures.literal(title), fontsize=12)
    return figure, panels, at
