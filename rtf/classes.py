"""The classes RTF knows: ten fine ones in five coarse ones, rarer ones, and other catalogues' names."""

import numpy as np

#: What no survey has enough of to train on: for anomaly tests, or as more classes of simulated data.
OTHERS = ("Kilonova", "Afterglow", "SLSN", "FBOT", "Flare", "SLSN-II")
#: Types of which the sky gives a handful: oddities to be found. They belong to no coarse class.
RARE = ("SN Ibn", "SN Icn", "SN Ia-CSM", "SN Iax", "Ca-rich", "SN pec", "LRN", "ILRT", "LBV")
FINE = (
    "SN Ia", "SN Ib", "SN Ic", "SN II", "SN IIP", "SN IIn", "SN IIb", "Cataclysmic", "AGN", "TDE",
    *OTHERS, *RARE,
)  # fmt: skip
UNKNOWN = -1
COARSE = ("SNIa", "SNcc", "Cataclysmic", "AGN", "TDE", "Other")
#: Coarse class of each fine class, in the order of `FINE`.
COARSE_OF_FINE = np.int8([0, 1, 1, 1, 1, 1, 1, 2, 3, 4] + len(OTHERS) * [5] + len(RARE) * [UNKNOWN])

#: The five classes in which photometric classifiers of supernovae are compared (Superphot+, de Soto et al.
#: 2024), and the one of each fine class; SLSN are the hydrogen-poor ones.
SUPERNOVAE = ("SN Ia", "SN II", "SN IIn", "SN Ib/c", "SLSN-I")
SUPERNOVA_OF_FINE = np.int8([0, 3, 3, 1, 1, 2, 3] + 5 * [UNKNOWN] + [4] + (len(FINE) - 13) * [UNKNOWN])

# Names that the Transient Name Server, ALeRCE, the Open Supernova Catalog and BTS give to a fine class, its
# subtypes and synonyms. Types that would be a judgement (SN, SN I, SN Ib/c, AGN?) stay unknown.
_SYNONYMS = {
    "SN Ia": "Ia-norm Ia-normal Ia-91T Ia-91T-like Ia-91bg Ia-91bg-like",
    "SN Ic": "Ic-BL",
    "SN II": "IIL",
    "Cataclysmic": "CV Nova CV/Nova dwarf-nova cataclysmic-variable",
    "AGN": "QSO quasar Blazar",
    "TDE": "TDE-H TDE-He TDE-H-He",
    "SLSN": "SLSN-I SLSN-R",
    "SN Ia-CSM": "Ia/IIn",
    "SN Iax": "Iax[02cx-like] Ia-02cx-like Ia-02cx",
    "Ca-rich": "Ia-Ca-rich Ib-Ca-rich Ic-Ca-rich Ib/c-Ca-rich",
    "SN pec": "Ia-pec Ia-SC Ia-03fg Ia-03fg-like Ib-pec Ic-pec Ib/c-pec II-pec IIn-pec IIb-pec IIP-pec",
    "LRN": "luminous-red-nova",
    "ILRT": "intermediate-luminosity-red-transient",
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
    return _grouped(fine, COARSE_OF_FINE)


def supernova_label(fine: np.ndarray) -> np.ndarray:
    """Index into `SUPERNOVAE` of each fine class; unknown for all that is none of them."""
    return _grouped(fine, SUPERNOVA_OF_FINE)


def _grouped(fine: np.ndarray, groups: np.ndarray) -> np.ndarray:
    fine = np.asarray(fine)
    return np.where(fine >= 0, groups[np.maximum(fine, 0)], UNKNOWN).astype(np.int8)
