"""LSST alerts: real ones against an independent count, and what can be wrong with a packet."""

import gzip
import io
import json
from collections import Counter

import fastavro
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from rtf.alerts.cutouts import centre_cutout, decode_cutout
from rtf.alerts.history import concatenate
from rtf.alerts.lsst import packet_history
from rtf.alerts.merge import merge_objects
from rtf.alerts.read import read_histories
from rtf.alerts.readers.lsst_avro import LsstAvro
from rtf.alerts.report import NothingReadable, ReadReport
from rtf.alerts.surveys import BANDS, survey_named
from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.surveys.ztf import ZTF
from rtf.features.photometry import photometry
from rtf.features.stamps import Stamps, on_grid


def source(number: int, mjd: float, flux: float = 1000.0, band: str = "r", **more) -> dict:
    row = {"diaSourceId": number, "diaObjectId": 7, "midpointMjdTai": mjd, "band": band}
    return row | {"psfFlux": flux, "psfFluxErr": 100.0, "ra": 10.0, "dec": -20.0, "snr": 10.0} | more


def forced(mjd: float, flux: float = 50.0, band: str = "r") -> dict:
    return {"midpointMjdTai": mjd, "band": band, "psfFlux": flux, "psfFluxErr": 120.0, "scienceFlux": 900.0}


def packet(own: dict, past=(), other=()) -> dict:
    found = {"diaSource": own, "prvDiaSources": list(past), "prvDiaForcedSources": list(other)}
    return found | {"diaObject": {"ra": 10.001, "dec": -20.001}}


def read(given: dict, **settings):
    report = ReadReport()
    return packet_history(given, report, "file", **settings), report


@pytest.mark.parametrize("band", range(len(BANDS)))
def test_asinh_magnitudes_give_the_flux_back(band):
    flux = np.concatenate([-np.logspace(7, 0, 50), [0.0], np.logspace(0, 9, 50)])
    mag, magerr = LSST.magnitude(flux, np.full(len(flux), 200.0), np.full(len(flux), band))
    back, error = LSST.flux(mag, magerr, np.full(len(flux), band))
    np.testing.assert_allclose(back, flux, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(error, 200.0, rtol=1e-9)
    assert (np.diff(mag) < 0).all()
    bright = flux > 1e6
    np.testing.assert_allclose(mag[bright], 31.4 - 2.5 * np.log10(flux[bright]), atol=1e-5)
    assert (mag < LSST.faintest).all()


def test_magnitudes_of_a_survey_without_negative_fluxes_are_ab():
    flux, error = ZTF.flux([20.0], [0.1], [1])
    assert flux[0] == pytest.approx(10 ** (0.4 * 11.4)) and error[0] == pytest.approx(
        flux[0] * 0.1 / 1.0857, rel=1e-4
    )
    assert [ZTF.bands[k] for k in ZTF.by_wavelength] == ["g", "r", "i"]
    assert [LSST.bands[k] for k in LSST.by_wavelength] == list("ugrizy")
    with pytest.raises(ValueError, match="there are ztf, lsst"):
        survey_named("des")


def test_forced_photometry_joins_without_doubling_a_visit():
    past = [source(1, 61000.0), source(2, 61003.0, band="i"), source(2, 61003.0, band="i")]
    history, report = read(
        packet(source(3, 61005.0), past, [forced(61000.0), forced(61001.0, -80.0), forced(61005.0)])
    )
    assert history.mjd.tolist() == [61000.0, 61001.0, 61003.0, 61005.0]
    assert history.candid.tolist() == [1, -1, 2, 3]
    assert history.metadata[:, LSST.metadata_fields.index("forced")].tolist() == [0, 1, 0, 0]
    flux, error = LSST.flux(history.mag, history.magerr, history.band)
    np.testing.assert_allclose(flux, [1000, -80, 1000, 1000], rtol=1e-4)
    np.testing.assert_allclose(error, [100, 120, 100, 100], rtol=1e-4)
    assert (history.object_id, history.own, history.ra) == ("7", 3, 10.001)
    assert report.counts == {"packets": 1, "detections": 4, "forced": 1, "repeats in packets": 1}
    alone, _ = read(packet(source(3, 61005.0), past, [forced(61001.0)]), forced=False)
    assert len(alone) == 3


def test_packets_of_one_object_merge_and_a_later_detection_replaces_its_forced_photometry(tmp_path):
    first = packet(source(1, 61000.0), [], [forced(60999.0)])
    second = packet(source(3, 61005.0), [source(1, 61000.0), source(9, 60999.0)], [forced(60998.0)])
    report = ReadReport()
    (merged,) = merge_objects([read(second)[0], read(first)[0]], report)
    assert merged.candid.tolist() == [-1, 9, 1, 3] and merged.survey is LSST


def test_negative_fluxes_are_kept_unless_asked_otherwise():
    given = packet(source(3, 61005.0, -500.0), [source(1, 61000.0)], [forced(61001.0, -80.0)])
    assert len(read(given)[0]) == 3
    history, report = read(given, negative=False)
    assert history.mjd.tolist() == [61000.0, 61001.0] and report.counts["negative"] == 1


def test_alerts_of_the_solar_system_are_counted_and_left_out():
    given = packet(source(3, 61005.0, diaObjectId=0, ssObjectId=2**60 + 1))
    history, report = read(given)
    assert history is None and report.counts == {"packets": 1, "solar_system": 1} and not report.skipped
    kept, _ = read(given, solar_system=True)
    assert kept.object_id == str(2**60 + 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"midpointMjdTai": None}, "midpointMjdTai"), ({"midpointMjdTai": 2461000.5}, "midpointMjdTai"),
        ({"band": "V"}, "band"), ({"psfFlux": float("nan")}, "psfFlux"), ({"psfFlux": 1e20}, "psfFlux"),
        ({"psfFluxErr": -1.0}, "psfFluxErr"), ({"diaObjectId": float(2**60)}, "diaObjectId"),
    ],
)  # fmt: skip
def test_a_bad_packet_names_its_field_and_a_bad_row_costs_only_itself(change, field):
    history, report = read(packet(source(3, 61005.0) | change))
    assert history is None and field in next(iter(report.skipped))
    if field != "diaObjectId":
        history, report = read(packet(source(3, 61005.0), [source(1, 61000.0) | change, source(2, 61001.0)]))
        assert history.candid.tolist() == [2, 3] and field in next(iter(report.skipped))


