import json

import numpy as np
import pytest

from rtf.evaluation.tables import physical_comparison, physical_dict, physical_table, to_markdown
from rtf.evaluation.tasks.physical import (
    NoiseFloor,
    Photometry,
    TrainingConstants,
    evaluate_physical,
    noise_floor,
    training_constants,
)


def survey(n_sources=40, seed=0):
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(n_sources), rng.integers(1, 30, n_sources))
    d = len(source)
    magerr = rng.uniform(0.02, 0.25, d)
    noiseless = rng.uniform(17, 20, d)
    true = Photometry(noiseless + rng.normal(0, magerr), rng.uniform(0, 80, d), rng.integers(0, 2, d))
    band = np.where(rng.random(d) < 0.75, true.band, 1 - true.band)
    predicted = Photometry(noiseless, true.dt + rng.normal(0, 3, d), band)
    return true, predicted, magerr, source, rng.integers(-1, 3, n_sources)


def test_noise_floor_equals_monte_carlo():
    rng = np.random.default_rng(0)
    sigma = 10 ** rng.uniform(-2, -0.3, 500)
    drawn = np.median(np.abs(rng.normal(0, sigma, (2000, 500))))
    assert noise_floor(sigma) == pytest.approx(drawn, rel=5e-3)
    assert noise_floor(np.full(3, 0.1)) == pytest.approx(0.0674489750)
    for bad in ([], [0.1, 0.0], [0.1, np.nan]):
        with pytest.raises(ValueError, match="noise floor"):
            noise_floor(np.array(bad))


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
def test_weighted_noise_floor_equals_that_of_the_repeats(spread):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 10, 80)
    sigma = 0.05 * 10 ** (spread * rng.uniform(-1, 1, 80))
    counts = rng.multinomial(10, np.full(10, 0.1), 30)
    counts[0] = 0
    floors = NoiseFloor(sigma, source, 10)(counts)
    assert np.isnan(floors[0])
    for row, floor in zip(counts[1:], floors[1:], strict=True):
        assert floor == pytest.approx(noise_floor(np.repeat(sigma, row[source])), rel=1e-3)


def test_result_by_hand():
    true, predicted, magerr, source, label = survey()
    constants = training_constants(true)
    assert constants == TrainingConstants(np.median(true.mag), np.median(true.dt), constants.band)
    assert (true.band == constants.band).mean() >= 0.5
    result = evaluate_physical(true, predicted, magerr, source, label, constants, n_bootstrap=300)
    assert [(r.kind, r.group) for r in result.rows] == [
        ("all", "all"), ("class", "SN Ia"), ("class", "SN Ib"), ("class", "SN Ic"),
        ("band", "g"), ("band", "r"),
        ("length", "1 to 9"), ("length", "10 to 19"), ("length", "20 to 49"),
    ]  # fmt: skip
    members = [np.ones(len(source), bool), *(label[source] == c for c in range(3))]
    members += [true.band == b for b in range(2)]
    length = np.bincount(source)[source]
    members += [length < 10, (length >= 10) & (length < 20), length >= 20]
    for r, m in zip(result.rows, members, strict=True):
        assert (r.n_sources, r.n_detections) == (len(np.unique(source[m])), m.sum())
        assert r.mag.value == pytest.approx(np.median(np.abs(predicted.mag - true.mag)[m]))
        assert r.dt.value == pytest.approx(np.median(np.abs(predicted.dt - true.dt)[m]))
        assert r.band.value == pytest.approx((predicted.band == true.band)[m].mean())
        assert r.noise_floor.value == pytest.approx(noise_floor(magerr[m]), rel=1e-6)
        assert r.baseline_mag.value == pytest.approx(np.median(np.abs(true.mag - constants.mag)[m]))
        assert r.baseline_dt.value == pytest.approx(np.median(np.abs(true.dt - constants.dt)[m]))
        assert r.baseline_band.value == pytest.approx((true.band == constants.band)[m].mean())
        for e in (r.mag, r.dt, r.band, r.noise_floor, r.baseline_mag, r.baseline_dt):
            assert e.low < e.high and e.low <= e.value <= e.high
    # The reconstruction is the noiseless truth, so it sits at the floor.
    overall = result.rows[0]
    assert overall.mag.low < overall.noise_floor.value < overall.mag.high
    assert (result.n_sources, result.n_unknown) == (40, (label == -1).sum())

    text = to_markdown(physical_table(result))
    assert f"{overall.mag.value:.3f} [{overall.mag.low:.3f}, {overall.mag.high:.3f}]" in text
    assert f"{overall.dt.value:.2f} [{overall.dt.low:.2f}, {overall.dt.high:.2f}]" in text
    assert "median \\|Δmag\\| [mag]" in text and text.count("training constants") == 9
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {8}
    both = to_markdown(physical_comparison({"dim 8": result, "dim 64": result}))
    assert both.count("training constants") == 1 and "| dim 64 | 40 |" in both
    record = json.loads(json.dumps(physical_dict(result), allow_nan=False))
    assert record["rows"][0]["mag"]["value"] == overall.mag.value


def test_intervals_follow_sources_not_detections():
    # Every detection of a source is equally wrong: as informative as one detection a source.
    error = np.random.default_rng(0).uniform(0, 1, 60)

    def width(repeats):
        source = np.repeat(np.arange(60), repeats)
        zero = np.zeros(len(source))
        true = Photometry(zero, zero, zero.astype(int))
        predicted = Photometry(error[source], zero, zero.astype(int))
        result = evaluate_physical(
            true, predicted, zero + 0.1, source, np.zeros(60, int), TrainingConstants(0, 0, 0)
        )
        return result.rows[0].mag

    assert width(1) == width(20)


def test_errors_say_what_is_wrong():
    true, predicted, magerr, source, label = survey()
    constants = training_constants(true)

    def evaluate(**changes):
        arguments = dict(true=true, predicted=predicted, magerr=magerr, source=source, label=label)
        return evaluate_physical(**(arguments | changes), constants=constants)

    with pytest.raises(ValueError, match="1 errors are negative"):
        evaluate(magerr=np.where(np.arange(len(magerr)) == 3, -0.1, magerr))
    with pytest.raises(ValueError, match=r"predicted mag: .* not finite"):
        evaluate(predicted=Photometry(predicted.mag * np.nan, predicted.dt, predicted.band))
    with pytest.raises(ValueError, match="predicted dt: shape"):
        evaluate(predicted=Photometry(predicted.mag, predicted.dt[1:], predicted.band))
    with pytest.raises(ValueError, match="source indices"):
        evaluate(source=source + 1)
    with pytest.raises(ValueError, match="labels must lie"):
        evaluate(label=label + 100)
    empty = Photometry(*(np.array([], int) for _ in range(3)))
    with pytest.raises(ValueError, match="no detections"):
        evaluate(true=empty, predicted=empty, magerr=np.array([]), source=np.array([], int))
    with pytest.raises(ValueError, match="training split"):
        training_constants(empty)


def test_a_catalogue_error_of_zero_lowers_the_noise_floor_and_breaks_nothing():
    n = 40
    light_curve = Photometry(np.full(n, 18.0), np.arange(n, dtype=float), np.zeros(n, int))
    magerr = np.where(np.arange(n) % 4 == 0, 0.0, 0.1)
    args = (np.repeat(np.arange(4), 10), np.zeros(4, int), TrainingConstants(18.0, 5.0, 0))
    result = evaluate_physical(light_curve, light_curve, magerr, *args, n_bootstrap=20)
    assert 0 < result.rows[0].noise_floor.value < 0.6745 * 0.1
