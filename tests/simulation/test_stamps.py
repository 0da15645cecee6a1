"""Stamps: files that others read, light where and as much as it should be, noise as in the real cutouts."""

import gzip
import io

import fastavro
import galsim
import numpy as np
import pyarrow.parquet as parquet
import pytest
from astropy.io import fits

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.ztf import CUTOUT_FIELDS
from rtf.simulation import stamps
from rtf.simulation.stamps import CENTRE, MOFFAT, PIXEL, ZERO_POINT, draw_stamps
from tests.simulation.test_metadata import alerts, exposures, scene_of
from tests.simulation.test_scene import HIGH, LOW, draw_scene, event

EMPTY = scene_of((0.0, 0.0, 30.0, True, 0.0), kind="star")
ROWS, COLUMNS = np.mgrid[:63, :63] - CENTRE


@pytest.fixture
def plain(monkeypatch):
    """No masks, no chip edges, a zero point that is known, and the same pixel grid for every source."""
    for name in ("_MASKED", "_BANDED", "_CHIP_EDGE", "_ZERO_SCATTER"):
        monkeypatch.setattr(stamps, name, 0.0)


@pytest.fixture
def noiseless(plain, monkeypatch):
    """The light alone: no noise, no sky, no errors of the subtraction."""
    monkeypatch.setattr(stamps, "pixel_noise", lambda *_: 0.0)
    monkeypatch.setattr(stamps, "GAIN", np.inf)
    monkeypatch.setattr(stamps, "_TEMPLATE_NOISE", (0.0, 0.0))
    monkeypatch.setattr(stamps, "_SKY", np.zeros(3))
    monkeypatch.setattr(stamps, "_GLOW", np.zeros(3))
    for name in ("_SKY_STEP", "_SKY_LEFT"):
        monkeypatch.setattr(stamps, name, (0.0, 0.0))
    for name in ("_SHIFT", "_WIDTH", "_SPECKLES"):
        monkeypatch.setattr(stamps, name, 0.0)


def draw(scene, count=4, seed=0, name="SN Ia", place=HIGH, depth=20.4, fwhm=2.1, band=None, **of_alerts):
    """Stamps of `count` alerts as pixels: (L, 3, 63, 63)."""
    rng = np.random.default_rng(seed)
    visits, detections = exposures(count, depth, fwhm, band), alerts(count, **of_alerts)
    drawn = draw_stamps(rng, visits, detections, scene, place)
    return np.array([[decode_cutout(stamp) for stamp in triplet] for triplet in drawn])


def width(image: np.ndarray) -> float:
    """FWHM [pixel] of a point source near the centre, by a Gaussian's second moment in Gaussian weights."""
    weight = np.maximum(image, 0) * np.exp(-(ROWS**2 + COLUMNS**2) / (2 * 3.0**2))
    x, y = (weight * COLUMNS).sum() / weight.sum(), (weight * ROWS).sum() / weight.sum()
    spread = (weight * ((COLUMNS - x) ** 2 + (ROWS - y) ** 2)).sum() / weight.sum() / 2
    return 2.355 / np.sqrt(1 / spread - 1 / 9)


def test_astropy_and_our_reader_see_the_same_file():
    scene = draw_scene(np.random.default_rng(1), event("SN Ia"), HIGH)
    drawn = draw_stamps(np.random.default_rng(0), exposures(3), alerts(3), scene, HIGH)
    assert len(drawn) == 3
    for stamp in drawn[0]:
        with fits.open(io.BytesIO(gzip.decompress(stamp))) as file:
            file.verify("exception")
            assert file[0].header["BITPIX"] == -32 and file[0].header["BUNIT"] == "DN"
            assert file[0].data.shape == (63, 63)
            np.testing.assert_array_equal(file[0].data, decode_cutout(stamp))
        assert len(gzip.decompress(stamp)) == 20160  # as the survey's
    # One template serves a source and band.
    assert drawn[0][1] == drawn[2][1] != drawn[1][1]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    scene = draw_scene(np.random.default_rng(1), event("SN Ia"), LOW)

    def files(seed):
        rng = np.random.default_rng(seed)
        return draw_stamps(rng, exposures(2), alerts(2), scene, LOW)

    assert files(4) == files(4) != files(5)


