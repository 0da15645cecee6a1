"""Forced photometry made alert-like: what the script of the real-sky experiment promises, on real data."""

import runpy
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(ROOT / "experiments/alert_like.py"))


def test_what_an_alert_stream_would_have_sent_is_left(real_data, script):
    table = pq.read_table(real_data / "lightcurves/ztf_tde_forced.parquet")
    alerts = set(pq.read_table(real_data / "lightcurves/ztf_tde.parquet")["object_id"].to_pylist())
    made = script["alert_like"](table, alerts)
    name, band = (np.array(made[x].to_pylist()) for x in ("object_id", "band"))
    mjd, magerr = (made[x].to_numpy() for x in ("mjd", "magerr"))
    assert set(band) == {"g", "r"} and magerr.max() <= script["FIVE_SIGMA"]
    assert not set(name) & alerts and not any(n.lstrip("i").startswith("PTF") for n in name)
    # a night and band again, but seldom: alerts of supernovae have 11 % of them
    visits, times = np.unique(
        [f"{n} {t:.0f} {b}" for n, t, b in zip(name, np.floor(mjd - 0.5), band)], return_counts=True
    )
    assert len(visits) > 1000 and 0.05 < np.mean(times > 1) < 0.2
    # every row is a measurement of the table
    columns = ("object_id", "mjd", "band")
    assert set(zip(name, mjd, band)) <= set(zip(*(table[x].to_pylist() for x in columns)))
    # no lone point before the event
    for n in set(name):
        nights = np.unique(np.floor(mjd[name == n] - 0.5))
        assert len(nights) > 1 and nights[1] - nights[0] <= 30


def test_nothing_left_is_an_empty_table(real_data, script):
    table = pq.read_table(real_data / "lightcurves/ztf_tde_forced.parquet")
    assert script["alert_like"](table, set(table["object_id"].to_pylist())).num_rows == 0


def test_exposures_of_both_kinds_get_the_errors_that_alerts_have(real_data, script):
    """Of objects in both files, alerts and alert-like photometry of the same exposures."""
    forced = pq.read_table(real_data / "lightcurves/ztf_tde_forced.parquet")
    alerts = pq.read_table(real_data / "lightcurves/ztf_tde.parquet")
    own = set(forced["object_id"].to_pylist()) - set(alerts["object_id"].to_pylist())
    made = script["alert_like"](forced, own)
    assert made == script["alert_like"](forced, own)  # a seed, a table

    def exposures(table):
        visit = zip(*(table[x].to_pylist() for x in ("object_id", "band")), table["mjd"].to_numpy().round(3))
        return dict(zip(visit, zip(table["mag"].to_pylist(), table["magerr"].to_pylist())))

    theirs, ours, before = exposures(alerts), exposures(made), exposures(forced)
    visits = sorted(set(theirs) & set(ours))
    (mag, error), (_, its), (_, forced_error) = (
        np.array([x[v] for v in visits]).T for x in (theirs, ours, before)
    )
    assert len(visits) > 300
    for low in (18, 18.5, 19, 19.5):
        near = (mag >= low) & (mag < low + 0.5)
        assert np.median(its[near]) == pytest.approx(np.median(error[near]), rel=0.12)
        assert np.median(forced_error[near]) < 0.8 * np.median(error[near])  # which they had not


def test_twins_are_the_sources_of_the_alerts_under_names_of_their_own(
    real_data, script, tmp_path, monkeypatch
):
    forced, alerts = (str(real_data / f"lightcurves/{x}.parquet") for x in ("ztf_tde_forced", "ztf_tde"))
    monkeypatch.setattr(
        "sys.argv", ["alert_like.py", forced, str(tmp_path / "t.parquet"), "--twins-of", alerts]
    )
    script["main"]()
    of = {name.removesuffix("-twin") for name in script["names"](tmp_path / "t.parquet")}
    assert of and of == script["names"](forced) & script["names"](alerts)
