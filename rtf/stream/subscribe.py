"""What a subscriber does with fingerprints alone: `python -m rtf.stream.subscribe topic=TOPIC`."""

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
from omegaconf import DictConfig

from rtf.alerts.history import BANDS
from rtf.cli.command import command, resolved
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

    from rtf.stream.kafka import client, flat

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


@command("subscribe")
def main(config: DictConfig) -> None:
    import rtf
    from rtf.archive import open_archive

    config = resolved(config)
    model = rtf.load(config.run)
    archive = None if config.archive is None else open_archive(config.archive, create=False)
    alerts = subscribe(
        config.topic, config.brokers, group=config.group, settings=config.kafka, end=config.until == "end"
    )
    for alert in islice(alerts, config.most):
        # eight bytes, or the floats
        latent = alert["fingerprint"]
        if latent is None:
            latent = model.from_code(np.frombuffer(alert["code"], np.uint8)[None])[0]
        days = alert["days"] + np.arange(-20.0, 1.0, 10.0)
        bands = np.full(len(days), BANDS.index(alert["band"]))
        mag, _ = model.query(latent[None], days[None], bands[None])
        curve = " ".join(f"{m:.1f}" for m in mag[0])
        line = f"{alert['object_id']} {alert['mjd']:.3f}: {alert['band']} {curve}  {alert['most_probable']}"
        if archive is not None:
            near = archive.search(latent, config.k + 1, space=alert["space"], newest=True)["object_id"]
            line += "  like " + ", ".join(n for n in near.to_pylist() if n != alert["object_id"])
        print(line, flush=True)


if __name__ == "__main__":
    main()
