"""The archive: rows added a second, bytes a row, recall and time of a search, memory.

Counted first: a row is 256 bytes of floats, 8 of code and some 100 of names, times and probabilities. A
search without an index reads the floats of all rows: 256 MB of a million, 0.1 s from memory. The index
compares 24 of some N / 2048 partitions by 16 bytes a row, and 10 k rows exactly.

RTF_ARCHIVE_ROWS=1000000 is the number of rows, made up; RTF_ARCHIVE_FINGERPRINTS a .npy file (N, F) of a
model's fingerprints to take instead, again and again with a tenth of their deviation as noise where more rows
are asked for. The baseline is NumPy: all fingerprints in memory, one product of matrix and vector.
"""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import rtf
from rtf.archive import Where, open_archive
from rtf.archive import archive as module
from tests.archive.made_up import fingerprints, table
from tests.benchmarks.memory import peak_memory

ROWS = int(os.environ.get("RTF_ARCHIVE_ROWS", 1_000_000))
GIVEN = os.environ.get("RTF_ARCHIVE_FINGERPRINTS")
WIDTH, QUERIES, LOT = 64, 200, 50_000


def latents() -> tuple[np.ndarray, np.ndarray]:
    """(ROWS, WIDTH) fingerprints, and those that are searched for."""
    if GIVEN is None:
        lots = [fingerprints(min(LOT, ROWS - k), WIDTH, seed=k // LOT) for k in range(0, ROWS, LOT)]
        return np.concatenate(lots), fingerprints(QUERIES, WIDTH, seed=10_000)
    rng = np.random.default_rng(0)
    found = rng.permutation(np.load(GIVEN))
    queries, rows = found[:QUERIES], found[QUERIES:]
    deviation, made = rows.std(0), np.empty((ROWS, WIDTH), np.float32)
    for start in range(0, ROWS, len(rows)):
        own = made[start : start + len(rows)]
        own[:] = rows[: len(own)]
        if start:
            own += 0.1 * deviation * rng.standard_normal(own.shape, np.float32)
    return made, queries


def normalised(latent: np.ndarray) -> np.ndarray:
    """Unit vectors in place, for ten million fingerprints are 2.5 GB."""
    for start in range(0, len(latent), LOT):
        own = latent[start : start + LOT]
        own /= np.linalg.norm(own, axis=1, keepdims=True)
    return latent


def add(path: str, folder: str) -> None:
    module.INDEX_ROWS = 1 << 40
    open_archive(folder).add(path)


def make_index(folder: str) -> None:
    open_archive(folder).index()


def one_search(folder: str) -> None:
    open_archive(folder).search(fingerprints(1, WIDTH, seed=10_000)[0])


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def seconds(function, *arguments, **more) -> tuple[float, object]:
    began = time.perf_counter()
    found = function(*arguments, **more)
    return time.perf_counter() - began, found


def test_archive(tmp_path):
    latent, queries = latents()
    path, folder = tmp_path / "rows.parquet", tmp_path / "archive"
    with pq.ParquetWriter(path, table(1, width=WIDTH).schema, compression="zstd") as writer:
        for number, start in enumerate(range(0, ROWS, LOT)):
            own = latent[start : start + LOT]
            given = pa.FixedSizeListArray.from_arrays(own.ravel(), WIDTH)
            writer.write_table(table(len(own), seed=number, width=WIDTH, fingerprint=given))
    print(f"\n{ROWS:,} rows of {WIDTH} floats, {GIVEN or 'made up'}")
    took, peak = seconds(peak_memory, add, str(path), str(folder))
    print(f"  added           {ROWS / took:9,.0f} rows/s (the interpreter's start counts)   {peak:6,.0f} MiB")
    print(
        f"  on disk         {size(folder) / ROWS:9.0f} bytes a row; parquet {path.stat().st_size / ROWS:.0f}"
    )
    archive = open_archive(folder)
    took, added = _again(archive, path)
    print(f"  added again     {added.repeats / took:9,.0f} rows/s")
    unit = normalised(latent)
    where = Where(class_name="SN II", min_probability=0.9)
    truth, took = [], []
    for query in queries:
        spent, best = seconds(lambda q=query: np.argpartition(-(unit @ q), 10)[:10])
        truth.append({_candid(k) for k in best})
        took.append(spent)
    _say("NumPy, in memory", took)
    _measure("no index", archive, queries[:50], truth)
    _measure("no index, filter", archive, queries[:50], None, where=where)
    spent, peak = seconds(peak_memory, make_index, str(folder))
    before = size(folder)
    print(f"  index made in   {spent:9.0f} s, {peak:,.0f} MiB; {before / ROWS:.0f} bytes a row in all")
    _measure("index", archive, queries, truth)
    _measure("index, filter", archive, queries, None, where=where)
    _measure("index, newest", archive, queries, None, newest=True)
    print(f"  one search in a process of its own {peak_memory(one_search, str(folder)):6,.0f} MiB")
    took, added = _again(archive, path)
    print(f"  added again, with the index {added.repeats / took:9,.0f} rows/s")


@pytest.mark.skipif(GIVEN is None, reason="RTF_ARCHIVE_FINGERPRINTS is not set: codes need a model's")
def test_codes_alone(tmp_path):
    """The archive of eight bytes a row: what is found of the ten nearest by floats, and how fast."""
    model = rtf.load("ztf")
    latent, queries = latents()
    quantise = model.model.bottleneck._quantise
    with torch.inference_mode():
        lots = (torch.from_numpy(latent[k : k + LOT]) for k in range(0, ROWS, LOT))
        code = np.concatenate([quantise(lot, learn=False)[0].numpy().astype(np.uint8) for lot in lots])
    archive, width = open_archive(tmp_path / "archive"), code.shape[1]
    for number, start in enumerate(range(0, ROWS, LOT)):
        own, rows = latent[start : start + LOT], code[start : start + LOT]
        column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])
        given = pa.FixedSizeListArray.from_arrays(own.ravel(), WIDTH)
        lot = table(len(own), seed=number, width=WIDTH, fingerprint=given, code=column, space=model.space)
        archive.add(lot, keep="code")
    unit = normalised(latent)
    truth = [{_candid(k) for k in np.argpartition(-(unit @ q), 10)[:10]} for q in queries[:50]]
    print(f"\n{ROWS:,} rows of {width} bytes, {size(tmp_path / 'archive') / ROWS:.0f} bytes a row in all")
    _measure("codes alone", archive, queries[:50], truth, model=model)


def _again(archive, path: Path):
    former, module.INDEX_ROWS = module.INDEX_ROWS, 1 << 40
    try:
        return seconds(archive.add, path.as_posix())
    finally:
        module.INDEX_ROWS = former


def _candid(row: int) -> int:
    return row // LOT * 10_000_000 + row % LOT


def _measure(name: str, archive, queries, truth, **more) -> None:
    archive.search(queries[0], **more)
    took, recall = [], []
    for k, query in enumerate(queries):
        spent, found = seconds(archive.search, query, **more)
        took.append(spent)
        if truth is not None:
            recall.append(len(truth[k] & set(found["candid"].to_pylist())) / 10)
    _say(name, took, f"   recall@10 {np.mean(recall):.3f}" if recall else "")


def _say(name: str, took: list[float], rest: str = "") -> None:
    p50, p99 = 1e3 * np.percentile(took, [50, 99])
    print(f"  {name:<18} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms{rest}", flush=True)
