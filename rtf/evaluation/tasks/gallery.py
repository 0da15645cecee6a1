"""Real sources, one row each: cutouts, light curve and reconstruction, neighbours, class probabilities.

Notable:
- alerts come straight from any format a reader knows, and go through the same `encode` as a live stream
- neighbours are searched among the run's own training sources, by cosine of fingerprints standardised by
  them, as similarity search does
- probabilities are the head's, or those of a linear probe fitted on the same training sources
- a label catalogue only names the sources: nothing is fitted or chosen by whether the model is right
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtf.alerts.cutouts import decode_cutout
from rtf.alerts.history import SourceHistory, concatenate
from rtf.alerts.read import read_histories
from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.table import class_probabilities
from rtf.evaluation import tables
from rtf.evaluation.search import scaler
from rtf.evaluation.tasks.gallery_figure import Entry, Neighbour, gallery_figure
from rtf.evaluation.tasks.probe import fit_probe
from rtf.features.stamps import latest_stamps
from rtf.files import write_json
from rtf.store.store import Store
from rtf.training.pictures import rebuilt_light_curves

#: Sources chosen by themselves have at least this many detections in the model's view, where enough do.
_ENOUGH = 4


def run_gallery(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    alerts: str,
    labels: str | None = None,
    n: int = 10,
    objects: Sequence[str] = (),
    n_neighbours: int = 5,
) -> tuple[list[tables.Table], list[Path]]:
    """What the run makes of real sources. Writes gallery.png, gallery.json and gallery.md.

    Parameters
    ----------
    alerts : file or folder that `rtf.read_histories` reads
    labels : CSV file with columns object_id and type, shown beside the sources, or None
    n : sources to choose, where `objects` names none: those with a type first, then an even choice by number
        of detections of those with cutouts
    objects : ids of the sources to show
    n_neighbours : nearest training sources shown

    Raises
    ------
    ValueError : no alerts given, objects that are not among them, no training sources, a label file without
        those columns
    rtf.alerts.report.NothingReadable : no source could be read
    """
    if not alerts:
        raise ValueError("please give the alerts to show as task.alerts=PATH")
    if n < 1 or n_neighbours < 1:
        raise ValueError(f"n and n_neighbours must be at least 1, not {n} and {n_neighbours}")
    types = read_types(labels) if labels else {}
    histories = choose_sources(read_histories(alerts), types, n, objects, model.view)
    own, seen = model.encode(histories), model.view(concatenate(histories))

    here = store.sources("train")
    train = store.detections("train", cutouts=model.needs_cutouts)
    if not len(train):
        raise ValueError(f"{store.path} has no training sources to search for neighbours")
    theirs = model.encode(train)
    unit = scaler(theirs.latent, "standardise")
    cosine = unit(own.latent) @ unit(theirs.latent).T
    near = np.argsort(-cosine, axis=1, kind="stable")[:, :n_neighbours]
    label, names = store.label[here], store.object_id[here]
    probe = None
    if own.probability is None and len(np.unique(label[label != UNKNOWN])) > 1:
        probe = fit_probe(theirs.latent, label)
    reader, probability = class_probabilities(own, probe)

    object_ids = [h.object_id for h in histories]
    curves = rebuilt_light_curves(model.reconstruct(histories), object_ids, [UNKNOWN] * len(histories))
    cutouts = _latest_cutouts(seen)
    lookalikes = model.view(train.take(near.ravel()))
    entries = []
    for k, object_id in enumerate(object_ids):
        neighbours = []
        for j, row in enumerate(near[k]):
            rows = slice(*lookalikes.offset[k * near.shape[1] + j :][:2])
            neighbours.append(
                Neighbour(
                    str(names[row]), FINE[label[row]] if label[row] >= 0 else "unknown class",
                    float(cosine[k, row]), lookalikes.mjd[rows] - lookalikes.mjd[rows][0],
                    lookalikes.mag[rows], lookalikes.band[rows],
                )
            )  # fmt: skip
        entries.append(
            Entry(
                object_id,
                types.get(object_id, "type unknown"),
                curves[k],
                cutouts[k],
                neighbours,
                probability[k],
            )
        )
    figure = out / "gallery.png"
    read_by = {"head": "classification head", "probe": "linear probe", "none": "no classifier"}[reader]
    gallery_figure(entries, figure, read_by, f"Nearest of {len(train):,} training sources, by cosine")
    write_json(out / "gallery.json", _record(entries, reader, own, len(train)))
    made = [gallery_table(entries, read_by, len(train))]
    tables.write_markdown(out / "gallery.md", made)
    return made, [figure]


def read_types(path: str | Path) -> dict[str, str]:
    """Object id to type, of a CSV file with the columns object_id and type.

    Raises
    ------
    ValueError : it has other columns
    """
    with Path(path).open(newline="") as file:
        rows = csv.DictReader(file)
        absent = {"object_id", "type"} - set(rows.fieldnames or ())
        if absent:
            raise ValueError(f"{path}: no column {' and '.join(sorted(absent))}")
        return {row["object_id"]: row["type"] for row in rows if row["type"]}


def choose_sources(
    histories: list[SourceHistory], types: dict[str, str], n: int, objects: Sequence[str], view
) -> list[SourceHistory]:
    """The sources to show; see `run_gallery`.

    Raises
    ------
    ValueError : an object that is not there
    """
    by_id = {h.object_id: h for h in histories}
    if objects:
        absent = sorted(set(objects) - set(by_id))
        if absent:
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


def gallery_table(entries: list[Entry], read_by: str, n_train: int) -> tables.Table:
    """One row a source: what it is, what it is taken for, and whom it resembles."""
    rows = []
    for e in entries:
        most = "–"
        if np.isfinite(e.probability).any():
            best = int(np.nanargmax(e.probability))
            most = f"{FINE[best]} ({e.probability[best]:.2f})"
        error = np.median(np.abs(e.curve.predicted_mag - e.curve.mag))
        near = ", ".join(f"{x.class_name} ({x.cosine:.2f})" for x in e.neighbours)
        rows.append((e.object_id, e.type, f"{len(e.curve.dt)}", most, f"{error:.2f}", near))
    columns = (
        "object", "type", "detections seen", f"most probable ({read_by})", "median |Δmag| [mag]",
        "nearest (cosine)",
    )  # fmt: skip
    notes = (
        f"Single sources, no statistics. Nearest of {n_train:,} training sources; type: of the label file.",
    )
    return tables.Table("Real sources", columns, tuple(rows), notes)


def _latest_cutouts(seen) -> list[list[np.ndarray] | None]:
    """Science, template and difference image of each source as sent, None for a source without."""
    latest = latest_stamps(seen)
    found: list = [None] * len(latest)
    for k in np.flatnonzero(latest >= 0):
        (triplet,) = seen.read_stamps(latest[[k]])
        found[k] = [decode_cutout(stamp) for stamp in triplet]
    return found


def _record(entries: list[Entry], reader: str, own, n_train: int) -> dict:
    sources = [
        {
            "object_id": e.object_id,
            "type": e.type,
            "n_detections": len(e.curve.dt),
            "has_cutouts": e.cutouts is not None,
            "reconstruction_error": float(error),
            "probability": dict(zip(FINE, tables.plain(e.probability.astype(float)), strict=True)),
            "nearest": [
                {"object_id": x.object_id, "class": x.class_name, "cosine": x.cosine} for x in e.neighbours
            ],
        }
        for e, error in zip(entries, own.error, strict=True)
    ]
    return {"probabilities_from": reader, "training_sources": n_train, "sources": sources}
