"""Every command, end to end, on a small survey, as a user would type it."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rtf
from rtf.alerts.history import BANDS
from rtf.evaluation.record import pick, read_evaluation
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.commands import ROOT, run
from tests.sources import MadeUpReader, made_up_sources

SMALL = (
    "encoder.d_model=32 encoder.n_layers=1 encoder.n_heads=4 encoder.d_ff=64 decoder.d_model=32 "
    "decoder.n_layers=1 decoder.d_ff=64 latent_dim=16 accelerator=cpu epochs=2 "
    "progress=false"
)


def command(line: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    return run(*line.split(), cwd=folder)


def ok(line: str, folder: Path = ROOT) -> str:
    done = command(line, folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def failed(line: str, folder: Path = ROOT) -> str:
    done = command(line, folder)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a store of made-up sources, a trained run, its probe, and a light-curve table."""
    folder = tmp_path_factory.mktemp("work")
    preprocess(MadeUpReader(300), "made up", folder / "store.zarr", workers=0, progress=False)
    ok(f"rtf.train data.store={folder}/store.zarr run={folder}/run {SMALL} tracking=none")
    rows = [
        {"object_id": s.object_id, "mjd": m, "band": BANDS[b], "mag": float(x), "magerr": float(e)}
        for s in made_up_sources(25, seed=4)
        for m, b, x, e in zip(s.mjd, s.band, s.mag, s.magerr)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "table.parquet")
    return folder


