"""Time and memory by the number of light curves: python -m experiments.growth OUT.png [N ...]

Reading into a store, an epoch of training and encoding, each in processes of its own whose memory is summed
(pages they share counted once). Light curves are as long as those of the Bright Transient Survey and random
otherwise. OUT.md beside the figure is the table.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rtf.documents import Table, to_markdown, write_text
from rtf.figures import save
from tests.benchmarks.bench_training import bts_like
from tests.benchmarks.memory import peak_of_tree

NUMBERS = (1000, 10_000, 100_000)
STEPS = ("preprocess", "train, one epoch", "encode")


def write_table(path: Path, n: int) -> int:
    """A table of n light curves in lists; the number of its bytes in memory."""
    found = bts_like(n)
    band = np.array(["g", "r", "i"])[found.band]
    columns = {"mjd": found.mjd, "band": band, "mag": found.mag, "magerr": found.magerr}
    offset = pa.array(found.offset, pa.int32())
    lists = {name: pa.ListArray.from_arrays(offset, pa.array(x)) for name, x in columns.items()}
    names = [f"s{k:07d}" for k in range(n)]
    pq.write_table(pa.table({"object_id": names, **lists}), path, row_group_size=5000)
    return sum(values.nbytes for values in lists.values())


def measure(folder: Path, n: int) -> dict[str, tuple[float, float]]:
    """Seconds and MiB of each step."""
    data = write_table(folder / "lc.parquet", n)
    rtf = [sys.executable, "-m"]
    quiet = ["progress=false"]
    lines = {
        "preprocess": ["rtf.preprocess", f"input={folder / 'lc.parquet'}", f"out={folder / 's.zarr'}"],
        "train, one epoch": [
            "rtf.train", f"data.store={folder / 's.zarr'}", f"run={folder / 'run'}", "modalities=photometry",
            "epochs=1", "tracking=none", "accelerator=cpu",
        ],
        "encode": [
            "rtf.encode", f"run={folder / 'run'}", f"input={folder / 's.zarr'}",
            f"out={folder / 'f.parquet'}",
        ],
    }  # fmt: skip
    found = {"data": (0.0, data / 2**20)}
    for step, line in lines.items():
        _, memory, seconds = peak_of_tree([*rtf, *line, *quiet])
        found[step] = seconds, memory
        print(f"{n:>8,} {step:<18} {seconds:8.1f} s {memory:8,.0f} MiB", file=sys.stderr, flush=True)
    return found


def main(out: str, *numbers: str) -> None:
    import matplotlib.pyplot as plt

    numbers = [int(n) for n in numbers] or list(NUMBERS)
    found = {}
    for n in numbers:
        with TemporaryDirectory() as folder:
            found[n] = measure(Path(folder), n)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for step in STEPS:
        left.loglog(numbers, [found[n][step][0] for n in numbers], "o-", label=step)
        right.semilogx(numbers, [found[n][step][1] for n in numbers], "o-", label=step)
    left.set(xlabel="light curves", ylabel="time [s]")
    right.set(xlabel="light curves", ylabel="memory of all processes [MiB]", ylim=(0, None))
    left.legend()
    save(figure, Path(out))
    rows = [
        [
            f"{n:,}",
            f"{found[n]['data'][1]:,.1f}",
            *(f"{s:,.1f} s, {m:,.0f} MiB" for s, m in (found[n][k] for k in STEPS)),
        ]
        for n in numbers
    ]
    table = to_markdown(Table("", ["light curves", "MiB of data", *STEPS], rows))
    write_text(Path(out).with_suffix(".md"), table + "\n")
    print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
