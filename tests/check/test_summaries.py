"""The numbers of a light curve and of a triplet mean what they say."""

import numpy as np
import pytest

from rtf.alerts.history import from_columns
from rtf.check.summaries import light_curve, triplet


def parabola(n=20, days=40.0, seed=0, peak=18.0):
    """A light curve that is a parabola in both bands: g - r = 0.3, brightest at half time, honest errors."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, days, n)
    band = np.arange(n) % 2
    error = np.full(n, 0.05)
    mag = peak + 2 * ((time - days / 2) / (days / 2)) ** 2 + 0.3 * (band == 0) + error * rng.normal(size=n)
    return from_columns(f"p{seed}", 59000.3 + time, band, mag, error)


def image(fwhm=2.4, sky=150.0, noise=10.0, flux=4000.0, seed=0, cut=63):
    y, x = np.indices((63, 63)) - 31
    sigma = fwhm / 2.3548
    star = flux / (2 * np.pi * sigma**2) * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    pixels = (sky + noise * np.random.default_rng(seed).normal(size=(63, 63)) + star).astype(np.float32)
    pixels[cut:] = np.nan
    return pixels


def test_the_numbers_of_a_light_curve_that_is_known():
    values = light_curve(parabola(41, 40.0))
    assert values["detections"] == 41 and values["nights"] == 41 and values["span [d]"] == pytest.approx(40)
    assert values["median gap of nights [d]"] == values["longest gap [d]"] == pytest.approx(1.0)
    assert values["median time of night [d]"] == pytest.approx(0.3, abs=1e-6)
    assert values["time to peak [d]"] == pytest.approx(20, abs=4)
    assert values["g-r at peak [mag]"] == pytest.approx(0.3, abs=0.25)
    assert values["first below peak [mag]"] == pytest.approx(2.3, abs=0.25)
    assert values["rise slope [mag/d]"] < -0.05 and values["decline slope r [mag/d]"] > 0.05
    assert values["median error [mag]"] == pytest.approx(0.05)
    assert np.isnan(values["same-night gap [d]"])
    # the noise was drawn with the quoted errors; the parabola itself bends little within two days
    assert values["roughness"] == pytest.approx(1.0, abs=0.45)


def test_roughness_sees_quoted_errors_that_are_too_small():
    rough = parabola(41)
    rough.magerr[:] = 0.01
    assert light_curve(rough)["roughness"] == pytest.approx(
        5 * light_curve(parabola(41))["roughness"], rel=0.01
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_light_curves_have_the_same_numbers(n):
    values = light_curve(parabola(n))
    assert list(values) == list(light_curve(parabola(41))) and values["detections"] == n
    assert not np.isinf(list(values.values())).any()


def test_the_numbers_of_a_triplet_measure_what_was_drawn():
    values = triplet([image(2.4), image(3.0, 120, 2, seed=1), image(2.4, 0, 10, seed=2, cut=48)], 2.4)
    assert values["science sky [DN]"] == pytest.approx(150, abs=1)
    assert values["template sky [DN]"] == pytest.approx(120, abs=0.3)
    assert values["science noise [DN]"] == pytest.approx(10, rel=0.05)
    assert values["noise science / difference"] == pytest.approx(1, rel=0.1)
    assert values["science width [pixel]"] == pytest.approx(2.4, rel=0.1)
    assert values["template width [pixel]"] == pytest.approx(3, rel=0.1)
    assert values["width difference / fwhm"] == pytest.approx(1, abs=0.12)
    assert values["science noise correlation"] == pytest.approx(0, abs=0.05)
    assert values["science missing"] == 0 and values["difference missing"] == pytest.approx(15 / 63)


def test_noise_that_was_smoothed_is_correlated_and_a_flat_stamp_has_none():
    rough = np.random.default_rng(0).normal(size=(64, 63))
    smooth, flat = (rough[1:] + rough[:-1]).astype(np.float32), np.full((63, 63), 7, np.float32)
    values = triplet([smooth, flat, np.full((63, 63), np.nan, np.float32)], 2.0)
    # neighbours along one of the two directions share half of their variance
    assert values["science noise correlation"] == pytest.approx(0.25, abs=0.04)
    assert np.isnan(values["template noise [DN]"]) and np.isnan(values["template width [pixel]"])
    assert values["difference missing"] == 1 and np.isnan(values["difference sky [DN]"])
