"""Stores in another survey's terms: python -m experiments.other_survey SURVEY OUT.zarr STORE... [--zeros]

    python -m experiments.other_survey ztf_asinh data/real_asinh.zarr data/real.zarr --zeros
    python -m experiments.other_survey ztf_lsst data/both.zarr data/real.zarr data/mallorn.zarr

Splits and labels stay, cutouts go. `--zeros` makes a non-detection a flux of zero with an error.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtf.alerts.convert import as_survey
from rtf.alerts.history import SourceHistory
from rtf.alerts.report import ReadReport
from rtf.alerts.surveys import survey_named
from rtf.store.build import preprocess
from rtf.store.read import open_store

_UNIT = 1000  # sources


@dataclass(frozen=True)
class OtherSurvey:
    """A reader of stores; the digest of a store is part of its units, so that a changed one is read again."""

    survey: str
    zeros: bool = False

    def units(self, path: Path) -> list[tuple[str, str, int, int]]:
        store = open_store(path)
        cuts = range(0, store.n, _UNIT)
        return [(str(path), store.digest, k, min(k + _UNIT, store.n)) for k in cuts]

    def read(self, unit, report: ReadReport) -> Iterator[SourceHistory]:
        path, _, first, last = unit
        for history in open_store(path).histories(slice(first, last), cutouts=False):
            found = as_survey(history, survey_named(self.survey), self.zeros)
            report.count("detections", len(found))
            yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("survey")
    parser.add_argument("out")
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--zeros", action="store_true")
    given = parser.parse_args()
    reader = OtherSurvey(given.survey, given.zeros)
    for k, store in enumerate(given.stores):
        preprocess(reader, store, given.out, append=k > 0, overwrite=k == 0)
    print(open_store(given.out).summary())


if __name__ == "__main__":
    main()
