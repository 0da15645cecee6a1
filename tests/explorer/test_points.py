"""The newest row of each object, and what the map is sent of it."""

import numpy as np
import pyarrow as pa

from rtf.explorer.points import SENT, Points
from tests.archive.made_up import table


def rows(made: pa.Table, first: int = 0) -> pa.Table:
    """Rows as an archive has them."""
    n = len(made)
    return (
        made.append_column("survey", pa.array(["ztf"] * n))
        .append_column("most_probable", pa.array(["SN Ia", None, "TDE"] * n)[:n])
        .append_column("_rowid", pa.array(np.arange(first, first + n), pa.uint64()))
    )


def test_of_several_rows_of_an_object_the_newest_stays_whatever_their_order():
    made = rows(table(30, object_id=[f"a{k % 10}" for k in range(30)]))
    mjd = made["mjd"].to_numpy()
    newest = {f"a{k}": mjd[k::10].max() for k in range(10)}
    for order in (np.arange(30), np.arange(30)[::-1], np.random.default_rng(0).permutation(30)):
        points = Points()
        for part in np.array_split(order, 4):
            points.update(made.take(part))
        assert points.n == 10
        assert dict(zip(points.names, points.column("mjd").tolist(), strict=True)) == newest


def test_a_repeat_changes_nothing_but_the_number_of_its_row():
    points, made = Points(), rows(table(5))
    assert points.update(made).tolist() == [0, 1, 2, 3, 4]
    points.put(np.arange(5), np.ones((5, 2)))
    assert points.update(rows(table(5), first=100)).tolist() == []
    assert (
        points.column("row").tolist() == [100, 101, 102, 103, 104] and points.column("x").tolist() == [1] * 5
    )


def test_a_newer_row_without_a_position_leaves_the_old_one():
    points = Points()
    points.update(rows(table(1, object_id=["a"], mjd=[1.0], ra=[10.0])))
    points.update(rows(table(1, object_id=["a"], mjd=[2.0], ra=pa.nulls(1, pa.float64())), first=1))
    assert points.column("mjd")[0] == 2 and points.column("ra")[0] == 10


def test_names_are_of_a_survey():
    points, made = Points(), rows(table(2, object_id=["a", "b"]))
    points.update(made)
    points.update(made.set_column(made.column_names.index("survey"), "survey", pa.array(["lsst", "lsst"])))
    assert points.n == 4 and points.index("lsst", "a") == 2 and points.index("ztf", "a") == 0
    assert points.index("nowhere", "a") is None and points.index("ztf", "c") is None


def test_what_is_sent_can_be_read_back():
    points = Points()
    points.update(rows(table(2500, strangeness=None, n_detections=pa.array([100_000] * 2500, pa.int32()))
        .append_column("strangeness", pa.nulls(2500, pa.float32()))))  # fmt: skip
    points.put(np.arange(2500), np.random.default_rng(0).random((2500, 2)))
    sent = points.packed()
    n, start = int(np.frombuffer(sent, "<u4", 1)[0]), np.frombuffer(sent, "<f8", 1, 8)[0]
    at, read = 16, {}
    for name, kind in SENT.items():
        read[name] = np.frombuffer(sent, kind, n, at)
        at += read[name].nbytes
    assert at == len(sent) == 16 + 19 * n
    np.testing.assert_allclose(read["mjd"] + start, points.column("mjd"), atol=1e-3)
    assert np.isnan(read["strangeness"]).all() and (read["n_detections"] == 65535).all()
    assert read["label"][:3].tolist() == [0, -1, 9]


def test_nothing_is_sent_of_nothing():
    assert len(Points().packed()) == 16


def test_names_and_positions_are_found():
    points = Points()
    points.update(
        rows(
            table(
                4,
                object_id=["ZTF1", "aztf1", "b", "ZTF12"],
                ra=[10.0, 359.9999, 0.0002, None],
                dec=[0.0, 0, 0, 0],
            )
        )
    )
    assert [points.names[k] for k in points.named("ztf1", 10)] == ["ZTF1", "ZTF12", "aztf1"]
    assert points.named("ztf1", 1) == [0] and points.named("x", 5) == []
    assert [k for k, _ in points.around(0.0, 0.0, 2.0, 10)] == [1, 2]
    assert points.described([3])[0]["ra"] is None


def test_keys_tell_rows_apart():
    points = Points()
    points.update(
        rows(
            table(
                4,
                candid=pa.array([1, 2, None, None], pa.int64()),
                object_id=["a", "b", "c", "d"],
                mjd=[1.0, 1, 1, 1],
            )
        )
    )
    keys = points.keys(np.arange(4))
    assert len(set(keys.tolist())) == 4
    again = Points()
    again.update(rows(table(1, candid=pa.array([2], pa.int64()), object_id=["b"])))
    assert again.keys(np.arange(1))[0] == keys[1]
