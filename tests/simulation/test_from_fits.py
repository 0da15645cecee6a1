"""Sources drawn from a table of fits: the table's distributions, what is not applied twice, clear errors."""

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from rtf.classes import FINE
from rtf.simulation import fitting, villar
from rtf.simulation.fitting import Fit
from rtf.simulation.from_fits import FromFits, draw_coordinates
from rtf.simulation.populations import distance_modulus
from rtf.simulation.sky import Place
from rtf.simulation.survey import SimulatedSurvey, simulate_source

PLACE = Place(ra=150.0, dec=50.0, latitude=50.0, dust=0.05, field=1)
NAMES = villar.NAMES


def made_up_fits(n: int, name: str, bands=(0, 1), seed: int = 0) -> list[Fit]:
    """Fits in which the decline goes with the colour, and everything scatters."""
    rng = np.random.default_rng([seed, FINE.index(name)])
    fits = []
    for k in range(n):
        normal = rng.standard_normal(6)
        values, peak_mjd, peak_mag = np.full((3, 6), np.nan), np.full(3, np.nan), np.full(3, np.nan)
        for b in bands:
            values[b] = (
                500 * np.exp(0.5 * normal[0] + (b - 1) * 0.2 * normal[2]), 59000.0 + b,
                4 * np.exp(0.2 * normal[1]), (20 + 6 * b) * np.exp(0.25 * normal[2]),
                18 * np.exp(0.15 * normal[3]), 1 / (1 + np.exp(-0.5 * normal[4])),
            )  # fmt: skip
            peak_mjd[b], log_peak = villar.peak(villar.to_coordinates(values[b]))
            peak_mag[b] = 25 - 2.5 / np.log(10) * log_peak
        n_of_band = np.array([15 if b in bands else 0 for b in range(3)])
        fits.append(
            Fit(f"{name}{k}", FINE.index(name), values, 0.1 * values, n_of_band, peak_mag + 0.1,
                peak_mjd, peak_mag, 0.5, 20.0)
        )  # fmt: skip
    return fits


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("fits") / "fits.parquet"
    fits = [*made_up_fits(300, "SN Ia"), *made_up_fits(40, "TDE", (0, 1, 2)), *made_up_fits(5, "Cataclysmic")]
    fitting.write_fits(fits, path)
    return str(path)


def backend(table, **settings) -> FromFits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FromFits(table, **settings)


def draw(backend, name="SN Ia", n=1, seed=0, place=PLACE):
    rng = np.random.default_rng(seed)
    return [backend(rng, name, place) for _ in range(n)]


def test_the_distributions_are_the_tables(table):
    events = draw(backend(table), n=1500)
    rows = pq.read_table(table).to_pylist()
    rows = {b: [r for r in rows if r["type"] == "SN Ia" and r["band"] == b] for b in "gr"}
    assert ks_2samp([e.magnitude for e in events], [r["peak_mag"] for r in rows["r"]]).pvalue > 0.01
    for parameter in NAMES[2:]:
        for b in "gr":
            drawn = [e.parameters[f"{parameter}_{b}"] for e in events]
            told = [r[parameter] for r in rows[b]]
            assert ks_2samp(drawn, told).pvalue > 0.01, (parameter, b)
            np.testing.assert_allclose(
                np.percentile(drawn, [10, 50, 90]), np.percentile(told, [10, 50, 90]), rtol=0.12
            )
    # The decline of r goes with the colour, as in the table, within the sampling error.

    def together(fall, amplitude_g, amplitude_r):
        return np.corrcoef(np.log(fall), np.log(np.divide(amplitude_g, amplitude_r)))[0, 1]

    drawn = together(
        *([e.parameters[key] for e in events] for key in ("fall_r", "amplitude_g", "amplitude_r"))
    )
    told = together(
        [r["fall"] for r in rows["r"]],
        [r["amplitude"] for r in rows["g"]],
        [r["amplitude"] for r in rows["r"]],
    )
    assert told < -0.9 and drawn == pytest.approx(told, abs=0.05)


def test_without_scatter_they_are_the_fits_and_with_it_new_ones(table):
    falls = {r["fall"] for r in pq.read_table(table).to_pylist() if r["band"] == "r" and r["type"] == "SN Ia"}
    known = np.array(sorted(falls))

    def distance(events):
        return np.array([np.abs(known / e.parameters["fall_r"] - 1).min() for e in events])

    assert (distance(draw(backend(table, scatter=0.0), n=100)) < 1e-9).all()
    assert (distance(draw(backend(table), n=100)) > 1e-9).all()
    sample = backend(table).samples["SN Ia"]
    x = [draw_coordinates(np.random.default_rng(k), sample, 0.5)[1, 2:] for k in range(2000)]
    # Covariance is kept, each entry to a tenth of the product of the two spreads.
    expected, drawn = np.cov(sample.coordinates[:, 1, 2:].T), np.cov(np.transpose(x))
    spread = np.sqrt(np.diag(expected))
    assert (np.abs(drawn - expected) < 0.1 * np.outer(spread, spread)).all()


