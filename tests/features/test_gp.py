"""GP features: against scikit-learn, against their definitions, and what may and may not change them."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from rtf.alerts.history import Detections, concatenate, from_columns
from rtf.alerts.read import read_histories
from rtf.features.gp import ERROR_FLOOR, FEATURE_TABLE, GP_FEATURES, GPFeatures, gp_features
from rtf.features.gp.likelihood import AMPLITUDES, LENGTHS, fit_kernels, log_likelihood
from rtf.features.gp.posterior import condition, curve, mean_and_derivatives
from rtf.features.view import view
from tests.sources import made_up_sources


@pytest.fixture(scope="module")
def supernovae(real_data) -> Detections:
    """200 real SN Ia, as a model sees them."""
    histories = list(read_histories(real_data / "lightcurves/ztf_bts_snia.parquet"))
    return view(concatenate(histories[::8][:200]))


def light_curves(detections: Detections, at_least: int = 3):
    """Each band's light curve as it is fitted: days, magnitudes less their mean, noise variance."""
    for start, stop in zip(detections.offset, detections.offset[1:]):
        for band in range(3):
            rows = np.arange(start, stop)[detections.band[start:stop] == band]
            if len(rows) >= at_least:
                mag, error = (getattr(detections, name)[rows].astype(float) for name in ("mag", "magerr"))
                yield (
                    detections.mjd[rows] - detections.mjd[rows[0]],
                    mag - mag.mean(),
                    error**2 + ERROR_FLOOR**2,
                )


def padded(curves):
    """Light curves as `fit_kernels` takes them, NaN where there is nothing, and their order."""
    order = np.argsort([-len(t) for t, *_ in curves], kind="stable")
    count = np.array([len(curves[k][0]) for k in order])
    columns = np.full((3, count[0], len(order)), np.nan)
    for column, k in enumerate(order):
        columns[:, : len(curves[k][0]), column] = curves[k]
    return order, count, columns


def sklearn_gp(days, y, noise, amplitude, length, **settings) -> GaussianProcessRegressor:
    kernel = ConstantKernel(amplitude**2, tuple(a**2 for a in AMPLITUDES)) * Matern(length, LENGTHS, nu=1.5)
    return GaussianProcessRegressor(kernel, alpha=noise, **settings).fit(days[:, None], y)


def one(t, mag, magerr=0.05, band=0) -> Detections:
    """One source; `magerr` and `band` may be one for all."""
    everywhere = (np.broadcast_to(x, len(t)) for x in (band, mag, magerr))
    return concatenate([from_columns("x", t, *everywhere)])


def feature(features: np.ndarray, name: str, band: int = 0) -> np.ndarray:
    return features[:, band, GP_FEATURES.index(name)]


def test_the_table_is_complete_and_names_are_used_once():
    assert len(GP_FEATURES) == len(set(GP_FEATURES)) == 38
    assert all(len(row) == 4 and all(row) for row in FEATURE_TABLE)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_likelihood_and_kernels_agree_with_scikit_learn(supernovae):
    curves = list(light_curves(supernovae))[:40]
    order, count, columns = padded(curves)
    amplitude, length, reached = fit_kernels(count, *columns)
    shortfall = []
    for column, k in enumerate(order):
        fixed = sklearn_gp(*curves[k], amplitude[column], length[column], optimizer=None)
        assert fixed.log_marginal_likelihood_value_ == pytest.approx(reached[column], abs=1e-8)
        best = sklearn_gp(*curves[k], 1.0, 20.0, n_restarts_optimizer=2, random_state=0)
        shortfall.append(best.log_marginal_likelihood_value_ - reached[column])
    # A likelihood within 0.1 of its maximum is a kernel within half a standard deviation of the best one.
    assert np.max(shortfall) < 0.3
    assert np.mean(shortfall) < 0.02


def test_posterior_agrees_with_scikit_learn(supernovae):
    for days, y, noise in list(light_curves(supernovae))[:20]:
        at = np.linspace(-3, days[-1] + 7, 30)
        for amplitude, length in ((0.5, 10.0), (3.0, 256.0)):
            fit = condition(days[None], y[None], noise[None], np.array([amplitude]), np.array([length]))
            mean, _, _, variance = curve(fit, at[None])
            reference = sklearn_gp(days, y, noise, amplitude, length, optimizer=None)
            expected, deviation = reference.predict(at[:, None], return_std=True)
            np.testing.assert_allclose(mean[0], expected, atol=1e-6)
            np.testing.assert_allclose(np.sqrt(variance[0]), deviation, atol=1e-6)


