"""A light curve, and a triplet of stamps, as numbers that an astronomer would look at.

Notable:
- nothing depends on the calendar or the position, which surveys draw over ranges of their own
- times, magnitudes and errors are rounded to three decimals, as tables of real light curves give them: a
  classifier would know those by the comb of their values
- a number that a light curve or a stamp does not allow (a colour without a pair of bands) is NaN
- `roughness` measures magnitudes against the straight line through their neighbours of the same band, in
  quoted errors: 1 where the errors are honest and the light curve is straight
- sky and noise of a stamp come from pixels further than 12 from the centre, median and median deviation, so
  that field stars do not count; widths are NaN where the centre has less than 15 sigma
"""

import numpy as np

from rtf.alerts.history import SourceHistory

NIGHT = 0.5  # detections closer than this are of one night [day]
NEAR = 3.0  # how far from the wanted phase a magnitude may lie to count for it [day]
#: Longest interval between the neighbours of a detection for `roughness` [day]: light curves bend.
STRAIGHT = 10.0

_CENTRE, _SKY_FROM, _APERTURE, _BRIGHT, _N_RINGS = 31, 12.0, 3.0, 15.0, 13  # the survey's central pixel
_RADIUS = np.hypot(*np.indices((63, 63)) - _CENTRE)
_RING = np.round(_RADIUS).astype(int)
#: (R,) mean radius of each ring of one pixel: near the centre pixels are few, and lie further out.
_RINGS = np.array([_RADIUS[k == _RING].mean() for k in range(_N_RINGS)])


def light_curve(history: SourceHistory) -> dict[str, float]:
    """The numbers of a light curve of at least one detection, by name and unit, always the same ones."""
    columns = (history.mjd, history.mag, history.magerr)
    mjd, mag, error = (np.round(column.astype(np.float64), 3) for column in columns)
    time, band = np.round(mjd - mjd[0], 3), history.band
    gap = np.round(np.diff(time), 3)
    same, between = gap[gap < NIGHT], gap[gap >= NIGHT]
    dex = np.log10(np.maximum(error, 1e-4))
    bright = time[mag < mag.min() + 1]
    return {
        "detections": len(time),
        "detections in 20 d": (time <= 20).sum(),
        "detections before peak": mag.argmin(),
        "nights": 1 + len(between),
        "g share": np.mean(band == 0),
        "span [d]": time[-1],
        "median gap of nights [d]": _median(between),
        "90 % gap of nights [d]": np.percentile(between, 90) if len(between) else np.nan,
        "longest gap [d]": gap.max() if len(gap) else np.nan,
        "share of same-night gaps": len(same) / len(gap) if len(gap) else np.nan,
        "same-night gap [d]": _median(same),
        "median time of night [d]": np.median(mjd % 1),
        "scatter of time of night [d]": np.std(mjd % 1) if len(mjd) > 1 else np.nan,
        "first mag": mag[0],
        "last mag": mag[-1],
        "faintest mag": mag.max(),
        "median mag": np.median(mag),
        "range [mag]": np.ptp(mag),
        "first below peak [mag]": mag[0] - mag.min(),
        "last below peak [mag]": mag[-1] - mag.min(),
        "median error [mag]": np.median(error),
        "smallest error [mag]": error.min(),
        "error at 18 mag [mag]": _median(error[np.abs(mag - 18.0) < 0.5]),
        "error at 19.5 mag [mag]": _median(error[np.abs(mag - 19.5) < 0.5]),
        # Background-limited errors go as 10^(0.4 mag): what is left is depth, moon and host.
        "scatter of errors [dex]": np.std(dex - 0.4 * mag) if len(mag) > 1 else np.nan,
        "time within 1 mag [d]": bright[-1] - bright[0],
        **_peak(time, band, mag),
        **_roughness(time, band, mag, error),
    }


def _peak(time: np.ndarray, band: np.ndarray, mag: np.ndarray) -> dict:
    """Where the peak is, how steep both its sides are, and colours from it on."""
    peak = time[mag.argmin()]
    values = {"time to peak [d]": peak, "rise slope [mag/d]": _slope(time[time <= peak], mag[time <= peak])}
    when = []
    for name, own in (("g", band == 0), ("r", band == 1)):
        values[f"brightest {name}"] = mag[own].min() if own.any() else np.nan
        when.append(time[own][mag[own].argmin()] if own.any() else np.nan)
        after = own & (time >= peak) & (time <= peak + 30)
        values[f"decline slope {name} [mag/d]"] = _slope(time[after], mag[after])
    values["g peak before r peak [d]"] = when[1] - when[0]
    for name, phase in {"at peak": 0, "at +15 d": 15, "at +30 d": 30}.items():
        g, r = (_magnitude_at(time[band == b], mag[band == b], peak + phase) for b in (0, 1))
        values[f"g-r {name} [mag]"] = g - r
    return values


