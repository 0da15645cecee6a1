"""Metadata agree with the scene that stamps show, and with the real alerts in range and share of missing."""

import fastavro
import numpy as np
import pyarrow.parquet as parquet
import pytest

from rtf.alerts.history import METADATA_FIELDS
from rtf.alerts.ztf import positive
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections
from rtf.simulation.metadata import draw_metadata, point_magnitudes, star_scores
from rtf.simulation.scene import Scene
from tests.simulation.test_scene import HIGH, LOW, draw_scene, event

COLUMN = {name: k for k, name in enumerate(METADATA_FIELDS)}


def exposures(count: int, depth: float = 20.4, fwhm: float = 2.1, band=None) -> Visits:
    band = np.arange(count) % 2 if band is None else np.full(count, band)
    same = np.ones(count)
    return Visits(
        58900.0 + np.arange(count),
        band.astype(np.int8),
        depth * same,
        fwhm * same,
        0.3 * same,
        same.astype(int),
    )


def alerts(count: int, mag: float = 18.5, snr: float = 20.0) -> Detections:
    same, number = np.ones(count), np.arange(count)
    return Detections(number, mag * same, 1.6 / snr * same, snr * same, same.astype(bool), number + 1)


def scene_of(*objects, kind="star-forming") -> Scene:
    """A scene from (dx, dy, r magnitude, star, radius) of each object; colours are flat."""
    dx, dy, r, star, radius = (np.array(column) for column in zip(*objects))
    ones, star = np.ones(len(dx)), star.astype(bool)
    magnitudes = np.repeat(r[:, None].astype(float), 4, 1)
    return Scene(dx, dy, magnitudes, star, star * ones, radius, 0 * ones, ones, 0 * ones, kind)


def measure(scene, count=20, name="SN Ia", seed=0, place=HIGH, **of_alerts):
    rng = np.random.default_rng(seed)
    table, positions = draw_metadata(
        rng, exposures(count), alerts(count, **of_alerts), scene, place, event(name)
    )
    return {name: table[:, k] for name, k in COLUMN.items()}, positions


def test_the_host_is_the_nearest_object_at_its_offset():
    found, _ = measure(scene_of((3.0, -4.0, 17.0, False, 2.0), (20.0, 5.0, 18.0, True, 0.0)), snr=100.0)
    assert np.median(found["distpsnr1"]) == pytest.approx(5.0, abs=0.1)
    assert np.median(found["distnr"]) == pytest.approx(5.0, abs=0.3)
    assert np.median(found["distpsnr2"]) == pytest.approx(np.hypot(20, 5), abs=0.1)
    assert (found["nmtchps"] == 2).all()
    assert (found["sgscore1"] < 0.5).all() and (found["sgscore2"] > 0.5).all()


def test_what_ps1_cannot_see_is_missing_and_not_zero():
    found, _ = measure(scene_of((0.5, 0.0, 26.0, False, 0.5), (10.0, 0.0, 25.0, True, 0.0)))
    for name in ("distpsnr1", "sgscore1", "srmag1", "szmag2", "magnr", "distnr", "sharpnr", "chinr"):
        assert np.isnan(found[name]).all(), name
    assert (found["nmtchps"] == 0).all()
    assert np.isfinite(found["scorr"]).all() and np.isfinite(found["chipsf"]).all()


def test_objects_beyond_30_arcsec_do_not_count():
    found, _ = measure(scene_of((1.0, 0.0, 18.0, False, 1.0), (25.0, 25.0, 15.0, True, 0.0)))
    assert (found["nmtchps"] == 1).all() and np.isnan(found["distpsnr2"]).all()


def test_point_source_fits_miss_the_light_of_large_galaxies():
    scene = scene_of((0, 0, 18.0, False, 0.0), (0, 0, 18.0, False, 1.0), (0, 0, 18.0, False, 4.0))
    point, small, large = point_magnitudes(scene, 0.7)[:, 1]
    assert point == 18.0 < small - 0.5 < large - 1.0
    assert (point_magnitudes(scene, 1.3)[1:] < point_magnitudes(scene, 0.7)[1:]).all()


def test_scores_separate_bright_stars_from_galaxies_and_not_faint_ones():
    rng = np.random.default_rng(0)
    star = np.arange(4000) % 2 == 0

    def right(magnitude):
        scores = star_scores(rng, star, star.astype(float), np.full(len(star), magnitude))
        return ((scores > 0.5) == star)[scores != 0.5].mean()

    assert right(18.0) > 0.95
    assert right(22.5) < 0.8


def test_what_belongs_to_the_visit_and_the_detection_is_passed_on():
    found, _ = measure(scene_of((0, 0, 17.0, True, 0.0)), snr=12.0)
    np.testing.assert_array_equal(found["scorr"], np.float32(12.0))
    np.testing.assert_array_equal(found["sigmapsf"], np.float32(1.6 / 12))
    np.testing.assert_array_equal(found["diffmaglim"], np.float32(20.4))
    assert np.median(found["fwhm"]) == pytest.approx(2.1, abs=0.1)


def test_the_two_reference_images_disagree_and_each_repeats_itself():
    found, _ = measure(scene_of((0, 0, 17.0, False, 2.0)))
    for name in ("magnr", "sharpnr", "chinr"):
        assert [len(set(found[name][band::2])) for band in (0, 1)] == [1, 1], name
    assert found["sharpnr"][0] > 0.05 and found["chinr"][0] > 1


