"""What lies at a source's place: hosts that follow the class, neighbours that follow the sky."""

import numpy as np
import pytest

from rtf.simulation.populations import POPULATIONS, distance_modulus
from rtf.simulation.scene import HALF_SIDE, HOSTS, KINDS, Scene, add_field, draw_host
from rtf.simulation.sky import Event, Place

HIGH = Place(180.0, 30.0, latitude=70.0, dust=0.03, field=1)
LOW = Place(290.0, 10.0, latitude=3.0, dust=0.6, field=2)


def event(name: str, redshift: float = 0.05, magnitude: float = 18.0, **parameters) -> Event:
    """An event of a class whose light curve nobody asks for."""
    modulus = float(distance_modulus(redshift)) if redshift else 8.0
    return Event(name, redshift, modulus, magnitude, 100.0, None, parameters)


def draw_scene(rng: np.random.Generator, event: Event, place: Place) -> Scene:
    """The host of a source and the field around it."""
    return add_field(rng, draw_host(rng, event, place), place)


def hosts(name: str, count: int = 600, place: Place = HIGH, **of_event):
    rng = np.random.default_rng(3)
    return [draw_host(rng, event(name, **of_event), place) for _ in range(count)]


def offsets(scenes) -> np.ndarray:
    """Elliptical distance of the source from the host's centre [half-light radius]."""
    result = []
    for scene in scenes:
        sine, cosine = np.sin(scene.angle[0]), np.cos(scene.angle[0])
        major = scene.dx[0] * sine + scene.dy[0] * cosine
        minor = (scene.dx[0] * cosine - scene.dy[0] * sine) / scene.axis_ratio[0]
        result.append(np.hypot(major, minor) / scene.radius[0])
    return np.array(result)


def test_every_population_has_a_place():
    rng = np.random.default_rng(0)
    for name, population in POPULATIONS.items():
        scene = draw_scene(rng, event(name, redshift=min(0.05, population.redshift_max)), HIGH)
        assert all(len(column) == len(scene.dx) for column in scene[:-1])
        assert all(np.isfinite(column).all() for column in scene[:-1])
        assert (scene.kind == "star") == scene.star[0] == (population.redshift_max == 0)


def test_a_class_without_hosts_is_refused():
    with pytest.raises(KeyError, match="Asteroid"):
        draw_scene(np.random.default_rng(0), event("Asteroid"), HIGH)


@pytest.mark.parametrize("name", ["TDE", "AGN"])
def test_nuclear_classes_sit_in_the_nucleus(name):
    assert (offsets(hosts(name, 50)) == 0).all()


@pytest.mark.parametrize("name", ["SN II", "SN Ib", "SLSN"])
def test_core_collapse_follows_the_light_of_an_exponential_disc(name):
    # The radii of half, and of 90 %, of an exponential disc's light are 1.678 and 3.890 scale lengths.
    found = offsets(hosts(name, 3000))
    assert (found < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert (found < 3.890 / 1.678).mean() == pytest.approx(0.9, abs=0.02)


def test_kilonovae_are_farther_out_than_supernovae():
    assert np.median(offsets(hosts("Kilonova"))) > 1.3 * np.median(offsets(hosts("SN Ia")))


def test_type_ia_happen_in_passive_galaxies_too_and_core_collapse_does_not():
    kinds = {name: {scene.kind for scene in hosts(name, 200)} for name in ("SN Ia", "SN II", "SLSN", "TDE")}
    assert {"passive", "star-forming"} <= kinds["SN Ia"]
    assert kinds["SN II"] == {"star-forming", "dwarf"}
    assert kinds["SLSN"] == {"dwarf"}
    assert "green" in kinds["TDE"]


def test_superluminous_supernovae_have_small_blue_faint_hosts():
    dwarfs, giants = (
        np.array([[s.magnitudes[0, 1], s.magnitudes[0, 0] - s.magnitudes[0, 1], s.radius[0]] for s in group])
        for group in (hosts("SLSN"), hosts("SN Ia"))
    )
    fainter, redder, larger = np.median(dwarfs, 0) - np.median(giants, 0)
    assert fainter > 2 and redder < -0.15 and larger < -0.5


def test_offsets_are_the_same_in_the_galaxy_at_any_distance():
    near, far = hosts("SN Ia", redshift=0.02), hosts("SN Ia", redshift=0.2)
    assert np.median(offsets(near)) == pytest.approx(np.median(offsets(far)), rel=0.1)
    assert np.median([s.radius[0] for s in near]) > 4 * np.median([s.radius[0] for s in far])


def test_quiescence_is_the_amplitude_below_the_peak():
    (scene,) = hosts("Cataclysmic", 1, redshift=0.0, magnitude=15.0, amplitude=4.5)
    assert scene.magnitudes[0, 1] == 19.5
    assert scene.star[0] and scene.dx[0] == scene.dy[0] == 0


def test_the_nucleus_adds_to_the_light_of_its_host():
    faint, bright = (hosts("AGN", 300, redshift=0.2, magnitude=m) for m in (25.0, 16.0))
    assert np.median([s.compact[0] for s in faint]) < 0.01 < 0.5 < np.median([s.compact[0] for s in bright])
    assert max(s.magnitudes[0, 1] for s in bright) < 16.0


def test_dust_dims_and_reddens_hosts():
    clear, dusty = (np.median([s.magnitudes[0] for s in hosts("SN II", 300, p)], 0) for p in (HIGH, LOW))
    # Schlafly & Finkbeiner 2011 in g, r, i, z.
    np.testing.assert_allclose(dusty - clear, 0.57 * np.array([3.172, 2.271, 1.682, 1.263]), atol=1e-9)


def test_stars_crowd_towards_the_plane_and_galaxies_hide_there():
    rng = np.random.default_rng(5)
    host = draw_host(rng, event("SN Ia"), HIGH)
    high, low = ([add_field(rng, host, place) for _ in range(100)] for place in (HIGH, LOW))
    stars = [np.mean([s.star.sum() for s in group]) for group in (high, low)]
    galaxies = [np.mean([(~s.star).sum() - 1 for s in group]) for group in (high, low)]
    assert stars[1] > 10 * stars[0]
    assert galaxies[1] < 0.5 * galaxies[0]
    every = np.concatenate([s.dx[1:] for s in low])
    # Uniform over the square: the mean square of a uniform deviate is a third.
    assert np.mean(every**2) == pytest.approx(HALF_SIDE**2 / 3, rel=0.05)


def test_shares_of_hosts_sum_to_one():
    for name, rule in HOSTS.items():
        assert sum(rule.kinds.values()) == pytest.approx(1), name
        assert set(rule.kinds) <= set(KINDS)
