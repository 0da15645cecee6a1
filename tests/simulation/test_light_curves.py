"""Light-curve models against the physics that their files claim, and against other implementations."""

import astropy.units as units
import numpy as np
import pytest
from astropy.modeling.models import BlackBody
from matplotlib.figure import Figure
from scipy.integrate import quad

from rtf.classes import FINE
from rtf.simulation import pictures
from rtf.simulation.light_curves import (
    MODELS,
    afterglow,
    agn,
    arnett,
    cataclysmic,
    diffusion,
    dwarf_nova,
    flare,
    interaction,
    kilonova,
    magnetar,
    nova,
    plateau,
    shock_cooling,
    tde,
)
from rtf.simulation.light_curves.spectrum import (
    BAND_WAVELENGTH,
    R_WAVELENGTH,
    black_body,
    black_body_ratio,
    blanketing,
    photosphere,
)
from rtf.simulation.populations import POPULATIONS
from rtf.simulation.survey import SimulatedSurvey, simulate_source

DAYS = np.arange(0.25, 300.0, 0.25)
G, R, I = BAND_WAVELENGTH  # noqa: E741
#: Phases that resolve the peak of what is over in days.
FAST = {
    "Kilonova": np.geomspace(0.02, 30, 600),
    "Afterglow": np.geomspace(1e-5, 20, 1500),
    "Flare": np.arange(0.0, 200.0, 0.02),
    "SN IIb": np.geomspace(0.05, 160, 600),
    "FBOT": np.geomspace(0.05, 60, 600),
    "Cataclysmic": np.arange(0.0, 420, 0.1),
}
ONE_SIGN = sorted(set(MODELS) - {"AGN"})


def draws(name, number, seed=0):
    rng = np.random.default_rng(seed)
    return [MODELS[name].module.draw(rng, MODELS[name].kind) for _ in range(number)]


def magnitudes(name, parameters, wavelength=R, days=DAYS):
    with np.errstate(divide="ignore"):
        return -2.5 * np.log10(MODELS[name].module.luminosity(days, wavelength, parameters))


def median(name, measure, number=100):
    return np.median([measure(parameters) for parameters in draws(name, number)])


def peak_day(name):
    return lambda parameters: DAYS[magnitudes(name, parameters).argmin()]


def decline(name, days, wavelength=R):
    def measure(parameters):
        curve = magnitudes(name, parameters, wavelength)
        peak = curve.argmin()
        return curve[min(peak + int(4 * days), len(DAYS) - 1)] - curve[peak]

    return measure


def colour(name, after):
    """g - r so many days after the peak in r."""

    def measure(parameters):
        k = min(magnitudes(name, parameters).argmin() + int(4 * after), len(DAYS) - 1)
        return magnitudes(name, parameters, G)[k] - magnitudes(name, parameters, R)[k]

    return measure


# What all models have in common.


def test_every_model_is_of_a_fine_class_that_happens_somewhere():
    assert set(MODELS) == set(POPULATIONS) <= set(FINE)


@pytest.mark.parametrize("name", MODELS)
def test_draws_are_reproducible_and_differ(name):
    first, again, other = (draws(name, 1, seed)[0] for seed in (3, 3, 4))
    assert {"magnitude", "host_dust"} <= set(first)
    assert first["host_dust"] >= 0
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert first["magnitude"] != other["magnitude"]


@pytest.mark.parametrize("name", MODELS)
def test_finite_and_dark_before_it_begins(name):
    module = MODELS[name].module
    phase = np.sort(np.concatenate([np.arange(-30.0, 420.0, 1.7), np.arange(-0.05, 0.05, 0.003)]))
    for redshift in (0.0, 0.3):
        wavelength = np.tile(BAND_WAVELENGTH, len(phase))[: len(phase)] / (1 + redshift)
        for parameters in draws(name, 20):
            light = module.luminosity(phase, wavelength, parameters)
            assert light.shape == phase.shape and np.isfinite(light).all()
            if name != "AGN":
                assert (light >= 0).all() and light.max() > 0
                assert (light[phase < 0] == 0).all()


