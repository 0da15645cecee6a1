"""A HATS catalogue in, a HATS catalogue of fingerprints out; partitions are done once, on two workers."""

import shutil

import distributed
import lsdb
import numpy as np
import pytest

import rtf
from rtf.encoding import catalogue as catalogue_module
from rtf.encoding.catalogue import encode_catalogue, is_catalogue
from rtf.encoding.fingerprints import RunError
from rtf.encoding.table import fingerprint_table
from tests.small_runs import train

COLUMNS = {"light_curve": "lc", "mjd": "hmjd", "band": "filter"}


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "run"
    train(store, run, "modalities=photometry", "epochs=1", "cls_weight=0.3")
    return run


@pytest.fixture(scope="module")
def catalogue(real_data, tmp_path_factory):
    """25 real tidal disruptions in ZTF's names for bands, at made-up places; one has no sound detection."""
    import nested_pandas
    import pandas as pd

    table = pd.read_parquet(real_data / "lightcurves/ztf_tde.parquet")
    table = table[table["isdiffpos"].astype(str).isin(["t", "1", "True"])]
    names = sorted(table["object_id"].unique())[:25]
    rng = np.random.default_rng(0)
    objects = pd.DataFrame(
        {"object_id": names, "ra": rng.uniform(0, 360, 25), "dec": rng.uniform(-30, 80, 25)}
    )
    table = table.rename(columns={"mjd": "hmjd"}).assign(filter="z" + table["band"])
    table.loc[table["object_id"] == names[3], "magerr"] = -1.0
    curves = table.set_index("object_id")[["hmjd", "filter", "mag", "magerr"]]
    objects.index = pd.Index(names)
    frame = nested_pandas.NestedFrame(objects).join_nested(curves, "lc")
    path = tmp_path_factory.mktemp("hats") / "in"
    lsdb.from_dataframe(frame, partition_rows=8).write_catalog(path, as_collection=False, progress_bar=False)
    return path, table, names


def test_it_equals_plain_encoding_row_by_row_and_partitions_are_done_once(run, catalogue, tmp_path):
    path, table, names = catalogue
    assert is_catalogue(path) and not is_catalogue(tmp_path)
    how = {"columns": COLUMNS, "workers": 2, "progress": False}
    out = tmp_path / "out"
    assert encode_catalogue(str(run), path, out, **how) == {"objects": 25, "without": 1}
    rows = lsdb.open_catalog(out).compute(progress_bar=False).set_index("object_id")
    table = table.assign(band=table["filter"].str[1:]).rename(columns={"hmjd": "mjd"})
    table[["object_id", "mjd", "band", "mag", "magerr"]].to_parquet(tmp_path / "plain.parquet")
    histories = [h for h in rtf.read_histories(tmp_path / "plain.parquet") if h.object_id in names and len(h)]
    plain = fingerprint_table(rtf.load(run), histories).to_pandas().set_index("object_id")
    assert len(plain) == 24 and set(rows.index) == set(names)
    for name, row in plain.iterrows():
        np.testing.assert_allclose(rows.loc[name, "fingerprint"], row["fingerprint"], atol=1e-5)
        assert (
            rows.loc[name, "n_detections"] == row["n_detections"] and rows.loc[name, "space"] == row["space"]
        )
    bad = rows.loc[names[3]]
    assert "negative" in bad["reason"] or bad["reason"] == "no detection"


def test_partitions_that_failed_are_done_again_alone(run, catalogue, tmp_path, monkeypatch):
    path, _, names = catalogue
    whole, calls = catalogue_module.light_curves, []

    def fails(frame, columns):
        calls.append(len(frame))
        if names[7] in set(frame["object_id"]):
            raise OSError("a disk fails")
        return whole(frame, columns)

    def counts(frame, columns):
        calls.append(len(frame))
        return whole(frame, columns)

    out, here = tmp_path / "out", {"processes": False, "threads_per_worker": 1, "dashboard_address": None}

    def encoded(light_curves):
        """On one worker within this process, which has ended when this returns."""
        monkeypatch.setattr(catalogue_module, "light_curves", light_curves)
        calls.clear()
        with distributed.LocalCluster(1, **here) as cluster:
            how = {"columns": COLUMNS, "dask": cluster.scheduler_address, "progress": False}
            return encode_catalogue(str(run), path, out, **how)["objects"]

    with pytest.raises(RunError, match="a disk fails; the same command"):
        encoded(fails)
    done, parts = (len(list(x.rglob("Npix*.parquet"))) for x in (out, path))
    assert 0 < done < parts
    assert encoded(counts) == 25 and sum(n > 0 for n in calls) == parts - done
    # what is finished is left as it is
    assert encoded(counts) == 25 and not calls


def test_another_model_or_column_is_refused(run, catalogue, tmp_path):
    path, _, _ = catalogue
    with pytest.raises(RunError, match="has no column light_curve: name it"):
        encode_catalogue(str(run), path, tmp_path / "out")
    shutil.copytree(path, tmp_path / "out")
    with pytest.raises(RunError, match="another catalogue or by another model"):
        encode_catalogue(str(run), path, tmp_path / "out", columns=COLUMNS)
