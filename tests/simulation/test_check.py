"""The judge of the simulation: equal samples pass, faults are named, numbers mean what they say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rtf.simulation.check import alerts, cutouts, figures, light_curves, metadata, shares, summary
from rtf.simulation.check.document import Section, Table, write_document
from rtf.simulation.check.report import check
from rtf.simulation.check.two_sample import column_area, tell_apart

from rtf.alerts.history import METADATA_FIELDS, NO_CUTOUTS, from_columns
from rtf.classes import FINE
from tests.packets import packets, stamp, write_avro, write_parquet

COLUMNS = {"brightness": "mag", "width": "d", "nothing": ""}


def sample(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3))
    values[rng.random((n, 3)) < 0.1] = np.nan
    return values + [0, shift, 0]


def parabola(n=20, days=40.0, seed=0, peak=18.0, **rest):
    """A light curve that is a parabola in both bands: g - r = 0.3, brightest at half time, honest errors."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, days, n)
    band = np.arange(n) % 2
    error = np.full(n, 0.05)
    mag = peak + 2 * ((time - days / 2) / (days / 2)) ** 2 + 0.3 * (band == 0) + error * rng.normal(size=n)
    return from_columns(f"p{seed}", 59000.3 + time, band, mag, error, **rest)


# --- telling samples apart


def test_equal_samples_cannot_be_told_apart():
    result = tell_apart(sample(300, 0), sample(300, 1), COLUMNS, repeats=2, resamples=200)
    assert result.interval[0] < 0.5 < result.interval[1]
    assert 0.42 < result.auc < 0.58


def test_equal_small_samples_are_not_biased():
    areas = [
        tell_apart(sample(24, k), sample(60, 100 + k), COLUMNS, repeats=1, resamples=10, shuffles=1).auc
        for k in range(6)
    ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.11)


def test_a_fault_is_found_and_named():
    result = tell_apart(sample(300, 0), sample(300, 1, shift=1.5), COLUMNS, repeats=1, resamples=200)
    # of two unit normals 1.5 apart, a tenth of them missing on either side
    assert 0.75 < result.auc < 0.9
    assert result.interval[0] < result.auc < result.interval[1]
    first = result.features[0]
    assert first.name == "width" and first.importance > 0.2 and first.auc > 0.75
    assert first.simulated - first.real == pytest.approx(1.5, abs=0.3)
    assert first.real_missing == pytest.approx(0.1, abs=0.06)
    assert max(f.importance for f in result.features[1:]) < 0.05
    assert "width" in str(result).splitlines()[2]


def test_the_larger_side_is_cut_and_the_seed_decides():
    small, large = sample(40, 0), sample(400, 1, shift=1.0)
    again = [tell_apart(small, large, COLUMNS, 7, repeats=2, resamples=50, shuffles=1) for _ in range(2)]
    assert again[0] == again[1]
    assert (again[0].n_real, again[0].n_simulated, again[0].n_used) == (40, 400, 40)
    with pytest.raises(ValueError, match="3 real and 400 simulated"):
        tell_apart(small[:3], large, COLUMNS)


