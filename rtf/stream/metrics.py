"""What a stream tells of itself, for Prometheus: rates, lag, latency, batches, and the drift of a night.

Notable:
- drift is of alerts of one night against the training split: fingerprints in its whitened principal axes,
  where its own mean is 0 and its variance 1; strangeness, which is uniform for validation sources; and shares
  of missing metadata
- only the last nights are told; labels are few, whatever comes
"""

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from rtf.alerts.history import SourceHistory
from rtf.alerts.surveys import Survey
from rtf.alerts.surveys.ztf import ZTF
from rtf.store.read import Store

#: Fraction of a Julian day at which a night begins; noon lies there from California to Chile.
NIGHT_BEGINS = 0.7
#: Nights that are told, the last ones.
_NIGHTS = 3
_BINS = 200
#: Reasons of skipped packets that are told apart.
_REASONS = 100
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass
class Night:
    """Sums over the alerts of a night."""

    n: int = 0
    axes: np.ndarray | float = 0.0
    strangeness: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, int))
    missing: np.ndarray | int = 0  # alerts without each field of metadata

    def drift(self, training_missing: np.ndarray | None) -> dict[str, float]:
        """How far the night is from the training split, by what is looked at.

        fingerprints : root mean square of the mean in whitened axes [sigma of the training split]
        scores : largest difference between shares of strangeness and those of validation sources, 0 to 1
        missing : largest difference between shares of a missing field, 0 to 1
        """
        found = {}
        if np.ndim(self.axes):
            found["fingerprints"] = float(np.sqrt(np.mean((self.axes / self.n) ** 2)))
        if total := self.strangeness.sum():
            edges = np.arange(1, _BINS + 1) / _BINS
            found["scores"] = float(np.abs(np.cumsum(self.strangeness) / total - edges).max())
        if training_missing is not None:
            found["missing"] = float(np.abs(self.missing / self.n - training_missing).max())
        return found


def night_of(mjd: np.ndarray) -> np.ndarray:
    """The number of the night, the integer MJD of most of it."""
    return np.floor(np.asarray(mjd) - NIGHT_BEGINS).astype(int) + 1


def training_missing(store: Store, most: int = 2000) -> np.ndarray:
    """(30,) shares of training sources whose newest detection lacks each of the metadata."""
    train = store.sources("train")
    histories = store.histories(slice(train.start, min(train.stop, train.start + most)), cutouts=False)
    return np.mean([~np.isfinite(h.metadata[-1]) for h in histories if len(h)], axis=0)


