"""38 numbers that describe one band's light curve, most of them read off its Gaussian process.

Notable:
- the posterior mean is evaluated on a grid over the band's time span, one point of it moved onto the peak
- a number that the detections do not determine is NaN, never a default: a rate without a rise, a width that
  the light curve does not reach, a magnitude outside the observed span
"""

import numpy as np

from rtf.features.gp.posterior import Fit, curve, mean_and_derivatives

#: (name, unit, meaning, when it is NaN). Magnitudes grow as the source fades: a rise has a negative slope.
FEATURE_TABLE = (
    ("n_detections", "1", "detections in the band", "never"),
    ("peak_mag", "mag", "posterior mean where it is brightest", "not fitted"),
    ("peak_time", "day", "time of the peak since the source's first detection in any band", "not fitted"),
    ("rise_time", "day", "band's first detection to the peak", "not fitted"),
    ("decay_time", "day", "peak to the band's last detection", "not fitted"),
    ("rise_rate", "mag/day", "mean brightening, first detection to peak", "rise_time < 0.1 d"),
    ("decay_rate", "mag/day", "mean fading, peak to last detection", "decay_time < 0.1 d"),
    ("width_half_flux", "day", "time brighter than half the peak's flux", "not reached on both sides"),
    ("width_1mag", "day", "time within 1 mag of the peak", "not reached on both sides"),
    ("rise_half_flux", "day", "half the peak's flux to the peak", "not reached before the peak"),
    ("decay_half_flux", "day", "peak to half its flux", "not reached after the peak"),
    ("amplitude", "mag", "faintest less brightest posterior mean", "not fitted"),
    ("slope_first", "mag/day", "slope of the posterior mean at the first detection", "not fitted"),
    ("slope_last", "mag/day", "slope at the last detection", "not fitted"),
    ("slope_min", "mag/day", "steepest brightening", "not fitted"),
    ("slope_max", "mag/day", "steepest fading", "not fitted"),
    ("curvature_peak", "mag/day2", "second derivative at the peak", "not fitted"),
    ("curvature_last", "mag/day2", "second derivative at the last detection", "not fitted"),
    ("change_1d", "mag", "predicted change in the day after the last detection", "not fitted"),
    ("change_3d", "mag", "the same after 3 days", "not fitted"),
    ("change_7d", "mag", "the same after 7 days", "not fitted"),
    ("variance_mean", "mag2", "posterior variance, mean over the grid", "not fitted"),
    ("variance_max", "mag2", "posterior variance, largest on the grid", "not fitted"),
    ("skewness", "1", "skewness of the posterior mean's values", "they scatter by < 1e-4 mag"),
    ("kurtosis", "1", "their kurtosis less 3", "they scatter by < 1e-4 mag"),
    ("n_inflections", "1", "changes of sign of the curvature", "not fitted"),
    ("power_law_index", "1", "p of flux ~ (1 + days since peak)^-p, > 5 d after", "< 3 detections there"),
    ("power_law_misfit", "1", "reduced chi2 of that power law", "as above"),
    ("mag_30d", "mag", "posterior mean 30 days after the peak", "> 2 d after the last detection"),
    ("mag_60d", "mag", "60 days after the peak", "> 2 d after the last detection"),
    ("mag_90d", "mag", "90 days after the peak", "> 2 d after the last detection"),
    ("von_neumann", "1", "mean squared step over variance, of the magnitudes", "they scatter by < 1e-4 mag"),
    ("pre_peak_scatter", "mag", "standard deviation of magnitudes before the peak", "fewer than 3 of them"),
    ("monotonicity", "1", "share of the grid's steps after the peak that fade", "fewer than 2 of them"),
    ("gp_amplitude", "mag", "standard deviation of the kernel", "not fitted"),
    ("gp_length", "day", "length of the kernel", "not fitted"),
    ("gp_chi2", "1", "chi2 of the posterior mean per detection", "not fitted"),
    ("constant_chi2", "1", "reduced chi2 of a constant", "not fitted"),
)  # fmt: skip
GP_FEATURES = tuple(row[0] for row in FEATURE_TABLE)

