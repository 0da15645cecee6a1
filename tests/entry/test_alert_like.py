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
    visits = list(zip(name, np.floor(mjd - 0.5), band))
    assert len(set(visits)) == len(visits) > 1000
    # every row is one of the table's, with a larger error
    given = {
        (n, t, b): e
        for n, t, b, e in zip(*(table[x].to_pylist() for x in ("object_id", "mjd", "band", "magerr")))
    }
    for n, t, b, e in list(zip(name, mjd, band, magerr))[::50]:
        assert e == pytest.approx(script["ERROR_RATIO"] * given[n, t, b])
    # no lone point before the event
    for n in set(name):
        nights = np.unique(np.floor(mjd[name == n] - 0.5))
        assert len(nights) > 1 and nights[1] - nights[0] <= 30


def test_nothing_left_is_an_empty_table(real_data, script):
    table = pq.read_table(real_data / "lightcurves/ztf_tde_forced.parquet")
    assert script["alert_like"](table, set(table["object_id"].to_pylist())).num_rows == 0