def test_the_flux_of_the_difference_is_the_magnitude(noiseless):
    for mag in (17.0, 19.0):
        for _, _, difference in draw(EMPTY, mag=mag):
            flux = difference[5:58, 5:58].sum()
            # Beyond 26 pixels a Moffat profile keeps half a per cent.
            assert ZERO_POINT[0] - 2.5 * np.log10(flux) == pytest.approx(mag, abs=0.01)


def test_the_flux_is_unbiased_in_noise(plain):
    near = np.hypot(ROWS, COLUMNS) < 8
    found = [
        d[near].sum() - np.median(d) * near.sum() for seed in range(30) for _, _, d in draw(EMPTY, seed=seed)
    ]
    truth = 10 ** (-0.4 * (18.5 - ZERO_POINT[0]))
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(0.96 * truth, abs=0.03 * truth + 3 * error)


def test_the_source_of_a_negative_subtraction_is_positive_in_the_difference_and_missing_in_science(noiseless):
    scene = scene_of((0.0, 0.0, 16.0, True, 0.0), kind="star")
    visits, detections = exposures(1), alerts(1, mag=17.0)._replace(positive=np.array([False]))
    rng = np.random.default_rng(0)
    (triplet,) = draw_stamps(rng, visits, detections, scene, HIGH)
    science, template, difference = (decode_cutout(stamp) for stamp in triplet)
    assert difference.max() > 100 and difference.min() > -1
    assert science.sum() < template.sum()


def test_stars_widen_with_seeing_and_the_template_does_not(noiseless):
    scene = scene_of((0.0, 0.0, 16.0, True, 0.0), kind="star")
    widths = np.array([[width(i) for i in draw(scene, 1, fwhm=fwhm)[0]] for fwhm in (1.6, 2.1, 2.8, 3.6)])
    assert (np.diff(widths[:, 0]) > 0.3).all() and (np.diff(widths[:, 2]) > 0.3).all()
    assert np.ptp(widths[:, 1]) < 1e-3


@pytest.mark.parametrize(
    "bulge, compact, axis_ratio, angle", [(0.0, 0.0, 0.4, 0.7), (1.0, 0.0, 0.8, 2.0), (0.4, 0.3, 0.6, 1.2)]
)
def test_a_galaxy_is_what_galsim_draws(noiseless, monkeypatch, bulge, compact, axis_ratio, angle):
    scene = scene_of((5.0, 9.0, 15.0, False, 2.5))._replace(
        bulge=np.array([bulge]), compact=np.array([compact]), axis_ratio=np.array([axis_ratio]),
        angle=np.array([angle]),
    )  # fmt: skip
    monkeypatch.setattr(stamps, "psf_of", lambda fwhm, grid: stamps._psf_of_step(30, grid))
    seed = 3
    phase = np.random.default_rng(seed).random(2) - 0.5
    (science, template, _) = draw(scene, 1, seed=seed, mag=40.0)[0]
    parts = (1 - bulge) * galsim.Exponential(half_light_radius=2.5) + bulge * galsim.DeVaucouleurs(
        half_light_radius=2.5
    )
    # galsim squeezes round profiles at constant area; ours keep their major axis.
    parts = parts.dilate(np.sqrt(axis_ratio)).shear(
        g=(1 - axis_ratio) / (1 + axis_ratio), beta=0 * galsim.degrees
    )
    # North is down and east to the left, so that the angle runs from -y to -x, which is from y to x.
    parts = parts.rotate((np.pi / 2 - angle) * galsim.radians)
    psf = galsim.Moffat(MOFFAT, fwhm=PIXEL * np.exp(30 * stamps._SEEING_STEP))
    profile = galsim.Convolve((1 - compact) * parts + compact * galsim.DeltaFunction(), psf)
    profile = profile.withFlux(10 ** (-0.4 * (15.0 - ZERO_POINT[0])))
    offset = phase - np.array([5.0, 9.0]) / PIXEL
    expected = profile.drawImage(nx=63, ny=63, scale=PIXEL, offset=tuple(offset)).array
    # A thousandth of the peak: galsim's own accuracy, and a bulge's wings wrapping around the grid.
    np.testing.assert_allclose(science, expected, atol=3e-3 * expected.max())
    np.testing.assert_allclose(template, science, atol=1e-3 * expected.max())


