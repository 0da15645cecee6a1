"""One model of two surveys: python -m experiments.both_surveys RUN...

For each run of both_surveys.yaml, and boosted trees on the same training light curves: coarse classes of the
test splits of data/ztf_part.zarr (real) and data/lsst_part.zarr (simulated, MALLORN), of those in both.
Then, of simulated sources that both surveys see: how often the other survey's light curve of a source is the
nearest of all, how often it is among the ten nearest, and how often the nearest one is of the source's class;
beside it the same of summaries of the light curves in g, r and i. 95 % intervals of 1,000 resamples of the
sources (seed 0).
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

import rtf
from rtf.alerts.convert import as_survey
from rtf.alerts.history import SourceHistory, concatenate, from_columns
from rtf.alerts.surveys import survey_named
from rtf.classes import COARSE, FINE, coarse_label
from rtf.evaluation import statistics
from rtf.evaluation.classification import head_probability
from rtf.evaluation.statistics import Estimate, format_estimate
from rtf.evaluation.trees import light_curve_summaries, tree_probabilities
from rtf.simulation.cadence import field_of
from rtf.simulation.lsst import SAMPLE
from rtf.simulation.populations import ZTF_SAMPLE, draw_event
from rtf.simulation.scene import draw_host
from rtf.simulation.survey import SimulatedSurvey, observe
from rtf.store.read import open_store

PARTS = ("data/ztf_part.zarr", "data/lsst_part.zarr")
SHARED = [COARSE.index(name) for name in ("SNIa", "SNcc", "TDE")]
#: No active nuclei: a random walk is drawn anew for each survey.
_CLASSES = ("SN Ia", "SN II", "SN IIn", "SN Ic", "SLSN", "TDE")
_BANDS = [0, 1, 2]  # that both surveys have
_FEWEST = 3  # positive detections in each survey
_NORTH_OF = -25.0  # declination [degree] that ZTF reaches


def pairs(number: int, seed: int = 0) -> Iterator[tuple[SourceHistory, SourceHistory]]:
    """Simulated sources as ZTF and as LSST see them in the same years: positive detections, from three on."""
    surveys = {
        name: SimulatedSurvey(number, seed, survey=name, mjd_start=61000.0, mjd_end=62400.0)
        for name in ("ztf", "lsst")
    }
    # the same populations through other filters: the same draws give the same source
    samples = {
        "ztf": ZTF_SAMPLE,
        "lsst": replace(ZTF_SAMPLE, wavelength=SAMPLE.wavelength, extinction=SAMPLE.extinction),
    }
    found = attempt = 0
    while found < number:
        attempt += 1
        rng = np.random.default_rng([seed, attempt])
        name = _CLASSES[found % len(_CLASSES)]
        place = surveys["lsst"].cadence.draw_place(rng)
        if place.dec < _NORTH_OF:
            continue
        places = {"ztf": place._replace(field=field_of(place.ra, place.dec)), "lsst": place}
        start = float(rng.uniform(61000, 62400))
        seen = []
        for survey, settings in surveys.items():
            own = np.random.default_rng([seed, attempt, 1])
            event = draw_event(own, name, place, samples[survey])
            if event is None:
                break
            host = draw_host(own, event, place)
            visits, detections = observe(settings, own, places[survey], start, event, host)
            if detections is None:
                break
            # no forced photometry, of which the training sources have none
            kept = detections.positive & detections.identified
            if kept.sum() < _FEWEST:
                break
            visit = detections.visit[kept]
            terms = settings.instrument.survey
            metadata = np.full((len(visit), len(terms.metadata_fields)), np.nan, np.float32)
            if survey == "lsst":
                metadata[:, terms.metadata_fields.index("forced")] = 0
            columns = visits.mjd[visit], visits.band[visit], detections.mag[kept], detections.magerr[kept]
            seen.append(
                from_columns(attempt, *columns, metadata=metadata, label=FINE.index(name), survey=terms)
            )
        if len(seen) == len(surveys):
            found += 1
            yield tuple(as_survey(history, survey_named("ztf_lsst")) for history in seen)


def twins(query: np.ndarray, index: np.ndarray, label: np.ndarray) -> list[Estimate]:
    """The own twin nearest, within ten, and a nearest of the same class, by cosine of standardised rows."""
    query, index = (x - x.mean(0) for x in (query, index))
    query, index = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (query, index))
    cosine = query @ index.T
    rank = (cosine > np.diag(cosine)[:, None]).sum(1)
    hits = [rank == 0, rank < 10, label[cosine.argmax(1)] == label]
    share = np.stack(hits, 1)
    return statistics.bootstrap(lambda counts: counts @ share / counts.sum(1, keepdims=True), len(label))


def main(runs: list[str]) -> None:
    models = {run: rtf.load(run) for run in runs}
    print("coarse classes of the test splits: accuracy and balanced accuracy of", [COARSE[k] for k in SHARED])
    for path in PARTS:
        store = open_store(path)
        fine = store.label[store.sources("test")].astype(int)
        keep = np.isin(coarse_label(fine), SHARED)
        test, label = store.detections("test").take(np.flatnonzero(keep)), coarse_label(fine[keep])
        for run, model in models.items():
            trained = open_store(model.config.data.store)
            found = {"model": head_probability(model.encode(test).probability, "coarse")}
            own = coarse_label(trained.label[trained.sources("train")].astype(int))
            found["trees"] = tree_probabilities(trained.detections("train"), own, test, len(COARSE), 0)
            for what, probability in found.items():
                chosen = np.array(SHARED)[probability[:, SHARED].argmax(1)]
                scores = statistics.bootstrap(partial(_scores, label, chosen), len(label))
                shown = " ".join(map(format_estimate, scores))
                print(f"{path}, {len(label)} sources, {run}, {what}: {shown}")
    seen = list(pairs(1000, seed=5))
    ztf, lsst = (concatenate([pair[k] for pair in seen]) for k in (0, 1))
    label = np.array([pair[0].label for pair in seen])
    print(f"{len(seen)} simulated sources that both see; chance: 0.001, 0.01, {1 / len(_CLASSES):.3f}")
    spaces = {"summaries": [light_curve_summaries(x, _BANDS) for x in (ztf, lsst)]}
    spaces["summaries"] = [np.nan_to_num(_standard(x)) for x in spaces["summaries"]]
    for run, model in models.items():
        spaces[run] = [_standard(model.encode(x).latent) for x in (ztf, lsst)]
    for what, (a, b) in spaces.items():
        for way, query, index in (("ZTF in LSST", a, b), ("LSST in ZTF", b, a)):
            print(what, way, *map(format_estimate, twins(query, index, label)))


def _scores(label: np.ndarray, chosen: np.ndarray, counts: np.ndarray) -> np.ndarray:
    balanced = statistics.balanced_accuracy(label, chosen, counts, len(COARSE))
    return np.stack([statistics.accuracy(label, chosen, counts), balanced], 1)


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns less their mean, over their deviation; each survey by itself."""
    deviation = np.nanstd(values, 0)
    return (values - np.nanmean(values, 0)) / np.where(deviation > 0, deviation, 1.0)


if __name__ == "__main__":
    main(sys.argv[1:])
