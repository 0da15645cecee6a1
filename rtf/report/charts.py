"""The figures of a report: scores by size, bytes and configuration; first detections; maps; learning curves.

Notable:
- published curves are dashed, in the colour of what they are of
- intervals are bars or bands; points of one size stand beside, not on, one another
- the best run is chosen on the validation split; the test split has no say in what is shown of it
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from rtf.evaluation.record import MAJORITY
from rtf.evaluation.tasks.early import draw_early
from rtf.evaluation.tasks.map import draw_map, map_legend
from rtf.figures import COLOURS, MARKERS, draw_bars, grid_of, legend, literal, rim_labels, tidy, whiskers
from rtf.report.compare import Configuration, DataSet, is_trained, labels, varying
from rtf.report.published import HEADING, SIZES, published, published_early, rebuilds_times
from rtf.report.read import Run
from rtf.report.scores import SCORES, measure, measure_all

_PUBLISHED = {"linestyle": (0, (4, 2.5)), "linewidth": 1.2, "markerfacecolor": "white", "markersize": 5.5}
_PANELS = ("coarse_accuracy", "fine_accuracy", "coarse_balanced", "mag", "dt", "band")
#: Runs, or lines, that have a colour of their own; others are grey, lest nothing can be told apart.
COLOURED = 8
#: Columns of maps that a page has room for.
SHOWN = 5
_CHANNELS = {
    "loss": "loss (all terms)", "reconstruction": "reconstruction", "logflux": "magnitude (logflux)",
    "logflux_err": "its error (logflux_err)", "log1p_dt": "time since first detection",
    "log1p_dt_prev": "time since previous one", "band": "band", "bottleneck": "bottleneck",
    "classification": "classification",
}  # fmt: skip


def size_figure(block: Sequence[Configuration], title: str, by: str = "latent_dim") -> Figure | None:
    """Scores by latent_dim, with the published curves, or by bytes; None where there is one size."""
    in_floats = by == "latent_dim"
    size = {id(c): c.settings.get(by) if in_floats else measure(SCORES[by], c).value for c in block}
    block = [c for c in block if size[id(c)] is not None and np.isfinite(size[id(c)])]
    sizes = sorted({size[id(c)] for c in block})
    panels = [n for n in _PANELS if any(measure(SCORES[n], c).n for c in block)]
    if len(sizes) < 2 or not panels:
        return None
    same = all(c.settings.get("modalities") == "photometry" and rebuilds_times(c.settings) for c in block)
    curves = SIZES if same and in_floats else {}
    called = labels(block, [n for n in varying(block) if n != "latent_dim"] or ["bottleneck"])
    lines: dict[str, list] = {}
    for c in sorted(block, key=lambda c: size[id(c)]):
        lines.setdefault(called(c), []).append(c)
    figure, axes_of = grid_of(len(panels), 4.2, 3.3)
    for axes, name in zip(axes_of, panels):
        left = dict(curves.get(name, {}))
        for k, (line, members) in enumerate(sorted(lines.items())):
            found = [(size[id(c)], m) for c in members if (m := measure(SCORES[name], c)).n]
            style = {"color": COLOURS[k % 8], "marker": MARKERS[k % 8]}
            # side by side, on a logarithmic axis
            x = np.array([s for s, _ in found], float) * 1.025 ** (k - (len(lines) - 1) / 2)
            axes.errorbar(
                x, [m.value for _, m in found], yerr=whiskers([m for _, m in found]), markersize=6,
                markeredgecolor="white", linewidth=1.6, elinewidth=1.2, capsize=2.5, label=literal(line),
                zorder=3, **style,
            )  # fmt: skip
            kind = members[0].settings.get("bottleneck")
            if found and (known := left.pop(kind, None)):
                label = f"{kind}, {HEADING}"
                axes.plot([*known], [*known.values()], label=label, zorder=1, **style, **_PUBLISHED)
        seen = sorted({*sizes, *(s for of in curves.get(name, {}).values() for s in of)})
        _log_axis(axes, seen, "floats in the latent vector (latent_dim)" if in_floats else "bytes sent")
        axes.set_ylabel(SCORES[name].kind.heading)
        tidy(axes)
    figure.suptitle(literal(title), fontsize=12)
    legend(figure, axes_of)
    return figure


def _log_axis(axes, ticks: Sequence[float], name: str) -> None:
    """A logarithmic axis with labels at these values, from the largest on those that do not touch."""
    room = (max(ticks) / min(ticks)) ** (1 / 9)
    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):
        if not kept or tick * room <= kept[-1]:
            kept.append(tick)
    axes.set_xscale("log")
    axes.set_xticks(kept, [f"{t:,.0f}" for t in kept])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(name)


def bars_figure(rows: Sequence[Configuration], published_as: str, title: str) -> Figure | None:
    """Scores by configuration, one panel a score, with the published figures as open diamonds."""
    panels = [n for n in _PANELS if any(measure(SCORES[n], c).n for c in rows)]
    if not panels:
        return None
    called = labels(rows)
    figure, grid = grid_of(len(panels), 3.9, 0.34 * len(rows) + 1.5, margin=0.5, sharey=True)
    for axes, name in zip(grid, panels):
        found = [measure(SCORES[name], c) for c in rows]
        draw_bars(axes, found, [literal(called(c)) for c in rows])
        beside = [published(published_as, c.settings).get(name, np.nan) for c in rows]
        if np.isfinite(beside).any():
            axes.plot(
                beside, range(len(rows)), marker="D", linestyle="none", markerfacecolor="white", zorder=4,
                markeredgecolor=COLOURS[3], label="published (other data)",
            )  # fmt: skip
        for k, m in enumerate(found):
            shown = f" {m.value:.{SCORES[name].kind.digits}f}" if m.n else " no value yet"
            axes.text(0, k, shown, va="center", fontsize=8, color="0.3")
        axes.set_xlim(left=0)
        axes.set_title(SCORES[name].kind.heading, fontsize=10.5)
    legend(figure, grid)
    figure.suptitle(literal(title), fontsize=12)
    return figure


def early_figure(data: DataSet) -> Figure | None:
    """Accuracy and balanced accuracy by number of detections, coarse and fine; None where no run has it."""
    found = [(c, cells) for c in data.configurations if (cells := measure_all(c, "early"))]
    lines, whose, called = {}, {}, labels([c for c, _ in found])
    for c, cells in found:
        for r, m in cells:
            if r.group == "all" and r.method != MAJORITY:
                name = f"{called(c)}, {r.method}"
                lines.setdefault(name, []).append(replace(r, value=m.value, low=m.low, high=m.high))
                whose[name] = c
    if len(lines) > COLOURED:
        lines = {name: found for name, found in lines.items() if found[0].method == "probe"}
    left_out = f", {COLOURED} of {len(lines)} configurations" if len(lines) > COLOURED else ""
    lines = dict(list(lines.items())[:COLOURED])
    if len({r.shown for found in lines.values() for r in found}) < 2:
        return None
    beside = {}  # the published curve of a configuration, in the colour of its first line
    for k, name in enumerate(lines):
        if not any(whose[name] is c for c, *_ in beside.values()):
            beside[k] = whose[name], published_early(whose[name].settings)
    counts = {r.shown for found in lines.values() for r in found}.union(
        *(known for _, known in beside.values())
    )
    steps = {n: "all" if n is None else str(n) for n in sorted(counts, key=lambda n: (n is None, n))}
    title = f"Classification from the first detections: {data.title}{left_out}"
    figure, panels, at = draw_early(lines, steps, title)
    for k, (c, known) in beside.items():
        for place, score in enumerate(("accuracy", "balanced accuracy") if known else ()):
            panels["coarse", score].plot(
                [at[n] for n in known], [v[place] for v in known.values()], color=COLOURS[k],
                marker=MARKERS[k], zorder=1, label=literal(f"{called(c)}, {HEADING}"), **_PUBLISHED,
            )  # fmt: skip
    legend(figure, panels.values())
    return figure


def maps_figure(data: DataSet) -> Figure | None:
    """UMAP above t-SNE, a column a configuration (the first of its seeds), in the order of the settings."""
    rows = [c for c in data.configurations if any("map" in run.results for run in c.trained)]
    if not rows:
        return None
    drawn, called = rows[:SHOWN], labels(rows)
    figure, panels = grid_of(2 * len(drawn), 3.4, 3.8, len(drawn))
    for column, c in enumerate(drawn):
        arrays = next(run for run in c.trained if "map" in run.results).results["map"].arrays
        label = np.array(arrays["label"])
        for axes, kind in zip((panels[column], panels[column + len(drawn)]), ("UMAP", "t-SNE")):
            places = np.array(arrays[f"places/{kind}"])
            draw_map(axes, places, label, float(np.clip(5000 / len(label), 3, 30)))
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
    channels = [n for n in _CHANNELS if any(any(_curve(run, f"val/{n}")[1]) for _, run in runs)]
    if not channels:
        return None
    lowest = sorted(runs, key=lambda pair: min(_curve(pair[1], "val/loss")[1], default=np.inf))[:COLOURED]
    coloured = [id(run) for _, run in runs if any(run is other for _, other in lowest)]
    several = any(len(c.runs) > 1 for c in data.configurations)
    figure, grid = grid_of(len(channels), 4.1, 2.7, margin=1.1)
    for axes, channel in zip(grid, channels):
        for c, run in runs:
            curve, name = _curve(run, f"val/{channel}"), f"other runs ({len(runs) - len(coloured)})"
            if id(run) not in coloured:
                axes.plot(*curve, label=name, color="0.78", linewidth=0.8, zorder=1)
                continue
            k = coloured.index(id(run))
            seed = f", seed {run.config.get('seed')}" if several else ""
            name = called(c) + seed + ("" if is_trained(run) else f" ({run.state})")
            axes.plot(
                *curve, label=literal(name), color=COLOURS[k], marker=MARKERS[k], linewidth=1.6, markersize=5,
                markeredgecolor="white", markevery=max(1, len(run.history) // 6), zorder=3,
            )  # fmt: skip
            axes.plot(
                *_curve(run, f"train/{channel}"), color=COLOURS[k], linewidth=0.9, linestyle=":", zorder=2
            )
        tidy(axes)
        axes.set_title(_CHANNELS[channel], fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _focus(axes, [_curve(run, f"val/{channel}")[1] for _, run in runs])
    rim_labels(grid, "epoch")
    legend(figure, grid)
    best = f"; in colour: the {COLOURED} lowest" if len(runs) > COLOURED else ""
    figure.suptitle(literal(f"Validation losses (dotted: training): {data.title}{best}"), fontsize=12)
    return figure


def _curve(run: Run, key: str) -> tuple[list[int], list[float]]:
    points = [(epoch["epoch"] + 1, epoch[key]) for epoch in run.history if epoch.get(key) is not None]
    return [x for x, _ in points], [y for _, y in points]


def _focus(axes, curves: Sequence[list[float]]) -> None:
    """Leave the first epochs, which can be huge, out of the range of the axis."""
    if late := [v for curve in curves for v in curve[len(curve) // 10 :]]:
        low, high = min(late), float(np.quantile(late, 0.995))
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
        axes.set_ylim(low - margin, high + 2 * margin)


def best_run(data: DataSet) -> tuple[Run, str] | None:
    """The run whose confusion matrix is shown, and by what it was chosen: the reconstruction in validation.

    The whole loss has other terms in some runs; the reconstruction all of them have. Where that is measured
    in several ways, the runs that measure it as most do are compared.
    """
    runs = [(c, run) for c in data.configurations for run in c.trained if "probe" in run.results]
    by_loss: dict[tuple, list[Run]] = {}
    for c, run in runs:
        if "val/reconstruction" in run.metrics:
            by_loss.setdefault((c.settings.get("loss"), c.settings.get("decoder")), []).append(run)
    if not by_loss:
        return None
    (loss, decoder), usual = max(by_loss.items(), key=lambda item: len(item[1]))
    among = f" with {loss} loss and decoder {decoder}" if len(by_loss) > 1 else ""
    how = f"lowest reconstruction loss in validation of the evaluated runs{among}"
    return min(usual, key=lambda run: run.metrics["val/reconstruction"]), how
