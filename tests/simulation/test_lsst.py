"""The simulated LSST survey: cadence, detections and forced photometry, metadata, stamps, packets."""

import io
import sqlite3

import fastavro
import numpy as np
import pytest

from rtf.alerts.cutouts import decode_cutout
from rtf.alerts.history import NO_CANDID, NO_CUTOUTS
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.tables import read_splits
from rtf.simulation.cadence import VisitLog, moonlight
from rtf.simulation.detections import THRESHOLD
from rtf.simulation.instrument import instrument_named
from rtf.simulation.lsst.cadence import DARK, LsstCadence
from rtf.simulation.lsst.detections import FORCED_DAYS, MOST_ROWS
from rtf.simulation.lsst.packets import containers, packets, schema
from rtf.simulation.survey import SimulatedSurvey, simulate_source
from rtf.simulation.write import write_survey
from rtf.store.build import preprocess
from tests.entry.test_simulate import same_arrays, split

DATES = {"mjd_start": 61000.0, "mjd_end": 62400.0}
COLUMN = {name: k for k, name in enumerate(LSST.metadata_fields)}


def survey(number: int = 60, seed: int = 3, **settings) -> SimulatedSurvey:
    return SimulatedSurvey(number, seed, survey="lsst", **DATES, **settings)


@pytest.fixture(scope="module")
def sources():
    return [simulate_source(survey(), k) for k in range(60)]


def test_shares_and_gaps_of_a_wide_field():
    cadence, rng = LsstCadence(deep=0.0), np.random.default_rng(0)
    logs = [cadence.visits(cadence.draw_place(rng), 61000, 62400) for _ in range(40)]
    band = np.concatenate([log.band for log in logs])
    share = np.bincount(band, minlength=6) / len(band)
    np.testing.assert_allclose(share, [0.10, 0.22, 0.22, 0.07, 0.20, 0.19], atol=0.035)
    assert 60 < np.median([len(log.mjd) for log in logs]) / 1400 * 365.25 < 100
    gap = np.concatenate([np.diff(log.mjd) for log in logs])
    assert 20 < 1440 * np.median(gap[gap < 0.2]) < 45
    for log in logs:
        dark = moonlight(log.mjd)
        assert (dark[log.band == 3] < DARK + 0.1).all() and (dark[log.band == 5] > DARK - 0.1).all()
        assert (log.depth < 25).all() and (
            (log.fwhm * LSST.pixel > 0.4) & (log.fwhm * LSST.pixel < 2.5)
        ).all()


def test_a_deep_field_has_sequences():
    cadence, rng = LsstCadence(deep=1.0), np.random.default_rng(0)
    log = cadence.visits(cadence.draw_place(rng), 61000, 61400)
    gap = np.diff(log.mjd)
    assert (gap < 0.002).mean() > 0.8 and len(np.unique(log.band)) == 6 and len(log.mjd) > 300


def test_detections_and_forced_photometry(sources):
    for source in sources:
        alerts, detections = source.alerts, source.detections
        found = ~detections.forced
        snr = np.abs(detections.flux) / detections.fluxerr
        assert (snr[found] > THRESHOLD - 1e-6).all() and (snr[detections.forced] < THRESHOLD + 1e-6).all()
        assert found.sum() >= 3 and found[-1] and len(alerts) <= MOST_ROWS
        # Each visit is there once, none is left out, and the first is at most 30 days before a detection.
        np.testing.assert_array_equal(np.diff(detections.visit), 1)
        assert alerts.mjd[0] >= alerts.mjd[found][0] - FORCED_DAYS
        assert (alerts.candid[found] > 0).all() and (alerts.candid[~found] == NO_CANDID).all()
        flux, error = LSST.flux(alerts.mag, alerts.magerr, alerts.band)
        np.testing.assert_allclose(flux, detections.flux, rtol=1e-4, atol=1e-3 * detections.fluxerr.max())
        np.testing.assert_allclose(error, detections.fluxerr, rtol=1e-4)
        assert alerts.survey is LSST and not len(alerts.limits)
    flux = np.concatenate([s.detections.flux[s.detections.forced] for s in sources])
    assert (flux < 0).mean() > 0.05


def test_it_looks_deeper_than_ztf(sources):
    redshift = np.array([s.event.redshift for s in sources])
    assert redshift.max() > 0.7 and np.median(redshift) > 0.2
    deep = [simulate_source(survey(classes={"SLSN": 1.0}), k).event.redshift for k in range(8)]
    assert max(deep) > 1
    assert set(np.concatenate([s.alerts.band for s in sources]).tolist()) == set(range(6))


def test_metadata_of_detections_and_of_forced_photometry(sources):
    for source in sources:
        table, forced = source.alerts.metadata, source.detections.forced
        assert table.shape == (len(forced), len(LSST.metadata_fields)) and table.dtype == np.float32
        there = np.isfinite(table[forced])
        assert there[:, [COLUMN["scienceFlux"], COLUMN["forced"]]].all() and there.sum(1).max(initial=2) == 2
        own = {name: table[~forced, k] for name, k in COLUMN.items()}
        np.testing.assert_array_equal(own["isNegative"], source.detections.flux[~forced] < 0)
        error = source.detections.fluxerr[~forced]
        left = own["scienceFlux"] - own["templateFlux"] - source.detections.flux[~forced]
        assert (np.abs(left) < 3 * error).all()
        for name in ("reliability", "extendedness"):
            assert ((own[name] >= 0) & (own[name] <= 1)).all()


