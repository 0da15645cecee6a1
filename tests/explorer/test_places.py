"""The map: what is alike lies together, what is there stays, and a file is whole or not there."""

import numpy as np
import pytest

from rtf.explorer.places import Places, file_of, fit, load, place, save
from tests.archive.made_up import SPACE, fingerprints


@pytest.fixture(scope="module")
def groups():
    """150 fingerprints of each of three groups, and their groups. UMAP's first call compiles for 20 s."""
    rng = np.random.default_rng(1)
    centre = rng.normal(size=(3, 16)) * 3
    group = np.arange(450) % 3
    return np.float32(centre[group] + 0.3 * rng.normal(size=(450, 16))), group


@pytest.fixture(scope="module")
def fitted(groups):
    return fit(groups[0][:300])


def test_what_is_alike_lies_together_also_what_was_not_fitted(groups, fitted):
    latent, group = groups
    spots = place(fitted, latent[300:])
    for k in range(3):
        own = fitted.anchor_places[group[:300] == k]
        placed = spots[group[300:] == k]
        assert (
            np.linalg.norm(placed - own.mean(0), axis=1).max()
            <= np.linalg.norm(own - own.mean(0), axis=1).max()
        )
    assert np.abs(fitted.anchor_places).max() <= 1.0001


def test_a_place_follows_from_the_fingerprint_and_the_sample_alone(groups, fitted):
    latent = groups[0]
    np.testing.assert_array_equal(place(fitted, latent[:300]), fitted.anchor_places)
    together = place(fitted, latent[300:])
    apart = np.concatenate([place(fitted, latent[k : k + 1]) for k in range(300, 450)])
    np.testing.assert_allclose(together, apart, atol=1e-4)
    np.testing.assert_allclose(place(fitted, 7 * latent[300:]), together, atol=1e-4)  # cosine


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_a_few_are_laid_out_as_well(n):
    made = fit(fingerprints(n))
    assert np.isfinite(made.anchor_places).all()
    assert np.isfinite(place(made, fingerprints(3, seed=1))).all()


def test_the_same_fingerprint_over_and_over():
    made = fit(np.ones((100, 4), np.float32))
    assert np.isfinite(place(made, np.ones((2, 4), np.float32))).all()


def test_a_map_is_kept_whole(tmp_path):
    path, made = tmp_path / "map/a.safetensors", fit(fingerprints(20))
    made.keep(np.array([5, 3, 5], np.uint64), np.float32([[1, 1], [2, 2], [9, 9]]))
    save(made, path, SPACE)
    again = load(path, SPACE)
    for name in Places.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    np.testing.assert_array_equal(
        again.known(np.array([3, 4, 5], np.uint64)), np.float32([[2, 2], [np.nan] * 2, [1, 1]])
    )
    assert load(path, "another") is None and load(tmp_path / "none", SPACE) is None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert load(path, SPACE) is None
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_the_map_lies_beside_the_archive(tmp_path):
    assert file_of(tmp_path / "archive", "abc") == tmp_path / "archive.map/abc.safetensors"