def test_a_far_or_large_galaxy_does_not_come_back_from_the_other_side(noiseless):
    for scene in (scene_of((0.0, 50.0, 13.0, False, 8.0)), scene_of((-70.0, 0.0, 13.0, False, 20.0))):
        template = draw(scene, 1)[0, 1]
        # The light falls away from the galaxy, to the south or to the west, up to what the noise would hide.
        profile = template.mean(1) if scene.dy[0] else template.mean(0)
        profile = profile if profile[0] > profile[-1] else profile[::-1]
        assert profile.argmax() == 0 and (np.diff(profile) < 0.1).all()
        assert profile[0] > 3 and profile[0] > 2 * profile[-1]


def test_north_is_down_and_east_is_left(noiseless):
    scene = scene_of((10.0, 20.0, 16.0, True, 0.0), kind="star")
    science = draw(scene, 1)[0, 0]
    row, column = np.unravel_index(science.argmax(), science.shape)
    assert row == pytest.approx(CENTRE - 20 / PIXEL, abs=1) and column == pytest.approx(
        CENTRE - 10 / PIXEL, abs=1
    )


def test_the_difference_is_science_minus_template_away_from_cores(plain):
    scene = draw_scene(np.random.default_rng(8), event("SN Ia"), HIGH)
    for science, template, difference in draw(scene, 4, fwhm=2.1):
        faint = (template < np.median(template) + 10) & (np.hypot(ROWS, COLUMNS) > 6)
        direct = (science - template)[faint]
        assert np.corrcoef(direct, difference[faint])[0, 1] > 0.9
        assert difference[faint].std() == pytest.approx(direct.std(), rel=0.15)


def test_bright_stars_leave_residuals_of_some_per_cent(plain):
    scene = scene_of((0.0, 0.0, 30.0, True, 0.0), (15.0, 0.0, 14.5, True, 0.0), kind="star")
    left = []
    for seed in range(15):
        _, template, difference = draw(scene, 1, seed=seed)[0]
        core = template > np.median(template) + 1000
        left.append(np.sqrt(np.mean(difference[core] ** 2)) / np.mean(template[core]))
    assert 0.02 < np.median(left) < 0.12


def test_noise_falls_with_depth_and_the_template_is_deeper(plain):
    def noise(depth):
        science, template, difference = draw(EMPTY, 2, mag=30.0, depth=depth)[0]
        return science.std(), template.std(), difference.std()

    shallow, deep = noise(19.0), noise(20.8)
    assert shallow[0] > 2 * deep[0] and shallow[2] > 2 * deep[2]
    assert deep[1] < 0.6 * deep[0]


def test_an_agn_is_more_pointed_than_its_host(noiseless):
    host = scene_of((0.0, 0.0, 17.0, False, 3.0))
    nucleus = host._replace(compact=np.array([0.9]))
    assert width(draw(nucleus)[0, 1]) < 0.8 * width(draw(host)[0, 1])


