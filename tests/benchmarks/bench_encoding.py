"""Encoding speed: what a night of alerts costs, with all that `encode` gives (fingerprint, class, error).

Counted first: ten million alerts in a night of ten hours are 280 a second, each the fingerprint of a source's
history up to it. Encoding a light curve of 19 detections and rebuilding it for the error costs 2 x 1.36e6
operations a token, 52 MFLOP: 1,900 sources/s a core of 100 GFLOP/s. All four modalities of 34 detections take
1.8 ms a source on two cores: 1.0 ms in the model, 0.4 ms for GP features, 0.3 ms for stamps (cProfile).
"""

import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import rtf
from rtf.cli.command import resolved
from rtf.features.photometry import photometry as raw_photometry
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.build import preprocess
from rtf.store.read import open_store
from rtf.training.fit import fit
from tests.benchmarks.baseline import BaselineModel, normalise_photometry, npz_batch, write_npz
from tests.benchmarks.bench_training import BATCH, bts_like

CONF = Path(rtf.__file__).parents[1] / "conf"


def trained(store: Path, modalities: str) -> rtf.encoding.fingerprinter.Fingerprinter:
    """A model of full size after an epoch; how good it is does not matter to speed."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        choice = [f"data.store={store}", f"modalities={modalities}", "epochs=1", "tracking=none"]
        more = ["cls_weight=0.3", "progress=false", f"run={store.parent}/{modalities}"]
        config = resolved(compose("train", [*choice, *more]))
    fit(config.run, config, instantiate(config.optimizer))
    return rtf.load(config.run)


def rate(call, n: int, rounds: int = 3) -> float:
    """Median of n items a second."""
    call()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return n / float(np.median(seconds))


def test_encoding_speed(tmp_path):
    preprocess(SimulatedSurvey(200, seed=1, stamps=True), "", tmp_path / "survey.zarr", progress=False)
    store = open_store(tmp_path / "survey.zarr")
    light_curves = bts_like(2560)
    model = trained(store.path, "photometry")
    statistics = model.statistics["photometry"]
    paths = write_npz(tmp_path, light_curves.offset, photometry=raw_photometry(light_curves))
    normalise, theirs, rng = (
        normalise_photometry(statistics),
        BaselineModel().eval(),
        np.random.default_rng(0),
    )

    @torch.inference_mode()
    def baseline():
        for _ in range(3):
            chosen = [paths[k] for k in rng.choice(len(paths), BATCH, replace=False)]
            theirs(*npz_batch(chosen, rng, normalise, truncate_min=None))

    histories = list(store.histories(cutouts=True))
    everything = trained(store.path, "all")
    rows = {
        "baseline, photometry, one NPZ a source": rate(baseline, 3 * BATCH),
        "photometry": rate(lambda: model.encode(light_curves), len(light_curves)),
        "photometry, one by one": rate(lambda: [model.encode(h) for h in one_by_one(light_curves, 100)], 100),
        "all four modalities, with stamps": rate(lambda: everything.encode(histories), len(histories)),
        "all four, one by one": rate(lambda: [everything.encode([h]) for h in histories[:50]], 50),
    }
    length = [np.mean(light_curves.length), np.mean([len(h) for h in histories])]
    threads = torch.get_num_threads()
    print(f"\nencoding, {threads} threads; {length[0]:.0f} detections a source, {length[1]:.0f} with stamps")
    for name, value in rows.items():
        print(f"  {name:<40} {value:7.1f} sources/s, 10 million in {1e7 / value / 3600:.1f} h")


def one_by_one(detections, n: int):
    return [detections.take(np.array([k])) for k in range(n)]
