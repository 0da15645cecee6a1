"""Training speed: ours against the baseline, photometry only, dim 64, batch 128.

Counted first: 1.36 million parameters cost about 6 x 1.36e6 x tokens floating-point operations a source; at
the 11 tokens of a truncated BTS-like light curve that is 90 MFLOP, so two cores of 100 GFLOP/s together could
do about 1,100 sources/s. The baseline decodes 257 positions instead of 10.
"""

import time
from functools import partial

import numpy as np
import torch
from torch import nn

from rtf.alerts.history import concatenate, from_columns
from rtf.features.normalisation import feature_columns
from rtf.features.photometry import Photometry
from rtf.features.photometry import photometry as raw_photometry
from rtf.models.autoencoder import Autoencoder
from rtf.models.bottlenecks.ae import AEBottleneck
from rtf.models.decoders.sequence import SequenceDecoder
from rtf.models.encoder import Encoder
from rtf.store.batches import Sources
from rtf.training.data import TrainingBatches
from tests.benchmarks.baseline import BaselineModel, loss, normalise_photometry, npz_batch, write_npz

BATCH = 128

#: Quantiles of detections in the first 100 days of real ZTF BTS type Ia supernovae.
QUANTILES = ([0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1], [3, 5, 10, 16, 23, 43, 65, 110])


def bts_like(n: int, seed: int = 0):
    """Light curves as long as real ones; what is in them does not matter to speed."""
    rng = np.random.default_rng(seed)
    histories = []
    for k, length in enumerate(np.interp(rng.random(n), *QUANTILES).astype(int)):
        days = np.sort(rng.uniform(0, 90, length))
        band, mag = rng.integers(0, 2, length), rng.normal(18.8, 1, length)
        histories.append(from_columns(f"s{k}", 59000 + days, band, mag, rng.uniform(0.05, 0.2, length)))
    return concatenate(histories)


def step(model, optimizer, value) -> None:
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def test_training_speed(tmp_path):
    detections = bts_like(2560)
    photometry = Photometry()
    statistics = photometry.fit(detections)
    columns = feature_columns({"photometry": photometry}, detections, {"photometry": statistics})
    sources = Sources(detections, columns)
    paths = write_npz(tmp_path, detections.offset, photometry=raw_photometry(detections))
    normalise = normalise_photometry(statistics)

    ours, regularised = (
        Autoencoder(7, 64, partial(Encoder, dropout=p), AEBottleneck, partial(SequenceDecoder, dropout=p))
        for p in (0.0, 0.3)
    )
    theirs = BaselineModel()
    sizes = [sum(p.numel() for p in m.parameters()) for m in (ours, theirs)]

    def our_epoch(epoch, model):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        batches = TrainingBatches(sources, BATCH, 0, 3, lambda: epoch)
        began, seen = time.perf_counter(), 0
        for batch in batches:
            losses = model.decoder.losses(model(batch).decoded, batch, "mse")
            step(model, optimizer, losses["reconstruction"].value)
            seen += len(batch)
        return seen / (time.perf_counter() - began)

    def their_steps(number, rng):
        optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-4)
        began = time.perf_counter()
        for _ in range(number):
            chosen = [paths[k] for k in rng.choice(len(paths), BATCH, replace=False)]
            x, days, mask = npz_batch(chosen, rng, normalise)
            step(theirs, optimizer, loss(theirs(x, days, mask), x, mask))
        return number * BATCH / (time.perf_counter() - began)

    rng = np.random.default_rng(0)
    our_epoch(0, ours), their_steps(1, rng)  # warm-up
    rounds = [(our_epoch(k, ours), our_epoch(k, regularised), their_steps(2, rng)) for k in range(1, 4)]
    mine, with_dropout, baseline = np.median(rounds, axis=0)
    threads = torch.get_num_threads()
    print(f"\ntraining, batch {BATCH}, {threads} threads, {sizes[0]:,} and {sizes[1]:,} parameters")
    print(f"  baseline                          {baseline:.1f} sources/s")
    print(f"  ours                              {mine:.0f} sources/s: {mine / baseline:.0f} times")
    print(f"  ours with the baseline's dropout  {with_dropout:.0f}: {with_dropout / baseline:.0f} times")
    print("  rounds: " + "; ".join(f"{a:.0f}, {b:.0f} and {c:.1f}" for a, b, c in rounds))
