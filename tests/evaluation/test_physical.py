"""Reconstruction in physical units: every number by hand, group by group."""

import numpy as np
import pytest

from rtf.alerts.history import concatenate, from_columns
from rtf.evaluation.record import CONSTANTS, pick, select
from rtf.evaluation.statistics import noise_floor
from rtf.evaluation.tasks.light_curves import light_curves
from rtf.evaluation.tasks.physical import (
    NOISE,
    Constants,
    days,
    median_error,
    physical,
    reconstruction_records,
    training_constants,
    typical_sources,
)  # fmt: skip
from tests.evaluation.fakes import inputs

RESAMPLES = {"seed": 0, "n_resamples": 300}


def survey(n_sources=40, seed=0):
    """Detections of sources, the noiseless magnitudes, times and bands spoilt, and labels."""
    rng = np.random.default_rng(seed)
    made, noiseless = [], []
    for k, length in enumerate(rng.integers(1, 30, n_sources)):
        magerr, clean = rng.uniform(0.02, 0.25, length), rng.uniform(17, 20, length)
        time, band = np.sort(rng.uniform(0, 80, length)), rng.integers(0, 2, length)
        made.append(from_columns(f"{k}", time, band, clean + rng.normal(0, magerr), magerr))
        noiseless.append(clean)
    seen = concatenate(made)
    rebuilt = {
        "mag": np.concatenate(noiseless), "dt": days(seen) + rng.normal(0, 3, len(seen.mjd)),
        "band": np.where(rng.random(len(seen.mjd)) < 0.75, seen.band, 1 - seen.band),
    }  # fmt: skip
    return seen, rebuilt, rng.integers(-1, 3, n_sources)


def test_records_by_hand():
    seen, rebuilt, label = survey()
    constants = training_constants(seen)
    assert constants == Constants(np.median(seen.mag), np.median(days(seen)), constants.band)
    assert (seen.band == constants.band).mean() >= 0.5
    records = reconstruction_records(seen, label, {"model": rebuilt}, constants, RESAMPLES)
    source = np.repeat(np.arange(40), seen.length)
    length = seen.length[source]
    members = {
        ("all", "all"): np.ones(len(source), bool),
        **{("class", name): label[source] == c for c, name in enumerate(("SN Ia", "SN Ib", "SN Ic"))},
        **{("band", f"{name} band"): seen.band == b for b, name in enumerate("gr")},
        ("length", "1 to 9 detections"): length < 10,
        ("length", "10 to 19 detections"): (length >= 10) & (length < 20),
        ("length", "20 to 49 detections"): length >= 20,
    }
    assert list(dict.fromkeys((r.level, r.group) for r in records)) == list(members)
    for (level, group), m in members.items():
        found = {(r.score, r.method): r for r in select(records, level=level, group=group)}
        assert all(r.n == len(np.unique(source[m])) for r in found.values())
        expected = {
            ("detections", "model"): m.sum(),
            ("mag", "model"): np.median(np.abs(rebuilt["mag"] - seen.mag)[m]),
            ("dt", "model"): np.median(np.abs(rebuilt["dt"] - days(seen))[m]),
            ("band", "model"): (rebuilt["band"] == seen.band)[m].mean(),
            ("mag", CONSTANTS): np.median(np.abs(seen.mag - constants.mag)[m]),
            ("dt", CONSTANTS): np.median(np.abs(days(seen) - constants.dt)[m]),
            ("band", CONSTANTS): (seen.band == constants.band)[m].mean(),
            ("mag", NOISE): noise_floor(seen.magerr[m]),
        }
        assert {key: r.value for key, r in found.items()} == pytest.approx(expected, rel=1e-5)
        for (score, method), r in found.items():
            if score in ("mag", "dt"):
                assert r.low < r.high and r.low <= r.value <= r.high, (score, method)
    # The reconstruction is the noiseless truth, so it sits at the floor.
    model, floor = (pick(records, level="all", score="mag", method=m) for m in ("model", NOISE))
    assert model.low < floor.value < model.high


