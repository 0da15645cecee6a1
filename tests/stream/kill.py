"""A stream that is killed at random moments, and what topic and archive hold in the end.

python -m tests.stream.kill DIR PACKETS kills=100 [packets=5000] [run=ztf] [seed=0] [longest=1.5]

PACKETS is a folder of Avro packets, LONGEST how many seconds a stream is left alone at most, after its first
batch has come. The packets are streamed twice, from one topic: by a stream that is killed (-9)
so many times and started again, and by one that is left alone. Then each must have every alert once, in topic
and archive, with the same fingerprints.
"""

import json
import os
import random
import signal
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np


def settings(folder: Path, name: str, brokers: str, run: str, *more: str):
    from hydra import compose, initialize_config_module

    from rtf.cli.command import resolved

    with initialize_config_module("rtf.conf", version_base="1.3"):
        return resolved(compose("stream", [
            "stream=ztf", f"run={run}", f"brokers={brokers}", "stream.topics=[alerts]", "stream.workers=0",
            f"stream.group={name}", f"output=out-{name}",
            f"folder={folder / name}", f"archive={folder / (name + '.archive')}",
            "+kafka.session.timeout.ms=2000", "+kafka.heartbeat.interval.ms=300", "until=end", "threads=1",
            "progress=false", "wait=0.2", *more,
        ]))  # fmt: skip


def forked(config, told: int | None = None) -> int:
    """A stream in a process of its own; `told`, a pipe, hears of the first batch."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from rtf.stream import run as stream_run
        from rtf.stream.__main__ import stream

        process = stream_run.process

        def first_tells(*arguments):
            if told is not None:
                os.write(told, b".")
            process(*arguments)

        stream_run.process = first_tells
        stream(config)
        code = 0
    except BaseException as error:
        print(f"the stream ended: {error!r}", file=sys.stderr)
    finally:
        os._exit(code)


def kill_at_random(config, rng: random.Random, longest: float) -> bool:
    """Start a stream and kill it; False where it came to its end before."""
    ours, theirs = os.pipe()
    child = forked(config, theirs)
    os.close(theirs)
    # some are killed before anything has come
    if rng.random() < 0.1:
        time.sleep(rng.uniform(0, 1))
    else:
        os.read(ours, 1)
        time.sleep(rng.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def to_the_end(config) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(forked(config), 0)[1])
    if code:
        raise SystemExit(f"the stream ended with {code}")


def in_topic(brokers: str, topic: str) -> list[dict]:
    """Every alert in a topic, with its visit."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from rtf.stream.messages import read_message

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "counts", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        for message in consumer.consume(1000, 1.0):
            if message.error() is None:
                record = read_message(message.value())
                found += [a | {"space": record["space"], "mjd": record["mjd"]} for a in record["alerts"]]
            elif message.error().code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return found


def in_archive(folder: Path):
    from rtf.archive import open_archive

    return open_archive(folder)._table(None).to_arrow().sort_by("candid")


def compare(folder: Path, brokers: str, names: tuple[str, str]) -> dict:
    """Counts of both streams, and how far their fingerprints lie apart."""
    topics = [sorted(in_topic(brokers, f"out-{n}"), key=lambda a: a["candid"]) for n in names]
    archives = [in_archive(folder / f"{n}.archive") for n in names]
    candids = [[a["candid"] for a in t] for t in topics] + [a["candid"].to_pylist() for a in archives]
    latents = [np.stack([a["fingerprint"] for a in t]) for t in topics]
    latents += [np.asarray(a["fingerprint"].combine_chunks().flatten()).reshape(len(a), -1) for a in archives]
    same = all(c == candids[1] for c in candids)
    result = {
        "alerts": len(set(candids[1])), "in topic": len(candids[0]), "in archive": len(candids[2]),
        "each once": same and len(set(candids[1])) == len(candids[1]),
    }  # fmt: skip
    if same:
        result["largest difference of a fingerprint"] = max(
            float(np.abs(x - latents[1]).max()) for x in latents
        )
        for name, own in (
            ("other codes", topics[0]),
            ("other codes in the archive", archives[0].to_pylist()),
        ):
            pairs = zip(own, topics[1], strict=True)
            result[name] = sum((a.get("code") or b"") != b["code"] for a, b in pairs)
    return result


def main(folder: str, packets: str, *arguments: str) -> dict:
    import torch

    import rtf.archive
    import rtf.encoding.load
    import rtf.encoding.table  # noqa: F401 before the forks
    from rtf.stream.broker import local_broker
    from rtf.stream.replay import packets_of, publish

    torch.set_num_threads(1)
    given = dict(a.split("=") for a in arguments)
    kills, run, rng = int(given["kills"]), given.get("run", "ztf"), random.Random(int(given.get("seed", 0)))
    longest = float(given.get("longest", 1.5))
    most, folder = given.get("most", "32"), Path(folder)
    number = int(given["packets"]) if "packets" in given else None
    done = 0
    with local_broker(folder / "broker.log") as brokers:
        number = publish(brokers, "alerts", by_time(islice(packets_of(packets), number)))
        begin = time.monotonic()
        while done < kills:
            if not kill_at_random(settings(folder, "killed", brokers, run, f"most={most}"), rng, longest):
                break
            done += 1
        to_the_end(settings(folder, "killed", brokers, run, f"most={most}"))
        took = time.monotonic() - begin
        to_the_end(settings(folder, "whole", brokers, run))
        result = {"packets": number, "kills": done, "seconds": round(took, 1)}
        result |= compare(folder, brokers, ("killed", "whole"))
    print(json.dumps(result))
    return result


def by_time(packets) -> list[bytes]:
    from rtf.alerts.readers.ztf_avro import records

    def when(packet: bytes) -> float:
        return next(records(packet))["candidate"]["jd"]

    return sorted(packets, key=when)


if __name__ == "__main__":
    main(*sys.argv[1:])
