"""Who explodes where: class shares, redshifts, luminosities, dust, and the hosts they sit on.

Notable:
- the sample is what gets a spectrum: sources are drawn from a volume with a luminosity function and kept
  with a probability that falls with their apparent peak, so that Malmquist bias arises by itself
- cataclysmic variables are stars: they have an apparent magnitude and no redshift
- a host is ten numbers: light and colours at the source's place, used by the metadata alone
- distances are interpolated from a table made once
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

#: Class shares of the published sample.
SHARES = {
    "SN Ia": 0.673, "Cataclysmic": 0.076, "SN II": 0.072, "SN IIP": 0.068, "AGN": 0.035,
    "SN IIn": 0.025, "SN Ic": 0.016, "SN Ib": 0.016, "SN IIb": 0.013, "TDE": 0.005,
}  # fmt: skip

#: Extinction in g, r, i per E(B-V), R_V = 3.1 (Schlafly & Finkbeiner 2011, table 6).
EXTINCTION = np.array([3.172, 2.271, 1.682])
_TRIALS = 96  # sources drawn at a time until one is bright enough


@dataclass(frozen=True)
class Population:
    """One class. Magnitudes are AB in r; `magnitude` is the absolute peak (AGN: the varying nucleus).

    Attributes
    ----------
    magnitude, scatter : mean and standard deviation of the absolute magnitude [mag]
    redshift_max : end of the volume; beyond it nothing is bright enough
    limit, softness : apparent peak [mag] at which half the sources get a spectrum, and how gradually
    host_magnitude, host_scatter : absolute r magnitude of hosts [mag]
    passive : share of passive hosts, redder
    offset : scale of the projected distance from the host's centre [kpc], 0 for sources in the nucleus
    """

    magnitude: float
    scatter: float
    redshift_max: float
    limit: float = 18.85
    softness: float = 0.12
    host_magnitude: float = -20.0
    host_scatter: float = 1.4
    passive: float = 0.05
    offset: float = 2.5


# Luminosity functions: Li et al. 2011, Richardson et al. 2014, Perley et al. 2020 (Bright Transient Survey);
# TDE van Velzen et al. 2021. Offsets: Wang et al. 2013 (Ia), Kelly & Kirshner 2012 (core collapse).
POPULATIONS = {
    "SN Ia": Population(-19.15, 0.05, 0.16, host_magnitude=-20.8, host_scatter=1.3, passive=0.35, offset=2.6),
    "SN Ib": Population(-17.3, 0.7, 0.09, offset=2.1),
    "SN Ic": Population(-17.5, 0.8, 0.11, offset=1.6),
    "SN II": Population(-17.2, 0.9, 0.10, offset=2.6, host_magnitude=-19.8),
    "SN IIP": Population(-16.9, 0.8, 0.08, offset=2.7, host_magnitude=-19.8),
    "SN IIn": Population(-18.7, 0.9, 0.22, offset=2.4, host_magnitude=-19.4, host_scatter=1.6),
    "SN IIb": Population(-17.1, 0.7, 0.08, offset=2.7, host_magnitude=-19.3),
    "Cataclysmic": Population(np.nan, np.nan, 0.0, limit=19.2, softness=0.3, offset=0.0),
    "AGN": Population(-22.0, 1.2, 0.5, limit=18.8, softness=0.3, host_magnitude=-21.8, host_scatter=0.8,
                      passive=0.4, offset=0.0),
    "TDE": Population(-19.6, 0.9, 0.35, limit=19.1, softness=0.25, host_magnitude=-20.6, host_scatter=0.9,
                      passive=0.6, offset=0.0),
}  # fmt: skip

#: g - r, r - i, i - z of star-forming and passive galaxies, and of stars in quiescence [mag].
_COLOURS = {"blue": (0.48, 0.24, 0.15), "red": (0.76, 0.37, 0.26), "nucleus": (0.45, 0.25, 0.15)}


@cache
def _distances():
    """Grids of redshift, distance modulus [mag], kpc per arcsecond, cumulative comoving volume / (1 + z)."""
    from astropy.cosmology import FlatLambdaCDM  # slow to import, and needed once a process

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    z = np.geomspace(5e-4, 1.0, 600)
    volume = cosmology.differential_comoving_volume(z).value / (1 + z)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (volume[1:] + volume[:-1]) * np.diff(z))])
    return (
        z,
        cosmology.distmod(z).value,
        cosmology.kpc_proper_per_arcmin(z).value / 60,
        cumulative,
    )


def distance_modulus(redshift):
    """Distance modulus [mag] in flat LambdaCDM with H0 = 70 km/s/Mpc, Omega_m = 0.3."""
    z, modulus, _, _ = _distances()
    return np.interp(redshift, z, modulus)


def kpc_per_arcsec(redshift):
    """Proper transverse distance [kpc] that one arcsecond spans, same cosmology."""
    z, _, scale, _ = _distances()
    return np.interp(redshift, z, scale)


def draw_brightness(
    rng: np.random.Generator, name: str, parameters: dict, dust: float
) -> tuple[float, float]:
    """Redshift and apparent r peak of a source that gets a spectrum.

    Parameters
    ----------
    name : class
    parameters : of the light curve, for its `magnitude_offset` [mag]
    dust : E(B-V) on the way [mag]

    Returns
    -------
    redshift, apparent r peak before extinction [mag]
    """
    population = POPULATIONS[name]
    extinction = EXTINCTION[1] * dust
    while True:
        place, luck = rng.random((2, _TRIALS))
        if name == "Cataclysmic":
            # A disc of stars: counts grow as 10^(0.3 m), from the brightest novae to the limit.
            apparent = 20.0 + np.log10(np.maximum(place, 1e-9)) / 0.3
            redshift = np.zeros(_TRIALS)
            seen = apparent + extinction
            bright = seen > 10.5
        else:
            z, _, _, cumulative = _distances()
            top = np.interp(population.redshift_max, z, cumulative)
            redshift = np.interp(place * top, cumulative, z)
            absolute = population.magnitude + population.scatter * rng.standard_normal(_TRIALS)
            absolute = absolute + parameters.get("magnitude_offset", 0.0)
            apparent = absolute + distance_modulus(redshift)
            seen = apparent + extinction
            bright = seen > 11.5
        step = np.clip((seen - population.limit) / population.softness, -50, 50)
        kept = np.flatnonzero(bright & (luck < 1 / (1 + np.exp(step))))
        if len(kept):
            return float(redshift[kept[0]]), float(apparent[kept[0]])


def draw_host(rng: np.random.Generator, name: str, redshift: float, peak: float, parameters: dict) -> dict:
    """What lies at the source's place in a deep image.

    Parameters
    ----------
    peak : apparent r magnitude, which for stars (quiescence below it) and AGN (nucleus) tells the light there

    Returns
    -------
    dict with `magnitudes` (4,) AB in g, r, i, z; `offset` [arcsec] of the source from its centre; `star`
    bool; `compact`, share of the light that is point-like, 0 to 1
    """
    population = POPULATIONS[name]
    if name == "Cataclysmic":
        r = peak + parameters["amplitude"] + 0.3 * rng.standard_normal()
        blue = 0.25 + 0.25 * rng.standard_normal()
        colours, offset, compact = np.array([blue, 0.4 * blue, 0.2 * blue]), 0.0, 1.0
    else:
        red = rng.random() < population.passive
        colours = np.array(_COLOURS["red" if red else "blue"]) * (1 + 1.5 * min(redshift, 0.3))
        colours = colours + np.array([0.12, 0.06, 0.06]) * rng.standard_normal(3)
        absolute = population.host_magnitude + population.host_scatter * rng.standard_normal()
        r = absolute + distance_modulus(redshift)
        compact = 0.0
        if name == "AGN":
            nucleus = 10 ** (-0.4 * (peak - r))
            compact = nucleus / (1 + nucleus)
            colours = (1 - compact) * colours + compact * np.array(_COLOURS["nucleus"])
            r = r - 2.5 * np.log10(1 + nucleus)
        # Bigger galaxies are wider: radius grows as L^0.25 (Shen et al. 2003).
        width = population.offset * 10 ** (-0.1 * (absolute + 20))
        offset = width * rng.gamma(1.6) / kpc_per_arcsec(redshift)
        # Catalogues fit a point source, which misses the outskirts, more of them in near and bright galaxies.
        r = r + (1 - compact) * np.clip(0.4 * (20.0 - r), 0.2, 2.2)
    g, i = r + colours[0], r - colours[1]
    return {
        "magnitudes": np.array([g, r, i, i - colours[2]]),
        "offset": float(offset),
        "star": name == "Cataclysmic",
        "compact": float(compact),
    }
