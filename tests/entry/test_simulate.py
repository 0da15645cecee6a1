"""A simulated survey in every format: reading it back gives the store that is made directly, to the bit."""

from pathlib import Path
from unittest.mock import Mock

import fastavro
import numpy as np
import pytest
import zarr

from rtf.alerts.read import auto_reader
from rtf.alerts.tables import read_splits
from rtf.simulation import survey as survey_module
from rtf.simulation import write
from rtf.simulation.cadence import VisitLog
from rtf.simulation.survey import SimulatedSurvey
from rtf.simulation.write import FORMATS, write_survey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.store.splits import SPLITS, stratified
from tests.entry.test_commands import ROOT, failed, ok

pytestmark = pytest.mark.filterwarnings("ignore:Object at report.json")  # our file in the store

#: AGN have subtractions of both signs.
CLASSES = {"SN Ia": 2.0, "AGN": 3.0, "SN II": 1.0, "Cataclysmic": 1.0}
SEED = 7


def survey(number: int = 12, **settings) -> SimulatedSurvey:
    return SimulatedSurvey(number, seed=SEED, classes=CLASSES, **settings)


def split(names, labels):
    return [SPLITS[k] for k in stratified(names, labels, SEED)]


def written(out: Path, form: str, *, number: int = 12, overwrite: bool = False, workers: int = 0, **settings):
    counts = write_survey(
        survey(number, **settings), out, form, settings={"number": number, **settings}, split=split,
        workers=workers, overwrite=overwrite,
    )  # fmt: skip
    return counts


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def arrays(store: Path) -> dict[str, np.ndarray]:
    members = zarr.open_group(store, mode="r").members(max_depth=None)
    return {name: array[...] for name, array in members if isinstance(array, zarr.Array)}


def same_arrays(found: Path, expected: Path) -> None:
    found, expected = arrays(found), arrays(expected)
    assert found.keys() == expected.keys() and len(found) > 8
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape, name
        assert found[name].tolist() == values.tolist() or found[name].tobytes() == values.tobytes(), name


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(survey_module, "CHUNK", 4)


def read_back(alerts: Path, form: str, out: Path) -> None:
    tables = (
        {} if form == "applecider" else {"labels": alerts / "labels.csv", "splits": alerts / "splits.csv"}
    )
    report = preprocess(auto_reader(alerts), alerts, out, workers=0, seed=SEED + 1, progress=False, **tables)
    assert not report.skipped and report.counts["objects"] == len(read_splits(alerts / "splits.csv"))


@pytest.mark.parametrize("form", FORMATS)
def test_reading_back_gives_the_same_store(tmp_path, small_chunks, form):
    counts = written(tmp_path / "alerts", form)
    direct = preprocess(survey(), "direct", tmp_path / "direct", workers=0, seed=SEED, progress=False)
    read_back(tmp_path / "alerts", form, tmp_path / "read")
    same_arrays(tmp_path / "read", tmp_path / "direct")
    assert counts["sources"] == 12 and counts["negative"] > 10
    assert counts["alerts"] - counts["negative"] == direct.counts["detections"]


@pytest.mark.parametrize("form", ["avro", "applecider"])
def test_reading_back_gives_the_same_stamps(tmp_path, form):
    pytest.importorskip("galsim")
    written(tmp_path / "alerts", form, number=2, stamps=True)
    preprocess(survey(2, stamps=True), "direct", tmp_path / "direct", workers=0, seed=SEED, progress=False)
    read_back(tmp_path / "alerts", form, tmp_path / "read")
    same_arrays(tmp_path / "read", tmp_path / "direct")
    for history in open_store(tmp_path / "read").histories():
        assert all(stamp is not None for cutouts in history.cutouts for stamp in cutouts)