#: Points of the grid over a band's time span.
_GRID = np.linspace(0.0, 1.0, 48)
_SHORTEST, _BEYOND, _PAST_PEAK = 0.1, 2.0, 5.0  # day
_HALF_FLUX = 2.5 * np.log10(2.0)
_FLAT = 1e-4  # mag
_STRAIGHT = 1e-6  # mag / day^2


def shape_features(fit: Fit, mag, noise, centre, start) -> dict[str, np.ndarray]:
    """The features of P light curves of n detections, all but `gp_amplitude` and `gp_length`.

    Parameters
    ----------
    fit : Gaussian processes through `mag`, days counted from the band's first detection
    mag, noise : (P, n) magnitudes less their prior mean, and their variances
    centre : (P,) that prior mean [mag]
    start : (P,) the band's first detection since the source's first [day]

    Returns
    -------
    {name: (P,)}, NaN where a feature cannot be computed
    """
    days = fit.days
    p, n = days.shape
    everyone = np.arange(p)
    end = days[:, -1]
    at = end[:, None] * _GRID
    mean, slope, curvature, posterior = curve(fit, at)
    peak = _refine_peak(fit, at, mean, slope, curvature)
    t_peak, m_peak = at[everyone, peak], mean[everyone, peak]
    special = np.stack([0 * end, end, end + 1, end + 3, end + 7, *(t_peak + d for d in (30, 60, 90))], 1)
    value, gradient, bend = mean_and_derivatives(fit, special)

    rise, decay = t_peak, end - t_peak
    half, one = (_crossings(at, mean, peak, depth) for depth in (_HALF_FLUX, 1.0))
    seen = special[:, 5:] <= end[:, None] + _BEYOND
    late = np.where(seen, centre[:, None] + value[:, 5:], np.nan)
    steps = np.diff(mean, axis=1)
    following = np.arange(steps.shape[1]) >= peak[:, None]
    n_following, n_fading = following.sum(1), ((steps > 0) & following).sum(1)
    weight = 1 / noise
    constant = (weight * mag).sum(1) / weight.sum(1)
    jumps = (np.diff(mag, axis=1) ** 2).sum(1)
    spread = ((mag - mag.mean(1, keepdims=True)) ** 2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "n_detections": np.full(p, float(n)),
            "peak_mag": centre + m_peak,
            "peak_time": start + t_peak,
            "rise_time": rise,
            "decay_time": decay,
            "rise_rate": np.where(rise >= _SHORTEST, (value[:, 0] - m_peak) / rise, np.nan),
            "decay_rate": np.where(decay >= _SHORTEST, (value[:, 1] - m_peak) / decay, np.nan),
            "width_half_flux": half[0] + half[1],
            "width_1mag": one[0] + one[1],
            "rise_half_flux": half[0],
            "decay_half_flux": half[1],
            "amplitude": mean.max(1) - m_peak,
            "slope_first": gradient[:, 0],
            "slope_last": gradient[:, 1],
            "slope_min": slope.min(1),
            "slope_max": slope.max(1),
            "curvature_peak": curvature[everyone, peak],
            "curvature_last": bend[:, 1],
            **{f"change_{day}d": value[:, k] - value[:, 1] for k, day in ((2, 1), (3, 3), (4, 7))},
            "variance_mean": posterior.mean(1),
            "variance_max": posterior.max(1),
            **dict(zip(("skewness", "kurtosis"), _moments(mean))),
            "n_inflections": _sign_changes(curvature),
            **dict(zip(("power_law_index", "power_law_misfit"), _power_law(days, mag, noise, t_peak))),
            **dict(zip(("mag_30d", "mag_60d", "mag_90d"), late.T)),
            "von_neumann": np.where(spread > n * _FLAT**2, jumps / spread, np.nan),
            "pre_peak_scatter": _scatter(mag, days < t_peak[:, None]),
            "monotonicity": np.where(n_following >= 2, n_fading / n_following, np.nan),
            # The residual of the posterior mean at a detection is its noise variance times its weight.
            "gp_chi2": (noise * fit.weights * fit.weights).mean(1),
            "constant_chi2": (weight * (mag - constant[:, None]) ** 2).sum(1) / (n - 1),
        }


