"""Names of types, as catalogues spell them."""

import pytest

from rtf.classes import COARSE, FINE, RARE, SUPERNOVAE, UNKNOWN, coarse_label, fine_label, supernova_label

SPELLINGS = {
    "SN Ia": ("SNIa", "Ia", "sn ia", "SN Ia-norm", "SN Ia-91T-like", "Ia-91T", "SN Ia-91bg-like", "SN_Ia"),
    "SN Ib": ("SNIb", "Ib"),
    "SN Ic": ("Ic", "SN Ic-BL", "Ic BL"),
    "SN II": ("SNII", "II", "SN IIL", "II L"),
    "SN IIP": ("II P", "IIP", "SN II-P", "SN IIP"),
    "SN IIn": ("SNIIn", "IIn"),
    "SN IIb": ("SNIIb", "IIb"),
    "Cataclysmic": ("CV", "CV/Nova", "nova", "cataclysmic"),
    "AGN": ("QSO", "agn", "Blazar"),
    "TDE": ("TDE-He", "TDE-H-He", "tde"),
    "SLSN": ("SLSN-I", "SLSN-R", "slsn"),
    "SLSN-II": ("slsn ii",),
    "SN Ibn": ("Ibn",),
    "SN Ia-CSM": ("Ia-CSM",),
    "SN Iax": ("SN Iax[02cx-like]", "SN Ia-02cx"),
    "Ca-rich": ("SN Ia-Ca-rich", "SN Ib-Ca-rich"),
    "SN pec": ("SN Ia-pec", "SN II-pec", "SN IIn-pec", "SN Ia-SC"),
}
JUDGEMENTS = (
    None, "", "SN", "SN I", "SNIbc", "SN Ib/c", "AGN?", "Galaxy", "Other", "RRL", "YSO", "foo", 7,
)  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name):
    for spelling in (name, name.upper(), f" {name} ", *SPELLINGS[name]):
        assert fine_label(spelling) == FINE.index(name), spelling


def test_types_that_are_no_class():
    assert [fine_label(name) for name in JUDGEMENTS] == [UNKNOWN] * len(JUDGEMENTS)


def test_groups_of_classes():
    fine = [FINE.index(name) for name in ("SN IIP", "SN IIb", "SLSN", "SLSN-II", "TDE")] + [UNKNOWN]
    assert [COARSE[k] for k in coarse_label(fine)[:5]] == ["SNcc", "SNcc", "Other", "Other", "TDE"]
    assert [SUPERNOVAE[k] for k in supernova_label(fine)[:3]] == ["SN II", "SN Ib/c", "SLSN-I"]
    assert supernova_label(fine)[3:].tolist() == [UNKNOWN] * 3 and coarse_label(fine)[5] == UNKNOWN
    rare = [FINE.index(name) for name in RARE]
    assert (coarse_label(rare) == UNKNOWN).all() and (supernova_label(rare) == UNKNOWN).all()