@pytest.mark.parametrize("form", ["plain", "gzip", "empty primary HDU"])
def test_cutouts_as_plain_or_gzipped_fits_equal_astropy(form):
    image = np.random.default_rng(0).normal(size=(34, 34)).astype(np.float32)
    image[0, :3] = np.nan
    first = fits.PrimaryHDU() if form == "empty primary HDU" else fits.PrimaryHDU(image)
    rest = [fits.ImageHDU(image)] if form == "empty primary HDU" else []
    stream = io.BytesIO()
    fits.HDUList([first, *rest, fits.ImageHDU(image**2, name="VARIANCE")]).writeto(stream)
    stamp = gzip.compress(stream.getvalue()) if form == "gzip" else stream.getvalue()
    np.testing.assert_array_equal(decode_cutout(stamp), image)
    np.testing.assert_array_equal(on_grid(image, LSST), image[2:32, 2:32])


@pytest.mark.parametrize("shape", [(30, 30), (29, 41), (12, 31), (64, 5)])
def test_the_middle_of_a_cutout_stays_in_the_middle(shape):
    image = np.zeros(shape, np.float32)
    image[shape[0] // 2, shape[1] // 2] = 1
    row, column = np.argwhere(centre_cutout(image, 30) == 1)[0]
    assert max(abs(row - 15), abs(column - 15)) <= 1


@pytest.fixture(scope="module")
def real_alerts(real_data):
    report = ReadReport()
    return read_histories(real_data / "lsst_alerts/fink_parquet", report=report), report


def test_real_alerts_equal_an_independent_count(real_alerts, real_data):
    """Rows of each object, by pyarrow alone."""
    histories, report = real_alerts
    rows, solar = {}, 0
    columns = ["diaSource", "prvDiaSources", "prvDiaForcedSources"]
    for path in sorted((real_data / "lsst_alerts/fink_parquet").iterdir()):
        for alert in pq.read_table(path, columns=columns).to_pylist():
            own = alert["diaSource"]
            if not own["diaObjectId"]:
                solar += 1
                continue
            visits = rows.setdefault(str(own["diaObjectId"]), ({}, {}))
            for row in (own, *(alert["prvDiaSources"] or ())):
                visits[0][row["diaSourceId"]] = row
            for row in alert["prvDiaForcedSources"] or ():
                visits[1][row["midpointMjdTai"], row["band"]] = row
    assert report.counts["solar_system"] == solar == 17 and not report.skipped
    assert {h.object_id for h in histories} == set(rows) and len(histories) == 59
    for history in histories:
        detected, others = rows[history.object_id]
        seen = {(row["midpointMjdTai"], row["band"]) for row in detected.values()}
        expected = [*detected.values(), *(row for key, row in others.items() if key not in seen)]
        assert len(history) == len(expected)
        assert Counter(BANDS[b] for b in history.band) == Counter(row["band"] for row in expected)
        flux, error = LSST.flux(history.mag, history.magerr, history.band)
        for column, name in ((flux, "psfFlux"), (error, "psfFluxErr")):
            np.testing.assert_allclose(
                np.sort(column), np.sort([row[name] for row in expected]), rtol=2e-4, atol=0.5
            )


def test_features_of_real_alerts_are_finite(real_alerts):
    seen = concatenate(real_alerts[0])
    columns = photometry(seen)
    assert columns.shape == (len(seen.mjd), 4 + 6 + 1) and np.isfinite(columns).all()
    assert columns[:, 4:10].sum(1).min() == 1 and 0 < columns[:, -1].mean() < 1
    stamps = Stamps(survey="lsst").compute(seen)
    assert stamps.shape == (len(seen), 3, 30, 30) and not np.isnan(stamps[:, :, 0, 0]).any()


def test_a_message_in_the_wire_format_needs_its_schema(real_data, tmp_path):
    (path,) = (real_data / "lsst_alerts/avro").iterdir()
    with pytest.raises(NothingReadable, match=r"schema 900.*reader\.schemas"):
        read_histories(path)
    with pytest.raises(NothingReadable, match="there is no schema 900"):
        read_histories(path, LsstAvro(schemas=str(tmp_path)))


def test_wire_and_container_of_one_alert_give_the_same(tmp_path):
    fields = [{"name": name, "type": ["null", "long"]} for name in ("diaSourceId", "diaObjectId")]
    fields += [{"name": "band", "type": "string"}]
    fields += [
        {"name": n, "type": "double"} for n in ("midpointMjdTai", "psfFlux", "psfFluxErr", "ra", "dec", "snr")
    ]
    row = {"type": "record", "name": "lsst.v9_4.diaSource", "fields": fields}
    alert = {"type": "record", "name": "lsst.v9_4.alert", "fields": [
        {"name": "diaSource", "type": "lsst.v9_4.diaSource"},
        {"name": "prvDiaSources", "type": ["null", {"type": "array", "items": "lsst.v9_4.diaSource"}]},
    ]}  # fmt: skip
    folder = tmp_path / "schemas/9/4"
    folder.mkdir(parents=True)
    for schema in (row, alert):
        (folder / f"{schema['name']}.avsc").write_text(json.dumps(schema))
    given = packet(source(3, 61005.0), [source(1, 61000.0)])
    given = {name: given[name] for name in ("diaSource", "prvDiaSources")}
    whole = fastavro.parse_schema([row, alert])
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, whole, given)
    for name in ("wire", "container"):
        (tmp_path / name).mkdir()
    message = b"\0" + (904).to_bytes(4, "big") + stream.getvalue().removeprefix(b"\x02")
    (tmp_path / "wire/3.avro").write_bytes(message)
    text = json.dumps(alert).replace('"lsst.v9_4.diaSource"', json.dumps(row), 1)
    with (tmp_path / "container/3.avro").open("wb") as file:
        fastavro.writer(file, json.loads(text), [given])
    (one,) = read_histories(tmp_path / "wire", LsstAvro(schemas=str(tmp_path / "schemas")))
    (other,) = read_histories(tmp_path / "container")
    assert one.survey is other.survey is LSST
    np.testing.assert_array_equal(one.mag, other.mag)
    cut = tmp_path / "wire/4.avro"
    cut.write_bytes(message[:-3])
    report = ReadReport()
    assert len(read_histories(tmp_path / "wire", LsstAvro(schemas=str(tmp_path / "schemas")), report)) == 1
    assert "cut short or damaged" in next(iter(report.skipped))