class Metrics:
    """The stream's metrics, in a registry of their own; `serve` lets Prometheus ask for them."""

    def __init__(self, strangeness=None, missing: np.ndarray | None = None, survey: Survey = ZTF) -> None:
        import prometheus_client as prometheus

        self._survey = survey

        self.registry = prometheus.CollectorRegistry()
        own = {"registry": self.registry}
        self._alerts = prometheus.Counter(
            "rtf_stream_alerts", "Alerts whose fingerprint went all the way", **own
        )
        self._messages = prometheus.Counter("rtf_stream_messages", "Messages taken, good or bad", **own)
        self._repeats = prometheus.Counter(
            "rtf_stream_repeats", "Alerts that had gone all the way before", **own
        )
        self._skipped = prometheus.Counter("rtf_stream_skipped", "What was left out", ["reason"], **own)
        self._bytes = prometheus.Counter("rtf_stream_bytes", "Bytes of messages", ["direction"], **own)
        self._batch = prometheus.Histogram(
            "rtf_stream_batch_size", "Messages of a batch", buckets=_SIZES, **own
        )
        self._latency = prometheus.Histogram(
            "rtf_stream_latency_seconds", "From the message's time to the commit", buckets=_SECONDS, **own
        )
        self._quantile = prometheus.Gauge(
            "rtf_stream_latency_quantile_seconds", "Of the last 10,000 alerts", ["quantile"], **own
        )
        self._lag = prometheus.Gauge("rtf_stream_lag", "Messages that wait", **own)
        self._step = prometheus.Counter("rtf_stream_step_seconds", "Time spent in each step", ["step"], **own)
        self._drift = prometheus.Gauge(
            "rtf_stream_drift", "Distance from the training split", ["of", "night"], **own
        )
        self._missing = prometheus.Gauge(
            "rtf_stream_missing_share", "Alerts that lack a field", ["field", "night"], **own
        )
        self._of_night = prometheus.Gauge("rtf_stream_night_alerts", "Alerts of a night", ["night"], **own)
        self._strangeness, self._training_missing = strangeness, missing
        self._nights: dict[int, Night] = {}
        self._reasons: set[str] = set()
        self.latencies: deque[float] = deque(maxlen=10_000)
        self.counts: Counter = Counter()

    def serve(self, port: int) -> None:
        """Answer at http://localhost:PORT/metrics."""
        from prometheus_client import start_http_server

        start_http_server(port, registry=self.registry)

    def step(self, name: str, seconds: float) -> None:
        self._step.labels(name).inc(seconds)
        self.counts[f"seconds {name}"] += seconds

    def batch(self, lot, alerts: int, repeats: int, sent_bytes: int, lag: int, now: float) -> None:
        """Note a batch that was committed at `now` [Unix seconds]."""
        self._messages.inc(lot.messages)
        self._alerts.inc(alerts)
        self._repeats.inc(repeats)
        self._batch.observe(lot.messages)
        self._bytes.labels("in").inc(lot.n_bytes)
        self._bytes.labels("out").inc(sent_bytes)
        self._lag.set(lag)
        for reason, number in (Counter(b.reason for b in lot.bad) + lot.skipped).items():
            self._skipped.labels(self._reason(reason)).inc(number)
        took = [now - sent for sent in lot.times if sent == sent]
        for seconds in took:
            self._latency.observe(seconds)
        self.latencies.extend(took)
        if took:
            for quantile, seconds in self.latency().items():
                self._quantile.labels(quantile).set(seconds)
        counted = {
            "messages": lot.messages, "alerts": alerts, "repeats": repeats, "bad": len(lot.bad),
            "left out": lot.skipped.total(),
            "bytes in": lot.n_bytes, "bytes out": sent_bytes, "batches": 1,
        }  # fmt: skip
        self.counts.update(counted)

    def latency(self) -> dict[str, float]:
        """Latency [s] that half, and 99 of 100, of the last alerts had at most."""
        p50, p99 = np.percentile(self.latencies, [50, 99]) if self.latencies else (np.nan, np.nan)
        return {"0.5": float(p50), "0.99": float(p99)}

    def alerts(self, latent: np.ndarray, strangeness: np.ndarray, histories: list[SourceHistory]) -> None:
        """Note the fingerprints (N, F) of a batch, their strangeness (N,), and what was known (N)."""
        nights = night_of([h.alert for h in histories])
        lacking = ~np.isfinite([h.metadata[h.own] for h in histories])
        for number in np.unique(nights).tolist():
            own = nights == number
            night = self._nights.setdefault(number, Night())
            night.n += int(own.sum())
            if self._strangeness is not None:
                axes = (latent[own].astype(float) - self._strangeness.centre) @ self._strangeness.axes
                night.axes = night.axes + axes.sum(0)
            known = strangeness[own & np.isfinite(strangeness)]
            bins = np.minimum((known * _BINS).astype(int), _BINS - 1)
            night.strangeness += np.bincount(bins, minlength=_BINS)
            night.missing = night.missing + lacking[own].sum(0)
            self._tell(number, night)
        for number in sorted(self._nights)[:-_NIGHTS]:
            self._forget(number)

    def _tell(self, number: int, night: Night) -> None:
        self._of_night.labels(str(number)).set(night.n)
        for of, value in night.drift(self._training_missing).items():
            self._drift.labels(of, str(number)).set(value)
        for name, value in zip(self._survey.metadata_fields, night.missing / night.n):
            self._missing.labels(name, str(number)).set(value)

    def _forget(self, number: int) -> None:
        del self._nights[number]
        for gauge, labels in (
            (self._of_night, [()]),
            (self._drift, [("fingerprints",), ("scores",), ("missing",)]),
            (self._missing, [(n,) for n in self._survey.metadata_fields]),
        ):
            for label in labels:
                try:
                    gauge.remove(*label, str(number))
                except KeyError:  # was never told
                    continue

    def _reason(self, reason: str) -> str:
        if len(self._reasons) < _REASONS:
            self._reasons.add(reason)
        return reason if reason in self._reasons else "others"
