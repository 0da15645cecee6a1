"""Stamps: which detection they come from, and what their preparation keeps, ignores and fills."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import NO_CUTOUTS, concatenate, from_columns
from rtf.alerts.read import read_histories
from rtf.features.stamps import Stamps, latest_stamps, prepare_stamp
from rtf.features.view import view
from tests.packets import stamp

RNG = np.random.default_rng(0)
SKY = RNG.normal(100, 5, (63, 63)).astype(np.float32)
Y, X = np.mgrid[:63, :63] - 31


def star(peak: float, sigma: float = 1.2) -> np.ndarray:
    return peak * np.exp(-(X**2 + Y**2) / (2 * sigma**2))


#: Seven triplets that differ; whole, or with one stamp missing.
TRIPLETS = [tuple(stamp((SKY + star(50.0 * k + j)).astype(np.float32)) for j in range(3)) for k in range(7)]


def source(cutouts, name="a"):
    n = len(cutouts)
    return from_columns(name, 59000.0 + np.arange(n), np.zeros(n), np.full(n, 19.0), np.full(n, 0.1),
                        cutouts=list(cutouts))  # fmt: skip


def prepared(triplet):
    return np.array([prepare_stamp(pad_cutout(decode_cutout(s))) for s in triplet]).astype(np.float16)


def test_the_stamps_of_the_most_recent_detection_that_has_all_three():
    half = (TRIPLETS[6][0], None, TRIPLETS[6][2])
    histories = [
        source([TRIPLETS[0], TRIPLETS[1], NO_CUTOUTS]),
        source([NO_CUTOUTS, NO_CUTOUTS]),
        source([TRIPLETS[2], half]),
        source([]),
        source([TRIPLETS[3]]),
    ]
    modality = Stamps()
    raw = modality.compute(concatenate(histories))
    assert raw.shape == (5, *modality.shape) and raw.dtype == np.float16
    for k, expected in ((0, TRIPLETS[1]), (2, TRIPLETS[2]), (4, TRIPLETS[3])):
        np.testing.assert_array_equal(raw[k], prepared(expected))
    assert modality.present(raw).tolist() == [True, False, True, False, True]
    assert np.isnan(raw[[1, 3]]).all()

    assert modality.fit(raw[modality.present(raw)]) == {}
    normalised = modality.normalise(raw, {})
    assert normalised.dtype == np.float32 and np.isfinite(normalised).all()
    np.testing.assert_array_equal(normalised[[0, 2, 4]], raw[[0, 2, 4]].astype(np.float32))
    assert not normalised[[1, 3]].any()


def test_without_cutouts_every_source_is_absent():
    for detections in (concatenate([from_columns("a", [1.0], [0], [19], [0.1])]), concatenate([])):
        assert detections.stamp is None
        raw = Stamps().compute(detections)
        assert raw.shape == (len(detections), 3, 63, 63)
        assert not Stamps().present(raw).any()


@settings(max_examples=50, deadline=None)
@given(has=st.lists(st.lists(st.booleans(), max_size=5), min_size=1, max_size=6), first=st.integers(0, 5))
def test_the_latest_stamp_as_a_loop_finds_it(has, first):
    detections = concatenate(
        [source([TRIPLETS[0] if h else NO_CUTOUTS for h in row], str(k)) for k, row in enumerate(has)]
    )
    seen = view(detections, first)
    expected = []
    for k, row in enumerate(has):
        known = [j for j, h in enumerate(row[:first]) if h]
        expected.append(detections.offset[k] + known[-1] if known else -1)
    assert latest_stamps(seen).tolist() == expected


def test_later_stamps_change_nothing():
    cutouts = [TRIPLETS[0], TRIPLETS[1], NO_CUTOUTS, TRIPLETS[2], TRIPLETS[3]]
    other = [*cutouts[:3], TRIPLETS[5], (b"not a stamp",) * 3]
    seen = [Stamps().compute(view(concatenate([source(c)]), 3)) for c in (cutouts, other)]
    np.testing.assert_array_equal(*seen)
    np.testing.assert_array_equal(seen[0][0], prepared(TRIPLETS[1]))


def test_a_source_has_the_same_stamps_alone_and_in_company():
    histories = [source([t], str(k)) for k, t in enumerate(TRIPLETS)]
    together = Stamps().compute(concatenate(histories))
    order = RNG.permutation(len(histories))
    np.testing.assert_array_equal(Stamps().compute(concatenate(histories).take(order)), together[order])
    for k, history in enumerate(histories):
        np.testing.assert_array_equal(Stamps().compute(concatenate([history]))[0], together[k])


def test_a_stamp_that_does_not_decode_costs_the_others_nothing_and_is_named(caplog):
    """Readers refuse such stamps: here the data set was damaged since."""
    broken = (TRIPLETS[1][0], TRIPLETS[1][1][:-30], TRIPLETS[1][2])
    both = concatenate([source([TRIPLETS[0]]), source([broken])])
    raw = Stamps().compute(both)
    assert Stamps().present(raw).tolist() == [True, False]
    np.testing.assert_array_equal(raw[:1], Stamps().compute(concatenate([source([TRIPLETS[0]])])))
    assert "stamps 1 are left out: gzip data are cut short" in caplog.text


def test_a_softening_of_nothing_is_refused():
    with pytest.raises(ValueError, match="softening is 0"):
        Stamps(softening=0)


def test_noise_and_a_star_of_known_brightness():
    """Against the definition, on a sky whose background and noise are known."""
    image = np.random.default_rng(1).normal(300, 7, (63, 63)) + star(7 * 100.0)
    result = prepare_stamp(image)
    assert abs(np.median(result)) < 1e-6
    assert result[:20].std() == pytest.approx(1 / 3, rel=0.05)
    assert result.max() == pytest.approx(np.arcsinh(100 / 3), rel=0.03)


def test_stars_do_not_widen_the_noise():
    """A crowded field: stars fill the upper half of the pixels, the lower half still tells the noise."""
    rng = np.random.default_rng(2)
    sky = rng.normal(0, 1, (63, 63))
    crowded = sky.copy()
    for y, x in rng.integers(0, 63, (40, 2)):
        crowded += 400 * np.exp(-((X + 31 - x) ** 2 + (Y + 31 - y) ** 2) / 3)
    ratio = np.sinh(prepare_stamp(crowded)).max() * 3 / (crowded.max() - np.median(crowded))
    assert 0.6 < ratio < 1.1
    assert crowded.std() > 30  # what a z-score would have divided by


@settings(max_examples=60, deadline=None)
@given(
    factor=st.floats(1e-3, 1e6),
    constant=st.floats(-1e3, 1e3),
    missing=st.integers(0, 3968),
    seed=st.integers(0, 99),
)
def test_unit_and_zero_point_do_not_matter_and_missing_pixels_are_background(factor, constant, missing, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 5, (63, 63)) + star(300.0)
    image.ravel()[rng.choice(image.size, missing, replace=False)] = np.nan
    expected = prepare_stamp(image)
    assert np.isfinite(expected).all() and not expected[np.isnan(image)].any()
    np.testing.assert_allclose(prepare_stamp((image + constant) * factor), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((63, 63)),
        np.full((63, 63), -3e29),
        np.full((48, 62), np.nan),
        np.full((5, 5), np.inf),
        np.where(X == 0, 1e30, -1e30),
        np.where((X == 0) & (Y == 0), 1e30, 0),
        np.where(X < 0, np.nan, SKY),
        np.array([[1e-45, 0.0]]),
        np.full((63, 63), 7, np.int16),
    ],
)
def test_whatever_is_in_it_the_result_is_finite(image):
    with np.errstate(all="raise", under="ignore"):
        result = prepare_stamp(image)
    assert result.shape == image.shape and result.dtype == np.float32
    assert np.isfinite(result.astype(np.float16)).all()


def test_a_difference_without_noise_is_flat_but_for_its_source():
    """Made-up stamps can have no noise at all: their scale is then the standard deviation."""
    image = star(10.0)
    image[np.abs(image) < 1e-3] = 0
    result = prepare_stamp(image)
    assert result.argmax() == image.argmax() and (result[image == 0] == 0).all() and 1 < result.max() < 5


def test_real_stamps(real_data):
    """Sky is 0 +- 1/3 on real cutouts, edge and masked ones too, and float16 holds the brightest star."""
    histories = read_histories(real_data / "ztf_alerts/fink_parquet", cutouts=True)
    detections = concatenate(histories)
    raw = Stamps().compute(detections)
    present = Stamps().present(raw)
    with_stamps = np.array(
        [h.cutouts is not None and any(None not in c for c in h.cutouts) for h in histories]
    )
    np.testing.assert_array_equal(present, with_stamps)
    assert present.sum() > 100
    assert np.isfinite(raw[present]).all()
    pixels = raw[present].astype(np.float32).reshape(-1, 63 * 63)
    assert np.abs(np.median(pixels, 1)).max() < 0.02  # of an odd choice of pixels, some of them filled
    noise = np.array([(0 - np.percentile(p[p != 0], 15.866)) for p in pixels])
    np.testing.assert_allclose(noise, np.arcsinh(1 / 3), atol=0.01)
    assert 7 < pixels.max() < 12 and pixels.min() > -8


def test_stamps_prepared_ahead_are_not_read_again(monkeypatch):
    """A stream prepares those of its next batch; a damaged one costs nothing there."""
    alerts = [source([triplet]) for triplet in TRIPLETS[:3]]
    for alert in alerts:
        alert.own = 0
    damaged = source([(b"no FITS",) * 3])
    damaged.own = 0
    bare = source([NO_CUTOUTS])
    expected = np.stack([prepared(triplet) for triplet in TRIPLETS[:3]])
    stamps = Stamps()
    stamps.prepare([*alerts, damaged, bare])
    monkeypatch.setattr("rtf.features.stamps.decode_cutout", None)
    np.testing.assert_array_equal(stamps.compute(concatenate(alerts)), expected)
