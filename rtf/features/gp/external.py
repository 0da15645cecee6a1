"""GP features as BOOM's Rust library computes them, for whoever has built it.

The library is github.com/boom-astro/lightcurve-fitting with its Python binding `lightcurve_fitting`. It is
not on PyPI, where a package of that name (by Hosseinzadeh) does something else: hence the check of what the
imported module offers. Assumed of it:

- `build_mag_bands(times, mags, errors, bands)` takes four equally long lists and returns an object that
  `fit_nonparametric` takes; it counts days from the earliest time
- `fit_nonparametric(bands)` returns a list of dicts, one for each band it fitted, with the band's name under
  "band" and a number or None under each of `LIBRARY_FEATURES`; older builds lack some and are refused

Columns here are the library's own, in its own definitions (its kernel amplitude is a variance, its peak is a
grid point, its magnitudes at 30 to 90 days may be extrapolated): a model trained on one backend cannot be fed
by the other.
"""

import importlib

import numpy as np

from rtf.alerts.history import BANDS, Detections

#: Of the library's 40 numbers all but `n_upper_limits` (RTF has detections only) and `gp_frac_of_peak` (a
#: ratio of two magnitudes).
LIBRARY_FEATURES = (
    "peak_mag", "t0", "rise_time", "decay_time", "fwhm", "rise_rate", "decay_rate", "gp_dfdt_now",
    "gp_dfdt_next", "gp_d2fdt2_now", "gp_predicted_mag_1d", "gp_predicted_mag_2d", "gp_time_to_peak",
    "gp_extrap_slope", "gp_sigma_f", "gp_peak_to_peak", "gp_snr_max", "gp_dfdt_max", "gp_dfdt_min",
    "gp_post_var_mean", "gp_post_var_max", "gp_skewness", "gp_kurtosis", "gp_n_inflections",
    "decay_power_law_index", "decay_power_law_chi2", "mag_at_30d", "mag_at_60d", "mag_at_90d",
    "von_neumann_ratio", "pre_peak_rms", "rise_amplitude_over_noise", "post_peak_monotonicity", "gp_fit_amp",
    "gp_fit_lengthscale", "chi2", "baseline_chi2", "n_obs",
)  # fmt: skip
_NEEDED = ("build_mag_bands", "fit_nonparametric")
_ADVICE = (
    "gp.backend=lightcurve_fitting needs BOOM's library (github.com/boom-astro/lightcurve-fitting): build "
    "its Python binding with `maturin develop --release` in its folder python/, or use gp.backend=rtf"
)


def load_library():
    """The module `lightcurve_fitting`.

    Raises
    ------
    ImportError : it cannot be imported, or it is another package of that name
    """
    try:
        library = importlib.import_module("lightcurve_fitting")
    except ImportError as error:
        raise ImportError(f"{_ADVICE} ({error})") from error
    absent = [name for name in _NEEDED if not callable(getattr(library, name, None))]
    if absent:
        where = getattr(library, "__file__", None)
        raise ImportError(f"the installed lightcurve_fitting ({where}) has no {', '.join(absent)}: {_ADVICE}")
    return library


def library_features(detections: Detections) -> np.ndarray:
    """(N, 3, 38) float32, `LIBRARY_FEATURES` of each source's g, r and i; NaN where the library has none.

    Raises
    ------
    ImportError : see `load_library`
    ValueError : the library's answer lacks a feature
    """
    library = load_library()
    features = np.full((len(detections), len(BANDS), len(LIBRARY_FEATURES)), np.nan, np.float32)
    names = np.array(BANDS)
    for k, (start, stop) in enumerate(zip(detections.offset, detections.offset[1:])):
        if start == stop:
            continue
        rows = slice(start, stop)
        columns = (detections.mjd[rows], detections.mag[rows], detections.magerr[rows])
        light_curves = library.build_mag_bands(
            *(column.astype(float).tolist() for column in columns), names[detections.band[rows]].tolist()
        )
        for result in library.fit_nonparametric(light_curves):
            absent = [name for name in LIBRARY_FEATURES if name not in result]
            if absent:
                raise ValueError(f"the installed lightcurve_fitting gives no {', '.join(absent)}: {_ADVICE}")
            values = [np.nan if result[name] is None else result[name] for name in LIBRARY_FEATURES]
            features[k, BANDS.index(result["band"])] = values
    return features
