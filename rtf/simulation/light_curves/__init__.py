"""Light-curve models as spectral energy distributions, one file a model, and which class uses which.

Every model is two functions:

- `draw(rng, kind) -> dict` draws the parameters of one source; among them `magnitude`, the absolute AB peak
  at 6366 Angstrom in the rest frame before dust (of AGN, the nucleus; of what lies on a star, the light above
  it), `host_dust`, E(B-V) [mag], and on stars `amplitude`, the peak above quiescence [mag]
- `luminosity(phase, wavelength, parameters) -> (T,)` evaluates them: `phase` (T,) rest-frame days since the
  start (explosion, disruption, first outburst, start of watching), ascending; `wavelength` (T,) or scalar,
  emitted Angstrom; the result in the unit of `spectrum`, the difference to quiescence and so zero before the
  start, and of either sign for AGN alone

An observer at redshift z evaluates phase / (1 + z) and wavelength / (1 + z): that is the K-correction.
"""

from typing import NamedTuple

from rtf.simulation.light_curves import (
    afterglow,
    agn,
    arnett,
    cataclysmic,
    flare,
    interaction,
    kilonova,
    magnetar,
    plateau,
    sn_ia,
    tde,
)  # fmt: skip


class Model(NamedTuple):
    """A model as a class uses it."""

    module: object  # has `draw` and `luminosity`
    kind: str  # of the priors
    duration: float  # observer-frame days after its start for which a source is watched


MODELS = {
    "SN Ia": Model(sn_ia, "", 160.0),
    "SN Ib": Model(arnett, "Ib", 160.0),
    "SN Ic": Model(arnett, "Ic", 160.0),
    "SN II": Model(plateau, "II", 200.0),
    "SN IIP": Model(plateau, "IIP", 200.0),
    "SN IIn": Model(interaction, "", 300.0),
    "SN IIb": Model(arnett, "IIb", 160.0),
    "Cataclysmic": Model(cataclysmic, "", 400.0),
    "AGN": Model(agn, "", 400.0),
    "TDE": Model(tde, "", 300.0),
    "Kilonova": Model(kilonova, "", 30.0),
    "Afterglow": Model(afterglow, "", 20.0),
    "SLSN": Model(magnetar, "", 300.0),
    "FBOT": Model(arnett, "FBOT", 60.0),
    "Flare": Model(flare, "", flare.WATCHED),
}