def test_intervals_follow_sources_not_detections():
    """Every detection of a source is equally wrong: as informative as one detection a source."""
    error = np.random.default_rng(0).uniform(0, 1, 60)

    def interval(repeats):
        made = [from_columns("", np.arange(repeats), [0] * repeats, [0.0] * repeats, [0.1] * repeats)] * 60
        answers = {"model": {"mag": np.repeat(error, repeats)}}
        records = reconstruction_records(
            concatenate(made), np.zeros(60, int), answers, Constants(0, 0, 0), RESAMPLES
        )
        found = pick(records, level="all", score="mag", method="model")
        return found.value, found.low, found.high

    assert interval(1) == interval(20)


def test_a_catalogue_error_of_zero_lowers_the_noise_floor_and_breaks_nothing():
    magerr = np.where(np.arange(10) % 4 == 0, 0.0, 0.1)
    seen = concatenate([from_columns("", np.arange(10.0), [0] * 10, [18.0] * 10, magerr)] * 4)
    answers = {"model": {"mag": np.full(40, 18.0)}}
    records = reconstruction_records(seen, np.zeros(4, int), answers, Constants(18, 5, 0), RESAMPLES)
    assert 0 < pick(records, level="all", method=NOISE).value < 0.6745 * 0.1


def test_what_does_not_fit_is_named():
    seen, rebuilt, label = survey()
    for wrong in (rebuilt["mag"] * np.nan, rebuilt["mag"][1:]):
        with pytest.raises(ValueError, match=f"model, mag: not {len(seen.mjd)} finite numbers"):
            answers = {"model": {"mag": wrong}}
            reconstruction_records(seen, label, answers, Constants(0, 0, 0), RESAMPLES)


def test_the_task_says_what_the_fake_does():
    """The fake rebuilds times and bands exactly, and magnitudes 0.1 too faint."""
    given = inputs()
    made = physical(given)
    found = {s: pick(made.records, level="all", score=s, method="model").value for s in ("mag", "dt", "band")}
    assert found == {"mag": pytest.approx(0.1, abs=1e-5), "dt": 0, "band": 1}
    (table,) = made.tables
    row = dict(zip(table.columns, table.rows[0]))
    assert (row["group"], row["median |Δmag| [mag]"], row["test sources"]) == (
        "all",
        "0.100 [0.100, 0.100]",
        "40",
    )
    figure = made.figures["light_curves.png"]
    shown = [axes for axes in figure.axes if axes.get_visible()]
    test = given.split("test")
    chosen = typical_sources(given.rebuilt, test.label["fine"])
    assert [axes.get_title().split("\n")[0].split()[-1] for axes in shown] == test.object_id[chosen].tolist()
    assert sorted(test.label["fine"][chosen]) == sorted(set(test.label["fine"]))


def test_chosen_sources_run_from_good_to_bad():
    given = inputs()
    titles = [a.get_title() for a in _drawn(light_curves(given, objects=[], split="test", title="t"))]
    error = dict(zip(given.split("test").object_id, median_error(given.rebuilt)))
    length = dict(zip(given.split("test").object_id, given.rebuilt.seen.length))
    names = [title.split("\n")[0].split()[-1] for title in titles]
    assert np.all(np.diff([error[n] for n in names[:5]]) >= 0) and length[names[5]] == max(length.values())
    named = light_curves(given, objects=["made0_00170", "made0_00163"], split="test", title="t")
    assert [a.get_title().split("\n")[0].split()[-1] for a in _drawn(named)] == ["made0_00170", "made0_00163"]
    with pytest.raises(ValueError, match="has no made0_00001 in its test split"):
        light_curves(given, objects=["made0_00001"], split="test", title="t")


def _drawn(made):
    return [axes for axes in made.figures["light_curves_chosen.png"].axes if axes.get_visible()]
