"""Maps of several runs side by side, and how far each can be believed."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rtf.evaluation.statistics import Estimate
from rtf.evaluation.tables import Table
from rtf.evaluation.tasks.maps import draw_map, drawing_order, map_legend
from rtf.report.compare import Configuration, DataSet, labels
from rtf.report.layouts import score_table
from rtf.report.read import Run
from rtf.report.scores import Score, estimate
from rtf.report.settings import order
from rtf.report.style import readable

KINDS = ("UMAP", "t-SNE")
#: Columns of maps that a page has room for.
SHOWN = 5


def maps_table(data: DataSet) -> Table | None:
    """How true the maps of each configuration are, beside the fingerprints themselves and chance."""
    if not (rows := _mapped(data)):
        return None
    scores = {"agree fingerprints": _score("fingerprints", "agree", "10 nearest of the same class")}
    for kind in KINDS:
        scores[f"agree {kind}"] = _score(kind, "agree", f"the same on {kind}")
    scores["agree chance"] = _score("chance", "agree", "by chance")
    for kind in KINDS:
        scores[f"kept {kind}"] = _score(kind, "kept", f"10 nearest kept on {kind}")
    return score_table(f"Maps of fingerprints: {data.title}", rows, scores)


def maps_figure(data: DataSet) -> Figure | None:
    """UMAP above t-SNE, a column a configuration (the first of its seeds), in the order of the settings."""
    rows = _mapped(data)
    drawn = [c for c in rows if _run(c).results["map"].get("places")][:SHOWN]
    if not drawn:
        return None
    called = labels(rows)
    figure = Figure(figsize=(3.4 * len(drawn) + 0.4, 8.2), layout="constrained")
    grid = figure.subplots(len(KINDS), len(drawn), squeeze=False)
    for column, c in enumerate(drawn):
        result = _run(c).results["map"]
        label = np.array(result["label"])
        for axes, kind in zip(grid[:, column], KINDS):
            size = float(np.clip(5000 / len(label), 3, 30))
            draw_map(axes, np.array(result["places"][kind]), label, drawing_order(label), size)
            axes.set_ylabel("" if column else kind, fontsize=11)
        name = called(c)
        grid[0, column].set_title(f"latent_dim {name}" if name.isdigit() else readable(name), fontsize=10)
    map_legend(figure, grid[0, 0])
    left_out = f", {len(drawn)} of {len(rows)} configurations" if len(drawn) < len(rows) else ""
    figure.suptitle(readable(f"Maps of fingerprints: {data.title}{left_out}"), fontsize=12)
    return figure


def _mapped(data: DataSet) -> list[Configuration]:
    return sorted((c for c in data.configurations if _run(c)), key=lambda c: order(c.settings))


def _run(c: Configuration) -> Run | None:
    return next((run for run in c.trained if run.results.get("map")), None)


def _score(of: str, name: str, heading: str) -> Score:
    return Score(heading, partial(_read, of, name), task="map")


def _read(of: str, name: str, run: Run) -> Estimate | None:
    return estimate((run.results.get("map") or {}).get("scores", {}).get(of, {}).get(name))