@pytest.mark.parametrize("name", [name for name in ONE_SIGN if name != "Flare"])  # of which below
def test_magnitude_is_the_peak_of_the_model(name):
    for parameters in draws(name, 60, seed=1):
        peak = magnitudes(name, parameters, days=FAST.get(name, DAYS)).min()
        assert peak == pytest.approx(parameters["magnitude"], abs=0.03)


@pytest.mark.parametrize(
    ("name", "centre", "scatter"),
    [  # Li et al. 2011, Richardson et al. 2014, Anderson et al. 2014, van Velzen et al. 2021,
        # Chen et al. 2023, Villar et al. 2017, Ho et al. 2023
        ("SN Ib", -17.3, 0.8),
        ("SN Ic", -17.6, 0.8),
        ("SN IIb", -17.2, 0.6),
        ("SN II", -17.1, 0.9),
        ("SN IIP", -16.8, 0.9),
        ("SN IIn", -18.7, 0.9),
        ("TDE", -19.45, 0.9),
        ("SLSN", -21.4, 0.6),
        ("Kilonova", -15.5, 0.3),
        ("FBOT", -19.5, 0.5),
    ],
)
def test_luminosity_function(name, centre, scatter):
    drawn = [parameters["magnitude"] for parameters in draws(name, 500)]
    assert np.median(drawn) == pytest.approx(centre, abs=0.2)
    assert np.std(drawn) == pytest.approx(scatter, rel=0.25)


def test_light_does_not_depend_on_other_visits():
    # All models but the walk of AGN are functions of the phase: a visit more changes nothing.
    for name in ONE_SIGN:
        parameters = draws(name, 1)[0]
        module = MODELS[name].module
        whole = module.luminosity(DAYS, np.full(len(DAYS), R), parameters)
        np.testing.assert_allclose(module.luminosity(DAYS[::5], R, parameters), whole[::5], rtol=1e-12)


# Spectra.


def test_black_body_against_astropy():
    area = 4 * np.pi * (10 * units.pc) ** 2
    for temperature in (4000, 10000, 30000):
        planck = BlackBody(temperature * units.K)
        for wavelength in BAND_WAVELENGTH / 1.1:
            share = planck(wavelength * units.AA) * units.sr / planck.bolometric_flux  # pi B_nu / sigma T^4
            flux = (3e42 * units.erg / units.s / area * share).to_value(3631 * units.Jy)
            assert black_body(3e42, temperature, wavelength) == pytest.approx(flux, rel=1e-4)


def test_black_body_ratio_is_that_of_black_bodies_and_one_at_r():
    light = black_body(1e42, 7000.0, BAND_WAVELENGTH)
    np.testing.assert_allclose(black_body_ratio(7000.0, BAND_WAVELENGTH), light / light[1], rtol=1e-10)


def test_redshifted_black_body_is_a_cooler_one():
    # The K-correction: looking at emitted wavelengths shorter by 1 + z gives the colours of T / (1 + z).
    hot = black_body_ratio(12000.0, BAND_WAVELENGTH / 1.2)
    cool = black_body_ratio(10000.0, BAND_WAVELENGTH)
    np.testing.assert_allclose(hot / hot[1], cool, rtol=1e-10)


def test_photosphere_is_that_of_the_expanding_sphere_until_it_recedes():
    # The Sun's luminosity and radius give its temperature; one solar radius at 6957 km/s takes 100 s.
    day = np.array([100.0 / 86400, 100.0])
    np.testing.assert_allclose(photosphere(3.828e33, day, 6957.0, 3000.0), [5772, 3000], rtol=1e-3)


def test_blanketing_dims_the_blue_alone():
    assert blanketing(R) == blanketing(I) == 0
    assert blanketing(G) == pytest.approx(1)
    assert blanketing(G / 1.1) > 1


# Explosions heated from inside.