def _refine_peak(fit, at, mean, slope, curvature) -> np.ndarray:
    """(P,) index of the brightest grid point, after moving it onto the peak; changes the arrays in place."""
    everyone = np.arange(len(at))
    peak = mean.argmin(1)
    low, high = at[everyone, np.maximum(peak - 1, 0)], at[everyone, np.minimum(peak + 1, at.shape[1] - 1)]
    for _ in range(2):
        gradient, bend = slope[everyone, peak], curvature[everyone, peak]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(bend > 0, -gradient / bend, 0.0)
        moved = np.clip(at[everyone, peak] + step, low, high)
        found = mean_and_derivatives(fit, moved[:, None])
        brighter = found[0][:, 0] < mean[everyone, peak]
        at[everyone[brighter], peak[brighter]] = moved[brighter]
        for array, new in zip((mean, slope, curvature), found):
            array[everyone[brighter], peak[brighter]] = new[brighter, 0]
    return peak


def _crossings(at, mean, peak, depth) -> tuple[np.ndarray, np.ndarray]:
    """Days from the peak back, and on, to where the curve is `depth` [mag] fainter; NaN where it is not."""
    everyone = np.arange(len(at))
    t_peak, level = at[everyone, peak], mean[everyone, peak] + depth
    fainter, position = mean >= level[:, None], np.arange(at.shape[1])
    found = []
    for side, inwards in ((position < peak[:, None], 1), (position > peak[:, None], -1)):
        hits = fainter & side
        # The hit nearest to the peak: the last one before it, the first one after it.
        hit = hits.shape[1] - 1 - hits[:, ::-1].argmax(1) if inwards == 1 else hits.argmax(1)
        inner = np.clip(hit + inwards, 0, at.shape[1] - 1)
        m_out, m_in = mean[everyone, hit], mean[everyone, inner]
        t_out, t_in = at[everyone, hit], at[everyone, inner]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = t_in + (t_out - t_in) * (level - m_in) / (m_out - m_in)
        found.append(np.where(hits.any(1), np.abs(crossing - t_peak), np.nan))
    return tuple(found)


def _power_law(days, mag, noise, t_peak) -> tuple[np.ndarray, np.ndarray]:
    """Index and reduced chi2 of a straight line through mag against log10(1 + days since peak)."""
    since = days - t_peak[:, None]
    used = since > _PAST_PEAK
    weight = used / noise
    x = np.log10(1.0 + np.where(used, since, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        total = weight.sum(1, keepdims=True)
        dx = x - (weight * x).sum(1, keepdims=True) / total
        dm = mag - (weight * mag).sum(1, keepdims=True) / total
        rate = (weight * dx * dm).sum(1) / (weight * dx * dx).sum(1)
        count = used.sum(1)
        misfit = (weight * (dm - rate[:, None] * dx) ** 2).sum(1) / (count - 2)
    # Detections of one night have one abscissa and no slope.
    latest, earliest = np.where(used, since, -np.inf).max(1), np.where(used, since, np.inf).min(1)
    known = (count >= 3) & (latest > earliest + _SHORTEST)
    return np.where(known, rate / 2.5, np.nan), np.where(known, misfit, np.nan)


def _moments(values) -> tuple[np.ndarray, np.ndarray]:
    """Skewness and excess kurtosis of (P, T), NaN where the values hardly differ."""
    deviation = values - values.mean(1, keepdims=True)
    square = deviation * deviation
    second = square.mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = (square * deviation).mean(1) / second**1.5
        kurtosis = (square * square).mean(1) / second**2 - 3.0
    flat = second < _FLAT**2
    return np.where(flat, np.nan, skewness), np.where(flat, np.nan, kurtosis)


def _sign_changes(curvature) -> np.ndarray:
    """(P,) how often neighbouring points of (P, T) have curvatures of opposite sign, neither of them tiny."""
    bent = np.abs(curvature) > _STRAIGHT
    opposite = (curvature[:, 1:] > 0) != (curvature[:, :-1] > 0)
    return (opposite & bent[:, 1:] & bent[:, :-1]).sum(1).astype(float)


def _scatter(mag, used) -> np.ndarray:
    """(P,) standard deviation of the magnitudes where `used`, NaN of fewer than 3."""
    count = used.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(used, mag, 0.0).sum(1) / count
        square = np.where(used, mag - mean[:, None], 0.0) ** 2
        return np.where(count >= 3, np.sqrt(square.sum(1) / (count - 1)), np.nan)
