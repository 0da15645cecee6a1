"""What ZTF and LSST have in common: light curves, in which a band is a letter and a wavelength."""

from rtf.alerts.surveys import Survey
from rtf.alerts.surveys.lsst import LSST

ZTF_LSST = Survey(
    name="ztf_lsst",
    title="ZTF and LSST",
    bands=LSST.bands,
    wavelength=LSST.wavelength,
    # `wavelength` is the effective one of the detection's own filter [nm]
    metadata_fields=("forced", "wavelength"),
    time_scale="UTC or TAI",
    stamp_size=LSST.stamp_size,
    centred=LSST.centred,
    pixel=LSST.pixel,
    cutout_unit=LSST.cutout_unit,
    softening=LSST.softening,
)
