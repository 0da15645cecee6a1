"""The classes RTF knows: ten fine ones, five coarse ones, and the names other catalogues use for them."""

import numpy as np

FINE = ("SN Ia", "SN Ib", "SN Ic", "SN II", "SN IIP", "SN IIn", "SN IIb", "Cataclysmic", "AGN", "TDE")
COARSE = ("SNIa", "SNcc", "Cataclysmic", "AGN", "TDE")
UNKNOWN = -1

#: Coarse class of each fine class, in the order of `FINE`.
COARSE_OF_FINE = np.array([0, 1, 1, 1, 1, 1, 1, 2, 3, 4], dtype=np.int8)

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
}


def fine_label(name: str | None) -> int:
    """Fine class index (0 to 9) of a type name, or `UNKNOWN` when it is none of the ten classes."""
    name = _SYNONYMS.get(name, name)
    return FINE.index(name) if name in FINE else UNKNOWN


def coarse_label(fine: np.ndarray) -> np.ndarray:
    """Coarse class index of each fine one; unknown stays unknown."""
    fine = np.asarray(fine)
    return np.where(fine >= 0, COARSE_OF_FINE[np.maximum(fine, 0)], UNKNOWN).astype(np.int8)
