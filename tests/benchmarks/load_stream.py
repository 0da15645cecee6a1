"""Load on the stream: `make bench-stream`, or python -m tests.benchmarks.load_stream [KEY=VALUE ...].

Counted first, on one core: an alert costs 1.3 ms to decode (Avro, three stamps to check), 1.8 ms to encode
with the model in the box, and some 0.4 ms in histories, archive and topic. That is 3.5 ms, so two cores could
do 570 alerts/s, and 300 alerts/s leave them half idle.

A simulated survey with stamps is sent again and again, as `twins` under other names, for `minutes`, `rate` a
second; then `burst` alerts at once. Broker, sender and whatever else runs share the cores with the stream, so
its own processor time an alert is told beside what the clock says. Other keys: cores=2, sources=420,
out=FOLDER, and what rtf.stream takes.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rtf.alerts.readers.ztf_avro import records
from rtf.stream.broker import local_broker
from rtf.stream.replay import packets_of, publish

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
#: Difference of the candids of a packet and its twin; they stay as many bytes in Avro.
STEP = 10**12


def varint(value: int) -> bytes:
    """A long in Avro."""
    value, out = value << 1, bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def twins(packet: bytes, number: int) -> Iterator[bytes]:
    """The packet, and as if it were of other objects: names and detection ids are exchanged in place."""
    (record,) = records(packet)
    name = record["objectId"].encode()
    past = record["prv_candidates"] or []
    candids = {record["candid"], record["candidate"]["candid"], *(p["candid"] for p in past)} - {None}
    places = [(m.start(), c) for c in candids for m in re.finditer(re.escape(varint(c)), packet)]
    names = [m.start() for m in re.finditer(re.escape(name), packet)]
    for k in range(number):
        twin = bytearray(packet)
        for place, candid in places:
            other = varint(candid + k * STEP)
            twin[place : place + len(other)] = other
        for place in names:
            twin[place : place + 3] = b"S%02d" % k
        yield bytes(twin)


def in_time(folder: str, number: int) -> Iterator[bytes]:
    """All packets of a folder in the order of time, each followed by its twins."""
    when = {}
    for k, packet in enumerate(packets_of(folder)):
        when[k] = next(records(packet))["candidate"]["jd"]
    packets = list(packets_of(folder))
    for k in sorted(when, key=when.get):
        yield from twins(packets[k], number)


def send(brokers: str, folder: str, number: str, rate: str, burst: str) -> None:
    """The sender, in a process of its own."""
    number, burst = int(number), int(burst)
    packets = in_time(folder, 1 + (number + burst) // 13_000 + 1)
    publish(brokers, "alerts", islice(packets, number), float(rate))
    print("burst", flush=True)
    publish(brokers, "alerts", islice(packets, burst))


def descendants(pid: int) -> list[int]:
    found = [pid]
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += descendants(int(entry.parent.name))
    return found


def usage(pid: int) -> tuple[float, float]:
    """Processor seconds, and MB in memory of a process and its children."""
    seconds = memory = 0.0
    for own in descendants(pid):
        try:
            fields = Path(f"/proc/{own}/stat").read_text().rpartition(")")[2].split()
            # what maps a file is the page cache: LMDB's, given back whenever somebody else needs it
            pages = Path(f"/proc/{own}/statm").read_text().split()
        except OSError:
            continue
        seconds += (int(fields[11]) + int(fields[12])) / TICK
        memory += (int(pages[1]) - int(pages[2])) * PAGE / 2**20
    return seconds, memory


def asked(port: int) -> dict[str, float]:
    """What the stream's metrics say now."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    return {name: float(value) for name, value in re.findall(r"^(rtf_\S+) (\S+)$", text, re.MULTILINE)}


def wait_for(port: int, stream: subprocess.Popen) -> None:
    while stream.poll() is None:
        try:
            asked(port)
            return
        except OSError:
            time.sleep(1)
    raise SystemExit("the stream did not start: see stream.log")


