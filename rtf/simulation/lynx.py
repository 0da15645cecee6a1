"""Light curves from the package lightcurvelynx, if it is installed (`simulation/backend=lightcurvelynx`).

https://github.com/lincc-frameworks/lightcurvelynx simulates light curves from graphs of random parameters.
The survey keeps its own sky, visits, noise, selection, hosts and stamps, and takes its light alone.

Notable:
- a class is given by a table of a spectral energy distribution or by the user's function that makes a model;
  classes that are not named keep the parametric models
- a model that has a redshift is taken as it is: light that arrives here. One that has none is at rest at
  10 pc: it is put into the volume of its class as the parametric ones are
- a model is seen at the filters' effective wavelengths, or through its own bands "g", "r", "i" where it knows
  band fluxes alone. The Milky Way's dust is put on here; the host's belongs to the model
- parameters are drawn with the source's own generator: a node that brings its own would end the promise that
  the same seed gives the same survey
- transients alone: models of stars and quasars give their whole light, not the difference to a reference
- the package is looked for at once and imported where it is used: that takes seconds
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rtf.alerts.history import BANDS
from rtf.simulation.detections import ZERO_POINT
from rtf.simulation.light_curves.spectrum import BAND_WAVELENGTH
from rtf.simulation.populations import POPULATIONS, distance_modulus, draw_event, draw_redshift, selected
from rtf.simulation.sky import EXTINCTION, Place
from rtf.simulation.source import Event

#: AB magnitude of 1 nJy, the unit of the package.
NANOJANSKY = 31.4
#: Classes whose light is a difference to a reference that a model does not know.
_VARIABLE = ("Cataclysmic", "AGN", "Flare")
#: Days between which the peak is looked for.
_PEAK_STEP = 0.5


@dataclass(frozen=True)
class LightCurveLynx:
    """A light-curve backend (see `Event`).

    Attributes
    ----------
    models : class name to what makes its model: a table (text, three columns: phase [day], wavelength
        [Angstrom], F_nu at 10 pc [nJy], all at rest), or "package.module.function", a function without
        arguments that returns an `SEDModel` or `BandfluxModel`
    duration : observer-frame days for which a source is watched, where its model does not end before

    Raises
    ------
    ModuleNotFoundError : lightcurvelynx is not installed
    ValueError : no model is given, or one of a class that is no transient
    """

    models: dict | None = field(default=None, hash=False)
    duration: float = 200.0

    def __post_init__(self):
        if find_spec("lightcurvelynx") is None:
            raise ModuleNotFoundError(
                "simulation/backend=lightcurvelynx needs a package that is not installed: "
                "pip install lightcurvelynx"
            )
        known = [name for name in POPULATIONS if name not in _VARIABLE]
        if not self.models or not set(self.models) <= set(known):
            raise ValueError(
                "simulation.backend.models names a table or a function for classes among "
                f"{', '.join(known)}, e.g. {{SN Ia: sed.dat}}; not {self.models}"
            )

    def __call__(self, rng: np.random.Generator, name: str, place: Place) -> Event | None:
        """A source of a class on a line of sight, or None where this one is too faint or not followed."""
        if name not in self.models:
            return draw_event(rng, name, place)
        model = make_model(self.models[name])
        state = model.sample_parameters(rng_info=rng)
        redshift = model.get_param(state, "redshift")
        if redshift is None:
            redshift = draw_redshift(rng, POPULATIONS[name].redshift_max)
            light, length = _placed(model, state, redshift)
        else:
            redshift = float(redshift)
            light, length = _arriving(model, state, redshift)
        length = min(length, self.duration)
        unit = 10 ** (-0.4 * (NANOJANSKY - ZERO_POINT + EXTINCTION * place.dust))

        def flux(days, band):
            return light(np.asarray(days, float), band) * unit[band]

        days = np.arange(0.0, length, _PEAK_STEP)
        brightest = flux(days, np.full(len(days), BANDS.index("r"))).max()
        if not brightest > 0:
            return None
        magnitude = float(ZERO_POINT - 2.5 * np.log10(brightest))
        if not selected(rng, name, magnitude, place):
            return None
        parameters = {"lightcurvelynx": dict(model.get_local_params(state))}
        return Event(name, redshift, float(distance_modulus(redshift)), magnitude, length, flux, parameters)


@lru_cache(32)
def make_model(what: str):
    """The model of a table or of an import path, made once a process.

    Raises
    ------
    ValueError : it is neither a file nor a function that can be imported
    """
    if Path(what).is_file():
        from lightcurvelynx.models.sed_template_model import SEDTemplate, SEDTemplateModel

        return SEDTemplateModel(SEDTemplate.from_file(what, sed_data_t0=0.0), t0=0.0)
    module, _, function = what.rpartition(".")
    try:
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{what}: neither a file nor a function that makes a model ({type(error).__name__}: {error})"
        ) from error


def _arriving(model, state, redshift: float) -> tuple[Callable, float]:
    """Light [nJy] by days since its start and band, of a model with a redshift, and its length [day]."""
    # Band fluxes are given in the time of the observer, spectra in that of the source.
    first, last = _phases(model, state)
    stretch = 1 + redshift if _has_spectrum(model) else 1.0
    return _light(model, state, first * stretch, last * stretch, 1.0, BAND_WAVELENGTH)


def _placed(model, state, redshift: float) -> tuple[Callable, float]:
    """The same of a model at rest at 10 pc, moved to a redshift."""
    if not _has_spectrum(model):
        raise ValueError(f"{model}: a model of band fluxes alone needs a redshift of its own")
    first, last = _phases(model, state)
    stretch = 1 + redshift
    light, length = _light(model, state, first, last, stretch, BAND_WAVELENGTH / stretch)
    scale = stretch * 10 ** (-0.4 * float(distance_modulus(redshift)))
    return lambda days, band: scale * light(days, band), length


def _light(model, state, first, last, stretch, wavelength) -> tuple[Callable, float]:
    """Light of a model that shines from `first` to `last` [day of the model after its t0], and how long.

    Parameters
    ----------
    stretch : observer's days in a day of the model
    wavelength : (3,) at which the model is asked for g, r, i [Angstrom]
    """
    t0 = model.get_param(state, "t0")
    t0 = 0.0 if t0 is None else float(t0)
    start = first if np.isfinite(first) else 0.0

    def light(days, band):
        since = start + days / stretch
        seen = np.flatnonzero((since >= first) & (since <= last))
        result = np.zeros(len(days))
        if len(seen):
            result[seen] = _evaluate(model, state, t0 + since[seen], np.asarray(band)[seen], wavelength)
        return result

    return light, float((last - start) * stretch)


def _evaluate(model, state, times, band, wavelength) -> np.ndarray:
    """(T,) what the package says [nJy]."""
    if _has_spectrum(model):
        return model.evaluate_sed(times, wavelength, state)[np.arange(len(times)), band]
    return model.evaluate_bandfluxes(None, times, np.array(BANDS)[band], state)


def _has_spectrum(model) -> bool:
    return hasattr(model, "evaluate_sed")


def _phases(model, state) -> tuple[float, float]:
    """First and last day after t0 for which a model is defined; infinite where it does not say."""
    asked = [{}] if _has_spectrum(model) else [{"filter": band} for band in BANDS]
    first = [model.minphase(graph_state=state, **which) for which in asked]
    last = [model.maxphase(graph_state=state, **which) for which in asked]
    return (
        -np.inf if None in first else float(min(first)),
        np.inf if None in last else float(max(last)),
    )
