"""What the page shows of one source, and light curves that somebody drops on it."""

import io
import json

import numpy as np
import pytest
from matplotlib.image import imread

from rtf.alerts.history import from_columns
from rtf.alerts.surveys.lsst import LSST
from rtf.explorer import sources as module
from rtf.explorer.sources import Light, decoder_curve, dropped, light_curve, png, stamp_list, stamp_png
from rtf.store.read import open_store
from tests.explorer.made_up import sources


def test_a_picture_is_read_back_by_others():
    grey = np.random.default_rng(0).integers(0, 256, (17, 63), np.uint8)
    np.testing.assert_array_equal(np.round(255 * imread(io.BytesIO(png(grey)), format="png")), grey)


def test_stamps_that_are_there_are_pictures_and_others_are_none():
    history = sources()[6]
    science = imread(io.BytesIO(stamp_png(history, 0, "science")), format="png")
    assert science.shape == (63, 63) and science[31, 31] > 0.95
    assert imread(io.BytesIO(stamp_png(history, 0, "template")), format="png").shape == (50, 63)
    assert stamp_png(history, 0, "difference") is None  # does not decode
    assert stamp_png(history, 999, "science") is None and stamp_png(sources()[7], 0, "science") is None


def test_a_light_curve_is_plain_json_and_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST", 5)
    history = sources()[6]
    found = json.loads(json.dumps(light_curve(history), allow_nan=False))
    assert found["mjd"] == [round(t, 5) for t in history.mjd[-5:]] and found["left_out"] == len(history) - 5
    monkeypatch.setattr(module, "MOST_STAMPS", 3)
    assert [s["detection"] for s in stamp_list(history)] == list(range(len(history) - 3, len(history)))
    assert stamp_list(None) == [] == stamp_list(sources()[7])


def test_signed_fluxes_are_shown_as_fluxes():
    mag, magerr = LSST.magnitude([4000.0, -900.0], [200.0, 300.0], [3, 5])
    metadata = np.full((2, len(LSST.metadata_fields)), np.nan, np.float32)
    metadata[1, LSST.metadata_fields.index("forced")] = 1
    history = from_columns("1", [61000.0, 61001.0], [3, 5], mag, magerr, metadata=metadata, survey=LSST)
    found = light_curve(history)
    assert (found["unit"], found["band"], found["forced"]) == ("µJy", ["u", "y"], [False, True])
    assert found["value"] == [4.0, -0.9] and found["error"] == [0.2, 0.3]
    ztf = light_curve(sources()[7])
    assert ztf["unit"] == "mag" and ztf["forced"] == [] and 10 < min(ztf["value"]) < 30


def test_of_several_histories_the_one_that_goes_on_longest(store):
    own = open_store(store)
    name = str(own.object_id[3])
    longer = from_columns(name, [70000.0], [0], [18.0], [0.1])

    class More:
        def get(self, object_id, survey="ztf"):
            return longer if object_id == name else sources()[6] if object_id == "stamps" else None

    assert Light([own]).get(name).mjd[-1] < 70000 and Light([own], More()).get(name) is longer
    assert (
        Light([own], More()).with_stamps("stamps") is sources()[6] and Light([own]).with_stamps(name) is None
    )
    assert Light([own], More()).get("../zarr.json") is None and not Light() and Light([own])


def test_the_decoders_curve_begins_with_what_the_model_saw(model):
    history = sources()[8]
    known = 5
    latent = model.encode([history], first=known).latent[0]
    curve = decoder_curve(model, history, latent, float(history.mjd[known - 1]))
    assert curve["mjd"][0] == round(history.mjd[0], 4) and curve["last"] == round(history.mjd[known - 1], 5)
    assert set(curve["bands"]) == {"g", "r"}
    for band in curve["bands"].values():
        assert min(band["sigma"]) > 0 and 10 < min(band["value"]) < 30
    json.dumps(curve, allow_nan=False)


HEADER = b"object_id,mjd,band,mag,magerr\n"


def rows(name: str, n: int) -> bytes:
    return b"".join(f"{name},{59000 + k},{'gr'[k % 2]},{18 + 0.1 * k:.2f},0.1\n".encode() for k in range(n))


def test_a_dropped_table_has_the_bands_of_the_model():
    table = HEADER + b"a,61000,y,22.5,0.1\na,61001,u,22.4,0.1\n"
    (history,), notes = dropped(table, "lsst")
    assert history.survey is LSST and not notes and history.band.tolist() == [5, 3]
    np.testing.assert_allclose(light_curve(history)["value"], [3.631, 3.981], atol=0.01)
    assert not dropped(table)[0]


def test_a_dropped_table_is_read_as_any_other():
    histories, notes = dropped(HEADER + rows("a", 4) + rows("b", 3))
    assert [(h.object_id, len(h)) for h in histories] == [("a", 4), ("b", 3)] and not notes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no header line"),
        (b"\0\xff" * 500, ""),
        (b"object_id,mjd\na,1\n", "column missing"),
        (HEADER, "no rows"),
        (HEADER + b"a,59000,g,99999,0.1\n", "mag"),
        (HEADER + b"a,59000,u,18,0.1\n", "band"),
    ],
)
def test_a_table_that_is_none_says_what_is_wrong(content, told):
    histories, notes = dropped(content)
    assert not histories and told in " ".join(notes)


def test_of_a_large_table_only_so_much_is_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MOST", 6)
    histories, notes = dropped(HEADER + b"".join(rows(f"a{k}", 2) for k in range(40)) + rows("a0", 1))
    assert len(histories) == module.DROPPED and "only the first" in notes[-1]
    (one,), _ = dropped(HEADER + rows("a", 20))
    assert len(one) == 6 and one.mjd[-1] == 59019
