"""Every evaluation of a model that sees all four modalities, on a small simulated survey with stamps."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import rtf
from rtf.entry import resolved
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.store import open_store
from rtf.training.fit import fit
from tests.packets import packets, write_avro

CONF = Path(rtf.__file__).parents[1] / "conf"
SMALL = [
    "encoder.d_model=32", "encoder.n_layers=1", "encoder.n_heads=4", "encoder.d_ff=64", "decoder.d_model=32",
    "latent_dim=8", "epochs=1", "tracking=none", "progress=false", "accelerator=cpu", "cls_weight=0.3",
]  # fmt: skip


def train(store: Path, run: Path, *overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = resolved(compose("train", [f"data.store={store}", f"run={run}", *SMALL, *overrides]))
    return fit(run, config, instantiate(config.optimizer))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A survey of four classes with stamps, one of superluminous supernovae, alerts, and two runs."""
    folder = tmp_path_factory.mktemp("work")
    classes = {"SN Ia": 0.4, "SN II": 0.2, "AGN": 0.2, "TDE": 0.2}
    preprocess(SimulatedSurvey(80, classes=classes, stamps=True), "", folder / "survey.zarr", progress=False,
               workers=0, fractions=(0.5, 0.2, 0.3))  # fmt: skip
    for name, label, n in (("outliers", "SLSN", 6), ("sky", "SN Ia", 10)):
        survey = SimulatedSurvey(n, seed=9, classes={label: 1.0})
        preprocess(survey, "", folder / f"{name}.zarr", progress=False, workers=0)
    write_avro(folder / "alerts", [p for k in range(3) for p in packets(f"ZTF20aaaa{k:03d}", n=6, seed=k)])
    train(folder / "survey.zarr", folder / "all", "modalities=all")
    train(folder / "survey.zarr", folder / "query", "modalities=photometry", "decoder=query")
    return folder


def evaluate(work: Path, run: str, task: str, *overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        names = [f"run={work}/{run}", f"task={task}", f"out={work}/{run}/{task}", "n_bootstrap=20"]
        config = resolved(compose("evaluate", [*names, *overrides]))
    made, figures = instantiate(config.task)(
        rtf.load(work / run), open_store(work / "survey.zarr"), Path(config.out)
    )
    assert all(Path(figure).stat().st_size > 5000 for figure in figures)
    for path in Path(config.out).glob("*.json"):
        json.loads(path.read_text())
    return made, figures


@pytest.mark.parametrize(
    ("run", "task", "settings"),
    [
        ("all", "probe", []),
        ("all", "physical", []),
        ("query", "physical", []),
        ("all", "light_curves", []),
        ("all", "early", ["task.counts=[3,10,all]"]),
        ("all", "mlp", ["task.epochs=2"]),
        ("all", "anomaly", ["task.outliers={work}/outliers.zarr", "task.trees=20"]),
        ("all", "similarity", []),
        ("all", "calibration", []),
        ("query", "forecast", []),
        ("all", "map", []),
        ("all", "gallery", ["task.alerts={work}/alerts", "task.n=3"]),
        ("all", "transfer", ["task.stores=[{work}/sky.zarr]"]),
    ],
)
def test_the_task_makes_its_tables_and_figures(work, run, task, settings, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling UMAP takes half a minute; running it here, none
    made, figures = evaluate(work, run, task, *(s.format(work=work) for s in settings))
    assert made or figures


def test_what_a_decoder_is_given_has_no_error(work):
    """A query names time and band: that they come back unchanged is no result."""
    (table,), _ = evaluate(work, "query", "physical")
    found = dict(zip(table.columns, table.rows[0]))
    assert found["median |Δt| [day]"] == found["band accuracy"] == "–" != found["median |Δmag| [mag]"]
    assert any("given, not rebuilt" in note for note in table.notes)
    row = json.loads((work / "query/physical/physical.json").read_text())["rows"][0]
    assert row["dt"]["value"] is None and row["baseline_dt"]["value"] > 0


def test_every_task_is_tried_here():
    tried = {
        case[1] for mark in test_the_task_makes_its_tables_and_figures.pytestmark for case in mark.args[1]
    }
    assert tried == {path.stem for path in (CONF / "task").glob("*.yaml")}


@pytest.mark.parametrize("bottleneck", ["vae", "vqvae", "rvq", "fsq"])
def test_every_bottleneck_trains_and_says_its_size(work, bottleneck):
    metrics = train(
        work / "survey.zarr", work / bottleneck, "modalities=photometry", f"bottleneck={bottleneck}"
    )
    assert 0 < metrics["fingerprint_bytes"] <= 32
    assert rtf.load(work / bottleneck).encode(open_store(work / "survey.zarr").detections("test")) is not None


@pytest.mark.parametrize("imbalance", ["sampling", "logit_adjustment"])
def test_imbalance_is_a_setting(work, imbalance):
    metrics = train(work / "survey.zarr", work / imbalance, "modalities=photometry", f"imbalance={imbalance}")
    assert metrics["temperature"] > 0


def test_an_unknown_way_with_imbalance_is_named(work):
    with pytest.raises(ValueError, match="imbalance is 'oversample'"):
        train(work / "survey.zarr", work / "no", "imbalance=oversample")
    # and the folder is free for the command with the mistake mended
    assert train(work / "survey.zarr", work / "no", "modalities=photometry", "imbalance=none")
