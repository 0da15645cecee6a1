"""The classifier to beat: gradient-boosted trees on simple summaries of a light curve, without a network."""

import numpy as np

from rtf.alerts.history import Detections
from rtf.classes import UNKNOWN

#: Bands that are summarised; i is seldom in public alerts.
_BANDS = (0, 1)
#: Days after the peak at which a band's decline is read.
_LATER = (15.0, 30.0)


def light_curve_summaries(detections: Detections) -> np.ndarray:
    """(N, 31) counts, peaks, times, rises and declines in g and r, and colours; NaN where unknown."""
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
        curves = [(days[band == b], mag[band == b]) for b in _BANDS]
        for t, m in curves:
            row += _band_summary(t, m)
        both = all(len(c[0]) for c in curves)
        for t in (days[0], days[peak], days[peak] + 15, days[peak] + 30, days[-1]):
            row.append(np.interp(t, *curves[0]) - np.interp(t, *curves[1]) if both else np.nan)
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
    features = light_curve_summaries(train.take(np.flatnonzero(known)))
    # scikit-learn cannot bin a column of a single value
    varied = [len(np.unique(column[np.isfinite(column)])) > 1 for column in features.T]
    trees = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, random_state=seed)
    trees.fit(features[:, varied], label[known])
    probability = np.zeros((len(test), n_classes))
    probability[:, trees.classes_] = trees.predict_proba(light_curve_summaries(test)[:, varied])
    return probability
