"""Fixtures for all tests."""

import os
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import rtf
from rtf.store.build import preprocess
from tests.sources import MadeUpReader

#: Files that take longest: begun first, so that no worker is left with one of them at the end.
SLOWEST = ("slurm/test_slurm.py", "entry/test_readme.py", "entry/test_demo.py", "test_notebooks.py")


def pytest_collection_modifyitems(items) -> None:
    items.sort(key=lambda item: not str(item.path).endswith(SLOWEST))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, outside the project."""
    if not os.environ.get("RTF_REAL_DATA"):
        pytest.skip("RTF_REAL_DATA is not set: no real data here")
    return Path(os.environ["RTF_REAL_DATA"])


@pytest.fixture(scope="session")
def real_test_histories(real_data, tmp_path_factory) -> list:
    """Every fourth test source of the table of real supernovae, with five detections and more."""
    table = pq.read_table(real_data / "lightcurves/ztf_supernovae.parquet")
    table = table.filter(pc.equal(table["split"], "test"))
    names = sorted(set(table["object_id"].to_pylist()))[::4]
    path = tmp_path_factory.mktemp("real") / "test.parquet"
    pq.write_table(table.filter(pc.is_in(table["object_id"], pc.cast(names, table["object_id"].type))), path)
    return [h for h in rtf.read_histories(path) if len(h) >= 5]


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store of 160 made-up sources; whoever changes it makes a copy."""
    path = tmp_path_factory.mktemp("store") / "made_up.zarr"
    preprocess(MadeUpReader(160), "made up", path, workers=0, progress=False)
    return path