def test_a_source_depends_on_seed_and_number_alone():
    plain, rich = (simulate_source(survey(stamps=stamps), 7).alerts for stamps in (False, True))
    for name in ("mjd", "band", "mag", "magerr", "candid", "metadata"):
        assert getattr(plain, name).tobytes() == getattr(rich, name).tobytes()
    assert simulate_source(survey(999), 7).alerts.mag.tobytes() == plain.mag.tobytes()
    assert simulate_source(survey(seed=4), 7).alerts.mag.tobytes() != plain.mag.tobytes()


def test_stamps_show_the_flux():
    ratio = []
    for k in range(6):
        source = simulate_source(survey(stamps=True), k)
        for cutouts, forced, flux, snr in zip(
            source.alerts.cutouts, source.detections.forced, source.detections.flux, source.detections.snr
        ):
            assert (cutouts == NO_CUTOUTS) == forced
            if not forced:
                science, template, difference = (decode_cutout(stamp) for stamp in cutouts)
                assert science.shape == template.shape == difference.shape == (30, 30)
                assert np.isfinite(difference).all()
                if snr > 30:
                    ratio.append(difference[5:26, 5:26].sum() / flux)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.15) and len(ratio) > 5


def test_astropy_reads_the_stamps():
    from astropy.io import fits

    source = simulate_source(survey(stamps=True), 0)
    stamp = next(c for c in source.alerts.cutouts if c != NO_CUTOUTS)[0]
    with fits.open(io.BytesIO(stamp)) as images:
        images.verify("exception")
        assert images[0].header["BUNIT"].strip() == "nJy" and images[1].name == "VARIANCE"
        np.testing.assert_array_equal(images[0].data, decode_cutout(stamp))
        assert (images[1].data > 0).all()


def test_the_encoding_is_fastavro_s(sources):
    alerts = list(packets(min(sources, key=lambda s: len(s.alerts))))
    for alert, found in zip(alerts, containers(alerts), strict=True):
        stream = io.BytesIO()
        fastavro.writer(stream, schema(), [alert], sync_marker=found[-16:])
        assert stream.getvalue() == found


def test_packets_give_the_store(tmp_path):
    """What `rtf.preprocess` makes of the packets is the store written directly, row by row."""
    settings = {"stamps": True, "cadence": LsstCadence(7, **DATES, deep=0.0)}
    given = survey(12, 7, **settings)
    counts = write_survey(given, tmp_path / "packets", "avro", settings={}, split=split, workers=0)
    assert counts["forced"] > 0 and counts["sources"] == 12
    from rtf.alerts.read import auto_reader

    reader = auto_reader(tmp_path / "packets")
    quiet = {"workers": 0, "progress": False, "seed": 7}
    preprocess(
        reader, tmp_path / "packets", tmp_path / "read.zarr", labels=tmp_path / "packets/labels.csv",
        splits=tmp_path / "packets/splits.csv", **quiet,
    )  # fmt: skip
    preprocess(given, "survey", tmp_path / "direct.zarr", **quiet)
    same_arrays(tmp_path / "read.zarr", tmp_path / "direct.zarr")
    assert read_splits(tmp_path / "packets/splits.csv")


def test_a_log_with_the_bands_of_lsst(tmp_path):
    mjd = 61000 + np.arange(0, 900, 1.5)
    rows = [(float(m), "ugrizy"[k % 6], 24.0, 30.0, -20.0, 0.9) for k, m in enumerate(mjd)]
    text = tmp_path / "visits.csv"
    lines = ["mjd,band,limmag,ra,dec,fwhm", *(",".join(map(str, row)) for row in rows)]
    text.write_text("\n".join(lines))
    with sqlite3.connect(tmp_path / "opsim.db") as database:
        database.execute(
            "create table observations (observationStartMJD real, filter text, fiveSigmaDepth real, "
            "fieldRA real, fieldDec real, seeingFwhmEff real)"
        )
        database.executemany("insert into observations values (?, ?, ?, ?, ?, ?)", rows)
    database.close()
    logs = [VisitLog(str(p), 1.75, "lsst") for p in (text, tmp_path / "opsim.db")]
    place = logs[0].draw_place(np.random.default_rng(0))
    seen = [log.visits(place, 61000, 62000) for log in logs]
    assert len(seen[0].mjd) == len(rows) and set(seen[0].band.tolist()) == set(range(6))
    for a, b in zip(*seen):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(seen[0].fwhm, 4.5)
    found = [
        h
        for u in survey(4, cadence=logs[1]).units()
        for h in survey(4, cadence=logs[1]).read(u, ReadReport())
    ]
    assert len(found) == 4
    with pytest.raises(ValueError, match="none of g, r, i"):
        VisitLog(str(text)).span()


def test_an_unknown_survey_is_named():
    with pytest.raises(ValueError, match="no simulation of survey 'atlas'"):
        instrument_named("atlas")
