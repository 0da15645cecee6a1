"""Simulated cutouts against real ones: sky, noise, PSF, profiles, missing pixels.

Notable:
- sky and noise come from pixels further than 12 from the centre, median and median deviation, so that field
  stars do not count; how many pixels stand out is a number of its own
- neighbouring pixels of real differences are correlated, since templates were resampled and both images were
  convolved: `noise correlation` sees that, and so does the eye
- widths and profiles need a source: they are NaN, or left out, where the centre has less than 15 sigma
- the centre is pixel (31, 31), where the survey puts the source; chip edges cut stamps at the high end
"""

from collections import Counter

import numpy as np

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import METADATA_FIELDS
from rtf.simulation.check.alerts import Alert
from rtf.simulation.check.figures import Panel
from rtf.simulation.check.two_sample import TwoSample, tell_apart

KINDS = ("science", "template", "difference")
#: Numbers of each stamp, and their units.
_MEASURES = {
    "sky": "DN", "noise": "DN", "noise correlation": "", "pixels above 5 σ": "", "pixels below -5 σ": "",
    "signal to noise": "", "peak": "DN", "width": "pixel", "darkest near centre": "σ", "missing": "",
}  # fmt: skip
#: Numbers of each triplet, and their units.
SUMMARIES = {f"{kind} {name}": unit for kind in KINDS for name, unit in _MEASURES.items()} | {
    "noise science / difference": "",
    "width difference / fwhm": "",
    "width science / fwhm": "",
}

_CENTRE = 31
_SKY_FROM, _APERTURE, _BRIGHT = 12.0, 3.0, 15.0
_RADIUS = np.hypot(*np.indices((63, 63)) - _CENTRE)
_RING = np.round(_RADIUS).astype(int)
_N_RINGS = 13
#: (R,) mean radius of each ring: pixels are few near the centre, and the first ring's lie outside 1.
_RINGS = np.array([_RADIUS[k == _RING].mean() for k in range(_N_RINGS)])
_FWHM = METADATA_FIELDS.index("fwhm")


def decode(alert: Alert) -> list[np.ndarray]:
    """The three images of an alert, (63, 63) each, NaN where missing."""
    return [pad_cutout(decode_cutout(stamp)) for stamp in alert.cutouts]


def shapes(alerts: list[Alert]) -> dict[str, int]:
    """How many stamps have which shape, height x width."""
    return dict(
        Counter(
            "{} × {}".format(*decode_cutout(stamp).shape) for alert in alerts for stamp in alert.cutouts
        ).most_common()
    )


def summarise(images: list[np.ndarray], fwhm: float) -> np.ndarray:
    """The numbers of one triplet, (K,) float64 in the order of `SUMMARIES`.

    Parameters
    ----------
    images : three of (63, 63), NaN where missing
    fwhm : the alert's field [pixel]
    """
    measures = [_measure(image) for image in images]
    values = {f"{kind} {name}": m[name] for kind, m in zip(KINDS, measures) for name in _MEASURES}
    science, _, difference = measures
    values["noise science / difference"] = science["noise"] / difference["noise"]
    values["width difference / fwhm"] = difference["width"] / fwhm
    values["width science / fwhm"] = science["width"] / fwhm
    return np.array([values[name] for name in SUMMARIES])


def summaries(alerts: list[Alert]) -> np.ndarray:
    """(N, K) numbers of many alerts with cutouts."""
    rows = [summarise(decode(alert), float(alert.metadata[_FWHM])) for alert in alerts]
    return np.array(rows).reshape(len(alerts), len(SUMMARIES))


def compare_cutouts(
    real: np.ndarray, simulated: np.ndarray, seed: int = 0, columns: list[int] | None = None, **settings
) -> TwoSample:
    """Can a classifier on these numbers, (N, K) and (M, K), or some columns of them, tell the two apart?"""
    columns = list(range(len(SUMMARIES))) if columns is None else columns
    names = {name: SUMMARIES[name] for k, name in enumerate(SUMMARIES) if k in columns}
    return tell_apart(real[:, columns], simulated[:, columns], names, seed, **settings)


