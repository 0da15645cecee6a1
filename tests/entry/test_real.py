"""Real alerts through a model that was trained on a simulated survey."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import rtf
from rtf.alerts.history import NO_CUTOUTS
from rtf.alerts.read import auto_reader
from rtf.alerts.report import ReadReport
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.entry.test_commands import SMALL, ok


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    ok(f"rtf.simulate out={folder}/survey.zarr n_sources=200 seed=1 progress=false")
    ok(f"rtf.train data.store={folder}/survey.zarr run={folder}/run {SMALL} tracking=none")
    ok(f"rtf.evaluate run={folder}/run task=probe n_bootstrap=10")
    return folder / "run"


@pytest.mark.parametrize("source", ["fink_parquet", "avro"])
def test_real_alerts_get_fingerprints(real_data, run, tmp_path, source):
    """Every object with a positive detection, and no other; two runs agree to the bit."""
    alerts = real_data / "ztf_alerts" / source
    ok(f"rtf.encode run={run} input={alerts} out={tmp_path}/a.parquet progress=false")
    table = pq.read_table(tmp_path / "a.parquet")
    histories = {h.object_id: h for h in rtf.read_histories(alerts, cutouts=False)}
    assert table["object_id"].to_pylist() == sorted(histories)
    assert np.isfinite(np.stack(table["fingerprint"].to_numpy())).all()
    assert np.isfinite(table["reconstruction_error"].to_numpy()).all()
    probability = np.stack([table[c].to_numpy() for c in table.column_names if c.startswith("p_")])
    np.testing.assert_allclose(np.nansum(probability, 0), 1, rtol=1e-4)
    for row in table.to_pylist():
        history = histories[row["object_id"]]
        assert row["mjd"] in history.mjd and row["mjd"] - history.mjd[0] <= 100
        assert row["candid"] is None or row["candid"] in history.candid
    again = subprocess.run(
        [sys.executable, "-m", "rtf.encode", f"run={run}", f"input={alerts}", f"out={tmp_path}/b.parquet"],
        capture_output=True,
    )
    assert again.returncode == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("source", ["fink_parquet", "avro"])
def test_the_store_and_the_library_read_alike(real_data, tmp_path, source):
    """The same counts, and the same histories to the bit, through the store and in memory."""
    alerts, report = real_data / "ztf_alerts" / source, ReadReport()
    in_memory = rtf.read_histories(alerts, report=report)
    stored = preprocess(auto_reader(alerts), alerts, tmp_path / "s.zarr", workers=0, progress=False)
    assert stored.as_dict() == report.as_dict()
    histories = {h.object_id: h for h in open_store(tmp_path / "s.zarr").histories()}
    assert histories.keys() == {h.object_id for h in in_memory}
    for expected in in_memory:
        found = histories[expected.object_id]
        for name in ("mjd", "band", "mag", "magerr", "candid", "metadata"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.cutouts == (expected.cutouts or [NO_CUTOUTS] * len(expected))
        assert (found.ra, found.dec) == (expected.ra, expected.dec)
