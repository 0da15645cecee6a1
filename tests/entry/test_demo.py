"""What `make demo` runs, on a small survey. It starts seven commands, which takes most of its time."""

import subprocess
import sys

import pyarrow.parquet as parquet


def test_the_demo_goes_from_nothing_to_fingerprints_and_what_they_are_worth(tmp_path):
    small = ["encoder.n_layers=1", "decoder.n_layers=1", "epochs=1", "num_threads=1", "progress=false"]
    command = [sys.executable, "-m", "rtf.demo", "--n-sources", "60", *small]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    worth = done.stdout.split("=== what the fingerprints are worth")[1]
    for title in (
        "Linear probe on frozen fingerprints",
        "Early classification",
        "Reconstruction in physical",
    ):
        assert title in worth
    run = tmp_path / "runs/demo"
    assert len(parquet.read_table(run / "fingerprints.parquet")) == 60
    assert {"map.html", "early.png", "probe.md", "light_curves.png"} <= {p.name for p in run.iterdir()}