def test_the_area_of_a_column_counts_missing_values_and_ties():
    assert column_area(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])) == 0.5
    assert (
        column_area(np.array([1.0, 2]), np.array([3.0, 4]))
        == column_area(np.array([3, 4]), np.array([1, 2]))
        == 1
    )
    assert column_area(np.array([np.nan] * 4), np.array([1.0] * 4)) == 1
    assert column_area(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.75


# --- summaries of light curves


def test_the_summary_of_a_light_curve_that_is_known():
    values = dict(zip(summary.SUMMARIES, summary.summarise(parabola(41, 40.0))))
    assert values["detections"] == 41 and values["nights"] == 41 and values["span"] == pytest.approx(40)
    assert values["median gap of nights"] == values["longest gap"] == pytest.approx(1.0)
    assert values["median time of night"] == pytest.approx(0.3, abs=1e-6)
    assert values["time to peak"] == pytest.approx(20, abs=4)
    assert values["g-r at peak"] == pytest.approx(0.3, abs=0.25)
    assert values["first below peak"] == pytest.approx(2.3, abs=0.25)
    assert values["rise slope"] < -0.05 and values["decline slope r"] > 0.05
    assert values["median error"] == pytest.approx(0.05)
    assert np.isnan(values["same-night gap"])
    # the noise was drawn with the quoted errors; the parabola itself bends little within two days
    assert values["roughness"] == pytest.approx(1.0, abs=0.45)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_light_curves_have_a_summary(n):
    row = summary.summarise(parabola(n))
    assert row.shape == (len(summary.SUMMARIES),) and not np.isinf(row).any()
    assert row[0] == n


def test_selection_does_to_both_sides_what_was_done_to_the_real_table():
    history = from_columns(
        "a", 59000 + np.array([0, 1, 2, 3, 4, 50, 101]), [0, 0, 2, 1, 1, 0, 1], [18.0] * 7, [0.1] * 7
    )
    kept = light_curves.Selection((0, 1), alternate=True).apply(history)
    assert kept.mjd.tolist() == [59000, 59003, 59050]
    assert kept.band.tolist() == [0, 1, 0]
    assert light_curves.Selection((0, 1), alternate=True, min_detections=4).apply(history) is None
    assert light_curves.Selection((2,)).apply(history) is None
    assert light_curves.Selection(max_error=0.05).apply(history) is None


# --- real data


@pytest.fixture(scope="module")
def supernovae(real_data):
    return light_curves.real_light_curves(real_data, "SN Ia")


def test_real_against_real_is_a_draw(supernovae):
    half = np.random.default_rng(0).permutation(len(supernovae))[:600]
    sides = [[supernovae[k] for k in part] for part in (half[:300], half[300:])]
    result = light_curves.compare(*sides, repeats=1, resamples=200, shuffles=1)
    assert result.interval[0] < 0.5 < result.interval[1]


@pytest.mark.parametrize(
    "fault, blamed",
    [
        (
            lambda h: replace(h, mag=h.mag + np.float32(0.5)),
            {"error at 19.5 mag", "error at 18 mag", "faintest mag"},
        ),
        (lambda h: replace(h, magerr=h.magerr * np.float32(1.3)), {"error at 19.5 mag", "smallest error"}),
        (lambda h: replace(h, mjd=np.floor(h.mjd) + 0.3 + 0.01 * (h.mjd % 1)), {"scatter of time of night"}),
        (lambda h: replace(h, mag=h.mag + np.float32(0.4) * (h.band == 0)), {"g-r at peak", "brightest g"}),
    ],
    ids=["fainter", "larger errors", "one time of night", "redder"],
)
def test_a_deliberate_fault_in_real_light_curves_is_caught(supernovae, fault, blamed):
    half = np.random.default_rng(1).permutation(len(supernovae))[:500]
    real, wrong = [supernovae[k] for k in half[:250]], [fault(supernovae[k]) for k in half[250:]]
    result = light_curves.compare(real, wrong, repeats=1, folds=3, resamples=200, shuffles=2)
    assert result.interval[0] > 0.6
    assert blamed & {f.name for f in result.features[:4]}


def test_the_real_tables_are_as_the_selection_says(supernovae, real_data):
    assert len(supernovae) > 1500
    assert not any((np.diff(h.band) == 0).any() for h in supernovae)
    assert all(len(h) >= 3 and h.mjd[-1] <= h.mjd[0] + 100 for h in supernovae)
    assert len(light_curves.real_light_curves(real_data, "TDE")) > 40
    with pytest.raises(FileNotFoundError, match="ztf_bts_snia"):
        light_curves.real_light_curves(real_data / "nowhere", "SN Ia")


# --- alerts


@pytest.fixture
def alert_folder(tmp_path):
    """Real data in miniature: 30 objects of two alerts in the layout of the folders of real data."""
    parquet = tmp_path / "ztf_alerts" / "fink_parquet"
    parquet.mkdir(parents=True)
    every = [p for k in range(30) for p in packets(f"ZTF{k:02d}", 2, seed=k)]
    write_parquet(parquet / "mixed.parquet", every)
    write_avro(tmp_path / "ztf_alerts" / "avro", packets("ZTFavro", 1, seed=99))
    return tmp_path


def test_only_a_packets_own_candidate_is_an_alert(alert_folder):
    found = alerts.real_alerts(alert_folder, cutouts=True)
    assert len(found) == 61 and len(alerts.by_object(found)) == 31
    assert {a.sample for a in found} == {"mixed", "avro"}
    assert all(np.isfinite(a.metadata).sum() == 29 and len(a.cutouts) == 3 for a in found)
    with pytest.raises(FileNotFoundError, match="fink_parquet"):
        alerts.real_alerts(alert_folder / "nowhere")


def test_metadata_rows_count_what_is_missing_and_what_differs(alert_folder):
    real = alerts.real_alerts(alert_folder)
    other = [a._replace(metadata=a.metadata.copy()) for a in real]
    column = METADATA_FIELDS.index("fwhm")
    for k, alert in enumerate(other):
        alert.metadata[column] = np.nan if k % 2 else alert.metadata[column] + 100
    rows = {row.field: row for row in metadata.compare_metadata(real, other) if row.group == "all"}
    assert set(rows) == set(METADATA_FIELDS)
    assert rows["fwhm"].distance == 1 and rows["fwhm"].simulated_missing == pytest.approx(30 / 61)
    assert rows["fwhm"].depends == "visit" and rows["sgscore1"].depends == "neighbour"
    assert rows["sky"].distance == 0 < rows["sky"].chance
    assert rows["szmag2"].real_missing == 1 and np.isnan(rows["szmag2"].distance)


def test_metadata_of_equal_alerts_are_a_draw_and_of_others_are_not(alert_folder):
    real = alerts.real_alerts(alert_folder)
    other = [a._replace(metadata=a.metadata + (np.arange(30) == METADATA_FIELDS.index("sky"))) for a in real]
    settings = {"repeats": 2, "resamples": 50, "shuffles": 1}
    assert metadata.tell_metadata_apart(real, real, "all", **settings).auc < 0.65
    assert metadata.tell_metadata_apart(real, other, "all", **settings).features[0].name == "sky"
    panel = metadata.metadata_panels(real, other)[METADATA_FIELDS.index("sky")]
    assert len(panel.real) == 31 and sum(map(len, panel.simulated)) == 61  # packets of one object together


# --- cutouts


def image(fwhm=2.4, sky=150.0, noise=10.0, flux=4000.0, seed=0, cut=63):
    y, x = np.indices((63, 63)) - 31
    sigma = fwhm / 2.3548
    star = flux / (2 * np.pi * sigma**2) * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return (sky + noise * np.random.default_rng(seed).normal(size=(63, 63)) + star).astype(np.float32)[:cut]


def test_cutout_numbers_measure_what_was_drawn():
    science, template = image(2.4), image(3.0, 120, 2, seed=1)
    difference = image(2.4, 0, 10, seed=2, cut=48)
    alert = alerts.Alert(
        "a", "simulated", 0, np.full(30, 2.4), tuple(map(stamp, (science, template, difference)))
    )
    values = dict(zip(cutouts.SUMMARIES, cutouts.summaries([alert])[0]))
    assert values["science sky"] == pytest.approx(150, abs=1) and values["template sky"] == pytest.approx(
        120, abs=0.3
    )
    assert values["science noise"] == pytest.approx(10, rel=0.05)
    assert values["noise science / difference"] == pytest.approx(1, rel=0.1)
    assert values["science width"] == pytest.approx(2.4, rel=0.1) and values[
        "template width"
    ] == pytest.approx(3, rel=0.1)
    assert values["width difference / fwhm"] == pytest.approx(1, abs=0.12)
    assert values["science noise correlation"] == pytest.approx(0, abs=0.05)
    assert values["science missing"] == 0 and values["difference missing"] == pytest.approx(15 / 63)
    assert cutouts.shapes([alert]) == {"63 × 63": 2, "48 × 63": 1}
    radius, by_kind = cutouts.profiles([alert])
    half = np.interp(1.2, radius, by_kind["science"][0])
    assert half == pytest.approx(0.5, abs=0.06)


def test_noise_that_was_smoothed_is_correlated_and_a_flat_stamp_has_none():
    rough = np.random.default_rng(0).normal(size=(64, 63))
    smooth, flat = (rough[1:] + rough[:-1]).astype(np.float32), np.full((63, 63), 7, np.float32)
    values = dict(zip(cutouts.SUMMARIES, cutouts.summarise([smooth, flat, flat], 2.0)))
    # neighbours along one of the two directions share half of their variance
    assert values["science noise correlation"] == pytest.approx(0.25, abs=0.04)
    assert np.isnan(values["template noise"]) and np.isnan(values["difference width"])


# --- class shares


def test_intervals_of_shares_hold_the_truth():
    truth = np.array([0.7, 0.2, 0.07, 0.02, 0.01])
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        _, low, high = shares.shares(rng.multinomial(500, truth))
        held += bool(((low <= truth) & (truth <= high)).all())
    assert held / 400 >= 0.93
    share, low, high = shares.shares(np.array([10, 0]))
    assert share.tolist() == [1, 0] and low[1] == 0 < high[1] and high[0] == pytest.approx(1)


def test_types_are_counted_by_fine_class(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / shares.LABELS).write_text("object_id,type\na,SN Ia\nb,CV\nc,SN IIP\nd,SN II\ne,Galaxy\n")
    counts, others = shares.real_counts(tmp_path)
    assert (
        others == 1
        and counts[[FINE.index(n) for n in ("SN Ia", "Cataclysmic", "SN IIP", "SN II")]].tolist() == [1] * 4
    )
    merged = shares.with_plateau(counts)
    assert merged[FINE.index("SN II")] == 2 and merged.sum() == 4


# --- the report


class MadeUpSurvey:
    """Parabolas with metadata and, if asked for, cutouts, with the protocol of a survey."""

    def __init__(self, n_sources, seed, classes=None, stamps=False):
        self.n, self.seed, self.stamps = n_sources, seed, stamps

    def units(self):
        return [0]

    def read(self, unit, report):
        for k in range(self.n):
            rng = np.random.default_rng([self.seed, k])
            values = rng.normal(15, 2, (6, len(METADATA_FIELDS)))
            three = tuple(stamp(image(sky=s, seed=k)) for s in (150, 120, 0)) if self.stamps else NO_CUTOUTS
            yield parabola(
                6, seed=int(rng.integers(10**6)), metadata=values, label=k % 10, candid=np.arange(6) + 1,
                cutouts=[three] * 6 if self.stamps else None,
            )  # fmt: skip


def test_the_report_has_every_number_and_figure(alert_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)  # this test reads no picture
    (tmp_path / "labels").mkdir()
    (tmp_path / shares.LABELS).write_text("object_id,type\na,SN Ia\nb,CV\nc,SN IIP\n")
    out = tmp_path / "report"
    path = check(
        MadeUpSurvey, alert_folder, out, parts=["cutouts", "shares"], n_sources=40
    )  # fmt: skip
    text = path.read_text()
    for name in out.glob("*.png"):
        assert f"({name.name})" in text
    numbers = json.loads((out / "numbers.json").read_text())
    assert 0.5 < numbers["Cutouts"]["two_sample"]["cutouts"]["auc"] <= 1
    assert numbers["Class shares"]["real"]["SN IIP"] == 1
    assert len((out / "cutouts.csv").read_text().splitlines()) == 1 + len(cutouts.SUMMARIES)
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == text.count("![") == len(list(out.glob("*.png")))
    key = (out / "cutouts_sheet_key.csv").read_text().splitlines()[1:]
    assert len(key) == 24 and sum(",real," in line for line in key) == 12
    # neither the sheet's order nor its picture gives the sides away
    assert len({line.split(",")[1] for line in key[:8]}) == 2


def test_what_the_real_data_lack_is_named(alert_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ztf_bts_snia.parquet.*light_curves"):
        check(MadeUpSurvey, alert_folder, tmp_path / "out")
    with pytest.raises(ValueError, match="RTF_REAL_DATA"):
        check(MadeUpSurvey, None, tmp_path / "out")
    with pytest.raises(ValueError, match="no part colours"):
        check(MadeUpSurvey, alert_folder, tmp_path / "out", parts=["colours"])
    assert not (tmp_path / "out").exists()


def test_documents_escape_and_shorten(tmp_path):
    table = Table("t", ("a", "b"), [("x<y", 0.123456), ("z", float("nan")), ("w", 1)], shown=2)
    path = write_document(
        tmp_path, "T", [Section("S", ["p & q"], [table], numbers={"x": float("nan"), "k": (1, 2)})]
    )
    assert "| x<y | 0.1235 |" in path.read_text() and "| z | – |" in path.read_text()
    assert "other 1 rows are in t.csv" in path.read_text()
    assert "x&lt;y" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "t.csv").read_text().splitlines()[3] == "w,1"
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"S": {"x": None, "k": [1, 2]}}
