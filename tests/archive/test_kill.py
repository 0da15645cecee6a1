"""Adding, killed at any moment and started again, gives the archive of one that was not killed."""

import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

pytest.importorskip("lancedb")

from rtf.archive import open_archive
from tests.archive.made_up import table
from tests.commands import ROOT

PROGRAM = """
import sys
from rtf.archive import open_archive, rows
rows._MOST_ROWS = 500
archive = open_archive(sys.argv[1])
print("begins", flush=True)
archive.add(sys.argv[2], progress=lambda n: print(n, flush=True))
"""


def content(folder):
    rows = open_archive(folder)._table(None).to_arrow()
    return rows.sort_by([("survey", "ascending"), ("candid", "ascending")])


def test_killed_at_several_moments(tmp_path):
    rows = table(6000)
    pq.write_table(rows, tmp_path / "rows.parquet")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", PROGRAM, str(tmp_path / "killed"), str(tmp_path / "rows.parquet")]
    seen = []
    # batches that are let pass, and seconds after them: in the making of the table, and in a batch
    for batches, seconds in ((0, 0.01), (2, 0.003), (6, 0.007)):
        process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(1 + batches):
            assert process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        archive = open_archive(tmp_path / "killed")
        seen.append(archive.count() if archive.spaces() else 0)
    assert seen == sorted(seen) and 0 < seen[-1] < 6000
    assert archive.add(tmp_path / "rows.parquet").rows == 6000 - seen[-1]
    open_archive(tmp_path / "whole").add(tmp_path / "rows.parquet")
    assert content(tmp_path / "killed").equals(content(tmp_path / "whole"))
