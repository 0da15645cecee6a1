"""A light curve as three dozen numbers that an astronomer would look at.

Notable:
- nothing here depends on the calendar or the position, which the survey draws over ranges of its own; what
  counts is the time of the night, and time since the first detection
- a number that a light curve does not allow (a colour without a pair of bands) is NaN, and so is its absence
  visible to a classifier that knows NaN
- `roughness` measures magnitudes against the straight line through their neighbours of the same band, in
  quoted errors: 1 where the errors are honest and the light curve is straight
"""

import numpy as np

from rtf.alerts.history import SourceHistory

#: Detections closer than this are of one night [day].
NIGHT = 0.5
#: How far from the wanted phase a magnitude may lie to count for it [day].
NEAR = 3.0

#: Name and unit of each summary, in column order.
SUMMARIES = {
    "detections": "", "detections in 20 d": "", "detections before peak": "", "nights": "", "g share": "",
    "span": "d", "median gap of nights": "d", "90 % gap of nights": "d", "longest gap": "d",
    "share of same-night gaps": "", "same-night gap": "d", "median time of night": "d",
    "scatter of time of night": "d",
    "first mag": "mag", "last mag": "mag", "brightest g": "mag", "brightest r": "mag", "faintest mag": "mag",
    "median mag": "mag", "range": "mag", "first below peak": "mag", "last below peak": "mag",
    "median error": "mag", "smallest error": "mag", "error at 18 mag": "mag", "error at 19.5 mag": "mag",
    "scatter of errors": "dex",
    "time to peak": "d", "g peak before r peak": "d", "rise slope": "mag/d", "decline slope g": "mag/d",
    "decline slope r": "mag/d", "time within 1 mag": "d",
    "g-r at peak": "mag", "g-r at +15 d": "mag", "g-r at +30 d": "mag", "roughness": "", "worst outlier": "",
}  # fmt: skip


def summarise(history: SourceHistory) -> np.ndarray:
    """The summary of one light curve, (K,) float64 in the order of `SUMMARIES`.

    Parameters
    ----------
    history : at least one detection, in order of time; only time, band, magnitude and error are looked at
    """
    mjd, band = history.mjd, history.band
    mag, error = history.mag.astype(np.float64), history.magerr.astype(np.float64)
    time = mjd - mjd[0]
    values = {
        **_sampling(time, mjd, band),
        **_brightness(mag, band),
        **_errors(mag, error),
        **_shape(time, band, mag),
        **_roughness(time, band, mag, error),
    }
    values["detections before peak"] = int(mag.argmin())
    return np.array([values[name] for name in SUMMARIES], np.float64)


def summaries(histories: list[SourceHistory]) -> np.ndarray:
    """(N, K) summaries of many light curves."""
    return np.array([summarise(history) for history in histories]).reshape(len(histories), len(SUMMARIES))


def _sampling(time: np.ndarray, mjd: np.ndarray, band: np.ndarray) -> dict:
    gap = np.diff(time)
    same, between = gap[gap < NIGHT], gap[gap >= NIGHT]
    of_night = mjd % 1
    return {
        "detections": len(time),
        "detections in 20 d": (time <= 20).sum(),
        "nights": 1 + len(between),
        "g share": np.mean(band == 0),
        "span": time[-1],
        "median gap of nights": _median(between),
        "90 % gap of nights": np.percentile(between, 90) if len(between) else np.nan,
        "longest gap": gap.max() if len(gap) else np.nan,
        "share of same-night gaps": len(same) / len(gap) if len(gap) else np.nan,
        "same-night gap": _median(same),
        "median time of night": np.median(of_night),
        "scatter of time of night": np.std(of_night) if len(of_night) > 1 else np.nan,
    }


