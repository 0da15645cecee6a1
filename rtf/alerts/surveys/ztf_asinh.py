"""ZTF in asinh magnitudes, so that a non-detection can be a flux of zero with an error."""

from dataclasses import replace

from rtf.alerts.surveys.ztf import ZTF

ZTF_ASINH = replace(
    ZTF,
    name="ztf_asinh",
    title="ZTF in asinh magnitudes",
    metadata_fields=(*ZTF.metadata_fields, "forced"),
    # a fifth of the flux at the median limit of real supernovae, 20.0 mag in g and 19.9 in r; 19.7 is
    # assumed in i
    softening=(7300.0, 8000.0, 9600.0),
)
