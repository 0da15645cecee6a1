"""What a stream tells of itself: drift of a night, and that the dashboard asks for what there is."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("prometheus_client")

import rtf.stream
from rtf.alerts.history import METADATA_FIELDS
from rtf.store.read import open_store
from rtf.stream.metrics import Metrics, night_of, training_missing
from rtf.stream.packets import Bad, Lot
from tests.packets import packets
from tests.stream.streams import histories

HERE = Path(rtf.stream.__file__).parent


class Axes:
    """Fingerprints of the training split: mean 1, deviation 2."""

    centre, axes = np.ones(4), np.eye(4) / 2


def alerts(n: int, mjd: float = 60000.2) -> list:
    (one,) = histories(packets(n=1, cutouts=False))
    return [replace(one, alert=mjd, mjd=one.mjd * 0 + mjd) for _ in range(n)]


def told(metrics: Metrics, name: str, **labels):
    return metrics.registry.get_sample_value(name, {k: str(v) for k, v in labels.items()})


def test_a_night_like_the_training_split_does_not_drift():
    rng, missing = np.random.default_rng(0), np.zeros(len(METADATA_FIELDS))
    missing[METADATA_FIELDS.index("szmag2")] = 1.0
    metrics, n = Metrics(Axes, missing), 2000
    for _ in range(2):
        metrics.alerts(rng.normal(1, 2, (n, 4)), rng.random(n), alerts(n))
    drift = {
        of: told(metrics, "rtf_stream_drift", of=of, night=60000)
        for of in ("fingerprints", "scores", "missing")
    }
    assert drift["fingerprints"] < 0.05 and drift["scores"] < 0.05 and drift["missing"] == 0
    metrics.alerts(rng.normal(3, 2, (n, 4)), rng.random(n) ** 4, alerts(n, 60001.2))
    assert told(metrics, "rtf_stream_drift", of="fingerprints", night=60001) == pytest.approx(1, abs=0.1)
    assert told(metrics, "rtf_stream_drift", of="scores", night=60001) > 0.4
    assert told(metrics, "rtf_stream_missing_share", field="szmag2", night=60001) == 1
    for night in range(60002, 60010):
        metrics.alerts(rng.normal(1, 2, (1, 4)), np.full(1, np.nan), alerts(1, night + 0.2))
    assert told(metrics, "rtf_stream_night_alerts", night=60000) is None
    assert len(next(iter(metrics._missing.collect())).samples) == 3 * len(METADATA_FIELDS)


def test_nights_do_not_end_at_midnight():
    # Palomar observes from 2 to 13 h UT, Chile from 23 to 10 h
    assert night_of([60000.1, 60000.54, 59999.97, 60000.4]).tolist() == [60000] * 4


def test_reasons_stay_few():
    metrics = Metrics()
    for k in range(300):
        metrics.batch(Lot(bad=[Bad(f"reason {k}", b"")], messages=1, times=[5.0]), 0, 0, 0, 0, 7.0)
    assert told(metrics, "rtf_stream_skipped_total", reason="others") == 200
    assert metrics.latency() == {"0.5": 2.0, "0.99": 2.0} and metrics.counts["bad"] == 300


def test_missing_fields_of_a_store(store):
    shares = training_missing(open_store(store))
    assert shares.shape == (30,) and 0.2 < shares.mean() < 0.5


def test_the_dashboard_asks_for_metrics_that_there_are():
    text = (HERE / "grafana.json").read_text()
    asked = set(re.findall(r"rtf_stream_\w+", text))
    metrics = Metrics(Axes, np.zeros(30))
    metrics.alerts(np.ones((1, 4)), np.ones(1), alerts(1))
    metrics.step("encode", 1.0)
    metrics.batch(Lot(bad=[Bad("x", b"")], messages=1, times=[5.0]), 1, 0, 0, 0, 7.0)
    there = {s.name for family in metrics.registry.collect() for s in family.samples}
    assert asked <= there and len(json.loads(text)["panels"]) == 10


def test_the_compose_file_has_a_kafka():
    assert "apache/kafka" in yaml.safe_load((HERE / "compose.yaml").read_text())["services"]["kafka"]["image"]
