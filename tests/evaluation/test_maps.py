import base64
import json
import re
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest

from rtf.alerts.history import concatenate
from rtf.classes import FINE
from rtf.evaluation.tasks import maps
from rtf.evaluation.tasks.map_page import write_page
from tests.evaluation.run_fakes import FakeModel, FakeStore
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


def page(path, n=40, **changes):
    sources = made_up_sources(n)
    label = np.array([h.label for h in sources])
    xy = np.random.default_rng(0).normal(size=(n, 2))
    arguments = dict(
        title="A map", maps={"UMAP": (xy, "UMAP: seed 0"), "t-SNE": (xy[::-1], "t-SNE: seed 0")},
        object_id=[h.object_id for h in sources], label=label, seen=concatenate(sources),
        classes=maps.drawing_order(label),
    ) | changes  # fmt: skip
    write_page(path, **arguments)
    return sources, path.read_text()


def data_of(text):
    return json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.DOTALL).group(1))


def test_page_holds_the_light_curves_to_a_thousandth_of_a_magnitude(tmp_path):
    sources, text = page(tmp_path / "map.html")
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


def test_page_asks_nothing_of_the_network(tmp_path):
    _, text = page(tmp_path / "map.html")
    assert "default-src 'none'" in text
    outside = re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"']*", text)
    assert outside == ["http://www.w3.org/2000/svg"]  # a name of SVG elements, never fetched
    assert not re.search(r"<link|<img|<iframe|\ssrc=|@import|url\(|fetch\(|XMLHttp", text)


def test_names_cannot_end_the_script(tmp_path):
    evil = ["</script><script>alert(1)</script>"] + [f"x{k}" for k in range(39)]
    _, text = page(tmp_path / "map.html", object_id=evil)
    assert "<script>alert" not in text and data_of(text)["id"] == evil


def test_script_of_the_page_parses(tmp_path):
    if not shutil.which("node"):
        pytest.skip("node is not installed: nothing here to parse JavaScript with")
    _, text = page(tmp_path / "map.html")
    (tmp_path / "page.js").write_text(re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0])
    done = subprocess.run(["node", "--check", tmp_path / "page.js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_page_is_small(tmp_path):
    page(tmp_path / "map.html", n=1000)
    assert (tmp_path / "map.html").stat().st_size < 300e3  # 16 detections a source


def test_page_refuses_what_does_not_fit(tmp_path):
    for changes, message in (
        ({"label": np.zeros(3, int)}, "other numbers of labels"),
        ({"maps": {"UMAP": (np.full((40, 2), np.nan), "")}}, "finite"),
        ({"classes": []}, "not among the classes"),
    ):
        with pytest.raises(ValueError, match=message):
            page(tmp_path / "map.html", **changes)
    assert not list(tmp_path.iterdir())


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
    scores = maps.score_maps(points, {"same": 3 * points, "shuffled": rng.permutation(points)}, label, 0, 50)
    assert scores["same"]["kept"].value == 1 and scores["same"]["agree"] == scores["fingerprints"]["agree"]
    assert scores["shuffled"]["kept"].value < 0.1
    assert scores["shuffled"]["agree"].value == pytest.approx(scores["chance"]["agree"].value, abs=0.05)


def test_the_task_draws_few_sources_with_adapted_settings(tmp_path):
    made, figures = maps.run_map(FakeModel(), FakeStore(60), tmp_path, seed=0, n_bootstrap=20)
    record = json.loads((tmp_path / "map.json").read_text())
    assert record["n_sources"] == 12 and sum(record["count"].values()) == 12
    assert "n_neighbors 11" in record["how"]["UMAP"] and "perplexity 3.67" in record["how"]["t-SNE"]
    assert [p.name for p in figures] == ["map.png", "map.html"]
    assert matplotlib.image.imread(figures[0]).shape[1] > 1000
    text = (tmp_path / "map.html").read_text()
    assert "seed 0" in text and "standardised by the training split" in text
    assert made[0].rows[-1][0] == "chance"


def test_too_few_sources_and_bad_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least 10 test sources; fake\.zarr has 4"):
        maps.run_map(FakeModel(), FakeStore(20), tmp_path, seed=0, n_bootstrap=20)
    with pytest.raises(ValueError, match="perplexity above 0"):
        maps.run_map(FakeModel(), FakeStore(60), tmp_path, perplexity=-1, seed=0, n_bootstrap=20)
    with pytest.raises(ValueError, match="all test fingerprints are the same"):
        maps.embed(np.ones((20, 4)), n_neighbors=5, min_dist=0.1, perplexity=5, seed=0)
