"""Alert packets of files, as they are, into a topic: a survey's stream to try things on."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from rtf.alerts.folders import files
from rtf.alerts.readers.ztf_avro import TARS, members
from rtf.alerts.report import ReadReport


def packets_of(path: str | os.PathLike) -> Iterator[bytes]:
    """The Avro containers of a file, a folder or tar archives, in the order of their names."""
    for file in files(Path(path), ".avro", *TARS):
        if file.name.lower().endswith(TARS):
            yield from (content for _, content in members(file, ReadReport()))
        else:
            yield file.read_bytes()


def publish(
    brokers: str, topic: str, packets: Iterable[bytes], rate: float | None = None, partitions: int = 1
) -> int:
    """Send packets to a topic, which is made, `rate` a second or as fast as they are taken; their number."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    from rtf.stream.kafka import client

    admin = client("AdminClient", **{"bootstrap.servers": brokers})
    with suppress(KafkaException):  # it is there
        admin.create_topics([NewTopic(topic, partitions)])[topic].result(60)
    settings = {"bootstrap.servers": brokers, "linger.ms": 100, "compression.type": "zstd"}
    producer = client("Producer", **settings)
    begin, number = time.monotonic(), 0
    for number, packet in enumerate(packets, 1):
        while True:
            try:
                producer.produce(topic, packet)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        if rate is not None and (early := begin + number / rate - time.monotonic()) > 0:
            time.sleep(early)
    producer.flush()
    return number
