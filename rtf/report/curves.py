"""Early classification by number of detections, learning curves of every run, and the best run.

Notable:
- the best run is chosen on the validation split; the test split has no say in what is shown of it
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from rtf.report.compare import DataSet, is_trained, labels
from rtf.report.early import FIELDS, counts, early_score, evaluated, readers
from rtf.report.published import published_early
from rtf.report.read import Run
from rtf.report.scores import measure
from rtf.report.style import COLOURS, MARKERS, PUBLISHED, legend, readable, tidy

#: Runs, or lines, that have a colour of their own; others are grey, lest nothing can be told apart.
COLOURED = 8
_CHANNELS = (
    "loss", "reconstruction", "logflux", "logflux_err", "log1p_dt", "log1p_dt_prev", "band", "bottleneck",
    "classification",
)  # fmt: skip
_TITLES = {
    "loss": "loss (all terms)", "logflux": "magnitude (logflux)", "logflux_err": "its error (logflux_err)",
    "log1p_dt": "time since first detection", "log1p_dt_prev": "time since previous one",
}  # fmt: skip


def early_figure(data: DataSet) -> Figure | None:
    """Accuracy and balanced accuracy by number of detections, coarse and fine; None if nobody asked."""
    chosen = evaluated(data.configurations)
    steps = counts(chosen)
    if len(steps) < 2:
        return None
    called = labels(chosen)
    pairs = [(c, r) for c in chosen for r in readers(c, "coarse")]
    if len(pairs) > COLOURED:
        pairs = [pair for pair in pairs if pair[1] == "probe"]
    left_out = f", {COLOURED} of {len(pairs)} configurations" if len(pairs) > COLOURED else ""
    pairs = pairs[:COLOURED]
    beside = {n for c, _ in pairs for n in published_early(c.settings)}
    steps = sorted({*steps, *beside}, key=lambda n: (n == "all", int(n) if n != "all" else 0))
    at = {n: float(n) for n in steps if n != "all"}
    at["all"] = 1.8 * max(at.values(), default=1.0)
    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, level in enumerate(("coarse", "fine")):
        for row, field in enumerate(("balanced_accuracy", "accuracy")):
            axes = grid[row, column]
            for k, (c, reader) in enumerate(pairs):
                found = {n: measure(early_score(level, reader, n, field), c).estimate for n in steps}
                here = [n for n in steps if found[n] is not None]
                x = [at[n] for n in here]
                axes.fill_between(
                    x, [found[n].low for n in here], [found[n].high for n in here], color=COLOURS[k],
                    alpha=0.13, linewidth=0,
                )  # fmt: skip
                axes.plot(
                    x, [found[n].value for n in here], color=COLOURS[k], marker=MARKERS[k], markersize=5.5,
                    markeredgecolor="white", linewidth=1.7, label=readable(f"{called(c)}, {reader}"),
                )  # fmt: skip
                known = published_early(c.settings) if level == "coarse" else {}
                if known and (c, reader) == next(p for p in pairs if p[0] is c):
                    values = [v[list(FIELDS).index(field)] for v in known.values()]
                    axes.plot(
                        [at[n] for n in known], values,
                        color=COLOURS[k], marker=MARKERS[k], zorder=1, **PUBLISHED,
                        label=readable(f"{called(c)}, published (other data)"),
                    )  # fmt: skip
            tidy(axes)
            if not column:
                axes.set_ylabel(FIELDS[field])
            if not row:
                axes.set_title(f"{level} classes", fontsize=11)
    for axes in grid[-1]:
        axes.set_xscale("log")
        axes.set_xticks([at[n] for n in steps], steps)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("detections used")
    legend(figure, grid.flat)
    figure.suptitle(
        readable(f"Classification from the first detections: {data.title}{left_out}"), fontsize=12
    )
    return figure


def learning_figure(data: DataSet) -> Figure | None:
    """Validation losses of every run by epoch, one panel a channel; training losses dotted."""
    called = labels(data.configurations)
    runs = [(c, run) for c in data.configurations for run in c.runs if run.history]
    if not runs:
        return None
    channels = [n for n in _CHANNELS if any(_any(run, f"val/{n}") for _, run in runs)]
    coloured = sorted(runs, key=lambda pair: _lowest(pair[1]))[:COLOURED]
    coloured = [run for _, run in sorted(coloured, key=lambda pair: runs.index(pair))]
    best = f"; in colour: the {COLOURED} lowest" if len(runs) > COLOURED else ""
    several = any(len(c.runs) > 1 for c in data.configurations)
    n_columns = min(3, len(channels))
    n_rows = -(-len(channels) // n_columns)
    figure = Figure(figsize=(4.1 * n_columns, 2.7 * n_rows + 1.1), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, channel in zip(grid.flat, channels):
        for c, run in runs:
            k = next((k for k, other in enumerate(coloured) if other is run), None)
            style = {"color": "0.78", "linewidth": 0.8, "zorder": 1}
            name = f"other runs ({len(runs) - len(coloured)})"
            if k is not None:
                seed = f", seed {run.config.get('seed')}" if several else ""
                unfinished = "" if is_trained(run) else f" ({run.state})"
                style = {"color": COLOURS[k], "linewidth": 1.6, "zorder": 3, "marker": MARKERS[k]}
                style |= {"markersize": 5, "markevery": max(1, len(run.history) // 6)}
                style |= {"markeredgecolor": "white", "markeredgewidth": 0.5}
                name = called(c) + seed + unfinished
            axes.plot(*_curve(run, f"val/{channel}"), label=readable(name), **style)
            if k is not None:
                x, y = _curve(run, f"train/{channel}")
                axes.plot(x, y, color=COLOURS[k], linewidth=0.9, linestyle=":", alpha=0.8, zorder=2)
        tidy(axes)
        axes.set_title(_TITLES.get(channel, channel), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _focus(axes, [_curve(run, f"val/{channel}")[1] for _, run in runs])
    for axes in grid.flat[len(channels) :]:
        axes.set_visible(False)
    for column in range(n_columns):
        grid[(len(channels) - 1 - column) // n_columns, column].set_xlabel("epoch")
    legend(figure, grid.flat)
    figure.suptitle(readable(f"Validation losses (dotted: training): {data.title}{best}"), fontsize=12)
    return figure


def best_run(data: DataSet) -> tuple[Run, str] | None:
    """The run of lowest validation loss whose probe has a confusion matrix, and by what it was chosen.

    Where the loss has other terms in some runs, the reconstruction alone is compared, which all of them have;
    and where that is measured otherwise, the runs that measure it as most do.
    """
    pairs = [(c, run) for c in data.configurations for run in c.trained if run.results.get("probe")]
    measured = [tuple(c.settings.get(n) for n in ("loss", "decoder")) for c, _ in pairs]
    if pairs:
        usual = Counter(measured).most_common(1)[0][0]
        pairs = [pair for pair, own in zip(pairs, measured) if own == usual]
    terms = {tuple(c.settings.get(n) for n in ("cls_weight", "bottleneck")) for c, _ in pairs}
    key = "val/loss" if len(terms) == 1 else "val/reconstruction"
    found = [run for _, run in pairs if key in run.metrics]
    if not found:
        return None
    how = "lowest validation loss" if key == "val/loss" else "lowest reconstruction loss in validation"
    how += " of the evaluated runs" if len(set(measured)) == 1 else f" of the evaluated runs with {usual[0]}"
    how += "" if len(set(measured)) == 1 else f" loss and decoder {usual[1]}"
    return min(found, key=lambda run: run.metrics[key]), how


def _any(run: Run, key: str) -> bool:
    return any(epoch.get(key) for epoch in run.history)


def _curve(run: Run, key: str) -> tuple[list[int], list[float]]:
    points = [(epoch["epoch"] + 1, epoch[key]) for epoch in run.history if epoch.get(key) is not None]
    return [x for x, _ in points], [y for _, y in points]


def _lowest(run: Run) -> float:
    return min((epoch["val/loss"] for epoch in run.history if "val/loss" in epoch), default=float("inf"))


def _focus(axes, curves: Sequence[list[float]]) -> None:
    """Leave the first epochs, which can be huge, out of the range of the axis."""
    late = [v for curve in curves for v in curve[len(curve) // 10 :]]
    if late:
        low, high = min(late), float(np.quantile(late, 0.995))
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
        axes.set_ylim(low - margin, high + 2 * margin)
