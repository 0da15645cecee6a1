"""`python -m rtf.report`, as a user would type it."""

from functools import partial

import pytest

from rtf.cli.command import progress_bar
from rtf.encoding.fingerprinter import RunError
from rtf.report.read import read_runs
from tests.entry.test_commands import ok
from tests.report.made_up import make_sweep


def test_a_sweep_becomes_a_report(tmp_path):
    make_sweep(tmp_path / "runs/sweep")
    printed = ok(f"rtf.report runs={tmp_path}/runs/*eep out={tmp_path}/report progress=false")
    assert "Bottleneck and size of the fingerprint" in printed and "0.820" in printed
    assert "7 runs" in printed and f"{tmp_path}/report/index.html" in printed
    assert (tmp_path / "report/tables/bottlenecks.tex").stat().st_size > 0


def test_sources_are_read_once_and_a_source_without_runs_is_named(tmp_path):
    make_sweep(tmp_path / "runs/[odd] sweep")
    progress = partial(progress_bar, show=False)
    assert len(read_runs(tmp_path / "runs", tmp_path / "runs/*/ae*", progress=progress)) == 7
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=f"no run in {tmp_path}/empty"):
        read_runs(tmp_path / "runs", tmp_path / "empty", progress=progress)
