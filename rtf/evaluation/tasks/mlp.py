"""What a plain network reads of the light curve from frozen fingerprints.

Notable:
- a fingerprint and a query, time and band, give the magnitude there: two hidden layers, trained on the train
  split's fingerprints; the best epoch by the median error over the validation split is kept. The model itself
  is not touched
- the same network for every model: unlike the models' own decoders it makes fingerprints comparable across
  bottlenecks, decoders and sizes
- it is told when and in which band; a sequence decoder has to rebuild those too and is scored detection by
  detection in their order, so the two columns differ in what they were given
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import tables
from rtf.evaluation.statistics import format_estimate
from rtf.evaluation.tasks import physical
from rtf.evaluation.tasks.mlp_decoder import Frozen, fit_mlp
from rtf.evaluation.tasks.physical import Photometry, PhysicalResult
from rtf.files import write_json
from rtf.store.store import Store


def run_mlp(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    hidden: int = 256,
    epochs: int = 30,
    patience: int = 6,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """Magnitudes of the test split by an MLP on fingerprints, by the model's own decoder, and by constants.

    Writes mlp.json and mlp.md.

    Raises
    ------
    ValueError : a split without sources
    """
    data = {}
    for split in ("train", "val", "test"):
        detections = store.detections(split, cutouts=model.needs_cutouts)
        if not len(detections):
            raise ValueError(f"{store.path} has no source in its {split} split, which task=mlp needs")
        data[split] = Frozen(model.encode(detections).latent, model.view(detections))
    fitted = fit_mlp(
        data["train"], data["val"], hidden=hidden, epochs=epochs, patience=patience, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=model.device,
    )  # fmt: skip

    train, test = data["train"], data["test"]
    constants = physical.training_constants(Photometry(train.seen.mag, train.days, train.seen.band))
    label = store.label[store.sources("test")]
    true = Photometry(test.seen.mag, test.days, test.seen.band)
    own = model.reconstruct(store.detections("test", cutouts=model.needs_cutouts)).mag
    result = {
        name: physical.evaluate_physical(
            true, Photometry(mag, true.dt, true.band), test.seen.magerr, test.source, label, constants,
            seed=seed, n_bootstrap=n_bootstrap,
        )
        for name, mag in (("mlp", fitted.magnitudes(test)), ("decoder", own))
    }  # fmt: skip
    settings = {
        "hidden": hidden, "epochs": epochs, "patience": patience, "batch_size": batch_size,
        "learning_rate": learning_rate, "seed": seed, "n_bootstrap": n_bootstrap,
    }  # fmt: skip
    write_json(
        out / "mlp.json", tables.plain({**settings, "val_error": fitted.val_error, "rows": mlp_rows(result)})
    )
    made = [mlp_table(result, fitted.val_error, len(train.seen), len(data["val"].seen))]
    tables.write_markdown(out / "mlp.md", made)
    return made, []


def mlp_rows(result: Mapping[str, PhysicalResult]) -> list[dict]:
    """One row a group of detections: both decoders, the constants and the noise floor [mag]."""
    return [
        {
            "kind": a.kind, "group": a.group, "n_sources": a.n_sources, "n_detections": a.n_detections,
            "mlp": a.mag, "decoder": b.mag, "constants": a.baseline_mag, "noise_floor": a.noise_floor,
        }
        for a, b in zip(result["mlp"].rows, result["decoder"].rows, strict=True)
    ]  # fmt: skip


def mlp_table(result, val_error: list[float], n_train: int, n_val: int) -> tables.Table:
    """Median |Δmag| of all detections, by class, band and length of the light curve."""
    names = {"band": "{} band", "length": "{} detections"}
    rows = tuple(
        (
            names.get(r["kind"], "{}").format(r["group"]), f"{r['n_sources']:,}", f"{r['n_detections']:,}",
            *(format_estimate(r[name]) for name in ("mlp", "decoder", "constants", "noise_floor")),
        )
        for r in mlp_rows(result)
    )  # fmt: skip
    r = result["mlp"]
    notes = [
        f"MLP on {n_train:,} training fingerprints, epoch {int(np.argmin(val_error)) + 1} of "
        f"{len(val_error)} by the median error over {n_val:,} validation sources. It is told time and band "
        "of each detection.",
        f"95 % intervals: {r.n_resamples:,} bootstrap resamples of the test sources, seed {r.seed}.",
        f"training constants: {r.constants.mag:.2f} mag for every detection.",
    ]
    if r.n_unknown:
        notes.append(f"{r.n_unknown:,} of {r.n_sources:,} sources have no class: in no class row.")
    columns = (
        "group", "sources", "detections", "MLP |Δmag| [mag]", "own decoder |Δmag| [mag]",
        "training constants [mag]", "noise floor [mag]",
    )  # fmt: skip
    title = "Median magnitude error: MLP on frozen fingerprints"
    return tables.Table(title, columns, rows, tuple(notes))