def test_diffusion_against_quadrature():
    heat = lambda t: np.exp(-t / 8.8) + 0.1 / (1 + t)  # noqa: E731
    time = np.geomspace(0.2, 500.0, 110)
    light = diffusion.diffused(time, heat(time), 12.0)
    for k in (20, 40, 60, 75, 85):
        expected, _ = quad(
            lambda s, k=k: heat(s) * 2 * s / 144 * np.exp((s**2 - time[k] ** 2) / 144), 0, time[k], limit=200
        )
        assert light[k] == pytest.approx(expected, rel=0.01)
    # Whatever the diffusion time, light is heat in the end.
    for tau in (0.5, 5.0):
        np.testing.assert_allclose(diffusion.diffused(time, heat(time), tau)[-5:], heat(time)[-5:], rtol=0.01)


def test_arnett_rule():
    # At the peak the light equals the instantaneous heating (Arnett 1982), where no gamma rays escape.
    parameters = {"nickel_mass": 0.1, "tau_m": 12.0, "t_gamma": 1e6}
    time = np.arange(5.0, 60.0, 0.1)
    light = arnett.bolometric(time, parameters)
    nickel, cobalt = 6.45e43 * np.exp(-time / 8.8), 1.45e43 * np.exp(-time / 111.3)  # Nadyozhin 1994
    peak = light.argmax()
    assert 13 < time[peak] < 22
    assert light[peak] == pytest.approx(0.1 * (nickel + cobalt)[peak], rel=0.05)
    assert light[-1] == pytest.approx(0.1 * (nickel + cobalt)[-1], rel=0.2)


@pytest.mark.parametrize("name", ["SN Ib", "SN Ic"])
def test_stripped_supernovae_rise_decline_and_redden(name):
    assert 14 < median(name, peak_day(name)) < 21  # Taddia et al. 2015, Prentice et al. 2016
    assert 0.4 < median(name, decline(name, 15)) < 0.8 < median(name, decline(name, 15, G)) < 1.3
    assert 0.1 < median(name, colour(name, 0)) < 0.5
    assert 0.75 < median(name, colour(name, 30)) < 1.1


def test_iib_alone_have_an_early_peak():
    def dips(name):
        days = np.arange(0.5, 9.0, 0.25)  # from then on the fastest SN Ib have their peak
        curves = [magnitudes(name, p, G, days) for p in draws(name, 200)]
        return np.mean([(np.diff(curve) > 0.01).any() for curve in curves])

    assert dips("SN IIb") > 0.6
    assert dips("SN Ib") < 0.2


def test_shock_cooling_scalings():
    parameters = draws("SN IIb", 1)[0]
    # Before the diffusion time L ∝ R t^(-4 / (n - 2)), n = 10 (Piro, Haynie & Yao 2021).
    time = np.array([0.02, 0.04])
    light, temperature = shock_cooling.bolometric(time, parameters)
    assert np.log2(light[1] / light[0]) == pytest.approx(-0.5, abs=1e-6)
    assert temperature[0] > temperature[1] > 20000
    wide = {**parameters, "envelope_radius": 3 * parameters["envelope_radius"]}
    np.testing.assert_allclose(shock_cooling.bolometric(time, wide)[0], 3 * light, rtol=1e-10)
    # After it, gone: a hundred times fainter than at a day in a fortnight.
    late, floor = shock_cooling.bolometric(np.array([1.0, 14.0]), parameters)
    assert late[1] < 0.01 * late[0]
    assert floor[1] == parameters["envelope_floor"]


def test_fast_blue_transients_are_fast_and_blue():
    # Ho et al. (2023): above half the peak for less than 12 days, g - r < -0.2 at the peak.
    days = np.arange(0.1, 60.0, 0.1)

    def above_half(parameters):
        return 0.1 * np.sum(
            magnitudes("FBOT", parameters, G, days) < magnitudes("FBOT", parameters, G, days).min() + 0.75
        )

    assert 2 < median("FBOT", above_half) < 9
    assert median("FBOT", colour("FBOT", 0)) < -0.2


