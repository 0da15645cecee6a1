"""Every evaluation of a model that sees all four modalities, on a small simulated survey with stamps."""

import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from safetensors.torch import load_file, save_file

import rtf
from rtf.cli.command import resolved
from rtf.encoding.fingerprinter import RunError
from rtf.evaluation.record import CONSTANTS, SCORES, pick, read_evaluation, select
from rtf.evaluation.run import evaluate
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.training.fit import fit
from tests.packets import packets, write_avro

CONF = Path(rtf.__file__).parents[1] / "conf"
CLASSES = {"SN Ia": 0.4, "SN II": 0.2, "AGN": 0.2, "TDE": 0.2}
TASK_PROBE = {"_target_": "rtf.evaluation.tasks.probe.probe", "_partial_": True}
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
    preprocess(SimulatedSurvey(80, classes=CLASSES, stamps=True), "", folder / "survey.zarr", progress=False,
               workers=0, fractions=(0.5, 0.2, 0.3))  # fmt: skip
    for name, label, n in (("outliers", "SLSN", 6), ("sky", "SN Ia", 10)):
        survey = SimulatedSurvey(n, seed=9, classes={label: 1.0})
        preprocess(survey, "", folder / f"{name}.zarr", progress=False, workers=0)
    write_avro(folder / "alerts", [p for k in range(3) for p in packets(f"ZTF20aaaa{k:03d}", n=6, seed=k)])
    train(folder / "survey.zarr", folder / "all", "modalities=all")
    train(folder / "survey.zarr", folder / "query", "modalities=photometry", "decoder=query")
    return folder


def run_task(work: Path, run: str, task: str, *settings: str, **where):
    """Tables and figures of a task, and the evaluation that it wrote."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        names = [f"run={work}/{run}", f"task={task}", *settings]
        config = resolved(compose("evaluate", names))
    where = {"out": work / run / "out", "n_bootstrap": 20} | where
    ((_, tables, figures),) = evaluate(work / run, {task: config.task}, **where)
    (path,) = (where["out"] or work / run / "evaluations").glob(f"{task}@*.json")
    return tables, figures, read_evaluation(json.loads(path.read_text()))


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
def test_the_task_makes_records_tables_and_figures(work, run, task, settings, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling UMAP takes half a minute; running it here, none
    tables, figures, found = run_task(work, run, task, *(s.format(work=work) for s in settings))
    store = open_store(work / "survey.zarr")
    assert found.own and found.store["digest"] == store.digest and found.settings["n_bootstrap"] == 20
    assert [table.rows for table in tables if not table.rows] == []
    for r in found.records:
        low, high = SCORES[r.score].limits if r.score in SCORES else (-np.inf, np.inf)
        assert not r.value < low and not r.value > high, r
        assert not r.low > r.high and (r.task, r.store) == (task, store.digest)
    for figure in figures:
        if figure.suffix == ".png":
            assert np.ptp(matplotlib.image.imread(figure)[..., :3]) > 0.5
    # what is printed is what was recorded
    shown = {r.score for r in found.records}
    assert not tables or not shown or any("[" in cell for row in tables[0].rows for cell in row)


def test_what_a_decoder_is_given_has_no_error(work):
    """A query names time and band: that they come back unchanged is no result."""
    (table,), _, found = run_task(work, "query", "physical")
    cells = dict(zip(table.columns, table.rows[0]))
    assert cells["by"] == "model" and cells["median |Δt| [day]"] == cells["band accuracy"] == "–"
    assert cells["median |Δmag| [mag]"] != "–"
    assert any("given, not rebuilt" in note for note in table.notes)
    assert not select(found.records, score="dt", method="model")
    assert pick(found.records, score="dt", method=CONSTANTS, group="all").value > 0


@pytest.fixture(scope="module")
def split_anew(work):
    """The survey of the runs with other splits: most of its test sources are of the runs' training split."""
    survey = SimulatedSurvey(80, classes=CLASSES, stamps=True)
    preprocess(survey, "", work / "anew.zarr", progress=False, workers=0, fractions=(0.3, 0.2, 0.5), seed=7)
    return open_store(work / "anew.zarr")


def test_sources_that_were_trained_on_are_no_test_sources(work, split_anew, monkeypatch, caplog):
    own, test = open_store(work / "survey.zarr"), split_anew.object_id[split_anew.sources("test")]
    learnt = frozenset(own.object_id[own.sources("train")])
    clean = sorted(set(test) - learnt)
    assert 0 < len(clean) < len(test)
    monkeypatch.setattr("rtf.evaluation.run.trained_on", lambda run: learnt)
    tables, _, found = run_task(work, "all", "physical", store=split_anew.path, out=None)
    assert pick(found.records, score="mag", method="model", level="all").n == len(clean) == found.test["n"]
    note = f"Left out of the test split, the run was trained on them: {len(test) - len(clean)} of {len(test)}"
    assert any(note in line for line in tables[0].notes) and note in caplog.text
    assert any(note in line for line in found.notes) and not found.own
    # on its own store the run is scored on all test sources, whatever else it was trained on
    _, _, found = run_task(work, "all", "physical")
    assert found.test["n"] == len(range(*own.sources("test").indices(own.n)))
    monkeypatch.setattr("rtf.evaluation.run.trained_on", lambda run: frozenset(split_anew.object_id))
    with pytest.raises(RunError, match=r"trained on them.*Nothing is left to evaluate"):
        run_task(work, "all", "physical", store=split_anew.path, out=None)


def test_another_store_overwrites_nothing_of_the_run(work, split_anew):
    run_task(work, "all", "probe", out=None)
    kept = {path: path.read_bytes() for path in (work / "all").rglob("*") if path.is_file()}
    assert work / "all/probe.safetensors" in kept
    run_task(work, "all", "probe", store=split_anew.path, out=work / "elsewhere")
    ((name, _, figures),) = evaluate(
        work / "all", {"probe": TASK_PROBE}, store=split_anew.path, n_bootstrap=20
    )
    assert name == f"probe@{split_anew.digest[:8]}" and all("anew.zarr@" in str(f) for f in figures)
    assert kept == {path: path.read_bytes() for path in kept}


def test_a_moved_store_is_the_same_and_what_changed_is_done_again(work, caplog):
    shutil.copytree(work / "survey.zarr", work / "moved.zarr")
    tasks, settings = {"probe": TASK_PROBE}, {"again": False, "n_bootstrap": 21}
    caplog.set_level("INFO")
    assert len(list(evaluate(work / "all", tasks, **settings))) == 1
    assert not list(evaluate(work / "all", tasks, store=work / "moved.zarr", **settings))
    caplog.clear()
    assert len(list(evaluate(work / "all", tasks, again=False, n_bootstrap=22))) == 1
    assert "done again: other settings" in caplog.text
    shutil.copytree(work / "all", work / "retrained")
    weights = load_file(work / "retrained/model.safetensors")
    save_file({k: v * 1.01 if v.is_floating_point() else v for k, v in weights.items()},
              work / "retrained/model.safetensors")  # fmt: skip
    assert len(list(evaluate(work / "retrained", tasks, again=False, n_bootstrap=22))) == 1
    assert "done again: other weights" in caplog.text


def test_every_task_is_tried_here():
    tried = {
        case[1] for mark in test_the_task_makes_records_tables_and_figures.pytestmark for case in mark.args[1]
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
