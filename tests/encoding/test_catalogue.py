"""The tests of catalogues.py, in a process of their own: once hats is imported, numba fails UMAP there."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.skipif(find_spec("lsdb") is None, reason="lsdb is not installed")
def test_catalogues(real_data):
    """Half a minute: three interpreters import torch, two of them Dask's workers."""
    path = Path(__file__).with_name("catalogues.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parents[2], timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "3 passed" in done.stdout