def test_magnetar_radiates_its_energy_and_the_light_follows_it():
    parameters = draws("SLSN", 1)[0]
    total, _ = quad(
        lambda u: magnetar.spin_down(np.exp(u), parameters) * np.exp(u) * 86400, -20, 25, limit=500
    )
    assert total == pytest.approx(2.6e52 / parameters["period"] ** 2, rel=1e-4)
    # Without leakage the light is the spin-down late, which falls as t^-2.
    tight = {**parameters, "gamma_opacity": 1e6}
    late = np.array([250.0, 500.0])
    light = magnetar.bolometric(late, tight)
    np.testing.assert_allclose(light, magnetar.spin_down(late, tight), rtol=0.05)
    assert np.log2(light[1] / light[0]) == pytest.approx(-2, abs=0.25)
    assert (magnetar.bolometric(late, parameters) < light).all()


def test_magnetar_light_never_exceeds_what_went_in():
    time = np.geomspace(0.3, 600, 500)
    for parameters in draws("SLSN", 20):
        out = np.trapezoid(magnetar.bolometric(time, parameters), time)
        fed = np.trapezoid(
            magnetar.spin_down(np.geomspace(1e-4, 600, 3000), parameters), np.geomspace(1e-4, 600, 3000)
        )
        assert 0.02 < out / fed < 1


def test_superluminous_supernovae_rise_slowly_and_stay_blue():
    assert 30 < median("SLSN", peak_day("SLSN")) < 60  # Chen et al. 2023: 42 d, 18 d scatter
    assert -0.35 < median("SLSN", colour("SLSN", 0)) < 0.05


def test_kilonovae_redden_within_a_week_and_vanish():
    days = np.array([0.7, 2.5, 6.0])
    curves = [[magnitudes("Kilonova", p, w, days) for w in (G, R)] for p in draws("Kilonova", 100)]
    g, r = np.median(curves, axis=0)
    assert (np.diff(g - r) > 0.5).all() and (g - r)[0] < 0.5
    # AT 2017gfo in r, absolute: -15.7, -14.1, -12.2 (Villar et al. 2017).
    np.testing.assert_allclose(r, [-15.7, -14.1, -12.2], atol=0.6)


def test_kilonova_heat_is_a_power_law_before_it_leaks():
    # The share that thermalises only falls, so that the heat falls faster than t^-1.3.
    time = np.geomspace(0.01, 10, 50)
    share = kilonova.heating(time, "red") / (2e10 * time**-1.3)
    assert share[0] == pytest.approx(0.72, abs=0.02)
    assert (np.diff(share) < 0).all()


# Hydrogen-rich supernovae.


def test_plateau_is_flat_and_ends_near_100_days():
    def end(parameters):
        curve = magnitudes("SN IIP", parameters)
        return DAYS[np.gradient(curve)[200:].argmax() + 200]

    assert 90 < median("SN IIP", end) < 120
    assert median("SN IIP", decline("SN IIP", 50)) < 0.5 < median("SN II", decline("SN II", 50))
    # The tail is 56Co's, 0.98 mag in 100 days.
    tail = plateau.magnitude(np.array([250.0, 350.0]), draws("SN IIP", 1)[0])
    assert np.diff(tail)[0] == pytest.approx(0.98, abs=0.01)


def test_fast_declining_plateaus_are_luminous():
    drawn = draws("SN II", 500)
    slope = np.array([p["decline"] for p in drawn])
    magnitude = np.array([p["magnitude"] for p in drawn])
    assert np.corrcoef(slope, magnitude)[0, 1] < -0.2  # Anderson et al. 2014


def test_hydrogen_rich_supernovae_begin_blue_and_redden():
    for name in ("SN II", "SN IIP"):
        early, late = median(name, colour(name, 0)), median(name, colour(name, 60))
        assert early < 0.2 < 0.8 < late


