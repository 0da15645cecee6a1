import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from rtf.alerts.history import concatenate
from rtf.classes import FINE
from rtf.evaluation.record import CHANCE, pick
from rtf.evaluation.tasks import map as maps
from rtf.evaluation.tasks.map_page import map_page
from tests.evaluation.fakes import FakeStore, inputs
from tests.sources import made_up_sources


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    """UMAP as plain Python: compiling it takes half a minute, mapping a dozen sources two seconds."""
    from numba.core import config

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        config.reload_config()
        import umap  # noqa: F401

        yield
    config.reload_config()


SETTINGS = {"n_neighbors": 15, "min_dist": 0.1, "perplexity": 30, "max_sources": 5000}


def page(n=40, **changes):
    sources = made_up_sources(n)
    label = np.array([h.label for h in sources])
    xy = np.random.default_rng(0).normal(size=(n, 2))
    arguments = dict(
        title="A map", maps={"UMAP": (xy, "UMAP: seed 0"), "t-SNE": (xy[::-1], "t-SNE: seed 0")},
        object_id=[h.object_id for h in sources], label=label, seen=concatenate(sources),
        classes=maps.drawing_order(label),
    ) | changes  # fmt: skip
    return sources, map_page(**arguments)


def data_of(text):
    return json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.DOTALL).group(1))


def test_page_holds_the_light_curves_to_a_thousandth_of_a_magnitude():
    sources, text = page()
    data = data_of(text)
    day, mag, err = (np.frombuffer(base64.b64decode(data[k]), "<u2") for k in ("day", "mag", "err"))
    band = np.frombuffer(base64.b64decode(data["band"]), np.uint8)
    stop = np.cumsum(data["length"])
    for k in (0, 7, 39):
        h, rows = sources[k], slice(stop[k] - len(sources[k]), stop[k])
        np.testing.assert_allclose(mag[rows] * data["magUnit"], h.mag, atol=6e-4)
        np.testing.assert_allclose(err[rows] * data["magUnit"], h.magerr, atol=6e-4)
        np.testing.assert_allclose(day[rows] * data["dayUnit"], h.mjd - h.mjd[0], atol=2e-3)
        assert (band[rows] == h.band).all()
        assert data["id"][k] == h.object_id and data["classes"][data["cls"][k]]["name"] == FINE[h.label]
    assert [m["how"] for m in data["maps"]] == ["UMAP: seed 0", "t-SNE: seed 0"]


def test_page_asks_nothing_of_the_network():
    _, text = page()
    assert "default-src 'none'" in text
    outside = re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"']*", text)
    assert outside == ["http://www.w3.org/2000/svg"]  # a name of SVG elements, never fetched
    assert not re.search(r"<link|<img|<iframe|\ssrc=|@import|url\(|fetch\(|XMLHttp", text)


def test_names_cannot_end_the_script():
    evil = ["</script><script>alert(1)</script>"] + [f"x{k}" for k in range(39)]
    _, text = page(object_id=evil)
    assert "<script>alert" not in text and data_of(text)["id"] == evil


def test_script_of_the_page_parses(tmp_path):
    if not shutil.which("node"):
        pytest.skip("node is not installed: nothing here to parse JavaScript with")
    _, text = page()
    (tmp_path / "page.js").write_text(re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0])
    done = subprocess.run(["node", "--check", tmp_path / "page.js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_page_is_small():
    assert len(page(n=1000)[1]) < 300e3  # 16 detections a source


def test_no_two_classes_look_alike():
    assert set(maps.STYLE) == {*FINE, "unknown class"}
    assert len(set(maps.STYLE.values())) == len(maps.STYLE)


def test_rare_classes_are_drawn_last():
    label = np.repeat([0, 9, -1, 4], [50, 2, 30, 10])
    assert [name for _, name, *_ in maps.drawing_order(label)] == ["unknown class", "SN Ia", "SN IIP", "TDE"]


def test_scores_of_a_perfect_and_a_shuffled_map():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 2)) + 8 * rng.integers(0, 2, 300)[:, None]
    label = (points[:, 0] > 4).astype(int)
    label[0] = -1
    places = {"same": 3 * points, "shuffled": rng.permutation(points)}
    records = maps.map_records(points, places, label, {"seed": 0, "n_resamples": 50})
    kept, agree = (
        {r.method: r.value for r in records if r.score == score} for score in ("kept", "same class")
    )
    assert kept["same"] == 1 and kept["shuffled"] < 0.1 and agree["same"] == agree["fingerprints"]
    assert agree["shuffled"] == pytest.approx(agree[CHANCE], abs=0.05)
    assert {r.n for r in records if r.score == "same class"} == {299}


def test_the_task_draws_few_sources_with_adapted_settings():
    given = inputs(store=FakeStore(60))
    made = maps.maps(given, **SETTINGS)
    label = given.split("test").label["fine"]
    figure = made.figures["map.png"]
    titles = [axes.get_title() for axes in figure.axes]
    assert "n_neighbors 11" in titles[0] and "perplexity 3.67" in titles[1]
    for axes, kind in zip(figure.axes, ("UMAP", "t-SNE")):
        drawn = np.concatenate([c.get_offsets() for c in axes.collections])
        kept = np.array(made.arrays[f"places/{kind}"])
        np.testing.assert_allclose(np.sort(drawn, 0), np.sort(kept, 0), atol=1e-3)
        counts = {t.split(" (")[0]: int(t.split("(")[1][:-1]) for t in axes.get_legend_handles_labels()[1]}
        assert counts == {FINE[c]: (label == c).sum() for c in np.unique(label)}
    assert (np.array(made.arrays["label"]) == label).all()
    assert (
        "seed 0" in made.figures["map.html"]
        and "standardised by the training split" in made.figures["map.html"]
    )
    assert [row[0] for row in made.tables[0].rows] == ["UMAP", "t-SNE", "fingerprints", "chance"]
    assert pick(made.records, score="kept", method="UMAP").n == 12


def test_too_few_sources_and_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"at least 10 test sources; fake\.zarr has 4"):
        maps.maps(inputs(store=FakeStore(20)), **SETTINGS)
    with pytest.raises(ValueError, match="perplexity above 0"):
        maps.maps(inputs(store=FakeStore(60)), **{**SETTINGS, "perplexity": -1})
    with pytest.raises(ValueError, match="all test fingerprints are the same"):
        maps.embed(np.ones((20, 4)), n_neighbors=5, min_dist=0.1, perplexity=5, seed=0)
