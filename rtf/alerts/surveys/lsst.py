"""The Legacy Survey of Space and Time of the Vera C. Rubin Observatory: https://sdm-schemas.lsst.io/apdb.html."""

from rtf.alerts.surveys import Survey

LSST = Survey(
    name="lsst",
    title="LSST",
    bands=("g", "r", "i", "u", "z", "y"),
    wavelength=(482.0, 622.3, 754.6, 367.1, 869.1, 971.2),
    # fields of an alert's `diaSource`, flags as 0 and 1; `forced` is 1 for forced photometry
    metadata_fields=(
        "reliability", "snr", "extendedness", "isNegative", "isDipole", "scienceFlux", "templateFlux",
        "apFlux", "psfChi2", "psfNdata", "raErr", "decErr", "ixx", "iyy", "ixy", "ixxPSF", "iyyPSF", "ixyPSF",
        "trailLength", "dipoleLength", "dipoleMeanFlux", "dipoleFluxDiff", "centroid_flag", "shape_flag",
        "psfFlux_flag", "pixelFlags_cr", "pixelFlags_edge", "pixelFlags_interpolated",
        "pixelFlags_saturated", "pixelFlags_streak", "forced",
    ),
    time_scale="TAI",
    stamp_size=30,
    centred=True,
    pixel=0.2,
    cutout_unit="nJy",
    # The errors of the best tenth of the forced photometry in real alerts of March 2026, rounded; u, of which
    # they have none, is taken to be somewhat shallower than g.
    softening=(200.0, 250.0, 300.0, 250.0, 450.0, 1200.0),
)  # fmt: skip
