"""Speed of the store on fake sources: reading an epoch, single stamps, and building.

    python tests/store/bench_store.py [FOLDER]

Counted first. An epoch of 5,000 sources of 20 detections is 100,000 rows of 146 bytes: 15 MB, which zstd
gives back at about 1 GB/s, 15 ms. One compressed NPZ a source holds it in 5,000 files of 6 members, to be
opened, inflated and parsed at about 0.1 ms a member: 3 s. Building writes the 60 kB of stamps of an alert
twice and reads them once, through the page cache: it is bound by memory, the disk, and what the reader does.

Measured with the 2 cores half taken by others: an epoch 2.7 s from NPZ, 0.029 s from the store (93 times
faster), 0.010 s without metadata; building 2,300 alerts/s (140 MB/s) with 2 workers, 1,800 in one process.
With the cores free, 5,000 alerts/s (300 MB/s) with 2 workers.
"""

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtf.alerts.history import METADATA_FIELDS, Detections, concatenate, from_columns
from rtf.store.build import preprocess
from rtf.store.parts import NUMBERS
from rtf.store.store import open_store


@dataclass
class Alerts:
    """Sources of `length` detections, one history each, with three stamps of `stamp` bytes."""

    sources: int
    length: int = 20
    stamp: int = 0
    per_unit: int = 50

    def units(self, path):
        return list(range(0, self.sources, self.per_unit))

    def read(self, unit, report):
        rng = np.random.default_rng(unit)
        noise = rng.bytes(self.stamp + 4096)
        for k in range(unit, min(unit + self.per_unit, self.sources)):
            report.count("packets", self.length)
            metadata = rng.normal(size=(self.length, len(METADATA_FIELDS)))
            cuts = rng.integers(0, 4096, (self.length, 3))
            yield from_columns(
                f"ZTF18{k:07d}",
                np.sort(rng.uniform(58000, 58100, self.length)),
                rng.integers(0, 3, self.length),
                rng.uniform(15, 20, self.length),
                rng.uniform(0.01, 0.1, self.length),
                metadata=metadata,
                candid=np.arange(self.length) + k * self.length,
                cutouts=[tuple(noise[c : c + self.stamp] for c in row) for row in cuts]
                if self.stamp
                else None,
                label=k % 10,
            )


def timed(function, repeats=3):
    """Seconds of the fastest call, and its result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def read_npz(files) -> Detections:
    parts = []
    for file in files:
        with np.load(file) as z:
            parts.append({name: z[name] for name in (*NUMBERS, "metadata")})
    offset = np.concatenate([[0], np.cumsum([len(p["mjd"]) for p in parts])])
    return Detections(offset, **{name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def epoch(folder: Path, sources: int = 5000) -> None:
    preprocess(
        Alerts(sources), "", folder / "photometry", workers=0, fractions=(1.0, 0.0, 0.0), progress=False
    )
    store = open_store(folder / "photometry")
    for history in store.histories():
        columns = {name: getattr(history, name) for name in (*NUMBERS, "metadata")}
        np.savez_compressed(folder / f"{history.object_id}.npz", **columns)
    files = sorted(folder.glob("*.npz"))
    one, a = timed(lambda: read_npz(files), 2)
    two, b = timed(lambda: store.detections("train"))
    three, _ = timed(lambda: store.detections("train", metadata=False))
    four, c = timed(lambda: concatenate(list(store.histories())))
    assert all(getattr(a, n).tobytes() == getattr(b, n).tobytes() == getattr(c, n).tobytes() for n in NUMBERS)
    print(f"an epoch of {sources} sources x 20 detections, photometry and metadata")
    print(f"  one compressed NPZ a source {one:8.3f} s")
    print(f"  store, as one slice         {two:8.3f} s   {one / two:.0f} times faster")
    print(f"  store, no metadata          {three:8.3f} s")
    print(f"  store, source by source     {four:8.3f} s")
    print(f"  opening the store           {timed(lambda: open_store(folder / 'photometry'))[0]:8.3f} s")


def building(folder: Path, sources: int = 2000, stamp: int = 20_000) -> None:
    reader = Alerts(sources, length=10, stamp=stamp)
    alerts = sources * reader.length
    read, _ = timed(lambda: sum(len(list(reader.read(u, _Nothing()))) for u in reader.units("")[:4]), 1)
    print(f"building: {alerts} alerts of {3 * stamp // 1000} kB, generated at {4 * 500 / read:,.0f} a second")
    for workers in (0, 2):
        out = folder / f"alerts{workers}"
        seconds, _ = timed(lambda w=workers, o=out: preprocess(reader, "", o, workers=w, progress=False), 1)
        rate = alerts * 3 * stamp / 1e6 / seconds
        print(f"  workers={workers}: {seconds:6.1f} s, {alerts / seconds:8,.0f} alerts/s, {rate:.0f} MB/s")
    seconds, _ = timed(
        lambda: preprocess(Alerts(sources, 10, stamp, 37), "", out, workers=2, append=True, progress=False), 1
    )
    print(f"  append of the same again: {seconds:6.1f} s")
    store = open_store(out)
    some = np.random.default_rng(0).integers(0, int(store.offset[-1]), 1000)
    store.cutouts(0)
    seconds, _ = timed(lambda: [store.cutouts(int(d)) for d in some], 1)
    print(f"  stamps of a random detection: {seconds * 1e3:.0f} us each")


class _Nothing:
    def count(self, *_):
        pass


if __name__ == "__main__":
    parent = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    epoch(parent)
    building(parent)
    shutil.rmtree(parent)