def test_derivatives_agree_with_finite_differences(supernovae):
    for days, y, noise in list(light_curves(supernovae))[:20]:
        fit = condition(days[None], y[None], noise[None], np.array([0.8]), np.array([12.0]))
        at, h = np.linspace(0.05, days[-1], 23)[None], 1e-4
        _, slope, curvature = mean_and_derivatives(fit, at)
        low, high = mean_and_derivatives(fit, at - h), mean_and_derivatives(fit, at + h)
        np.testing.assert_allclose(slope, (high[0] - low[0]) / (2 * h), atol=1e-6)
        np.testing.assert_allclose(curvature, (high[1] - low[1]) / (2 * h), atol=1e-4)


def test_a_parabola_in_magnitudes_gives_its_own_peak_widths_and_slopes():
    t = np.arange(0.0, 41.0)
    bend = 0.01  # mag / day^2
    features = gp_features(one(59000 + t, 18 + 0.5 * bend * (t - 15.3) ** 2, 0.01))
    half = np.sqrt(2 * 2.5 * np.log10(2) / bend)
    expected = {
        "n_detections": (41, 0), "peak_mag": (18, 0.01), "peak_time": (15.3, 0.3), "rise_time": (15.3, 0.3),
        "decay_time": (24.7, 0.3), "rise_half_flux": (half, 0.4), "decay_half_flux": (half, 0.4),
        "width_half_flux": (2 * half, 0.4), "width_1mag": (2 * np.sqrt(2 / bend), 0.4),
        "amplitude": (0.5 * bend * 24.7**2, 0.02), "slope_first": (-15.3 * bend, 0.02),
        "slope_last": (24.7 * bend, 0.02), "slope_max": (24.7 * bend, 0.02), "curvature_peak": (bend, 0.004),
        "change_1d": (24.7 * bend, 0.05), "monotonicity": (1, 0.03), "n_inflections": (0, 4),
    }  # fmt: skip
    for name, (value, tolerance) in expected.items():
        assert feature(features, name)[0] == pytest.approx(value, abs=tolerance), name
    # 30 days after the peak is 4 days after the last detection: not extrapolated.
    assert np.isnan(feature(features, "mag_30d")[0])
    assert np.isnan(features[0, 1:, 1:]).all()
    assert (features[0, 1:, 0] == 0).all()


def test_a_power_law_decline_gives_its_index():
    t = np.linspace(0, 95, 40)
    features = gp_features(one(59000 + t, 17 + 2.5 * 5 / 3 * np.log10(1 + t), 0.02))
    assert feature(features, "power_law_index")[0] == pytest.approx(5 / 3, abs=0.02)
    assert feature(features, "power_law_misfit")[0] < 0.1
    for name, days in (("mag_30d", 30), ("mag_60d", 60), ("mag_90d", 90)):
        assert feature(features, name)[0] == pytest.approx(17 + 2.5 * 5 / 3 * np.log10(1 + days), abs=0.05)


def test_white_noise_and_a_trend_differ_in_the_von_neumann_ratio():
    rng, t = np.random.default_rng(0), np.arange(60.0)
    noise = gp_features(one(t, 18 + 0.1 * rng.normal(size=60)))
    trend = gp_features(one(t, 18 + 0.02 * t))
    assert feature(noise, "von_neumann")[0] == pytest.approx(2, abs=0.6)
    assert feature(trend, "von_neumann")[0] < 0.1
    constant = gp_features(one(t, np.full(60, 18.3)))
    assert np.isnan([feature(constant, name)[0] for name in ("von_neumann", "skewness", "kurtosis")]).all()
    assert feature(constant, "peak_mag")[0] == pytest.approx(18.3)


@pytest.mark.parametrize(
    ("days", "fitted"), [((), False), ((0, 1), False), ((5, 5, 5), False), ((0, 1, 4), True)]
)
def test_too_little_to_fit_is_missing_and_counted(days, fitted):
    detections = one(59000 + np.array(days, float), np.linspace(18, 18.5, len(days)), band=1)
    raw = GPFeatures().compute(detections)
    assert raw.shape == (1, 114)
    assert raw.dtype == np.float32
    assert raw[0, [0, 38, 76]].tolist() == [0, len(days), 0]
    assert GPFeatures().present(raw).tolist() == [fitted]
    assert np.isfinite(raw[0]).sum() == 3 if not fitted else np.isfinite(raw[0]).sum() > 25


def test_a_source_has_the_same_bits_alone_and_in_any_batch(supernovae):
    together = gp_features(supernovae)
    for k in range(0, len(supernovae), 10):
        np.testing.assert_array_equal(gp_features(supernovae.take([k]))[0], together[k])
    shuffled = np.random.default_rng(0).permutation(len(supernovae))
    np.testing.assert_array_equal(gp_features(supernovae.take(shuffled)), together[shuffled])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_a_source_has_the_same_bits_beside_made_up_ones(seed, company):
    detections = concatenate(made_up_sources(company, seed, min_length=1, max_length=40))
    together = gp_features(detections)
    alone = [gp_features(detections.take([k]))[0] for k in range(company)]
    np.testing.assert_array_equal(np.stack(alone), together)


