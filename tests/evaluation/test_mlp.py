"""The MLP decoder: what a fingerprint holds it reads, what it does not hold it cannot know."""

import numpy as np
import pytest
import torch

from rtf.alerts.history import concatenate, from_columns
from rtf.encoding.fingerprinter import Fingerprints, Rebuilt
from rtf.evaluation.record import CONSTANTS, pick
from rtf.evaluation.tasks.mlp import Frozen, fit_mlp, mlp
from rtf.evaluation.tasks.physical import NOISE
from rtf.features.view import view
from tests.evaluation.fakes import FakeStore, inputs

SETTINGS = {"hidden": 32, "epochs": 12, "patience": 12, "batch_size": 128, "learning_rate": 5e-3, "seed": 0}


def lines(n, seed, length=12):
    """Light curves that are straight: brightness, slope and colour of each say everything."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        days, band = np.sort(rng.uniform(0, 50, length)), rng.integers(0, 2, length)
        days -= days[0]
        peak, slope, colour = rng.uniform(17, 19), rng.uniform(-0.03, 0.03), rng.uniform(-1, 1)
        mag = peak + slope * days + colour * band
        metadata = np.zeros((length, 30))
        metadata[:, :3] = peak, slope, colour
        made.append(
            from_columns(
                f"line{k}", 59000 + days, band, mag, np.full(length, 0.05), metadata=metadata, label=k % 3
            )
        )
    return made


def truths(histories):
    return np.array([h.metadata[0, :3] for h in histories], np.float32)


def error(fitted, data):
    return np.median(np.abs(fitted.magnitudes(data) - data.seen.mag))


@pytest.fixture(scope="module")
def fitted(splits):
    return fit_mlp(splits["train"], splits["val"], **SETTINGS)


@pytest.fixture(scope="module")
def splits():
    made = {name: lines(n, k) for k, (name, n) in enumerate((("train", 300), ("val", 60), ("test", 60)))}
    return {name: Frozen(truths(h), concatenate(h)) for name, h in made.items()}


def test_it_reads_what_the_fingerprint_holds(fitted, splits):
    blind = {name: Frozen(np.zeros_like(d.latent), d.seen) for name, d in splits.items()}
    nothing = fit_mlp(blind["train"], blind["val"], **SETTINGS)
    assert error(fitted, splits["test"]) < 0.2 * error(nothing, blind["test"])
    assert error(nothing, blind["test"]) > 0.3  # without a fingerprint the training median is all there is


def test_the_best_epoch_by_validation_is_kept_and_the_seed_decides(splits):
    state = torch.random.get_rng_state()
    fits = [
        fit_mlp(splits["train"], splits["val"], **{**SETTINGS, "epochs": 2, "seed": s}) for s in (0, 0, 1)
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert error(fits[0], splits["val"]) == pytest.approx(min(fits[0].val_error), rel=1e-6)
    assert fits[0].val_error == fits[1].val_error != fits[2].val_error


def test_it_stops_when_validation_no_longer_improves(splits):
    rng = np.random.default_rng(0)
    noise = {n: Frozen(rng.normal(size=(len(d.seen), 40)), d.seen) for n, d in splits.items()}
    fitted = fit_mlp(noise["train"], noise["val"], **{**SETTINGS, "epochs": 200, "patience": 2})
    assert len(fitted.val_error) < 200
    assert min(fitted.val_error) not in fitted.val_error[-2:]


def test_a_magnitude_depends_on_its_own_source_alone(fitted, splits):
    test = splits["test"]
    together = fitted.magnitudes(test)
    chosen = np.array([7, 3])
    alone = fitted.magnitudes(Frozen(test.latent[chosen], test.seen.take(chosen)))
    np.testing.assert_allclose(alone, np.concatenate([together[84:96], together[36:48]]), atol=1e-4)


class Oracle:
    """A "model" that knows each line, and rebuilds it half a magnitude too bright."""

    needs_cutouts, device = False, torch.device("cpu")

    def view(self, detections, first=None):
        return view(detections)

    def encode(self, detections, first=None):
        latent = detections.metadata[detections.offset[:-1], :3]
        return Fingerprints(latent, None, latent[:, 0], detections.length, detections.length - 1)

    def reconstruct(self, detections, first=None):
        seen = self.view(detections)
        return Rebuilt(seen, np.zeros(len(seen.mjd)), seen.mag - 0.5, seen.magerr, seen.band)


def test_the_task_compares_both_decoders_with_constants_and_noise():
    splits = {"train": lines(200, 0), "val": lines(40, 1), "test": lines(40, 2)}
    settings = {k: v for k, v in SETTINGS.items() if k != "seed"}
    made = mlp(inputs(Oracle(), FakeStore(splits=splits)), **settings)
    groups = dict.fromkeys(r.group for r in made.records)
    assert list(groups) == ["all", "SN Ia", "SN Ib", "SN Ic", "g band", "r band", "10 to 19 detections"]
    value = {m: pick(made.records, group="all", score="mag", method=m).value
             for m in ("MLP", "own decoder", CONSTANTS, NOISE)}  # fmt: skip
    assert value["own decoder"] == pytest.approx(0.5, abs=1e-4)
    assert value["MLP"] < 0.5 * value[CONSTANTS] and value[NOISE] == pytest.approx(0.6745 * 0.05, rel=1e-3)
    (table,) = made.tables
    assert "200 training fingerprints" in table.notes[0]
    assert {row[0]: row[-1] for row in table.rows}["g band"] == "40"
    with pytest.raises(ValueError, match="no source in its val split"):
        mlp(inputs(Oracle(), FakeStore(splits={**splits, "val": []})), **settings)
