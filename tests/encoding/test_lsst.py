"""LSST alerts through a store, a model and a graph to fingerprints; surveys are not mixed."""

import io

import numpy as np
import pytest
from astropy.io import fits

import rtf
from rtf.alerts.convert import as_survey
from rtf.alerts.lsst import packet_history
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import survey_named
from rtf.alerts.surveys.lsst import LSST
from rtf.encoding.fingerprints import RunError
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.small_runs import train
from tests.sources import ListReader, made_up_sources


def stamp(rng: np.random.Generator, size: int) -> bytes:
    stream = io.BytesIO()
    fits.PrimaryHDU(rng.normal(100, 10, (size, size)).astype(np.float32)).writeto(stream)
    return stream.getvalue()


def made_up_alerts(n: int, seed: int = 0, nights: int | None = None) -> list:
    """Sources that rise above zero and fall below it, with forced photometry between the detections.

    `nights` puts all exposures into so many nights.
    """
    rng, report, found = np.random.default_rng(seed), ReadReport(), []
    for k in range(n):
        length = int(rng.integers(4, 30))
        mjd = 61000 + np.sort(rng.uniform(0, 90, length))
        if nights:
            mjd = np.sort(61000 + 9 * rng.integers(0, nights, length) + rng.uniform(0, 0.2, length))
        flux = rng.uniform(500, 20_000) * np.sin((mjd - 61000) / rng.uniform(8, 40)) + rng.normal(
            0, 200, length
        )
        rows = [
            {"diaSourceId": 1000 * k + j, "diaObjectId": k + 1, "midpointMjdTai": mjd[j], "psfFlux": flux[j],
             "psfFluxErr": rng.uniform(150, 400), "band": "ugrizy"[rng.integers(6)], "ra": 10.0, "dec": -20.0,
             "snr": abs(flux[j]) / 300, "reliability": rng.random(), "isNegative": bool(flux[j] < 0)}
            for j in range(length)
        ]  # fmt: skip
        packet = {"diaSource": rows[-1], "prvDiaSources": rows[:-1:2], "prvDiaForcedSources": rows[1:-1:2]}
        packet |= {f"cutout{name}": stamp(rng, 30 + k % 5) for name in ("Science", "Template", "Difference")}
        history = packet_history(packet, report, "made up")
        history.label, history.split = k % 4, ("train", "train", "val", "test")[k % 4 if k % 8 < 4 else 0]
        found.append(history)
    assert not report.skipped
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lsst")
    preprocess(ListReader(made_up_alerts(60)), "in", folder / "s.zarr", workers=0, progress=False)
    assert open_store(folder / "s.zarr").survey is LSST
    train(
        folder / "s.zarr", folder / "run", "survey=lsst", "modalities=[photometry,metadata,stamps]",
        "epochs=2", "decoder=query", "data.view=latest", "cls_weight=0.3", "data.max_detections=20",
        "data.per_night=1",
    )  # fmt: skip
    return rtf.load(folder / "run")


def test_a_model_of_six_bands_and_signed_fluxes(model):
    alerts = made_up_alerts(12, seed=1)
    found = model.encode(alerts)
    assert found.finite.all() and model.survey is LSST and model.needs_cutouts
    mag, sigma = model.query(found.latent, np.full((12, 6), 5.0), np.tile(np.arange(6), (12, 1)))
    flux, error = LSST.flux(mag, sigma, np.tile(np.arange(6), (12, 1)))
    assert np.isfinite(flux).all() and (error > 0).all()
    with pytest.raises(ValueError, match="between 0 and 5"):
        model.query(found.latent[:1], [[0.0]], [[6]])


def test_real_alerts_have_finite_fingerprints_alone_and_together(model, real_data):
    alerts = rtf.read_histories(real_data / "lsst_alerts/fink_parquet")
    found = model.encode(alerts)
    assert found.finite.all() and len(found.latent) == 59
    np.testing.assert_allclose(model.encode(alerts[:1]).latent, found.latent[:1], atol=1e-5)


def test_the_graph_gives_the_same(model, tmp_path):
    pytest.importorskip("onnx")
    from rtf.encoding.export import export

    exported = rtf.load(export(model, tmp_path / "onnx", {"run": "made up"}))
    alerts = made_up_alerts(12, seed=2) + made_up_alerts(12, seed=3, nights=4)
    a, b = exported.encode(alerts), model.encode(alerts)
    # some are as long as they are in view, some fill it, and some have nights of which it holds a part
    length = np.array([len(h) for h in alerts])
    assert (b.n_detections == length).any() and (b.n_detections == 20).any()
    assert (b.n_detections < np.minimum(length, 20)).any()
    assert a.n_detections.tolist() == b.n_detections.tolist()
    np.testing.assert_allclose(a.latent, b.latent, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(a.probability, b.probability, atol=1e-5)
    assert exported.about["bands"] == list(LSST.bands)
    with pytest.raises(ValueError, match="of ZTF, the model was trained on LSST"):
        exported.encode(made_up_sources(2))


def test_one_model_of_two_surveys(tmp_path):
    pytest.importorskip("onnx")
    from rtf.encoding.export import export

    both = survey_named("ztf_lsst")
    sources = [as_survey(h, both) for h in (*made_up_alerts(24), *made_up_sources(24))]
    preprocess(ListReader(sources), "in", tmp_path / "s.zarr", workers=0, progress=False)
    train(tmp_path / "s.zarr", tmp_path / "run", "survey=ztf_lsst", "modalities=photometry", "epochs=1")
    model, seen = rtf.load(tmp_path / "run"), sources[20:28]
    found = model.encode(seen)
    assert found.finite.all()
    # the filter's wavelength is read, not the letter of its band alone
    for history in seen:
        history.metadata[:, 1] += 30
    assert np.abs(model.encode(seen).latent - found.latent).min() > 0
    exported = rtf.load(export(model, tmp_path / "onnx", {"run": "made up"}))
    np.testing.assert_allclose(exported.encode(seen).latent, model.encode(seen).latent, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="of LSST, the model was trained on ZTF and LSST"):
        model.encode(made_up_alerts(1))


def test_surveys_are_not_mixed(model, tmp_path):
    alerts = made_up_alerts(3)
    with pytest.raises(ValueError, match="of ZTF, the model was trained on LSST"):
        model.encode(made_up_sources(2))
    with pytest.raises(ValueError, match="lsst and ztf cannot be mixed"):
        model.encode([*alerts, *made_up_sources(2)])
    with pytest.raises(ValueError, match="of LSST, the model was trained on ZTF"):
        rtf.load("ztf").encode(alerts)
    reader = ListReader([*alerts, *made_up_sources(2)])
    with pytest.raises(ValueError, match="lsst and ztf cannot be mixed"):
        preprocess(reader, "in", tmp_path / "s.zarr", workers=0, progress=False)


def test_a_store_of_another_survey_is_refused_in_training(tmp_path):
    preprocess(ListReader(made_up_alerts(16)), "in", tmp_path / "s.zarr", workers=0, progress=False)
    with pytest.raises(RunError, match="train with survey=lsst"):
        train(tmp_path / "s.zarr", tmp_path / "run", "modalities=photometry", "epochs=1")
