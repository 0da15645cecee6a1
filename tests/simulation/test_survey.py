"""The simulated survey: determinism, shares, validity, detections, and what ties metadata to class."""

import pickle

import numpy as np
import pytest

from rtf.alerts.history import METADATA_FIELDS, concatenate
from rtf.alerts.report import ReadReport
from rtf.classes import FINE
from rtf.simulation import survey as survey_module
from rtf.simulation.detections import THRESHOLD, detect
from rtf.simulation.populations import SHARES, distance_modulus
from rtf.simulation.survey import SimulatedSurvey, simulate_source


def read_all(survey):
    report = ReadReport()
    return [h for unit in survey.units() for h in survey.read(unit, report)], report


@pytest.fixture(scope="module")
def published():
    return read_all(SimulatedSurvey(1500, seed=3))


def of_classes(*names, number=150, seed=2):
    """First-detection metadata by class name and field."""
    found = {}
    for name in names:
        histories, _ = read_all(SimulatedSurvey(number, seed, classes={name: 1.0}))
        rows = np.array([h.metadata[0] for h in histories])
        found[name] = {field: rows[:, k] for k, field in enumerate(METADATA_FIELDS)}
    return found


def identical(a, b):
    return (
        (a.object_id, a.ra, a.dec, a.label) == (b.object_id, b.ra, b.dec, b.label)
        and all(
            np.array_equal(getattr(a, c), getattr(b, c)) for c in ("mjd", "band", "mag", "magerr", "candid")
        )
        and np.array_equal(a.metadata, b.metadata, equal_nan=True)
    )


def test_same_survey_however_it_is_cut(monkeypatch):
    survey = SimulatedSurvey(60, seed=11)
    whole, _ = read_all(survey)
    monkeypatch.setattr(survey_module, "CHUNK", 7)
    units = survey.units()
    assert len(units) == 9 and pickle.loads(pickle.dumps((survey, units))) == (survey, units)
    backwards = [h for unit in units[::-1] for h in survey.read(unit, ReadReport())]
    by_name = {h.object_id: h for h in backwards}
    assert len(by_name) == 60 and all(identical(h, by_name[h.object_id]) for h in whole)
    # A larger survey begins with the same sources, another seed gives others.
    assert identical(simulate_source(SimulatedSurvey(999, seed=11), 5)[0], whole[5])
    assert not identical(simulate_source(SimulatedSurvey(60, seed=12), 5)[0], whole[5])


def test_class_shares(published):
    histories, _ = published
    counts = np.bincount([h.label for h in histories], minlength=len(FINE))
    expected = np.array([SHARES[name] for name in FINE]) / sum(SHARES.values()) * len(histories)
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 1).all()
    only, _ = read_all(SimulatedSurvey(20, classes={"TDE": 1.0}))
    assert {h.label for h in only} == {FINE.index("TDE")}


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match="kilonova"):
        SimulatedSurvey(1, classes={"kilonova": 1.0})
    with pytest.raises(ValueError, match="positive"):
        SimulatedSurvey(1, classes={"SN Ia": 0.0})
    with pytest.raises(RuntimeError, match="no SN Ia"):
        simulate_source(SimulatedSurvey(1, classes={"SN Ia": 1.0}, min_detections=5000), 0)


def test_every_history_is_valid(published):
    histories, report = published
    assert report.counts["detections"] == sum(len(h) for h in histories)
    for h in histories:
        assert len(h) >= 3 and (h.mjd <= h.mjd[0] + 100).sum() >= 3
        assert (np.diff(h.mjd) >= 0).all() and h.mjd.dtype == np.float64
        assert np.isfinite(h.mag).all() and np.isfinite(h.magerr).all() and (h.magerr > 0).all()
        assert set(h.band.tolist()) <= {0, 1, 2} and h.band.dtype == np.int8
        assert h.metadata.shape == (len(h), 30) and h.metadata.dtype == np.float32
        assert not np.isinf(h.metadata).any() and not (h.metadata <= -99).any()
        assert 0 <= h.ra < 360 and -30 < h.dec < 90 and h.cutouts is None and h.split == ""
        assert h.mjd[0] > 58790 and h.mjd[-1] < 60700
    everything = concatenate(histories)
    assert everything.candid.min() > 0 and len(np.unique(everything.candid)) == len(everything.candid)