def test_the_same_generator_gives_the_same_source(table):
    first, again, other = (draw(backend(table), seed=seed)[0] for seed in (1, 1, 2))
    days, band = np.linspace(0, 100, 30), np.tile([0, 1, 2], 10)
    assert first[:5] == again[:5] and first.parameters == again.parameters
    np.testing.assert_array_equal(first.flux(days, band), again.flux(days, band))
    assert first.parameters["fall_r"] != other.parameters["fall_r"]


def test_the_flux_is_the_fitted_curve_with_no_dust_of_the_place(table):
    days = np.arange(-10.0, 150.0, 0.25)
    red = np.ones(len(days), int)
    for seed in range(10):
        (event,) = draw(backend(table, scatter=0.0), seed=seed)
        (dusty,) = draw(backend(table, scatter=0.0), seed=seed, place=PLACE._replace(dust=1.0))
        flux = event.flux(days, red)
        np.testing.assert_array_equal(flux, dusty.flux(days, red))
        assert (flux[days <= 0] == 0).all() and flux[days == 0.25] < 0.03 * flux.max()
        assert 25 - 2.5 * np.log10(flux.max()) == pytest.approx(event.magnitude, abs=0.01)
        values = [event.parameters[f"{name}_r"] for name in NAMES]
        late = days > 1
        curve = np.exp(villar.log_flux(days[late], villar.to_coordinates(values)))
        np.testing.assert_allclose(flux[late], curve, rtol=1e-9)
        assert event.flux(np.array([event.duration - 3]), np.array([1])) > 10 ** (-0.4 * (21.5 - 25))


def test_the_distance_is_what_the_class_would_need(table):
    for event in draw(backend(table), n=200):
        assert event.distance_modulus == pytest.approx(distance_modulus(event.redshift), abs=0.01)
        absolute = event.magnitude - event.distance_modulus
        assert -20.5 < absolute < -16 and event.parameters["host_dust"] == 0
    (star,) = draw(backend(table), "Cataclysmic")
    assert star.redshift == 0 and np.isfinite(star.distance_modulus)
    # Nothing extragalactic is followed behind the Milky Way.
    near_plane = PLACE._replace(latitude=2.0)
    assert draw(backend(table), place=near_plane) == [None]
    assert draw(backend(table), "Cataclysmic", place=near_plane) != [None]


@pytest.mark.filterwarnings("ignore:.*no fit of Cataclysmic")
def test_a_band_without_fits(table):
    days = np.arange(0.5, 120.0, 0.5)
    bands = [np.full(len(days), b) for b in range(3)]
    with pytest.warns(UserWarning, match="no fit of SN Ia in i; it gets typical colours"):
        typical = FromFits(table)
    (lit,) = draw(typical)
    colour = -2.5 * np.log10(lit.flux(days, bands[1]).max() / lit.flux(days, bands[2]).max())
    assert colour == pytest.approx(-villar.TYPICAL["SN Ia"][1][0], abs=0.02)
    # Of a class with fits in i, everything comes from them.
    (tde,) = draw(typical, "TDE")
    assert tde.flux(days, bands[2]).max() > 0


def test_clear_errors(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.parquet: no table of fits"):
        FromFits(str(tmp_path / "nowhere.parquet"))
    (tmp_path / "text.parquet").write_text("object_id,type\n")
    with pytest.raises(ValueError, match="not a parquet table"):
        FromFits(str(tmp_path / "text.parquet"))
    whole = pq.read_table(table)
    for column in ("chi2", "plateau"):
        pq.write_table(whole.drop_columns([column]), tmp_path / f"{column}.parquet")
        with pytest.raises(ValueError, match=f"no column {column}"):
            FromFits(str(tmp_path / f"{column}.parquet"))
    models = pa.array(["bazin" if k % 2 else "villar" for k in range(whole.num_rows)])
    mixed = whole.set_column(whole.column_names.index("model"), "model", models)
    pq.write_table(mixed, tmp_path / "mixed.parquet")
    with pytest.raises(ValueError, match="fits of bazin; needed"):
        FromFits(str(tmp_path / "mixed.parquet"))
    with pytest.raises(ValueError, match=r"none of .* rows is a good fit"):
        FromFits(table, max_chi2=0.1)
    with pytest.raises(ValueError, match="scatter"):
        FromFits(table, scatter=-1.0)
    with pytest.raises(ValueError, match="no usable fit of class SN IIn; there are 300 of SN Ia"):
        draw(backend(table), "SN IIn")


def test_a_survey_takes_it_as_a_backend(table):
    survey = SimulatedSurvey(n_sources=6, seed=1, classes={"SN Ia": 1.0}, backend=backend(table, scatter=0.0))
    falls = np.array([r["fall"] for r in pq.read_table(table).to_pylist()])
    for number in range(6):
        source = simulate_source(survey, number)
        assert len(source.alerts) >= 3 and source.alerts.label == 0
        assert np.abs(falls / source.event.parameters["fall_r"] - 1).min() < 1e-9
        assert source.alerts.mag.min() > source.event.magnitude - 0.7
