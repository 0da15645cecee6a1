"""Light-curve models against the physics that their files claim."""

import astropy.units as units
import numpy as np
import pytest
from astropy.modeling.models import BlackBody

from rtf.classes import FINE
from rtf.simulation.light_curves import MODELS, agn, outburst, plateau, sn_ia, stripped, tde
from rtf.simulation.light_curves.blackbody import WAVELENGTH, ratio_to_r

DAYS = np.arange(0.0, 200.0, 0.5)
G, R, IBAND = (np.full(len(DAYS), band) for band in range(3))


def median_of(module, kind, number, measure):
    rng = np.random.default_rng(1)
    return np.median([measure(module.draw(rng, kind)) for _ in range(number)])


def magnitudes(module, parameters, band, redshift=0.0):
    with np.errstate(divide="ignore"):
        return -2.5 * np.log10(module.relative_flux(DAYS, band, parameters, redshift))


def delta_m15(module, band):
    def measure(parameters):
        curve = magnitudes(module, parameters, band)
        peak = curve.argmin()
        return curve[peak + 30] - curve[peak]

    return measure


def test_every_fine_class_has_a_model():
    assert set(MODELS) == set(FINE)


@pytest.mark.parametrize("name", FINE)
def test_finite_and_dark_before_it_begins(name):
    model = MODELS[name]
    rng = np.random.default_rng(0)
    phase, band = np.repeat(np.arange(-5.0, 300.0), 3), np.tile([0, 1, 2], 305)
    for _ in range(50):
        parameters = model.module.draw(rng, model.kind)
        flux = model.module.relative_flux(phase, band, parameters, 0.05)
        assert flux.shape == phase.shape and np.isfinite(flux).all()
        if name != "AGN":
            assert (flux >= 0).all() and flux.max() < 10
            assert (flux[phase < -4] < 0.05).all()


def test_black_body_against_astropy():
    for temperature in (4000, 10000, 30000):
        light = BlackBody(temperature * units.K)(WAVELENGTH / 1.1 * units.cm).value
        ours = ratio_to_r(temperature, np.arange(3), 0.1)
        np.testing.assert_allclose(ours, light / light[1], rtol=1e-4)


def test_sn_ia_decline_second_bump_and_stretch():
    assert 0.7 < median_of(sn_ia, "", 300, delta_m15(sn_ia, G)) < 1.1
    assert 0.5 < median_of(sn_ia, "", 300, delta_m15(sn_ia, R)) < 0.75
    parameters = {**sn_ia.draw(np.random.default_rng(0)), "stretch": 1.0, "bump": 1.0}
    i = magnitudes(sn_ia, parameters, IBAND)
    day = np.searchsorted(DAYS, sn_ia.RISE)
    assert i[day + 2 * 15] > i[day + 2 * 25]  # the second maximum of i is about 25 days after the peak
    narrow, broad = ({**parameters, "stretch": s} for s in (0.8, 1.1))
    assert delta_m15(sn_ia, G)(narrow) > delta_m15(sn_ia, G)(broad)


@pytest.mark.parametrize("kind", ["Ib", "Ic", "IIb"])
def test_arnett_peak_obeys_arnett_rule(kind):
    # At the peak the luminosity equals the instantaneous heating (Arnett 1982), with little leakage.
    tau_m = stripped._DIFFUSION[kind][0]
    time = stripped._TIME
    light = stripped.arnett(tau_m, 1e6)
    heat = (stripped.HEAT_NI - stripped.HEAT_CO) * np.exp(-time / stripped.TAU_NI)
    heat = heat + stripped.HEAT_CO * np.exp(-time / stripped.TAU_CO)
    peak = light.argmax()
    assert 10 < time[peak] < 25
    late = light[-1] / heat[-1]  # after diffusion, light is heat: the scale of the normalised curve
    assert light[peak] / heat[peak] == pytest.approx(late, rel=0.05)


def test_iib_alone_has_an_early_peak():
    def early(parameters):
        flux = stripped.relative_flux(DAYS, G, parameters, 0.0)
        return flux[2:8].max() / flux[14:18].min()  # days 1 to 4 against day 7 to 9

    assert median_of(stripped, "IIb", 200, early) > 1.0
    assert median_of(stripped, "Ib", 200, early) < 0.8


def test_plateau_is_flat_and_ends_near_100_days():
    def end(parameters):
        curve = magnitudes(plateau, parameters, R)
        return DAYS[np.gradient(curve)[60:].argmax() + 60]

    def slope(parameters):
        return np.diff(plateau.magnitude(np.array([30.0, 60.0]), parameters))[0] / 0.3

    assert 90 < median_of(plateau, "IIP", 200, end) < 120
    assert median_of(plateau, "IIP", 200, slope) < 0.6 < 1.2 < median_of(plateau, "II", 200, slope)
    # The tail is 56Co's.
    tail = plateau.magnitude(np.array([250.0, 350.0]), plateau.draw(np.random.default_rng(0)))
    assert np.diff(tail)[0] == pytest.approx(0.98, abs=0.01)


def test_tde_late_slope_and_constant_colour():
    parameters = {**tde.draw(np.random.default_rng(0)), "power": -5 / 3}
    late = np.array([4000.0, 8000.0]) + 3 * parameters["rise"] - parameters["t0"]
    flux = tde.relative_flux(late, np.array([1, 1]), parameters, 0.0)
    assert np.log(flux[1] / flux[0]) / np.log(2) == pytest.approx(-5 / 3, abs=0.01)
    colour = magnitudes(tde, parameters, G)[1:] - magnitudes(tde, parameters, R)[1:]
    assert np.ptp(colour) < 1e-9 and colour[0] < 0
    power = [tde.draw(np.random.default_rng(k))["power"] for k in range(300)]
    assert np.mean(power) == pytest.approx(-5 / 3, abs=0.05)


def test_damped_random_walk_structure_function():
    tau, lag = 100.0, np.array([5.0, 50.0, 400.0])
    time = np.arange(0.0, 60000.0, 5.0)
    walk = agn.damped_random_walk(time, tau, np.random.default_rng(3))
    for days in lag:
        step = int(days / 5)
        measured = np.mean((walk[step:] - walk[:-step]) ** 2)
        assert measured == pytest.approx(2 * (1 - np.exp(-days / tau)), rel=0.15)


def test_agn_bands_vary_together_with_both_signs():
    time = np.repeat(np.arange(0.0, 3000.0, 3.0), 2)
    band = np.tile([0, 1], 1000)
    parameters = {**agn.draw(np.random.default_rng(0)), "reference": 0.0}
    flux = agn.relative_flux(time, band, parameters, 0.0)
    assert np.corrcoef(flux[0::2], flux[1::2])[0, 1] > 0.99
    assert flux.min() < 0 < flux.max()


def test_dwarf_novae_come_back_and_novae_do_not():
    rng = np.random.default_rng(0)
    time = np.arange(0.0, 400.0, 0.25)
    peaks = {0.0: [], 1.0: []}
    for _ in range(300):
        parameters = outburst.draw(rng)
        light = outburst.relative_flux(time, np.ones(len(time), int), parameters)
        high = light > 0.1
        peaks[parameters["nova"]].append(np.sum(high[1:] & ~high[:-1]))
    assert np.median(peaks[0.0]) >= 2
    assert np.max(peaks[1.0]) == 1
