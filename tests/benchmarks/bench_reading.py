"""Reading an epoch of photometry and metadata from the store, against one compressed NPZ per source.

Counted first: a detection is 29 bytes of photometry and 120 of metadata, so 12,771 sources of 16 detections
are 30 MB: some tens of milliseconds of decompression, arcsinh and gather, where the baseline opens 12,771
files. A second epoch is a gather from memory alone; the baseline reads its files again.
"""

import time

import numpy as np

from rtf.features.metadata import Metadata
from rtf.features.normalisation import feature_columns, fit_statistics
from rtf.features.photometry import Photometry, photometry
from rtf.features.view import view
from rtf.store.batches import Sources, batches_by_length
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.benchmarks.baseline import normalise_photometry, npz_batch, write_npz
from tests.sources import MadeUpReader

BATCH = 128
N_SOURCES = 12_771  # training sources of the published sample


def test_reading_an_epoch(tmp_path):
    store_path = tmp_path / "store.zarr"
    preprocess(MadeUpReader(N_SOURCES), "made up", store_path, workers=0, fractions=(1, 0, 0), progress=False)
    modalities = {"photometry": Photometry(), "metadata": Metadata()}

    detections = view(open_store(store_path).detections("train"))
    statistics = fit_statistics(modalities, detections)
    (tmp_path / "npz").mkdir()
    paths = write_npz(
        tmp_path / "npz",
        detections.offset,
        photometry=photometry(detections),
        metadata=detections.metadata,
        label=np.zeros(len(detections.mjd), np.int8),
    )
    normalise_channels = normalise_photometry(statistics["photometry"])
    median, scale = (statistics["metadata"][name].astype(np.float32) for name in ("median", "scale"))

    def normalise(source):
        scaled = np.arcsinh((source["metadata"] - median) / scale)
        missing = ~np.isfinite(scaled)
        return np.concatenate(
            [normalise_channels(source), np.where(missing, 0, scaled), missing], 1, dtype=np.float32
        )

    def from_store():
        """From the files to padded batches: open, read, cut, normalise, gather."""
        began = time.perf_counter()
        seen = view(open_store(store_path).detections("train"))
        sources = Sources(seen, feature_columns(modalities, seen, statistics))
        rng = np.random.default_rng(0)
        total = sum(len(sources.batch(b)) for b in batches_by_length(sources.length, BATCH, rng))
        first, again = total / (time.perf_counter() - began), time.perf_counter()
        total = sum(len(sources.batch(b)) for b in batches_by_length(sources.length, BATCH, rng))
        return first, total / (time.perf_counter() - again)

    def from_npz():
        began, rng = time.perf_counter(), np.random.default_rng(0)
        order = rng.permutation(len(paths))
        total = 0
        for k in range(0, len(order), BATCH):
            features, _, _ = npz_batch([paths[j] for j in order[k : k + BATCH]], rng, normalise, None)
            total += len(features)
        return total / (time.perf_counter() - began)

    from_store(), from_npz()  # warm the page cache for both
    rounds = [(*from_store(), from_npz()) for _ in range(3)]
    first, later, baseline = np.median(rounds, axis=0)
    print(f"\nan epoch of photometry and metadata, {N_SOURCES:,} sources, batch {BATCH}")
    print(f"  one compressed NPZ a source  {baseline:,.0f} sources/s")
    print(f"  store, first epoch           {first:,.0f} sources/s: {first / baseline:.0f} times")
    print(f"  store, later epochs          {later:,.0f} sources/s: {later / baseline:.0f} times")
    print("  rounds: " + "; ".join(f"{a:,.0f}, {b:,.0f} and {c:,.0f}" for a, b, c in rounds))
