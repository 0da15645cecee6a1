"""The README's commands work as they stand there, in its order, on small inputs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rtf.alerts.history import BANDS
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.report import ReadReport
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from tests.commands import ROOT, run
from tests.packets import packets, write_avro

README = (ROOT / "README.md").read_text()
#: What makes a command of the README small enough for a test; replaces what the README says of the same key.
SMALLER = {
    "rtf.train": "encoder.d_model=32 encoder.n_layers=1 encoder.n_heads=4 encoder.d_ff=64 decoder.d_model=32 "
    "decoder.n_layers=1 decoder.d_ff=64 epochs=1 accelerator=cpu progress=false",
    "rtf.simulate": "n_sources=20",
    "rtf.fit": "",
    "rtf.evaluate": "",
    "rtf.preprocess": "",
    "rtf.encode": "progress=false",
    "rtf.archive": "",
    "rtf.stream": "progress=false",
    "rtf.search": "",
    "rtf.explore": "serve=false",
    "rtf.rank": "",
    "rtf.export": "",
    "rtf.report": "",
    "rtf.check": "repeats=1 min_detections=1",
}
#: Two runs of the thirty-five of a sweep.
SMALLER_SWEEP = "bottleneck=ae,vqvae latent_dim=8"
#: Commands with it are run by hand when results are measured: the data are not in the project.
NEEDS_DATA = "$RTF_REAL_DATA"


def smaller(line: str) -> list[str]:
    """The arguments of a `python -m rtf...` line of the README, with the settings of `SMALLER`."""
    program, *arguments = shlex.split(line)[2:]
    changes = SMALLER[program].split()
    if "-m" in arguments:
        changes += SMALLER_SWEEP.split()
    if "out=data/survey_smoke.zarr" in arguments:
        changes = ["n_sources=60"]
    keys = {change.split("=")[0] for change in changes}
    return ["-m", program, *(a for a in arguments if a.split("=")[0] not in keys), *changes]


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with alerts of forty objects, ten of each of four classes, as the README assumes."""
    folder = tmp_path_factory.mktemp("user")
    objects = {f"ZTF20aaaa{k:03d}": packets(f"ZTF20aaaa{k:03d}", n=6, seed=k) for k in range(40)}
    write_avro(folder / "alerts", [p for chain in objects.values() for p in chain])
    write_avro(folder / "tonight", objects["ZTF20aaaa007"])
    types = np.tile(["SN Ia", "SN II", "AGN", "Cataclysmic"], 10)
    rows = [f"{name},{kind}" for name, kind in zip(objects, types, strict=True)]
    (folder / "types.csv").write_text("\n".join(["object_id,type", *rows]) + "\n")
    write_light_curves(folder / "lightcurves.parquet")
    write_visits(folder / "visits.parquet")
    preprocess(
        LightCurveTable(), folder / "lightcurves.parquet", folder / "tonight.zarr", workers=0, progress=False
    )
    (folder / "marks.csv").write_text("survey,object_id,mark\nztf,ZTF20aaaa007,interesting\n")
    return folder


def write_light_curves(path: Path) -> None:
    """A table of light curves as an astronomer has them: forty SN Ia, simulated."""
    survey = SimulatedSurvey(40, classes={"SN Ia": 1.0}, min_detections=12)
    histories = [h for unit in survey.units() for h in survey.read(unit, ReadReport())]
    rows = {
        "object_id": [h.object_id.replace("SIM", "AT") for h in histories for _ in range(len(h))],
        "mjd": np.concatenate([h.mjd for h in histories]),
        "band": [BANDS[b] for h in histories for b in h.band],
        "mag": np.concatenate([h.mag for h in histories]),
        "magerr": np.concatenate([h.magerr for h in histories]),
        "type": ["SN Ia" for h in histories for _ in range(len(h))],
    }
    parquet.write_table(pa.table(rows), path)


def write_visits(path: Path) -> None:
    """A log of three pointings, in g and r every second night for four years."""
    mjd = np.arange(58800.0, 60300.0, 2.0)
    pointing = np.repeat([[150.0, 30.0], [210.0, 45.0], [250.0, 60.0]], 2 * len(mjd), axis=0)
    columns = {
        "mjd": np.tile(np.concatenate([mjd + 0.3, mjd + 0.34]), 3),
        "band": (["g"] * len(mjd) + ["r"] * len(mjd)) * 3,
        "limmag": np.full(6 * len(mjd), 20.6), "ra": pointing[:, 0], "dec": pointing[:, 1],
    }  # fmt: skip
    parquet.write_table(pa.table(columns), path)


def test_the_readme_has_commands():
    assert {c.split()[2] for c in commands() if c.startswith("python -m rtf")} >= {
        "rtf.simulate", "rtf.preprocess", "rtf.train", "rtf.encode", "rtf.evaluate", "rtf.report",
    }  # fmt: skip


def test_every_command_runs(folder):
    for line in commands():
        if line.startswith("make "):
            subprocess.run(
                ["make", "--dry-run", *line.split()[1:]], cwd=ROOT, check=True, capture_output=True
            )
        elif line.startswith("python -m rtf") and NEEDS_DATA not in line:
            done = run(*smaller(line)[1:], cwd=folder)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        else:
            assert NEEDS_DATA in line or line.startswith(("git clone", "cd ")), f"not run by any test: {line}"


def test_the_python_example_runs(folder):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_config_group_and_task():
    folders = {p.name for p in (ROOT / "conf").iterdir() if p.is_dir()}
    groups = folders - {"hydra", "__pycache__"} | {"hydra/launcher"}
    for group in sorted(groups):
        assert f"`{group}`" in README, group
    for group in sorted(
        groups - {"experiment", "reader", "modalities", "task"}
    ):  # named elsewhere, or in part
        choices = {p.stem for p in (ROOT / "conf" / group).glob("*.yaml")}
        (row,) = re.findall(rf"^\| `{group}` \| (.*?) \|", README, re.MULTILINE)
        assert choices <= set(re.findall(r"`(\w+)`", row)), group


def test_the_readme_has_its_pictures():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).stat().st_size > 10_000, picture
