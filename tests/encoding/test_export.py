"""Exported graphs: the same fingerprints as torch gives, from plain arrays, wherever something is missing."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import rtf
from rtf.alerts.history import METADATA_FIELDS, concatenate, from_columns
from rtf.encoding.export import export, without_cuda
from rtf.encoding.exported import ENCODE, Exported, padded, raw_stamps
from rtf.encoding.fingerprints import RunError
from rtf.encoding.load import load
from rtf.simulation.survey import SimulatedSurvey
from tests.small_runs import train
from tests.sources import made_up_sources

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model():
    """The shipped one reads all that a ZTF alert holds, and has codes, a head and strangeness."""
    return rtf.load("ztf")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory) -> Exported:
    return rtf.load(export(model, tmp_path_factory.mktemp("onnx") / "out", {"run": "ztf"}))


def assert_same(exported, model, histories, atol=1e-5):
    a, b = exported.encode(histories, batch_size=17), model.encode(histories)
    np.testing.assert_allclose(a.latent, b.latent, atol=atol, rtol=1e-5)
    np.testing.assert_allclose(a.probability, b.probability, atol=atol)
    np.testing.assert_allclose(a.strangeness, b.strangeness, atol=1e-4)
    np.testing.assert_allclose(a.error, b.error, atol=1e-4, rtol=1e-4)
    assert (a.n_detections == b.n_detections).all() and (a.last == b.last).all()
    # a code may fall to the other side of a border that the fingerprint lies on
    assert (a.code == b.code).all(1).mean() > 0.98
    assert a.code.dtype == np.uint8 and a.code.shape == b.code.shape


def all_lengths():
    """Sources of 1 to 257 detections and beyond, some with nothing but photometry, some years long."""
    long = made_up_sources(40, seed=4, min_length=1, max_length=300)
    for k, h in enumerate(long):
        if k % 4 == 1:
            h.metadata[:] = np.nan
        if k % 4 == 2:
            h.limits = h.limits[:0]
        if k % 5 == 3:
            h.mjd = h.mjd[0] + 30 * (h.mjd - h.mjd[0])
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 256, 257, 258, 600):
        days = np.sort(rng.uniform(0, 3 * n, n))
        long.append(
            from_columns(
                f"n{n}", 59000 + days, rng.integers(0, 3, n), rng.uniform(15, 21, n), np.full(n, 0.1)
            )
        )
    return long


def test_equal_to_torch_at_every_length_and_with_anything_missing(exported, model):
    assert_same(exported, model, all_lengths())


def test_equal_to_torch_with_stamps_of_a_simulated_survey(exported, model):
    survey = SimulatedSurvey(n_sources=30, seed=6, stamps=True)
    histories = rtf_histories(survey)
    assert sum(h.cutouts is not None for h in histories) == 30
    assert_same(exported, model, histories)


def rtf_histories(survey):
    from rtf.alerts.report import ReadReport

    report = ReadReport()
    return [h for unit in survey.units("simulated") for h in survey.read(unit, report)]


def test_equal_to_torch_on_every_real_alert(exported, model, real_data):
    for folder in ("avro", "fink_parquet", "typed"):
        assert_same(exported, model, rtf.read_histories(real_data / "ztf_alerts" / folder))


def test_what_surrounds_a_source_changes_nothing(exported):
    """Neither other sources of a batch, nor padding, nor what it holds."""
    histories = made_up_sources(12, seed=9, max_length=60)
    alone = np.concatenate([exported.encode([h]).latent for h in histories])
    np.testing.assert_allclose(exported.encode(histories).latent, alone, atol=1e-5)
    arrays = padded(histories, exported.about["inputs"]) | {"stamps": raw_stamps(concatenate(histories))}
    before = exported.run(ENCODE, arrays)
    for name in ("mag", "magerr", "metadata", "mjd"):
        arrays[name][~arrays["mask"]] = 1e9
    after = exported.run(ENCODE, arrays)
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-5)


def test_light_curves_from_fingerprints_and_codes(exported, model):
    found = exported.encode(made_up_sources(6, seed=2))
    days, band = np.tile(np.linspace(0, 50, 9), (6, 1)), np.tile(np.arange(9) % 3, (6, 1))
    for a, b in zip(
        exported.query(found.latent, days, band), model.query(found.latent, days, band), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(exported.from_code(found.code), model.from_code(found.code), atol=1e-6)


def test_golden_vectors_and_description(exported, model):
    golden = np.load(exported.folder / "golden.npz")
    for graph in ("encode", "decode", "from_code"):
        inputs = {k.split(".in.")[1]: golden[k] for k in golden if k.startswith(f"{graph}.in.")}
        for name, value in exported.run(f"{graph}.onnx", inputs).items():
            np.testing.assert_allclose(value, golden[f"{graph}.out.{name}"], atol=1e-6)
    plain = json.loads((exported.folder / "golden.json").read_text())
    mjd = np.array(plain["encode.in.mjd"])
    assert (mjd == golden["encode.in.mjd"]).all() and "encode.in.stamps" not in plain
    told = {p.key: p.value for p in onnx.load(exported.folder / ENCODE).metadata_props}
    assert told["space"] == exported.space == model.space and told["opset"] == "18"
    assert exported.about["metadata"] == list(METADATA_FIELDS) and exported.about["run"] == "ztf"


def test_other_operators_have_no_place_on_a_gpu(exported):
    proto = onnx.load(exported.folder / "decode.onnx")
    assert without_cuda(proto) == []
    proto.graph.node[0].op_type = "Asinh"
    assert any(found.startswith("Asinh of") for found in without_cuda(proto))


def test_what_cannot_be_exported_is_refused(store, tmp_path):
    for k, (settings, reason) in enumerate(
        {"modalities=photometry_gp": "gp, which cannot", "decoder=sequence": "decoder=query"}.items()
    ):
        train(store, tmp_path / f"run{k}", settings, "epochs=1")
        with pytest.raises(RunError, match=reason):
            export(load(tmp_path / f"run{k}"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_not_replaced(model, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="is no export: it will not be replaced"):
        export(model, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_model_of_photometry_alone(store, tmp_path):
    train(store, tmp_path / "run", "modalities=photometry", "data.view=first", "data.max_days=20", "epochs=1")
    model = load(tmp_path / "run")
    exported = rtf.load(export(model, tmp_path / "out"))
    assert exported.about["inputs"] == ["mjd", "band", "mag", "magerr", "mask"]
    assert "probability" not in exported.about["outputs"]
    histories = made_up_sources(9, seed=1)
    a, b = exported.encode(histories), model.encode(histories)
    np.testing.assert_allclose(a.latent, b.latent, atol=1e-5)
    assert (a.last == b.last).all() and a.code is None
    with pytest.raises(RunError, match="no codes"):
        exported.from_code(np.zeros((1, 8), np.uint8))
    bad = replace(histories[0], mag=histories[0].mag * np.nan)
    with pytest.raises(ValueError, match="made1_00000"):
        exported.encode([bad])
    with pytest.raises(ValueError, match="no source"):
        exported.encode([])


def test_it_runs_without_torch(exported):
    script = (
        "import sys, rtf; from tests.sources import made_up_sources\n"
        f"model = rtf.load({str(exported.folder)!r})\n"
        "print(model.encode(made_up_sources(3)).latent.shape, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(3,", "64)", "False"]


def test_an_incomplete_folder_is_refused(exported, tmp_path):
    (tmp_path / ENCODE).write_bytes((exported.folder / ENCODE).read_bytes())
    with pytest.raises(RunError, match=r"no decode.onnx"):
        rtf.load(tmp_path)
