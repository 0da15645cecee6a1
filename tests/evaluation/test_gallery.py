import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtf.alerts.history import BANDS
from rtf.alerts.read import read_histories
from rtf.evaluation.tasks.gallery import choose_sources, gallery, read_types
from tests.evaluation.fakes import FakeModel, FakeStore, inputs
from tests.sources import made_up_sources

SETTINGS = {"labels": None, "n": 3, "objects": (), "n_neighbours": 5}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Light curves of 12 sources, without cutouts."""
    rows = [
        {"object_id": s.object_id, "mjd": m, "band": BANDS[b], "mag": float(x), "magerr": float(e)}
        for s in made_up_sources(12, seed=4)
        for m, b, x, e in zip(s.mjd, s.band, s.mag, s.magerr, strict=True)
    ]
    path = tmp_path_factory.mktemp("alerts") / "table.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("head", [True, False])
def test_the_task_without_cutouts_and_labels(table, head):
    model, store = FakeModel(head), FakeStore(100)
    made = gallery(inputs(model, store), alerts=table, **SETTINGS)
    record = made.arrays
    assert record["probabilities from"] == ("head" if head else "probe")
    assert len(record["sources"]) == 3 and len(made.tables[0].rows) == 3
    # by hand: cosine of fingerprints standardised by the training split
    train = model.encode(store.detections("train")).latent.astype(float)
    history = next(h for h in read_histories(table) if h.object_id == record["sources"][0]["object_id"])
    own = (model.encode([history]).latent[0] - train.mean(0)) / train.std(0)
    theirs = (train - train.mean(0)) / train.std(0)
    cosine = theirs @ own / np.linalg.norm(theirs, axis=1) / np.linalg.norm(own)
    near = record["sources"][0]["nearest"]
    assert [x["object_id"] for x in near] == store.object_id[np.argsort(-cosine)[:5]].tolist()
    np.testing.assert_allclose([x["cosine"] for x in near], np.sort(cosine)[::-1][:5], atol=1e-5)
    for source in record["sources"]:
        assert not source["has_cutouts"] and source["type"] == "type unknown"
        assert np.nansum([*source["probability"].values()]) == pytest.approx(1, abs=1e-5)
    titles = [axes.get_title() for axes in made.figures["gallery.png"].axes]
    for source in record["sources"]:
        assert any(title.startswith(source["object_id"]) for title in titles)
        assert f"{source['nearest'][0]['class']}\ncos {source['nearest'][0]['cosine']:.2f}" in titles


def test_real_alerts_with_cutouts_and_types(real_data):
    settings = {"labels": real_data / "labels/ztf_tns_types.csv", "objects": ["ZTF21acoshvy", "ZTF21abouxex"]}
    made = gallery(
        inputs(store=FakeStore(100)), alerts=real_data / "ztf_alerts/fink_parquet", **SETTINGS | settings
    )
    first, second = made.arrays["sources"]
    pictures = [axes.images[0].get_array() for axes in made.figures["gallery.png"].axes if axes.images]
    assert len(pictures) == 2 * 3 and all(np.ptp(np.ma.compressed(p)) > 0 for p in pictures)
    assert (first["object_id"], first["type"]) == ("ZTF21acoshvy", "SN Ia")
    assert (second["type"], first["has_cutouts"], second["has_cutouts"]) == ("SN II", True, True)


def test_sources_are_chosen_by_type_then_evenly():
    histories = made_up_sources(30, 2)
    view = FakeModel().view
    typed = {histories[3].object_id: "SN Ia", histories[9].object_id: "AGN"}
    chosen = choose_sources(histories, typed, 6, [], view)
    assert {h.object_id for h in chosen[:2]} == set(typed) and len(chosen) == 6
    assert len({h.object_id for h in chosen}) == 6 and min(len(view_of(h)) for h in chosen) >= 4
    assert len(choose_sources(histories, {}, 50, [], view)) == 30
    named = choose_sources(histories, {}, 6, ["made2_00007", "made2_00002"], view)
    assert [h.object_id for h in named] == ["made2_00007", "made2_00002"]
    with pytest.raises(ValueError, match="not among the 30 objects of the alerts: made99999"):
        choose_sources(histories, {}, 6, ["made99999"], view)


def view_of(history):
    return history.mjd[history.mjd - history.mjd[0] <= 100]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"task\.alerts=PATH"):
        gallery(inputs(store=FakeStore(100)), alerts="", **SETTINGS)
    (tmp_path / "types.csv").write_text("name,type\na,SN Ia\n")
    with pytest.raises(ValueError, match="no column object_id"):
        read_types(tmp_path / "types.csv")
    (tmp_path / "types.csv").write_text("object_id,type\na,SN Ia\nb,\n")
    assert read_types(tmp_path / "types.csv") == {"a": "SN Ia"}
