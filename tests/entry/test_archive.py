"""From alerts to an archive and a search in it, as a user types it, with a model that is in the project."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

pytest.importorskip("lancedb")

from rtf.alerts.history import BANDS
from tests.commands import ROOT
from tests.entry.test_commands import failed, ok
from tests.sources import made_up_sources

RUN = ROOT / "experiments/models/real_supernovae"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Light curves of twenty sources with positions, one of them alone, their fingerprints and archive."""
    folder = tmp_path_factory.mktemp("night")
    rows = [
        {"object_id": s.object_id, "mjd": m, "band": BANDS[b], "mag": float(x), "magerr": float(e),
         "ra": 10.0 * k, "dec": -4.0 * k}
        for k, s in enumerate(made_up_sources(20, seed=4))
        for m, b, x, e in zip(s.mjd, s.band, s.mag, s.magerr)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "all.parquet")
    own = [r for r in rows if r["object_id"] == rows[0]["object_id"]]
    csv.write_csv(pa.Table.from_pylist(own), folder / "one.csv")
    ok(f"rtf.encode run={RUN} input=all.parquet out=night.parquet workers=0 progress=false", folder)
    printed = ok("rtf.archive archive=found add=night.parquet progress=false", folder)
    assert "20 rows added, 0 were there already" in printed
    return folder


def test_tables_of_fingerprints_have_positions(folder):
    table = pq.read_table(folder / "night.parquet")
    place = {s.object_id: (10.0 * k, -4.0 * k) for k, s in enumerate(made_up_sources(20, seed=4))}
    for row in table.select(["object_id", "ra", "dec"]).to_pylist():
        assert (row["ra"], row["dec"]) == place[row["object_id"]]


def test_a_light_curve_finds_itself_and_an_object_finds_others(folder):
    printed = ok("rtf.archive archive=found add=night.parquet compact=true progress=false", folder)
    assert "0 rows added, 20 were there already" in printed and "20 rows in found" in printed
    ok(f"rtf.search archive=found like=one.csv run={RUN} k=5 out=like.parquet progress=false", folder)
    found = pq.read_table(folder / "like.parquet")
    first = made_up_sources(20, seed=4)[0].object_id
    assert found["object_id"][0].as_py() == first and abs(found["distance"][0].as_py()) < 1e-5
    latent = np.stack(found["fingerprint"].to_numpy())
    assert len(found) == 5 and (np.diff(found["distance"].to_numpy()) >= 0).all() and latent.shape[0] == 5
    printed = ok(f"rtf.search archive=found object={first} k=4", folder)
    assert found["object_id"][1].as_py() in printed and f"│ {first}" not in printed
    printed = ok("rtf.search archive=found position=20,-8,1", folder)
    assert made_up_sources(20, seed=4)[2].object_id in printed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rtf.search archive=found object=x'OR'1'='1", "has no object"),
        ("rtf.search archive=nowhere object=x", "nowhere is no archive"),
        ("rtf.search archive=found", "search for what"),
        ("rtf.search archive=found position=1,2", "three numbers"),
        ("rtf.search archive=found position=a,b,c", "three numbers"),
        ("rtf.search archive=found object=x space=1234567890e1", "has no fingerprints of space 1234567890e1"),
        ("rtf.search archive=found object=x class=Cepheid", "is none of"),
        ("rtf.archive archive=found add=nothing.parquet", "nothing.parquet"),
        ("rtf.archive archive=empty", "is no archive"),
    ],
)
def test_a_mistake_gets_one_clear_message(folder, line, message):
    assert message in failed(line, folder)
