"""Strangeness: uniform on sources like those it was calibrated on, at any number of detections."""

import numpy as np
import pytest

import rtf
from rtf.alerts.history import concatenate
from rtf.encoding.strangeness import Strangeness, fit_strangeness
from rtf.store.build import preprocess
from tests.small_runs import train
from tests.sources import MadeUpReader, made_up_sources


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strange")
    preprocess(MadeUpReader(400), "made up", folder / "s.zarr", workers=0, progress=False)
    train(folder / "s.zarr", folder / "run", "epochs=15", "cls_weight=0.3", "optimizer.lr=3e-3")
    return folder / "run"


@pytest.mark.parametrize("first", [3, 10, None])
def test_it_is_a_share_of_sources_with_as_many_detections(run, first):
    """Half of new sources of the same kind are stranger than 0.5, however few detections they have."""
    found = rtf.load(run).encode(made_up_sources(400, seed=9), first=first)
    strange = found.strangeness
    assert ((strange >= 0) & (strange <= 1)).all()
    assert np.median(strange) == pytest.approx(0.5, abs=0.12)
    assert np.quantile(strange, 0.9) == pytest.approx(0.9, abs=0.08)


def test_light_curves_of_another_kind_are_strange(run):
    model, odd = rtf.load(run), made_up_sources(100, seed=9)
    usual = model.encode(odd).strangeness
    for history in odd:
        history.mag[:] = history.mag[::-1] + 2 * (np.arange(len(history)) % 2)
    assert np.mean(model.encode(odd).strangeness > np.median(usual)) > 0.7


def test_it_is_saved_with_the_run_and_written_by_encode(run, tmp_path):
    from rtf.encoding.table import fingerprint_table

    model, sources = rtf.load(run), made_up_sources(20, seed=3)
    table = fingerprint_table(model, sources)
    assert table["strangeness"].to_pylist() == pytest.approx(model.encode(sources).strangeness.tolist())
    model.strangeness.save(tmp_path / "x.safetensors")
    again = Strangeness.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(again(model.encode(sources)), model.encode(sources).strangeness)
    model.strangeness = None
    assert fingerprint_table(model, sources)["strangeness"].null_count == 20


def test_the_density_is_that_of_scikit_learns_mixture(run):
    from sklearn.mixture import GaussianMixture

    model = rtf.load(run)
    train, val = (concatenate(made_up_sources(150, seed)) for seed in (1, 2))
    made, found = fit_strangeness(model, train, val), model.encode(val)
    z = [(x.latent.astype(float) - made.centre) @ made.axes for x in (model.encode(train), found)]
    reference = GaussianMixture(4, reg_covar=1e-2, random_state=0).fit(z[0])
    np.testing.assert_allclose(made.raw(found)[:, 1], -reference.score_samples(z[1]), rtol=1e-5, atol=1e-5)
