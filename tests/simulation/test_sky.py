"""Positions, Galactic latitude and dust."""

import numpy as np
import pytest

from rtf.simulation.sky import DUST_POLE, draw_place, draw_position, dust_before, galactic_latitude


def test_galactic_latitude_against_astropy():
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 200), rng.uniform(-90, 90, 200)
    expected = SkyCoord(ra, dec, unit="deg").galactic.b.degree
    ours = [galactic_latitude(*position) for position in zip(ra, dec)]
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_positions_are_uniform_over_the_visible_sky():
    rng = np.random.default_rng(0)
    ra, dec = np.array([draw_position(rng) for _ in range(4000)]).T
    assert (ra >= 0).all() and (ra < 360).all() and dec.min() > -28 and dec.max() < 85
    above = np.sin(np.radians(85)) - np.sin(np.radians(30))
    whole = np.sin(np.radians(85)) - np.sin(np.radians(-28))
    assert np.mean(dec > 30) == pytest.approx(above / whole, abs=0.03)


def test_dust_grows_towards_the_plane_and_with_distance():
    def dust(ra, dec):
        return np.median([draw_place(np.random.default_rng(k), ra, dec, 0).dust for k in range(200)])

    pole, plane = dust(192.86, 27.13), dust(266.4, -28.9)
    assert pole == pytest.approx(DUST_POLE, rel=0.15) and plane > 10 * pole
    place = draw_place(np.random.default_rng(0), 20.0, 40.0, 0)
    near, far = dust_before(place, 0.05), dust_before(place, 20.0)
    assert 0 < near < 0.5 * far <= place.dust and far == pytest.approx(place.dust, rel=1e-3)
