"""A reader of nothing: random histories with repeats, cutouts, and objects spread over units."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtf.alerts.history import METADATA_FIELDS, SourceHistory, from_columns
from rtf.alerts.report import ReadReport


@dataclass
class FakeReader:
    """`path` is not read; `kill_at` ends the process with SIGKILL before that unit is finished.

    With `kill_main` it is the process that started this worker, and the worker leaves its id in that file.
    """

    units_number: int = 5
    per_unit: int = 8
    objects: int = 20
    seed: int = 0
    cutouts: bool = True
    splits: bool = False
    first: int = 0
    kill_at: int = -1
    kill_main: str = ""

    def units(self, path) -> list[int]:
        return list(range(self.first, self.first + self.units_number))

    def read(self, unit: int, report: ReadReport) -> Iterator[SourceHistory]:
        for history in unit_histories(self, unit):
            report.count("packets")
            report.count("detections", len(history))
            yield history
            if unit == self.kill_at and self.kill_main:
                with open(self.kill_main, "w") as file:
                    file.write(str(os.getpid()))
                os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
                time.sleep(60)
            elif unit == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        report.skip(f"unit{unit}", "a bad packet", item="1")


def unit_histories(reader: FakeReader, unit: int) -> list[SourceHistory]:
    rng = np.random.default_rng([reader.seed, unit])
    return [fake_history(rng, int(rng.integers(reader.objects)), reader) for _ in range(reader.per_unit)]


def fake_history(rng, number: int, reader: FakeReader) -> SourceHistory:
    """A history of object `number` that shares times, bands and ids with its other histories."""
    length = int(rng.integers(1, 9))
    night = rng.integers(0, 12, length)
    metadata = rng.normal(size=(length, len(METADATA_FIELDS))).astype(np.float32)
    # Repeats of one detection differ in how much they know, never equally rich: as a packet and its copies.
    metadata[rng.random(metadata.shape) < 0.3] = np.nan
    candid = np.where(rng.random(length) < 0.7, 1000 * number + night, -1)
    cutouts = None
    if reader.cutouts:
        cutouts = [
            tuple(rng.bytes(int(rng.integers(1, 400))) if rng.random() < 0.7 else None for _ in range(3))
            for _ in range(length)
        ]
    position = rng.normal([10.0 * number, 5], 1e-5) if rng.random() < 0.8 else (np.nan, np.nan)
    return from_columns(
        f"ZTF{number:04d}",
        59000.0 + night,
        night % 3,
        rng.uniform(15, 20, length),
        rng.uniform(0.01, 0.1, length),
        metadata=metadata,
        candid=candid,
        cutouts=cutouts,
        ra=float(position[0]),
        dec=float(position[1]),
        label=number % 11 - 1 if rng.random() < 0.5 else -1,
        split=("train", "val", "test")[number % 3] if reader.splits else "",
    )
