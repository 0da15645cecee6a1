"""Simulated sources as two surveys see them, and stores in other terms."""

import subprocess
import sys

import numpy as np

from experiments.both_surveys import pairs, twins
from rtf.alerts.surveys import survey_named
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.commands import ROOT
from tests.sources import ListReader, made_up_sources


def test_both_surveys_see_the_same_light():
    apart = []
    for ztf, lsst in pairs(18, seed=1):
        assert ztf.label == lsst.label and ztf.survey is lsst.survey is survey_named("ztf_lsst")
        assert set(np.unique(ztf.metadata[:, 1])) <= set(np.float32([474.6, 636.7, 788.4]))
        for k in range(len(ztf)):
            same = (lsst.band == ztf.band[k]) & (np.abs(lsst.mjd - ztf.mjd[k]) < 1.0)
            apart += ((ztf.mag[k] - lsst.mag[same]) / np.hypot(ztf.magerr[k], 0.1)).tolist()
    # filters differ a little, and a source varies in a day
    assert len(apart) > 20 and np.median(np.abs(apart)) < 1.0


def test_twins_are_found_where_they_are_and_not_where_they_are_not():
    rng, label = np.random.default_rng(0), np.arange(200) % 5
    latent = rng.normal(size=(200, 8))
    near = twins(latent, latent + 1e-3 * rng.normal(size=latent.shape), label)
    assert [e.value for e in near] == [1, 1, 1]
    first, ten, own = twins(latent, rng.normal(size=latent.shape), label)
    assert first.value < 0.03 and ten.value < 0.12 and 0.1 < own.value < 0.3


def test_a_store_in_another_survey_s_terms(tmp_path):
    sources = made_up_sources(12)
    preprocess(ListReader(sources), "in", tmp_path / "a.zarr", workers=0, progress=False)
    line = [
        sys.executable,
        "-m",
        "experiments.other_survey",
        "ztf_asinh",
        tmp_path / "b.zarr",
        tmp_path / "a.zarr",
    ]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = open_store(tmp_path / "a.zarr"), open_store(tmp_path / "b.zarr")
    assert after.survey.name == "ztf_asinh" and after.n == before.n == 12
    assert dict(zip(after.object_id, after.split)) == dict(zip(before.object_id, before.split))
