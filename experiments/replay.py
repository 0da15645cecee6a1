"""Does a fingerprint follow its source: python -m experiments.replay RUN ALERTS

The long histories at ALERTS are shown up to three quarters of their detections, then whole. A live
fingerprint of an active source must change; one of the first days of its life cannot.
"""

import sys

import numpy as np

import rtf
from rtf.alerts.history import concatenate

LEAST = 30  # detections of a long history


def main(run: str, alerts: str) -> None:
    model = rtf.load(run)
    histories = [h for h in rtf.read_histories(alerts) if len(h) >= LEAST]
    seen = concatenate(histories)
    before = model.encode(seen, (0.75 * seen.length).astype(int)).latent
    after = model.encode(seen)
    moved = np.linalg.norm(after.latent - before, axis=1) / np.linalg.norm(after.latent.std(0))
    kind = model.config.data.get("view", "first")
    print(f"{len(seen)} sources of {np.median(seen.length):.0f} detections (median), view {kind}")
    print(f"finite: {np.isfinite(after.latent).all()}; changed: {(moved > 0).sum()}")
    low, middle, high = np.percentile(moved, [10, 50, 90])
    print(f"how far, in deviations of the set: {middle:.2f} [{low:.2f}, {high:.2f}] (10 to 90 %)")


if __name__ == "__main__":
    main(*sys.argv[1:])
