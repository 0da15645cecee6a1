"""The figures of a report: scores by size, bytes and configuration; first detections; maps; learning curves.

Notable:
- published curves are dashed, in the colour of what they are of
- intervals are bars or bands; points of one size stand beside, not on, one another
- the best run is chosen on the validation split; the test split has no say in what is shown of it
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from rtf.evaluation.tasks.early import draw_early
from rtf.evaluation.tasks.map import draw_map, map_legend
from rtf.figures import (
    COLOURS,
    MARKERS,
    count_places,
    grid_of,
    legend,
    literal,
    rim_labels,
    tidy,
    whiskers,
)  # fmt: skip
from rtf.report.compare import Configuration, DataSet, is_trained, labels, varying
from rtf.report.published import HEADING, published, published_early, published_sizes, rebuilds_times
from rtf.report.read import Run
from rtf.report.scores import SCORES, measure
from rtf.report.tables import CLASS_SCORES, MAPS, counts_of, early_score, evaluated, mapped, methods_of

_PUBLISHED = {"linestyle": (0, (4, 2.5)), "linewidth": 1.2, "markerfacecolor": "white", "markersize": 5.5}
_PANELS = ("coarse_accuracy", "fine_accuracy", "coarse_balanced", "mag", "dt", "band")
#: Runs, or lines, that have a colour of their own; others are grey, lest nothing can be told apart.
COLOURED = 8
#: Columns of maps that a page has room for.
SHOWN = 5
_CHANNELS = (
    "loss", "reconstruction", "logflux", "logflux_err", "log1p_dt", "log1p_dt_prev", "band", "bottleneck",
    "classification",
)  # fmt: skip
_TITLES = {
    "loss": "loss (all terms)", "logflux": "magnitude (logflux)", "logflux_err": "its error (logflux_err)",
    "log1p_dt": "time since first detection", "log1p_dt_prev": "time since previous one",
}  # fmt: skip


def size_figure(block: Sequence[Configuration], title: str, by: str = "latent_dim") -> Figure | None:
    """Scores by size of the fingerprint, one line a bottleneck; None where there is one size.

    Parameters
    ----------
    by : latent_dim, with the published curves where they hold, or bytes
    """
    size = {
        id(c): c.settings.get(by) if by == "latent_dim" else measure(SCORES[by], c).whole.value for c in block
    }
    block = [c for c in block if size[id(c)] is not None and np.isfinite(size[id(c)])]
    sizes = sorted({size[id(c)] for c in block})
    panels = [n for n in _PANELS if any(measure(SCORES[n], c).n for c in block)]
    if len(sizes) < 2 or not panels:
        return None
    same = all(c.settings.get("modalities") == "photometry" and rebuilds_times(c.settings) for c in block)
    curves = published_sizes() if same and by == "latent_dim" else {}
    figure, axes_of = grid_of(len(panels), 4.2, 3.3)
    for axes, name in zip(axes_of, panels):
        published_kinds = set()
        for k, (line, members) in enumerate(_lines(block).items()):
            members = [c for c in members if measure(SCORES[name], c).n]
            members.sort(key=lambda c: size[id(c)])
            drawn = [measure(SCORES[name], c).whole for c in members]
            style = {"color": COLOURS[k % 8], "marker": MARKERS[k % 8]}
            # side by side, on a logarithmic axis
            x = np.array([size[id(c)] for c in members], float) * 1.025 ** (k - (len(_lines(block)) - 1) / 2)
            axes.errorbar(
                x, [e.value for e in drawn], yerr=whiskers(drawn), markersize=6, markeredgecolor="white",
                markeredgewidth=0.6, linewidth=1.6, elinewidth=1.2, capsize=2.5, label=literal(line),
                zorder=3, **style,
            )  # fmt: skip
            kind = members[0].settings.get("bottleneck") if members else None
            known = {} if kind in published_kinds else curves.get(name, {}).get(kind, {})
            published_kinds.add(kind)
            if known:
                label = f"{kind}, {HEADING}"
                axes.plot([*known], [*known.values()], label=label, zorder=1, **style, **_PUBLISHED)
        seen = sorted({*sizes, *(s for of in curves.get(name, {}).values() for s in of)})
        _log_axis(
            axes, seen, "floats in the latent vector (latent_dim)" if by == "latent_dim" else "bytes sent"
        )
        axes.set_ylabel(SCORES[name].heading)
        tidy(axes)
    figure.suptitle(literal(title), fontsize=12)
    legend(figure, axes_of)
    return figure


def bars_figure(rows: Sequence[Configuration], published_as: str, title: str) -> Figure | None:
    """Scores by configuration, one panel a score, with the published figures as open diamonds."""
    panels = [n for n in (*_PANELS[:4], "dt", "band") if any(measure(SCORES[n], c).n for c in rows)]
    if not panels:
        return None
    called = labels(rows)
    height = 0.34 * len(rows) + 1.5
    figure, grid = grid_of(len(panels), 3.9, height, margin=0.5, sharey=True)
    y = np.arange(len(rows))
    for axes, name in zip(grid, panels):
        found = [measure(SCORES[name], c) for c in rows]
        values = [m.whole.value for m in found]
        axes.barh(y, values, height=0.62, color="#c9d6ea", edgecolor=COLOURS[0], linewidth=0.8, zorder=2)
        axes.errorbar(
            values,
            y,
            xerr=whiskers([m.whole for m in found]),
            fmt="none",
            ecolor="0.2",
            elinewidth=1.3,
            capsize=3,
            zorder=3,
        )
        beside = [published(published_as, c.settings).get(name, np.nan) for c in rows]
        if np.isfinite(beside).any():
            axes.plot(
                beside, y, marker="D", linestyle="none", markerfacecolor="white", markersize=6.5, zorder=4,
                markeredgecolor=COLOURS[3], label="published (other data)",
            )  # fmt: skip
        for k, value in enumerate(values):
            shown = f" {value:.{SCORES[name].digits}f}" if np.isfinite(value) else " no value yet"
            axes.text(0, k, shown, va="center", fontsize=8, color="0.3")
        axes.set_xlim(left=0)
        axes.set_title(SCORES[name].heading, fontsize=10.5)
        tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(y, [literal(called(c)) for c in rows])
    grid[0].invert_yaxis()
    legend(figure, grid)
    figure.suptitle(literal(title), fontsize=12)
    return figure


def _lines(block: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    """Configurations that differ in size alone, by what they are otherwise."""
    names = [n for n in varying(block) if n != "latent_dim"]
    called = labels(block, names or ["bottleneck"])
    found: dict[str, list] = {}
    for c in sorted(block, key=lambda c: c.settings.get("latent_dim") or 0):
        found.setdefault(called(c), []).append(c)
    return found


def _log_axis(axes, ticks: Sequence[float], name: str) -> None:
    """A logarithmic axis with labels at these values, from the largest on those that do not touch."""
    room = (max(ticks) / min(ticks)) ** (1 / 9)
    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):
        if not kept or tick * room <= kept[-1]:
            kept.append(tick)
    ticks = kept[::-1]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{t:,.0f}" for t in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(name)


def early_figure(data: DataSet) -> Figure | None:
    """Accuracy and balanced accuracy by number of detections, coarse and fine; None where no run has it."""
    chosen = evaluated(data)
    steps = counts_of(chosen)
    if len(steps) < 2:
        return None
    called = labels(chosen)
    pairs = [(c, m) for c in chosen for m in methods_of(c)]
    if len(pairs) > COLOURED:
        pairs = [pair for pair in pairs if pair[1] == "probe"]
    left_out = f", {COLOURED} of {len(pairs)} configurations" if len(pairs) > COLOURED else ""
    pairs = pairs[:COLOURED]
    beside = {n for c, _ in pairs for n in published_early(c.settings)}
    steps = sorted({*steps, *beside}, key=lambda n: (n is None, n))

    def line(c: Configuration, method: str, level: str, score: str) -> dict:
        found = {n: measure(early_score(level, method, n, score), c).estimate for n in steps}
        return {n: e for n, e in found.items() if e is not None}

    names = {n: "all" if n is None else str(n) for n in steps}
    title = f"Classification from the first detections: {data.title}{left_out}"
    figure, panels = draw_early({f"{called(c)}, {m}": partial(line, c, m) for c, m in pairs}, names, title)
    at = dict(zip(steps, count_places(steps)))
    for k, (c, _) in enumerate(pairs):
        known = {} if k and pairs[k - 1][0] is c else published_early(c.settings)
        for score, place in zip(CLASS_SCORES, range(2)):
            if known:
                panels["coarse", score].plot(
                    [at[n] for n in known], [v[place] for v in known.values()], color=COLOURS[k],
                    marker=MARKERS[k], zorder=1, label=literal(f"{called(c)}, {HEADING}"), **_PUBLISHED,
                )  # fmt: skip
    legend(figure, panels.values())
    return figure


def maps_figure(data: DataSet) -> Figure | None:
    """UMAP above t-SNE, a column a configuration (the first of its seeds), in the order of the settings."""
    rows = mapped(data)
    if not rows:
        return None
    drawn, called = rows[:SHOWN], labels(rows)
    figure, panels = grid_of(2 * len(drawn), 3.4, 3.8, len(drawn))
    for column, c in enumerate(drawn):
        arrays = next(run for run in c.trained if "map" in run.results).results["map"].arrays
        label = np.array(arrays["label"])
        for axes, kind in zip((panels[column], panels[column + len(drawn)]), MAPS):
            draw_map(
                axes, np.array(arrays[f"places/{kind}"]), label, float(np.clip(5000 / len(label), 3, 30))
            )
            axes.set_ylabel("" if column else kind, fontsize=11)
        name = called(c)
        panels[column].set_title(f"latent_dim {name}" if name.isdigit() else literal(name), fontsize=10)
    map_legend(figure, panels[0])
    left_out = f", {len(drawn)} of {len(rows)} configurations" if len(drawn) < len(rows) else ""
    figure.suptitle(literal(f"Maps of fingerprints: {data.title}{left_out}"), fontsize=12)
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
    figure, grid = grid_of(len(channels), 4.1, 2.7, margin=1.1)
    for axes, channel in zip(grid, channels):
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
            axes.plot(*_curve(run, f"val/{channel}"), label=literal(name), **style)
            if k is not None:
                x, y = _curve(run, f"train/{channel}")
                axes.plot(x, y, color=COLOURS[k], linewidth=0.9, linestyle=":", alpha=0.8, zorder=2)
        tidy(axes)
        axes.set_title(_TITLES.get(channel, channel), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _focus(axes, [_curve(run, f"val/{channel}")[1] for _, run in runs])
    rim_labels(grid, "epoch")
    legend(figure, grid)
    figure.suptitle(literal(f"Validation losses (dotted: training): {data.title}{best}"), fontsize=12)
    return figure


def best_run(data: DataSet) -> tuple[Run, str] | None:
    """The run of lowest validation loss whose probe has a confusion matrix, and by what it was chosen.

    Where the loss has other terms in some runs, the reconstruction alone is compared, which all of them have;
    and where that is measured otherwise, the runs that measure it as most do.
    """
    pairs = [(c, run) for c in data.configurations for run in c.trained if "probe" in run.results]
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
