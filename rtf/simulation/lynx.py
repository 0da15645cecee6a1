"""Light curves from the package lightcurvelynx, if it is installed (`simulation/backend=lightcurvelynx`).

https://github.com/lincc-frameworks/lightcurvelynx simulates light curves from graphs of random parameters.
The survey keeps its own sky, visits, noise, selection, hosts and stamps, and takes its light alone.

Notable:
- a model that has a redshift is taken as it is: light that arrives here. One that has none is at rest at
  10 pc: it is put into the volume of its class as the parametric ones are
- a model is seen at the filters' effective wavelengths. The Milky Way's dust is put on here; the host's is
  the model's
- parameters are drawn with the source's own generator: a node that brings its own would end the promise that
  the same seed gives the same survey
- transients alone: models of stars and quasars give their whole light, not the difference to a reference
"""

import importlib
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rtf.simulation.detections import ZERO_POINT
from rtf.simulation.populations import (
    POPULATIONS,
    ZTF_SAMPLE,
    Sample,
    distance_modulus,
    draw_event,
    draw_redshift,
    selected,
)
from rtf.simulation.sky import Event, Place

NANOJANSKY = 31.4  # AB magnitude of 1 nJy, the unit of the package
_PEAK_STEP = 0.5  # days between which the peak is looked for


@dataclass(frozen=True)
class LightCurveLynx:
    """A light-curve backend (see `Event`); ModuleNotFoundError where lightcurvelynx is not installed."""

    #: Class name to the path of a table (columns: phase [day], wavelength [Angstrom], F_nu at 10 pc [nJy], at
    #: rest), or to "package.module.function", a function without arguments that returns an `SEDModel`;
    #: classes that are not named keep the parametric models
    models: dict | None = field(default=None, hash=False)
    duration: float = 200.0  # observer-frame days for which a source is watched at most

    def __post_init__(self):
        if find_spec("lightcurvelynx") is None:
            raise ModuleNotFoundError("simulation/backend=lightcurvelynx needs: pip install lightcurvelynx")
        known = [name for name in POPULATIONS if name not in ("Cataclysmic", "AGN", "Flare")]  # transients
        if not self.models or not set(self.models) <= set(known):
            raise ValueError(
                "simulation.backend.models names a table or a function for classes among "
                f"{', '.join(known)}, e.g. {{SN Ia: sed.dat}}; not {self.models}"
            )

    def __call__(
        self, rng: np.random.Generator, name: str, place: Place, sample: Sample = ZTF_SAMPLE
    ) -> Event | None:
        """A source of a class on a line of sight, or None where this one is too faint or not followed."""
        if name not in self.models:
            return draw_event(rng, name, place, sample)
        model = make_model(self.models[name])
        state = model.sample_parameters(rng_info=rng)
        redshift, t0 = model.get_param(state, "redshift"), float(model.get_param(state, "t0") or 0.0)
        first, last = model.minphase(graph_state=state), model.maxphase(graph_state=state)
        first = -np.inf if first is None else float(first)
        last = np.inf if last is None else float(last)
        if redshift is None:  # the model's days and wavelengths are those of the source
            redshift = draw_redshift(rng, sample.populations[name].redshift_max)
            stretch = 1 + redshift
            scale = stretch * 10 ** (-0.4 * float(distance_modulus(redshift)))
        else:
            redshift, stretch, scale = float(redshift), 1.0, 1.0
            first, last = first * (1 + redshift), last * (1 + redshift)
        start = first if np.isfinite(first) else 0.0
        length = min((last - start) * stretch, self.duration)
        unit = 10 ** (-0.4 * (NANOJANSKY - ZERO_POINT + sample.extinction * place.dust))

        def flux(days, band):
            since, light = start + np.asarray(days, float) / stretch, np.zeros(len(days))
            seen = np.flatnonzero((since >= first) & (since <= last))
            if len(seen):
                spectra = model.evaluate_sed(t0 + since[seen], sample.wavelength / stretch, state)
                light[seen] = scale * spectra[np.arange(len(seen)), np.asarray(band)[seen]]
            return light * unit[band]

        days = np.arange(0.0, length, _PEAK_STEP)
        brightest = flux(days, np.ones(len(days), int)).max()
        if not brightest > 0:
            return None
        magnitude = float(ZERO_POINT - 2.5 * np.log10(brightest))
        if not selected(rng, name, magnitude, place, sample):
            return None
        parameters = {"lightcurvelynx": dict(model.get_local_params(state))}
        return Event(name, redshift, float(distance_modulus(redshift)), magnitude, length, flux, parameters)


@lru_cache(32)
def make_model(what: str):
    """The model of a table or of an import path; ValueError where it is neither, or has no spectrum."""
    if Path(what).is_file():
        from lightcurvelynx.models.sed_template_model import SEDTemplate, SEDTemplateModel

        return SEDTemplateModel(SEDTemplate.from_file(what, sed_data_t0=0.0), t0=0.0)
    module, _, function = what.rpartition(".")
    try:
        model = getattr(importlib.import_module(module), function)()
        model.evaluate_sed  # noqa: B018, models of band fluxes alone have none
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{what}: neither a file nor a function that makes a model ({error!r})") from error
    return model