def main(*arguments: str) -> None:
    given = dict(a.split("=", 1) for a in arguments)
    minutes, rate = float(given.pop("minutes", 10)), float(given.pop("rate", 300))
    burst, port = int(given.pop("burst", 10_000)), int(given.pop("port", 9108))
    sources, cores = given.pop("sources", "420"), int(given.pop("cores", 2))
    work = Path(given.pop("out", None) or tempfile.mkdtemp())
    packets = Path(given.pop("packets", work / "packets"))
    if not packets.exists():
        line = [
            "rtf.simulate",
            f"out={packets}",
            f"n_sources={sources}",
            "stamps=true",
            "format=avro",
            "seed=5",
        ]
        subprocess.run([sys.executable, "-m", *line], check=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    number, rows = int(rate * 60 * minutes), []
    with local_broker(work / "broker.log") as brokers:
        publish(brokers, "alerts", [])
        line = [
            "rtf.stream", f"brokers={brokers}", "stream.topics=[alerts]", f"folder={work / 'histories'}",
            f"archive={work / 'archive'}", "output=fingerprints", f"metrics={port}", "progress=false",
            "+kafka.session.timeout.ms=6000", *(f"{k}={v}" for k, v in given.items()),
        ]  # fmt: skip
        log = (work / "stream.log").open("w")
        stream = subprocess.Popen([sys.executable, "-m", *line], stdout=log, stderr=log)
        wait_for(port, stream)
        sender = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.load_stream", "send", brokers, str(packets), str(number),
             str(rate), str(burst)], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        begin = time.monotonic()
        while True:
            time.sleep(5)
            metrics, (seconds, memory) = asked(port), usage(stream.pid)
            rows.append({
                "s": time.monotonic() - begin, "alerts": metrics["rtf_stream_alerts_total"],
                "messages": metrics["rtf_stream_messages_total"], "lag": metrics["rtf_stream_lag"],
                "p50": metrics.get('rtf_stream_latency_quantile_seconds{quantile="0.5"}', np.nan),
                "p99": metrics.get('rtf_stream_latency_quantile_seconds{quantile="0.99"}', np.nan),
                "in": metrics.get('rtf_stream_bytes_total{direction="in"}', 0.0),
                "out": metrics.get('rtf_stream_bytes_total{direction="out"}', 0.0),
                "cpu": seconds, "MB": memory, "load": os.getloadavg()[0],
            })  # fmt: skip
            (work / "load.json").write_text(json.dumps(rows))
            if sender.poll() is not None and rows[-1]["messages"] >= number + burst:
                break
            if stream.poll() is not None or time.monotonic() - begin > 3 * 60 * minutes + 600:
                break
        stream.terminate()
        stream.wait(60)
    tell(rows, number, burst, rate)


def tell(rows: list[dict], number: int, burst: int, rate: float) -> None:
    """What was measured."""
    sustained = [r for r in rows if 0 < r["messages"] <= number]
    first, last = sustained[len(sustained) // 10], sustained[-1]
    taken = (last["messages"] - first["messages"]) / (last["s"] - first["s"])
    cpu = 1000 * (last["cpu"] - first["cpu"]) / (last["messages"] - first["messages"])
    half = sustained[len(sustained) // 2]
    ended = rows[-1]["messages"] >= number + burst
    end_of_sending = number / rate
    print(
        f"sent {rate:.0f} alerts/s for {end_of_sending:.0f} s, then {burst:,} at once; load average "
        f"{np.mean([r['load'] for r in rows]):.1f}\n"
        f"taken: {taken:.0f} alerts/s; processor time {cpu:.2f} ms an alert, so {2000 / cpu:.0f} alerts/s of "
        f"two cores\nlag at the end of the even part {last['lag']:.0f}; "
        f"{'0' if ended else 'not 0'} {rows[-1]['s'] - end_of_sending:.0f} s after the burst began\n"
        f"latency over the even part: median of p50 {np.nanmedian([r['p50'] for r in sustained]):.2f} s, "
        f"of p99 {np.nanmedian([r['p99'] for r in sustained]):.2f} s\n"
        f"memory {half['MB']:.0f} MB half way, {last['MB']:.0f} MB at the end of the even part, "
        f"{rows[-1]['MB']:.0f} MB after the burst\n"
        f"bytes: {last['in'] / last['messages']:.0f} in and {last['out'] / last['alerts']:.1f} out an alert"
    )


if __name__ == "__main__":
    send(*sys.argv[2:]) if sys.argv[1:2] == ["send"] else main(*sys.argv[1:])
