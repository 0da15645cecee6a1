"""The Zwicky Transient Facility: https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html."""

from rtf.alerts.surveys import Survey

ZTF = Survey(
    name="ztf",
    title="ZTF",
    bands=("g", "r", "i"),
    wavelength=(474.6, 636.7, 788.4),
    # fields of an alert's `candidate`
    metadata_fields=(
        "sgscore1", "sgscore2", "distpsnr1", "distpsnr2", "nmtchps", "sharpnr", "scorr", "diffmaglim", "sky",
        "ndethist", "ncovhist", "sigmapsf", "chinr", "classtar", "rb", "chipsf", "distnr", "magnr", "fwhm",
        "srmag1", "sgmag1", "simag1", "szmag1", "srmag2", "sgmag2", "simag2", "szmag2",
        "clrcoeff", "clrcounc", "zpclrcov",
    ),
    time_scale="UTC",
    stamp_size=63,
    centred=False,
    pixel=1.01,
    cutout_unit="DN",
)  # fmt: skip
