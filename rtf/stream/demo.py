"""A stream from end to end: `make demo-stream`, or `python -m rtf.stream.demo [KEY=VALUE ...]`.

It starts a broker, sends a simulated survey with stamps, and real packets where RTF_REAL_DATA names a folder
with them, streams them into a topic and an archive, and ends with what a subscriber sees, a search, a look at
the explorer's page, and what went through. KEY=VALUE are settings of rtf.stream. What it made is in
data/demo-stream.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from itertools import chain
from pathlib import Path

from rtf.stream.broker import QUICK, free_port, local_broker
from rtf.stream.replay import packets_of, publish

FOLDER = Path("data/demo-stream")
N_SOURCES = 40


def run(*command: str) -> None:
    print("\n$ python -m " + " ".join(command), flush=True)
    subprocess.run([sys.executable, "-m", *command], check=True)


def main() -> None:
    began, packets = time.perf_counter(), FOLDER / "packets"
    if not packets.exists():
        run("rtf.simulate", f"out={packets}", f"n_sources={N_SOURCES}", "stamps=true", "format=avro")
    for name in ("histories", "archive"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    real = Path(os.environ.get("RTF_REAL_DATA", "no"), "ztf_alerts/avro")
    with local_broker(FOLDER / "broker.log") as brokers:
        more = packets_of(real) if real.exists() else ()
        sent = publish(brokers, "alerts", chain(packets_of(packets), more))
        print(f"\n{sent:,} alerts wait in the topic alerts, at {brokers}", flush=True)
        begin = time.perf_counter()
        run(
            "rtf.stream", f"brokers={brokers}", "stream.topics=[alerts]", "output=fingerprints", "until=end",
            f"folder={FOLDER / 'histories'}", f"archive={FOLDER / 'archive'}",
            *(f"+kafka.{name}={value}" for name, value in QUICK.items()), *sys.argv[1:],
        )  # fmt: skip
        took = time.perf_counter() - begin
        where = (f"brokers={brokers}", f"archive={FOLDER / 'archive'}")
        run("rtf.subscribe", "topic=fingerprints", *where, "until=end", "most=5")
    run("rtf.search", f"archive={FOLDER / 'archive'}", f"object={newest(FOLDER / 'archive')}", "newest=true")
    explored(f"archive={FOLDER / 'archive'}", f"history={FOLDER / 'histories'}")
    print(
        f"\n{sent:,} alerts in {took:.0f} s, {sent / took:.0f}/s with the start of the stream and its model"
    )
    print(f"done in {time.perf_counter() - began:.0f} s")


def explored(*settings: str) -> None:
    """Open the explorer, ask its page what it shows, and close it again."""
    port = free_port()
    print("\n$ python -m rtf.explore " + " ".join(settings), flush=True)
    page = subprocess.Popen([sys.executable, "-m", "rtf.explore", *settings, f"port={port}"])
    try:
        while True:
            if page.poll() is not None:
                raise SystemExit(f"the explorer ended with {page.returncode}")
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/api/status", timeout=5) as answer:
                    about = json.loads(answer.read())
                if about["ready"] or about["error"]:
                    break
            except OSError:  # it has not begun to listen
                pass
            time.sleep(0.5)
        print(
            f"a page with {about['n']:,} objects at http://localhost:{port}, closed again; "
            "the same line opens it"
        )
    finally:
        page.terminate()
        page.wait()


def newest(archive: Path) -> str:
    """The object with the most detections."""
    from rtf.archive import open_archive

    rows = open_archive(archive).newest()
    return rows["object_id"][int(rows["n_detections"].to_numpy().argmax())].as_py()


if __name__ == "__main__":
    main()
