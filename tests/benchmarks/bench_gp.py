"""GP features of real SN Ia light curves on one core.

Counted first: a source has two bands of 9 detections. The likelihood is evaluated at 68 kernels, n = 9 steps
of some 30 operations on float64 at 0.5 ns each: 10 us a band. The posterior on a grid of 48 times takes
48 n exponentials (5 ns each), as many numbers some 20 times over and a product with an n x n matrix: 10 us;
the inverse 2 us; the shape some 60 operations on 48 numbers: 3 us. About 0.05 ms a source, and the cost of a
NumPy call on top, which the number of sources computed together divides.
The baseline is scikit-learn's regressor, one start, posterior on the same grid and no features.
"""

import time
import warnings

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from rtf.alerts.history import Detections, concatenate, from_columns
from rtf.alerts.read import read_histories
from rtf.features.gp import gp_features
from rtf.features.gp.likelihood import AMPLITUDES, LENGTHS
from rtf.features.view import view
from tests.features.test_gp import light_curves


def milliseconds(function, detections: Detections, rounds: int = 5) -> float:
    """Process time a source of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        function(detections)
        times.append(time.process_time() - began)
    return 1e3 * min(times) / len(detections)


def with_sklearn(detections: Detections) -> None:
    for days, y, noise in light_curves(detections):
        kernel = ConstantKernel(1.0, tuple(a**2 for a in AMPLITUDES)) * Matern(20.0, LENGTHS, nu=1.5)
        process = GaussianProcessRegressor(kernel, alpha=noise).fit(days[:, None], y)
        process.predict(np.linspace(0, days[-1], 48)[:, None], return_std=True)


def test_gp_features(real_data):
    histories = list(read_histories(real_data / "lightcurves/ztf_bts_snia.parquet"))
    sources = view(concatenate(histories))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        baseline = milliseconds(with_sklearn, sources.take(np.arange(0, 1600, 40)), 1)
    median = int(np.median(sources.length))
    print(f"\nGP features of {len(sources)} SN Ia, median {median} detections, one core")
    print(f"  scikit-learn, no features      {baseline:8.3f} ms a source")
    for some in (1, 16, 128, 512, len(sources)):
        ours = milliseconds(gp_features, sources.take(np.linspace(0, len(sources) - 1, some).astype(int)))
        print(f"  {some:5d} sources at a time       {ours:8.3f} ms a source, {baseline / ours:.0f} x as fast")
    for first in (5, 10, 30):
        ours = milliseconds(gp_features, view(sources, first))
        print(f"  all, at {first:2d} detections          {ours:8.3f} ms a source")


def test_long_light_curves():
    rng = np.random.default_rng(0)
    print("\nGP features of 32 sources by length, one core")
    for bands, length in ((3, 257), (1, 257), (3, 100), (3, 30)):
        histories = []
        for k in range(32):
            days = np.sort(rng.uniform(0, 100, length))
            mag = 18 + np.sin(days / 10) + 0.05 * rng.normal(size=length)
            histories.append(
                from_columns(str(k), days, rng.integers(0, bands, length), mag, np.full(length, 0.05))
            )
        ours = milliseconds(gp_features, concatenate(histories), 2)
        print(f"  {length:4d} detections in {bands} band(s)   {ours:8.2f} ms a source")
