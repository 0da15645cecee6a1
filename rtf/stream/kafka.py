"""Kafka on both sides of the stream: topics of alerts in, topics of fingerprints and of bad packets out.

Notable:
- librdkafka fetches in the background, up to `_QUEUE` kB: who is slow takes larger batches, and no memory
- nothing is committed but by `commit`, after all else; a partition seen for the first time is committed where
  it begins, so that a start at the end of a topic is remembered
- to end at a time, a partition ends with the first message sent then or later, or where it has no more
- what the output topic holds after the end that the histories remember was sent before a kill: it is read,
  and not sent again
"""

import logging
import time
from collections.abc import Mapping, Sequence

from rtf.stream.messages import keys_of, read_message, register, schema
from rtf.stream.packets import Bad, Decoder, Lot

#: kB of messages that wait in memory.
_QUEUE = 64 << 10
#: Seconds to wait for answers of brokers.
_ANSWER = 60
#: Beginnings of settings that producers do not know.
_OF_CONSUMERS = ("session.", "heartbeat.", "group.", "fetch.", "queued.", "max.poll.", "auto.", "isolation.")
#: Seconds that an unreachable registry is waited for.
_REGISTRY = 120

log = logging.getLogger(__name__)


class StreamError(ValueError):
    """What a stream cannot go on with, and why."""


def client(kind: str, **settings):
    """A `Consumer`, `Producer` or `AdminClient`; StreamError where the package is missing."""
    try:
        import confluent_kafka
        import confluent_kafka.admin
    except ImportError as error:
        raise StreamError("the stream needs confluent-kafka: pip install rtf-fingerprints[stream]") from error
    made = getattr(confluent_kafka.admin if kind == "AdminClient" else confluent_kafka, kind)
    names = {n: v for n, v in settings.items() if v is not None}
    try:
        return made({**names, "logger": log} if kind != "AdminClient" else names)
    except confluent_kafka.KafkaException as error:
        raise StreamError(f"Kafka settings: {error.args[0].str()}") from error


