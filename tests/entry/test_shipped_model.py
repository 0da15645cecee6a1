"""The models in the box: what their cards say, and what they make of real alerts."""

import json
from pathlib import Path

import numpy as np
import pytest

import rtf
from rtf.classes import SUPERNOVAE, supernova_label
from rtf.encoding.fingerprints import RunError
from rtf.encoding.load import load, trained_on
from rtf.encoding.shipped import fitting_model, run_folder, shipped_models
from rtf.evaluation.classification import head_probability
from tests.commands import run


@pytest.fixture(scope="module")
def model():
    return rtf.load("ztf")


@pytest.mark.parametrize("name", shipped_models())
def test_it_is_small_and_its_card_is_its_own(name):
    folder, model = run_folder(name), rtf.load(name)
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8e6
    card = json.loads((folder / "model_card.json").read_text())
    assert card["space"] == model.space and card["fingerprint"] == 64
    assert card["modalities"] == list(model.modalities) and model.survey.name == name
    text = (folder / "model_card.md").read_text()
    assert model.space in text and card["run"] in text
    for heading in ("Trained on", "Bad at", "Licence", "Figures"):
        assert f"## {heading}" in text
    assert card["metrics"]
    for metrics in card["metrics"].values():
        for heading, value in metrics.items():
            assert value["low"] <= value["value"] <= value["high"], heading


def test_who_asks_for_another_is_told_which_there_are():
    assert shipped_models() == ["lsst", "ztf"]
    with pytest.raises(RunError, match="neither a run folder nor a shipped model; shipped are: lsst, ztf"):
        rtf.load("gaia")


def test_a_folder_of_alerts_may_have_the_name_of_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ztf").mkdir()
    assert rtf.load("ztf").space == rtf.load(run_folder("ztf")).space
    (tmp_path / "ztf/config.yaml").touch()
    assert run_folder("ztf") == Path("ztf")


def test_the_model_in_the_box_that_fits_is_found():
    assert fitting_model(survey="lsst") == run_folder("lsst")
    assert fitting_model(space=rtf.load("ztf").space) == run_folder("ztf")
    with pytest.raises(RunError, match=r"no model in the box is of ztf_lsst: name the run, run="):
        fitting_model(survey="ztf_lsst")
    with pytest.raises(RunError, match="no model in the box makes fingerprints of space 0123456789ab"):
        fitting_model(space="0123456789ab")


def test_who_takes_the_model_of_another_survey_is_told_of_the_right_one(model, real_test_histories):
    with pytest.raises(ValueError, match=r"of ZTF, the model was trained on LSST; .* is run=ztf"):
        rtf.load("lsst").encode(real_test_histories[:1])


def test_real_alerts_of_rubin_have_fingerprints_codes_and_probabilities(real_data, tmp_path):
    """Every alert that can be read, as counted by itself, through the command."""
    import pyarrow.parquet as pq

    given, out = real_data / "lsst_alerts/fink_parquet", tmp_path / "f.parquet"
    asked = [f"input={given}", "per=alert", f"out={out}", "progress=false", "workers=1"]
    done = run("rtf.encode", "run=ztf", *asked)
    assert (
        done.returncode == 1
        and "of LSST, the model was trained on ZTF; the model in the box is run=lsst" in done.stderr
    )
    done = run("rtf.encode", *asked)  # the model in the box of the input's survey
    assert done.returncode == 0, done.stderr
    table, alerts = pq.read_table(out), set()
    for path in given.rglob("*.parquet"):
        for row in pq.read_table(path, columns=["diaSource"]).to_pylist():
            if row["diaSource"]["diaObjectId"]:  # 0 or null: of the Solar System
                alerts.add(row["diaSource"]["diaSourceId"])
    assert set(table["candid"].to_pylist()) == alerts
    assert np.isfinite(np.stack(table["fingerprint"].to_numpy(zero_copy_only=False))).all()
    assert set(table["space"].to_pylist()) == {rtf.load("lsst").space}
    assert all(len(code) == 8 for code in table["code"].to_pylist())
    total = sum(table[c].to_numpy() for c in table.column_names if c.startswith("p_"))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_it_fingerprints_real_alerts_of_every_kind(model, real_data, tmp_path):
    """Finite, calibrated between 0 and 1, with a space and a code, through the command."""
    import pyarrow.parquet as pq

    for name in ("avro", "fink_parquet"):
        out = tmp_path / f"{name}.parquet"
        done = run(
            "rtf.encode",
            f"input={real_data / 'ztf_alerts' / name}",
            f"out={out}",
            "progress=false",
            "workers=1",
        )
        assert done.returncode == 0, done.stderr
        table = pq.read_table(out)
        fingerprint = np.stack(table["fingerprint"].to_numpy(zero_copy_only=False))
        assert len(table) > 10 and fingerprint.shape[1] == 64 and np.isfinite(fingerprint).all()
        assert set(table["space"].to_pylist()) == {model.space}
        assert all(len(code) == 8 for code in table["code"].to_pylist())
        total = sum(table[c].to_numpy() for c in table.column_names if c.startswith("p_"))
        np.testing.assert_allclose(total, 1, atol=1e-5)
        strange = table["strangeness"].to_numpy()
        assert ((strange >= 0) & (strange <= 1)).all()


def test_it_classifies_and_rebuilds_real_supernovae_it_has_not_seen(model, real_test_histories):
    """Worse than its card by no more than a quarter of the sources allows; its eight bytes too."""
    histories = real_test_histories
    assert not trained_on(run_folder("ztf")) & {h.object_id for h in histories}
    label = supernova_label([h.label for h in histories])
    known = label >= 0
    found = model.encode(histories)
    five = head_probability(found.probability, "supernovae")
    assert five.shape[1] == len(SUPERNOVAE)
    card = json.loads((run_folder("ztf") / "model_card.json").read_text())["metrics"]
    told = card["real.zarr"]["accuracy, five supernova classes"]["value"]
    assert (five.argmax(1) == label)[known].mean() > told - 0.05
    rebuilt = model.reconstruct(histories)
    error = np.median(np.abs(rebuilt.mag - rebuilt.seen.mag))
    assert error < card["real.zarr"]["median |Δmag| rebuilt"]["value"] + 0.02
    coded = load(run_folder("ztf"), coded=True)
    np.testing.assert_allclose(coded.encode(histories).latent, model.from_code(found.code), atol=1e-5)
    rebuilt = coded.reconstruct(histories)
    error = np.median(np.abs(rebuilt.mag - rebuilt.seen.mag))
    assert error < card["real.zarr, from codes"]["median |Δmag| rebuilt"]["value"] + 0.02