def _roughness(time: np.ndarray, band: np.ndarray, mag: np.ndarray, error: np.ndarray) -> dict:
    """Typical and largest deviation from the line through both neighbours of a band, in quoted errors."""
    found = [np.empty(0)]
    for b in np.unique(band):
        t, m, e = (column[band == b] for column in (time, mag, error))
        width = t[2:] - t[:-2]
        weight = (t[1:-1] - t[:-2]) / np.maximum(width, 1e-9)
        line = (1 - weight) * m[:-2] + weight * m[2:]
        sigma = np.sqrt(e[1:-1] ** 2 + ((1 - weight) * e[:-2]) ** 2 + (weight * e[2:]) ** 2)
        off = np.abs(m[1:-1] - line) / np.maximum(sigma, 1e-9)
        found.append(off[(width > 0) & (width < STRAIGHT)])
    deviation = np.concatenate(found)
    return {
        "roughness": _median(deviation) / 0.6745,  # of a normal deviate, the median of the modulus
        "worst outlier": deviation.max() if len(deviation) else np.nan,
    }


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _slope(time: np.ndarray, mag: np.ndarray) -> float:
    """Least-squares slope [mag/d]; NaN for fewer than two nights."""
    if len(time) < 2 or np.ptp(time) < NIGHT:
        return np.nan
    centred = time - time.mean()
    return float(centred @ mag / (centred @ centred))


def _magnitude_at(time: np.ndarray, mag: np.ndarray, when: float) -> float:
    """Magnitude of the detection nearest to `when`, NaN where none is within `NEAR` days."""
    distance = np.abs(time - when)
    return float(mag[distance.argmin()]) if distance.min(initial=np.inf) <= NEAR else np.nan


def triplet(images: list[np.ndarray], fwhm: float) -> dict[str, float]:
    """The numbers of science, template and difference (63, 63), NaN where missing, by name and unit.

    `fwhm` is the alert's field [pixel], NaN where unknown.
    """
    values = {}
    for kind, image in zip(("science", "template", "difference"), images):
        values |= {f"{kind} {name}": value for name, value in _of_stamp(image).items()}
    return values | {
        "noise science / difference": values["science noise [DN]"] / values["difference noise [DN]"],
        "width difference / fwhm": values["difference width [pixel]"] / fwhm,
        "width science / fwhm": values["science width [pixel]"] / fwhm,
    }


def _of_stamp(image: np.ndarray) -> dict[str, float]:
    present, far = np.isfinite(image), _RADIUS > _SKY_FROM
    sky, noise = _sky(image[present & far])
    flat = image - sky
    sigmas = np.where(present, flat, 0.0) / noise
    near = flat[(_RADIUS <= 6) & present]
    inside = flat[(_RADIUS <= _APERTURE) & present]
    # Flux in a small aperture over the noise of as many independent pixels.
    signal = float(inside.sum() / (noise * np.sqrt(len(inside)))) if len(inside) else np.nan
    return {
        "sky [DN]": sky,
        "noise [DN]": noise,
        "noise correlation": _neighbours(np.where(present & far, np.clip(sigmas, -3, 3), np.nan)),
        "pixels above 5 σ": float((sigmas[far] > 5).mean()) if noise > 0 else np.nan,
        "pixels below -5 σ": float((sigmas[far] < -5).mean()) if noise > 0 else np.nan,
        "signal to noise": signal,
        "peak [DN]": float(near.max()) if len(near) else np.nan,
        "width [pixel]": _width(flat) if signal >= _BRIGHT else np.nan,
        "darkest near centre [σ]": float(near.min() / noise) if len(near) else np.nan,
        "missing": float(1 - present.mean()),
    }


def _sky(far: np.ndarray) -> tuple[float, float]:
    """Median and robust scatter of pixels far from the centre."""
    if not len(far):
        return np.nan, np.nan
    sky = float(np.median(far))
    noise = 1.4826 * float(np.median(np.abs(far - sky)))
    # A stamp that its survey filled with one value has no noise, only rounding.
    return sky, noise if noise > 1e-6 * max(abs(sky), 1e-6) else np.nan


def _neighbours(sigmas: np.ndarray) -> float:
    """Correlation of pixels that touch, along rows and columns."""
    if not np.isfinite(sigmas).any():
        return np.nan
    products = np.concatenate([(sigmas[1:] * sigmas[:-1]).ravel(), (sigmas[:, 1:] * sigmas[:, :-1]).ravel()])
    return float(np.nanmean(products) / np.nanmean(sigmas**2))


def _width(flat: np.ndarray) -> float:
    """Full width at half maximum of the mean radial profile [pixel]; NaN where it never falls to half.

    Between rings the logarithm is linear in the square of the radius, as that of a Gaussian is.
    """
    good = np.isfinite(flat)
    total, count = np.bincount(_RING[good], flat[good], 99), np.bincount(_RING[good], minlength=99)
    with np.errstate(invalid="ignore"):
        profile = (total / count)[:_N_RINGS]
    below = np.flatnonzero(profile < profile[0] / 2)
    if not len(below) or not below[0] or not np.isfinite(profile[: below[0] + 1]).all():
        return np.nan
    k = below[0]
    drop = np.log(profile[0] / np.maximum(profile[k - 1 : k + 1], 1e-3 * profile[0]))
    return float(2 * np.sqrt(np.interp(np.log(2), drop, _RINGS[k - 1 : k + 1] ** 2)))
