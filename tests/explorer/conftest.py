"""An archive of made-up sources with the model in the box, and the page's state for it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("lancedb")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import rtf
from rtf.archive import open_archive
from rtf.encoding.table import fingerprint_table
from rtf.explorer.marks import Marks
from rtf.explorer.sources import Light
from rtf.explorer.state import Explorer
from tests.explorer.made_up import HOSTILE, Histories, sources


@pytest.fixture(scope="session")
def model():
    return rtf.load("ztf")


@pytest.fixture(scope="session")
def tables(model):
    """Fingerprints of 60 sources after 4, 8 and all detections, and of ten more that come later."""
    found = []
    for first in (4, 8, None):
        own = [s.select(np.arange(len(s))[:first]) for s in sources()]
        found.append(fingerprint_table(model, own))
    night = pa.concat_tables(t.slice(0, 60) for t in found)
    return SimpleNamespace(night=night, later=found[-1].slice(60))


@pytest.fixture
def archive(tables, tmp_path):
    made = open_archive(tmp_path / "archive")
    made.add(tables.night)
    return made


@pytest.fixture
def state(archive, model, tmp_path):
    """The page's state, its map made; nothing follows the archive but `follow`."""
    state = Explorer(
        archive,
        light=Light(histories=Histories()),
        load_model=lambda: model,
        marks=Marks(tmp_path / "marks.csv"),
    )
    state.prepare_model()
    state.open()
    yield state
    state.stopped.set()


@pytest.fixture
def hostile():
    return HOSTILE
