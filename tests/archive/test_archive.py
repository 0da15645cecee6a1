"""The archive: what is added comes back once, and a search finds what comparing all in NumPy finds."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytest.importorskip("lancedb")

from rtf.archive import ArchiveError, Where, open_archive
from rtf.archive import archive as module
from rtf.archive import rows as rows_module
from rtf.encoding.space import OtherSpace
from tests.archive.made_up import OTHER, SPACE, Model, codes, cosine, fingerprints, latent_of, table
from tests.benchmarks.memory import peak_memory


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """An archive of 3,000 rows, and the table it was made from."""
    folder = tmp_path_factory.mktemp("archive")
    archive, rows = open_archive(folder), table(3000)
    archive.add(rows)
    return archive, rows


def names(found: pa.Table) -> list[str]:
    return found["object_id"].to_pylist()


def everything(archive, **more) -> pa.Table:
    return (
        archive._table(more.get("space"))
        .to_arrow()
        .sort_by([("survey", "ascending"), ("candid", "ascending")])
    )


def test_what_is_added_comes_back(filled):
    archive, rows = filled
    found = everything(archive)
    for name in ("object_id", "candid", "mjd", "ra", "dec", "n_detections", "fingerprint", "code", "p_SN_II",
                 "strangeness", "reconstruction_error"):  # fmt: skip
        assert found[name].combine_chunks().to_pylist() == rows[name].combine_chunks().to_pylist(), name
    assert set(found["space"].to_pylist()) == {SPACE} and set(found["survey"].to_pylist()) == {"ztf"}
    chance = np.stack([rows[f"p_{c}"].to_numpy() for c in ("SN_Ia", "SN_II", "AGN")])
    best = np.array(["SN Ia", "SN II", "AGN"])[chance.argmax(0)]
    assert found["most_probable"].to_pylist() == best.tolist() and found["p_TDE"].null_count == 3000


def test_a_repeat_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "_MOST_ROWS", 256)
    archive, rows = open_archive(tmp_path), table(600)
    rows = pa.concat_tables([rows, rows.slice(0, 50)])
    assert vars(archive.add(rows)) == {"rows": 600, "repeats": 50, "without": 0}
    before = everything(archive)
    changed = rows.set_column(
        rows.column_names.index("strangeness"), "strangeness", pa.nulls(650, pa.float32())
    )
    assert vars(archive.add(changed)) == {"rows": 0, "repeats": 650, "without": 0}
    assert everything(archive).equals(before)
    more = table(600, seed=1)
    assert archive.add(pa.concat_tables([rows, more])).rows == 600
    assert archive.add(rows, survey="lsst").rows == 600 and archive.count() == 1800


def test_without_candid_object_and_time_are_the_key(tmp_path):
    archive, rows = open_archive(tmp_path), table(300, candid=None)
    assert archive.add(rows).rows == 300
    assert archive.add(rows).rows == 0
    later = rows.set_column(rows.column_names.index("mjd"), "mjd", pc.add(rows["mjd"], 1.0))
    assert archive.add(later).rows == 300
    mixed = table(300, candid=pa.array([k if k % 2 else None for k in range(300)], pa.int64()), seed=3)
    assert archive.add(mixed).rows == 300 and archive.add(mixed).repeats == 300


@pytest.mark.parametrize("batch", [256, 1 << 16])
def test_a_search_is_that_of_numpy(filled, batch, monkeypatch):
    archive, rows = filled
    latent = latent_of(rows)
    for query in fingerprints(8, seed=5):
        distance = cosine(latent, query)
        best = np.argsort(distance)[:25]
        found = archive.search(query, 25, columns="all")
        assert names(found) == [f"ZTF00{k:07d}" for k in best]
        np.testing.assert_allclose(found["distance"].to_numpy(), distance[best], atol=1e-6)
        np.testing.assert_array_equal(latent_of(found), latent[best])
    own = [archive.search(query, 1)["distance"].to_pylist()[0] for query in latent[:100]]
    assert min(own) >= 0  # float32 says -1e-7 of a fingerprint and itself


def test_several_queries_are_several_searches(filled):
    archive, _ = filled
    queries = fingerprints(3, seed=8)
    found = archive.search(queries, 4)
    assert found["query"].to_pylist() == [0] * 4 + [1] * 4 + [2] * 4
    assert names(found)[4:8] == names(archive.search(queries[1], 4))
    assert "fingerprint" not in found.column_names and len(archive.search(queries[:0], 4)) == 0


def test_an_answer_has_the_columns_asked_for(filled):
    archive, _ = filled
    query, cone = fingerprints(1, seed=8)[0], Where(cone=(10.0, 0.0, 90_000.0))
    whole = archive.search(query, columns="all")
    assert whole.column_names == ["distance", *everything(archive).column_names]
    plain = archive.search(query)
    assert plain.column_names == ["distance", *rows_module.ANSWER] and plain.equals(
        whole.select(plain.column_names)
    )
    for asked in ({}, {"newest": True}, {"where": cone}, {"where": cone, "newest": True, "exact": True}):
        measured = ["distance", *(["separation"] if "where" in asked else [])]
        found = archive.search(query, columns=["p_AGN", "mjd"], **asked)
        assert found.column_names == [*measured, "p_AGN", "mjd"]
        assert found.equals(archive.search(query, columns="all", **asked).select(found.column_names))
    assert archive.search(where=cone, columns=["code"]).column_names == ["separation", "code"]
    assert archive.search(object_id="ZTF000000011", columns="candid").column_names == ["distance", "candid"]
    assert archive.search(np.empty((0, 16)), columns=["ra"]).column_names == ["query", "distance", "ra"]
    with pytest.raises(ArchiveError, match="has no column 'p_dog'"):
        archive.search(query, columns=["mjd", "p_dog"])


def test_an_object_finds_others(filled):
    archive, rows = filled
    distance = cosine(latent_of(rows), latent_of(rows)[11])
    found = archive.search(object_id="ZTF000000011", k=5)
    assert names(found) == [f"ZTF00{k:07d}" for k in np.argsort(distance)[1:6]]


@pytest.mark.parametrize(
    "name", ["x' OR 1=1 --", "'", "''", "\\' OR true", '"', "`", "%", "a\nb", "é', '", "; DROP"]
)
def test_a_hostile_name_is_a_name(tmp_path, name):
    archive, rows = open_archive(tmp_path), table(20)
    with pytest.raises(ArchiveError, match=r"is empty"):
        archive.search(object_id=name)
    archive.add(rows)
    with pytest.raises(ArchiveError, match="has no object"):
        archive.search(object_id=name)
    assert len(archive.search(fingerprints(1)[0], where=Where(survey=name))) == 0
    renamed = table(1, seed=1, object_id=[name])
    archive.add(renamed, survey=name)
    found = archive.search(object_id=name, k=100, newest=True)
    assert len(found) == 20 and name not in names(found)
    assert names(archive.newest(Where(survey=name))) == [name]
    with pytest.raises(ArchiveError, match="is none of"):
        Where(class_name=name)


FILTERS = {
    "survey": (Where(survey="ztf"), lambda r: r["mjd"] > 0),
    "another survey": (Where(survey="lsst"), lambda r: r["mjd"] < 0),
    "most probable": (Where(class_name="QSO"), lambda r: r["p_AGN"] > np.maximum(r["p_SN_Ia"], r["p_SN_II"])),
    "probability": (Where(class_name="Ia", min_probability=0.3), lambda r: r["p_SN_Ia"] >= 0.3),
    "unknown probability": (Where(class_name="SLSN-II", min_probability=0.0), lambda r: r["mjd"] < 0),
    "a class with a hyphen": (Where(class_name="Ca-rich", min_probability=0.5), lambda r: r["mjd"] < 0),
    "times": (Where(since=59200, until=59500.5), lambda r: (r["mjd"] >= 59200) & (r["mjd"] <= 59500.5)),
    "detections": (
        Where(min_detections=9, max_detections=np.int64(20)),
        lambda r: (r["n_detections"] >= 9) & (r["n_detections"] <= 20),
    ),
    "several": (
        Where(class_name="SN II", min_probability=0.2, until=59400),
        lambda r: (r["p_SN_II"] >= 0.2) & (r["mjd"] <= 59400),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(filled, name):
    archive, rows = filled
    where, passes = FILTERS[name]
    mask = np.array(
        passes({n: rows[n].to_numpy() for n in ("mjd", "p_AGN", "p_SN_Ia", "p_SN_II", "n_detections")})
    )
    query = fingerprints(1, seed=9)[0]
    distance = np.where(mask, cosine(latent_of(rows), query), np.inf)
    best = np.argsort(distance)[: min(10, mask.sum())]
    assert names(archive.search(query, where=where)) == [f"ZTF00{k:07d}" for k in best]


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "59000 OR 1=1"},
        {"min_probability": 0.5},
        {"class_name": "SN Ia", "min_probability": float("nan")},
        {"class_name": "SN"},
        {"min_detections": True},
        {"until": float("inf")},
        {"cone": (1, 2)},
        {"cone": (400, 0, 1)},
        {"cone": (0, 91, 1)},
        {"cone": (0, 0, 0)},
        {"cone": ("0", 0, 1)},
    ],
)
def test_filters_of_another_kind_are_refused(wrong):
    with pytest.raises(ArchiveError):
        Where(**wrong)


def test_newest_is_one_row_an_object(tmp_path):
    archive = open_archive(tmp_path)
    rng = np.random.default_rng(0)
    objects = rng.integers(0, 40, 400)
    rows = table(400, object_id=[f"A{k}" for k in objects])
    archive.add(rows)
    latent, mjd, n = latent_of(rows), rows["mjd"].to_numpy(), rows["n_detections"].to_numpy()
    for where, seen in ((Where(), mjd > 0), (Where(until=59400.0), mjd <= 59400)):
        newest = {k: np.flatnonzero(seen & (objects == k)) for k in range(40)}
        newest = np.array([own[mjd[own].argmax()] for own in newest.values() if len(own)])
        assert archive.newest(where)["candid"].to_pylist() == sorted(newest, key=lambda k: f"A{objects[k]}")
        for query in fingerprints(4, seed=2):
            order = newest[np.argsort(cosine(latent, query)[newest])]
            for k in (3, 20, 1000):
                found = archive.search(query, k, where=where, newest=True)
                assert found["candid"].to_pylist() == order[:k].tolist()
    long = newest[n[newest] > 30]
    found = archive.newest(Where(until=59400.0, min_detections=31))
    assert set(found["candid"].to_pylist()) == set(long.tolist())


PLACES = [
    (0.0, 0.0),
    (359.9999, 10.0),
    (0.0001, -45.0),
    (180.0, 89.999),
    (77.0, -89.9999),
    (10.0, 90.0),
    (-0.001, 3),
]


@pytest.mark.parametrize("ra, dec", PLACES)
def test_positions_across_zero_and_at_the_poles(tmp_path, ra, dec):
    from astropy.coordinates import SkyCoord

    centre, rng, n = SkyCoord(ra, dec, unit="deg"), np.random.default_rng(1), 300
    around = centre.directional_offset_by(
        360 * rng.random(n) * SkyCoord(0, 0, unit="deg").ra.unit, 10 * rng.random(n) / 3600 * centre.ra.unit
    )
    given = np.where(np.arange(n) % 2, around.ra.deg, around.ra.deg - 360 * (around.ra.deg > 180))
    given[7] = np.nan
    rows = table(n, ra=given, dec=around.dec.deg)
    archive = open_archive(tmp_path)
    archive.add(rows)
    apart = centre.separation(around).arcsec
    apart[7] = np.inf
    for radius in (0.5, 4.0, 20.0):
        inside = np.flatnonzero(apart <= radius)
        found = archive.search(where=Where(cone=(ra, dec, radius)), k=1000)
        assert found["candid"].to_pylist() == inside[np.argsort(apart[inside])].tolist()
        np.testing.assert_allclose(found["separation"].to_numpy(), np.sort(apart[inside]), atol=1e-6)
        alike = archive.search(fingerprints(1)[0], 5, where=Where(cone=(ra, dec, radius)))
        distance = cosine(latent_of(rows), fingerprints(1)[0])
        assert alike["candid"].to_pylist() == inside[np.argsort(distance[inside])][:5].tolist()


def test_spaces_are_kept_apart(tmp_path):
    archive = open_archive(tmp_path)
    archive.add(table(30))
    with pytest.raises(OtherSpace, match="has no fingerprints of space"):
        archive.search(fingerprints(1)[0], space=OTHER)
    with pytest.raises(OtherSpace, match="has no fingerprints of space"):
        archive.search(fingerprints(1)[0], model=Model(OTHER))
    mixed = pa.concat_tables([table(3), table(3, space=OTHER, seed=1)]).replace_schema_metadata(None)
    with pytest.raises(OtherSpace, match="cannot be mixed"):
        archive.add(mixed)
    with pytest.raises(OtherSpace, match="cannot be mixed"):
        archive.add(table(3).replace_schema_metadata({"space": OTHER}))
    archive.add(table(20, space=OTHER, width=8))
    assert archive.spaces() == sorted([SPACE, OTHER]) and archive.count(OTHER) == 20
    with pytest.raises(ArchiveError, match="choose one with space="):
        archive.search(fingerprints(1)[0])
    with pytest.raises(ArchiveError, match="8 numbers, those of the archive 16"):
        archive.search(fingerprints(1, 8)[0], space=SPACE)
    found = archive.search(fingerprints(1, 8)[0], space=OTHER, columns=["space"])
    assert set(found["space"].to_pylist()) == {OTHER}
    with pytest.raises(ArchiveError, match="no name of a space"):
        archive.add(table(3, space="../x"))


def test_what_is_no_fingerprint_is_left_out_and_what_is_no_table_refused(tmp_path):
    archive = open_archive(tmp_path / "a")
    latent = fingerprints(5)
    latent[1], latent[2, 3] = 0, np.nan
    column = pa.FixedSizeListArray.from_arrays(latent.ravel(), 16)
    assert archive.add(table(5, fingerprint=column)).without == 2
    for wrong in ({"fingerprint": None}, {"mjd": None}, {"fingerprint": [1.0] * 5}, {"candid": ["x"] * 5}):
        with pytest.raises(ArchiveError):
            archive.add(table(5, **wrong))
    with pytest.raises(ArchiveError, match="does not say the space"):
        archive.add(table(5).drop_columns(["space"]).replace_schema_metadata(None))
    with pytest.raises(ArchiveError, match="in the archive"):
        archive.add(table(5, width=8))
    with pytest.raises(FileNotFoundError):
        archive.add(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(ArchiveError, match="no parquet file"):
        archive.add(tmp_path / "text.parquet")
    for query in (np.zeros(16), np.full(16, np.nan)):
        with pytest.raises(ArchiveError, match="no neighbours"):
            archive.search(query)
    for k in (0, -1, 2.5, True):
        with pytest.raises(ArchiveError, match="k is"):
            archive.search(fingerprints(1)[0], k)
    with pytest.raises(ArchiveError, match="search for what"):
        archive.search()
    with pytest.raises(ArchiveError, match="is no archive"):
        open_archive(tmp_path / "b", create=False)


def test_a_folder_of_files_with_lists_of_any_kind(tmp_path):
    """As a catalogue of fingerprints has them."""
    (tmp_path / "in/deep").mkdir(parents=True)
    a, b = table(30), table(30, seed=1)
    column = a.column_names.index("fingerprint")
    lists = pa.array([None, *a["fingerprint"].to_pylist()[1:]], pa.large_list(pa.float64()))
    pq.write_table(a.set_column(column, "fingerprint", lists), tmp_path / "in/a.parquet")
    pq.write_table(
        b.drop_columns(["candid", "ra", "dec", "code", "strangeness"]), tmp_path / "in/deep/b.parquet"
    )
    archive = open_archive(tmp_path / "archive")
    assert vars(archive.add(tmp_path / "in")) == {"rows": 59, "repeats": 0, "without": 1}
    assert vars(archive.add(tmp_path / "in")) == {"rows": 0, "repeats": 59, "without": 1}
    assert names(archive.search(latent_of(b)[4], 1)) == ["ZTF010000004"]
    assert everything(archive)["ra"].null_count == 30


def test_a_damaged_table_is_named(tmp_path):
    open_archive(tmp_path).add(table(30))
    for path in tmp_path.rglob("*.manifest"):
        path.write_bytes(b"no")
    with pytest.raises(ArchiveError, match="is damaged"):
        open_archive(tmp_path).search(fingerprints(1)[0])


def test_classes_that_a_later_version_knows_are_added(tmp_path):
    archive = open_archive(tmp_path)
    fewer = table(30).drop_columns(["p_LBV", "p_ILRT"])
    archive.add(fewer)
    archive._table(None).drop_columns(["p_LBV"])
    archive.add(table(30, seed=1, p_LBV=np.ones(30, np.float32)))
    assert len(archive.search(fingerprints(1)[0], 99, where=Where(class_name="LBV"))) == 30
    assert everything(archive)["p_LBV"].null_count == 30


class Product(Model):
    """A model whose fingerprint is no sum over the bytes of its code."""

    def from_code(self, code: np.ndarray) -> np.ndarray:
        return super().from_code(code) * (1 + np.float32(code[:, :1]) / 256)


class Fewer(Model):
    """A model whose codebooks do not fill their bytes."""

    def from_code(self, code: np.ndarray) -> np.ndarray:
        if (code == 255).any():
            raise ValueError("the bytes hold no codes")
        return super().from_code(code)


@pytest.mark.parametrize("model", [Model(), Product(), Fewer()], ids=["tables", "decoded", "fewer codes"])
def test_codes_alone_follow_an_archive_that_grows(tmp_path, model):
    archive, where = open_archive(tmp_path), Where(since=59300.0, class_name="AGN", min_probability=0.3)
    rows = pa.concat_tables([table(400, seed=k) for k in range(3)])
    stand_for = model.from_code(codes(latent_of(rows)))
    query, distance = stand_for[7], cosine(stand_for, stand_for[7])
    passing = (rows["mjd"].to_numpy() >= 59300) & (rows["p_AGN"].to_numpy() >= 0.3)
    for k in range(3):
        archive.add(rows.slice(400 * k, 400), keep="code")
        if k == 2:
            archive.compact()
        there = np.arange(400 * (k + 1))
        for asked, own in ((None, there), (where, there[passing[: len(there)]])):
            best = own[np.argsort(distance[own], kind="stable")[:10]]
            found = archive.search(query, model=model, where=asked)
            np.testing.assert_allclose(found["distance"].to_numpy(), distance[best], atol=1e-6)
            assert set(found["candid"].to_pylist()) == set(rows["candid"].take(best).to_pylist())
    assert not len(archive.search(query, model=model, where=Where(since=99999.0)))


def test_codes_alone_are_searched_with_the_model(tmp_path):
    archive, rows = open_archive(tmp_path), table(500)
    archive.add(rows, keep="code")
    assert archive.add(rows).rows == 0  # the first rows decide
    assert "fingerprint" not in everything(archive).column_names
    model, stand_for = Model(), Model().from_code(codes(latent_of(rows)))
    for query in stand_for[:3]:
        best = np.argsort(cosine(stand_for, query), kind="stable")[:10]
        found = archive.search(query, model=model, where=Where(), exact=True)
        np.testing.assert_allclose(found["distance"].to_numpy(), cosine(stand_for, query)[best], atol=1e-6)
        assert found["candid"].to_pylist() == best.tolist()
    assert (
        len(archive.search(object_id="ZTF000000003", model=model, where=Where(until=59500.0), newest=True))
        == 10
    )
    with pytest.raises(ArchiveError, match="the fingerprint has 16 numbers, the model's 8"):
        archive.search(fingerprints(1)[0], model=model)
    with pytest.raises(ArchiveError, match="name the model"):
        archive.search(stand_for[0])
    with pytest.raises(ArchiveError, match="no index"):
        archive.index()
    with pytest.raises(ArchiveError, match="no codes to keep"):
        open_archive(tmp_path / "b").add(table(5, code=None), keep="code")
    open_archive(tmp_path / "c").add(table(5))
    with pytest.raises(ArchiveError, match="leave keep out"):
        open_archive(tmp_path / "c").add(table(5, seed=1), keep="code")


def test_the_index_finds_what_comparing_all_finds(tmp_path, monkeypatch):
    """Recall@10 of 20,000 fingerprints of 32 floats; rows added later are found as well."""
    monkeypatch.setattr(module, "INDEX_ROWS", 15_000)
    archive, rows = open_archive(tmp_path), table(20_000, width=32)
    archive.add(rows)
    assert module.neighbours.behind_index(archive._table(None)) == 0
    more = table(500, width=32, seed=1)
    archive.add(more)
    assert module.neighbours.behind_index(archive._table(None)) == 500
    latent, queries = latent_of(pa.concat_tables([rows, more])), fingerprints(100, 32, seed=4)
    name = pa.concat_tables([rows, more])["object_id"].to_pylist()
    recall = []
    for query in queries:
        true = {name[k] for k in np.argsort(cosine(latent, query))[:10]}
        recall.append(len(true & set(names(archive.search(query)))) / 10)
        assert set(names(archive.search(query, exact=True))) == true
    assert np.mean(recall) >= 0.95
    where = Where(class_name="SN II", min_probability=0.9)
    passing = sum((t["p_SN_II"].to_numpy() >= 0.9).sum() for t in (rows, more))
    assert len(archive.search(queries[0], 300, where=where)) == passing > 100
    archive.compact()
    assert module.neighbours.behind_index(archive._table(None)) == 0 and archive.count() == 20_500
    assert archive.add(rows).rows == 0


def test_many_additions_are_compacted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SMALL_FILES", 4)
    archive = open_archive(tmp_path)
    for seed in range(12):
        archive.add(table(20, seed=seed))
    assert archive._table(None).stats()["fragment_stats"]["num_fragments"] <= 5 and archive.count() == 240


def add_large(path: str, folder: str) -> None:
    module.INDEX_ROWS = 1 << 30
    assert open_archive(folder).add(path).rows > 0


def test_memory_does_not_grow_with_the_table(tmp_path):
    rows, peaks = table(20_000, width=64), []
    where = rows.column_names.index("candid")
    for repeats in (5, 25):
        with pq.ParquetWriter(tmp_path / f"{repeats}.parquet", rows.schema) as writer:
            for number in range(repeats):
                candid = pc.add(rows["candid"], number * 20_000)
                writer.write_table(rows.set_column(where, "candid", candid))
        peaks.append(
            peak_memory(add_large, str(tmp_path / f"{repeats}.parquet"), str(tmp_path / f"a{repeats}"))
        )
    in_memory = 20 * rows.nbytes / 2**20
    assert peaks[1] - peaks[0] < in_memory / 2, (peaks, in_memory)


def test_rows_come_in_batches_with_numbers_that_grow(tmp_path):
    archive = open_archive(tmp_path / "a")
    archive.add(table(30))
    first = archive.version()
    (rows,) = archive.rows(["object_id", "nothing"])
    assert rows.column_names == ["object_id", "_rowid"] and len(rows) == 30
    highest = max(rows["_rowid"].to_pylist())
    assert sum(len(r) for r in archive.rows(["mjd"], beyond=highest)) == 0
    archive.add(table(5, seed=1))
    assert archive.version() > first
    (new,) = archive.rows(["object_id"], beyond=highest)
    assert new["object_id"].to_pylist() == table(5, seed=1)["object_id"].to_pylist()
    numbers = np.array([new["_rowid"][0].as_py(), 3, 1 << 40])
    (some,) = archive.rows(["object_id"], numbers=numbers)  # the last is not there
    assert set(some["_rowid"].to_pylist()) == {numbers[0], 3}
    archive.compact()
    assert sum(len(r) for r in archive.rows(["mjd"], beyond=highest)) == 35  # with new numbers


def test_all_rows_of_an_object_by_time(tmp_path):
    archive = open_archive(tmp_path / "a")
    archive.add(table(9, object_id=["a", "b", "c'"] * 3, mjd=[3.0, 1, 2, 1, 2, 3, 2, 3, 1]))
    archive.add(table(2, seed=1, object_id=["a", "a"]), survey="lsst")
    assert archive.alerts_of("a", "ztf")["mjd"].to_pylist() == [1, 2, 3]
    assert archive.alerts_of("c'", "ztf")["mjd"].to_pylist() == [1, 2, 3]
    assert len(archive.alerts_of("a", "lsst")) == 2 and len(archive.alerts_of("d", "ztf")) == 0
