"""The command line as people and machines have it: any file name, no home, a terminal without Greek."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser

from rtf.cli.paths import make_home, path_arguments
from tests.commands import ROOT, run

NAMES = (
    "year=2024/month=01", "données", "x(1)", "a,b", "a#b", "O'Neil", "[x]", 'say "hi"', "50%", "a b",
    "2024", "1e5",
    "a:b", "{x}", "back\\slash", "null.parquet", "true", "-x", "@x", "$HOME", "a;b", "x\\",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["input", "data.store", "+task.outliers"])
def test_hydra_reads_a_path_as_it_was_typed(key, name):
    (argument,) = path_arguments([f"{key}={name}"])
    assert OverridesParser.create().parse_override(argument).value() == name


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_holds_the_path_as_it_was_typed(name):
    with initialize_config_module("rtf.conf", version_base="1.3"):
        config = compose("preprocess", path_arguments([f"input={name}", "out=x"]))
    assert config.input == name


LEFT = (
    "run=null",
    "runs=[a,b]",
    "task.stores=[a,b]",
    "seed=1,2",
    "'modalities=[gp]'",
    "input='a b'",
    'out="x"',
    "-m",
)


@pytest.mark.parametrize("argument", LEFT)
def test_what_hydra_understands_is_left_to_it(argument):
    assert path_arguments([argument]) == [argument]


def test_in_a_multirun_commas_divide_values_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert path_arguments(["-m", "data.store=a,b"])[1] == "data.store=a,b"
    (tmp_path / "a,b").touch()
    assert path_arguments(["-m", "data.store=a,b"])[1] == 'data.store="a,b"'


def test_the_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert path_arguments(["out=~/x", "out='~/s.zarr'"]) == ['out="/home/ada/x"', 'out="/home/ada/s.zarr"']


def test_a_user_without_name_and_home_gets_a_temporary_one(monkeypatch, tmp_path):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("HOME", "USER", "LOGNAME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "/")
    make_home()
    assert Path.home().is_relative_to(tmp_path) and Path.home().is_dir()
    assert os.environ["USER"] == str(os.getuid()) and os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))


def test_errors_of_a_reader_that_hydra_wraps_are_one_line(tmp_path):
    done = run("rtf.preprocess", f"input={tmp_path}/nowhere", f"out={tmp_path}/s.zarr")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/nowhere: not there\n(debug=true shows where)\n"


def test_a_disk_that_is_read_only_is_one_line(tmp_path):
    (tmp_path / "x.csv").write_text("object_id,mjd,band,mag,magerr\nA,59000,g,19,0.1\n")
    done = run("rtf.preprocess", f"input={tmp_path}/x.csv", "out=/proc/s.zarr", "progress=false")
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_reading_a_store_imports_no_builder():
    code = "import sys, rtf.store.read; print(*(m for m in sys.modules if m.startswith('rtf.store.')))"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert found == ["rtf.store.read"]
