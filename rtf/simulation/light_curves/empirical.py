"""What the empirical functions share as models of a source: a curve in each of g, r, i, and light between.

A population is a table of normal distributions, rows r, g, i. The row of r holds the absolute peak magnitude,
a zero (t0 follows from the light curve's beginning) and the coordinates of the shape; those of g and i hold
the peak's magnitude against r, the delay of t0 [d] and the differences of the coordinates to r's. Everything
is drawn independently; `rtf.simulation.from_fits` keeps the correlations of real light curves.

Notable:
- bands are meant in the rest frame: a survey that looks at redshift 0.1 sees light between them

"""

import numpy as np

from rtf.simulation.light_curves.spectrum import BAND_WAVELENGTH, absolute

_MAG = 0.4 * np.log(10)
_LOG_WAVELENGTH = np.log(BAND_WAVELENGTH)
#: Phase zero is where r has this share of its peak flux.
BEGINNING = 0.01
_BACK = np.linspace(1.0, 0.0, 200)
_BANDS = "gri"


def draw_bands(rng: np.random.Generator, model, mean: np.ndarray, spread: np.ndarray) -> dict:
    """Parameters of one source from a population (3, P) of means and spreads, rows r, g, i.

    Parameters
    ----------
    model : module of the function, with `NAMES`, `peak`, `log_flux`, `from_coordinates`

    Returns
    -------
    magnitude [mag], host_dust [mag], and each parameter of the function in each band as `rise_g`; amplitudes
    such that r peaks at 1, times from the beginning
    """
    x = mean + spread * rng.standard_normal(mean.shape)
    magnitude, brightness = x[0, 0], -_MAG * np.array([0.0, x[1, 0], x[2, 0]])
    x[1:, 1:] += x[0, 1:]
    x[:, 0] = 0.0
    top = [model.peak(row) for row in x]
    x[:, 0] = brightness - [log_flux for _, log_flux in top]
    x[:, 1] -= beginning(model, x[0], top[0][0])
    values = model.from_coordinates(x[[1, 0, 2]])
    return {
        "magnitude": float(magnitude),
        "host_dust": 0.1 * rng.exponential(),
        **{f"{name}_{b}": float(v) for b, row in zip(_BANDS, values) for name, v in zip(model.NAMES, row)},
    }


def beginning(model, x: np.ndarray, top: float) -> float:
    """When a curve (P,) with its peak at `top` first has `BEGINNING` of its peak flux."""
    time = top - 20 * np.exp(x[2]) * _BACK
    log_flux = model.log_flux(time, x)
    return float(np.interp(np.log(BEGINNING), log_flux - log_flux[-1], time))


def luminosity_of_bands(phase, wavelength, parameters: dict, model):
    """Spectral luminosity (T,) of parameters from `draw_bands`, interpolated in log wavelength, log flux."""
    values = [[parameters[f"{name}_{b}"] for name in model.NAMES] for b in _BANDS]
    x = model.to_coordinates(np.array(values))[:, None, :]
    return np.where(
        np.asarray(phase) > 0,
        absolute(parameters["magnitude"]) * np.exp(between_bands(model.log_flux(phase, x), wavelength)),
        0.0,
    )


def between_bands(log_flux, wavelength):
    """(T,) interpolation of (3, T) values in g, r, i, linear in log wavelength, constant beyond g and i."""
    place = np.interp(np.log(wavelength), _LOG_WAVELENGTH, np.arange(3.0))
    low = np.minimum(place.astype(int), 1)
    part = place - low
    source = np.arange(log_flux.shape[1])
    return (1 - part) * log_flux[low, source] + part * log_flux[low + 1, source]
