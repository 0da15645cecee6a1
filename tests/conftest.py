"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, outside the project."""
    if not os.environ.get("RTF_REAL_DATA"):
        pytest.skip("RTF_REAL_DATA is not set: no real data here")
    return Path(os.environ["RTF_REAL_DATA"])
