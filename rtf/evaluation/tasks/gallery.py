"""Gallery: real sources, one row each, from cutouts to neighbours and class probabilities.

Notable:
- neighbours are the run's own training sources, by cosine, drawn moved to the brightness of the source
- probabilities are the head's, or those of a linear probe fitted on the same training sources
- a label catalogue only names the sources: nothing is fitted or chosen by whether the model is right
- stamps are the pixels as sent, asinh, each on its own grey scale; blue was not measured
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rtf import figures
from rtf.alerts.cutouts import decode_cutout
from rtf.alerts.history import Detections, SourceHistory, concatenate
from rtf.alerts.read import read_histories
from rtf.classes import FINE, UNKNOWN
from rtf.documents import Table
from rtf.encoding.table import class_probabilities
from rtf.evaluation.classification import fit_probe
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.search import scaler
from rtf.features.stamps import KINDS, latest_stamps

_ENOUGH = 4  # detections of sources chosen by themselves, where enough have so many
_SHOWN = 5  # most probable classes
_READ_BY = {"head": "classification head", "probe": "linear probe", "none": "no classifier"}


def gallery(
    given: Inputs, *, alerts: str, labels: str | None, n: int, objects: Sequence[str], n_neighbours: int
) -> Evaluated:
    """Draw and list what the run makes of sources in `alerts`: those named by `objects`, or n of them.

    `labels` is a CSV file with columns object_id and type, shown beside the sources, or None.
    """
    if not alerts:
        raise ValueError("please give the alerts to show as task.alerts=PATH")
    model, train = given.model, given.split("train")
    types = read_types(labels) if labels else {}
    histories = choose_sources(read_histories(alerts), types, n, objects, model.view)
    own, label = model.encode(histories), train.label["fine"]
    unit = scaler(train.found.latent)
    cosine = unit(own.latent) @ unit(train.found.latent).T
    near = np.argsort(-cosine, axis=1, kind="stable")[:, :n_neighbours]
    probe = None
    if own.probability is None and len(np.unique(label[label != UNKNOWN])) > 1:
        probe = fit_probe(train.found.latent, label)
    reader, probability = class_probabilities(own, probe)
    names = [h.object_id for h in histories]
    curves = figures.rebuilt_light_curves(model.reconstruct(histories), names, [UNKNOWN] * len(names))
    cutouts = _latest_cutouts(model.view(concatenate(histories)))
    sources = [
        {
            "object_id": name, "type": types.get(name, "type unknown"), "n_detections": len(curves[k].dt),
            "error": curves[k].error, "has_cutouts": cutouts[k] is not None,
            "probability": dict(zip(FINE, probability[k].astype(float))),
            "nearest": [
                {"object_id": str(train.object_id[j]), "class": figures.class_name(label[j]),
                 "cosine": cosine[k, j]} for j in near[k]
            ],
        }
        for k, name in enumerate(names)
    ]  # fmt: skip
    alike, by = [model.view(train.detections.take(rows)) for rows in near], _READ_BY[reader]
    made = Evaluated(arrays={"probabilities from": reader, "sources": sources})
    made.tables = [gallery_table(sources, by, len(label))]
    made.figures["gallery.png"] = gallery_figure(sources, curves, cutouts, alike, by)
    return made


def read_types(path: str | Path) -> dict[str, str]:
    """Object id to type, of a CSV file with the columns object_id and type."""
    with Path(path).open(newline="") as file:
        rows = csv.DictReader(file)
        if absent := {"object_id", "type"} - set(rows.fieldnames or ()):
            raise ValueError(f"{path}: no column {' and '.join(sorted(absent))}")
        return {row["object_id"]: row["type"] for row in rows if row["type"]}


def choose_sources(
    histories: list[SourceHistory], types: dict[str, str], n: int, objects: Sequence[str], view
) -> list[SourceHistory]:
    """The sources `objects`; or n: those of a known type, then with cutouts, evenly by detections."""
    by_id = {h.object_id: h for h in histories}
    if objects:
        if absent := sorted(set(objects) - set(by_id)):
            raise ValueError(f"not among the {len(by_id):,} objects of the alerts: {', '.join(absent)}")
        return [by_id[x] for x in objects]
    seen = view(concatenate(histories))
    bare = latest_stamps(seen) < 0
    good = [k for k in range(len(seen)) if seen.length[k] >= _ENOUGH]
    good = good if len(good) >= n else list(range(len(seen)))
    good.sort(key=lambda k: (bare[k], -seen.length[k]))
    first = [k for k in good if histories[k].object_id in types][:n]
    rest = [k for k in good if k not in first]
    rest = [k for k in rest if not bare[k]] if (~bare[rest]).sum() >= n - len(first) else rest
    even = np.linspace(0, len(rest) - 1, min(n - len(first), len(rest))).round().astype(int)
    return [histories[k] for k in [*first, *(rest[j] for j in even)]]


def most_probable(source: dict) -> list[tuple[str, float]]:
    """Classes of known probability, the most probable first."""
    known = [(c, p) for c, p in source["probability"].items() if np.isfinite(p)]
    return sorted(known, key=lambda x: -x[1])[:_SHOWN]


def gallery_table(sources: Sequence[dict], read_by: str, n_train: int) -> Table:
    """One row a source: what it is, what it is taken for, and whom it resembles."""
    rows = []
    for source in sources:
        most = next((f"{c} ({p:.2f})" for c, p in most_probable(source)), "–")
        near = ", ".join(f"{x['class']} ({x['cosine']:.2f})" for x in source["nearest"])
        who = source["object_id"], source["type"], f"{source['n_detections']}"
        rows.append((*who, most, f"{source['error']:.2f}", near))
    columns = ["object", "type", "detections", f"taken for ({read_by})", "|Δmag| [mag]", "nearest (cosine)"]
    note = f"Single sources, no statistics. Nearest of {n_train:,} training sources; type: of the label file."
    return Table("Real sources", columns, rows, (note,))


def _latest_cutouts(seen) -> list[list[np.ndarray] | None]:
    """Science, template and difference image of each source as sent, None for a source without."""
    latest = latest_stamps(seen)
    found: list = [None] * len(latest)
    for k in np.flatnonzero(latest >= 0):
        (triplet,) = seen.read_stamps(latest[[k]])
        found[k] = [decode_cutout(stamp) for stamp in triplet]
    return found


def gallery_figure(
    sources: Sequence[dict], curves: Sequence[figures.LightCurve], cutouts: Sequence,
    alike: Sequence[Detections], read_by: str,
) -> Figure:  # fmt: skip
    """Draw the gallery; `alike` are the detections of each source's neighbours, nearest first."""
    n_near = len(alike[0])
    widths = [1.1] * 3 + [3.6] + [1.35] * n_near + [2.4]
    figure = Figure(figsize=(11.4 + 1.5 * n_near, 2.1 * len(sources) + 0.9), layout="constrained")
    grid = figure.subplots(len(sources), len(widths), squeeze=False, width_ratios=widths)
    grey = colormaps["gray"].with_extremes(bad="#7aa6d8")
    for panels, source, curve, images, near in zip(grid, sources, curves, cutouts, alike):
        for axes, kind, image in zip(panels, KINDS, images or [None] * 3):
            axes.set_axis_off()
            axes.set_title("no cutout" if image is None else kind, fontsize=7, pad=2)
            if image is not None:
                axes.imshow(np.arcsinh(image), cmap=grey, origin="lower")
        figures.draw_light_curve(panels[3], curve, size=4.5)
        title = f"{source['object_id']}  ·  {source['type']}  ·  {source['n_detections']} detections"
        panels[3].set_title(figures.literal(title), fontsize=9)
        for j, (axes, who) in enumerate(zip(panels[4:], source["nearest"])):
            _draw_neighbour(axes, near.take(np.array([j])), curve, panels[3].get_ylim())
            axes.set_title(f"{who['class']}\ncos {who['cosine']:.2f}", fontsize=7.5)
        best = most_probable(source)
        panels[-1].barh([c for c, _ in best], [p for _, p in best], color=figures.COLOURS[5], height=0.7)
        panels[-1].set(xlim=(0, 1), ylim=(_SHOWN - 0.4, -0.6))
        figures.tidy(panels[-1])
    grid[-1, 3].set_xlabel("days since first detection", fontsize=8)
    grid[-1, -1].set_xlabel(f"probability ({read_by})", fontsize=8)
    handles = figures.band_handles(np.concatenate([curve.band for curve in curves]), **figures.REBUILT)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    parts = "cutouts as sent", "light curve (AB mag) and reconstruction", "nearest training sources"
    figure.suptitle("  ·  ".join([*parts, "class probabilities"]), fontsize=11)
    return figure


def _draw_neighbour(axes, source: Detections, curve: figures.LightCurve, mags) -> None:
    """A neighbour's detections, moved to the median brightness of the source beside it, on the same scale."""
    shift = np.median(source.mag) - np.median(curve.mag)
    day, moved = source.mjd - source.mjd[0], source.mag - shift
    figures.draw_detections(axes, day, moved, source.magerr, source.band, size=2.8)
    axes.set_ylim(max(mags[0], moved.max() + 0.1), min(mags[1], moved.min() - 0.1))
    axes.set_yticks([])
    text = f"{abs(shift):.1f} mag {'fainter' if shift > 0 else 'brighter'}"
    axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", fontsize=6, color="0.4")
    figures.tidy(axes)
