"""LSST through the stream's parts: messages in the wire format, histories of six bands and signed fluxes."""

import io
import json

import fastavro
import numpy as np
import pytest

from rtf.alerts.lsst import packet_history
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys.lsst import LSST
from rtf.stream.history import Histories, open_histories
from rtf.stream.packets import decode

NUMBERS = ("midpointMjdTai", "psfFlux", "psfFluxErr", "ra", "dec", "snr")
SCHEMA = {"type": "record", "name": "lsst.v9_4.alert", "fields": [
    {"name": "diaSource", "type": {"type": "record", "name": "lsst.v9_4.diaSource", "fields": [
        *({"name": n, "type": "long"} for n in ("diaSourceId", "diaObjectId", "ssObjectId")),
        {"name": "band", "type": "string"}, *({"name": n, "type": "double"} for n in NUMBERS),
    ]}},
    {"name": "prvDiaSources", "type": {"type": "array", "items": "lsst.v9_4.diaSource"}},
]}  # fmt: skip


def source(number: int, mjd: float, flux: float, object_id: int = 7) -> dict:
    ids = {"diaSourceId": number, "diaObjectId": object_id, "ssObjectId": 5, "band": "z"}
    return ids | dict(zip(NUMBERS, (mjd, flux, 100.0, 10.0, -20.0, 9.0)))


def message(alert: dict) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), alert)
    return b"\0" + (904).to_bytes(4, "big") + stream.getvalue()


def latent(rows) -> np.ndarray:
    return np.stack(rows["fingerprint"].to_pylist())


def test_messages_in_the_wire_format(tmp_path):
    (tmp_path / "904.avsc").write_text(json.dumps(SCHEMA))
    alert = {"diaSource": source(3, 61005.0, -500.0), "prvDiaSources": [source(1, 61000.0, 800.0)]}
    solar = {"diaSource": source(4, 61005.0, 900.0, object_id=0), "prvDiaSources": []}
    given = [(message(a), None) for a in (alert, solar)] + [(message(alert)[:-4], None)]
    whole, left_out, cut = decode(given, str(tmp_path), "lsst", None, True)
    (one, skipped, reason), (none, left, no_reason), (nothing, _, why) = whole, left_out, cut
    assert reason is None and not skipped and one[0].candid.tolist() == [1, 3] and one[0].survey is LSST
    assert none == [] and no_reason is None and left == {"of the Solar System": 1}
    assert nothing == [] and "cut short" in why


def test_histories_of_six_bands_are_kept(tmp_path):
    alerts = [
        {"diaSource": source(k, 61000.0 + k, (-1) ** k * 500.0 * k), "prvDiaSources": []} for k in range(1, 6)
    ]
    packets = [packet_history(alert, ReadReport(), "made up") for alert in alerts]
    histories = Histories(tmp_path / "h")
    known, repeats = histories.known(packets, "lsst", "0123456789ab")
    assert [len(h) for h in known] == [1, 2, 3, 4, 5] and repeats == 0
    histories.add(packets, "lsst", "0123456789ab")
    assert histories.known(packets, "lsst", "0123456789ab") == ([], 5)
    histories.close()
    told = open_histories(tmp_path / "h").get("7", "lsst")
    assert told.survey is LSST and told.metadata.shape == (5, len(LSST.metadata_fields))
    flux, _ = LSST.flux(told.mag, told.magerr, told.band)
    np.testing.assert_allclose(flux, [-500, 1000, -1500, 2000, -2500], rtol=1e-4)
    assert open_histories(tmp_path / "h").get("7") is None


def test_a_model_of_another_survey_is_refused(tmp_path):
    from hydra import compose, initialize_config_dir

    from rtf.stream.__main__ import stream
    from tests.small_runs import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("stream", ["stream=lsst", "run=ztf", f"folder={tmp_path}", "brokers=localhost:1"])
    with pytest.raises(ValueError, match=r"stream\.survey=lsst, and the model is of ztf"):
        stream(config)


def test_real_alerts_from_files_to_the_archive(real_data, tmp_path):
    """With the model in the box: every alert once, those of the Solar System counted and left out."""
    pytest.importorskip("lancedb")
    from functools import partial

    import pyarrow.parquet as pq

    from rtf.alerts.read import auto_reader
    from rtf.archive import open_archive
    from rtf.encoding.night import encode_night
    from rtf.encoding.shipped import run_folder
    from rtf.stream.__main__ import stream
    from tests.entry.test_shards import composed
    from tests.stream.kill import in_archive

    source, archive = real_data / "lsst_alerts/fink_parquet", tmp_path / "archive"
    config = composed(
        "stream", "stream=files", f"input={source}", "stream.survey=lsst", "keep_days=5000",
        f"folder={tmp_path / 'stream'}", f"archive={archive}", "progress=false",
    )  # fmt: skip
    metrics = stream(config)
    reader = partial(auto_reader, source)
    encode_night(
        run_folder("lsst"), source, tmp_path / "t.parquet", reader, per="alert", workers=0, progress=False
    )
    true = pq.read_table(tmp_path / "t.parquet").sort_by("candid")
    found = in_archive(archive)
    assert metrics.counts["alerts"] == len(true) == 66
    assert metrics.counts["left out"] == 17 and not metrics.counts["bad"]
    for name in ("candid", "n_detections"):
        assert found[name].to_pylist() == true[name].to_pylist()
    np.testing.assert_allclose(latent(found), latent(true), atol=1e-4)
    near = open_archive(archive).search(object_id=true["object_id"][0].as_py(), k=5)
    assert set(near["survey"].to_pylist()) == {"lsst"} and np.isfinite(near["distance"]).all()
