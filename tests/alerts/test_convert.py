"""Sources of one survey in the terms of another."""

import numpy as np
import pytest

from rtf.alerts.convert import as_survey
from rtf.alerts.history import from_columns
from rtf.alerts.surveys import survey_named
from rtf.alerts.surveys.lsst import LSST
from rtf.alerts.surveys.ztf import ZTF
from rtf.features.photometry import photometry, width
from tests.sources import made_up_sources

BOTH, ASINH = survey_named("ztf_lsst"), survey_named("ztf_asinh")


def lsst_source():
    metadata = np.full((3, len(LSST.metadata_fields)), np.nan, np.float32)
    metadata[:, LSST.metadata_fields.index("forced")] = 0, 1, 0
    mag, magerr = LSST.magnitude([900.0, -40.0, 5e4], [150.0, 160.0, 170.0], [3, 0, 1])
    return from_columns(
        "1", [1, 2, 3], [3, 0, 1], mag, magerr, metadata=metadata, survey=LSST, split="val", label=2
    )


def test_fluxes_stay_what_they_are():
    for source in (made_up_sources(1)[0], lsst_source()):
        found = as_survey(source, BOTH)
        for before, after in zip(
            source.survey.flux(source.mag, source.magerr, source.band),
            BOTH.flux(found.mag, found.magerr, found.band), strict=True,
        ):  # fmt: skip
            np.testing.assert_allclose(after, before, rtol=2e-4)
        assert (found.object_id, found.label, found.split) == (source.object_id, source.label, source.split)
        np.testing.assert_array_equal(found.mjd, source.mjd)


def test_a_bright_source_of_ztf_keeps_its_magnitudes_and_knows_its_filters():
    source = made_up_sources(1)[0]
    found = as_survey(source, BOTH)
    np.testing.assert_allclose(found.mag, source.mag, atol=1e-3)
    forced, wavelength = found.metadata.T
    assert (forced == 0).all()
    np.testing.assert_allclose(wavelength, np.asarray(ZTF.wavelength)[source.band], rtol=1e-6)
    np.testing.assert_allclose(
        as_survey(lsst_source(), BOTH).metadata, [[0, 367.1], [1, 482.0], [0, 622.3]], rtol=1e-6
    )


def test_photometry_has_the_distance_of_a_filter_from_its_band():
    from rtf.alerts.history import concatenate

    rows = photometry(concatenate([as_survey(made_up_sources(1)[0], BOTH), as_survey(lsst_source(), BOTH)]))
    assert rows.shape[1] == width(BOTH) == 4 + 6 + 2
    own = (
        np.asarray(ZTF.wavelength)[rows[:-3, 4:7].argmax(1)]
        / np.asarray(LSST.wavelength)[rows[:-3, 4:7].argmax(1)]
    )
    np.testing.assert_allclose(rows[:-3, -1], 10 * (own - 1), atol=1e-5)
    np.testing.assert_allclose(rows[-3:, -2:], [[0, 0], [1, 0], [0, 0]], atol=1e-6)


def test_a_non_detection_becomes_a_flux_of_zero_with_a_fifth_of_the_limit():
    source = made_up_sources(1)[0]
    source.limits = np.array([[source.mjd[0] - 2, 1, 20.5], [source.mjd[0] - 1, 0, 19.0], [60000.0, 1, 14.0]])
    found = as_survey(source, ASINH, zeros=True)
    assert len(found) == len(source) + 2 and (np.diff(found.mjd) >= 0).all() and not len(found.limits)
    forced = found.metadata[:, ASINH.metadata_fields.index("forced")]
    np.testing.assert_array_equal(forced, [1, 1, *np.zeros(len(source))])
    flux, error = ASINH.flux(found.mag[:2], found.magerr[:2], found.band[:2])
    np.testing.assert_allclose(flux, 0, atol=1)
    np.testing.assert_allclose(31.4 - 2.5 * np.log10(5 * error), [20.5, 19.0], atol=1e-3)
    # metadata of the detections stay, matched by name
    np.testing.assert_array_equal(found.metadata[2:, :-1], source.metadata)


def test_what_a_survey_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="1: ZTF in asinh magnitudes has no band u"):
        as_survey(lsst_source(), ASINH)
    with pytest.raises(ValueError, match="ZTF has no signed fluxes"):
        as_survey(made_up_sources(1)[0], ZTF, zeros=True)
