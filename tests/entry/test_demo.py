"""What `make demo` runs, on a small survey."""

import sys

import pyarrow.parquet as parquet

import rtf.demo
from tests.commands import run


def test_the_demo_goes_from_nothing_to_fingerprints_and_what_they_are_worth(tmp_path, monkeypatch, capsys):
    small = ["encoder.n_layers=1", "decoder.n_layers=1", "epochs=1", "num_threads=1", "progress=false"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rtf.demo", "--n-sources", "60", *small])
    # the same commands, without waiting for seven interpreters to import torch
    monkeypatch.setattr(
        rtf.demo, "run", lambda module, *arguments, keep: run(module, *arguments, cwd=tmp_path)
    )
    rtf.demo.main()
    worth = capsys.readouterr().out.split("=== what the fingerprints are worth")[1]
    titles = ("Classes read from frozen fingerprints", "Early classification", "Reconstruction in physical")
    assert all(title in worth for title in titles)
    folder = tmp_path / "runs/demo"
    assert len(parquet.read_table(folder / "fingerprints.parquet")) == 60
    assert {"map.html", "early.png", "probe.md", "light_curves.png"} <= {p.name for p in folder.iterdir()}
