"""Simulated SN Ia and TDE against real ones of the Zwicky Transient Facility, by quantiles.

Notable:
- SN Ia are those of the training split, on which the survey was tuned: this shows that it still resembles
  them, not that it would resemble others. Its test split is left alone
- TDE are the 45 and one of alerts; the cadence was not tuned on them
"""

from itertools import islice

import numpy as np
import pytest

from rtf.alerts.read import read_histories
from rtf.alerts.report import ReadReport
from rtf.check.page import Selection
from rtf.classes import FINE
from rtf.simulation.survey import SimulatedSurvey

#: The real tables, and what is done to both sides: TDE have errors up to 5 sigma.
TABLES = {
    "SN Ia": ("ztf_supernovae", Selection(("g", "r"), type="SN Ia")),
    "TDE": ("ztf_tde", Selection(max_error=2.5 / np.log(10) / 5)),
}


def both_sides(real_data, class_name, n, seed=5):
    """(mjd, band, mag, magerr) of real and of `n` simulated light curves of a class, selected alike."""
    name, selection = TABLES[class_name]
    real = (
        h
        for h in read_histories(real_data / f"lightcurves/{name}.parquet")
        if FINE[h.label] == class_name and h.split in ("", "train")
    )
    survey = SimulatedSurvey(10 * n, seed=seed, classes={class_name: 1.0})
    simulated = (h for unit in survey.units() for h in survey.read(unit, ReadReport()))
    sides = []
    for histories in (real, simulated):
        chosen = (h.select(rows) for h in histories if len(rows := selection.rows(h)))
        sides.append([(h.mjd, h.band, h.mag, h.magerr) for h in islice(chosen, 10**6 if not sides else n)])
    return sides


@pytest.fixture(scope="module")
def pair(real_data):
    return both_sides(real_data, "SN Ia", 1000)


@pytest.fixture(scope="module")
def disruptions(real_data):
    return both_sides(real_data, "TDE", 200)


def compare(pair, measure, quantiles, atol, rtol=0.0):
    ours, theirs = (
        np.percentile(np.concatenate([measure(*c) for c in side]), quantiles) for side in pair[::-1]
    )
    np.testing.assert_allclose(ours, theirs, atol=atol, rtol=rtol)


def test_bands_repeat_as_often(pair, disruptions):
    for sides in (pair, disruptions):
        repeated = [np.concatenate([np.diff(b) == 0 for _, b, _, _ in side]).mean() for side in sides]
        assert repeated[1] == pytest.approx(repeated[0], abs=0.12)


def test_light_curves_end_with_an_alert(pair):
    for side in pair:
        assert np.percentile([e[-1] for _, _, _, e in side], 99) < 2.5 / np.log(10) / 5 + 0.002


def test_detections_per_source(pair):
    compare(pair, lambda t, b, m, e: [len(t)], (10, 25, 50, 75, 95), 2.5, 0.15)


def test_magnitudes_and_errors(pair):
    compare(pair, lambda t, b, m, e: m, (5, 25, 50, 75, 95), 0.2)
    compare(pair, lambda t, b, m, e: e, (5, 25, 50, 75, 95), 0.005, 0.10)


@pytest.mark.parametrize("magnitude", [17.0, 18.0, 19.0, 20.0])
def test_error_at_a_magnitude(pair, magnitude):
    compare(pair, lambda t, b, m, e: e[np.abs(m - magnitude) < 0.25], (25, 50, 75), 0.0, 0.15)


def test_times_and_gaps(pair):
    compare(pair, lambda t, b, m, e: t - t[0], (25, 50, 75, 90), 1.5, 0.1)
    compare(pair, lambda t, b, m, e: np.diff(t)[np.diff(t) > 0.5], (25, 50, 75, 90), 0.5, 0.3)
    compare(pair, lambda t, b, m, e: [(np.diff(t) < 0.5).mean()] if len(t) > 5 else [], (50,), 0.06)


def test_band_shares(pair):
    compare(pair, lambda t, b, m, e: [np.mean(b == 0)], (50,), 0.05)


@pytest.mark.parametrize("low, high", [(-10, -4), (-3, 3), (8, 13), (18, 25), (25, 35), (35, 50)])
def test_colour_evolution(pair, low, high):
    def colour(t, b, m, e):
        phase = t - t[m.argmin()]
        close = np.flatnonzero(
            (np.diff(t) < 0.5) & (b[:-1] != b[1:]) & (phase[:-1] > low) & (phase[:-1] < high)
        )
        return (m[close + 1] - m[close]) * np.where(b[close] == 0, -1, 1)

    compare(pair, colour, (50,), 0.12)


@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("phase", [-10, 10, 20, 30])
def test_rise_and_decline(pair, band, phase):
    def below_peak(t, b, m, e):
        return m[(b == band) & (np.abs(t - t[m.argmin()] - phase) < 2)] - m.min()

    compare(pair, below_peak, (50,), 0.2)


def test_tde_are_blue(disruptions):
    def colour(t, b, m, e):
        close = np.flatnonzero((np.diff(t) < 0.5) & (b[:-1] + b[1:] == 1))
        return (m[close + 1] - m[close]) * np.where(b[close] == 0, -1, 1)

    compare(disruptions, colour, (50,), 0.1)
