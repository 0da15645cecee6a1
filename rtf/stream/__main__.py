"""Fingerprints of alerts as they come: `python -m rtf.stream stream=ztf archive=DIR output=TOPIC`."""

import signal
import threading
import time
from datetime import UTC, datetime

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("stream")
def main(config: DictConfig) -> None:
    stop = threading.Event()

    def end(number: int, _) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second signal kills at once

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    stream(resolved(config), stop.is_set)


def stream(config: DictConfig, stopped=lambda: False):
    """Stream as the settings say, until the source ends or `stopped()`; returns the metrics."""
    import torch

    import rtf
    from rtf.archive import open_archive
    from rtf.archive.rows import KEEP
    from rtf.encoding.shipped import fitting_model, run_folder
    from rtf.encoding.table import load_probe
    from rtf.store.read import open_store
    from rtf.stream.history import Histories, only_writer
    from rtf.stream.kafka import KafkaOutput
    from rtf.stream.messages import SEND
    from rtf.stream.metrics import Metrics, training_missing
    from rtf.stream.run import Stream, run
    from rtf.workers import cores

    for name, choices in (("send", SEND), ("keep", KEEP)):
        if config[name] not in choices:
            raise ValueError(f"{name} is {config[name]!r}; it must be one of {', '.join(choices)}")
    torch.set_num_threads(config.threads or max(1, cores() - 1))
    until = moment(config.until)
    chosen = run_folder(fitting_model(survey=config.stream.survey) if config.run == "auto" else config.run)
    model = rtf.load(chosen, config.device)
    if config.stream.survey != model.survey.name:
        raise ValueError(f"stream.survey={config.stream.survey}, and the model is of {model.survey.name}")
    probe = load_probe(chosen, model.space)
    cutouts = model.needs_cutouts or config.cutouts
    missing = None if config.train_store is None else training_missing(open_store(config.train_store))
    metrics = Metrics(model.strangeness, missing, model.survey)
    if config.metrics is not None:
        metrics.serve(config.metrics)
    with only_writer(config.folder):
        histories = Histories(config.folder, cutouts=cutouts, keep_days=config.keep_days)
        archive = None if config.archive is None else open_archive(config.archive)
        output = None
        if config.output is not None:
            output = KafkaOutput(
                config.output, config.bad or f"{config.output}-bad",
                brokers=config.brokers, settings=config.kafka, registry=config.registry,
            )  # fmt: skip
        source = instantiate(config.stream, _convert_="all", cutouts=cutouts, until=until)
        parts = Stream(model, probe, source, histories, archive, output, metrics, config.send, config.keep)
        try:
            run(
                parts, most=config.most, wait=config.wait, stopped=stopped,
                progress=said_now_and_then() if config.progress else None,
            )  # fmt: skip
        finally:
            source.close()
            histories.close()
    print(summary(metrics))
    return metrics


def moment(text) -> float | None:
    """`until` in Unix seconds: null, end, or a date and time, of UTC where it names no other zone."""
    if text is None:
        return None
    if text == "end":
        return time.time()
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError(f"until={text} is no time, such as 2026-03-01T12:00, and not end") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def said_now_and_then(seconds: float = 10.0):
    """Print what the metrics say every so often."""
    began = last = time.monotonic()
    before = 0

    def say(metrics) -> None:
        nonlocal last, before
        now = time.monotonic()
        if now - last >= seconds:
            alerts, latency = metrics.counts["alerts"], metrics.latency()
            lag = metrics.registry.get_sample_value("rtf_stream_lag")
            print(
                f"{now - began:7.0f} s  {(alerts - before) / (now - last):6.0f} alerts/s  {lag:7.0f} wait  "
                f"latency {latency['0.5']:.1f} s, {latency['0.99']:.1f} s",
                flush=True,
            )
            last, before = now, alerts

    return say


def summary(metrics) -> str:
    """One line a person can read."""
    counts = metrics.counts
    parts = [f"{counts['messages']:,.0f} messages", f"{counts['alerts']:,.0f} fingerprints"]
    for name in ("repeats", "left out", "bad"):
        if counts[name]:
            parts.append(f"{counts[name]:,.0f} {name}")
    if counts["bytes out"]:
        parts.append(f"{counts['bytes in']:,.0f} bytes in, {counts['bytes out']:,.0f} bytes out")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
