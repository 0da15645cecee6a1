"""The model in the box: what its card says, and what it makes of real alerts."""

import json

import numpy as np
import pytest

import rtf
from rtf.classes import SUPERNOVAE, supernova_label
from rtf.encoding.fingerprints import RunError
from rtf.encoding.load import load, trained_on
from rtf.encoding.shipped import run_folder, shipped_models
from rtf.evaluation.classification import head_probability
from tests.commands import run


@pytest.fixture(scope="module")
def model():
    return rtf.load("ztf")


def test_it_is_small_and_its_card_is_its_own(model):
    folder = run_folder("ztf")
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8e6
    card = json.loads((folder / "model_card.json").read_text())
    assert card["space"] == model.space and card["fingerprint"] == 64
    assert card["modalities"] == ["photometry", "limits", "metadata", "stamps"]
    text = (folder / "model_card.md").read_text()
    assert model.space in text and card["run"] in text
    for heading in ("Trained on", "Bad at", "Licence", "Figures"):
        assert f"## {heading}" in text
    for name, value in card["metrics"]["real.zarr"].items():
        assert value["low"] <= value["value"] <= value["high"], name


def test_who_asks_for_another_is_told_which_there_are(tmp_path):
    assert shipped_models() == ["ztf"]
    with pytest.raises(RunError, match="neither a run folder nor a shipped model; shipped are: ztf"):
        rtf.load("gaia")


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
