"""Scores against the size of the fingerprint, its bytes, and by configuration.

Notable:
- published curves are dashed, in the colour of the bottleneck they are of
- intervals are bars; points of one size stand beside, not on, one another
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from rtf.report.compare import Configuration, labels, varying
from rtf.report.published import published, published_sizes, rebuilds_times
from rtf.report.scores import SCORES, Measured, measure
from rtf.report.style import COLOURS, MARKERS, PUBLISHED, legend, readable, tidy

_PANELS = ("coarse_accuracy", "fine_accuracy", "coarse_balanced", "mag", "dt", "band")


def size_figure(block: Sequence[Configuration], title: str) -> Figure | None:
    """Scores by size of the fingerprint, one line a bottleneck; None where there is one size."""
    lines = _lines(block)
    sizes = sorted({c.settings["latent_dim"] for c in block if "latent_dim" in c.settings})
    panels = _measured_panels(block)
    if len(sizes) < 2 or not panels:
        return None
    figure, axes_of = _grid(panels, title)
    same = all(c.settings.get("modalities") == "photometry" and rebuilds_times(c.settings) for c in block)
    curves = published_sizes() if same else {}
    for name, axes in axes_of.items():
        for k, (line, members) in enumerate(lines.items()):
            x = np.array([c.settings["latent_dim"] for c in members], float)
            x = x * 1.025 ** (k - (len(lines) - 1) / 2)  # side by side, on a logarithmic axis
            _line(axes, x, [measure(SCORES[name], c) for c in members], k, line)
            known = curves.get(name, {}).get(members[0].settings.get("bottleneck"), {})
            if known and k == _first(lines, members[0]):
                axes.plot(
                    list(known), list(known.values()), color=COLOURS[k % 8], marker=MARKERS[k % 8],
                    label=f"{members[0].settings['bottleneck']}, published (other data)", zorder=1,
                    **PUBLISHED,
                )  # fmt: skip
        seen = sorted({*sizes, *(s for of in curves.get(name, {}).values() for s in of)})
        _log_axis(axes, seen, "floats in the latent vector (latent_dim)")
    legend(figure, axes_of.values())
    return figure


def bytes_figure(block: Sequence[Configuration], title: str) -> Figure | None:
    """Errors and accuracy by the bytes that are sent; None where all send as many."""
    members = [c for c in block if measure(SCORES["bytes"], c).estimate is not None]
    size = {id(c): measure(SCORES["bytes"], c).estimate.value for c in members}
    panels = [name for name in ("mag", "dt", "coarse_accuracy") if name in _measured_panels(members)]
    if len(set(size.values())) < 2 or not panels:
        return None
    figure, axes_of = _grid(panels, title)
    lines = _lines(members)
    for name, axes in axes_of.items():
        for k, (line, of) in enumerate(lines.items()):
            of = sorted(of, key=lambda c: size[id(c)])
            x = np.array([size[id(c)] for c in of]) * 1.03 ** (k - (len(lines) - 1) / 2)
            _line(axes, x, [measure(SCORES[name], c) for c in of], k, line)
        _log_axis(axes, sorted(set(size.values())), "bytes of a fingerprint")
    legend(figure, axes_of.values())
    return figure


def bars_figure(rows: Sequence[Configuration], published_as: str, title: str) -> Figure | None:
    """Scores by configuration, one panel a score, with the published figures as open diamonds."""
    panels = [n for n in (*_PANELS[:4], "dt", "band") if any(measure(SCORES[n], c).n for c in rows)]
    if not panels:
        return None
    called = labels(rows)
    height = 0.34 * len(rows) + 1.5
    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(3.1 * n_columns + 2.4, height * n_rows + 0.5), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    y = np.arange(len(rows))
    for axes, name in zip(grid.flat, panels):
        found = [measure(SCORES[name], c) for c in rows]
        values = [m.estimate.value if m.estimate else np.nan for m in found]
        axes.barh(y, values, height=0.62, color="#c9d6ea", edgecolor=COLOURS[0], linewidth=0.8, zorder=2)
        axes.errorbar(
            values, y, xerr=_bars(found), fmt="none", ecolor="0.2", elinewidth=1.3, capsize=3, zorder=3
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
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0, 0].set_yticks(y, [readable(called(c)) for c in rows])
    grid[0, 0].invert_yaxis()
    legend(figure, grid.flat)
    figure.suptitle(readable(title), fontsize=12)
    return figure


def _lines(block: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    """Configurations that differ in size alone, by what they are otherwise."""
    names = [n for n in varying(block) if n != "latent_dim"]
    called = labels(block, names or ["bottleneck"])
    found: dict[str, list] = {}
    for c in sorted(block, key=lambda c: c.settings.get("latent_dim") or 0):
        found.setdefault(called(c), []).append(c)
    return found


def _first(lines: dict[str, list], c: Configuration) -> int:
    """Number of the first line of the configuration's bottleneck."""
    kinds = [members[0].settings.get("bottleneck") for members in lines.values()]
    return kinds.index(c.settings.get("bottleneck"))


def _measured_panels(block: Sequence[Configuration]) -> list[str]:
    return [name for name in _PANELS if any(measure(SCORES[name], c).n for c in block)]


def _line(axes, x: np.ndarray, found: Sequence[Measured], k: int, name: str) -> None:
    here = [j for j, m in enumerate(found) if m.estimate is not None]
    found = [found[j] for j in here]
    axes.errorbar(
        x[here], [m.estimate.value for m in found], yerr=_bars(found), color=COLOURS[k % 8],
        marker=MARKERS[k % 8], markersize=6, markeredgecolor="white", markeredgewidth=0.6, linewidth=1.6,
        elinewidth=1.2, capsize=2.5, label=readable(name), zorder=3,
    )  # fmt: skip


def _bars(found: Sequence[Measured]) -> np.ndarray:
    """(2, n) lengths below and above; 0 where there is no interval, NaN where there is no value."""
    lengths = []
    for m in found:
        e = m.estimate
        ends = (np.nan, np.nan) if e is None else (e.value - e.low, e.high - e.value)
        lengths.append([0.0 if e is not None and not np.isfinite(end) else max(end, 0.0) for end in ends])
    return np.array(lengths).T.reshape(2, -1)


def _grid(panels: Sequence[str], title: str):
    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.3 * n_rows + 0.9), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, panels):
        axes.set_ylabel(SCORES[name].heading)
        tidy(axes)
    figure.suptitle(readable(title), fontsize=12)
    return figure, dict(zip(panels, grid.flat))


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
