"""Sources of one survey in the terms of another, so that one model can be trained on both."""

from dataclasses import replace

import numpy as np

from rtf.alerts.history import NO_CANDID, NO_LIMITS, SourceHistory, from_columns
from rtf.alerts.surveys import ZERO_POINT, Survey

#: A limit is so many sigma of the flux.
_LIMIT_SIGMA = 5.0
#: Zeros with larger errors are left out [mag]: such a limit is 3 mag brighter than the usual ones.
_LARGEST_ERROR = 10.0


def as_survey(history: SourceHistory, survey: Survey, zeros: bool = False) -> SourceHistory:
    """A source with the units, bands and metadata of `survey`, and no cutouts.

    Metadata are matched by name, and missing where the source has none of that name; `forced` is then 0, and
    `wavelength` that of the filter through which the source was seen.

    Parameters
    ----------
    zeros : a non-detection becomes forced photometry: a flux of 0, with a fifth of the limit as its error

    Raises
    ------
    ValueError : `survey` lacks a band in which the source was seen, or has no signed fluxes to hold zeros
    """
    own = history.survey
    used = np.unique(history.band)
    if len(used) and used[-1] >= len(survey.bands):
        raise ValueError(f"{history.object_id}: {survey.title} has no band {own.bands[used[-1]]}")
    if (zeros or own.signed) and not survey.signed:
        raise ValueError(f"{history.object_id}: {survey.title} has no signed fluxes")
    mag, magerr = history.mag, history.magerr
    if survey.softening != own.softening:
        mag, magerr = survey.magnitude(*own.flux(mag, magerr, history.band), history.band)
    metadata = np.full((len(history), len(survey.metadata_fields)), np.nan, np.float32)
    for k, name in enumerate(survey.metadata_fields):
        if name in own.metadata_fields:
            metadata[:, k] = history.metadata[:, own.metadata_fields.index(name)]
        elif name == "forced":
            metadata[:, k] = 0.0
        elif name == "wavelength":
            metadata[:, k] = np.asarray(own.wavelength)[history.band]
    changed = {"metadata": metadata, "survey": survey, "cutouts": None}
    found = replace(history, mag=np.float32(mag), magerr=np.float32(magerr), **changed)
    return _with_zeros(found) if zeros else found


def _with_zeros(history: SourceHistory) -> SourceHistory:
    """The source with its non-detections as forced photometry of zero flux, but the shallowest."""
    survey, (when, band, depth) = history.survey, history.limits.T
    limit = 10 ** (0.4 * (ZERO_POINT - depth))
    mag, magerr = survey.magnitude(np.zeros(len(depth)), limit / _LIMIT_SIGMA, band.astype(np.int8))
    told = magerr <= _LARGEST_ERROR
    when, band, mag, magerr = when[told], band[told].astype(np.int8), mag[told], magerr[told]
    metadata = np.full((len(when), history.metadata.shape[1]), np.nan, np.float32)
    metadata[:, survey.metadata_fields.index("forced")] = 1.0
    columns = {
        "mjd": when, "band": band, "mag": mag, "magerr": magerr, "metadata": metadata,
        "candid": np.full(len(when), NO_CANDID),
    }  # fmt: skip
    both = {name: np.concatenate([getattr(history, name), added]) for name, added in columns.items()}
    rest = {"ra": history.ra, "dec": history.dec, "label": history.label, "split": history.split}
    return from_columns(history.object_id, **both, **rest, limits=NO_LIMITS, survey=survey)
