"""LSST as it is simulated: the facts, and which functions draw what differs from ZTF."""

import numpy as np

from rtf.alerts.surveys import lsst
from rtf.simulation.instrument import Instrument, lazily
from rtf.simulation.lsst.cadence import LsstCadence, season
from rtf.simulation.lsst.detections import detect
from rtf.simulation.lsst.metadata import draw_metadata
from rtf.simulation.populations import POPULATIONS, Sample
from rtf.simulation.scene import Field

#: End of each class's volume, and the apparent peak in i [mag] at which half of the sources are followed:
#: half a magnitude above the depth of a visit, so that there is a light curve.
_REDSHIFT_MAX = {
    "SN Ia": 1.2, "SN Ib": 0.6, "SN Ic": 0.7, "SN II": 0.7, "SN IIP": 0.6, "SN IIn": 1.5, "SN IIb": 0.6,
    "Cataclysmic": 0.0, "AGN": 3.0, "TDE": 1.5, "Kilonova": 0.4, "Afterglow": 3.9, "SLSN": 3.5, "FBOT": 1.5,
    "Flare": 0.0,
}  # fmt: skip
_LIMIT = {"AGN": 22.0, "Cataclysmic": 22.0, "Flare": 20.0}
_TYPICAL_LIMIT, _SOFTNESS = 22.9, 0.25

SAMPLE = Sample(
    {
        name: population._replace(
            redshift_max=_REDSHIFT_MAX[name], limit=_LIMIT.get(name, _TYPICAL_LIMIT), softness=_SOFTNESS
        )
        for name, population in POPULATIONS.items()
    },
    wavelength=10 * np.array(lsst.LSST.wavelength),
    extinction=np.array([3.237, 2.273, 1.684, 4.145, 1.323, 1.088]),  # Schlafly & Finkbeiner 2011, table 6
    band=2,
    saturation=16.0,
)


def _told(alerts: list[dict]) -> dict[str, int]:
    return {
        "past": sum(len(alert["prvDiaSources"] or ()) for alert in alerts),
        "forced": sum(len(alert["prvDiaForcedSources"] or ()) for alert in alerts),
    }


LSST = Instrument(
    survey=lsst.LSST,
    sample=SAMPLE,
    # To r = 25.5: some 70 galaxies a square arcminute, and three times the stars.
    field=Field(half_side=4.0, star_limit=25.0, stars=3.0, galaxy_limit=25.5, galaxies=70.0),
    cadence=LsstCadence,
    season=season,
    detect=detect,
    metadata=draw_metadata,
    stamps=lazily("rtf.simulation.lsst.stamps", "draw_stamps"),
    name=lambda seed, number: str(((seed & 0x7FFF) << 36 | number) + 1),
    packets=lazily("rtf.simulation.lsst.packets", "packets"),
    containers=lazily("rtf.simulation.lsst.packets", "containers"),
    told=_told,
    id_field="diaSourceId",
    limits=False,
    signed=True,
)
