"""Simulated SN Ia and TDE against real ones of the Zwicky Transient Facility, by quantiles.

Notable:
- the table of real SN Ia is thinned to alternating bands; the survey is thinned likewise for the comparison
- the survey was tuned on these tables: this shows that it still resembles them, not that it would
  resemble others
"""

import numpy as np
import pyarrow.parquet as parquet
import pytest

from rtf.alerts.report import ReadReport
from rtf.simulation.survey import SimulatedSurvey


def real(folder, name):
    """Light curves (mjd, band, mag, magerr) of a table, cut at 100 days."""
    table = parquet.read_table(folder / "lightcurves" / name)
    columns = [table[c].to_numpy() for c in ("mjd", "mag", "magerr")]
    band = np.array(["gri".index(b) for b in table["band"].to_pylist()])
    ids = np.array(table["object_id"].to_pylist())
    order = np.lexsort((columns[0], ids))
    edges = np.flatnonzero(ids[order][1:] != ids[order][:-1]) + 1
    for rows in np.split(order, edges):
        rows = rows[columns[0][rows] <= columns[0][rows[0]] + 100]
        yield columns[0][rows], band[rows], columns[1][rows], columns[2][rows]


@pytest.fixture(scope="module")
def pair(real_data):
    survey = SimulatedSurvey(1000, seed=5, classes={"SN Ia": 1.0}, i_share=0.0, alternate_bands=True)
    simulated = []
    for unit in survey.units():
        for h in survey.read(unit, ReadReport()):
            k = h.mjd <= h.mjd[0] + 100
            simulated.append((h.mjd[k], h.band[k], h.mag[k], h.magerr[k]))
    return list(real(real_data, "ztf_bts_snia.parquet")), simulated


def compare(pair, measure, quantiles, atol, rtol=0.0):
    ours, theirs = (
        np.percentile(np.concatenate([measure(*c) for c in side]), quantiles) for side in pair[::-1]
    )
    np.testing.assert_allclose(ours, theirs, atol=atol, rtol=rtol)


def test_the_real_table_is_thinned_to_alternating_bands_and_alerts_are_not(pair, real_data):
    assert not any((np.diff(b) == 0).any() for _, b, _, _ in pair[0])
    assert not any((np.diff(b) == 0).any() for _, b, _, _ in pair[1])
    others = np.concatenate([np.diff(b) == 0 for _, b, _, _ in real(real_data, "ztf_tde.parquet")])
    survey = SimulatedSurvey(200, seed=5, classes={"TDE": 1.0})
    ours = [np.diff(h.band) == 0 for unit in survey.units() for h in survey.read(unit, ReadReport())]
    assert np.concatenate(ours).mean() == pytest.approx(others.mean(), abs=0.12)


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


def test_tde_are_blue(real_data):
    def colour(t, b, m, e):
        close = np.flatnonzero((np.diff(t) < 0.5) & (b[:-1] != b[1:]))
        return (m[close + 1] - m[close]) * np.where(b[close] == 0, -1, 1)

    survey = SimulatedSurvey(200, seed=5, classes={"TDE": 1.0})
    ours = [h for unit in survey.units() for h in survey.read(unit, ReadReport())]
    ours = np.concatenate([colour(h.mjd, h.band, h.mag, h.magerr) for h in ours])
    theirs = np.concatenate([colour(*c) for c in real(real_data, "ztf_tde.parquet")])
    assert np.nanmedian(ours) == pytest.approx(np.nanmedian(theirs), abs=0.1)