def test_interacting_supernovae_are_slow_and_stay_blue():
    assert 20 < median("SN IIn", peak_day("SN IIn")) < 60  # Nyholm et al. 2020
    assert 0.5 < median("SN IIn", decline("SN IIn", 50)) < 1.3
    assert median("SN IIn", colour("SN IIn", 50)) < 0.4
    # The shape is the published function, scaled to its peak.
    time = np.linspace(-40, 200, 4801)
    assert interaction.shape(time, 8.0, 60.0).max() == pytest.approx(1, abs=1e-4)


# SN Ia.


def test_sn_ia_decline_second_bump_and_stretch():
    assert 0.7 < median("SN Ia", decline("SN Ia", 15, G)) < 1.15
    assert 0.5 < median("SN Ia", decline("SN Ia", 15, R)) < 0.75
    parameters = {**draws("SN Ia", 1)[0], "stretch": 1.0, "bump": 1.0}
    i = magnitudes("SN Ia", parameters, I)
    day = i[: 4 * 25].argmin()
    assert i[day + 4 * 16] > i[day + 4 * 28]  # the second maximum of i is a month after the first
    narrow, broad = ({**parameters, "stretch": s} for s in (0.8, 1.1))
    assert decline("SN Ia", 15, G)(narrow) > decline("SN Ia", 15, G)(broad)


# Nuclei of galaxies.


def test_tde_late_slope_and_constant_colour():
    parameters = {**draws("TDE", 1)[0], "power": -5 / 3}
    late = np.array([4000.0, 8000.0]) + 3 * parameters["rise"] - parameters["t0"]
    light = tde.luminosity(late, R, parameters)
    assert np.log2(light[1] / light[0]) == pytest.approx(-5 / 3, abs=0.01)
    g_r = magnitudes("TDE", parameters, G) - magnitudes("TDE", parameters, R)
    assert np.ptp(g_r) < 1e-9 and g_r[0] < 0
    assert np.mean([p["power"] for p in draws("TDE", 300)]) == pytest.approx(-5 / 3, abs=0.05)


def test_tde_fade_and_colour_are_those_of_real_ones(real_data):
    import pyarrow.parquet as parquet

    table = parquet.read_table(real_data / "lightcurves" / "ztf_tde.parquet").to_pydict()
    columns = {name: np.array(table[name]) for name in ("object_id", "mjd", "band", "mag", "isdiffpos")}
    faded, colours = [], []
    for name in np.unique(columns["object_id"]):
        mine = (columns["object_id"] == name) & (columns["isdiffpos"] == "t")
        mjd, band, mag = (columns[key][mine] for key in ("mjd", "band", "mag"))
        red = band == "r"
        if red.sum() < 4:
            continue
        peak = np.flatnonzero(red)[mag[red].argmin()]
        later = red & (np.abs(mjd - mjd[peak] - 40) < 10)
        if later.any():
            faded.append(np.median(mag[later]) - mag[peak])
        pairs = [
            mag[k] - mag[red & (np.abs(mjd - mjd[k]) < 0.6)].mean()
            for k in np.flatnonzero(band == "g")
            if (red & (np.abs(mjd - mjd[k]) < 0.6)).any()
        ]
        if pairs:
            colours.append(np.median(pairs))

    def fade(parameters):  # 40 observed days at redshift 0.1
        return decline("TDE", 40 / 1.1)(parameters)

    # The brightest of noisy points is brighter than the peak, by half of a magnitude's tenth or so.
    assert median("TDE", fade) == pytest.approx(np.median(faded) - 0.05, abs=0.15)
    dust = np.median([p["host_dust"] for p in draws("TDE", 300)]) + 0.04
    model = median("TDE", colour("TDE", 0)) + 0.9 * dust
    # Tuned on others, of forced photometry: these are a test, and redder.
    assert model == pytest.approx(np.median(colours), abs=0.15)


