"""The classifier to beat: gradient-boosted trees on simple summaries of a light curve, without a network."""

from itertools import pairwise

import numpy as np

from rtf.alerts.history import Detections
from rtf.classes import UNKNOWN

#: A band is summarised that so many of the training sources have; i is seldom in ZTF's public alerts.
_OFTEN = 0.5
#: Days after the peak at which a band's decline is read.
_LATER = (15.0, 30.0)


def frequent_bands(detections: Detections) -> list[int]:
    """Bands that at least half of the sources have, from the bluest to the reddest."""
    source = np.repeat(np.arange(len(detections)), detections.length)
    there = np.zeros((len(detections), len(detections.survey.bands)), bool)
    there[source, detections.band] = True
    return [b for b in detections.survey.by_wavelength if there[:, b].mean() >= _OFTEN]


def light_curve_summaries(detections: Detections, bands: list[int]) -> np.ndarray:
    """(N, 6 + 10 bands + 5 pairs) counts, peaks, times, rises and declines in bands; NaN where unknown.

    Of two bands next to one another, the colour at five times.
    """
    rows = []
    for k in range(len(detections)):
        own = slice(detections.offset[k], detections.offset[k + 1])
        days = detections.mjd[own] - detections.mjd[own.start]
        mag, band = detections.mag[own].astype(float), detections.band[own]
        peak = int(mag.argmin())
        row = [
            len(days),
            days[-1],
            mag[peak],
            days[peak],
            days[-1] - days[peak],
            detections.magerr[own].mean(),
        ]
        curves = [(days[band == b], mag[band == b]) for b in bands]
        for t, m in curves:
            row += _band_summary(t, m)
        for blue, red in pairwise(curves):
            both = len(blue[0]) and len(red[0])
            for t in (days[0], days[peak], days[peak] + 15, days[peak] + 30, days[-1]):
                row.append(np.interp(t, *blue) - np.interp(t, *red) if both else np.nan)
        rows.append(row)
    return np.array(rows, float)


def _band_summary(days: np.ndarray, mag: np.ndarray) -> list[float]:
    """Of one band: count, peak, its day, amplitudes before and after it, rates, declines, scatter."""
    if not len(days):
        return [0] + [np.nan] * 9
    peak = int(mag.argmin())
    rise, fall = days[peak] - days[0], days[-1] - days[peak]
    decline = [np.interp(days[peak] + t, days, mag) - mag[peak] if fall >= t else np.nan for t in _LATER]
    return [
        len(days), mag[peak], days[peak], mag[0] - mag[peak], mag[-1] - mag[peak],
        (mag[0] - mag[peak]) / rise if rise else np.nan, (mag[-1] - mag[peak]) / fall if fall else np.nan,
        *decline, mag.std(),
    ]  # fmt: skip


def tree_probabilities(
    train: Detections, label: np.ndarray, test: Detections, n_classes: int, seed: int
) -> np.ndarray:
    """Class probabilities (N, C) of the test sources by trees fitted on the labelled training sources."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = label != UNKNOWN
    bands = frequent_bands(train)
    features = light_curve_summaries(train.take(np.flatnonzero(known)), bands)
    # scikit-learn cannot bin a column of a single value
    varied = [len(np.unique(column[np.isfinite(column)])) > 1 for column in features.T]
    trees = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, random_state=seed)
    trees.fit(features[:, varied], label[known])
    probability = np.zeros((len(test), n_classes))
    probability[:, trees.classes_] = trees.predict_proba(light_curve_summaries(test, bands)[:, varied])
    return probability
