"""Names of types, as catalogues spell them."""

import pytest

from rtf.classes import FINE, UNKNOWN, fine_label

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
    "SLSN": ("SLSN-I", "SLSN-II", "SLSN-R", "slsn"),
}
JUDGEMENTS = (
    None, "", "SN", "SN I", "SNIbc", "SN Ib/c", "SN Ia-CSM", "SN Ia-pec", "SN Iax[02cx-like]", "SN Ibn",
    "SN Icn", "SN II-pec", "AGN?", "Galaxy", "Other", "RRL", "YSO", "foo", 7,
)  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name):
    for spelling in (name, name.upper(), f" {name} ", *SPELLINGS[name]):
        assert fine_label(spelling) == FINE.index(name), spelling


def test_types_that_are_no_class():
    assert [fine_label(name) for name in JUDGEMENTS] == [UNKNOWN] * len(JUDGEMENTS)
