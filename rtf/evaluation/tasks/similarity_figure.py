"""The picture of similarity search: recall against the number of detections, precision by class."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.statistics import Estimate
from rtf.figures import DPI
from rtf.files import whole


def similarity_figure(
    recall: Sequence[Mapping], precision: Mapping, n_index: int, k: int, path: str | os.PathLike
) -> None:
    """Recall against the number of detections, and precision by class, as PNG with 95 % intervals."""
    figure = Figure(figsize=(11.5, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _recall_panel(left, [r for r in recall if r["n_queries"]], n_index)
    _precision_panel(right, precision["rows"], k)
    for axes in (left, right):
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Search by cosine among fingerprints of the test split, 95 % intervals", fontsize=13)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _recall_panel(axes, recall: Sequence[Mapping], n_index: int) -> None:
    x = [r["n_detections"] for r in recall]
    for k, colour, marker in ((1, "#1f4e9c", "o"), (10, "#d9822b", "s")):
        estimates = [r[f"recall_at_{k}"] for r in recall]
        axes.errorbar(
            x, [e.value for e in estimates], _whiskers(estimates), color=colour, marker=marker, markersize=6,
            markeredgecolor="white", linewidth=1.8, elinewidth=1.2, capsize=3, label=f"recall at {k}",
        )  # fmt: skip
        axes.axhline(
            min(k / n_index, 1), color=colour, linestyle=":", linewidth=1.4, label=f"chance at {k}", zorder=1
        )
    axes.set_xscale("log")
    labels = [f"{r['n_detections']}\n({r['n_queries']:,})" for r in recall]
    axes.set_xticks(x, labels)
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=-0.01)
    axes.set_xlabel("detections a source is searched by (sources asking)")
    axes.set_ylabel("share of sources that find themselves")
    axes.set_title(f"a source finds itself among {n_index:,}", fontsize=11)
    axes.legend(frameon=False, fontsize=9.5)


def _precision_panel(axes, rows: Sequence[Mapping], k: int) -> None:
    y = np.arange(len(rows))[::-1]
    estimates = [r["precision"] for r in rows]
    axes.barh(y, [e.value for e in estimates], color="#9db8dd", height=0.66, label=f"precision at {k}")
    axes.errorbar(
        [e.value for e in estimates], y, xerr=_whiskers(estimates), fmt="none", ecolor="#1f4e9c", capsize=3
    )
    for name, style in (("chance", ("|", "#b2182b")), ("best", ("|", "0.35"))):
        axes.plot(
            [r[name].value for r in rows], y, style[0], color=style[1], markersize=15, markeredgewidth=2,
            label={"chance": "chance", "best": "best possible"}[name],
        )  # fmt: skip
    axes.set_yticks(y, [f"{r['name']} ({r['n_sources']:,})" for r in rows])
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(f"share of the {k} nearest of the same class")
    axes.set_title("neighbours by class (test sources)", fontsize=11)
    axes.legend(frameon=False, fontsize=9.5, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)


def _whiskers(estimates: Sequence[Estimate]) -> np.ndarray:
    ends = [(max(e.value - e.low, 0), max(e.high - e.value, 0)) for e in estimates]
    return np.nan_to_num(np.array(ends).reshape(-1, 2).T)