def _brightness(mag: np.ndarray, band: np.ndarray) -> dict:
    return {
        "first mag": mag[0],
        "last mag": mag[-1],
        "brightest g": mag[band == 0].min(initial=np.inf) if (band == 0).any() else np.nan,
        "brightest r": mag[band == 1].min(initial=np.inf) if (band == 1).any() else np.nan,
        "faintest mag": mag.max(),
        "median mag": np.median(mag),
        "range": np.ptp(mag),
        "first below peak": mag[0] - mag.min(),
        "last below peak": mag[-1] - mag.min(),
    }


def _errors(mag: np.ndarray, error: np.ndarray) -> dict:
    dex = np.log10(np.maximum(error, 1e-4))
    return {
        "median error": np.median(error),
        "smallest error": error.min(),
        "error at 18 mag": _median(error[np.abs(mag - 18.0) < 0.5]),
        "error at 19.5 mag": _median(error[np.abs(mag - 19.5) < 0.5]),
        # Background-limited errors go as 10^(0.4 mag): what is left is depth, moon and host.
        "scatter of errors": np.std(dex - 0.4 * mag) if len(mag) > 1 else np.nan,
    }


def _shape(time: np.ndarray, band: np.ndarray, mag: np.ndarray) -> dict:
    peak = time[mag.argmin()]
    peaks = [time[band == b][mag[band == b].argmin()] if (band == b).any() else np.nan for b in (0, 1)]
    before = time <= peak
    values = {
        "time to peak": peak,
        "g peak before r peak": peaks[1] - peaks[0],
        "rise slope": _slope(time[before], mag[before]),
    }
    for b, name in enumerate("gr"):
        after = (band == b) & (time >= peak) & (time <= peak + 30)
        values[f"decline slope {name}"] = _slope(time[after], mag[after])
    bright = time[mag < mag.min() + 1]
    values["time within 1 mag"] = bright[-1] - bright[0]
    for name, phase in {"at peak": 0, "at +15 d": 15, "at +30 d": 30}.items():
        values[f"g-r {name}"] = _magnitude_at(time, mag, band == 0, peak + phase) - _magnitude_at(
            time, mag, band == 1, peak + phase
        )
    return values


def _roughness(time: np.ndarray, band: np.ndarray, mag: np.ndarray, error: np.ndarray) -> dict:
    deviation = np.abs(deviations(time, band, mag, error))
    return {
        "roughness": _median(deviation) / 0.6745,  # of a normal deviate, the median of the modulus
        "worst outlier": deviation.max() if len(deviation) else np.nan,
    }


def deviations(time: np.ndarray, band: np.ndarray, mag: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(D,) deviations of detections from the line through both neighbours of their band, in quoted errors.

    Only where the neighbours are less than ten days apart, since light curves bend.
    """
    found = [np.empty(0)]
    for b in np.unique(band):
        t, m, e = (column[band == b] for column in (time, mag, error))
        if len(t) < 3:
            continue
        width = t[2:] - t[:-2]
        weight = (t[1:-1] - t[:-2]) / np.maximum(width, 1e-9)
        line = (1 - weight) * m[:-2] + weight * m[2:]
        sigma = np.sqrt(e[1:-1] ** 2 + ((1 - weight) * e[:-2]) ** 2 + (weight * e[2:]) ** 2)
        found.append(((m[1:-1] - line) / np.maximum(sigma, 1e-9))[(width > 0) & (width < 10)])
    return np.concatenate(found)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _slope(time: np.ndarray, mag: np.ndarray) -> float:
    """Least-squares slope [mag/d]; NaN for fewer than two nights."""
    if len(time) < 2 or np.ptp(time) < NIGHT:
        return np.nan
    centred = time - time.mean()
    return float(centred @ mag / (centred @ centred))


def _magnitude_at(time: np.ndarray, mag: np.ndarray, rows: np.ndarray, when: float) -> float:
    """Magnitude of the detection nearest to `when`, NaN where none is within `NEAR` days."""
    if not rows.any():
        return np.nan
    distance = np.abs(time[rows] - when)
    nearest = distance.argmin()
    return float(mag[rows][nearest]) if distance[nearest] <= NEAR else np.nan
