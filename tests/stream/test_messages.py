"""Fingerprints as messages: what is read is what was sent, and bytes are few."""

import math

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from rtf.classes import FINE
from rtf.stream.messages import MOST, keys_of, messages_of, read_message, schema
from tests.archive.made_up import SPACE, table


def sent(n: int, visits: int = 2, **settings):
    rows = table(n, mjd=np.repeat(60000.0 + np.arange(visits), -(-n // visits))[:n])
    return rows, list(messages_of(rows, ["g"] * n, [3.5] * n, "ztf", **settings))


def test_what_is_read_is_what_was_sent():
    rows, messages = sent(10, number=3)
    assert len(messages) == 2 and all(m[:5] == b"\0\0\0\0\x03" for m, _ in messages)
    records = [read_message(m) for m, _ in messages]
    assert [r["mjd"] for r in records] == [60000.0, 60001.0] and records[0]["space"] == SPACE
    alerts = [a for r in records for a in r["alerts"]]
    for name in ("candid", "object_id", "ra", "dec", "n_detections", "code"):
        assert [a[name] for a in alerts] == rows[name].to_pylist()
    latent = np.stack([a["fingerprint"] for a in alerts])
    assert np.array_equal(latent.ravel(), rows["fingerprint"].combine_chunks().flatten())
    assert {a["most_probable"] for a in alerts} <= set(FINE)
    assert np.allclose([a["strangeness"] for a in alerts], rows["strangeness"])
    assert [keys_of(r) for r in records] == [keys for _, keys in messages]


def test_what_is_unknown():
    nothing, unknown = pa.nulls(1, pa.float32()), pa.nulls(1, pa.int64())
    rows = table(
        1, candid=unknown, strangeness=nothing, p_SN_Ia=nothing, p_SN_II=nothing, p_AGN=nothing, ra=nothing
    )
    ((message, (key,)),) = messages_of(rows, ["r"], [0.0], "ztf")
    (alert,) = read_message(message)["alerts"]
    assert alert["candid"] is None and alert["most_probable"] is None and math.isnan(alert["ra"])
    assert math.isnan(alert["strangeness"]) and key[2:] == (alert["object_id"], rows["mjd"][0].as_py())


def test_codes_alone():
    _, messages = sent(1000, 1, send="code")
    (message, _), _, *_ = [*messages, None, None]
    assert read_message(message)["alerts"][0]["fingerprint"] is None
    assert len(message) / 1000 < 80
    with pytest.raises(ValueError, match="send=all"):
        next(messages_of(table(1, code=None), ["g"], [0.0], "ztf", "code"))


def test_messages_stay_below_what_kafka_takes():
    _, messages = sent(MOST + 1, 1)
    assert len(messages) == 2 and max(len(m) for m, _ in messages) < 900_000


@pytest.mark.parametrize(
    "message", (b"", b"\0\0", b"\1\0\0\0\0abc", b"\0\0\0\0\0", b"\0\0\0\0\0" + b"\xff" * 40)
)
def test_other_messages_are_refused(message):
    with pytest.raises(ValueError):
        read_message(message)


def test_the_schema_is_avro_with_a_word_on_each_field():
    fastavro.parse_schema(schema())
    assert schema()["fields"][-1]["name"] == "alerts"
