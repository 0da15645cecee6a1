"""The wheel: what people install has all that the commands need, and works from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rtf

ROOT = Path(rtf.__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel unpacked as pip does it, without its dependencies, which are here already."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    # from a copy: building leaves files beside the sources
    copied = ("rtf", "conf", "experiments", "pyproject.toml", "README.md", "LICENSE")
    (folder / "source").mkdir()
    for name in copied:
        subprocess.run(["cp", "-r", ROOT / name, folder / "source"], check=True)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder / "dist", folder / "source"]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = (folder / "dist").glob("rtf_fingerprints-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=300
    )
    return folder


def test_every_step_from_alerts_to_a_report_runs_outside_the_checkout(installed, tmp_path):
    """Half a minute: seven interpreters import torch."""
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}

    def run(*arguments: str) -> str:
        line = [sys.executable, "-m", "rtf", *arguments]
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    assert run("--version") == f"rtf {rtf.__version__}\n"
    run("simulate", "out=packets", "n_sources=60", "stamps=false", "format=tar", "progress=false")
    tables = ("labels=packets/labels.csv", "splits=packets/splits.csv")
    run("preprocess", "input=packets", "out=s.zarr", "progress=false", *tables)
    run("train", "data.store=s.zarr", "run=run", "experiment=light_curves", "scale=smoke", "tracking=none")
    run("evaluate", "run=run", "task=physical", "n_bootstrap=20")
    run("encode", "run=run", "input=packets", "out=f.parquet", "progress=false")
    run("encode", "input=packets", "out=shipped.parquet", "progress=false")
    assert "1 run" in run("report", "runs=run", "out=report", "progress=false")
    assert (tmp_path / "report/index.html").is_file() and (tmp_path / "f.parquet").is_file()
    where = "import rtf, rtf.conf; print(rtf.__file__, rtf.conf.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert all(path.startswith(str(installed)) for path in found.stdout.split())
