"""Runs whose numbers are chosen so that every cell of a report can be worked out by hand."""

import hashlib
import json
from functools import partial
from pathlib import Path

import yaml

from rtf.evaluation.record import Evaluation, Record, distinct, write_evaluation

ODD = 'vae_8 100% & "a|b" $x$ <i>{y}</i> é_s1'
HALF = 0.02


def records(accuracy: float, **keys) -> list[Record]:
    """The scores of a classifier, and of the majority class."""
    scores = {"accuracy": accuracy, "balanced accuracy": accuracy - 0.2, "ROC-AUC": 0.9}
    trivial = {"accuracy": 0.6, "balanced accuracy": 0.2, "ROC-AUC": 0.5}
    made = [Record(s, v, v - HALF, v + HALF, 100, **keys) for s, v in scores.items()]
    keys |= {"method": "majority class", "shown": None}
    return made + [Record(s, v, v - HALF, v + HALF, 100, **keys) for s, v in trivial.items()]


def probe(accuracy: float, count, predicted: str | None = None) -> tuple[list[Record], dict]:
    truth = "".join(c * n for c, n in zip("078", count))  # SN Ia, Cataclysmic, AGN
    both, arrays = [], {}
    for level, value in (("coarse", accuracy), ("fine", accuracy - 0.1)):
        both += records(value, level=level, method="probe")
        of_level = truth if level == "fine" else truth.translate(str.maketrans("078", "023"))
        arrays[f"{level}/truth"] = of_level
        arrays[f"{level}/probe"] = of_level if predicted is None else predicted
        arrays[f"{level}/train count"] = [60, 0, 0, 0, 0, 0, 0, 30, 10, 0, 0, 0, 0, 0, 0]
    return both, arrays


def physical(mag: float, count) -> tuple[list[Record], dict]:
    found = {"model": (mag, 10 * mag, 0.7), "training constants": (0.5, 9.0, 0.55)}
    made = [
        Record(score, value, value - half, value + half, 100, level="all", method=method)
        for method, values in found.items()
        for score, value, half in zip(("mag", "dt", "band"), values, (HALF, 0.1, HALF))
    ]
    return [*made, Record("mag", 9.0, level="class", group="SN Ia", n=60)], {}


def early(accuracy: float, count) -> tuple[list[Record], dict]:
    made = []
    for n, less in ((3, 0.1), (10, 0.05), (None, 0)):
        for level, method in (("coarse", "probe"), ("coarse", "head"), ("fine", "probe")):
            keys = {"level": level, "method": method, "shown": n}
            made += [*records(accuracy - less, **keys), Record("have as many", 100, **keys)]
    return distinct(made), {}


def maps(agree: float, count) -> tuple[list[Record], dict]:
    """Sources in a row on one map, in a column on the other."""
    row = [[float(k), 0.0] for k in range(9)]
    same = {"fingerprints": 0.9, "UMAP": agree, "t-SNE": agree, "chance": 0.4}
    made = [Record("same class", v, v - HALF, v + HALF, 9, method=m) for m, v in same.items()]
    made += [Record("kept", 0.5, 0.5 - HALF, 0.5 + HALF, 9, method=m) for m in ("UMAP", "t-SNE")]
    return made, {"label": [0] * 6 + [8, 9, 9], "places/UMAP": row, "places/t-SNE": [xy[::-1] for xy in row]}


def write_results(
    run: Path, task: str, made: tuple[list[Record], dict], *, digest: str, name: str = "survey.zarr",
    own: bool = True, n: int = 100, notes=(), tested: str = "",
) -> None:  # fmt: skip
    """The file that `rtf.evaluate` leaves."""
    store = {"digest": digest, "path": f"data/{name}", "name": name, "splits": {"test": n}}
    test = {"n": n, "digest": tested or f"{digest}, {n} sources"}
    settings = {"seed": 0, "n_bootstrap": 200}
    evaluation = Evaluation(task, settings, store, test, "0" * 64, "", "", own, list(notes), *made)
    write_evaluation(run / f"evaluations/{task}@{digest[:8]}.json", evaluation)