def cutout_panels(real: np.ndarray, simulated: np.ndarray) -> list[Panel]:
    """One panel for each number of `summaries`; either side may be empty."""
    logarithmic = ("noise", "peak", "signal to noise", "science / difference")
    return [
        Panel(
            f"{name} [{unit}]" if unit else name, real[:, k : k + 1], simulated[:, k : k + 1],
            log=name.endswith(logarithmic),
        )
        for k, (name, unit) in enumerate(SUMMARIES.items())
    ]  # fmt: skip


def profiles(alerts: list[Alert]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Radii (R,) [pixel]; of each kind the (N, R) profiles of stamps with a bright centre, innermost 1."""
    found = {kind: [] for kind in KINDS}
    for alert in alerts:
        for kind, image in zip(KINDS, decode(alert)):
            sky, noise = _sky(image)
            profile = _profile(image - sky)
            if _signal(image - sky, noise) >= _BRIGHT and profile[0] > 0:
                found[kind].append(profile / profile[0])
    return _RINGS, {kind: np.array(rows).reshape(-1, len(_RINGS)) for kind, rows in found.items()}


def _measure(image: np.ndarray) -> dict[str, float]:
    sky, noise = _sky(image)
    flat = image - sky
    far = _RADIUS > _SKY_FROM
    present = np.isfinite(image)
    sigmas = np.where(present, flat, 0.0) / noise
    signal = _signal(flat, noise)
    near = flat[(_RADIUS <= 6) & present]
    return {
        "sky": sky,
        "noise": noise,
        "noise correlation": _neighbours(np.where(present & far, np.clip(sigmas, -3, 3), np.nan)),
        "pixels above 5 σ": float((sigmas[far] > 5).mean()) if noise > 0 else np.nan,
        "pixels below -5 σ": float((sigmas[far] < -5).mean()) if noise > 0 else np.nan,
        "signal to noise": signal,
        "peak": float(near.max()) if len(near) else np.nan,
        "width": _width(_profile(flat)) if signal >= _BRIGHT else np.nan,
        "darkest near centre": float(near.min() / noise) if len(near) else np.nan,
        "missing": float(1 - present.mean()),
    }


def _sky(image: np.ndarray) -> tuple[float, float]:
    """Median and robust scatter of what lies far from the centre."""
    far = image[_RADIUS > _SKY_FROM]
    far = far[np.isfinite(far)]
    if not len(far):
        return np.nan, np.nan
    sky = float(np.median(far))
    noise = 1.4826 * float(np.median(np.abs(far - sky)))
    # A stamp that its survey filled with one value has no noise, only rounding.
    return sky, noise if noise > 1e-6 * max(abs(sky), 1e-6) else np.nan


def _signal(flat: np.ndarray, noise: float) -> float:
    """Flux in a small aperture over the noise of as many independent pixels."""
    inside = flat[_RADIUS <= _APERTURE]
    inside = inside[np.isfinite(inside)]
    return float(inside.sum() / (noise * np.sqrt(len(inside)))) if len(inside) else np.nan


def _neighbours(sigmas: np.ndarray) -> float:
    """Correlation of pixels that touch, along rows and columns."""
    products = np.concatenate([(sigmas[1:] * sigmas[:-1]).ravel(), (sigmas[:, 1:] * sigmas[:, :-1]).ravel()])
    with np.errstate(invalid="ignore"):
        variance = np.nanmean(sigmas**2) if np.isfinite(sigmas).any() else 0.0
    return float(np.nanmean(products) / variance) if variance else np.nan


def _profile(flat: np.ndarray) -> np.ndarray:
    """(R,) mean in rings of one pixel around the centre."""
    good = np.isfinite(flat)
    ring = _RING[good]
    total, count = np.bincount(ring, flat[good], 99), np.bincount(ring, minlength=99)
    with np.errstate(invalid="ignore"):
        return (total / count)[:_N_RINGS]


def _width(profile: np.ndarray) -> float:
    """Full width at half maximum of a profile [pixel]; NaN where it never falls to half.

    Between rings the logarithm is linear in the square of the radius, as that of a Gaussian is.
    """
    below = np.flatnonzero(profile < profile[0] / 2)
    if not len(below) or not np.isfinite(profile[: below[0] + 1]).all():
        return np.nan
    k = below[0]
    drop = np.log(profile[0] / np.maximum(profile[k - 1 : k + 1], 1e-3 * profile[0]))
    square = np.interp(np.log(2), drop, _RINGS[k - 1 : k + 1] ** 2)
    return float(2 * np.sqrt(square))
