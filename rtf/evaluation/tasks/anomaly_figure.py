"""The picture of anomaly detection: ROC-AUC by class of outlier and score, and the ROC curves of all."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.tasks.anomaly_scores import TRIVIAL
from rtf.figures import DPI
from rtf.files import whole

#: Of the scores; markers differ as well as colours. Those without a model are grey and dashed.
_STYLE = (("#b2182b", "o"), ("#1f4e9c", "s"), ("#d9822b", "D"), ("#1b8a4b", "^"))
_TRIVIAL_STYLE = dict(zip(TRIVIAL, (("0.4", "<"), ("0.65", ">"))))


def anomaly_figure(
    result: Mapping,
    inlier: Mapping[str, np.ndarray],
    outlier: Mapping[str, np.ndarray],
    path: str | os.PathLike,
) -> None:
    """Draw the result of `evaluate_anomaly` as PNG, with 95 % intervals, and ROC curves of the scores."""
    groups, scores = result["groups"], list(inlier)
    figure = Figure(figsize=(12, max(4.8, 1.6 + 0.72 * len(groups))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    y = np.arange(len(groups))[::-1]
    for k, name in enumerate(scores):
        colour, marker = _TRIVIAL_STYLE.get(name) or _STYLE[k % len(_STYLE)]
        own = [g["auc"][name] for g in groups]
        value = np.array([e.value for e in own])
        ends = np.nan_to_num([(e.value - e.low, e.high - e.value) for e in own]).T.clip(0)
        shift = 0.14 * (len(scores) / 2 - 0.5 - k)
        left.errorbar(
            value, y + shift, xerr=ends, fmt=marker, color=colour, markersize=6, elinewidth=1.4, label=name
        )
        fall, rise = roc_curve(inlier[name], outlier[name])
        right.plot(fall, rise, color=colour, linewidth=1.6, linestyle="--" if name in TRIVIAL else "-")
    left.axvline(0.5, color="0.45", linestyle=":", linewidth=1.3)
    left.set_yticks(y, [f"{g['name']} ({g['n_outliers']:,})" for g in groups])
    for edge in y[:-1] - 0.5:
        left.axhline(edge, color="0.9", linewidth=0.8)
    left.set_ylim(-0.5, len(groups) - 0.5)
    left.set_xlabel("ROC-AUC, 95 % intervals")
    left.set_title(f"class of outlier (sources) against {result['n_inliers']:,} inliers", fontsize=11)
    right.plot([0, 1], [0, 1], color="0.45", linestyle=":", linewidth=1.3)
    right.set_xlabel("share of inliers above the threshold")
    right.set_ylabel("share of outliers above the threshold")
    right.set_title(f"all {groups[0]['n_outliers']:,} outliers together", fontsize=11)
    right.set_aspect("equal")
    right.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    for axes in (left, right):
        axes.grid(color="0.94", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def roc_curve(inlier: np.ndarray, outlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of inliers and outliers at or above each threshold, from (0, 0) to (1, 1)."""
    threshold = np.unique(np.concatenate([inlier, outlier]))[::-1]

    def share(values):
        above = len(values) - np.searchsorted(np.sort(values), threshold, side="left")
        return np.r_[0.0, above / len(values)]

    return share(inlier), share(outlier)
