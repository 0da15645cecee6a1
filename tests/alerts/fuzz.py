"""Reads hundreds of damaged files, each beside a good one; run by test_fuzz.py in a process of its own.

Prints a line for each case that went wrong, and one with how many there were.
"""

import gzip
import io
import os
import shutil
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rtf.alerts.read import reader_class, readers
from rtf.alerts.report import ReadReport
from tests.packets import avro, packets, write_applecider, write_parquet

GOOD, BAD = packets("good", 3, size=21), packets("bad", 3, seed=1, size=21)
ROWS = {"object_id": ["bad"] * 40, "mjd": 59000.5 + np.arange(40.0), "band": ["g", "r"] * 20}
ROWS |= {"mag": np.linspace(18, 20, 40), "magerr": np.full(40, 0.1), "type": ["SN Ia"] * 40}


def tar(own: list[dict]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for packet in own:
            info = tarfile.TarInfo(f"{'x' * 120}{packet['candid']}.avro")
            content = avro([packet])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def parquet(folder: Path, columns: dict) -> bytes:
    pq.write_table(pa.table(columns), folder / "scratch", row_group_size=20)
    return (folder / "scratch").read_bytes()


def inputs(scratch: Path):
    """Name, reader, content of a file, and the names of a file to damage and of one to leave."""
    good = ROWS | {"object_id": ["good"] * 40}
    csv = "\n".join(
        [",".join(ROWS), *(",".join(str(x) for x in row) for row in zip(*ROWS.values())), ""]
    ).encode()
    yield "avro", "ztf_avro", avro(BAD), avro(GOOD), "bad.avro", "good.avro"
    yield "deflated avro", "ztf_avro", avro(BAD, "deflate"), avro(GOOD), "bad.avro", "good.avro"
    yield "tar", "ztf_avro", tar(BAD), tar(GOOD), "bad.tar", "good.tar"
    yield "tar.gz", "ztf_avro", gzip.compress(tar(BAD)), tar(GOOD), "bad.tar.gz", "good.tar"
    fink = [write_parquet(scratch / "f.parquet", own).read_bytes() for own in (BAD, GOOD)]
    yield "fink", "fink_parquet", *fink, "bad.parquet", "good.parquet"
    yield (
        "table",
        "light_curve_table",
        parquet(scratch, ROWS),
        parquet(scratch, good),
        "bad.parquet",
        "g.parquet",
    )
    yield "csv", "light_curve_table", csv, csv.replace(b"bad", b"good"), "bad.csv", "good.csv"
    yield (
        "csv.gz",
        "light_curve_table",
        gzip.compress(csv),
        csv.replace(b"bad", b"good"),
        "bad.csv.gz",
        "g.csv",
    )
    npy = [path.read_bytes() for path in write_applecider(scratch / "npy", BAD + GOOD)]
    yield "npy", "applecider", *npy, "bad/alerts.npy", "good/alerts.npy"
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    events = np.stack([rng.uniform(0, 90, 30), np.ones(30), rng.integers(0, 3, 30), np.full(30, -7.6)], 1)
    np.savez_compressed(stream, data=np.column_stack([events, rng.uniform(0.01, 0.1, 30)]), label=1)
    yield "npz", "photometry_events", stream.getvalue(), stream.getvalue(), "train/bad.npz", "train/good.npz"


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file after one accident, or several."""
    changed = bytearray(content)
    kind = rng.integers(7)
    where = [int(x) for x in rng.integers(0, len(content), 8)]
    # headers and footers are where a byte does most
    where = [x if k % 2 else x % 400 if k % 4 else len(content) - 1 - x % 400 for k, x in enumerate(where)]
    where = [min(max(x, 0), len(content) - 9) for x in where]
    if kind == 0:
        return content[: where[int(rng.integers(8))]]
    if kind == 1:
        for x in where[: int(rng.integers(1, 9))]:
            changed[x] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # a count or length becomes huge
        x = where[int(rng.integers(8))]
        changed[x : x + 8] = rng.choice(
            [b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\xfe\xff\xff\xff\x0f\x00\x00\x00"]
        )
    elif kind == 3:
        x = where[int(rng.integers(8))]
        changed[x : x + 64] = rng.bytes(64)
    elif kind == 4:
        a, b = sorted(where[:2])
        changed[a:a] = content[a:b]
    elif kind == 5:
        a, b = sorted(where[1:3])
        del changed[a:b]
    else:
        a = where[3]
        changed[a : a + 512] = bytes(512)
    return bytes(changed)


def peak() -> int:
    """The most memory this process had, in MiB."""
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM")) >> 10


def main(folder: Path, cases: int, only: str) -> None:
    number = 0
    (folder / "scratch").mkdir(parents=True)
    for kind, reader, content, good, name, good_name in inputs(folder / "scratch"):
        if only and kind != only:
            continue
        reader = reader_class(readers()[reader])(negative=True)
        for seed in range(cases):
            print(f"case {kind} {seed}", file=sys.stderr)
            where = folder / f"{kind} {seed}"
            for path, text in (
                (where / name, damaged(content, np.random.default_rng(seed))),
                (where / good_name, good),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text)
            before, began, report = peak(), time.monotonic(), ReadReport()
            histories = [h for unit in reader.units(where) for h in reader.read(unit, report)]
            own = [h for h in histories if "good" in h.object_id]
            number += 1
            problems = []
            if not own or sum(len(h) for h in own) < 3:
                problems.append("the good file is lost")
            if peak() - before > 1100 or peak() > 1600:
                problems.append(f"{peak()} MiB")
            if time.monotonic() - began > 10:
                problems.append(f"{time.monotonic() - began:.0f} s")
            if any("bad" not in item["file"] for item in report.items):
                problems.append(f"a good file is blamed: {report.items[0]}")
            if not report.items and not any("good" not in h.object_id for h in histories):
                problems.append("nothing is said of the bad file")
            if any(not np.isfinite(h.mag).all() or not np.isfinite(h.magerr).all() for h in histories):
                problems.append("not finite")
            for problem in problems:
                print(f"{kind}, seed {seed}: {problem}")
            shutil.rmtree(where)
    print(number, "cases")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
