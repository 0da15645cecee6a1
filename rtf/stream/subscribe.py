"""Fingerprints from a topic, for whoever subscribes to them."""

from collections.abc import Iterator, Mapping

from rtf.stream.kafka import client, flat
from rtf.stream.messages import read_message


def subscribe(
    topic: str, brokers: str, *, group: str = "subscriber", settings: Mapping | None = None, end: bool = False
) -> Iterator[dict]:
    """Fingerprints of alerts as a stream sends them: an alert, and what it shares with its message, a dict.

    Parameters
    ----------
    topic, brokers : where they are
    group : whose committed offsets count
    settings : further settings of librdkafka
    end : stop where the topic ends
    """
    from confluent_kafka import KafkaError

    common = {"bootstrap.servers": brokers, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = client("Consumer", **{**common, "enable.partition.eof": True, **flat(settings or {})})
    consumer.subscribe([topic])
    try:
        while True:
            for message in consumer.consume(100, 1.0):
                if message.error() is None:
                    record = read_message(message.value())
                    shared = {name: record[name] for name in ("survey", "space", "mjd", "band")}
                    yield from (alert | shared for alert in record["alerts"])
                elif message.error().code() == KafkaError._PARTITION_EOF and end:
                    return
    finally:
        consumer.close()