def test_detections_are_five_sigma_and_consistent_with_their_visit(published):
    everything = concatenate(published[0])
    column = {name: everything.metadata[:, k] for k, name in enumerate(METADATA_FIELDS)}
    assert (column["scorr"] >= 5).all()
    np.testing.assert_array_equal(column["sigmapsf"], everything.magerr)
    # Nothing is far below the limit of its visit: 0.5 mag is what real alerts show.
    below = everything.mag - column["diffmaglim"]
    assert np.percentile(below, 99.9) < 0.7
    # scorr × sigmapsf is 1.6 in real alerts.
    assert np.median(column["scorr"] * everything.magerr) == pytest.approx(1.6, abs=0.15)


def test_true_significance_is_at_least_five():
    survey = SimulatedSurvey(1, classes={"AGN": 1.0})
    _, truth = simulate_source(survey, 0)
    visits = truth["visits"]
    detections, _ = detect(np.random.default_rng(0), visits, np.full(len(visits.mjd), 250.0))
    assert len(detections.visit) and (detections.snr >= THRESHOLD).all()
    nothing, negative = detect(np.random.default_rng(0), visits, np.full(len(visits.mjd), -5000.0))
    assert len(nothing.visit) == 0 and negative == len(visits.mjd)


def test_counts_grow_along_a_source(published):
    for h in published[0][:300]:
        table = dict(zip(METADATA_FIELDS, h.metadata.T))
        assert (np.diff(table["ndethist"]) >= 1).all() and table["ndethist"][0] >= 1
        assert (np.diff(table["ncovhist"]) >= 1).all()
        for name in ("sgscore1", "nmtchps", "srmag1"):
            assert len(np.unique(table[name][np.isfinite(table[name])])) <= 1


def test_metadata_follow_nature():
    by_class = of_classes("SN Ia", "SN II", "Cataclysmic", "AGN", "TDE")
    ia, agn, tde, star = (by_class[name] for name in ("SN Ia", "AGN", "TDE", "Cataclysmic"))
    assert np.nanmedian(star["sgscore1"]) > 0.55 > 0.3 > np.nanmedian(ia["sgscore1"])
    assert 0.15 < np.nanmedian(agn["sgscore1"]) < 0.8
    assert max(np.nanmedian(agn["distpsnr1"]), np.nanmedian(tde["distpsnr1"])) < 0.5 < 1.5
    assert np.nanmedian(ia["distpsnr1"]) > 1.5
    assert np.nanmedian(tde["sharpnr"]) > 0.1 > np.nanmedian(agn["sharpnr"])
    assert np.median(agn["ndethist"]) > 10 and np.median(ia["ndethist"]) <= 3
    missing = np.isnan(ia["sgmag2"]).mean()
    assert 0.3 < missing < 0.75 and np.isnan(ia["simag2"]).mean() < 0.25


def test_magnitudes_lie_where_the_class_does():
    found = {}
    for name in ("SN Ia", "SN IIP", "SN IIn", "TDE"):
        survey = SimulatedSurvey(120, seed=4, classes={name: 1.0})
        truths = [simulate_source(survey, k)[1] for k in range(120)]
        found[name] = np.median([t["peak"] - distance_modulus(t["redshift"]) for t in truths])
    assert found["SN Ia"] == pytest.approx(-19.2, abs=0.25)
    assert found["SN IIP"] > -18.3 > found["SN IIn"] > found["TDE"] - 1.5


def test_distance_modulus_against_astropy():
    from astropy.cosmology import FlatLambdaCDM

    z = np.array([0.003, 0.03, 0.2, 0.45])
    np.testing.assert_allclose(distance_modulus(z), FlatLambdaCDM(H0=70, Om0=0.3).distmod(z).value, atol=2e-3)


def test_band_and_repeat_settings():
    plain, _ = read_all(SimulatedSurvey(80, classes={"SN Ia": 1.0}, i_share=0.0))
    assert 2 not in concatenate(plain).band
    rich, _ = read_all(SimulatedSurvey(80, classes={"SN Ia": 1.0}, i_share=1.0, repeats=0.3))
    assert (concatenate(rich).band == 2).mean() > 0.05
    again = [((np.diff(h.mjd) < 0.03) & (np.diff(h.band) == 0)).sum() for h in rich]
    assert sum(again) > 20
