"""No leakage: whatever comes after detection N, no bit of the fingerprint at N changes, in any modality."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st

import rtf
from rtf.alerts.history import SourceHistory, concatenate
from rtf.alerts.report import ReadReport
from rtf.cli.command import resolved
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.load import build_modalities, build_model
from rtf.features.normalisation import feature_columns, fit_statistics
from rtf.features.snapshots import COUNTS, normalise_snapshots, per_source, source_features, take_snapshots
from rtf.features.view import night_rank, view, window_ends, window_starts
from rtf.simulation.survey import SimulatedSurvey
from rtf.store.batches import Sources

CONF = Path(rtf.__file__).parents[1] / "conf"
SMALL = ["encoder.d_model=32", "encoder.n_layers=2", "encoder.n_heads=4", "encoder.d_ff=64",
         "decoder.d_model=32", "decoder.n_layers=1", "decoder.d_ff=64",
         "latent_dim=16", "cls_weight=1"]  # fmt: skip


@lru_cache
def histories() -> tuple[SourceHistory, ...]:
    """Eight simulated sources with metadata and stamps."""
    survey = SimulatedSurvey(8, seed=5, stamps=True, min_detections=8)
    return tuple(h for unit in survey.units() for h in survey.read(unit, ReadReport()))


@lru_cache
def fingerprinter(
    choice: str, fusion: str = "token", kind: str = "first", days: float = 100.0, per_night: str = "null"
) -> Fingerprinter:
    """An untrained model of some modalities, normalised with other sources."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["data.store=s", "run=r", f"modalities={choice}", f"fusion={fusion}", *SMALL]
        overrides += [f"data.view={kind}", f"data.max_days={days}", "data.min_detections=3"]
        overrides += [f"data.per_night={per_night}"]
        config = resolved(compose("train", overrides))
    torch.manual_seed(0)
    modalities = build_modalities(config)
    seen = view(concatenate(list(histories()[:4])))
    statistics = fit_statistics(modalities, seen)
    for name, modality in per_source(modalities).items():
        statistics[name] = modality.fit(take_snapshots(modality, seen).values)
    return Fingerprinter(build_model(config, modalities), modalities, statistics, config)


def other_future(source: SourceHistory, n: int, rng: np.random.Generator) -> SourceHistory:
    """The same first n detections, and after them anything else, or nothing."""
    rest = len(source) - n
    if rest <= 0 or rng.random() < 0.2:
        return source.select(np.arange(min(n, len(source))))
    donor = histories()[rng.integers(len(histories()))]
    pick = rng.integers(0, len(donor), rest)
    late = source.mjd[n - 1] + np.cumsum(rng.exponential(rng.choice([2, 40]), rest)) + 1e-3
    known = source.limits[source.limits[:, 0] < source.mjd[n - 1]]
    limits = np.column_stack([late + 1, rng.integers(0, 3, rest), rng.uniform(18, 22, rest)])
    return SourceHistory(
        source.object_id,
        np.concatenate([source.mjd[:n], late]),
        np.concatenate([source.band[:n], rng.integers(0, 3, rest).astype(np.int8)]),
        np.concatenate([source.mag[:n], rng.uniform(15, 22, rest).astype(np.float32)]),
        np.concatenate([source.magerr[:n], rng.uniform(0.01, 1, rest).astype(np.float32)]),
        np.concatenate([source.metadata[:n], donor.metadata[pick] * 3]),
        np.concatenate([source.candid[:n], rng.integers(1, 1 << 40, rest)]),
        [*source.cutouts[:n], *(donor.cutouts[k] for k in pick)],
        source.ra, source.dec, source.label, limits=np.concatenate([known, limits]),
    )  # fmt: skip


@pytest.mark.parametrize("fusion", ["token", "add"])
@pytest.mark.parametrize(
    "choice", ["photometry", "photometry_metadata", "photometry_gp", "photometry_stamps", "all"]
)
@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_what_comes_after_detection_n_changes_no_bit_of_the_fingerprint(choice, fusion, n, seed):
    model, rng = fingerprinter(choice, fusion), np.random.default_rng(seed)
    assert_same_fingerprints(model, n, rng)


@pytest.mark.parametrize("choice", ["photometry", "photometry_limits", "photometry_gp"])
@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_nor_where_the_view_follows_the_source(choice, n, seed):
    assert_same_fingerprints(fingerprinter(choice, kind="latest", days=20.0), n, np.random.default_rng(seed))


@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_nor_where_it_holds_a_few_of_each_night(n, seed):
    model = fingerprinter("photometry_limits", kind="latest", days=20.0, per_night="1")
    assert_same_fingerprints(model, n, np.random.default_rng(seed))


def assert_same_fingerprints(model: Fingerprinter, n: int, rng: np.random.Generator) -> None:
    true = model.encode(list(histories()), first=n)
    other = model.encode([other_future(h, n, rng) for h in histories()], first=n)
    np.testing.assert_array_equal(true.latent, other.latent)
    np.testing.assert_array_equal(true.probability, other.probability)
    np.testing.assert_array_equal(true.error, other.error)


@pytest.mark.parametrize("choice", ["photometry_gp", "photometry_stamps"])
def test_what_comes_before_detection_n_does_change_it(choice):
    """The test above could not fail on a model that sees nothing."""
    model = fingerprinter(choice, "token")
    few, more = (model.encode(list(histories()), first=n).latent for n in (5, 8))
    assert (np.abs(few - more).max(1) > 1e-4).all()


