"""`python -m rtf.check`, as a user would type it."""

import json

import pytest

from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from tests.entry.test_commands import failed, ok


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for seed in (1, 2):
        preprocess(SimulatedSurvey(20, seed), "survey", folder / f"{seed}.zarr", workers=0, progress=False)
    return f"real={folder}/1.zarr simulated={folder}/2.zarr progress=false"


def test_two_stores_are_compared(stores, tmp_path):
    said = ok(f"rtf.check {stores} out={tmp_path}/report bands=[g,r] alternate=true at_most=12 repeats=1")
    numbers = json.loads((tmp_path / "report/numbers.json").read_text())
    assert numbers["selection"]["bands"] == ["g", "r"] and numbers["selection"]["alternate"] is True
    part = numbers["parts"]["light curves"]
    assert part["n_real"] == part["n_simulated"] == 12
    assert f"{part['auc']:.3f} [" in said and part["features"][0]["name"] in said
    assert f"{tmp_path}/report/index.html" in said


@pytest.mark.parametrize(
    "settings, said",
    [
        ("real=nowhere", "nowhere is not a store"),
        ("bands=[z]", "no band z"),
        ("type=Asteroid", "no class Asteroid"),
        ("at_most=0", "needs 5 sources"),
    ],
)
def test_errors_name_what_is_wrong(stores, settings, said, tmp_path):
    assert said in failed(f"rtf.check {stores} out={tmp_path}/report {settings}")


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "report.old").mkdir()
    said = failed(f"rtf.check real={tmp_path}/a.zarr simulated={tmp_path}/b.zarr out={tmp_path}/report")
    assert "report.old is in the way" in said and (tmp_path / "report.old").exists()
