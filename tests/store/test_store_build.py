"""Building: the store is what merging in memory gives, whatever the workers and the order of the builds."""

import dataclasses

import numpy as np
import pytest

from rtf.alerts.history import NO_CUTOUTS
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.store import build, parts, write
from rtf.store.build import preprocess
from rtf.store.parts import SPLITS
from rtf.store.read import StoreError, open_store
from tests.sources import merge
from tests.store.store_fakes import FakeReader, unit_histories

QUIET = {"workers": 0, "progress": False}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks and batches so small that every test crosses their borders."""
    monkeypatch.setattr(write, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(write, "STAMP_CHUNK_BYTES", 777)
    monkeypatch.setattr(parts, "BATCH_BYTES", 5000)
    monkeypatch.setattr(build, "_OPEN_PARTS", 2)


def in_memory(*readers):
    """Object by object what `rtf.alerts.merge.merge` gives, and the repeats it dropped."""
    pile = {}
    for reader in readers:
        for unit in reader.units(""):
            for history in unit_histories(reader, unit):
                pile.setdefault(history.object_id, []).append(history)
    merged = {name: merge(histories) for name, histories in pile.items()}
    return {name: m[0] for name, m in merged.items()}, sum(m[1] for m in merged.values())


def assert_same(a, b, split=True):
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes(), field.name
        elif field.name != "split" or split:
            assert x == y or (x != x and y != y), field.name


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("cutouts", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_store_is_the_merge_in_memory(tmp_path, cutouts, seed):
    reader = FakeReader(cutouts=cutouts, seed=seed)
    report = preprocess(reader, "in", tmp_path / "s.zarr", **QUIET)
    expected, repeats = in_memory(reader)
    store = open_store(tmp_path / "s.zarr")
    histories = list(store.histories())
    assert {h.object_id for h in histories} == set(expected) and len(histories) == len(expected)
    for history in histories:
        assert_same(history, expected[history.object_id], split=False)
    assert report.counts["objects"] == len(expected)
    assert report.counts["repeats"] == repeats > 0
    assert report.counts["detections"] - repeats == store.offset[-1]
    assert report.skipped == {"a bad packet": 5}
    assert ReadReport.read(tmp_path / "s.zarr" / "report.json") == report
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.zarr"]


def test_sources_are_ordered_by_split_then_name(tmp_path):
    preprocess(FakeReader(), "in", tmp_path / "s.zarr", **QUIET)
    store = open_store(tmp_path / "s.zarr")
    assert sorted(zip(store.split, store.object_id)) == list(zip(store.split, store.object_id))
    for k, split in enumerate(SPLITS):
        chosen = store.sources(split)
        assert (store.split[chosen] == k).all() and len(store.split[chosen]) == (store.split == k).sum()
        detections = store.detections(split)
        assert len(detections) == chosen.stop - chosen.start
        histories = list(store.histories(chosen))
        assert detections.mag.tobytes() == b"".join(h.mag.tobytes() for h in histories)
        assert detections.metadata.tobytes() == b"".join(h.metadata.tobytes() for h in histories)
        assert store.detections(split, metadata=False).metadata.shape == (len(detections.mjd), 0)
    assert sum(len(store.detections(split).mjd) for split in SPLITS) == store.offset[-1]
    assert len(store.detections("none")) == 0


def test_single_stamps_and_any_order_of_sources(tmp_path):
    preprocess(FakeReader(), "in", tmp_path / "s.zarr", **QUIET)
    store = open_store(tmp_path / "s.zarr")
    flat = [c for h in store.histories() for c in h.cutouts]
    assert [store.cutouts(d) for d in range(len(flat))] == flat
    order = np.array([5, 3, 4, 0, 1, 2])
    assert [h.object_id for h in store.histories(order)] == store.object_id[order].tolist()
    with pytest.raises(IndexError):
        store.cutouts(len(flat))


def test_workers_do_not_change_a_byte(tmp_path):
    reader = FakeReader()
    for workers in (0, 2):
        preprocess(reader, "in", tmp_path / str(workers), workers=workers, progress=False)
    assert tree(tmp_path / "0") == tree(tmp_path / "2")


def test_the_digest_does_not_depend_on_the_chunks(tmp_path, monkeypatch):
    digests, many = set(), []
    for name, size in (("many", write.CHUNK_BYTES), ("one", 1 << 20)):
        monkeypatch.setattr(write, "CHUNK_BYTES", size)
        preprocess(FakeReader(), "in", tmp_path / name, workers=0, progress=False)
        store = open_store(tmp_path / name)
        many.append(store.arrays["metadata"].nchunks > 1)
        digests.add(store._content())
    assert many == [True, False] and len(digests) == 1


def test_given_splits_are_kept_and_a_table_fills_in(tmp_path):
    preprocess(FakeReader(splits=True), "in", tmp_path / "a", **QUIET)
    store = open_store(tmp_path / "a")
    assert (store.split == [int(name[3:]) % 3 for name in store.object_id]).all()

    table = tmp_path / "splits.csv"
    table.write_text("obj_id,split\nZTF0001,val\nZTF0002,test\n")
    preprocess(FakeReader(), "in", tmp_path / "c", fractions=None, **QUIET)
    assert (open_store(tmp_path / "c").split == -1).all()

    labels = tmp_path / "labels.csv"
    labels.write_text("object_id,type\nZTF0001,TDE\nZTF0002,SN Ib/c\n")
    preprocess(FakeReader(per_unit=20), "in", tmp_path / "b", splits=table, labels=labels, **QUIET)
    store = open_store(tmp_path / "b")
    where = {name: k for k, name in enumerate(store.object_id.tolist())}
    assert store.split[where["ZTF0001"]] == 1 and store.split[where["ZTF0002"]] == 2
    assert (store.split == -1).sum() == store.n - 2
    assert store.label[where["ZTF0001"]] == 9 and store.coarse[where["ZTF0001"]] == 4
    assert store.label[where["ZTF0002"]] == -1


@pytest.mark.parametrize("cutouts", [(True, True), (True, False), (False, True), (False, False)])
def test_appending_is_building_at_once(tmp_path, cutouts):
    first = FakeReader(units_number=3, cutouts=cutouts[0])
    second = FakeReader(units_number=3, first=3, objects=30, cutouts=cutouts[1])
    preprocess(first, "a", tmp_path / "s", **QUIET)
    before = open_store(tmp_path / "s")
    report = preprocess(second, "b", tmp_path / "s", append=True, **QUIET)
    store = open_store(tmp_path / "s")
    expected, repeats = in_memory(first, second)
    assert set(store.object_id) == set(expected) and store.n > before.n
    for history in store.histories():
        one = expected[history.object_id]
        if any(cutouts) and one.cutouts is None:
            one.cutouts = [NO_CUTOUTS] * len(one)
        assert_same(history, one, split=False)
    assert report.counts["repeats"] == repeats and report.counts["objects"] == len(expected)
    assert report.counts["packets"] == 48
    split = dict(zip(store.object_id, store.split))
    assert all(split[name] == s for name, s in zip(before.object_id, before.split))
    assert {split[name] for name in set(store.object_id) - set(before.object_id)} <= {0, 1, 2}
    assert [run["input"] for run in store.attributes["runs"]] == ["a", "b"]


def test_nothing_readable_says_why(tmp_path):
    with pytest.raises(NothingReadable, match=r"a bad packet \(5\)"):
        preprocess(FakeReader(per_unit=0), "in", tmp_path / "s", **QUIET)
    with pytest.raises(NothingReadable, match="nothing to read"):
        preprocess(FakeReader(units_number=0), "in", tmp_path / "s", **QUIET)
    assert [p.name for p in tmp_path.iterdir()] == ["s.report.json"]


def test_misuse_is_told(tmp_path):
    out = tmp_path / "s"
    preprocess(FakeReader(), "in", out, **QUIET)
    with pytest.raises(FileExistsError, match="append to it, overwrite it"):
        preprocess(FakeReader(), "in", out, **QUIET)
    with pytest.raises(ValueError, match="exclude each other"):
        preprocess(FakeReader(), "in", out, append=True, overwrite=True, **QUIET)
    with pytest.raises(ValueError, match="sum to 1"):
        preprocess(FakeReader(), "in", tmp_path / "t", fractions=(0.5, 0.2, 0.2), **QUIET)
    with pytest.raises(ValueError, match="split must be one of"):
        open_store(out).sources("training")
    table = tmp_path / "labels.csv"
    table.write_text("object_id,type\nnobody,TDE\n")
    with pytest.raises(ValueError, match="none of the input's"):
        preprocess(FakeReader(), "in", tmp_path / "t", labels=table, **QUIET)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="not a store"):
        preprocess(FakeReader(), "in", tmp_path / "mine", overwrite=True, **QUIET)
    preprocess(FakeReader(cutouts=False), "in", out, overwrite=True, **QUIET)
    with pytest.raises(StoreError, match="has no cutouts"):
        open_store(out).cutouts(0)
    assert "unknown" in open_store(out).summary()


def test_a_fault_of_the_reader_names_the_unit(tmp_path):
    with pytest.raises(TypeError) as caught:
        preprocess(FakeReader(objects=None), "in", tmp_path / "s", workers=2, progress=False)
    assert any("while reading" in note for note in caught.value.__notes__)


def test_types_that_are_no_class_are_counted_and_named(tmp_path):
    labels = tmp_path / "types.csv"
    types = ["SNIa", "Ia", "II P", "Blob", "Blob", "Oddity"] * 3
    rows = [f"ZTF{k:04d},{name}" for k, name in enumerate(types)]
    labels.write_text("\n".join(["object_id,type", *rows, "elsewhere,Blob"]) + "\n")
    report = preprocess(FakeReader(), "in", tmp_path / "s.zarr", labels=labels, **QUIET)
    names = set(open_store(tmp_path / "s.zarr").object_id)
    blobs = sum(f"ZTF{k:04d}" in names for k in range(18) if k % 6 in (3, 4))
    assert report.unknown_types["Blob"] == blobs > 0 and set(report.unknown_types) == {"Blob", "Oddity"}
    assert f"a type that is no class: Blob ({blobs})" in report.summary()
