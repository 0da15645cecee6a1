"""LSST: alert packets to fingerprints, a visit's worth in seconds, and histories of up to 1,000 points.

Counted first: a packet is 40 kB or so, three cutouts of 30 x 30 and a history of some hundred points with 100
columns each, most of which nobody asks for. The model sees the latest 128 points, so that a history of 1,000
costs no more to encode than one of 128; decoding it from Avro grows with it.

RTF_LSST_ALERTS=10000 is the number of packets, of simulated sources; RTF_LSST_RUN a run folder or a name.
"""

import os
import sys
import time

import numpy as np

import rtf
from rtf.alerts.history import from_columns
from rtf.alerts.surveys.lsst import LSST
from rtf.simulation.survey import SimulatedSurvey
from rtf.simulation.write import write_survey
from tests.benchmarks.memory import peak_of_tree

MODEL = os.environ.get("RTF_LSST_RUN", "lsst")
ALERTS = int(os.environ.get("RTF_LSST_ALERTS", 10_000))
LENGTHS, SOURCES = (30, 100, 300, 1000), 500


def long_history(length: int, seed: int):
    """A source of many visits, most of them forced photometry."""
    rng = np.random.default_rng([length, seed])
    mjd, band = 61000 + np.sort(rng.uniform(0, 300, length)), rng.integers(0, len(LSST.bands), length)
    flux = 20_000 * np.exp(-(((mjd - 61150) / 40) ** 2)) + rng.normal(0, 300, length)
    mag, magerr = LSST.magnitude(flux, np.full(length, 300.0), band)
    metadata = np.full((length, len(LSST.metadata_fields)), np.nan, np.float32)
    metadata[:, LSST.metadata_fields.index("forced")] = rng.random(length) < 0.7
    return from_columns(f"{length}_{seed}", mjd, band, mag, magerr, metadata=metadata, survey=LSST)


def test_packets(tmp_path):
    folder, n = tmp_path / "alerts", 0
    for number in range(100):  # surveys of their own, until there are enough
        survey = SimulatedSurvey(64, seed=number, stamps=True, survey="lsst")
        write_survey(survey, folder / str(number), "avro", settings={}, split=lambda n, _: ["test"] * len(n))
        n = len(list(folder.rglob("*.avro")))
        if n >= ALERTS:
            break
    size = sum(p.stat().st_size for p in folder.rglob("*.avro")) / n
    print(f"\n{n:,} simulated LSST packets of {size / 1e3:.0f} kB, model {MODEL}")
    ours = [sys.executable, "-m", "rtf.encode", f"run={MODEL}", f"input={folder}", "progress=false"]
    for name, more in (("a row for each object", []), ("a row for each alert", ["per=alert"])):
        _, proportional, seconds = peak_of_tree([*ours, *more, f"out={tmp_path}/{len(more)}.parquet"])
        print(
            f"  rtf.encode, {name:<22} {n / seconds:7,.0f} alerts/s, 10,000 in {1e4 * seconds / n:5.0f} s, "
            f"{proportional:,.0f} MiB"
        )


def test_long_histories():
    model = rtf.load(MODEL)
    print(f"\n{SOURCES} light curves of so many points, one process")
    for length in LENGTHS:
        histories = [long_history(length, k) for k in range(SOURCES)]
        model.encode(histories[:64])
        began = time.perf_counter()
        model.encode(histories)
        took = time.perf_counter() - began
        print(f"  {length:>5} points {SOURCES / took:7,.0f} sources/s")
