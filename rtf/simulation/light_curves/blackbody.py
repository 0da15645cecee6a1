"""Colours of a black body in the survey's bands: what several models share."""

import numpy as np

#: Effective wavelengths of the ZTF g, r, i filters [cm] (Rodrigo & Solano 2020, SVO filter service).
WAVELENGTH = np.array([4746.0, 6366.0, 7829.0]) * 1e-8
_HC_OVER_K = 1.438777  # second radiation constant [cm K]


def ratio_to_r(temperature, band, redshift: float):
    """Flux density per unit frequency in `band` relative to r, both at the emitted wavelengths.

    Parameters
    ----------
    temperature : (T,) or scalar, colour temperature [K]
    band : (T,) int, index into `BANDS`
    redshift : the bands look at wavelengths shorter by 1 + redshift

    Returns
    -------
    (T,) f_nu(band) / f_nu(r) of a Planck spectrum, 1 in r
    """
    x = _HC_OVER_K * (1 + redshift) / (WAVELENGTH[band] * temperature)
    x_r = _HC_OVER_K * (1 + redshift) / (WAVELENGTH[1] * temperature)
    return (WAVELENGTH[1] / WAVELENGTH[band]) ** 3 * np.expm1(x_r) / np.expm1(x)
