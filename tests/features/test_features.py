"""What a model sees: definitions of the columns, the cut, the statistics."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf.alerts.history import METADATA_FIELDS, concatenate, from_columns
from rtf.features.limits import Limits
from rtf.features.metadata import Metadata
from rtf.features.normalisation import feature_columns, fit_statistics, load_statistics, save_statistics
from rtf.features.photometry import Photometry, photometry, physical
from rtf.features.view import view
from tests.sources import made_up_sources

MODALITIES = {"photometry": Photometry(), "metadata": Metadata()}


def columns_of(modality, detections):
    """Columns of one modality alone, normalised on the same detections."""
    modalities = {"photometry": Photometry(), "it": modality}
    columns = feature_columns(modalities, detections, fit_statistics(modalities, detections))
    return columns[:, Photometry().width :]


def test_photometry_columns_by_hand():
    source = from_columns("a", [59000.0, 59001.5, 59004.0], [1, 0, 2], [18.0, 17.5, 19.0], [0.1, 0.05, 0.2])
    expected = [
        [np.log1p(0), np.log1p(0), -7.2, 0.04, 0, 1, 0],
        [np.log1p(1.5), np.log1p(1.5), -7.0, 0.02, 1, 0, 0],
        [np.log1p(4), np.log1p(2.5), -7.6, 0.08, 0, 0, 1],
    ]
    np.testing.assert_allclose(photometry(concatenate([source])), expected, rtol=1e-6)


def test_each_source_starts_its_own_clock():
    columns = photometry(concatenate(made_up_sources(20)))
    starts = concatenate(made_up_sources(20)).offset[:-1]
    assert (columns[starts, :2] == 0).all()
    assert (columns[:, :2] >= 0).all()


def test_physical_units_invert_the_photometry():
    detections = concatenate(made_up_sources(30))
    back = physical(photometry(detections)[:, :4].astype(np.float64))
    np.testing.assert_allclose(back["mag"], detections.mag, atol=1e-4)
    np.testing.assert_allclose(back["magerr"], detections.magerr, atol=1e-5)
    first = np.repeat(detections.mjd[detections.offset[:-1]], detections.length)
    np.testing.assert_allclose(back["dt"], detections.mjd - first, atol=1e-3)


@given(first=st.integers(1, 40), max_days=st.floats(0.0, 100.0), seed=st.integers(0, 50))
def test_view_is_a_prefix_within_the_limits(first, max_days, seed):
    detections = concatenate(made_up_sources(8, seed))
    seen = view(detections, first, max_detections=25, max_days=max_days)
    for k in range(len(detections)):
        full = slice(*detections.offset[k : k + 2])
        kept = seen.mjd[slice(*seen.offset[k : k + 2])]
        days = detections.mjd[full] - detections.mjd[full][0]
        expected = detections.mjd[full][:first][:25][days[:first][:25] <= max_days]
        np.testing.assert_array_equal(kept, expected)
        assert len(kept) >= 1


@given(
    first=st.one_of(st.none(), st.integers(1, 40)), max_days=st.floats(0.0, 100.0), seed=st.integers(0, 50)
)
def test_the_latest_view_ends_at_the_newest_detection(first, max_days, seed):
    detections = concatenate(made_up_sources(8, seed))
    limits = {"max_detections": 25, "max_days": max_days, "min_detections": 4}
    seen = view(detections, first, kind="latest", **limits)
    for k in range(len(detections)):
        so_far = detections.mjd[slice(*detections.offset[k : k + 2])][:first]
        number = max((so_far >= so_far[-1] - max_days).sum(), min(4, len(so_far)))
        expected = so_far[-number:][-25:]
        np.testing.assert_array_equal(seen.mjd[slice(*seen.offset[k : k + 2])], expected)


def deep_sources(n: int, seed: int) -> list:
    """Sources of a deep field: bursts of exposures in a few bands, night after night."""
    rng, found = np.random.default_rng(seed), []
    for k in range(n):
        night = np.repeat(np.cumsum(rng.choice([1, 1, 2, 30], 6)), rng.integers(1, 12, 6))
        mjd = np.sort(59000 + night + rng.uniform(0, 0.2, len(night)))
        shape = len(mjd)
        found.append(
            from_columns(
                str(k), mjd, rng.integers(0, 3, shape), rng.uniform(18, 20, shape), np.full(shape, 0.1)
            )
        )
    return found


@given(
    first=st.one_of(st.none(), st.integers(1, 40)),
    kind=st.sampled_from(["first", "latest"]),
    per_night=st.integers(1, 4),
    seed=st.integers(0, 50),
)
def test_of_a_night_a_view_holds_the_first_of_each_band(first, kind, per_night, seed):
    sources = deep_sources(5, seed)
    limits = {"kind": kind, "max_detections": 15, "max_days": 20.0, "min_detections": 4}
    seen = view(concatenate(sources), first, per_night=per_night, **limits)
    for k, source in enumerate(sources):
        kept, counted = [], {}
        for j, mjd in enumerate(source.mjd[:first]):
            if j and mjd - source.mjd[j - 1] > 0.25:
                counted = {}
            counted[source.band[j]] = counted.get(source.band[j], 0) + 1
            if counted[source.band[j]] <= per_night:
                kept.append(j)
        expected = view(concatenate([source.select(np.array(kept))]), **limits)
        np.testing.assert_array_equal(seen.mjd[slice(*seen.offset[k : k + 2])], expected.mjd)


def test_an_unknown_view_is_named():
    with pytest.raises(ValueError, match=r"data\.per_night is 0; it must be 1 or more, or null"):
        view(concatenate(made_up_sources(2)), per_night=0)
    with pytest.raises(ValueError, match=r"data\.view is 'newest'; it must be one of first, latest"):
        view(concatenate(made_up_sources(2)), kind="newest")


def test_limits_of_a_detection_by_hand():
    """The latest non-detection of each band in the 30 days before, never one at the same time or later."""
    source = from_columns("a", [59000.0, 59010.0, 59020.0], [0, 1, 0], [19.0, 18.0, 18.5], [0.1, 0.1, 0.1])
    source.limits = np.array(
        [[58960, 0, 20.5], [58998, 0, 20.0], [59000, 1, 19.5], [59009, 1, 19.8], [59019.5, 0, 20.2]]
    )
    days, depth = np.split(Limits().values(concatenate([source])), 2, axis=1)
    nan = np.nan
    expected = [[2, nan, nan], [12, 1, nan], [0.5, 11, nan]]
    np.testing.assert_allclose(np.expm1(days), expected, rtol=1e-5)
    np.testing.assert_allclose(depth, [[1.0, nan, nan], [2.0, 1.8, nan], [1.7, 1.3, nan]], rtol=1e-5)


@given(seed=st.integers(0, 30))
def test_limits_are_those_of_a_plain_loop(seed):
    rng, sources = np.random.default_rng(seed), made_up_sources(6, seed)
    for source in sources:
        number = rng.integers(0, 12)
        mjd = source.mjd[0] + np.sort(
            rng.choice(np.r_[rng.uniform(-40, 60, 30), source.mjd - source.mjd[0]], number)
        )
        source.limits = np.column_stack([mjd, rng.integers(0, 3, number), rng.uniform(18, 21, number)])
    detections = concatenate(sources)
    expected = np.full((len(detections.mjd), 6), np.nan)
    for k, source in enumerate(sources):
        for row, mjd in enumerate(source.mjd):
            for when, band, mag in source.limits:
                if 0 < mjd - when <= 30:
                    expected[detections.offset[k] + row, [int(band), 3 + int(band)]] = mjd - when, mag
    found = np.full_like(expected, np.nan) if detections.limits is None else detections.limits
    same_time = np.isin(
        np.concatenate([s.mjd for s in sources]), np.concatenate([s.limits[:, 0] for s in sources])
    )
    np.testing.assert_allclose(found[~same_time], expected[~same_time], rtol=1e-6)


@given(first=st.integers(1, 20), seed=st.integers(0, 20))
def test_features_of_the_first_detections_ignore_all_later_ones(first, seed):
    """Every later detection is changed; statistics are fixed; the first columns must be bit-identical."""
    detections = concatenate(made_up_sources(6, seed))
    statistics = fit_statistics(MODALITIES, concatenate(made_up_sources(20, 99)))
    position = np.arange(len(detections.mjd)) - np.repeat(detections.offset[:-1], detections.length)
    later = position >= first
    changed = replace(
        detections,
        mjd=detections.mjd + later * 3.0,
        mag=np.where(later, 21.0, detections.mag).astype(np.float32),
        magerr=np.where(later, 0.5, detections.magerr).astype(np.float32),
        band=np.where(later, 2, detections.band).astype(np.int8),
        metadata=np.where(later[:, None], 7.0, detections.metadata).astype(np.float32),
    )
    a = feature_columns(MODALITIES, view(detections, first), statistics)
    b = feature_columns(MODALITIES, view(changed, first), statistics)
    np.testing.assert_array_equal(a, b)


def test_normalised_photometry_has_zero_mean_and_unit_deviation():
    detections = concatenate(made_up_sources(200))
    columns = columns_of(Photometry(), detections)
    np.testing.assert_allclose(columns[:, :4].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(columns[:, :4].std(0), 1, atol=1e-3)
    assert set(np.unique(columns[:, 4:])) <= {0, 1}


def test_missing_metadata_are_masked_not_zeroed():
    detections = concatenate(made_up_sources(50))
    columns = columns_of(Metadata(), detections)
    values, masks = np.split(columns, 2, axis=1)
    missing = np.isnan(detections.metadata)
    assert columns.shape[1] == Metadata().width
    np.testing.assert_array_equal(masks.astype(bool), missing)
    assert (values[missing] == 0).all() and np.isfinite(values).all()


def test_metadata_constant_in_a_source_survives():
    """Normalising within a source would erase what tells sources apart, such as the star-galaxy score."""
    metadata = np.full((2, 30), np.nan)
    metadata[:, METADATA_FIELDS.index("sgscore1")] = [0.1, 0.9]
    sources = [
        from_columns(str(k), [0, 1, 2], [0, 0, 0], [18] * 3, [0.1] * 3, metadata=np.tile(m, (3, 1)))
        for k, m in enumerate(metadata)
    ]
    columns = columns_of(Metadata(), concatenate(sources))
    assert columns[0, 0] != columns[3, 0]


def test_statistics_of_no_detections_are_refused():
    with pytest.raises(ValueError, match="training split"):
        fit_statistics(MODALITIES, concatenate([]))


def test_photometry_has_to_come_first():
    detections = concatenate(made_up_sources(3))
    modalities = {"metadata": Metadata(), "photometry": Photometry()}
    with pytest.raises(ValueError, match="photometry must come first"):
        feature_columns(modalities, detections, fit_statistics(modalities, detections))


def test_statistics_round_trip(tmp_path):
    statistics = fit_statistics(MODALITIES, concatenate(made_up_sources(20)))
    save_statistics(tmp_path / "s.safetensors", statistics)
    back = load_statistics(tmp_path / "s.safetensors")
    assert {m: set(s) for m, s in back.items()} == {m: set(s) for m, s in statistics.items()}
    for modality, values in statistics.items():
        for name, value in values.items():
            np.testing.assert_array_equal(back[modality][name], value)
