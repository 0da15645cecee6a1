"""The simulated survey: determinism, shares, validity, detections, and what ties metadata to class."""

import pickle

import numpy as np
import pytest

from rtf.alerts.history import METADATA_FIELDS, concatenate
from rtf.alerts.report import ReadReport
from rtf.classes import FINE
from rtf.simulation import survey as survey_module
from rtf.simulation.cadence import ObservingModel
from rtf.simulation.detections import THRESHOLD, detect
from rtf.simulation.populations import SHARES
from rtf.simulation.survey import HISTORY_DAYS, SimulatedSurvey, history_of, simulate_source


def read_all(survey):
    report = ReadReport()
    return [h for unit in survey.units() for h in survey.read(unit, report)], report


@pytest.fixture(scope="module")
def published():
    return read_all(SimulatedSurvey(1500, seed=3))


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
    assert identical(history_of(simulate_source(SimulatedSurvey(999, seed=11), 5)), whole[5])
    assert not identical(history_of(simulate_source(SimulatedSurvey(60, seed=12), 5)), whole[5])


def test_class_shares(published):
    histories, _ = published
    counts = np.bincount([h.label for h in histories], minlength=len(FINE))
    expected = np.array([SHARES.get(name, 0.0) for name in FINE]) / sum(SHARES.values()) * len(histories)
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 1).all()
    only, _ = read_all(SimulatedSurvey(20, classes={"TDE": 1.0}))
    assert {h.label for h in only} == {FINE.index("TDE")}


def test_shares_from_rates():
    histories, _ = read_all(SimulatedSurvey(250, classes="rates"))
    label = np.array([h.label for h in histories])
    assert np.mean(label == 0) > 0.4 and len(np.unique(label)) >= 5 and label.max() < 10


@pytest.mark.parametrize("name", ["Kilonova", "SLSN", "FBOT", "Afterglow", "Flare"])
def test_the_other_classes_for_anomalies(name):
    histories, _ = read_all(SimulatedSurvey(8, classes={name: 1.0}, min_detections=2))
    assert [h.label for h in histories] == [FINE.index(name)] * 8


def test_impossible_settings_are_named(monkeypatch):
    monkeypatch.setattr(survey_module, "_PATIENCE", 200)
    with pytest.raises(ValueError, match="Nova Persei"):
        SimulatedSurvey(1, classes={"Nova Persei": 1.0})
    with pytest.raises(ValueError, match="LBV"):  # which is a class, without a model
        SimulatedSurvey(1, classes={"LBV": 1.0})
    with pytest.raises(ValueError, match="positive"):
        SimulatedSurvey(1, classes={"SN Ia": 0.0})
    with pytest.raises(ValueError, match="rates"):
        SimulatedSurvey(1, classes="everything")
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
        assert not np.isinf(h.metadata).any() and not (h.metadata == -999).any()
        assert 0 <= h.ra < 360 and -30 < h.dec < 90 and h.cutouts is None and h.split == ""
        assert h.mjd[0] > 58790 and h.mjd[-1] < 60700
    everything = concatenate(histories)
    assert everything.candid.min() > 0 and len(np.unique(everything.candid)) == len(everything.candid)


def test_detections_are_five_sigma_and_consistent_with_their_visit(published):
    everything = concatenate(published[0])
    column = {name: everything.metadata[:, k] for k, name in enumerate(METADATA_FIELDS)}
    assert (column["scorr"] >= THRESHOLD).all()
    np.testing.assert_array_equal(column["sigmapsf"], everything.magerr)
    # Little is far below the limit of its visit: 0.5 mag is what real alerts show.
    below = everything.mag - column["diffmaglim"]
    assert np.percentile(below, 99.5) < 0.7
    # scorr × sigmapsf is 1.6 in real alerts.
    assert np.median(column["scorr"] * everything.magerr) == pytest.approx(1.6, abs=0.15)


def test_both_signs_are_detected_and_a_bright_host_drowns_faint_sources():
    survey = SimulatedSurvey(1, classes={"AGN": 1.0})
    visits = simulate_source(survey, 0).visits
    empty, bright = np.full(3, 25.0), np.full(3, 14.0)

    def found(flux, host):
        return detect(np.random.default_rng(0), visits, np.full(len(visits.mjd), flux), host)

    assert found(2000.0, empty).positive.all() and len(found(2000.0, empty).visit) > 0.8 * len(visits.mjd)
    negative = found(-2000.0, empty)
    assert not negative.positive.any() and len(negative.visit) > 0.8 * len(visits.mjd)
    assert (negative.snr >= THRESHOLD).all()
    assert len(found(300.0, bright).visit) < 0.5 * len(found(300.0, empty).visit)


def test_a_source_knows_its_visits_and_its_negative_alerts():
    survey = SimulatedSurvey(30, seed=2, classes={"AGN": 1.0})
    sources = [simulate_source(survey, k) for k in range(30)]
    assert sum((~s.positive).sum() for s in sources) > 30
    for s in sources:
        assert s.visits.mjd[0] >= s.start - HISTORY_DAYS and (np.diff(s.visits.mjd) >= 0).all()
        np.testing.assert_array_equal(s.alerts.mjd, s.visits.mjd[s.detections.visit])
        assert len(history_of(s)) == s.positive.sum()
        assert len(history_of(s, negative=True)) == len(s.positive) == len(s.alerts)
        np.testing.assert_allclose(s.positions[:, 1], s.place.dec, atol=3e-3)
    histories, report = read_all(survey)
    assert report.counts["negative"] == sum((~s.positive).sum() for s in sources)
    assert sum(len(h) for h in histories) == sum(s.positive.sum() for s in sources)


def test_stamps_change_nothing_else():
    plain, _ = read_all(SimulatedSurvey(3, seed=6))
    rich, _ = read_all(SimulatedSurvey(3, seed=6, stamps=True))
    assert all(identical(a, b) for a, b in zip(plain, rich))
    assert all(len(h.cutouts) == len(h) and all(map(all, h.cutouts)) for h in rich)


def test_counts_grow_along_a_source(published):
    for h in published[0][:300]:
        table = dict(zip(METADATA_FIELDS, h.metadata.T))
        assert (np.diff(table["ndethist"]) >= 1).all() and table["ndethist"][0] >= 1
        assert (np.diff(table["ncovhist"]) >= 1).all()
        # Of two neighbours at nearly the same distance, now one and now the other is the nearest.
        assert len(np.unique(table["sgscore1"])) <= 4 and len(np.unique(table["nmtchps"])) <= 2


def test_bands_and_repeats_of_the_cadence():
    def read(i_share, repeats):
        cadence = ObservingModel(0, i_share=i_share, repeats=repeats)
        return read_all(SimulatedSurvey(60, classes={"SN Ia": 1.0}, cadence=cadence))[0]

    assert 2 not in concatenate(read(0.0, 0.0)).band
    rich = read(1.0, 0.3)
    assert (concatenate(rich).band == 2).mean() > 0.05
    again = [((np.diff(h.mjd) < 0.03) & (np.diff(h.band) == 0)).sum() for h in rich]
    assert sum(again) > 20


def test_alternating_bands():
    thinned, _ = read_all(SimulatedSurvey(60, classes={"SN Ia": 1.0}, alternate_bands=True))
    for h in thinned:
        assert (np.diff(h.band) != 0).all()
