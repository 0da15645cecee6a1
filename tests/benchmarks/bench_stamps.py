"""Stamps: from gzipped FITS to prepared pixels, and through the image backbones.

Counted first. A triplet is 3 x 20 kB of FITS in some 50 kB of gzip; zlib unpacks it in about 0.3 ms, and
three sorts and arcsinhs of 3,969 floats take 0.2 ms: 0.5 ms, where astropy alone takes more than one. Through
a backbone a triplet costs 25 MFLOP (simple), 2.7 GFLOP (Zoobot at 224 pixels) or 8.2 GFLOP (in greyscale): at
the 50 GFLOP/s of one core 0.5, 55 and 163 ms. So frozen features are worth computing once for each stamp.
"""

import gzip
import io
import time

import numpy as np
import pytest
import torch
from astropy.io import fits

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import concatenate
from rtf.alerts.read import read_histories
from rtf.features.stamps import Stamps, latest_stamps, prepare_stamp
from rtf.models.image_backbones.simple import SimpleCNN
from rtf.models.image_backbones.zoobot import Zoobot


def best(function, rounds: int = 5) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def plainly(triplets) -> list[np.ndarray]:
    """The same preparation with astropy and NumPy's percentiles of what is not NaN."""
    prepared = []
    for triplet in triplets:
        for stamp in triplet:
            with fits.open(io.BytesIO(gzip.decompress(stamp)), ignore_missing_simple=True) as hdus:
                image = pad_cutout(hdus[0].data.astype(np.float32))
            low, median = np.nanpercentile(image, [15.866, 50])
            prepared.append(np.nan_to_num(np.arcsinh((image - median) / (median - low) / 3)))
    return prepared


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_preparing_stamps(real_data):
    detections = concatenate(read_histories(real_data / "ztf_alerts/fink_parquet", cutouts=True))
    index = latest_stamps(detections)
    triplets = detections.read_stamps(index[index >= 0])
    images = [pad_cutout(decode_cutout(stamp)) for triplet in triplets for stamp in triplet]
    modality = Stamps()
    ms = 1e3 / len(triplets)
    modality.compute(detections)
    ours = ms * best(lambda: modality.compute(detections))
    unzip = ms * best(lambda: [gzip.decompress(stamp) for triplet in triplets for stamp in triplet])
    decode = ms * best(lambda: [decode_cutout(stamp) for triplet in triplets for stamp in triplet])
    stretch = ms * best(lambda: [prepare_stamp(image) for image in images])
    baseline = ms * best(lambda: plainly(triplets), 2)
    print(f"\npreparing {len(triplets)} real triplets of stamps, one core")
    print(f"  astropy and nanpercentile  {baseline:.2f} ms a triplet")
    print(f"  Stamps.compute             {ours:.2f} ms a triplet: {baseline / ours:.1f} times as fast")
    print(f"    gunzip alone {unzip:.2f}, with FITS {decode:.2f}, prepare_stamp {stretch:.2f}")


def test_backbones():
    pytest.importorskip("zoobot")
    torch.manual_seed(0)
    stamps = torch.randn(16, 3, 63, 63)
    cases = (
        ("simple", SimpleCNN(), True, 25.4e6),
        ("zoobot, frozen", Zoobot(weights="random"), False, 2.73e9),
        ("zoobot, greyscale, frozen", Zoobot(weights="random", greyscale=True), False, 8.16e9),
        ("zoobot, fine-tuned", Zoobot(weights="random", frozen=False), True, 2.73e9),
        ("the same, checkpointing", Zoobot(weights="random", frozen=False, checkpointing=True), True, 2.73e9),
    )
    print(f"\nimage backbones, batches of {len(stamps)}, {torch.get_num_threads()} threads")
    for name, backbone, training, flop in cases:
        backbone.load_pretrained()
        with torch.inference_mode():
            encode = best(lambda backbone=backbone: backbone(stamps), 3) / len(stamps)
        line = f"  {name:26s} encoding {1 / encode:7.1f} stamps/s ({flop / encode / 1e9:.0f} GFLOP/s)"
        if training:
            step = best(lambda backbone=backbone: backbone(stamps).sum().backward(), 2) / len(stamps)
            line += f", a training step {1 / step:7.1f} stamps/s"
        print(line)
