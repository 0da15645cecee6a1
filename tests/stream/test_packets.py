"""Messages of the three framings give the same packet; whatever else comes is a reason, and no more."""

import http.server
import json
import re
import threading
import urllib.error

import numpy as np
import pytest

from rtf.stream import packets as module
from rtf.stream.packets import Decoder, histories_of, schemas_from
from tests.packets import packets
from tests.stream.streams import containers, crashing, histories, schemaless

NONE = schemas_from(None)


@pytest.fixture(scope="module")
def container() -> bytes:
    return containers(packets(n=3)[-1:])[0]


@pytest.fixture(scope="module")
def framed(container, tmp_path_factory):
    """(value, key, schemas) by framing."""
    value, schema = schemaless(container)
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "7.avsc").write_bytes(schema)
    return {
        "container": (container, None, NONE),
        "key": (value, schema, NONE),
        "confluent": (b"\0\0\0\0\x07" + value, None, schemas_from(str(folder))),
    }


@pytest.mark.parametrize("framing", ("container", "key", "confluent"))
def test_every_framing_gives_the_packet(framed, framing):
    (found,), report = histories_of(*framed[framing])
    (true,) = histories(packets(n=3)[-1:])
    assert not report.skipped and np.array_equal(found.candid, true.candid)
    assert np.array_equal(found.metadata, true.metadata, equal_nan=True)
    assert found.cutouts == true.cutouts and len(found.limits) == 1


def test_real_packets(real_data):
    paths = sorted((real_data / "ztf_alerts/avro").glob("*.avro"))
    for path in paths:
        content = path.read_bytes()
        (whole,), _ = histories_of(content, None, NONE)
        value, schema = schemaless(content)
        (found,), _ = histories_of(value, schema, NONE)
        assert found.object_id == whole.object_id and np.array_equal(found.mag, whole.mag)
    assert len(paths) == 13


def test_a_folder_of_versions(container, tmp_path):
    """As the package lsst-alert-packet has them: a file for each record, named where it is used."""
    value, schema = schemaless(container)
    folder, other = tmp_path / "9/4", tmp_path / "9/5"
    for made in (folder, other):
        made.mkdir(parents=True)
    outer = json.loads(schema)
    (folder / "lsst.v9_4.inner.avsc").write_text(json.dumps(outer["fields"][0]["type"]))
    outer["fields"][0]["type"] = "lsst.v9_4.inner"
    (folder / "lsst.v9_4.alert.avsc").write_text(json.dumps(outer))
    (other / "lsst.v9_5.alert.avsc").write_text("{")
    schemas = schemas_from(str(tmp_path))
    (found,), report = histories_of(b"\0" + (904).to_bytes(4, "big") + value, None, schemas)
    assert found.object_id == "ZTF20synthet" and not report.skipped
    for number, reason in ((905, "schema 905 in .* cannot be read"), (906, "no schema 906 .* nor 9/6")):
        found, report = histories_of(b"\0" + number.to_bytes(4, "big") + value, None, schemas)
        assert not found and re.search(reason, next(iter(report.skipped)))


def test_a_registry(container):
    value, schema = schemaless(container)
    asked = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/schemas/ids/7" else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"schema": schema.decode()}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        schemas = schemas_from(f"http://127.0.0.1:{server.server_port}/")
        for _ in range(2):
            (found,), _ = histories_of(b"\0\0\0\0\x07" + value, None, schemas)
            assert found.object_id == "ZTF20synthet"
        found, report = histories_of(b"\0\0\0\0\x08" + value, None, schemas)
        assert not found and "no schema 8" in next(iter(report.skipped))
        server.shutdown()
    assert asked == ["/schemas/ids/7", "/schemas/ids/8"]
    with pytest.raises(urllib.error.URLError):  # the registry's fault, not the message's
        histories_of(b"\0\0\0\0\x09" + value, None, schemas)


BOMB = json.dumps({"type": "array", "items": {"type": "record", "name": "r", "fields": []}}).encode()
DEEP = b'{"type":"array","items":' * 40 + b'"int"' + b"}" * 40


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (b"", None, "none of"),
        (b"\0", None, "none of"),
        (b"hello", b"world", "none of"),
        (b"\0\0\0\0\x01hello", None, "no schema 1"),
        (b"Obj\x01", None, "Avro header"),
        (b"x", b"{", "not valid"),
        (b"\xff" * 20, BOMB, "array of nothing"),
        (b"\x02" * 50, DEEP, "deeper"),
        (b"\x02a", b'{"type":"string"}', "candidate"),
        (b"\x02abc", b'{"type":"string"}', "ends before"),
        (b"\xfe\xff\xff\xff\x0f", b'{"type":"bytes"}', "cut short"),
        (b"x", b"{" * (2 << 20), "a schema of"),
    ],
)
def test_bad_messages_are_reasons(value, key, reason):
    found, report = histories_of(value, key, NONE)
    assert not found and reason in next(iter(report.skipped))


def test_damaged_packets_never_raise(framed):
    rng = np.random.default_rng(0)
    for value, key, schemas in framed.values():
        for _ in range(100):
            damaged = bytearray(value)
            for place in rng.integers(0, len(damaged), 8):
                damaged[place] = rng.integers(256)
            found, report = histories_of(bytes(damaged[: rng.integers(1, len(damaged))]), key, schemas)
            assert found or report.skipped


def test_a_message_that_crashes_or_hangs_is_bad_and_no_more(container, monkeypatch):
    monkeypatch.setattr(module, "decode", crashing)
    decoder = Decoder(None, "ztf", False, True)
    messages = [(container, None), (b"crash", None), (b"hang", None), (b"", None), (container, None)]
    assert len(decoder(messages[:1])[0][0]) == 1  # the process has begun
    monkeypatch.setattr(module, "_LONGEST", 3)
    found = decoder(messages)
    decoder.close()
    assert [len(packets) for packets, _, _ in found] == [1, 0, 0, 0, 1]
    reasons = [reason for _, _, reason in found]
    assert "ended the process" in reasons[1] and "not done in time" in reasons[2] and "none of" in reasons[3]
