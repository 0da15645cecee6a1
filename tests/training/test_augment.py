"""Augmented training sources: what changes, what does not, and that processes change them alike."""

import numpy as np
import pytest
import torch

from rtf.alerts.history import concatenate
from rtf.features.metadata import Metadata
from rtf.features.normalisation import feature_columns, fit_statistics, masked_columns
from rtf.features.photometry import Photometry
from rtf.store.batches import Sources
from rtf.training.augment import Augmentation
from rtf.training.data import TrainingBatches
from tests.sources import made_up_sources

DETECTIONS = concatenate(made_up_sources(40, min_length=6))
MODALITIES = {"photometry": Photometry()}
STATISTICS = fit_statistics(MODALITIES, DETECTIONS)
TIMES = tuple(STATISTICS["photometry"][name][:2] for name in ("mean", "std"))
STD, MEAN = (STATISTICS["photometry"][name] for name in ("std", "mean"))


def batches(**settings) -> list:
    columns = feature_columns(MODALITIES, DETECTIONS, STATISTICS)
    sources = Sources(DETECTIONS, columns, times=TIMES)
    rest = {"rank": settings.pop("rank", 0), "world_size": settings.pop("world_size", 1)}
    made = TrainingBatches(
        sources, 16, 0, None, lambda: 3, targets=True, augmentation=Augmentation(**settings),
        statistics=STATISTICS, **rest,
    )  # fmt: skip
    return list(made)


def test_thinned_sources_keep_their_first_detection_and_are_asked_for_all():
    for batch, whole in zip(batches(thin=0.6), batches()):
        assert (batch.source == whole.source).all()
        assert batch.mask.sum() < whole.mask.sum() and batch.mask[:, 0].all()
        assert (batch.target.shown.sum(1) == batch.mask.sum(1)).all() and batch.target.shown[:, 0].all()
        assert (batch.target.values == whole.target.values).all()
        for k in range(len(batch)):
            own, asked = batch.mask[k], batch.target.shown[k]
            assert (batch.days[k][own] == batch.target.days[k][asked]).all()
            assert (batch.features[k][own, 2:4] == batch.target.values[k][asked, 2:]).all()
            days = np.expm1(batch.features[k][own, :2].numpy() * STD[:2] + MEAN[:2])
            np.testing.assert_allclose(days[:, 1], np.diff(days[:, 0], prepend=0), atol=2e-3)


def test_a_shift_moves_the_whole_light_curve_and_what_is_asked():
    for batch, whole in zip(batches(shift=0.5), batches()):
        step = (batch.features - whole.features)[..., 2][batch.mask] * STD[2] / -0.4
        owner = batch.mask.nonzero()[:, 0]
        for k in range(len(batch)):
            np.testing.assert_allclose(step[owner == k], step[owner == k][0], atol=1e-4)
        moved = (batch.target.values - whole.target.values)[..., 2][batch.mask]
        np.testing.assert_allclose(moved * STD[2] / -0.4, step, atol=1e-4)
        assert 0.2 < step.std() < 1.0


def test_noise_is_in_proportion_to_errors_which_grow():
    for batch, whole in zip(batches(noise=2.0), batches()):
        sigma = [x.features[..., 3][x.mask] * STD[3] + MEAN[3] for x in (whole, batch)]
        pull = (batch.features - whole.features)[..., 2][batch.mask] * STD[2] / sigma[0]
        assert (sigma[1] >= sigma[0] - 1e-6).all() and 0.5 < pull.std() < 1.6
        assert (batch.target.values == whole.target.values).all()


def test_fields_of_metadata_are_left_out_of_whole_sources():
    modalities = {"photometry": Photometry(), "metadata": Metadata()}
    statistics = fit_statistics(modalities, DETECTIONS)
    sources = Sources(DETECTIONS, feature_columns(modalities, DETECTIONS, statistics), times=TIMES)
    columns = masked_columns(modalities)
    left_out = []
    for rate in (0.0, 0.8):
        made = TrainingBatches(
            sources, 16, 0, None, lambda: 3, columns=columns, augmentation=Augmentation(fields=rate),
            statistics=statistics,
        )  # fmt: skip
        values, masks = zip(*((b.features[..., 7:37], b.features[..., 37:]) for b in made))
        left_out.append(np.mean([float(m.sum() / v.numel()) for v, m in zip(values, masks)]))
        for value, mask, batch in zip(values, masks, made):
            assert (value[mask == 1] == 0).all() and (mask[~batch.mask] == 0).all()
    assert left_out[1] > left_out[0] + 0.1


def test_stamps_are_turned_and_mirrored_each_way():
    image = torch.arange(4.0).view(1, 1, 2, 2)
    changes = Augmentation(turn=True).draw(np.random.default_rng(0), 400, 1, slice(None))
    turned = changes._turned(image.expand(400, 3, 2, 2)).flatten(1)
    assert len({tuple(row) for row in turned.tolist()}) == 8
    assert (turned.sort(1).values == turned[0].sort().values).all()


def test_processes_share_what_is_drawn():
    settings = {"thin": 0.5, "shift": 0.3, "noise": 1.0}
    whole = batches(**settings)
    for rank in (0, 1):
        for batch, all_of_it in zip(batches(**settings, rank=rank, world_size=2), whole):
            rows = slice(rank, None, 2)
            length = batch.mask.shape[1]
            assert (batch.mask == all_of_it.mask[rows, :length]).all()
            np.testing.assert_array_equal(batch.features, all_of_it.features[rows, :length])


@pytest.mark.parametrize("settings", [{"thin": 1.0}, {"shift": -0.1}, {"noise": np.inf}])
def test_impossible_settings_are_named(settings):
    with pytest.raises(ValueError, match="augment: thin must be from 0 to below 1"):
        Augmentation(**settings)