def test_later_detections_have_no_influence(supernovae):
    first = 7
    position = np.arange(len(supernovae.mjd)) - np.repeat(supernovae.offset[:-1], supernovae.length)
    later = position >= first
    rng = np.random.default_rng(0)
    changed = Detections(
        supernovae.offset,
        supernovae.mjd + np.where(later, 0.5, 0.0),
        np.where(later, rng.integers(0, 3, len(later)), supernovae.band).astype(np.int8),
        np.where(later, supernovae.mag + rng.normal(size=len(later)), supernovae.mag).astype(np.float32),
        np.where(later, 3 * supernovae.magerr, supernovae.magerr),
        supernovae.metadata,
        supernovae.candid,
    )
    expected = GPFeatures().compute(view(supernovae, first))
    np.testing.assert_array_equal(GPFeatures().compute(view(changed, first)), expected)
    assert not np.array_equal(gp_features(changed), gp_features(supernovae), equal_nan=True)


def test_a_shift_in_time_changes_nothing_and_one_in_magnitude_only_magnitudes(supernovae):
    features = gp_features(supernovae)
    # Powers of two: dates and float32 magnitudes keep every digit that matters.
    moved = Detections(
        *(
            getattr(supernovae, name)
            for name in ("offset", "mjd", "band", "mag", "magerr", "metadata", "candid")
        )
    )
    moved.mjd = supernovae.mjd + 1024.0
    np.testing.assert_allclose(gp_features(moved), features, rtol=2e-4, atol=2e-4)
    moved.mjd, moved.mag = supernovae.mjd, supernovae.mag.astype(np.float64) + 4.0
    is_magnitude = [
        name.endswith("_mag") or name in ("mag_30d", "mag_60d", "mag_90d") for name in GP_FEATURES
    ]
    expected = features + 4.0 * np.array(is_magnitude, np.float32)
    np.testing.assert_allclose(gp_features(moved), expected, rtol=2e-4, atol=2e-4)


def test_long_light_curves():
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 100, 257))
    short = one(t[:20], 18 + 0.1 * rng.normal(size=20))
    long = one(t, 18 + np.sin(t / 8) + 0.01 * rng.normal(size=257), 1e-3, band=2)
    both = concatenate(
        [from_columns(str(k), d.mjd, d.band, d.mag, d.magerr) for k, d in enumerate((short, long))]
    )
    features = gp_features(both)
    assert features[1, 2, 0] == 257
    assert feature(features, "amplitude", 2)[1] == pytest.approx(2, abs=0.1)
    np.testing.assert_array_equal(features[0], gp_features(short)[0])


def test_the_likelihood_does_not_look_beyond_a_light_curve():
    t = np.arange(5.0)
    y = np.array([0.1, -0.2, 0.3, 0.0, -0.2])
    columns = np.stack([[t, y, y**2 + 0.1], [t, y, y**2 + 0.1]], 2)
    columns[:, 3:, 1] = np.nan
    both = log_likelihood(np.array([5, 3]), *columns, np.full((1, 2), 9.0), np.full((1, 1, 2), 0.7))
    cut = log_likelihood(np.array([3]), *columns[:, :3, :1], np.full((1, 1), 9.0), np.full((1, 1, 1), 0.7))
    assert both[0, 0, 1] == cut[0, 0, 0]


@pytest.mark.parametrize("name", ["mjd", "mag", "magerr"])
def test_bad_numbers_are_named(name):
    detections = one(np.arange(4.0), np.full(4, 18.0))
    setattr(detections, name, np.array([1, 2, np.nan, 3]))
    with pytest.raises(ValueError, match=f"^{name} is not finite"):
        gp_features(detections)
    with pytest.raises(ValueError, match=r"^band is none of 0 to 2"):
        gp_features(one(np.arange(4.0), np.full(4, 18.0), band=-1))


def test_normalisation_is_robust_and_masks_what_is_missing(supernovae):
    modality = GPFeatures()
    raw = modality.compute(supernovae)
    statistics = modality.fit(raw)
    values = modality.normalise(raw, statistics)
    assert values.shape == (len(supernovae), modality.width) == (len(supernovae), 228)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[:, 114:], np.isnan(raw))
    assert (values[:, :114][np.isnan(raw)] == 0).all()
    assert np.abs(values).max() < 12
    known = (~np.isnan(raw)).sum(0) > 20
    medians = np.nanmedian(np.where(np.isnan(raw), np.nan, values[:, :114])[:, known], 0)
    np.testing.assert_allclose(medians, 0, atol=0.05)


def test_the_config_gives_the_modality():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/modalities/gp.yaml")
    assert instantiate(config["gp"]) == GPFeatures()
