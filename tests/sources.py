"""Made-up sources for tests that need numbers of the right shape, not astronomy."""

import numpy as np

from rtf.alerts.history import METADATA_FIELDS, SourceHistory, from_columns
from rtf.alerts.merge import merge_objects
from rtf.alerts.report import ReadReport


def made_up_sources(
    n: int, seed: int = 0, *, min_length: int = 3, max_length: int = 30
) -> list[SourceHistory]:
    """Smooth light curves with a class-dependent width and noise, two bands, a third of metadata missing."""
    rng = np.random.default_rng(seed)
    histories = []
    for k in range(n):
        label = int(rng.integers(10))
        length = int(rng.integers(min_length, max_length + 1))
        days = np.sort(rng.uniform(0, 40 + 10 * (label % 5), length))
        peak, width = rng.uniform(17, 19), 10.0 + 4 * label
        magerr = rng.uniform(0.03, 0.2, length)
        mag = peak + ((days - 15) / width) ** 2 + magerr * rng.normal(size=length)
        metadata = rng.normal(label, 1, (length, len(METADATA_FIELDS))) * np.logspace(-1, 2, 30)
        metadata[rng.random(metadata.shape) < 0.33] = np.nan
        histories.append(
            from_columns(
                f"made{seed}_{k:05d}",
                59000 + days,
                rng.integers(0, 2, length),
                mag,
                magerr,
                metadata=metadata,
                candid=np.arange(length) + 1000 * (k + 1),
                label=label,
            )
        )
    for history in histories:
        number = int(rng.integers(0, 6))
        when = history.mjd[0] + np.sort(rng.uniform(-40, 40, number))
        history.limits = np.column_stack([when, rng.integers(0, 2, number), rng.uniform(18, 21, number)])
    return histories


class ListReader:
    """Sources in memory as a reader would give them."""

    def __init__(self, sources: list[SourceHistory]):
        self.sources = sources

    def units(self, path) -> list[int]:
        return [0]

    def read(self, unit, report):
        yield from self.sources


class MadeUpReader:
    """Made-up sources as a reader would give them; it holds none, for a store keeps what a reader is."""

    def __init__(self, n: int, seed: int = 0):
        self.n, self.seed = n, seed

    def units(self, path) -> list[int]:
        return [0]

    def read(self, unit, report):
        yield from made_up_sources(self.n, self.seed)


def merge(histories: list[SourceHistory]) -> tuple[SourceHistory, int]:
    """One history of several of one object, and how many repeats were dropped."""
    report = ReadReport()
    (merged,) = merge_objects(histories, report)
    return merged, report.counts["repeats"]
