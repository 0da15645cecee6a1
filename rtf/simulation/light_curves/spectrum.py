"""Spectra as the light-curve models speak of them: what several models share.

Unit of a spectral luminosity: the flux density that it makes at 10 pc, in units of 3631 Jy, so that
-2.5 log10 of it is the absolute AB magnitude at that wavelength. Filters are narrow enough for transients to
be taken at their effective wavelength.
"""

import numpy as np

#: Effective wavelengths of the survey's g, r, i filters [Angstrom].
BAND_WAVELENGTH = np.array([4746.0, 6366.0, 7829.0])
R_WAVELENGTH = 6366.0  # where absolute magnitudes named `magnitude` are meant [Angstrom]

_SECOND_RADIATION = 1.438777e8  # h c / k [Angstrom K]
_SIGMA = 5.670374e-5  # Stefan-Boltzmann [erg / s / cm2 / K4]
_TWO_H_C = 3.972891e-16  # 2 h c [erg cm]
_AB = 3.631e-20  # 3631 Jy [erg / s / cm2 / Hz]
_TEN_PARSEC_AREA = 4 * np.pi * 3.0856776e19**2  # [cm2]


def black_body(luminosity, temperature, wavelength):
    """pi B_nu / (sigma T^4) luminosity / (4 pi (10 pc)^2) / 3631 Jy, spectral luminosity of a black body.

    Its bolometric luminosity is in erg / s, the temperature in K, the emitted wavelength in Angstrom.
    """
    x = np.minimum(_SECOND_RADIATION / (wavelength * temperature), 500.0)
    b_nu = _TWO_H_C / (wavelength * 1e-8) ** 3 / np.expm1(x)  # [erg / s / cm2 / Hz / sr]
    return np.pi * b_nu / (_SIGMA * np.asarray(temperature, float) ** 4) * luminosity / _TEN_PARSEC_AREA / _AB


def black_body_ratio(temperature, wavelength):
    """Flux density per unit frequency relative to `R_WAVELENGTH` of a black body; 1 there."""
    x = np.minimum(_SECOND_RADIATION / (wavelength * temperature), 500.0)
    x_r = np.minimum(_SECOND_RADIATION / (R_WAVELENGTH * temperature), 500.0)
    return (R_WAVELENGTH / wavelength) ** 3 * np.expm1(x_r) / np.expm1(x)


def absolute(magnitude):
    """Spectral luminosity of an absolute AB magnitude."""
    return 10 ** (-0.4 * magnitude)


def effective_temperature(luminosity, radius):
    """Temperature [K] of a sphere of `radius` [cm] that shines with `luminosity` [erg / s]."""
    return np.sqrt(np.sqrt(luminosity / (4 * np.pi * _SIGMA * radius**2)))


def photosphere(luminosity, age, velocity: float, floor: float):
    """Temperature [K] (T,) of a photosphere that expands at `velocity` [km/s] until it cools to `floor` [K].

    From then on it recedes into the ejecta (Nicholl et al. 2017). `luminosity` [erg/s], `age` > 0 [d]: (T,).
    """
    radius = velocity * 1e5 * 86400.0 * age
    return np.maximum(effective_temperature(luminosity, radius), floor)


def blanketing(wavelength):
    """How much iron lines take (T,) relative to g: nothing redward of 5600 Angstrom, then linearly more."""
    return np.minimum(np.maximum((5600.0 - wavelength) / (5600.0 - BAND_WAVELENGTH[0]), 0.0), 2.5)
