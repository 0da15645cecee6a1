"""Parametric light curves, one file a model, and which class uses which.

Every model is two functions, so that a survey, a test or a notebook drives them alike:

- `draw(rng, kind) -> dict` draws the parameters of one source from the priors in the file's docstring
- `relative_flux(phase, band, parameters, redshift) -> (T,)` evaluates it: `phase` (T,) rest-frame days since
  the start of the event (explosion, disruption, start of watching for recurrent sources), ascending; `band`
  (T,) index into `rtf.alerts.history.BANDS`; the result is the flux difference to quiescence in units of
  the r-band scale that `rtf.simulation.populations` gives in magnitudes (the peak; for AGN the nucleus)

A parameter named `magnitude_offset` (mag) shifts the population's absolute magnitude, so that a width can be
tied to a luminosity. `duration` is how long the source is watched, observer-frame days.
"""

from typing import NamedTuple

from rtf.simulation.light_curves import agn, outburst, plateau, sn_ia, sn_iin, stripped, tde


class Model(NamedTuple):
    """A model as a class uses it: `module` with `draw` and `relative_flux`, and the `kind` of prior."""

    module: object
    kind: str
    duration: float


MODELS = {
    "SN Ia": Model(sn_ia, "", 160.0),
    "SN Ib": Model(stripped, "Ib", 160.0),
    "SN Ic": Model(stripped, "Ic", 160.0),
    "SN II": Model(plateau, "II", 200.0),
    "SN IIP": Model(plateau, "IIP", 200.0),
    "SN IIn": Model(sn_iin, "", 300.0),
    "SN IIb": Model(stripped, "IIb", 160.0),
    "Cataclysmic": Model(outburst, "", 400.0),
    "AGN": Model(agn, "", 400.0),
    "TDE": Model(tde, "", 300.0),
}
