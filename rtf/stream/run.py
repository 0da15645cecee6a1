"""The stream itself: batches from a source, through the model, to topic, archive and histories.

Notable:
- while a batch is encoded and written, a second thread reads and decodes the next one and prepares its
  stamps; no more than that waits, so a source is never read faster than its alerts are stored
- a batch is what has come: small, for short latency, when alerts are few, up to `most` under load
- order is everything: topic, archive, histories, commit. Whatever is stopped between two of these is done
  again, and each leaves out what it has (`rtf/stream/__init__.py`)
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rtf.alerts.history import NO_CANDID, SourceHistory
from rtf.alerts.report import ReadReport
from rtf.encoding.table import fingerprint_table
from rtf.stream.history import Histories
from rtf.stream.messages import key_of, messages_of
from rtf.stream.metrics import Metrics
from rtf.stream.packets import Bad, Lot
from rtf.workers import give_back

log = logging.getLogger(__name__)


@dataclass
class Stream:
    """What a stream is made of; `output` and `archive` may be None."""

    model: object  # `rtf.load(run)`
    probe: object
    source: object  # `KafkaSource` or `FileSource`
    histories: Histories
    archive: object
    output: object
    metrics: Metrics
    send: str = "all"
    keep: str = "all"


def run(
    stream: Stream,
    *,
    most: int = 512,
    wait: float = 0.5,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[Metrics], None] | None = None,
) -> Metrics:
    """Stream until the source ends or `stopped()`; the batch that has begun is finished then.

    Parameters
    ----------
    most : messages in a batch
    wait : seconds in which a batch is gathered
    progress : called after each batch
    """
    held: set[tuple] = set()
    if stream.output is not None:
        name = f"end of {stream.output.topic}"
        ends = stream.histories.note(name)
        held = stream.output.held(ends)
        if ends is None:
            stream.histories.notes(**{name: stream.output.ends})
    last = False
    with ThreadPoolExecutor(1, "read") as reading:
        following = reading.submit(_next, stream, most, wait)
        while not last:
            lot = following.result()
            if not (last := lot.last or stopped()):
                following = reading.submit(_next, stream, most, wait)
            if lot.messages or lot.bad or lot.position:
                process(stream, lot, held)
                if progress is not None:
                    progress(stream.metrics)
    return stream.metrics


def _next(stream: Stream, most: int, wait: float) -> Lot:
    lot = stream.source.read(most, wait)
    stream.model.prepare(lot.packets)
    return lot


def process(stream: Stream, lot: Lot, held: set[tuple]) -> None:
    """Take a batch all the way; `held` are keys of what the topic has of it already."""
    metrics, survey, space = stream.metrics, stream.source.survey, stream.model.space
    clock = _Clock(metrics)
    known, repeats = stream.histories.known(lot.packets, survey, space)
    clock("known")
    table, known, bad = encoded(stream, known)
    bad = lot.bad + bad
    clock("encode")
    sent_bytes, notes = 0, {}
    if stream.output is not None and (len(table) or bad):
        messages = _messages(stream, table, known, survey, held)
        sent_bytes = sum(map(len, messages))
        notes[f"end of {stream.output.topic}"] = stream.output.send(messages, bad)
    elif bad:
        log.warning("%d bad packets, the first of %s: %s", len(bad), bad[0].where, bad[0].reason)
    clock("topic")
    if stream.archive is not None and len(table):
        stream.archive.add(table, survey=survey, keep=stream.keep)
    clock("archive")
    if lot.packets:
        stream.histories.add(lot.packets, survey, space, notes)
    clock("histories")
    stream.source.commit(lot.position)
    clock("commit")
    lot.bad = bad
    metrics.batch(lot, len(table), repeats, sent_bytes, stream.source.lag(), time.time())
    if len(table):
        latent = np.asarray(table["fingerprint"].combine_chunks().flatten()).reshape(len(table), -1)
        strangeness = table["strangeness"].fill_null(np.nan).to_numpy()
        metrics.alerts(latent, strangeness, known)
    give_back()
    clock("metrics")


def encoded(stream: Stream, known: list[SourceHistory]) -> tuple[pa.Table, list[SourceHistory], list[Bad]]:
    """The table of what can be encoded, whose rows these are, and the rest as bad packets."""
    if not known:
        return pa.table({}), [], []
    report = ReadReport()
    table = fingerprint_table(stream.model, known, stream.probe, report, alerts=True)
    bad = [Bad(item["reason"], b"", None, item["item"]) for item in report.items]
    if not len(table):
        return pa.table({}), [], bad
    if bad:
        rows = {_alert(h): h for h in known}
        columns = (table[n].to_pylist() for n in ("object_id", "candid", "mjd"))
        known = [rows[key] for key in zip(*columns)]
    return table, known, bad


def _alert(history: SourceHistory) -> tuple:
    candid = int(history.candid[-1])
    return history.object_id, None if candid == NO_CANDID else candid, float(history.mjd[-1])


def _messages(
    stream: Stream, table: pa.Table, known: list[SourceHistory], survey: str, held: set
) -> list[bytes]:
    """Messages for the topic, without what it holds."""
    if not len(table):
        return []
    if held:
        own = [key_of(survey, stream.model.space, c, o, m) for o, c, m in map(_alert, known)]
        new = np.array([key not in held for key in own])
        held.difference_update(own)
        table, known = table.filter(pa.array(new)), [h for h, k in zip(known, new, strict=True) if k]
    bands = [h.survey.bands[h.band[-1]] for h in known]
    latest = stream.model.config.data.get("view", "first") == "latest"
    first = [len(h) - n if latest else 0 for h, n in zip(known, table["n_detections"].to_pylist())]
    days = [float(h.mjd[-1] - h.mjd[k]) for h, k in zip(known, first)]
    sent = messages_of(table, bands, days, survey, stream.send, stream.output.number)
    return [message for message, _ in sent]


class _Clock:
    """Tells the metrics how long each step took."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics, self._last = metrics, time.monotonic()

    def __call__(self, step: str) -> None:
        now = time.monotonic()
        self._metrics.step(step, now - self._last)
        self._last = now
