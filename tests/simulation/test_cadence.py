"""The observing log: fields, seasons, the Moon, weather that is everyone's, and a user's own log."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rtf.simulation.cadence import (
    FIELD_SIDE,
    ObservingModel,
    VisitLog,
    field_centre,
    field_of,
    moonlight,
    season,
)
from rtf.simulation.sky import draw_place
from rtf.simulation.survey import SimulatedSurvey

MODEL = ObservingModel(seed=1, mjd_start=58800.0, mjd_end=59900.0)


def place_at(ra, dec, field=None):
    return draw_place(np.random.default_rng(0), ra, dec, field_of(ra, dec) if field is None else field)


@pytest.fixture(scope="module")
def visits():
    """Of forty fields in the north, two seasons or more each."""
    return [MODEL.visits(place_at(9.0 * k, 35.0), 58800.0, 59900.0) for k in range(40)]


def test_every_position_belongs_to_a_field_nearby():
    rng = np.random.default_rng(0)
    for ra, dec in zip(rng.uniform(0, 360, 300), rng.uniform(-28, 85, 300)):
        centre = field_centre(field_of(ra, dec))
        assert abs(centre[1] - dec) <= FIELD_SIDE / 2 + 1e-9
        away = abs((centre[0] - ra + 180) % 360 - 180) * np.cos(np.radians(centre[1]))
        assert away <= FIELD_SIDE / 2 + 1e-9


def test_sources_of_a_field_share_its_visits_and_the_model_its_seed():
    ra, dec = field_centre(field_of(100.0, 35.0))
    here, there = (MODEL.visits(place_at(ra + d, dec - d), 58900, 59300) for d in (-0.5, 0.5))
    np.testing.assert_array_equal(here.mjd, there.mjd)
    other = ObservingModel(2, 58800.0, 59900.0).visits(place_at(ra, dec), 58900, 59300)
    assert len(other.mjd) and not np.array_equal(here.mjd, other.mjd)
    # A shorter request is a part of a longer one.
    part = MODEL.visits(place_at(ra, dec), 59000, 59100)
    rows = (here.mjd >= 59000) & (here.mjd < 59100)
    np.testing.assert_array_equal(part.depth, here.depth[rows])


def test_fields_return_every_two_or_three_nights_with_pairs_of_bands(visits):
    nights_apart, paired = [], []
    for v in visits:
        night = np.floor(v.mjd)
        first = np.unique(night)
        nights_apart.append(np.diff(first))
        paired += [len(set(v.band[night == n]) & {0, 1}) == 2 for n in first]
    nights_apart = np.concatenate(nights_apart)
    assert np.median(nights_apart) in (2, 3) and np.mean(nights_apart > 60) < 0.02
    assert 0.55 < np.mean(paired) < 0.8
    band = np.concatenate([v.band for v in visits])
    assert 0.45 < np.mean(band[band < 2] == 0) < 0.55


def test_i_band_in_its_share_of_fields():
    def share(i_share):
        model = ObservingModel(3, 58800.0, 59500.0, i_share=i_share)
        found = [2 in model.visits(place_at(9.0 * k, 35.0), 58800, 59500).band for k in range(40)]
        return np.mean(found)

    assert share(0.0) == 0 and share(1.0) == 1 and 0.1 < share(0.4) < 0.7


def test_nothing_is_observed_by_day_or_out_of_season(visits):
    for v in visits:
        hour = v.mjd % 1
        assert ((hour > 0.05) & (hour < 0.75)).all()  # Palomar's nights, in UT
        start, end = season(59300.0, *field_centre(int(v.field[0])))
        assert 160 <= end - start <= 330
        gap = v.mjd[(v.mjd > end + 1) & (v.mjd < start + 365.25)]
        assert not len(gap)


def test_a_field_comes_earlier_every_night(visits):
    # At a fixed hour angle, sidereal time gains 3.9 minutes a night; less where the night ends first.
    slopes = []
    for v in visits:
        start, end = season(59300.0, *field_centre(int(v.field[0])))
        rows = (v.mjd > start) & (v.mjd < end) & (np.diff(np.floor(v.mjd), prepend=0) > 0)
        if rows.sum() > 30:
            slopes.append(np.polyfit(v.mjd[rows], v.mjd[rows] % 1, 1)[0] * 1440)
    assert -4 < np.median(slopes) < -1.5


def test_clouds_belong_to_the_night_and_the_moon_takes_depth(visits):
    # A night lost to clouds is lost for all fields: some nights nobody is observed, on others many are.
    night = np.concatenate([np.unique(np.floor(v.mjd)) for v in visits])
    seen = np.bincount((night - 58800).astype(int), minlength=1100)
    assert np.mean(seen == 0) > 0.15 and np.percentile(seen, 90) >= 6
    depth, moon, band = (np.concatenate([getattr(v, c) for v in visits]) for c in ("depth", "moon", "band"))
    for b, least in ((0, 0.3), (1, 0.15)):
        dark = np.median(depth[(band == b) & (moon < 0.2)])
        assert dark - np.median(depth[(band == b) & (moon > 0.9)]) > least
        assert 19.8 < np.median(depth[band == b]) < 20.9


def test_moonlight_against_astropy():
    from astropy.coordinates import get_body
    from astropy.time import Time

    time = Time(np.arange(58800.0, 59900.0, 37.3), format="mjd")
    elongation = get_body("sun", time).separation(get_body("moon", time), origin_mismatch="ignore")
    expected = 0.5 * (1 - np.cos(elongation.radian))
    assert np.abs(moonlight(time.mjd) - expected).max() < 0.12


def test_seeing_is_shared_by_night_and_times_survive_julian_dates(visits):
    for v in visits[:5]:
        assert (np.diff(v.mjd) >= 0).all() and len(v.mjd) == len(v.field) == len(v.fwhm)
        np.testing.assert_array_equal((v.mjd + 2400000.5) - 2400000.5, v.mjd)
    fwhm = np.concatenate([v.fwhm for v in visits])
    assert 1.7 < np.median(fwhm) < 2.6 and fwhm.min() > 0.9


def write_log(path, **columns):
    if path.suffix == ".csv":
        rows = zip(*columns.values())
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))
    else:
        parquet.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_log_of_pointings(tmp_path, suffix):
    path = write_log(
        tmp_path / f"log.{suffix}", mjd=[59003.5, 59001.25, 59002.0, 59001.5], band=["g", "r", "i", "2"],
        limmag=[20.5, 20.1, 19.6, 21.0], ra=[10.0, 10.0, 12.0, 200.0], dec=[20.0, 20.0, 20.0, -10.0],
        fwhm=[2.02, 3.03, 2.02, 2.02],
    )  # fmt: skip
    log = VisitLog(path)
    place = place_at(11.0, 20.5, field=0)
    visits = log.visits(place, 59000.0, 59010.0)
    np.testing.assert_array_equal(visits.mjd, [59001.25, 59002.0, 59003.5])
    np.testing.assert_array_equal(visits.band, [1, 2, 0])
    np.testing.assert_allclose(visits.depth, [20.1, 19.6, 20.5])
    np.testing.assert_allclose(visits.fwhm, [3.0, 2.0, 2.0])
    assert len(log.visits(place, 59001.0, 59001.4).mjd) == 1
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = log.draw_place(rng)
        assert len(log.visits(drawn, 59000.0, 59010.0).mjd) >= 1


def test_sources_begin_while_the_log_has_visits(tmp_path):
    columns = {"band": ["g", "r"], "limmag": [20.0, 20.0], "field": [1, 1]}
    log = VisitLog(write_log(tmp_path / "log.csv", mjd=[59000.0, 59400.0], **columns))
    assert log.span() == (59000.0, 59400.0)
    survey = SimulatedSurvey(1, mjd_start=58800.0, mjd_end=60200.0, cadence=log)
    assert (survey.mjd_start, survey.mjd_end) == (59000.0, 59400.0)
    with pytest.raises(ValueError, match=r"log.csv.*59000 to 59400.*mjd_start") as error:
        SimulatedSurvey(1, mjd_start=60000.0, mjd_end=60200.0, cadence=log)
    assert "60000 to 60200" in str(error.value)


def test_a_log_of_fields(tmp_path):
    path = write_log(
        tmp_path / "log.csv", mjd=[59001.0, 59002.0], band=[1, 2], limmag=[20.0, 20.0], field=[7, 8]
    )
    log = VisitLog(path)
    drawn = [log.draw_place(np.random.default_rng(k)) for k in range(20)]
    assert {place.field for place in drawn} == {7, 8}
    for place in drawn:
        assert log.visits(place, 59000.0, 59010.0).field.tolist() == [place.field]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"mjd": [1.0], "band": ["g"], "field": [1]}, "column limmag"),
        ({"mjd": [1.0], "band": ["g"], "limmag": [20.0]}, r"column field \(or ra and dec\)"),
        ({"mjd": [1.0, 2.0], "band": ["g", "y"], "limmag": [20, 20], "field": [1, 1]}, "band, row 2: 'y'"),
        ({"mjd": [1.0, 2.0], "band": ["g", "g"], "limmag": [20, "x"], "field": [1, 1]}, "limmag does not"),
        ({"mjd": [1.0, 2.0], "band": ["g", "g"], "limmag": [20, np.nan], "field": [1, 1]}, "limmag, row 2"),
    ],
)  # fmt: skip
def test_a_bad_log_names_file_and_column(tmp_path, columns, message):
    path = write_log(tmp_path / "log.csv", **columns)
    with pytest.raises(ValueError, match=message) as error:
        VisitLog(path).draw_place(np.random.default_rng(0))
    assert "log.csv" in str(error.value)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        VisitLog(str(tmp_path / "nowhere.csv")).draw_place(np.random.default_rng(0))
