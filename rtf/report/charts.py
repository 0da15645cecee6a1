"""The figures of a report: scores by size and configuration; first detections; maps; learning curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.record import MAJORITY
from rtf.evaluation.tasks.early import draw_early
from rtf.evaluation.tasks.map import draw_map, map_legend
from rtf.figures import COLOURS, MARKERS, draw_bars, grid_of, legend, literal, tidy, whiskers
from rtf.report.compare import Configuration, DataSet, labels, varying
from rtf.report.published import HEADING, SIZES, published, published_early, rebuilds_times
from rtf.report.scores import SCORES, measure, measure_all

_PUBLISHED = {"linestyle": (0, (4, 2.5)), "linewidth": 1.2, "markerfacecolor": "white", "markersize": 5.5}
_PANELS = ("coarse_accuracy", "fine_accuracy", "coarse_balanced", "mag", "dt", "band")
#: Lines that have a colour of their own, and columns of maps that a page has room for.
COLOURED, SHOWN = 8, 6


def size_figure(block: Sequence[Configuration], title: str, by: str = "latent_dim") -> Figure | None:
    """Scores by latent_dim, with the published curves, or by bytes; None where there is one size."""

    def size(c: Configuration) -> float:
        return c.settings.get(by) or 0 if by == "latent_dim" else measure(SCORES[by], c).value

    block = sorted((c for c in block if size(c) > 0), key=size)
    panels = _panels(block)
    if len({size(c) for c in block}) < 2 or not panels:
        return None
    same = all(c.settings.get("modalities") == "photometry" and rebuilds_times(c.settings) for c in block)
    curves = SIZES if same and by == "latent_dim" else {}
    called = labels(block, [n for n in varying(block) if n != "latent_dim"] or ["bottleneck"])
    figure, grid = grid_of(len(panels), 4.2, 3.3)
    for axes, name in zip(grid, panels):
        for k, line in enumerate(sorted(set(map(called, block)))):
            members = [c for c in block if called(c) == line]
            found = [(size(c), m) for c in members if (m := measure(SCORES[name], c)).n]
            style = {"color": COLOURS[k % 8], "marker": MARKERS[k % 8]}
            x = [s * 1.025**k for s, _ in found]  # side by side, on a logarithmic axis
            error = whiskers([m for _, m in found])
            axes.errorbar(x, [m.value for _, m in found], error, capsize=2.5, label=literal(line), **style)
            kind = members[0].settings.get("bottleneck")
            if found and (known := curves.get(name, {}).get(kind)):
                label = f"{kind}, {HEADING}"
                axes.plot([*known], [*known.values()], label=label, **style, **_PUBLISHED)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("floats in the latent vector" if by == "latent_dim" else "bytes sent")
        axes.set_ylabel(SCORES[name].kind.heading)
        tidy(axes)
    figure.suptitle(literal(title), fontsize=12)
    legend(figure, grid)
    return figure


def _panels(rows: Sequence[Configuration]) -> list[str]:
    """Names of the scores that have a value to draw."""
    return [n for n in _PANELS if any(measure(SCORES[n], c).n for c in rows)]


def bars_figure(rows: Sequence[Configuration], published_as: str, title: str) -> Figure | None:
    """Scores by configuration, one panel a score, with the published figures as open diamonds."""
    if not (panels := _panels(rows)):
        return None
    called = labels(rows)
    figure, grid = grid_of(len(panels), 3.9, 0.34 * len(rows) + 1.5, margin=0.5, sharey=True)
    style = {"marker": "D", "linestyle": "none", "color": COLOURS[3], "markerfacecolor": "white"}
    for axes, name in zip(grid, panels):
        draw_bars(axes, [measure(SCORES[name], c) for c in rows], [literal(called(c)) for c in rows])
        beside = [published(published_as, c.settings).get(name, np.nan) for c in rows]
        if np.isfinite(beside).any():
            axes.plot(beside, range(len(rows)), label=HEADING, zorder=4, **style)
        axes.set_xlim(left=0)
        axes.set_title(SCORES[name].kind.heading, fontsize=10.5)
    legend(figure, grid)
    figure.suptitle(literal(title), fontsize=12)
    return figure


def early_figure(data: DataSet) -> Figure | None:
    """Accuracy and balanced accuracy by number of detections, coarse and fine; None where no run has it."""
    found = [(c, records) for c in data.configurations if (records := measure_all(c, "early"))]
    lines, beside, called = {}, {}, labels([c for c, _ in found])
    for c, records in found:
        first = len(lines)  # the published curve has the colour of the configuration's first line
        for r, _ in records:
            if r.group == "all" and r.method != MAJORITY:
                lines.setdefault(f"{called(c)}, {r.method}", []).append(r)
        if known := published_early(c.settings):
            beside[first] = f"{called(c)}, {HEADING}", known
    left_out = f", {COLOURED} of {len(lines)} lines" if len(lines) > COLOURED else ""
    lines = dict(list(lines.items())[:COLOURED])
    beside = {k: v for k, v in beside.items() if k < COLOURED}
    counts = {r.shown for found in lines.values() for r in found}
    if len(counts) < 2:
        return None
    counts = counts.union(*(known for _, known in beside.values()))
    steps = {n: "all" if n is None else str(n) for n in sorted(counts, key=lambda n: (n is None, n))}
    title = f"Classification from the first detections: {data.title}{left_out}"
    figure, panels, at = draw_early(lines, steps, title)
    for k, (name, known) in beside.items():
        style = {"color": COLOURS[k], "marker": MARKERS[k], "label": literal(name), **_PUBLISHED}
        for place, score in enumerate(("accuracy", "balanced accuracy")):
            panels["coarse", score].plot([at[n] for n in known], [v[place] for v in known.values()], **style)
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
    """The validation loss of every run by epoch."""
    called, (figure, (axes,)) = labels(data.configurations), grid_of(1, 7.5, 4.5)
    for c in data.configurations:
        for run in c.runs:
            points = [(e["epoch"] + 1, e["val/loss"]) for e in run.history if e.get("val/loss") is not None]
            name = f"{called(c)}, seed {run.config.get('seed')}"
            if points:
                axes.plot(*zip(*points), label=literal(name), linewidth=1.2, marker=".")
    if not axes.lines:
        return None
    axes.set(xlabel="epoch", ylabel="validation loss")
    tidy(axes)
    if len(axes.lines) <= 2 * COLOURED:
        legend(figure, (axes,))
    figure.suptitle(literal(f"Validation losses: {data.title}"), fontsize=12)
    return figure
