"""Light curves from the package lightcurvelynx: without it a clear error, with it its own light."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from rtf.simulation import lynx
from rtf.simulation.detections import ZERO_POINT
from rtf.simulation.light_curves import MODELS
from rtf.simulation.light_curves.spectrum import BAND_WAVELENGTH
from rtf.simulation.lynx import LightCurveLynx
from rtf.simulation.populations import distance_modulus, draw_redshift
from rtf.simulation.sky import EXTINCTION, Place
from rtf.simulation.survey import SimulatedSurvey, history_of, simulate_source

PLACE = Place(150.0, 30.0, 52.0, 0.04, 635)


def package():
    return pytest.importorskip("lightcurvelynx", reason="lightcurvelynx is not installed")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The parametric SN Ia of one draw as a table: phase, wavelength, F_nu at 10 pc [nJy]."""
    package()
    module = MODELS["SN Ia"].module
    parameters = module.draw(np.random.default_rng(3), MODELS["SN Ia"].kind)
    phase, wavelength = np.arange(0.0, 80, 0.25), np.arange(3400.0, 9000, 20)
    rows = [
        np.column_stack([
            phase, np.full(len(phase), w),
            module.luminosity(phase, np.full(len(phase), w), parameters) * 3.631e12,
        ])
        for w in wavelength
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("lynx") / "sed.dat"
    np.savetxt(path, np.concatenate(rows))
    return str(path), module, parameters


def events(backend, name="SN Ia", count=5):
    rng = np.random.default_rng(0)
    found = []
    while len(found) < count:
        event = backend(rng, name, PLACE)
        if event is not None:
            found.append(event)
    return found


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lynx, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install lightcurvelynx"):
        LightCurveLynx({"SN Ia": "sed.dat"})


def test_what_cannot_be_is_refused(monkeypatch):
    monkeypatch.setattr(lynx, "find_spec", lambda name: object())
    for models in (None, {}, {"AGN": "sed.dat"}, {"Quasar": "sed.dat"}):
        with pytest.raises(ValueError, match=r"backend\.models names a table"):
            LightCurveLynx(models)
    for what in ("nowhere.dat", "rtf.no_such_module.make", "rtf.simulation.lynx.no_such_function"):
        with pytest.raises(ValueError, match="neither a file nor a function"):
            lynx.make_model(what)


def test_a_table_at_rest_is_put_into_the_sky_as_the_parametric_models_are(table):
    """The same spectrum through either backend is the same light: distance, K-correction, time, dust."""
    path, module, parameters = table
    days, band = np.arange(-20.0, 60, 1.0), np.arange(80) % 3
    for event in events(LightCurveLynx({"SN Ia": path})):
        z = event.redshift
        assert 0 < z < 0.2 and event.distance_modulus == pytest.approx(float(distance_modulus(z)))
        wavelength = (BAND_WAVELENGTH / (1 + z))[band]
        light = module.luminosity(days / (1 + z), wavelength, parameters)
        modulus = event.distance_modulus + EXTINCTION[band] * PLACE.dust
        expected = np.where(days < 0, 0, light * (1 + z) * 10 ** (-0.4 * (modulus - ZERO_POINT)))
        found = event.flux(days, band)
        assert (found[days < 0] == 0).all()
        # the package interpolates linearly, and 1 nJy is 31.4 mag to three digits
        np.testing.assert_allclose(found[25:], expected[25:], rtol=0.01)
        peak = ZERO_POINT - 2.5 * np.log10(event.flux(np.arange(0, 70, 0.5), np.ones(140, int)).max())
        assert event.magnitude == pytest.approx(peak, abs=0.01)


def a_model_with_a_redshift(path):
    from lightcurvelynx.math_nodes.np_random import NumpyRandomFunc
    from lightcurvelynx.models.sed_template_model import SEDTemplate, SEDTemplateModel

    grid = np.loadtxt(path)
    grid[:, 2] *= 1e-13  # somewhere near 300 Mpc
    redshift = NumpyRandomFunc("uniform", low=0.01, high=0.1)
    return SEDTemplateModel(SEDTemplate(grid, sed_data_t0=18.0), t0=59000.0, redshift=redshift)


def test_a_model_with_a_redshift_is_what_the_package_evaluates(table, monkeypatch):
    model = a_model_with_a_redshift(table[0])
    monkeypatch.setattr(lynx, "make_model", lambda what: model)
    days, band = np.arange(0.0, 80, 1.3), np.arange(62) % 3
    redshifts = set()
    for event in events(LightCurveLynx({"SN Ia": "this.one"})):
        redshifts.add(event.redshift)
        state = model.sample_parameters(given_args={model.node_string: {"redshift": event.redshift}})
        # The table begins 18 days before its t0, at rest.
        times = 59000.0 + days - 18 * (1 + event.redshift)
        own = model.evaluate_sed(times, BAND_WAVELENGTH, state)[np.arange(len(days)), band]
        magnitude = 31.4 - 2.5 * np.log10(own[1:]) + EXTINCTION[band[1:]] * PLACE.dust
        np.testing.assert_allclose(
            event.flux(days, band)[1:], 10 ** (-0.4 * (magnitude - ZERO_POINT)), rtol=1e-9
        )
    assert len(redshifts) == 5 and all(0.01 < z < 0.1 for z in redshifts)


def test_a_survey_of_it(table):
    """Sources are seeded, and classes without a model keep their own."""
    backend = LightCurveLynx({"SN Ia": table[0]})
    survey = SimulatedSurvey(4, seed=1, classes={"SN Ia": 1, "SN IIn": 1}, backend=backend)
    sources = [simulate_source(survey, k) for k in range(4)]
    assert {s.event.name for s in sources} == {"SN Ia", "SN IIn"}
    for k, source in enumerate(sources):
        assert ("lightcurvelynx" in source.event.parameters) == (source.event.name == "SN Ia")
        again = history_of(simulate_source(survey, k))
        assert again.mag.tobytes() == history_of(source).mag.tobytes() and len(again) >= 3


def test_redshifts_fill_the_volume():
    from astropy.cosmology import FlatLambdaCDM

    rng = np.random.default_rng(1)
    drawn = np.sort([draw_redshift(rng, 0.3) for _ in range(4000)])
    z = np.linspace(0.001, 0.3, 300)
    weight = FlatLambdaCDM(H0=70, Om0=0.3).differential_comoving_volume(z).value / (1 + z)
    expected = np.cumsum(weight) / weight.sum()
    found = np.searchsorted(drawn, z) / len(drawn)
    assert np.abs(found - expected).max() < 1.95 / np.sqrt(len(drawn))  # Kolmogorov-Smirnov, 0.1 %


def command(*arguments) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "rtf.simulate", "simulation/backend=lightcurvelynx", *arguments]
    return subprocess.run(line, capture_output=True, text=True)


def test_the_command_says_what_is_missing(tmp_path):
    done = command(f"out={tmp_path}/s.zarr")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    installed = find_spec("lightcurvelynx") is not None
    assert ("backend.models" if installed else "pip install lightcurvelynx") in done.stderr


def test_the_command_makes_a_survey_of_a_table(tmp_path, table):
    done = command(
        f"out={tmp_path}/s.zarr", "n_sources=3", "simulation.classes={SN Ia: 1}", "workers=0",
        f"simulation.backend.models={{SN Ia: {table[0]}}}",
    )  # fmt: skip
    assert done.returncode == 0 and "3 sources" in done.stdout, done.stderr