def test_positions_scatter_less_the_brighter_the_source_and_are_what_distances_are_measured_from():
    def scatter(snr):
        found, positions = measure(scene_of((0, 0, 17.0, True, 0.0)), 400, snr=snr)
        east = (positions[:, 0] - HIGH.ra) * np.cos(np.radians(HIGH.dec)) * 3600
        north = (positions[:, 1] - HIGH.dec) * 3600
        np.testing.assert_allclose(found["distpsnr1"], np.hypot(east, north), atol=1e-4)
        return east.std(), north.std()

    assert scatter(6.0) == pytest.approx((0.215, 0.215), rel=0.15)
    assert scatter(500.0) == pytest.approx((0.09, 0.09), rel=0.15)


def test_positions_are_right_ascensions_between_0_and_360():
    place = HIGH._replace(ra=1e-5, dec=80.0)
    _, positions = measure(scene_of((0, 0, 17.0, True, 0.0)), 100, place=place, snr=6.0)
    assert ((positions[:, 0] >= 0) & (positions[:, 0] < 360)).all()
    assert positions[:, 0].max() > 359 and positions[:, 0].min() < 1


def test_only_recurrent_sources_were_detected_before():
    scene = scene_of((0, 0, 21.0, True, 0.0))
    first = {
        n: [measure(scene, 3, n, seed)[0]["ndethist"][0] for seed in range(60)] for n in ("AGN", "SN Ia")
    }
    assert np.median(first["AGN"]) > 10 > np.median(first["SN Ia"])
    found, _ = measure(scene, 20, "AGN")
    assert (np.diff(found["ndethist"]) == 1).all() and (np.diff(found["ncovhist"]) == 1).all()


def test_the_same_seed_gives_the_same_metadata():
    scene = draw_scene(np.random.default_rng(1), event("SN Ia"), LOW)
    one, other = (measure(scene, seed=7, place=LOW) for _ in range(2))
    assert all(np.array_equal(one[0][name], other[0][name], equal_nan=True) for name in COLUMN)
    np.testing.assert_array_equal(one[1], other[1])


@pytest.fixture(scope="module")
def pair(real_data):
    """Real and simulated metadata (N, 30) of positive candidates at the same visits.

    Where the real source is a star, so is the simulated one, with its magnitude; the others are drawn from
    classes that happen in galaxies. Twilight exposures (limits brighter than 18) are left out.
    """
    candidates = []
    for path in sorted((real_data / "ztf_alerts/fink_parquet").glob("*.parquet")):
        candidates += parquet.read_table(path, columns=["candidate"])["candidate"].to_pylist()
    for path in sorted((real_data / "ztf_alerts/avro").glob("*.avro")):
        with path.open("rb") as stream:
            candidates += [packet["candidate"] for packet in fastavro.reader(stream)]
    candidates = [c for c in candidates if positive(c["isdiffpos"]) and c["diffmaglim"] > 18]
    real = np.array([[c.get(name) for name in METADATA_FIELDS] for c in candidates], float)
    real[real == -999] = np.nan
    rng, simulated = np.random.default_rng(2), []
    for number, c in enumerate(candidates):
        if c["sgscore1"] > 0.7:
            magnitude = c["srmag1"] if c["srmag1"] > 0 else 18.0
            source = event("Cataclysmic", 0.0, magnitude - 3, amplitude=3.0)
        else:
            source = event(("SN Ia", "AGN", "SLSN", "SN II")[number % 4], 0.08)
        place = LOW if number % 3 == 0 else HIGH
        visits = exposures(1, c["diffmaglim"], c["fwhm"], c["fid"] - 1)._replace(
            mjd=np.array([c["jd"] - 2400000.5])
        )
        scene = draw_scene(rng, source, place)
        table, _ = draw_metadata(rng, visits, alerts(1, c["magpsf"], c["scorr"]), scene, place, source)
        simulated.append(table[0])
    return real, np.array(simulated, float)


@pytest.mark.parametrize("name", METADATA_FIELDS)
def test_missing_as_often_as_in_real_alerts(pair, name):
    real, simulated = (np.isnan(table[:, COLUMN[name]]).mean() for table in pair)
    assert simulated == pytest.approx(real, abs=0.14)


# How far quartiles may be from the real ones. Not compared: ndethist (the real samples were chosen for long
# histories), nmtchps (and for the crowded fields of variable stars), and what was given (scorr, depth).
TOLERANCES = {
    "sharpnr": 0.1, "sky": 0.3, "chinr": 1.2, "classtar": 0.02, "rb": 0.08, "chipsf": 1.5, "distnr": 1.6,
    "fwhm": 0.2, "sgscore1": 0.35, "distpsnr1": 2.5, "clrcoeff": 0.03, "clrcounc": 1.5e-5, "zpclrcov": 1.5e-5,
    "magnr": 1.0, "sigmapsf": 0.1, "ncovhist": 600, "distpsnr2": 5.0, "srmag2": 1.2, "simag2": 1.0,
    "szmag2": 1.2,
}  # fmt: skip


@pytest.mark.parametrize("name", TOLERANCES)
def test_quartiles_of_real_alerts(pair, name):
    real, simulated = (np.nanpercentile(table[:, COLUMN[name]], (25, 50, 75)) for table in pair)
    np.testing.assert_allclose(simulated, real, atol=TOLERANCES[name])
