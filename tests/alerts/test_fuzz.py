"""Hundreds of damaged files of every format: the good file beside each is read, and the bad one is named."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = 40  # of each of ten formats


def test_damaged_files(tmp_path):
    command = [sys.executable, "-m", "tests.alerts.fuzz", str(tmp_path), str(CASES)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout == f"{10 * CASES} cases\n"
