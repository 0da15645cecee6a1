"""The classes RTF knows: ten fine ones in five coarse ones, five rare others, and other catalogues' names."""

import numpy as np

#: What no survey has enough of to train on: for anomaly tests, or as more classes of simulated data.
OTHERS = ("Kilonova", "Afterglow", "SLSN", "FBOT", "Flare")
FINE = (
    "SN Ia", "SN Ib", "SN Ic", "SN II", "SN IIP", "SN IIn", "SN IIb", "Cataclysmic", "AGN", "TDE", *OTHERS,
)  # fmt: skip
COARSE = ("SNIa", "SNcc", "Cataclysmic", "AGN", "TDE", "Other")
UNKNOWN = -1

#: Coarse class of each fine class, in the order of `FINE`.
COARSE_OF_FINE = np.array([0, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5], dtype=np.int8)

# Names of the Transient Name Server that are a subtype or a synonym of a fine class. Types that would be
# a judgement (SN Ib/c, SN Ia-CSM, SN Ibn, peculiar events) stay unknown.
_SYNONYMS = {
    "SN Ia-91T-like": "SN Ia",
    "SN Ia-91bg-like": "SN Ia",
    "SN Ic-BL": "SN Ic",
    "SN IIL": "SN II",
    "CV": "Cataclysmic",
    "Nova": "Cataclysmic",
    "QSO": "AGN",
    "TDE-H": "TDE",
    "TDE-He": "TDE",
    "TDE-H-He": "TDE",
    "SLSN-I": "SLSN",
    "SLSN-II": "SLSN",
    "SLSN-R": "SLSN",
}


def fine_label(name: str | None) -> int:
    """Fine class index of a type name, or `UNKNOWN` when it is none of the classes."""
    name = _SYNONYMS.get(name, name)
    return FINE.index(name) if name in FINE else UNKNOWN


def coarse_label(fine: np.ndarray) -> np.ndarray:
    """Coarse class index of each fine one; unknown stays unknown."""
    fine = np.asarray(fine)
    return np.where(fine >= 0, COARSE_OF_FINE[np.maximum(fine, 0)], UNKNOWN).astype(np.int8)
