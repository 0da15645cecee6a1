"""The evaluations of a run, one function each: fingerprints of the store in, tables and figures out.

Every task is called with a `Fingerprinter`, an open store and the folder to write to, and returns the tables
it made; conf/task/ names them.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections
from rtf.classes import COARSE, FINE
from rtf.encoding.fingerprinter import Fingerprinter, Rebuilt
from rtf.encoding.load import PROBE
from rtf.evaluation import tables
from rtf.evaluation.statistics import Estimate
from rtf.evaluation.tasks import physical, probe
from rtf.figures import confusion_figure, light_curve_figure
from rtf.files import write_json
from rtf.store.store import Store
from rtf.training.pictures import rebuilt_light_curves


def run_probe(
    model: Fingerprinter, store: Store, out: Path, *, seed: int, n_bootstrap: int, save: bool = True
) -> tuple[list[tables.Table], list[Path]]:
    """Linear probe on frozen fingerprints, train split to test split, coarse and fine.

    Writes probe.json, probe.md, confusion_coarse.png, confusion_fine.png, and (with `save`) the fine probe
    itself as probe.safetensors, from which `rtf.encode` then gives class probabilities.
    """
    fingerprint, truth = {}, {}
    for split in ("train", "test"):
        fingerprint[split] = model.encode(store.detections(split, cutouts=model.needs_cutouts)).latent
        here = store.sources(split)
        truth[split] = {"coarse": store.coarse[here], "fine": store.label[here]}
    results, figures = {}, []
    for level, names in (("coarse", COARSE), ("fine", FINE)):
        results[level] = probe.evaluate_probe(
            fingerprint["train"], truth["train"][level], fingerprint["test"], truth["test"][level], names,
            seed=seed, n_bootstrap=n_bootstrap,
        )  # fmt: skip
        figures.append(out / f"confusion_{level}.png")
        confusion_figure(
            results[level].confusion, names, figures[-1], f"linear probe, {level} classes, test split"
        )
    if save:
        results["fine"].probe.save(out / PROBE)
    write_json(out / "probe.json", {level: tables.probe_dict(r) for level, r in results.items()})
    made = [
        tables.probe_table(results, "Linear probe on frozen fingerprints", "classes"),
        *(tables.class_table(r, f"Linear probe by class, {level}") for level, r in results.items()),
    ]
    tables.write_markdown(out / "probe.md", made)
    return made, figures


def run_physical(
    model: Fingerprinter, store: Store, out: Path, *, seed: int, n_bootstrap: int
) -> tuple[list[tables.Table], list[Path]]:
    """Reconstruction of the test split in magnitudes, days and bands, by class and by band.

    Writes physical.json, physical.md and light_curves.png (the median-error source of each class).
    """
    train = model.view(store.detections("train"))
    constants = physical.training_constants(physical.Photometry(train.mag, _days(train), train.band))
    test = store.detections("test", cutouts=model.needs_cutouts)
    rebuilt = model.reconstruct(test)
    seen = rebuilt.seen
    here = store.sources("test")
    source = np.repeat(np.arange(len(seen)), seen.length)
    result = physical.evaluate_physical(
        physical.Photometry(seen.mag, _days(seen), seen.band),
        physical.Photometry(rebuilt.mag, rebuilt.dt, rebuilt.band),
        seen.magerr, source, store.label[here], constants,
        seed=seed, n_bootstrap=n_bootstrap,
    )  # fmt: skip
    notes = ()
    if hasattr(model.model.decoder, "at"):
        notes = (
            "This decoder is asked for a time and a band: they are given, not rebuilt, and have no error.",
        )
        none = Estimate(np.nan, np.nan, np.nan)
        result = replace(result, rows=tuple(replace(row, dt=none, band=none) for row in result.rows))
    write_json(out / "physical.json", tables.physical_dict(result))
    table = tables.physical_table(result)
    made = [replace(table, notes=(*table.notes, *notes))]
    tables.write_markdown(out / "physical.md", made)
    typical = typical_sources(rebuilt, store.label[here])
    curves = rebuilt_light_curves(
        model.reconstruct(test.take(typical)), store.object_id[here][typical], store.label[here][typical]
    )
    figure = out / "light_curves.png"
    light_curve_figure(
        curves, figure, "Rebuilt from fingerprints: the median-error test source of each class"
    )
    return made, [figure]


def run_light_curves(
    model: Fingerprinter, store: Store, out: Path, *, objects: list[str], split: str, title: str
) -> tuple[list[tables.Table], list[Path]]:
    """Picture of chosen sources rebuilt from their fingerprints: light_curves_chosen.png.

    `objects` empty takes the sources of `split` at the 10th, 30th, 50th, 70th and 90th percentile of the
    median magnitude error, and one of the most detections.
    """
    here = np.arange(store.n)[store.sources(split)]
    names = store.object_id[here]
    detections = store.detections(split, cutouts=model.needs_cutouts)
    if objects:
        absent = sorted(set(objects) - set(names))
        if absent:
            raise ValueError(f"{store.path} has no {', '.join(absent)} in its {split} split")
        chosen = np.array([int(np.flatnonzero(names == name)[0]) for name in objects])
    else:
        rebuilt = model.reconstruct(detections)
        order = np.argsort(_median_error(rebuilt), kind="stable")
        ranks = (np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * (len(order) - 1)).astype(int)
        chosen = np.append(order[ranks], np.argmax(rebuilt.seen.length))
    curves = rebuilt_light_curves(
        model.reconstruct(detections.take(chosen)), names[chosen], store.label[here][chosen]
    )
    figure = out / "light_curves_chosen.png"
    light_curve_figure(curves, figure, title)
    return [], [figure]


def typical_sources(rebuilt: Rebuilt, label: np.ndarray, min_detections: int = 5) -> np.ndarray:
    """Of each class the source whose median magnitude error is the median of its class.

    Neither the best nor a random pick. Sources of fewer than `min_detections` are passed over where the
    class has others.
    """
    seen = rebuilt.seen
    of_source = _median_error(rebuilt)
    chosen = []
    for cls in np.unique(label):
        members = np.flatnonzero(label == cls)
        long = members[seen.length[members] >= min_detections]
        members = long if len(long) else members
        chosen.append(members[np.argsort(of_source[members], kind="stable")[len(members) // 2]])
    return np.array(chosen)


def _median_error(rebuilt: Rebuilt) -> np.ndarray:
    """(N,) median |Δmag| of each source."""
    error, offset = np.abs(rebuilt.mag - rebuilt.seen.mag), rebuilt.seen.offset
    return np.array([np.median(error[a:b]) for a, b in pairwise(offset)])


def _days(detections: Detections) -> np.ndarray:
    return detections.mjd - np.repeat(detections.mjd[detections.offset[:-1]], detections.length)