def test_core_collapse_colours_are_those_of_real_ones(real_data):
    import pyarrow.parquet as parquet

    table = parquet.read_table(real_data / "lightcurves" / "osc_supernovae_gri.parquet").to_pydict()
    columns = {name: np.array(table[name]) for name in ("object_id", "mjd", "band", "mag", "type")}
    measured = []
    for name in np.unique(columns["object_id"][np.isin(columns["type"], ["SN II", "SN IIP"])]):
        mine = columns["object_id"] == name
        mjd, band, mag = (columns[key][mine] for key in ("mjd", "band", "mag"))
        red = band == "r"
        if red.sum() < 5:
            continue
        month = np.abs(mjd - mjd[red][mag[red].argmin()] - 30) < 6
        if (month & red).any() and (month & (band == "g")).any():
            measured.append(np.median(mag[month & (band == "g")]) - np.median(mag[month & red]))
    # Eleven objects, with the dust of their hosts and of the Galaxy.
    assert len(measured) > 8
    model = median("SN II", colour("SN II", 30)) + 0.9 * (0.07 + 0.03)
    assert model == pytest.approx(np.median(measured), abs=0.2)


def test_damped_random_walk_structure_function():
    tau, lag = 100.0, np.array([5.0, 50.0, 400.0])
    time = np.arange(0.0, 60000.0, 5.0)
    walk = agn.damped_random_walk(time, tau, np.random.default_rng(3))
    for days in lag:
        step = int(days / 5)
        measured = np.mean((walk[step:] - walk[:-step]) ** 2)
        assert measured == pytest.approx(2 * (1 - np.exp(-days / tau)), rel=0.15)


def test_agn_bands_vary_together_with_both_signs_and_more_in_blue():
    time = np.repeat(np.arange(0.0, 3000.0, 3.0), 2)
    wavelength = np.tile([G, R], 1000)
    parameters = {**draws("AGN", 1)[0], "reference": 0.0, "slope": 0.0, "blue": 0.6}
    light = agn.luminosity(time, wavelength, parameters)
    g, r = light[0::2], light[1::2]
    assert np.corrcoef(g, r)[0, 1] > 0.99
    assert r.min() < 0 < r.max()
    assert 1.05 < np.std(g) / np.std(r) < 1.4
    # `magnitude` is that of the nucleus: the light varies by the walk's share of it.
    share = r * 10 ** (0.4 * parameters["magnitude"])
    assert np.std(2.5 * np.log10(1 + share)) == pytest.approx(parameters["sigma"], rel=0.5)


# Stars, and the afterglow.


def test_dwarf_novae_come_back_and_novae_do_not():
    def outbursts(module):
        rng = np.random.default_rng(0)
        counts = []
        for _ in range(100):
            parameters = module.draw(rng)
            light = module.luminosity(DAYS, R, parameters) * 10 ** (0.4 * parameters["magnitude"])
            high = np.concatenate([[False], light > 0.1])
            counts.append(np.sum(high[1:] & ~high[:-1]))
        return np.array(counts)

    assert np.median(outbursts(dwarf_nova)) >= 2
    assert (outbursts(nova) == 1).all()


def test_novae_fade_by_two_magnitudes_in_t2_and_the_fast_are_luminous():
    rng = np.random.default_rng(0)
    drawn = [nova.draw(rng) for _ in range(300)]
    for parameters in drawn[:20]:
        late = nova.shape(np.array([parameters["t2"]]), {**parameters, "rise": 1e-3})[0]
        assert -2.5 * np.log10(late) == pytest.approx(2)
    t2, magnitude = (np.array([p[key] for p in drawn]) for key in ("t2", "magnitude"))
    assert np.median(magnitude) == pytest.approx(-7.6, abs=0.4)
    assert np.median(magnitude[t2 < 15]) < np.median(magnitude[t2 > 40]) - 0.8


def test_cataclysmic_variables_are_mostly_dwarf_novae():
    share = np.mean([p["nova"] for p in draws("Cataclysmic", 1000)])
    assert share == pytest.approx(cataclysmic.NOVA_SHARE, abs=0.05)