def digest_of(store: str) -> str:
    return hashlib.sha256(store.encode()).hexdigest()


def make_run(
    folder: Path, name: str, bottleneck="ae", size=8, seed=0, accuracy=0.8, mag=0.2, state="finished",
    modalities=("photometry",), store="survey.zarr", test_count=(60, 30, 10), tasks=("probe", "physical"),
    epochs=2, val_loss=1.0, also_train=(), backbone="simple.SimpleCNN", content="", predicted=None, **more,
) -> Path:  # fmt: skip
    """A run folder as training and evaluation leave it, without weights.

    `content` of the store, where it is another than its name says; None: from before it was recorded
    """
    digest = None if content is None else digest_of(content or store)
    run = folder / name.replace("/", "_")
    run.mkdir(parents=True)
    config = {
        "data": {"store": f"data/{store}", "also_train": list(also_train), "max_days": 100.0},
        "modalities": {m: {"_target_": f"rtf.features.{m}.X"} for m in modalities},
        "bottleneck": {"_target_": f"rtf.models.bottlenecks.{bottleneck}.B", "_partial_": True},
        "image_backbone": {"_target_": f"rtf.models.image_backbones.{backbone}", "width": 128},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3},
        "latent_dim": size, "seed": seed, "epochs": epochs, "loss": "huber", "cls_weight": 0.0,
        "run": str(run), "name": name, "progress": False, **more,
    }  # fmt: skip
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    done = 2 if state == "finished" else 1
    losses = {"val/loss": val_loss, "val/logflux": 0.5, "train/loss": 1.5, "train/sources_per_second": 90.0}
    write(run / "history.json", [{"epoch": e, **losses} for e in range(done)])
    record = {"id": "0" * 64, "name": name, "sweep": "made_up"}
    if digest:
        more = [{"path": path, "digest": digest_of(path), "weight": 1.0} for path in also_train]
        record["data"] = {"store": {"path": store, "digest": digest}, "also_train": more}
    write(run / "run.json", record)
    if state == "failed":
        write(run / "failed.json", {"error": "RuntimeError: out of\n memory"})
    if state == "interrupted":
        (run / "checkpoints").mkdir()
        (run / "checkpoints/last.ckpt").touch()
    if state == "finished":
        metrics = {"best_epoch": 2, "val/loss": val_loss, "val/reconstruction": val_loss, "minutes": 3.0}
        write(run / "metrics.json", {**metrics, "parameters": 1000 + size, "fingerprint_bytes": 4 * size})
        found = {
            "probe": partial(probe, accuracy, predicted=predicted), "physical": partial(physical, mag),
            "early": partial(early, accuracy), "map": partial(maps, accuracy),
        }  # fmt: skip
        for task in tasks if digest else ():
            results = found[task](count=test_count)
            write_results(run, task, results, digest=digest, name=Path(store).name, n=sum(test_count),
                          tested=f"{digest}, {test_count}")  # fmt: skip
    return run


def write(path: Path, value) -> None:
    path.write_text(json.dumps(value))


def make_sweep(folder: Path) -> Path:
    """Half a sweep: ae and vae at 8 and 64 floats; two seeds, one, one that failed, one that was stopped."""
    make_run(folder, "ae_8_s0", accuracy=0.80, mag=0.20, tasks=("probe", "physical", "early"))
    make_run(folder, "ae_8_s1", seed=1, accuracy=0.84, mag=0.22, val_loss=0.7)
    make_run(folder, "ae_64_s0", size=64, accuracy=0.90, mag=0.15, tasks=("probe",))
    make_run(folder, ODD, "vae", seed=1, accuracy=0.7, mag=0.3)
    make_run(folder, "vae_8_s0", "vae", state="failed")
    make_run(folder, "vae_64_s0", "vae", 64, state="interrupted")
    make_run(folder, "again_s0", accuracy=0.1, tasks=("probe",))
    return folder
