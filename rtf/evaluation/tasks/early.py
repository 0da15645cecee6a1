"""Early classification: how well can the class be told from the first N detections of a source?

Notable:
- a fingerprint at N is made of the first N detections alone, of training and of test sources; the probe for N
  is fitted on training fingerprints at the same N
- the classification head, where the model has one, is one network for all N: nothing is fitted here. Its
  coarse probability is the sum of the fine ones
- a source of fewer than N detections gives all it has, as in a broker's stream, and each row says how many
  test sources really have N; the test sources of every row are thus the same, and rows compare in pairs
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure

from rtf.classes import UNKNOWN
from rtf.evaluation import classification as cls
from rtf.evaluation.record import MAJORITY, Record, distinct, pick, record, record_table, select, shown_text
from rtf.evaluation.run import LEVELS, Evaluated, Inputs
from rtf.figures import (
    COLOURS,
    MARKERS,
    count_axis,
    count_places,
    draw_band,
    grid_of,
    legend,
    literal,
    tidy,
)  # fmt: skip

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
    """Balanced accuracy and accuracy against the number of detections, beside the majority class.

    Under each number: the share of test sources that have it.
    """

    def line(method: str, level: str, score: str) -> dict:
        own = select(records, level=level, score=score, method=method, group="all")
        return {r.shown: r for r in own}

    have = select(records, score=HAVE, level="fine", method="probe")
    total = pick(records, score="accuracy", level="fine", method=MAJORITY).n
    steps = {r.shown: f"{shown_text(r)}\n{100 * r.value / total:.0f}%" for r in have}
    methods = dict.fromkeys(r.method for r in records if r.method != MAJORITY)
    title = "Classification from the first detections, test split, 95 % intervals"
    figure, panels = draw_early({m: partial(line, m) for m in methods}, steps, title)
    for axes in figure.axes[2:]:
        axes.set_xlabel("detections used (below: test sources that have as many)")
    for (level, score), axes in panels.items():
        base = line(MAJORITY, level, score)[None].value
        axes.axhline(base, color="0.45", linestyle="--", linewidth=1.2, label=MAJORITY)
    legend(figure, panels.values())
    return figure


def draw_early(lines: Mapping[str, Callable], steps: Mapping[int | None, str], title: str):
    """Draw lines by number of detections, with 95 % bands; all detections stand right of the largest number.

    Parameters
    ----------
    lines : label -> function of level and score that gives {number of detections: estimate}
    steps : numbers of detections -> how they are called

    Returns
    -------
    the figure, without a legend, and its axes by level and score
    """
    figure, grid = grid_of(4, 5.6, 3.7, 2, sharex=True, sharey="row")
    scores = ("balanced accuracy", "accuracy")
    panels = dict(zip([(level, score) for score in scores for level in LEVELS], grid))
    at = dict(zip(steps, count_places(list(steps))))
    for (level, score), axes in panels.items():
        for k, (label, line) in enumerate(lines.items()):
            found = line(level, score)
            places = [at[n] for n in found]
            draw_band(axes, places, [*found.values()], COLOURS[k], MARKERS[k], label)
        axes.set_ylabel(score if level == "coarse" else "")
        axes.set_title(f"{level} classes" if score == scores[0] else "", fontsize=11)
        tidy(axes)
    for axes in grid[2:]:
        count_axis(axes, list(steps), list(steps.values()))
        axes.set_xlabel("detections used")
    figure.suptitle(literal(title), fontsize=12)
    return figure, panels
