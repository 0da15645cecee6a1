"""Two stores compared: both selected alike, faults named, and a report that holds what it says."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from rtf.alerts.history import METADATA_FIELDS, SPLITS, from_columns
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.surveys.ztf import ZTF
from rtf.check import figures
from rtf.check.page import Selection, _table, check, class_table, draw_sources, shares
from rtf.check.summaries import light_curve
from rtf.check.two_sample import tell_apart
from rtf.classes import FINE
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.sources import made_up_sources

QUIET = {"workers": 0, "progress": False}


class Given:
    """Histories in the place of a reader."""

    def __init__(self, histories):
        self.histories = histories

    def units(self, path=None):
        return [0]

    def read(self, unit, report):
        yield from self.histories


def stored(path, histories):
    preprocess(Given(histories), "given", path, **QUIET)
    return path


@pytest.fixture(scope="module")
def surveys(tmp_path_factory):
    """Two small simulated stores with stamps, of other sources."""
    folder = tmp_path_factory.mktemp("surveys")
    for seed in (1, 2):
        preprocess(SimulatedSurvey(30, seed, stamps=True), "survey", folder / f"{seed}.zarr", **QUIET)
    return folder / "1.zarr", folder / "2.zarr"


@pytest.fixture(scope="module")
def supernovae(real_data):
    path, reader = real_data / "lightcurves/ztf_bts_snia.parquet", LightCurveTable()
    return [h for unit in reader.units(path) for h in reader.read(unit, ReadReport())]


def test_selection_does_what_it_says():
    mjd = 59000 + np.array([0, 1, 2, 3, 4, 50, 101])
    history = from_columns("a", mjd, [0, 0, 2, 1, 1, 0, 1], [18.0] * 7, [0.1] * 6 + [0.3])
    alternating = Selection(("g", "r"), alternate=True)
    assert alternating.rows(history).tolist() == [0, 3, 5]
    assert not len(alternating._replace(min_detections=4).rows(history))
    assert not len(Selection(("i",)).rows(history)) and not len(Selection(max_error=0.05).rows(history))
    assert Selection(window=200.0).rows(history).tolist() == list(range(7))
    assert Selection(window=200.0, max_error=0.2).rows(history).tolist() == list(range(6))
    said = str(Selection(("g",), True, 0.2, 50.0, 5, "SN Ia"))
    for words in ("bands g,", "50 days", "0.2 mag", "the middle one", "5 detections", "class SN Ia"):
        assert words in said
    assert "class SN Ib or SN Ic," in str(Selection(type=["SN Ib", "SN Ic"]))
    for wrong in (Selection(("z",)), Selection(type="SN X"), Selection(type=["SN Ia", "SN X"])):
        with pytest.raises(ValueError, match="there are"):
            wrong.check(ZTF)


def test_stray_detections_long_before_the_event_are_left_out():
    mjd = 59000 + np.array([-900, -899, 0, 30, 60, 150])
    history = from_columns("a", mjd, [0] * 6, [20.0, 19.9, 19.0, 18.0, 18.5, 19.5], [0.1] * 6)
    assert Selection().rows(history).tolist() == [2, 3, 4]
    assert Selection(window=1000.0).rows(history).tolist() == list(range(6))


def test_real_sources_of_one_split_alone_are_compared(surveys, tmp_path):
    store = open_store(surveys[0])
    for split, name in enumerate(SPLITS):
        found = draw_sources(store, Selection(), set(), 1000, 0, name)
        assert {h.object_id for h, _ in found} == set(store.object_id[store.split == split])
    both = draw_sources(store, Selection(type=["SN Ia", "SN II"]), set(), 1000, 0)
    assert {FINE[h.label] for h, _ in both} == {"SN Ia", "SN II"}
    verdict, _ = check(*surveys, tmp_path / "out", split="train", repeats=1)
    assert verdict.rows[0][2:4] == (str((store.split == 0).sum()), "30")
    assert "train split alone" in (tmp_path / "out/report.md").read_text()
    with pytest.raises(ValueError, match="no split dev; there are train"):
        check(*surveys, tmp_path / "out", split="dev")


def test_both_sides_are_selected_alike(surveys):
    selection = Selection(("g",), window=30.0, min_detections=4, type="SN Ia")
    for path in surveys:
        store = open_store(path)
        found = draw_sources(store, selection, set(), 5, seed=0)
        assert 0 < len(found) <= 5
        for history, detections in found:
            assert FINE[history.label] == "SN Ia" and set(history.band) == {0} and len(history) >= 4
            assert np.abs(history.mjd - history.mjd[history.mag.argmin()]).max() <= 30
            np.testing.assert_array_equal(store.read("mjd")[detections], history.mjd)
        every = draw_sources(store, selection, set(), 1000, seed=0)
        names = {history.object_id for history, _ in every}
        assert {history.object_id for history, _ in found} <= names
        without = draw_sources(store, selection, {min(names)}, 1000, seed=0)
        assert {history.object_id for history, _ in without} == names - {min(names)}


def compared(*sides):
    """Light curves of two samples, as a report compares them."""
    names, numbers = _table(*([light_curve(history) for history in side] for side in sides))
    return tell_apart(*numbers, names, repeats=1, resamples=200)


def test_halves_of_real_supernovae_are_a_draw(supernovae):
    areas = []
    for seed in range(3):
        half = np.random.default_rng(seed).permutation(len(supernovae))[:600]
        sides = [[supernovae[k] for k in part] for part in (half[:300], half[300:])]
        areas.append(compared(*sides).auc)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "fault, blamed",
    [
        (lambda h: replace(h, mag=h.mag + np.float32(0.5)), {"error at 19.5 mag [mag]", "faintest mag"}),
        (lambda h: replace(h, magerr=h.magerr * np.float32(1.3)), {"error at 19.5 mag [mag]"}),
        (
            lambda h: replace(h, mjd=np.floor(h.mjd) + 0.3 + 0.01 * (h.mjd % 1)),
            {"scatter of time of night [d]", "median time of night [d]"},
        ),
        (
            lambda h: replace(h, mag=h.mag + np.float32(0.4) * (h.band == 0)),
            {"g-r at peak [mag]", "brightest g"},
        ),
    ],
    ids=["fainter", "larger errors", "one time of night", "redder"],
)
def test_a_fault_planted_in_real_light_curves_is_named(supernovae, fault, blamed):
    half = np.random.default_rng(1).permutation(len(supernovae))[:500]
    result = compared([supernovae[k] for k in half[:250]], [fault(supernovae[k]) for k in half[250:]])
    assert result.interval[0] > 0.6
    assert blamed & {f.name for f in result.features[:4]}


def test_the_report_holds_every_part_of_two_surveys_with_stamps(surveys, tmp_path, monkeypatch):
    drawn = {}
    for name in ("light_curve_sheet", "stamp_sheet", "histogram_figure"):
        draw = getattr(figures, name)
        monkeypatch.setattr(
            figures, name, lambda *a, name=name, draw=draw: (drawn.setdefault(name, []).append(a), draw(*a))
        )
    out = tmp_path / "out"
    verdict, page = check(*surveys, out, repeats=1, seed=3)
    assert [row[0] for row in verdict.rows] == ["light curves", "metadata", "stamps"]
    assert all(row[2:4] == ("30", "30") for row in verdict.rows)
    numbers = json.loads((out / "numbers.json").read_text())
    names = {part: {f["name"] for f in own["features"]} for part, own in numbers["parts"].items()}
    assert names["metadata"] == set(METADATA_FIELDS)
    assert "roughness" in names["light curves"] and "difference noise [DN]" in names["stamps"]
    text, html = (out / "report.md").read_text(), page.read_text()
    assert text.count("![") == html.count("data:image/png;base64,") == len(list(out.glob("*.png"))) == 5
    for store in map(open_store, surveys):
        assert store.digest[:12] in text
    assert "sources with 3 detections or more" in text and "| SN Ia |" in text
    # The sheets show what their keys say, in an order that does not give the sides away.
    sides = [{h.object_id: h for h in open_store(path).histories()} for path in surveys]
    for name, shown in (("light_curves", drawn["light_curve_sheet"]), ("stamps", drawn["stamp_sheet"])):
        key = list(csv.DictReader((out / f"{name}_key.csv").open()))
        ((items, _),) = shown
        assert len(key) == len(items) == 20 and [row["number"] for row in key] == [
            str(k) for k in range(1, 21)
        ]
        assert sorted(row["side"] for row in key) == ["real"] * 10 + ["simulated"] * 10
        assert [row["side"] for row in key] != sorted(row["side"] for row in key)
        for row, item in zip(key, items):
            history = sides[row["side"] == "simulated"][row["object_id"]]
            if name == "light_curves":
                assert set(item.mjd) <= set(history.mjd)
            else:
                assert len(item) == 3 and item[0].shape == (63, 63)
    # The same command replaces a report, and nothing else.
    check(*surveys, out, repeats=1)
    assert not list(tmp_path.glob("out.*"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match=r"no report of rtf\.check"):
        check(*surveys, tmp_path / "mine")


def test_a_store_is_not_compared_with_itself(surveys, tmp_path):
    with pytest.raises(ValueError, match="30 sources lie in both stores"):
        check(surveys[0], surveys[0], tmp_path / "out")
    with pytest.raises(ValueError, match="too few"):
        check(*surveys, tmp_path / "out", Selection(min_detections=500))
    assert not (tmp_path / "out").exists()


def test_what_one_side_lacks_is_not_compared(surveys, tmp_path):
    bare = [
        replace(h, cutouts=None, metadata=h.metadata * np.nan) for h in open_store(surveys[0]).histories()
    ]
    verdict, _ = check(stored(tmp_path / "bare.zarr", bare), surveys[1], tmp_path / "out", repeats=1)
    assert [row[0] for row in verdict.rows] == ["light curves"]
    assert not (tmp_path / "out/stamps_sheet.png").exists()


def test_two_stores_of_lsst_have_their_own_bands_and_metadata(tmp_path):
    from tests.encoding.test_lsst import made_up_alerts

    paths = []
    for seed in (1, 2):
        alerts = made_up_alerts(30, seed)
        for k, history in enumerate(alerts):
            history.object_id = f"{seed}-{k}"
        paths.append(stored(tmp_path / f"{seed}.zarr", alerts))
    verdict, page = check(*paths, tmp_path / "out", Selection(bands=("u", "z", "y")), repeats=1)
    assert [row[0] for row in verdict.rows] == ["light curves", "metadata"]
    assert "bands u, z, y" in page.read_text()
    numbers = json.loads((tmp_path / "out/numbers.json").read_text())
    assert {f["name"] for f in numbers["parts"]["metadata"]["features"]} == set(LSST.metadata_fields)
    with pytest.raises(ValueError, match="lsst and ztf cannot be mixed"):
        check(paths[0], stored(tmp_path / "z.zarr", made_up_sources(30)), tmp_path / "mixed")


def test_intervals_of_shares_hold_the_truth():
    truth = np.array([0.7, 0.2, 0.07, 0.02, 0.01])
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        _, low, high = shares(rng.multinomial(500, truth))
        held += bool(((low <= truth) & (truth <= high)).all())
    assert held / 400 >= 0.93
    share, low, high = shares(np.array([10, 0]))
    assert share.tolist() == [1, 0] and low[1] == 0 < high[1] and high[0] == pytest.approx(1)


def test_classes_stand_side_by_side_and_unknown_ones_are_left_out():
    table = class_table(np.array([0, 0, 0, 9, -1]), np.array([0, 4]))
    counts = {row[0]: row[1:3] for row in table.rows}
    assert counts == {"SN Ia": ("3", "1"), "SN IIP": ("0", "1"), "TDE": ("1", "0")}
    assert table.rows[0][3].startswith("0.750 [")


@pytest.mark.parametrize(
    "sides, log, edges",
    [
        ([np.arange(1.0, 9), np.arange(3.0, 12)], False, 0.5),
        ([np.geomspace(1, 1e4, 50)] * 2, True, 1.0),
        ([np.zeros(5), np.zeros(9)], False, -0.5),
    ],
)
def test_bins_suit_what_they_hold(sides, log, edges):
    bins, logarithmic = figures._bins(sides)
    assert logarithmic == log and bins[0] == pytest.approx(edges, rel=0.1) and (np.diff(bins) > 0).all()