def test_masked_pixels_are_the_same_in_all_stamps_and_spare_the_source(monkeypatch):
    monkeypatch.setattr(stamps, "_MASKED", 1.0)
    monkeypatch.setattr(stamps, "_CHIP_EDGE", 0.0)
    seen = 0
    for seed in range(20):
        missing = np.isnan(draw(EMPTY, 2, seed=seed))
        assert (missing == missing[0, 0]).all()
        assert not missing[..., CENTRE - 3 : CENTRE + 4, CENTRE - 3 : CENTRE + 4].any()
        seen += missing.any()
    assert seen > 12


def test_stamps_at_chip_edges_are_smaller_and_keep_the_source_in_place(monkeypatch):
    monkeypatch.setattr(stamps, "_CHIP_EDGE", 1.0)
    drawn = draw_stamps(np.random.default_rng(0), exposures(8), alerts(8, mag=16.0), EMPTY, HIGH)
    for triplet in drawn:
        images = [decode_cutout(stamp) for stamp in triplet]
        assert len({image.shape for image in images}) == 1
        assert 63 in images[0].shape and images[0].size < 63 * 63
        row, column = np.unravel_index(np.nanargmax(images[2]), images[2].shape)
        assert abs(row - CENTRE) <= 1 and abs(column - CENTRE) <= 1


def statistics(triplets) -> dict:
    """By name, what can be compared of (science, template, difference) of many alerts."""
    names = (
        "science sky",
        "template sky",
        "science noise",
        "template noise",
        "difference noise",
        "masked",
        "width",
    )
    found = {name: [] for name in names}
    for science, template, difference in triplets:
        level = [np.nanmedian(i) for i in (science, template, difference)]
        noise = [1.4826 * np.nanmedian(abs(i - m)) for i, m in zip((science, template, difference), level)]
        rest = [level[0], level[1], *noise, float(np.isnan(science).any())]
        point = pad_cutout(np.nan_to_num(difference - level[2]))
        point[np.isnan(point)] = 0
        found["width"] += [width(point)] if point[29:34, 29:34].max() > 12 * noise[2] else []
        for name, value in zip(names[:-1], rest):
            found[name].append(value)
    return found


@pytest.fixture(scope="module")
def pair(real_data):
    """Statistics of the real stamps and of simulated ones of the same depth, seeing, band and magnitude."""
    packets = []
    columns = ["candidate", *CUTOUT_FIELDS]
    for path in sorted((real_data / "ztf_alerts/fink_parquet").glob("*.parquet")):
        packets += parquet.read_table(path, columns=columns).to_pylist()
    for path in sorted((real_data / "ztf_alerts/avro").glob("*.avro")):
        with path.open("rb") as stream:
            packets += list(fastavro.reader(stream))
    packets = [p for p in packets if p["candidate"]["diffmaglim"] > 18][::2]  # no twilight
    real, simulated, rng = [], [], np.random.default_rng(6)
    for number, packet in enumerate(packets):
        real.append([decode_cutout(packet[name]["stampData"]).astype(float) for name in CUTOUT_FIELDS])
        c = packet["candidate"]
        source = event(("Flare", "SN Ia", "AGN")[number % 3], (0.0, 0.05, 0.2)[number % 3])
        place = LOW if number % 4 == 0 else HIGH
        scene = draw_scene(rng, source, place)
        visits = exposures(1, c["diffmaglim"], c["fwhm"], c["fid"] - 1)
        (triplet,) = draw_stamps(rng, visits, alerts(1, mag=c["magpsf"]), scene, place)
        simulated.append([decode_cutout(stamp).astype(float) for stamp in triplet])
    return statistics(real), statistics(simulated)


@pytest.mark.parametrize(
    "name", ["science sky", "template sky", "science noise", "template noise", "difference noise", "width"]
)
def test_quartiles_of_real_stamps(pair, name):
    real, simulated = (np.percentile(side[name], (25, 50, 75)) for side in pair)
    np.testing.assert_allclose(simulated, real, rtol=0.3)


def test_masked_as_often_as_real_stamps(pair):
    real, simulated = (np.mean(side["masked"]) for side in pair)
    assert simulated == pytest.approx(real, abs=0.07)
