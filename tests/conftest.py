"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

from rtf.store.build import preprocess
from tests.sources import MadeUpReader


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, outside the project."""
    if not os.environ.get("RTF_REAL_DATA"):
        pytest.skip("RTF_REAL_DATA is not set: no real data here")
    return Path(os.environ["RTF_REAL_DATA"])


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store of 160 made-up sources; whoever changes it makes a copy."""
    path = tmp_path_factory.mktemp("store") / "made_up.zarr"
    preprocess(MadeUpReader(160), "made up", path, workers=0, progress=False)
    return path