def test_simulate_stores_a_labelled_survey(tmp_path):
    out = ok(f"rtf.simulate out={tmp_path}/survey.zarr n_sources=60 seed=3 workers=2 progress=false")
    store = open_store(tmp_path / "survey.zarr")
    assert store.n == 60 and (store.label >= 0).all() and set(store.split) <= {0, 1, 2}
    assert "60 sources" in out
    ok(f"rtf.simulate out={tmp_path}/again.zarr n_sources=60 seed=3 workers=0 progress=false")
    a, b = store.detections(), open_store(tmp_path / "again.zarr").detections()
    for name in ("mjd", "mag", "magerr", "band", "metadata"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_preprocess_then_train_evaluate_encode(work):
    ok(f"rtf.preprocess input={work}/table.parquet out={work}/table.zarr workers=0 progress=false")
    assert open_store(work / "table.zarr").n == 25

    printed = ok(f"rtf.evaluate run={work}/run task=probe n_bootstrap=50")
    assert "majority" in printed and "confusion_fine.png" in printed
    printed = ok(f"rtf.evaluate run={work}/run task=physical n_bootstrap=50")
    assert "light_curves.png" in printed
    digest = open_store(work / "store.zarr").digest[:8]
    for name in ("probe.md", "confusion_coarse.png", "light_curves.png", "probe.safetensors"):
        assert (work / "run" / name).stat().st_size > 0
    found = read_evaluation(json.loads((work / f"run/evaluations/physical@{digest}.json").read_text()))
    mag = pick(found.records, score="mag", method="model", level="all")
    assert f"{mag.value:.3f} [{mag.low:.3f}, {mag.high:.3f}]" in printed and found.own

    for source in ("table.parquet", "store.zarr"):
        ok(f"rtf.encode run={work}/run input={work}/{source} out={work}/out.parquet progress=false")
        table = pq.read_table(work / "out.parquet")
        fingerprints = np.stack(table["fingerprint"].to_numpy())
        assert fingerprints.shape == (len(table), 16) and np.isfinite(fingerprints).all()
        probability = np.stack([table[c].to_numpy() for c in table.column_names if c.startswith("p_")])
        np.testing.assert_allclose(np.nansum(probability, 0), 1, rtol=1e-4)
        report = json.loads((work / "out.parquet.report.json").read_text())
        assert report["counts"]["objects"] == len(table)
    # the same source has the same fingerprint through either door
    by_id = dict(zip(table["object_id"].to_pylist(), fingerprints))
    library = rtf.load(work / "run").encode(made_up_sources(5)).latent
    for source, latent in zip(made_up_sources(5), library):
        np.testing.assert_allclose(by_id[source.object_id], latent, atol=1e-4)


def test_the_table_of_fingerprints_says_which_detection_they_end_with(work):
    ok(f"rtf.encode run={work}/run input={work}/store.zarr out={work}/out.parquet progress=false")
    rows = {r["object_id"]: r for r in pq.read_table(work / "out.parquet").to_pylist()}
    for source in made_up_sources(300):
        row, seen = rows[source.object_id], source.mjd - source.mjd[0] <= 100
        last = np.flatnonzero(seen)[-1]
        assert row["candid"] == source.candid[last] and row["mjd"] == source.mjd[last]
        assert row["n_detections"] == seen.sum() and row["n_history"] == len(source)


def test_training_is_tracked_offline_without_an_account(work):
    ok(f"rtf.train data.store={work}/store.zarr run={work}/tracked {SMALL} tracking.pictures.every=1")
    offline = list((work / "tracked/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(offline) == 1 and offline[0].stat().st_size > 1000
    assert len(list((work / "tracked/wandb").glob("offline-run-*/files/media/images/val/*.png"))) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rtf.train data.store={work}/store.zarr latnt_dim=8", "latnt_dim"),
        ("rtf.train data.store={work}/store.zarr bottleneck=qae", "qae"),
        ("rtf.train", "data.store=..."),
        ("rtf.train data.store={work}/nowhere.zarr run={work}/none", "nowhere.zarr"),
        ("rtf.encode run={work}/store.zarr input={work}/table.parquet", "not a run folder"),
        ("rtf.encode run={work}/run input={work}/nothing", "nothing"),
        ("rtf.evaluate run={work}/nowhere", "nowhere"),
        ("rtf.evaluate run={work}/run task=divination", "divination"),
        ("rtf.subscribe topic=t until=then", "until is 'then'; it must be end"),
        ("rtf.preprocess input={work}/run out={work}/x.zarr", "run"),
        ("rtf.preprocess input={work}/table.parquet out={work}/store.zarr", "store.zarr"),
    ],
)
def test_a_mistake_gets_one_clear_message(work, line, message):
    assert message in failed(line.format(work=work))


def test_configs_compose():
    """Every choice of every group composes and resolves."""
    from hydra import compose, initialize_config_dir

    from rtf.cli.command import resolved

    needed = {
        "train": ["data.store=s"], "preprocess": ["input=i", "out=o"], "simulate": ["out=o"],
        "encode": ["run=r", "input=i"], "evaluate": ["run=r"], "fit": ["input=i", "out=o"],
        "check": ["out=o", "real=r", "simulated=s"], "align": ["old=o", "new=n", "store=s"],
        "archive": ["archive=a"], "search": ["archive=a"], "stream": [], "subscribe": [],
    }  # fmt: skip
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for name, overrides in needed.items():
            lines = (ROOT / f"conf/{name}.yaml").read_text().splitlines()
            groups = {x.split(":")[0].strip(" -") for x in lines if re.match(r"  - \w+:", x)}
            assert resolved(compose(name, overrides)).debug is False
            for group in groups:
                choices = sorted(p.stem for p in (ROOT / "conf" / group).glob("*.yaml"))
                assert choices, group
                for choice in choices:
                    config = resolved(compose(name, [*overrides, f"{group}={choice}"]))
                    assert config.debug is False


def test_every_experiment_composes_at_every_scale():
    """Each value of its grid is one that Hydra reads, and its tasks are those of `rtf.evaluate`, by name."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from rtf.cli.command import resolved

    tasks = {p.stem for p in (ROOT / "conf/task").glob("*.yaml")}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for path in sorted((ROOT / "experiments").glob("*.yaml")):
            for scale in ("smoke", "demo", "full"):
                chosen = [f"experiment={path.stem}", f"scale={scale}"]
                config = compose("train", chosen, return_hydra_config=True)
                params = OmegaConf.to_container(config.hydra.sweeper.params or OmegaConf.create())
                assert config.evaluate.keys() <= tasks
                assert config.sweep == (path.stem if config.evaluate else None)
            for override in OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in params.items()]):
                sweep = override.is_sweep_override()
                for value in override.sweep_string_iterator() if sweep else [override.value()]:
                    resolved(compose("train", [*chosen, f"{override.key_or_group}={value}"]))
