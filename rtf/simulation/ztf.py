"""ZTF as it is simulated."""

from rtf.alerts.surveys import ztf
from rtf.simulation.cadence import ObservingModel, season
from rtf.simulation.detections import detect
from rtf.simulation.instrument import Instrument, lazily
from rtf.simulation.metadata import draw_metadata
from rtf.simulation.populations import ZTF_SAMPLE
from rtf.simulation.scene import ZTF_FIELD, light_at_source


def _told(alerts: list[dict]) -> dict[str, int]:
    entries = [entry["candid"] for alert in alerts for entry in alert["prv_candidates"] or ()]
    return {"past": len(entries) - entries.count(None), "non_detections": entries.count(None)}


ZTF = Instrument(
    survey=ztf.ZTF,
    sample=ZTF_SAMPLE,
    field=ZTF_FIELD,
    cadence=ObservingModel,
    season=season,
    detect=lambda rng, visits, flux, host: detect(rng, visits, flux, light_at_source(host)),
    metadata=draw_metadata,
    stamps=lazily("rtf.simulation.stamps", "draw_stamps"),
    name=lambda seed, number: f"SIM{seed}_{number:07d}",
    packets=lazily("rtf.simulation.packets", "packets"),
    containers=lazily("rtf.simulation.packets", "containers"),
    told=_told,
    id_field="candid",
    limits=True,
    signed=False,
)
