"""The published figures of RTF, and what each holds for: the one place that knows them.

They were measured on the published sample (18,245 ZTF sources, of which 2,737 for testing; near 67 % SN Ia),
trained for 200 epochs. Accuracies are shares, |Δmag| in magnitudes, |Δt| in days, all without intervals.
"""

from collections.abc import Mapping

HEADING = "published (other data)"
NOTE = (
    "published (other data): figures of the published RTF, on its own 2,737 test sources, without intervals; "
    "shown where the settings they were published for are the same."
)

_LIGHT_CURVES = "photometry"
_ALL = "photometry+metadata+gp+stamps"

#: Photometry only, {score: {bottleneck: {latent_dim: value}}}: coarse linear probe, then in physical units.
SIZES: dict[str, dict[str, dict[int, float]]] = {
    "coarse_accuracy": {
        "ae": {8: 0.826, 64: 0.865, 256: 0.884},
        "vae": {8: 0.770, 64: 0.843, 256: 0.868},
        "vqvae": {8: 0.774, 64: 0.787, 256: 0.800},
    },
    "mag": {"ae": {8: 0.19, 64: 0.16, 256: 0.16}},
    "dt": {"ae": {8: 3.5, 64: 2.5, 256: 2.5}},
    "band": {"ae": {8: 0.707, 64: 0.733, 256: 0.736}},
    "bytes": {"ae": {8: 32, 64: 256, 256: 1024}},
}
#: By modality: mean squared error of the normalised channels, band accuracy.
_MODALITIES = {
    _LIGHT_CURVES: (0.26, 0.627), "photometry+metadata": (0.13, 0.650), "photometry+gp": (0.089, 0.683),
    _ALL: (0.10, 0.713),
}  # fmt: skip

#: Early classification at 64 dimensions: accuracy, balanced accuracy, ROC-AUC by number of detections.
EARLY_NOTE = (
    "published: 64 dimensions, coarse classes; at every number of detections its GP features were fitted to "
    "the whole light curve, which the measured ones are not."
)
_EARLY = {
    _ALL: {
        3: (0.841, 0.577, 0.921), 5: (0.857, 0.587, 0.923), 10: (0.857, 0.587, 0.935),
        20: (0.858, 0.593, 0.937), 50: (0.867, 0.600, 0.943), 100: (0.870, 0.606, 0.943),
        None: (0.874, 0.617, 0.946),
    },
    "photometry+metadata+gp": {
        3: (0.795, 0.449, None), 5: (0.798, 0.452, None), 10: (0.807, 0.466, None),
        50: (0.831, 0.520, None), None: (0.842, 0.540, None),
    },
}  # fmt: skip


def published(table: str, settings: Mapping) -> dict[str, float]:
    """Published scores of a configuration in a table, by the names of `scores.SCORES`; {} where none."""
    modalities, size = settings.get("modalities"), settings.get("latent_dim")
    if not rebuilds_times(settings):
        return {}
    if table == "bottlenecks" and modalities == _LIGHT_CURVES:
        of = {score: curves.get(settings.get("bottleneck"), {}) for score, curves in SIZES.items()}
        return {score: curve[size] for score, curve in of.items() if size in curve}
    if table == "modalities" and modalities in _MODALITIES and _backbone_agrees(settings):
        return dict(zip(("mse", "band"), _MODALITIES[modalities]))
    return {}


def published_early(settings: Mapping) -> dict[str, tuple]:
    """{detections (None: all): (accuracy, balanced accuracy, ROC-AUC or None)}, coarse; {} where none."""
    fits = settings.get("latent_dim") == 64 and _backbone_agrees(settings)
    return _EARLY.get(settings.get("modalities"), {}) if fits else {}


def rebuilds_times(settings: Mapping) -> bool:
    """Whether the decoder rebuilds times and bands as the published one does, and is not given them."""
    return settings.get("decoder") in (None, "sequence")


def _backbone_agrees(settings: Mapping) -> bool:
    """With stamps, the published model had Zoobot."""
    return settings.get("image_backbone") in (None, "zoobot")
