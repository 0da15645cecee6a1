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

# Names that the Transient Name Server, ALeRCE, the Open Supernova Catalog and BTS give to a fine class, its
# subtypes and synonyms. Types that would be a judgement (SN Ib/c, SN Ia-CSM, SN Ibn, peculiar events, AGN?)
# stay unknown.
_SYNONYMS = {
    "SN Ia": "Ia-norm Ia-normal Ia-91T Ia-91T-like Ia-91bg Ia-91bg-like",
    "SN Ic": "Ic-BL",
    "SN II": "IIL",
    "Cataclysmic": "CV Nova CV/Nova dwarf-nova cataclysmic-variable",
    "AGN": "QSO quasar Blazar",
    "TDE": "TDE-H TDE-He TDE-H-He",
    "SLSN": "SLSN-I SLSN-II SLSN-R",
}


def _plain(name: str) -> str:
    """A name without what catalogues do differently: case, spaces, hyphens, a leading SN."""
    return "".join(c for c in name.casefold() if c not in " \t-_").removeprefix("sn")


_FINE = {_plain(name): k for k, name in enumerate(FINE)} | {
    _plain(synonym): FINE.index(name) for name, synonyms in _SYNONYMS.items() for synonym in synonyms.split()
}


def fine_label(name: str | None) -> int:
    """Fine class index of a type name in any catalogue's spelling, or `UNKNOWN` when it is no class."""
    return _FINE.get(_plain(name), UNKNOWN) if isinstance(name, str) else UNKNOWN


def coarse_label(fine: np.ndarray) -> np.ndarray:
    """Coarse class index of each fine one; unknown stays unknown."""
    fine = np.asarray(fine)
    return np.where(fine >= 0, COARSE_OF_FINE[np.maximum(fine, 0)], UNKNOWN).astype(np.int8)
