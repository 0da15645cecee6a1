"""How often what explodes, how far away, and which of it a survey follows: rates, volumes, selection.

Notable:
- the sample is what gets a spectrum: a source is drawn from its volume, with the luminosity that its
  light-curve model gives it, and kept with a probability that falls with its apparent peak
- stars of our Galaxy have a distance in an exponential disc and no redshift
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from rtf.simulation.detections import ZERO_POINT
from rtf.simulation.light_curves import MODELS
from rtf.simulation.light_curves.spectrum import BAND_WAVELENGTH
from rtf.simulation.sky import DUST_POLE, EXTINCTION, Event, Place, dust_before

#: Class shares of the published sample.
SHARES = {
    "SN Ia": 0.673, "Cataclysmic": 0.076, "SN II": 0.072, "SN IIP": 0.068, "AGN": 0.035,
    "SN IIn": 0.025, "SN Ic": 0.016, "SN Ib": 0.016, "SN IIb": 0.013, "TDE": 0.005,
}  # fmt: skip

#: Nothing extragalactic is followed closer to the Galactic plane [degree], as in the Bright Transient Survey.
PLANE = 7.0
#: Scale height of the stars that erupt, and the farthest that the disc reaches [kpc].
DISC_HEIGHT, DISC_EDGE = 0.3, 3.0
_TRIALS = 400
SATURATION = 12.5  # what is brighter saturates the camera [mag]: most novae of our Galaxy do
#: When to look for the peak of a light curve, as shares of its duration: hours to months.
_PEAK_SEARCH = np.geomspace(3e-4, 1.0, 60)


class Population(NamedTuple):
    """How often a class happens, and which of it gets a spectrum."""

    rate: float  # [1 / Gpc^3 / yr], comoving; of stars and AGN, spectra for each 1000 of SN Ia
    redshift_max: float  # end of the volume; 0 for stars of our Galaxy
    limit: float = 18.9  # apparent peak [mag] at which half the sources get a spectrum
    softness: float = 0.15  # how gradually [mag]
    early: float = 5.0  # days before its season at which one may begin, and yet be found and typed

    @property
    def faintest(self) -> float:
        """The apparent magnitude beyond which less than one source in a hundred is followed."""
        return self.limit + 5 * self.softness


# SN Ia and core collapse: Perley et al. 2020 (Bright Transient Survey), the latter divided by the shares of
# Shivvers et al. 2017; TDE Yao et al. 2023 (of SN IIn and TDE a third: their luminosity functions are of
# bright samples); SLSN Frohmaier et al. 2021; kilonovae Abbott et al. 2023; FBOT Ho et al. 2023; afterglows
# Ho et al. 2022; stars and AGN: share among the classified ZTF sources of the Transient Name Server.
POPULATIONS = {
    "SN Ia": Population(2.4e4, 0.16),
    "SN Ib": Population(1.1e4, 0.12),
    "SN Ic": Population(0.9e4, 0.14),
    "SN II": Population(2.2e4, 0.15, early=45.0),
    "SN IIP": Population(4.2e4, 0.15, early=60.0),
    "SN IIn": Population(1.5e3, 0.25, early=45.0),
    "SN IIb": Population(1.1e4, 0.12),
    "Cataclysmic": Population(37.0, 0.0, limit=19.2, softness=0.3),
    "AGN": Population(10.0, 0.5, limit=18.8, softness=0.3),
    "TDE": Population(1.0e2, 0.35, limit=19.1, softness=0.25, early=30.0),
    "Kilonova": Population(2.1e2, 0.06, limit=20.3, softness=0.25),
    "Afterglow": Population(3.0, 3.0, limit=20.3, softness=0.25),
    "SLSN": Population(35.0, 0.8, limit=19.3, softness=0.3, early=30.0),
    "FBOT": Population(70.0, 0.35, limit=19.6, softness=0.25),
    "Flare": Population(20.0, 0.0, limit=16.5, softness=0.5),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """What a survey follows, and the filters through which it sees it: bands in the order of its `Survey`."""

    populations: dict  # class name to `Population`
    wavelength: np.ndarray  # (B,) effective [Angstrom]; of band 1, r, magnitudes are quoted
    extinction: np.ndarray  # (B,) per E(B-V) [mag]
    band: int = 1  # in which the apparent peak is held against a population's limit
    saturation: float = SATURATION  # [mag]


ZTF_SAMPLE = Sample(POPULATIONS, BAND_WAVELENGTH, EXTINCTION)


@cache
def _distances():
    """Grids of redshift, distance modulus [mag], kpc per arcsecond, cumulative comoving volume / (1 + z)."""
    from astropy.cosmology import FlatLambdaCDM  # slow to import, and needed once a process

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    z = np.geomspace(5e-4, 4.0, 1200)
    volume = 4 * np.pi * cosmology.differential_comoving_volume(z).value * 1e-9 / (1 + z)  # [Gpc^3 / dz]
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (volume[1:] + volume[:-1]) * np.diff(z))])
    return z, cosmology.distmod(z).value, cosmology.kpc_proper_per_arcmin(z).value / 60, cumulative


def distance_modulus(redshift):
    """Distance modulus [mag] in flat LambdaCDM with H0 = 70 km/s/Mpc, Omega_m = 0.3."""
    z, modulus, _, _ = _distances()
    return np.interp(redshift, z, modulus)


def kpc_per_arcsec(redshift):
    """Proper transverse distance [kpc] that one arcsecond spans, same cosmology."""
    z, _, scale, _ = _distances()
    return np.interp(redshift, z, scale)


def draw_redshift(rng: np.random.Generator, largest: float) -> float:
    """Uniform in comoving volume and source time out to the redshift `largest`."""
    z, _, _, cumulative = _distances()
    return float(np.interp(rng.random() * np.interp(largest, z, cumulative), cumulative, z))


def followed(name: str, magnitude, sample: Sample = ZTF_SAMPLE):
    """Probability that a source of an apparent peak, dust included, is followed."""
    population = sample.populations[name]
    faint = 1 / (1 + np.exp(np.clip((magnitude - population.limit) / population.softness, -50, 50)))
    return np.where(np.asarray(magnitude) > sample.saturation, faint, 0.0)


def selected(
    rng: np.random.Generator, name: str, magnitude: float, place: Place, sample: Sample = ZTF_SAMPLE
) -> bool:
    """Draw whether a source is followed; nothing extragalactic is near the plane of the Galaxy."""
    if sample.populations[name].redshift_max and abs(place.latitude) < PLANE:
        return False
    return bool(rng.random() < followed(name, magnitude, sample))


def _sphere(name: str, magnitude: float, sample: Sample) -> float:
    """Volume [Gpc^3], weighted by time dilation, in which a source of this luminosity is bright enough."""
    z, modulus, _, cumulative = _distances()
    reach = np.interp(sample.populations[name].faintest - magnitude, modulus, z)
    return float(np.interp(min(reach, sample.populations[name].redshift_max), z, cumulative))


def _disc(name: str, magnitude: float, latitude: float, sample: Sample) -> tuple[float, float, float]:
    """Number of stars in a line of sight out to where they are bright enough, relative; scale length, reach.

    Distances in an exponential disc follow d^2 exp(-d / L) with L = h / sin|b|, at most `DISC_EDGE`.
    """
    reach = 10 ** (0.2 * (sample.populations[name].faintest - magnitude) - 2)  # [kpc]
    length = min(DISC_HEIGHT / max(abs(np.sin(np.radians(latitude))), 1e-3), DISC_EDGE)
    x = min(reach / length, 50.0)
    return length**3 * (2 - np.exp(-x) * (x * x + 2 * x + 2)), length, reach


def _room(name: str, magnitude: float, sample: Sample) -> float:
    """Volume, or number of stars in a line of sight along the plane, in which a source is bright enough."""
    if sample.populations[name].redshift_max:
        return _sphere(name, magnitude, sample)
    return _disc(name, magnitude, 0.0, sample)[0]


@cache
def _trials(name: str) -> list[dict]:
    """Parameters of `_TRIALS` sources of a class (seed 0)."""
    model, rng = MODELS[name], np.random.default_rng(0)
    return [model.module.draw(rng, model.kind) for _ in range(_TRIALS)]


@cache
def _largest(name: str, sample: Sample) -> float:
    """The room of the most luminous source of a class."""
    return _room(name, min(parameters["magnitude"] for parameters in _trials(name)), sample)


@cache
def followed_rate(name: str, sample: Sample = ZTF_SAMPLE) -> float:
    """Sources a year over the whole sky that are followed, by integration over their volume (seed 0)."""
    population = sample.populations[name]
    if name in ("Cataclysmic", "AGN", "Flare"):
        return population.rate * 1e-3 * followed_rate("SN Ia", sample)
    z, _, _, cumulative = _distances()
    part, total = (np.arange(16) + 0.5) / 16, 0.0
    for parameters in _trials(name):
        volume = _sphere(name, parameters["magnitude"], sample)
        dust = sample.extinction[1] * (parameters["host_dust"] + DUST_POLE)
        peak = parameters["magnitude"] + distance_modulus(np.interp(part * volume, cumulative, z)) + dust
        total += volume * followed(name, peak, sample).mean()
    return population.rate * total / _TRIALS


def draw_event(
    rng: np.random.Generator, name: str, place: Place, sample: Sample = ZTF_SAMPLE
) -> Event | None:
    """A source of a class on a line of sight from the parametric models; None where it is not followed."""
    population, model = sample.populations[name], MODELS[name]
    wavelengths, extinction = sample.wavelength, sample.extinction
    star = population.redshift_max == 0
    if not star and abs(place.latitude) < PLANE:
        return None
    # Uniform in the volume of the most luminous of the class: one that can be seen in a part of it alone is
    # drawn with that part's probability.
    while True:
        parameters = model.module.draw(rng, model.kind)
        magnitude = parameters["magnitude"]
        room = _room(name, magnitude, sample)
        if rng.random() < room / _largest(name, sample):
            break
    if star:
        number, length, reach = _disc(name, magnitude, place.latitude, sample)
        if rng.random() > number / room:
            return None
        distance = length * rng.gamma(3.0)
        while distance > reach:
            distance = length * rng.gamma(3.0) if reach > length else reach * rng.random() ** (1 / 3)
        redshift, modulus = 0.0, 5 * np.log10(distance * 100)
        galactic = dust_before(place, distance)
    else:
        z, _, _, cumulative = _distances()
        redshift = float(np.interp(rng.random() * room, cumulative, z))
        modulus, galactic = float(distance_modulus(redshift)), place.dust
    host = parameters["host_dust"]

    def flux(days, band):
        # Host dust acts where the light is emitted, at a shorter wavelength: a power law there.
        wavelength = wavelengths / (1 + redshift)
        dust = extinction * galactic + extinction[1] * host * (wavelengths[1] / wavelength) ** 1.3
        scale = (1 + redshift) * 10 ** (-0.4 * (modulus + dust - ZERO_POINT))
        light = model.module.luminosity(days / (1 + redshift), wavelength[band], parameters)
        return light * scale[band]

    if name in ("AGN", "Flare"):  # found by the nucleus; by the greatest flare, which a grid of days misses
        peak = decisive = magnitude + modulus + extinction[1] * (galactic + host)
    else:
        days = model.duration * _PEAK_SEARCH
        peak, decisive = (
            ZERO_POINT - 2.5 * np.log10(max(flux(days, np.full(len(days), band)).max(), 1e-9))
            for band in (1, sample.band)
        )
    if not selected(rng, name, decisive, place, sample):
        return None
    return Event(name, redshift, float(modulus), float(peak), model.duration, flux, parameters)