@pytest.mark.parametrize("form", ["tar.gz", "applecider"])
def test_any_number_of_workers_writes_the_same_files(tmp_path, small_chunks, form):
    written(tmp_path / "one", form, number=8)
    written(tmp_path / "two", form, number=8, workers=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two and "simulation.json" in one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_stopped_run_is_continued(tmp_path, small_chunks, monkeypatch, form):
    """Stopped in the third chunk: the first two are not made again, and the result is the same."""
    written(tmp_path / "whole", form)
    out, made, simulate = tmp_path / "stopped", [], write.simulate_source

    def stop(one, number):
        if number == 9:
            raise KeyboardInterrupt
        return simulate(one, number)

    def note(one, number):
        made.append(number)
        return simulate(one, number)

    monkeypatch.setattr(write, "simulate_source", stop)
    with pytest.raises(KeyboardInterrupt):
        written(out, form)
    assert not out.exists()
    monkeypatch.setattr(write, "simulate_source", note)
    with pytest.raises(ValueError, match="other settings"):
        written(out, form, min_detections=4)
    written(out, form)
    assert made == list(range(8, 12))
    assert contents(out) == contents(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stopped", "whole"]


def test_another_log_at_the_same_path_is_another_survey(tmp_path, monkeypatch):
    """A stopped run is not continued with the visits of a file that has changed since."""
    log, out = tmp_path / "log.csv", tmp_path / "alerts"
    rows = [f"{59000 + k},{'gr'[k % 2]},20.5,1" for k in range(300)]
    log.write_text("\n".join(["mjd,band,limmag,field", *rows]))
    settings = {"cadence": VisitLog(str(log)), "mjd_start": 59000.0, "mjd_end": 59200.0}
    monkeypatch.setattr(write, "simulate_source", stop := Mock(side_effect=KeyboardInterrupt))
    for changed in (False, True):
        if changed:
            log.write_text("\n".join(["mjd,band,limmag,field", *reversed(rows)]))
        with pytest.raises(
            ValueError if changed else KeyboardInterrupt, match="other settings" if changed else None
        ):
            write_survey(survey(4, **settings), out, "tar", settings={}, split=split, workers=0)
    assert stop.call_count == 1


def test_what_is_there_is_not_overwritten_unasked(tmp_path):
    written(tmp_path / "alerts", "tar", number=2)
    before = contents(tmp_path / "alerts")
    with pytest.raises(FileExistsError, match="exists"):
        written(tmp_path / "alerts", "avro", number=2)
    assert contents(tmp_path / "alerts") == before
    written(tmp_path / "alerts", "avro", number=1, overwrite=True)
    assert not list((tmp_path / "alerts").glob("*.tar"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="no simulated alerts"):
        written(tmp_path / "mine", "avro", number=1, overwrite=True)
    with pytest.raises(ValueError, match="none of avro"):
        written(tmp_path / "other", "csv", number=1)
    with pytest.raises(ValueError, match="no sources"):
        written(tmp_path / "other", "avro", number=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alerts", "mine"]


def test_every_alert_is_a_file_of_its_own_name(tmp_path):
    counts = written(tmp_path / "alerts", "avro", number=3)
    files = list((tmp_path / "alerts").rglob("*.avro"))
    assert len(files) == counts["alerts"]
    for path in files:
        with path.open("rb") as file:
            (alert,) = fastavro.reader(file)
        assert alert["candid"] == alert["candidate"]["candid"] == int(path.stem)


def test_every_backend_composes():
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for path in sorted((ROOT / "conf/simulation/backend").glob("*.yaml")):
            config = compose("simulate", ["out=o", f"simulation/backend={path.stem}"])
            assert "_target_" in config.simulation.backend


def test_the_command_writes_alerts_and_says_how_to_read_them(tmp_path):
    survey = "n_sources=12 seed=2 progress=false"
    out = ok(f"rtf.simulate out={tmp_path}/alerts format=tar.gz {survey} workers=2")
    assert "12 sources" in out
    (line,) = [text for text in out.splitlines() if text.startswith("to a store: python -m ")]
    ok(line.removeprefix("to a store: python -m ").replace("store.zarr", f"{tmp_path}/read workers=0"))
    ok(f"rtf.simulate out={tmp_path}/direct {survey} workers=0")
    same_arrays(tmp_path / "read", tmp_path / "direct")


def test_an_unknown_format_gets_one_clear_message(tmp_path):
    assert "'bogus' is none of" in failed(f"rtf.simulate out={tmp_path}/new format=bogus n_sources=2")
