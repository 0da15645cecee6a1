"""Simulated sources as alert packets: what they hold, and that reading them back loses nothing."""

import io
from types import SimpleNamespace

import fastavro
import numpy as np
import pytest

from rtf.alerts.history import METADATA_FIELDS, SourceHistory
from rtf.alerts.readers.ztf_avro import records
from rtf.alerts.report import ReadReport
from rtf.alerts.ztf import CUTOUT_FIELDS, HISTORY_METADATA, MJD_ZERO, packet_history
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections
from rtf.simulation.packets import CANDIDATE_TYPES, PAST_TYPES, containers, packets, schema
from rtf.simulation.survey import SimulatedSource
from tests.packets import stamp
from tests.sources import merge

_COLUMN = {name: k for k, name in enumerate(METADATA_FIELDS)}


def made_up_source(number: int = 0, *, visits: int = 120, cutouts: bool = False) -> SimulatedSource:
    """A source of random numbers: half of its visits give alerts, a third of these negative."""
    rng = np.random.default_rng(number)
    mjd = 59000 + np.sort(rng.uniform(0, 2 * visits, visits))
    mjd = (mjd + MJD_ZERO) - MJD_ZERO
    log = Visits(
        mjd, rng.integers(0, 3, visits).astype(np.int8), rng.normal(20.5, 0.3, visits),
        rng.normal(2, 0.2, visits), rng.random(visits), np.full(visits, 635, np.int32),
    )  # fmt: skip
    visit = np.sort(rng.choice(visits, visits // 2, replace=False))
    count = len(visit)
    mag, magerr = rng.uniform(16, 20, count), rng.uniform(0.02, 0.2, count)
    positive = rng.random(count) < 2 / 3
    raw = np.arange(1, count + 1)
    metadata = rng.uniform(0, 1, (count, len(METADATA_FIELDS))).astype(np.float32)
    metadata[:, _COLUMN["sigmapsf"]] = magerr
    metadata[:, _COLUMN["diffmaglim"]] = log.depth[visit]
    metadata[:, _COLUMN["ndethist"]] = raw
    for name in ("nmtchps", "ncovhist"):
        metadata[:, _COLUMN[name]] = rng.integers(1, 5000, count)
    for name in ("szmag2", "sgscore2", "distpsnr2"):
        metadata[:, _COLUMN[name]] = np.nan
    metadata[::3, _COLUMN["distnr"]] = np.nan
    positions = np.array([150.0, 2.0]) + 3e-5 * rng.standard_normal((count, 2))
    stamps = [tuple(stamp(rng.normal(size=(63, 63))) for _ in range(3)) for _ in visit] if cutouts else None
    alerts = SourceHistory(
        f"SIM{number:05d}", mjd[visit], log.band[visit], mag.astype(np.float32), magerr.astype(np.float32),
        metadata, (number + 1) * 10**12 + visit.astype(np.int64), stamps, *positions[0],
    )  # fmt: skip
    detections = Detections(visit, mag, magerr, rng.uniform(5, 50, count), positive, raw)
    event = SimpleNamespace(name="SN Ia")
    return SimulatedSource(alerts, positive, positions, detections, log, event, None, None, mjd[0])


def same(found: SourceHistory, expected: SourceHistory) -> None:
    for name in ("mjd", "band", "mag", "magerr", "metadata", "candid"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
    assert (found.object_id, found.cutouts) == (expected.object_id, expected.cutouts)


@pytest.mark.parametrize("cutouts", [False, True])
@pytest.mark.parametrize("negative", [False, True])
def test_read_back_to_the_last_bit(cutouts, negative):
    source = made_up_source(1, visits=24, cutouts=cutouts)
    report = ReadReport()
    read = [
        packet_history(alert, report, "simulated", negative=negative)
        for written in containers(packets(source))
        for alert in records(written)
    ]
    assert not report.skipped and len(read) == len(source.alerts)
    found, _ = merge(read)
    kept = np.flatnonzero(source.positive | negative)
    same(found, source.alerts.select(kept))
    # The packets of negative subtractions have a position too.
    smallest = source.positions[np.lexsort(source.positions.T)[0]]
    assert (found.ra, found.dec) == tuple(smallest)


def test_any_avro_reader_reads_them():
    alerts = list(packets(made_up_source(2, visits=6, cutouts=True)))
    written = alerts[-1]
    reader = fastavro.reader(io.BytesIO(list(containers(alerts))[-1]))
    (read,) = reader
    assert reader.writer_schema["name"] == "ztf.alert" and reader.codec == "null"
    assert read["candidate"].keys() == CANDIDATE_TYPES.keys()
    assert read["candidate"]["magpsf"] == written["candidate"]["magpsf"]
    assert read["cutoutDifference"]["stampData"] == written["cutoutDifference"]["stampData"]


@pytest.mark.parametrize("cutouts", [False, True])
def test_the_encoding_is_fastavro_s(cutouts):
    alerts = list(packets(made_up_source(8, visits=30, cutouts=cutouts)))
    assert any(alert["prv_candidates"] is None for alert in alerts)
    for alert, found in zip(alerts, containers(alerts), strict=True):
        stream = io.BytesIO()
        fastavro.writer(stream, schema(), [alert], sync_marker=found[-16:])
        assert stream.getvalue() == found


def test_fields_are_the_survey_s(real_data):
    """Names, order and types of everything, as in a real packet of the same schema version."""

    def described(types):
        return [(f["name"], f["type"]) for f in types["fields"]]

    ours = {field["name"]: field["type"] for field in schema()["fields"]}
    versions = set()
    for path in sorted((real_data / "ztf_alerts" / "avro").glob("*.avro")):
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            (alert,) = reader
        versions.add(alert["schemavsn"])
        assert alert["candidate"].keys() <= CANDIDATE_TYPES.keys()
        assert all(entry.keys() <= PAST_TYPES.keys() for entry in alert["prv_candidates"])
        theirs = {field["name"]: field["type"] for field in reader.writer_schema["fields"]}
        if alert["schemavsn"] == "4.02":
            assert list(ours) == list(theirs)
            assert described(ours["candidate"]) == described(theirs["candidate"])
            for name in ("prv_candidates", "fp_hists"):
                assert described(ours[name][1]["items"]) == described(theirs[name][1]["items"])
    assert "4.02" in versions


def test_missing_is_sent_as_the_survey_does(real_data):
    """-999 for PS1 neighbours and asteroids, as in real packets; null is nowhere that the schema has none."""
    real = [
        alert["candidate"]
        for path in sorted((real_data / "ztf_alerts" / "avro").glob("*.avro"))
        for alert in fastavro.reader(path.open("rb"))
    ]
    sentinel = {name for c in real for name, value in c.items() if value == -999}
    candidate = next(packets(made_up_source(3)))["candidate"]
    for name in ("szmag2", "ssdistnr", "ssmagnr"):
        assert candidate[name] == -999.0 and name in sentinel
    assert candidate["sgscore2"] == candidate["distpsnr2"] == candidate["objectidps2"] == -999
    assert candidate["objectidps1"] is None  # there is a neighbour, without a number in the catalogue
    assert candidate["ssnamenr"] == real[0]["ssnamenr"]
    assert candidate["distnr"] is None and CANDIDATE_TYPES["distnr"] == "float?"
    assert all(candidate[name] is not None for name, kind in CANDIDATE_TYPES.items() if kind[-1] != "?")


def test_history_is_every_visit_of_thirty_days():
    source = made_up_source(4)
    jd = source.visits.mjd + MJD_ZERO
    alert_of = dict(zip(source.detections.visit.tolist(), range(len(source.alerts))))
    for k, alert in enumerate(packets(source)):
        now = alert["candidate"]["jd"]
        expected = np.flatnonzero((jd < now) & (jd >= now - 30))
        assert [entry["jd"] for entry in alert["prv_candidates"] or []] == jd[expected].tolist()
        for visit, entry in zip(expected.tolist(), alert["prv_candidates"] or []):
            assert entry.keys() == PAST_TYPES.keys() and entry["fid"] == source.visits.band[visit] + 1
            assert entry["diffmaglim"] == np.float32(source.visits.depth[visit])
            if visit not in alert_of:
                assert entry["magpsf"] is entry["candid"] is entry["isdiffpos"] is entry["ra"] is None
                continue
            past = alert_of[visit]
            assert past < k and entry["candid"] == source.alerts.candid[past]
            assert entry["magpsf"] == source.alerts.mag[past]
            assert entry["isdiffpos"] == ("t" if source.positive[past] else "f")
            assert (entry["ra"], entry["dec"]) == tuple(source.positions[past])
            for name in HISTORY_METADATA:
                value = source.alerts.metadata[past, _COLUMN[name]]
                assert entry[name] == value or (np.isnan(value) and entry[name] is None), name


def test_a_new_source_knows_when_it_began():
    source = made_up_source(5)
    first = float(source.alerts.mjd[0] + MJD_ZERO)
    assert {alert["candidate"]["jdstarthist"] for alert in packets(source)} == {first}
    source.alerts.metadata[:, _COLUMN["ndethist"]] += 3
    assert {alert["candidate"]["jdstarthist"] for alert in packets(source)} == {None}
    assert all(alert["candidate"]["jdendhist"] == alert["candidate"]["jd"] for alert in packets(source))


def test_numbers_of_exposures_are_the_survey_s(real_data):
    """Night and processing id follow from the time as in real packets, but for the read-out channel."""
    for path in sorted((real_data / "ztf_alerts" / "avro").glob("*.avro")):
        (alert,) = fastavro.reader(path.open("rb"))
        real, source = alert["candidate"], made_up_source(6, visits=2)
        visits = source.visits._replace(mjd=np.array([real["jd"] - 31, real["jd"]]) - MJD_ZERO)
        source.alerts.mjd = visits.mjd[1:]
        detections = source.detections._replace(visit=np.array([1]))
        (ours,) = packets(source._replace(visits=visits, detections=detections))
        assert ours["candidate"]["jd"] == real["jd"] and ours["candidate"]["nid"] == real["nid"]
        assert ours["candidate"]["pid"] == real["pid"] - 100 * real["rcid"]


def test_cutouts_have_the_survey_s_names(real_data):
    path = sorted((real_data / "ztf_alerts" / "avro").glob("*.avro"))[-1]
    (real,) = fastavro.reader(path.open("rb"))
    numbers = {"candid": real["candid"], "pid": real["candidate"]["pid"]}
    for alert in packets(made_up_source(7, visits=8, cutouts=True)):
        own = {"candid": alert["candid"], "pid": alert["candidate"]["pid"]}
        if alert["candidate"]["isdiffpos"] != real["candidate"]["isdiffpos"]:
            continue
        for field in CUTOUT_FIELDS:
            expected = real[field]["fileName"]
            for key, number in numbers.items():
                expected = expected.replace(f"{key}{number}", f"{key}{own[key]}")
            assert alert[field]["fileName"] == expected
    assert all(alert["cutoutScience"] is None for alert in packets(made_up_source(7)))
