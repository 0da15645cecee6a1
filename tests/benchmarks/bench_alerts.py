"""Reading alerts, on one core.

Counted first: a packet of ZTF is about 60 kB, of which 40 kB are stamps; its 36 history entries hold some
1,500 numbers, each decoded into a Python object by any Avro library. The baseline only decodes packets with
fastavro; ours also checks the stamps, picks the columns and yields source histories.
"""

import os
import shutil
import time
from pathlib import Path

import fastavro
import numpy as np

from rtf.alerts.read import auto_reader
from rtf.alerts.report import ReadReport
from tests.packets import packets, write_avro

COPIES = 40


def alert_files(folder: Path) -> list[Path]:
    """Real alerts many times over where there are some, else synthetic ones."""
    real = os.environ.get("RTF_REAL_DATA")
    if real:
        source = sorted(Path(real, "ztf_alerts/avro").glob("*.avro"))
        paths = [folder / f"{k:03d}_{p.name}" for k in range(COPIES) for p in source]
        for k, path in enumerate(paths):
            shutil.copy(source[k % len(source)], path)
        return paths
    return write_avro(folder, [p for k in range(COPIES) for p in packets(f"ZTF20x{k}", n=12, seed=k)])


def test_reading_avro(tmp_path):
    paths = alert_files(tmp_path)

    def baseline():
        began = time.perf_counter()
        for path in paths:
            with path.open("rb") as stream:
                list(fastavro.reader(stream))
        return len(paths) / (time.perf_counter() - began)

    def ours(cutouts):
        reader, report, began = auto_reader(tmp_path, cutouts=cutouts), ReadReport(), time.perf_counter()
        for unit in reader.units(tmp_path):
            for _ in reader.read(unit, report):
                pass
        assert report.counts["packets"] == len(paths)
        return len(paths) / (time.perf_counter() - began)

    baseline(), ours(True)  # warm-up
    rounds = [(baseline(), ours(True), ours(False)) for _ in range(5)]
    decoding, full, no_cutouts = np.median(rounds, axis=0)
    print(f"\nreading {len(paths)} {'real' if os.environ.get('RTF_REAL_DATA') else 'synthetic'} Avro alerts")
    print(f"  fastavro, decoding alone       {decoding:,.0f} alerts/s")
    print(f"  to histories, stamps checked   {full:,.0f} alerts/s: {full / decoding:.2f} times")
    print(f"  to histories, without stamps   {no_cutouts:,.0f} alerts/s: {no_cutouts / decoding:.2f} times")