def test_afterglow_closure_relations():
    # A flux that goes as t^-3(p-1)/4 nu^-(p-1)/2, and t^-p after the jet break (Sari et al. 1998, 1999).
    parameters = {"index": 2.4, "day_magnitude": -23.0, "onset": 1e-4, "jet_break": 1.0}
    time = np.array([0.01, 0.02, 50.0, 100.0])
    light = afterglow.luminosity(time, R, parameters)
    assert np.log2(light[1] / light[0]) == pytest.approx(-0.75 * 1.4, abs=0.01)
    assert np.log2(light[3] / light[2]) == pytest.approx(-2.4, abs=0.01)
    g = afterglow.luminosity(time, G, parameters)
    np.testing.assert_allclose(g / light, (R / G) ** -0.7, rtol=1e-10)
    # Undisturbed by onset and jet it has the given magnitude at one day.
    wide = {**parameters, "jet_break": 1e6}
    assert -2.5 * np.log10(afterglow.luminosity(np.array([1.0]), R, wide)) == pytest.approx(-23.0, abs=0.01)


def test_flare_is_over_in_hours_and_half_as_bright_for_its_width():
    time = np.arange(-2.0, 30.0, 0.001)
    light = flare.template(time)
    assert light.max() == pytest.approx(1, abs=0.01)
    assert 0.001 * np.sum(light > 0.5) == pytest.approx(1, abs=0.1)
    for parameters in draws("Flare", 30):
        # Star and greatest flare together are `amplitude` brighter than the star.
        both = 10 ** (-0.4 * parameters["magnitude"]) + 10 ** (-0.4 * parameters["quiescent"])
        assert parameters["quiescent"] + 2.5 * np.log10(both) == pytest.approx(parameters["amplitude"])


def test_flares_come_again_and_great_ones_are_rare():
    parameters = draws("Flare", 1)[0]
    start, peak, width = flare.flares(parameters)
    assert len(start) > 500 and peak.max() == 1.0 and np.mean(peak > 0.2) < 0.2
    greatest = peak.argmax()
    at, after = start[greatest] + width[greatest], start[greatest] + width[greatest] + 1.5
    light = flare.luminosity(np.array([at, after]), R, parameters)
    assert -2.5 * np.log10(light[0]) == pytest.approx(parameters["magnitude"], abs=0.35)
    assert light[1] < 0.5 * light[0]


# Pictures.


@pytest.mark.parametrize("name", ["SN IIb", "AGN", "Dwarf nova", "Afterglow"])
def test_pictures_show_the_light_of_the_model(name):
    (axes,) = pictures.model_figure(name).axes
    assert len(axes.lines) == 9 and axes.yaxis_inverted()  # three draws of each band; bright is up
    lines = {line.get_label(): line for line in axes.lines}
    light = pictures.draw_light(pictures.PICTURED[name], lines["r"].get_xdata())
    for k, band in enumerate("gri"):
        np.testing.assert_array_equal(lines[band].get_ydata(), light[0, k])


def test_a_source_is_drawn_as_the_survey_saw_it():
    source = simulate_source(SimulatedSurvey(1, 3, {"SN Ia": 1.0}, min_detections=10), 0)
    axes = Figure().add_subplot()
    pictures.draw_source(axes, source)
    seen = np.sort(np.concatenate([box.lines[0].get_ydata() for box in axes.containers]))
    np.testing.assert_array_equal(seen, np.sort(source.alerts.mag))
    limits = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "v"])
    bands = np.isin(source.visits.band, source.alerts.band)
    assert len(limits) == bands.sum() - len(source.alerts)
    curve = next(line for line in axes.lines if line.get_label() == "r")
    assert np.nanmin(curve.get_ydata()) == pytest.approx(source.event.magnitude, abs=0.1)
    assert axes.yaxis_inverted()


def test_every_model_has_a_picture():
    assert set(MODELS) - set(pictures.PICTURED) == {"Cataclysmic"}


def test_r_wavelength_is_the_survey_r_band():
    assert R_WAVELENGTH == R