def flat(settings: Mapping, path: str = "") -> dict:
    """Settings of librdkafka from nested ones: {security: {protocol: SSL}} is security.protocol=SSL."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}{name}.")
        else:
            found[path + str(name)] = str(value).lower() if isinstance(value, bool) else value
    return found


class KafkaSource:
    """Alerts of topics, as one member of a consumer group.

    Parameters
    ----------
    topics : names, or ^patterns
    survey : whose names and candids the alerts have
    group : whose committed offsets count
    start : where a partition begins that the group has not seen: earliest or latest
    schemas : folder of NUMBER.avsc, or address of a registry; for messages of Confluent's wire format
    negative : keep negative subtractions
    workers : processes that decode, 1; 0: this one
    brokers, settings : where Kafka is, and what else librdkafka is to know
    until : end with messages sent then or later [Unix seconds]; None: never
    """

    def __init__(
        self,
        topics: Sequence[str],
        survey: str,
        group: str = "rtf",
        start: str = "earliest",
        schemas: str | None = None,
        negative: bool | None = None,
        workers: int = 1,
        *,
        brokers: str,
        settings: Mapping | None = None,
        cutouts: bool = True,
        until: float | None = None,
    ) -> None:
        if start not in ("earliest", "latest"):
            raise StreamError(f"start is {start!r}; it must be earliest or latest")
        if not topics or isinstance(topics, str):
            raise StreamError("which topics? Give stream.topics=[NAME,...]")
        self.survey, self.until = survey, until
        self._start, self._decoder = start, Decoder(schemas, survey, negative, cutouts, workers)
        self._assigned: set[tuple[str, int]] = set()
        self._ended: set[tuple[str, int]] = set()
        self._consumer = client(
            "Consumer",
            **{
                "bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False,
                "enable.auto.offset.store": False, "auto.offset.reset": start, "enable.partition.eof": True,
                "queued.max.messages.kbytes": _QUEUE, "partition.assignment.strategy": "range",
                **flat(settings or {}),
            },
        )  # fmt: skip
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke)

    def read(self, most: int, wait: float) -> Lot:
        """The next messages: `most`, or what comes in `wait` seconds."""
        from confluent_kafka import KafkaError

        lot, taken = Lot(), []
        for message in self._consumer.consume(most, wait):
            place = (message.topic(), message.partition())
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    if self.until is not None and time.time() >= self.until:
                        self._ended.add(place)
                elif error.fatal() or error.code() in _hopeless():
                    raise StreamError(f"Kafka: {error.str()}")
                else:
                    log.warning("Kafka: %s", error.str())
                continue
            if place in self._ended or place not in self._assigned:
                continue
            kind, stamp = message.timestamp()
            sent = stamp / 1000 if kind else float("nan")
            if self.until is not None and sent >= self.until:
                self._ended.add(place)
                continue
            lot.position[place] = message.offset() + 1
            lot.n_bytes += len(message.value() or b"") + len(message.key() or b"")
            taken.append((message, sent))
        lot.last = bool(self._assigned) and self._ended >= self._assigned
        lot.messages = len(taken)
        decoded = self._decoded([(m.value() or b"", m.key()) for m, _ in taken])
        for (message, sent), (packets, skipped, reason) in zip(taken, decoded, strict=True):
            if reason is not None:
                where = f"{message.topic()} {message.partition()} {message.offset()}"
                lot.bad.append(Bad(reason, message.value() or b"", message.key(), where))
            lot.skipped.update(skipped)
            lot.packets += packets
            lot.times += [sent] * len(packets)
        return lot

    def _decoded(self, messages: list[tuple]) -> list:
        begun = time.monotonic()
        while messages:
            try:
                return self._decoder(messages)
            except OSError as error:
                if time.monotonic() - begun > _REGISTRY:
                    raise StreamError(f"the registry of schemas cannot be reached: {error}") from error
                log.warning("the registry of schemas cannot be reached, trying again: %s", error)
                time.sleep(1)
        return []

    def commit(self, position: dict) -> None:
        """Let the group begin after these messages."""
        from confluent_kafka import KafkaException, TopicPartition

        there = [
            TopicPartition(*place, offset) for place, offset in position.items() if place in self._assigned
        ]
        if not there:
            return
        try:
            self._consumer.commit(offsets=there, asynchronous=False)
        except KafkaException as error:  # of a lost partition, for one: its next owner sees the repeats
            log.warning("offsets were not committed: %s", error.args[0].str())

    def lag(self) -> int:
        """Messages that wait, as far as is known."""
        from confluent_kafka import TopicPartition

        assigned = [TopicPartition(*place) for place in sorted(self._assigned)]
        waiting = 0
        for place in self._consumer.position(assigned) if assigned else ():
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if end >= 0 and place.offset >= 0:
                waiting += max(0, end - place.offset)
        return waiting

    def close(self) -> None:
        self._decoder.close()
        self._consumer.close()

    def _on_assign(self, consumer, partitions) -> None:
        new = []
        for place in consumer.committed(partitions, timeout=_ANSWER):
            if place.offset < 0:
                low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER)
                place.offset = low if self._start == "earliest" else high
                new.append(place)
        if new:
            consumer.commit(offsets=new, asynchronous=False)
        self._assigned |= {(p.topic, p.partition) for p in partitions}

    def _on_revoke(self, consumer, partitions) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        self._assigned -= gone
        self._ended -= gone


class KafkaOutput:
    """The topics of fingerprints and of bad packets; made where they are not there.

    Parameters
    ----------
    topic, bad_topic : names
    brokers, settings : as of `KafkaSource`
    registry : where the schema of fingerprints is to be registered; None: nowhere
    """

    def __init__(
        self,
        topic: str,
        bad_topic: str,
        *,
        brokers: str,
        settings: Mapping | None = None,
        registry: str | None = None,
    ) -> None:
        self.topic, self.bad_topic = topic, bad_topic
        self._common = {"bootstrap.servers": brokers, **flat(settings or {})}
        self._known = {n: v for n, v in self._common.items() if not n.startswith(_OF_CONSUMERS)}
        self.number = 0 if registry is None else register(registry, topic)
        self.ends: dict[str, int] = {}
        self._failed: list[str] = []
        self._make_topics()
        self._producer = client(
            "Producer",
            **{"enable.idempotence": True, "linger.ms": 5, "compression.type": "zstd", **self._known},
        )

    def _make_topics(self) -> None:
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import NewTopic

        admin = client("AdminClient", **self._known)
        for made in admin.create_topics([NewTopic(n, 1) for n in (self.topic, self.bad_topic)]).values():
            try:
                made.result(_ANSWER)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise StreamError(f"Kafka: {error.args[0].str()}") from error
        there = admin.list_topics(self.topic, timeout=_ANSWER).topics[self.topic]
        self._partitions = sorted(there.partitions)

    def held(self, ends: Mapping[str, int] | None) -> set[tuple]:
        """Keys of the fingerprints that the topic holds after the ends remembered, by partition.

        With None nothing is remembered: the ends are those of now.
        """
        from confluent_kafka import KafkaError, TopicPartition

        settings = {"group.id": "rtf-looks", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = client("Consumer", **{**settings, "auto.offset.reset": "earliest", **self._common})
        keys: set[tuple] = set()
        try:
            begin = {}
            for number in self._partitions:
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(self.topic, number), timeout=_ANSWER
                )
                # not all brokers say where the last batch ends, so the end is read
                begin[number] = max(low, high - 1) if ends is None else max(low, ends.get(str(number), 0))
            consumer.assign([TopicPartition(self.topic, n, offset) for n, offset in begin.items()])
            self.ends, left, until = {str(n): o for n, o in begin.items()}, set(begin), time.time() + _ANSWER
            while left:
                for message in consumer.consume(100, 0.5):
                    until = time.time() + _ANSWER
                    if (error := message.error()) is None:
                        self.ends[str(message.partition())] = message.offset() + 1
                        if ends is not None:
                            keys |= _keys(message.value())
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition())
                if time.time() > until:
                    raise StreamError(f"the topic {self.topic} could not be read to its end")
        finally:
            consumer.close()
        return keys

    def send(self, messages: Sequence[bytes], bad: Sequence[Bad] = ()) -> dict[str, int]:
        """Send fingerprints and bad packets; returns, once the topics have them, where the topic ends.

        StreamError where the broker does not take them.
        """
        for message in messages:
            self._produce(self.topic, message, None, None)
        for one in bad:
            about = {"reason": one.reason, "from": one.where}
            self._produce(self.bad_topic, one.value, one.key, {n: v.encode() for n, v in about.items()})
        while self._producer.flush(1.0) and not self._failed:
            pass
        if self._failed:
            raise StreamError(f"the broker did not take a message: {self._failed[0]}")
        return dict(self.ends)

    def _produce(self, topic: str, value: bytes, key: bytes | None, headers: dict | None) -> None:
        from confluent_kafka import KafkaError, KafkaException

        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                # a bad packet may be larger than what this producer sends: its beginning tells enough
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE or topic != self.bad_topic:
                    raise StreamError(f"Kafka: {error.args[0].str()}") from error
                value, key = value[: 1 << 16], (key or b"")[: 1 << 10] or None
                headers = {**headers, "cut": b"the first bytes of it"}

    def _delivered(self, error, message) -> None:
        if error is not None:
            self._failed.append(error.str())
        elif message.topic() == self.topic:
            name = str(message.partition())
            self.ends[name] = max(self.ends.get(name, 0), message.offset() + 1)


def _keys(message: bytes) -> set[tuple]:
    try:
        return set(keys_of(read_message(message)))
    except ValueError:
        log.warning("the output topic holds a message that is no %s", schema()["name"])
        return set()


def _hopeless() -> set[int]:
    from confluent_kafka import KafkaError

    return {
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }  # fmt: skip
