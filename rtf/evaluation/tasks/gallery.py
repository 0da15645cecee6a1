"""Gallery: real sources, one row each, from cutouts to neighbours and class probabilities.

Notable:
- alerts come straight from any format a reader knows, and go through the same `encode` as a live stream
- neighbours are searched among the run's own training sources, by cosine of fingerprints standardised by
  them, as similarity search does; they are drawn moved to the brightness of the source, which is said
- probabilities are the head's, or those of a linear probe fitted on the same training sources
- a label catalogue only names the sources: nothing is fitted or chosen by whether the model is right
- the upper stamps are the pixels as sent, asinh, each on its own grey scale; the lower ones are what a
  network sees, all on one scale; blue was not measured
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import BANDS, SourceHistory, concatenate
from rtf.alerts.read import read_histories
from rtf.classes import FINE, UNKNOWN
from rtf.documents import Table
from rtf.encoding.table import class_probabilities
from rtf.evaluation.classification import fit_probe
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.search import scaler
from rtf.features.stamps import KINDS, latest_stamps, prepare_stamp
from rtf.figures import (
    BAND_STYLE,
    REBUILT,
    LightCurve,
    band_handles,
    class_name,
    draw_light_curve,
    literal,
    rebuilt_light_curves,
    tidy,
)  # fmt: skip

#: Sources chosen by themselves have at least this many detections in the model's view, where enough do.
_ENOUGH = 4
_UNMEASURED = "#7aa6d8"
_SHOWN = 5  # most probable classes
_READ_BY = {"head": "classification head", "probe": "linear probe", "none": "no classifier"}


class Neighbour(NamedTuple):
    """A training source near in fingerprint: days since first detection, magnitudes and bands (L,)."""

    object_id: str
    class_name: str
    cosine: float
    dt: np.ndarray
    mag: np.ndarray
    band: np.ndarray


class Entry(NamedTuple):
    """A source: type in a catalogue, light curve, cutouts as sent or None, nearest first, p (15,) or NaN."""

    type: str
    curve: LightCurve
    cutouts: Sequence[np.ndarray] | None
    neighbours: Sequence[Neighbour]
    probability: np.ndarray


def gallery(
    given: Inputs, *, alerts: str, labels: str | None, n: int, objects: Sequence[str], n_neighbours: int
) -> Evaluated:
    """Draw and list what the run makes of real sources.

    Parameters
    ----------
    alerts : file or folder that `rtf.read_histories` reads
    labels : CSV file with columns object_id and type, shown beside the sources, or None
    n : sources to choose, where `objects` names none: those with a type first, then an even choice by number
        of detections of those with cutouts
    objects : ids of the sources to show
    n_neighbours : nearest training sources shown
    """
    if not alerts:
        raise ValueError("please give the alerts to show as task.alerts=PATH")
    if n < 1 or n_neighbours < 1:
        raise ValueError(f"n and n_neighbours must be at least 1, not {n} and {n_neighbours}")
    model, train = given.model, given.split("train")
    types = read_types(labels) if labels else {}
    histories = choose_sources(read_histories(alerts), types, n, objects, model.view)
    own, label = model.encode(histories), train.label["fine"]
    unit = scaler(train.found.latent, "standardise")
    cosine = unit(own.latent) @ unit(train.found.latent).T
    near = np.argsort(-cosine, axis=1, kind="stable")[:, :n_neighbours]
    probe = None
    if own.probability is None and len(np.unique(label[label != UNKNOWN])) > 1:
        probe = fit_probe(train.found.latent, label)
    reader, probability = class_probabilities(own, probe)

    names = [h.object_id for h in histories]
    curves = rebuilt_light_curves(model.reconstruct(histories), names, [UNKNOWN] * len(names))
    cutouts = _latest_cutouts(model.view(concatenate(histories)))
    alike = model.view(train.detections.take(near.ravel()))
    entries = []
    for k, name in enumerate(names):
        neighbours = []
        for j, row in enumerate(near[k]):
            rows = slice(*alike.offset[k * near.shape[1] + j :][:2])
            columns = (alike.mjd[rows] - alike.mjd[rows][0], alike.mag[rows], alike.band[rows])
            who = (str(train.object_id[row]), class_name(label[row]), float(cosine[k, row]))
            neighbours.append(Neighbour(*who, *columns))
        kind = types.get(name, "type unknown")
        entries.append(Entry(kind, curves[k], cutouts[k], neighbours, probability[k]))
    return Evaluated(
        tables=[gallery_table(entries, _READ_BY[reader], len(label))],
        figures={"gallery.png": gallery_figure(entries, _READ_BY[reader], len(label))},
        arrays={"probabilities from": reader, "sources": [_plain(e) for e in entries]},
    )


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
    """The sources to show; see `gallery`."""
    by_id = {h.object_id: h for h in histories}
    if objects:
        if absent := sorted(set(objects) - set(by_id)):
            raise ValueError(f"not among the {len(by_id):,} objects of the alerts: {', '.join(absent)}")
        return [by_id[x] for x in objects]
    seen = view(concatenate(histories))
    stamps = latest_stamps(seen) >= 0
    good = np.flatnonzero(seen.length >= _ENOUGH)
    if len(good) < n:
        good = np.arange(len(histories))
    # rich sources first: a type, then cutouts; among equals in the order of their detections
    typed = np.array([h.object_id in types for h in histories])
    first = sorted(good[typed[good]], key=lambda k: (not stamps[k], -seen.length[k], k))[:n]
    rest = [k for k in good if k not in first]
    with_stamps = [k for k in rest if stamps[k]]
    rest = with_stamps if len(with_stamps) >= n - len(first) else rest
    rest.sort(key=lambda k: (seen.length[k], k))
    even = np.unique(np.linspace(0, len(rest) - 1, min(n - len(first), len(rest))).round().astype(int))
    return [histories[k] for k in [*first, *(rest[j] for j in even[::-1])]]


def gallery_table(entries: list[Entry], read_by: str, n_train: int) -> Table:
    """One row a source: what it is, what it is taken for, and whom it resembles."""
    rows = []
    for e in entries:
        most = "–"
        if np.isfinite(e.probability).any():
            best = int(np.nanargmax(e.probability))
            most = f"{FINE[best]} ({e.probability[best]:.2f})"
        near = ", ".join(f"{x.class_name} ({x.cosine:.2f})" for x in e.neighbours)
        rows.append((e.curve.object_id, e.type, f"{len(e.curve.dt)}", most, f"{e.curve.error:.2f}", near))
    columns = (
        "object", "type", "detections seen", f"most probable ({read_by})", "median |Δmag| [mag]",
        "nearest (cosine)",
    )  # fmt: skip
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


def _plain(e: Entry) -> dict:
    return {
        "object_id": e.curve.object_id, "type": e.type, "n_detections": len(e.curve.dt),
        "has_cutouts": e.cutouts is not None, "probability": dict(zip(FINE, e.probability.astype(float))),
        "nearest": [
            {"object_id": x.object_id, "class": x.class_name, "cosine": x.cosine} for x in e.neighbours
        ],
    }  # fmt: skip


def gallery_figure(entries: Sequence[Entry], read_by: str, n_train: int) -> Figure:
    """Draw the gallery; `read_by` says what gave the probabilities."""
    n_near = max(len(e.neighbours) for e in entries)
    figure = Figure(figsize=(10.6 + 1.5 * n_near, 2.35 * len(entries) + 0.9), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.04, hspace=0.03, wspace=0.02)
    # every source is two grid rows: two rows of stamps beside panels of full height
    widths = [0.85] * 3 + [3.6] + [1.35] * n_near + [2.4]
    grid = figure.add_gridspec(2 * len(entries), len(widths), width_ratios=widths)
    for k, entry in enumerate(entries):
        both = slice(2 * k, 2 * k + 2)
        _stamps(figure, grid, k, entry)
        axes, curve = figure.add_subplot(grid[both, 3]), entry.curve
        draw_light_curve(axes, curve, size=4.5)
        axes.set_title(
            literal(f"{curve.object_id}  ·  {entry.type}  ·  {len(curve.dt)} detections"), fontsize=9
        )
        axes.set_ylabel("mag (AB)", fontsize=8)
        for j, neighbour in enumerate(entry.neighbours):
            _neighbour(figure.add_subplot(grid[both, 4 + j]), neighbour, axes.get_xlim(), axes.get_ylim())
        bars = figure.add_subplot(grid[both, 4 + n_near])
        _probabilities(bars, entry.probability)
    axes.set_xlabel("days since first detection", fontsize=8)
    bars.set_xlabel(f"probability ({read_by})", fontsize=8)
    handles = band_handles(range(len(BANDS)), **REBUILT)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.suptitle(
        "Cutouts as sent (upper) and as a network sees them (lower)  ·  light curve and reconstruction  ·  "
        f"Nearest of {n_train:,} training sources, by cosine  ·  class probabilities",
        fontsize=11,
    )
    return figure


def _stamps(figure, grid, k: int, entry: Entry) -> None:
    if entry.cutouts is None:
        axes = figure.add_subplot(grid[2 * k : 2 * k + 2, :3])
        axes.text(0.5, 0.5, "no cutouts", ha="center", va="center", color="0.5")
        axes.set_axis_off()
        return
    grey = colormaps["gray"].with_extremes(bad=_UNMEASURED)
    for j, (kind, image) in enumerate(zip(KINDS, entry.cutouts, strict=True)):
        raw = pad_cutout(image)
        prepared = np.where(np.isfinite(raw), prepare_stamp(raw), np.nan)
        for row, (shown, limits) in enumerate(((np.arcsinh(raw), (None, None)), (prepared, (-1, 6)))):
            axes = figure.add_subplot(grid[2 * k + row, j])
            axes.imshow(shown, cmap=grey, vmin=limits[0], vmax=limits[1], origin="lower")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_title("" if row else kind, fontsize=7, pad=2)


def _neighbour(axes, neighbour: Neighbour, days, mags) -> None:
    # the magnitude of a neighbour may lie anywhere: centred on the source's own range, same scale
    shift = np.median(neighbour.mag) - np.mean(mags)
    moved = neighbour.mag - shift
    for b, name in enumerate(BANDS):
        colour, marker = BAND_STYLE[name]
        own = np.asarray(neighbour.band) == b
        axes.plot(neighbour.dt[own], moved[own], marker, color=colour, markersize=2.8)
    axes.set_xlim(days[0], max(days[1], neighbour.dt.max() + 1))
    axes.set_ylim(max(mags[0], moved.max() + 0.1), min(mags[1], moved.min() - 0.1))
    axes.set_title(f"{neighbour.class_name}\ncos {neighbour.cosine:.2f}", fontsize=7.5)
    axes.set_yticks([])
    text = f"{abs(shift):.1f} mag {'fainter' if shift > 0 else 'brighter'}"
    axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", fontsize=6, color="0.4")
    tidy(axes)
    axes.tick_params(labelsize=6)


def _probabilities(axes, probability: np.ndarray) -> None:
    known = np.flatnonzero(np.isfinite(probability))
    if not len(known):
        axes.text(0.5, 0.5, "no classifier", ha="center", va="center", color="0.5")
        axes.set_axis_off()
        return
    best = known[np.argsort(-probability[known], kind="stable")][:_SHOWN]
    axes.barh(range(len(best)), probability[best], color="#5b8db8", height=0.7)
    for row, c in enumerate(best):
        axes.text(probability[c] + 0.02, row, f"{probability[c]:.2f}", va="center", fontsize=7)
    axes.set_yticks(range(len(best)), [FINE[c] for c in best], fontsize=8)
    axes.set(xlim=(0, 1.15), xticks=[0, 0.5, 1], ylim=(_SHOWN - 0.4, -0.6))
    tidy(axes)
