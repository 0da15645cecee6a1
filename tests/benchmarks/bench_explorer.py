"""The explorer with a million fingerprints: time to the first map, bytes, memory, and frames a second.

Counted first: a point is 19 bytes on its way to the page, 19 MB a million, and 12 bytes in the graphics card.
Placing one compares it with 10,000 of the sample: 640,000 multiplications, 1.3 TFLOP for a million.

RTF_EXPLORER_ROWS=1000000 is the number of rows, made up. The browser is Debian's Chromium without a graphics
card: SwiftShader draws on the cores that everything else runs on, so that its frames are a lower bound. The
baseline for them is the same page drawing all points in every frame.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rtf.archive import archive as module
from rtf.archive import open_archive
from tests.archive.made_up import table
from tests.explorer.browser import CHROMIUM, open_page
from tests.explorer.serving import free_port, status, until

ROWS = int(os.environ.get("RTF_EXPLORER_ROWS", 1_000_000))
WIDTH, LOT = 64, 50_000
#: Zooms in and out about the middle for five seconds; the milliseconds of each frame, and how many it drew.
ZOOM = """(whole) => new Promise((done) => {
  const { scatter } = window.explorer, began = performance.now(), drawn = [], took = [];
  let last = 0;
  scatter.rate.whole = whole;
  const step = (now) => {
    if (last) { took.push(now - last); drawn.push(scatter.rate.drawn); }
    last = now;
    scatter.zoomAt(now - began < 2500 ? 1.03 : 1 / 1.03);
    if (now - began < 5000) requestAnimationFrame(step); else done([took, drawn]);
  };
  requestAnimationFrame(step);
})"""


def made_up(folder: Path) -> Path:
    path = folder / "rows.parquet"
    with pq.ParquetWriter(path, table(1, width=WIDTH).schema, compression="zstd") as writer:
        for number, start in enumerate(range(0, ROWS, LOT)):
            writer.write_table(table(min(LOT, ROWS - start), seed=number, width=WIDTH))
    module.INDEX_ROWS = 1 << 40
    open_archive(folder / "archive").add(path)
    return folder / "archive"


def serve(archive: Path) -> tuple[subprocess.Popen, int, float]:
    """The server, its port, and the seconds until its map was ready."""
    port, began = free_port(), time.perf_counter()
    line = [sys.executable, "-m", "rtf.explore", f"archive={archive}", f"port={port}", "run=null"]
    server = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    until(lambda: status(port).get("ready"), 1800)
    return server, port, time.perf_counter() - began


def memory(pid: int) -> tuple[float, float]:
    """Resident memory now, and at most [MiB]."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(text.split(name)[1].split()[0]) / 1024 for name in ("VmRSS:", "VmHWM:"))


def test_a_million_points(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    began = time.perf_counter()
    archive = made_up(tmp_path)
    print(f"\n{ROWS:,} rows of {WIDTH} floats, made up, into an archive: {time.perf_counter() - began:.0f} s")
    for name in ("first map: read, fitted, placed, kept", "the kept map, started again"):
        server, port, took = serve(archive)
        say(name, f"{took:8.1f} s    {memory(server.pid)[1]:6,.0f} MiB at most")
        if name.startswith("first"):
            server.terminate()
            server.wait()
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://localhost:{port}/api/map") as answer:
        size = len(answer.read())
    say("the map, sent", f"{time.perf_counter() - began:8.2f} s    {size / 1e6:6.1f} MB")
    began = time.perf_counter()
    with open_page(port) as page:
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        say("browser's start to map and list", f"{time.perf_counter() - began:8.1f} s")
        until(lambda: page.evaluate("explorer.scatter.indexed()"), 120)
        page.wait_for_timeout(2000)
        for whole in (False, True):
            frames, drawn = page.evaluate(ZOOM, whole)
            frames.sort()
            name = "zooming, all points in every frame" if whole else "zooming, as the page does"
            middle, slow = frames[len(frames) // 2], frames[int(0.95 * len(frames))]
            rate, points = 1000 * len(frames) / sum(frames), sum(drawn) / len(drawn)
            say(
                name,
                f"{rate:8.1f} frames/s, {middle:.0f} ms, 95 % within {slow:.0f}, {points:,.0f} points each",
            )
        page.keyboard.press("0")
        page.wait_for_timeout(3000)
        if folder := os.environ.get("RTF_EXPLORER_PICTURES"):
            page.screenshot(path=str(Path(folder, "million.png")))
    say("server after it", f"{memory(server.pid)[0]:6,.0f} MiB")
    server.terminate()
    server.wait()


def say(name: str, text: str) -> None:
    print(f"  {name:<40} {text}", flush=True)