def test_a_training_batch_shows_what_live_encoding_shows():
    """At the counts of the snapshots, a truncated training source is the live source with that history."""
    model = fingerprinter("all", "token")
    seen = model.view(concatenate(list(histories())))
    snapshots = {
        name: normalise_snapshots(m, take_snapshots(m, seen), model.statistics[name])
        for name, m in per_source(model.modalities).items()
    }
    training = Sources(seen, feature_columns(model.modalities, seen, model.statistics), None, snapshots)
    for n in (*COUNTS[:6], 257):
        length = np.minimum(n, seen.length)
        batch = training.batch(np.arange(len(seen)), length)
        cut = model.view(concatenate(list(histories())), n)
        live = source_features(model.modalities, cut, model.statistics)
        columns = torch.from_numpy(feature_columns(model.modalities, cut, model.statistics))
        assert torch.equal(batch.features[batch.mask], columns)
        for name, (values, present) in live.items():
            assert batch.present[name].tolist() == present.tolist()
            np.testing.assert_allclose(
                batch.side[name][batch.present[name]], values[present], rtol=2e-3, atol=2e-3
            )


def test_a_sliding_view_shows_in_training_what_live_encoding_shows():
    """Days, gaps and non-detections count from where the view begins, and nothing older is in it."""
    model = fingerprinter("photometry_limits", kind="latest", days=20.0)
    whole = concatenate(list(histories()))
    limits = {"kind": "latest", "max_detections": 257, "max_days": 20.0, "min_detections": 3}
    window = window_starts(whole, **limits), window_ends(whole, "latest")
    times = tuple(model.statistics["photometry"][x][:2] for x in ("mean", "std"))
    columns = feature_columns(model.modalities, whole, model.statistics)
    training = Sources(whole, columns, window=window, times=times)
    slid = 0
    for n in (1, 4, 10, 30, 500):
        length = np.minimum(n, whole.length)
        batch = training.batch(np.arange(len(whole)), length, targets=True)
        cut = model.view(whole, n)
        slid += int((cut.length < length).sum())
        live = torch.from_numpy(feature_columns(model.modalities, cut, model.statistics))
        assert torch.equal(batch.features[batch.mask], live)
        assert training.in_view(np.arange(len(whole)), length).tolist() == cut.length.tolist()
        shown = batch.target.shown
        assert torch.equal(batch.target.values[shown], batch.features[batch.mask][:, :4]) or slid
        assert torch.equal(batch.target.days[shown], batch.days[batch.mask])
        assert (batch.target.mask.sum(1) >= shown.sum(1)).all()
    assert slid > 5


def test_a_view_by_nights_shows_in_training_what_live_encoding_shows():
    """Training cuts the thinned source, encoding thins what is known of the whole one: the same view."""
    model = fingerprinter("photometry_limits", kind="latest", days=200.0, per_night="1")
    whole = concatenate(list(histories()))
    whole.mjd = 59000 + (whole.mjd - 59000) / 20  # several exposures of a band in a night
    kept = night_rank(whole) < 1
    assert 0.1 < kept.mean() < 0.9
    thinned = whole.rows(kept)
    limits = {"kind": "latest", "max_detections": 257, "max_days": 200.0, "min_detections": 3}
    window = window_starts(thinned, **limits), window_ends(thinned, "latest")
    times = tuple(model.statistics["photometry"][x][:2] for x in ("mean", "std"))
    columns = feature_columns(model.modalities, thinned, model.statistics)
    training = Sources(thinned, columns, window=window, times=times)
    for n in (1, 4, 10, 500):
        length = np.minimum(n, thinned.length)
        rows = [np.flatnonzero(kept[slice(*whole.offset[k : k + 2])]) for k in range(len(whole))]
        number = [row[m - 1] + 1 for row, m in zip(rows, length)]
        cut = model.view(whole, np.array(number))
        batch = training.batch(np.arange(len(thinned)), length)
        live = torch.from_numpy(feature_columns(model.modalities, cut, model.statistics))
        assert torch.equal(batch.features[batch.mask], live)


def test_between_snapshots_the_earlier_one_stands():
    model = fingerprinter("photometry_stamps", "token")
    seen = model.view(concatenate(list(histories())))
    snapshots = take_snapshots(model.modalities["stamps"], seen)
    for n in range(1, 30):
        row = snapshots.rows(np.arange(len(seen)), np.minimum(n, seen.length))
        assert (snapshots.count[row] <= n).all()
        allowed = [max(c for c in (*COUNTS, length) if c <= min(n, length)) for length in seen.length]
        assert snapshots.count[row].tolist() == allowed


def test_a_source_that_lacks_a_modality_is_encoded_without_it():
    model = fingerprinter("all", "token")
    whole = list(histories())
    bare = [
        SourceHistory(
            h.object_id, h.mjd, h.band, h.mag, h.magerr, np.full_like(h.metadata, np.nan), h.candid, None
        )
        for h in whole
    ]
    latent = model.encode(bare).latent
    assert np.isfinite(latent).all()
    assert (np.abs(latent - model.encode(whole).latent).max(1) > 1e-4).all()
    mixed = model.encode([*whole[:3], *bare[3:]]).latent
    np.testing.assert_allclose(mixed[3:], latent[3:], atol=2e-5)
