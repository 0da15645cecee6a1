"""`python -m rtf.fit` as a user types it, and a survey simulated from what it wrote."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtf.alerts.history import BANDS
from rtf.simulation import villar
from rtf.store.read import open_store
from tests.entry.test_commands import failed, ok


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A light-curve table of 40 sources of known declines, and two with too few detections; their fits."""
    folder, rng, rows = tmp_path_factory.mktemp("fit"), np.random.default_rng(0), []
    for k in range(42):
        time = np.arange(59000.0, 59060.0, 2.5) if k < 40 else np.array([59010.0, 59012.0])
        for b, fall in ((0, 15.0), (1, 25.0)):
            x = villar.to_coordinates([800.0, 59008.0, 3.0, fall * (1 + k / 100), 16.0, 0.4])
            mag = 25 - 2.5 / np.log(10) * villar.log_flux(time, x)
            for t, m in zip(time, mag + 0.03 * rng.standard_normal(len(mag))):
                if m < 20.5:
                    rows.append({"object_id": f"SN{k}", "mjd": t, "band": BANDS[b], "mag": m, "magerr": 0.03})
    table = pa.Table.from_pylist([{**row, "type": "TDE"} for row in rows])
    pq.write_table(table, folder / "table.parquet")
    options = "workers=0 pictures=3 progress=false"
    said = ok(f"rtf.fit input={folder}/table.parquet out={folder}/fits.parquet {options}")
    folder.joinpath("said.txt").write_text(said)
    return folder


def test_table_figures_summary_and_report(work):
    said = (work / "said.txt").read_text()
    assert "40 of 42 sources fitted" in said and "2 not: fewer than 5 detections" in said
    assert "chi2 / dof: median" in said
    rows = {(r["object_id"], r["band"]): r for r in pq.read_table(work / "fits.parquet").to_pylist()}
    assert set(rows) == {(f"SN{k}", b) for k in range(40) for b in "gr"}
    for k in range(40):
        row = rows[f"SN{k}", "r"]
        assert row["type"] == "TDE" and row["model"] == "villar"
        assert abs(row["fall"] - 25 * (1 + k / 100)) < 5 * row["fall_error"]
        assert row["peak_mag"] == pytest.approx(rows["SN0", "r"]["peak_mag"], abs=0.15)
    report = json.loads((work / "fits.parquet.report.json").read_text())
    assert report["skipped"] == {"fewer than 5 detections": 2}
    assert {item["item"] for item in report["skipped_items"]} == {"SN40", "SN41"}
    for name in ("fits.png", "fits.worst.png"):
        assert (work / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rtf.fit input={work}/table.parquet out={work}/x.parquet floor=-1", "impossible settings"),
        (
            "rtf.fit input={work}/table.parquet out={work}/x.parquet min_detections=999",
            "no source could be fitted",
        ),
    ],
)
def test_a_mistake_gets_one_clear_message_and_no_table(work, line, message):
    assert message in failed(line.format(work=work) + " progress=false workers=0")
    assert not (work / "x.parquet").exists()


def test_sources_of_other_bands_are_refused(tmp_path):
    rows = [f"a,{60000 + k},{'uz'[k % 2]},20.{k},0.1" for k in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["object_id,mjd,band,mag,magerr", *rows]) + "\n")
    said = failed(
        f"rtf.fit input={tmp_path}/t.csv reader=light_curve_table reader.survey=lsst out={tmp_path}/x.parquet"
    )
    assert "fits are of the bands g, r, i, not of LSST's" in said


def test_a_survey_drawn_from_the_fits(work):
    fits = f"workers=0 progress=false simulation/backend=fits simulation.backend.table={work}/fits.parquet"
    ok(f"rtf.simulate out={work}/survey.zarr n_sources=20 simulation.classes={{TDE:1}} {fits}")
    store = open_store(work / "survey.zarr")
    assert store.n == 20
    peaks = {r["peak_mag"] for r in pq.read_table(work / "fits.parquet").to_pylist() if r["band"] == "r"}
    brightest = [history.mag.min() for history in store.histories(cutouts=False)]
    assert min(peaks) - 0.5 < min(brightest) and np.median(brightest) < max(peaks) + 1.0
    error = failed(f"rtf.simulate out={work}/none.zarr n_sources=5 simulation.classes={{AGN:1}} {fits}")
    assert "no usable fit of class AGN" in error and "40 of TDE" in error
