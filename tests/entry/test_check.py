"""`python -m rtf.check`, as a user would type it."""

import json

import pytest

from tests.entry.test_commands import failed, ok


def test_the_survey_is_judged_by_real_light_curves_and_shares(real_data, tmp_path):
    out = ok(
        f"rtf.check out={tmp_path}/report real={real_data} parts=[light_curves,shares] n_sources=20 "
        "n_light_curves=15 progress=false"
    )
    assert f"{tmp_path}/report/report.md" in out
    numbers = json.loads((tmp_path / "report" / "numbers.json").read_text())
    assert 0.2 < numbers["Light curves: SN Ia"]["two_sample"]["SN Ia"]["auc"] <= 1
    assert sum(numbers["Class shares"]["simulated"].values()) == 20
    assert (tmp_path / "report" / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize(
    "settings, said",
    [
        ("real=nowhere", "nowhere/lightcurves"),
        ("real=null", "RTF_REAL_DATA"),
        ("parts=[colours]", "no part colours"),
    ],
)
def test_errors_name_what_is_wrong(settings, said, tmp_path):
    assert said in failed(f"rtf.check out={tmp_path}/report {settings}")
