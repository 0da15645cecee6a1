"""Rates, volumes and selection: what is drawn against what the numbers claim."""

import numpy as np
import pytest

from rtf.simulation import populations
from rtf.simulation.populations import (
    PLANE,
    POPULATIONS,
    SHARES,
    distance_modulus,
    draw_event,
    followed,
    followed_rate,
    kpc_per_arcsec,
)
from rtf.simulation.sky import Place, draw_place

PLACE = Place(180.0, 40.0, 60.0, 0.02, 0)


def events(name, number, seed=0, place=PLACE):
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < number:
        event = draw_event(rng, name, place)
        if event is not None:
            found.append(event)
    return found


def test_distances_against_astropy():
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    z = np.array([0.003, 0.03, 0.2, 0.45, 2.0])
    np.testing.assert_allclose(distance_modulus(z), cosmology.distmod(z).value, atol=2e-3)
    np.testing.assert_allclose(kpc_per_arcsec(z), cosmology.kpc_proper_per_arcmin(z).value / 60, rtol=2e-3)


def test_every_published_class_has_a_population():
    assert set(SHARES) < set(POPULATIONS) and sum(SHARES.values()) == pytest.approx(1.0, abs=0.01)


def test_selection_is_by_apparent_peak():
    limit = POPULATIONS["SN Ia"].limit
    assert followed("SN Ia", limit) == pytest.approx(0.5)
    assert followed("SN Ia", limit - 1) > 0.99 > 0.01 > followed("SN Ia", limit + 1)
    peaks = np.array([event.magnitude for event in events("SN Ia", 300)])
    # In a volume without evolution the number grows as 10^(0.6 m) up to the limit.
    share = np.mean(peaks < limit - 1)
    assert share == pytest.approx(10**-0.6, abs=0.07)


def test_malmquist_bias_arises():
    from rtf.simulation.light_curves import MODELS

    model = MODELS["SN II"]
    rng = np.random.default_rng(0)
    born = np.median([model.module.draw(rng, model.kind)["magnitude"] for _ in range(400)])
    seen = np.median([event.parameters["magnitude"] for event in events("SN II", 150)])
    assert seen < born - 0.4


@pytest.mark.parametrize("name", ["SN Ia", "SN IIP", "SN IIn", "TDE", "SN Ic"])
def test_the_model_reaches_the_magnitude_that_selection_sees(name):
    days = np.geomspace(0.05, 300.0, 400)  # as long as any of these is watched
    for event in events(name, 12):
        flux = event.flux(days, np.ones(len(days), int))
        assert -2.5 * np.log10(flux.max()) + 25 == pytest.approx(event.magnitude, abs=0.06)


def test_stars_crowd_towards_the_plane_and_galaxies_avoid_it():
    rng = np.random.default_rng(0)
    high, low = Place(0.0, 0.0, 60.0, 0.02, 0), Place(0.0, 0.0, 6.0, 0.3, 0)

    def share(name, place):
        return np.mean([draw_event(rng, name, place) is not None for _ in range(3000)])

    assert share("Cataclysmic", low) > 3 * share("Cataclysmic", high)
    assert share("SN Ia", low) == 0 and abs(low.latitude) < PLANE
    assert all(event.redshift == 0 for event in events("Cataclysmic", 5, place=low))


def test_dust_dims_and_reddens():
    days, bands = np.array([20.0, 20.0]), np.array([0, 1])
    dusty = Place(180.0, 40.0, 60.0, 0.5, 0)
    clean = Place(180.0, 40.0, 60.0, 0.0, 0)

    def colour(place):
        light = np.array([event.flux(days, bands) for event in events("SN Ia", 60, place=place)])
        return np.median(-2.5 * np.log10(light[:, 0] / light[:, 1]))

    assert colour(dusty) - colour(clean) == pytest.approx(0.5 * (3.172 - 2.271), abs=0.1)


def test_rates_give_the_order_of_the_classes():
    rate = {name: followed_rate(name) for name in SHARES}
    total = sum(rate.values())
    assert rate["SN Ia"] / total == pytest.approx(0.65, abs=0.1)
    assert rate["TDE"] < 0.03 * total and rate["SN IIP"] > rate["SN IIb"]
    # SN Ia brighter than 19 over the sky: 2.4e4 / Gpc^3 / yr within the 450 Mpc of a peak of 19 mag.
    assert 3000 < rate["SN Ia"] < 12000


def test_a_place_without_room_gives_nothing():
    rng = np.random.default_rng(0)
    place = draw_place(rng, 266.4, -28.9, 0)  # the Galactic centre
    assert all(draw_event(rng, "TDE", place) is None for _ in range(50))
    assert populations.POPULATIONS["TDE"].redshift_max > 0
