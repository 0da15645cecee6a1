"""A damaged store is an error that names the array, never zeros."""

import json
import shutil

import pytest

from rtf.store.build import preprocess
from rtf.store.read import StoreError, open_store
from tests.store.store_fakes import FakeReader


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "s"
    preprocess(FakeReader(), "in", out, workers=0, progress=False)
    return out


@pytest.fixture
def store(whole_store, tmp_path):
    return shutil.copytree(whole_store, tmp_path / "s")


def chunks(store):
    return sorted(p for p in store.rglob("c/**/*") if p.is_file())


def test_any_missing_chunk_is_named(store):
    assert len({p.relative_to(store).parts[0] for p in chunks(store)}) == 14
    for file in chunks(store):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(StoreError, match=f"array {file.relative_to(store).parts[0]} has lost"):
            open_store(store)
        file.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:9] + b"\0" + b[10:]]
)
def test_any_cut_or_changed_chunk_is_named(store, damage):
    for file in chunks(store):
        name = file.relative_to(store).parts[0]
        content = file.read_bytes()
        if damage(content) == content:
            continue
        file.write_bytes(damage(content))
        with pytest.raises(StoreError, match=name):
            opened = open_store(store)
            opened.detections()
            opened.read("cutout_offset")
            opened.read("cutout_bytes")
        with pytest.raises(StoreError, match=name):
            preprocess(FakeReader(first=9), "in", store, append=True, workers=0, progress=False)
        file.write_bytes(content)
        (store.parent / "s.plan.json").unlink(missing_ok=True)


def test_a_store_that_is_none_is_told(store, tmp_path):
    with pytest.raises(StoreError, match="not a store"):
        open_store(tmp_path / "nothing")
    description = json.loads((store / "zarr.json").read_text())
    for key, value, message in (
        ("format", "other", "not an RTF store"),
        ("version", 0, "format version 0"),
        ("complete", False, "not complete"),
        ("metadata_fields", ["rb"], "other metadata columns"),
    ):
        changed = {**description, "attributes": {**description["attributes"], key: value}}
        (store / "zarr.json").write_text(json.dumps(changed))
        with pytest.raises(StoreError, match=message):
            open_store(store)
    shutil.rmtree(store / "mag")
    (store / "zarr.json").write_text(json.dumps(description))
    with pytest.raises(StoreError, match="array mag is missing"):
        open_store(store)


def test_a_store_stopped_between_its_two_names_is_told(store):
    store.rename(store.with_name("s.old"))
    with pytest.raises(StoreError, match=r"s\.old\): run its command again"):
        open_store(store)
    with pytest.raises(StoreError, match="rename it back"):
        preprocess(FakeReader(), "in", store, append=True, workers=0, progress=False)
