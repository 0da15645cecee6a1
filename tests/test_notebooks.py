"""The notebooks run from top to bottom, in a folder of their own, at the size of a test."""

import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from jupyter_client import AsyncKernelManager  # noqa: E402
from jupyter_client.kernelspec import KernelSpec  # noqa: E402

FOLDER = Path(__file__).parents[1] / "notebooks"
#: What replaces the sizes of the cell tagged "parameters", and what holds at the end.
TESTS = {
    "first_steps": (
        {"N_SOURCES": 40, "TRAINING": "scale=smoke"},
        """
        assert fingerprints.latent.shape == (len(histories), 64) and len(histories) == 12
        assert np.isfinite(fingerprints.latent).all() and Path("work/fingerprints.parquet").exists()
        """,
    ),
    "reading_a_sweep": (
        {"N_SOURCES": 80, "EPOCHS": 1, "SIZES": "8"},
        """
        assert {run.metrics["fingerprint_bytes"] for run in found} == {8, 32}
        assert report.summary.startswith("2 runs") and (report.out / "index.html").exists()
        """,
    ),
    "similarity_and_anomalies": (
        {"N_SOURCES": 80, "N_STRANGE": 20, "TRAINING": "scale=smoke"},
        """
        assert nearest[0] != nearest[1] and np.all(np.diff(cosine[nearest]) <= 0)
        assert len(all_scores) == len(all_names) == len(names) + 20 and np.isfinite(all_scores).all()
        """,
    ),
    "subscribing": (
        {"N_SOURCES": 8},
        """
        assert len(alerts) > 20 and latent.shape == (64,)
        assert near["object_id"][0].as_py() == alert["object_id"]
        assert all(np.isfinite(mag).all() for mag, _ in curves.values())
        """,
    ),
    "adding_a_bottleneck": (
        {"N_SOURCES": 60, "EPOCHS": 1},
        """
        assert [run.metrics["fingerprint_bytes"] for run in found] == [8, 24, 256]
        assert fingerprints.code.shape[1] == 8 and set(np.unique(fingerprints.latent)) == {-1, 1}
        """,
    ),
}


class ThisPython(AsyncKernelManager):
    """Kernels of the interpreter that runs the tests, whatever kernels the user has installed."""

    kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
    )


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_run_here():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_the_notebook_is_kept_without_outputs(name):
    for cell in read(name).cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.parametrize("name", TESTS)
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    notebook, (sizes, check) = read(name), TESTS[name]
    (sized,) = (k for k, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    there = notebook.cells[sized].source
    assert all(f"\n{key} = " in f"\n{there}" for key in sizes), "sizes that the notebook does not have"
    smaller = "\n".join(f"{key} = {value!r}" for key, value in sizes.items())
    notebook.cells.insert(sized + 1, nbformat.v4.new_code_cell(smaller))
    lines = [line.strip() for line in check.strip().splitlines()]
    notebook.cells.append(nbformat.v4.new_code_cell("\n".join(lines)))
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    (tmp_path / "notebooks").mkdir()

    nbclient.NotebookClient(
        notebook,
        km=ThisPython(),
        timeout=300,
        resources={"metadata": {"path": tmp_path / "notebooks"}},
    ).execute()

    nbformat.write(notebook, tmp_path / f"{name}.ipynb")  # to look at
    for cell in notebook.cells:  # a command that fails in %run writes its error and lets the cell go on
        for output in cell.get("outputs", []):
            assert output.output_type != "error", f"{cell.source}\n" + "\n".join(output.traceback)
