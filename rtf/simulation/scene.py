"""What a deep image shows at a source's place: its host, or the star it is, and everything around it.

Notable:
- one table of objects serves metadata and stamps, so that both speak of the same sky; row 0 is the host
- the host follows the class: its type, luminosity and size, and where in it the source sits, in half-light
  radii along its ellipse
- magnitudes are observed ones (distance, redshifted colours, dust of the Milky Way) of the whole object
- neighbours are unrelated: stars by Galactic latitude, galaxies by their counts; nothing is clustered
"""

from typing import NamedTuple

import numpy as np

from rtf.simulation.populations import kpc_per_arcsec
from rtf.simulation.sky import EXTINCTION, Event, Place

#: Objects are drawn this far east, west, north and south of the source [arcsec]: a stamp, and 30" around.
HALF_SIDE = 33.0
#: Extinction in g, r, i, z per E(B-V) (Schlafly & Finkbeiner 2011, table 6) [mag].
_DUST = np.append(EXTINCTION, 1.263)
_HALF_LIGHT = 1.678  # half-light radius of an exponential disc in scale lengths
_THICKNESS = 0.2  # thickness of discs seen edge-on, over their diameter


class Scene(NamedTuple):
    """Objects around a source, the host first, as columns."""

    dx: np.ndarray  # (N,) position east and north of the source [arcsec]
    dy: np.ndarray
    magnitudes: np.ndarray  # (N, 4) total AB in g, r, i, z
    star: np.ndarray  # (N,) bool
    compact: np.ndarray  # share of the light in a point: 1 of stars, the nucleus of an AGN, else 0
    radius: np.ndarray  # half-light radius of the extended light along its major axis [arcsec], 0 of stars
    bulge: np.ndarray  # share of the extended light in a Sérsic bulge of index 4; the rest is a disc
    axis_ratio: np.ndarray  # minor over major axis
    angle: np.ndarray  # position angle of the major axis, from north to east [radian]
    kind: str  # of row 0: "passive", "star-forming", "dwarf", "green", or "star"


class Field(NamedTuple):
    """How far around a source unrelated objects are drawn, and how many: densities to the limits in r."""

    half_side: float = HALF_SIDE  # [arcsec]
    star_limit: float = 22.8  # [mag]
    stars: float = 1.0  # times the density of stars to 22.8
    galaxy_limit: float = 23.3  # [mag]
    galaxies: float = 11.0  # per square arcminute (Yasuda et al. 2001)


ZTF_FIELD = Field()


class Hosts(NamedTuple):
    """Where a class happens: in what galaxies, and at what offset from their centres."""

    kinds: dict  # kind of galaxy to its share
    magnitude: float = -20.0  # absolute, in r, of star-forming hosts; other kinds are shifted by `KINDS`
    scatter: float = 1.3  # of the magnitude
    offset: str = "disc"  # or "light" (bulge or disc, by their light), "far", "nucleus"


class Kind(NamedTuple):
    """Galaxies of one kind, at luminosity -20.5."""

    shift: float  # of the absolute magnitude against the class's star-forming hosts [mag]
    colours: tuple  # g - r, r - i, i - z at rest [mag]
    radius: float  # half-light [kpc]
    slope: float  # exponent with which the radius grows with luminosity
    bulge: tuple  # parameters of the beta distribution of the bulge's share
    flat: bool  # a disc seen at any inclination, else a spheroid


# Colours: Blanton & Moustakas 2009. Sizes: Shen et al. 2003 (early and late types, half light in z).
KINDS = {
    "passive": Kind(-0.9, (0.74, 0.37, 0.26), 3.3, 0.60, (5.0, 3.0), False),
    "star-forming": Kind(0.0, (0.46, 0.25, 0.15), 4.6, 0.26, (1.5, 6.0), True),
    "dwarf": Kind(0.0, (0.24, 0.08, 0.02), 3.2, 0.30, (0.5, 12.0), True),
    "green": Kind(0.0, (0.62, 0.30, 0.20), 2.7, 0.45, (4.0, 3.0), False),
}

# Core collapse: Schulze et al. 2021. SN Ia, by mass and star formation: Sullivan et al. 2006.
# SLSN, GRB: Lunnan et al. 2015, Perley et al. 2016; FBOT: Wiseman et al. 2020; kilonovae (short GRB): Fong &
# Berger 2013; TDE: French et al. 2020; AGN: hosts of luminous broad-line nuclei, Kauffmann et al. 2003.
_FORMING = Hosts({"star-forming": 0.88, "dwarf": 0.12})
HOSTS = {
    "SN Ia": Hosts({"passive": 0.32, "star-forming": 0.64, "dwarf": 0.04}, -20.3, 1.1, "light"),
    "SN Ib": _FORMING,
    "SN Ic": Hosts({"star-forming": 0.90, "dwarf": 0.10}, -20.2),
    "SN II": _FORMING,
    "SN IIP": _FORMING,
    "SN IIn": Hosts({"star-forming": 0.78, "dwarf": 0.22}, -19.5, 1.6),
    "SN IIb": Hosts({"star-forming": 0.80, "dwarf": 0.20}, -19.6),
    "AGN": Hosts({"passive": 0.4, "star-forming": 0.6}, -21.4, 0.8, "nucleus"),
    "TDE": Hosts({"green": 0.8, "star-forming": 0.1, "passive": 0.1}, -20.2, 0.9, "nucleus"),
    "Kilonova": Hosts({"passive": 0.35, "star-forming": 0.65}, -20.5, 1.0, "far"),
    "Afterglow": Hosts({"dwarf": 1.0}, -18.8, 1.4),
    "SLSN": Hosts({"dwarf": 1.0}, -17.6, 1.4),
    "FBOT": Hosts({"dwarf": 1.0}, -18.4, 1.2),
}

#: Stars of our Galaxy: g - r, r - i, i - z in quiescence, mean and scatter [mag]; and the r magnitude, mean
#: and scatter, where the light curve does not tell an amplitude.
_QUIESCENT = {
    "Cataclysmic": ((0.25, 0.10, 0.05), 0.22, 20.5, 1.2),
    "Flare": ((1.45, 1.35, 0.70), 0.12, 19.5, 1.5),
}
_NUCLEUS_COLOURS = np.array([0.25, 0.15, 0.10])

#: Stars to 22.8 in r per square arcminute: at the poles, and what the disc adds with its
#: angular scale [degree] (counts of the Besançon model; Robin et al. 2003), patches in ln.
_STAR_POLE, _STAR_DISC, _STAR_SCALE, _PATCHES = 3.0, 150.0, 8.0, 0.45
_STAR_SLOPE, _GALAXY_SLOPE = 0.25, 0.38  # slope of log10 counts per magnitude
_BRIGHTEST = 9.0
_PSF_AREA = 9.0  # noise-equivalent area of a PSF of 2 arcsec [arcsec^2]


def draw_host(rng: np.random.Generator, event: Event, place: Place) -> Scene:
    """A scene of the host alone: all that it takes to know how well a source is detected."""
    return _star(rng, event) if event.name in _QUIESCENT else _galaxy(rng, event, place)


def add_field(rng: np.random.Generator, host: Scene, place: Place, field: Field = ZTF_FIELD) -> Scene:
    """A host and the unrelated objects around it."""
    stars, galaxies = _field_stars(rng, place, field), _field_galaxies(rng, place, field)
    return Scene(*(np.concatenate(columns) for columns in zip(host[:-1], stars, galaxies)), host.kind)


def _star(rng: np.random.Generator, event: Event) -> Scene:
    """The star that erupts."""
    colours, scatter, mean, spread = _QUIESCENT[event.name]
    if "amplitude" in event.parameters:
        r = event.magnitude + event.parameters["amplitude"]
    else:
        r = max(mean + spread * rng.standard_normal(), event.magnitude + 0.5)
    # One temperature moves all colours together.
    colours = np.array(colours) + scatter * rng.standard_normal() * np.array([1.0, 0.5, 0.3])
    return _alone("star", _griz(r, colours), 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0)


def _galaxy(rng: np.random.Generator, event: Event, place: Place) -> Scene:
    """The host galaxy."""
    hosts = HOSTS[event.name]
    edges = np.cumsum(list(hosts.kinds.values()))
    name = list(hosts.kinds)[int(np.searchsorted(edges[:-1], rng.random() * edges[-1], side="right"))]
    kind = KINDS[name]
    normal, uniform = rng.standard_normal(6), rng.random(3)
    absolute = hosts.magnitude + kind.shift + hosts.scatter * normal[0]

    # Redshift reddens the optical colours of galaxies by about 1.5 mag per unit in g - r, to redshift 0.4.
    colours = np.array(kind.colours) * (1 + 1.5 * min(event.redshift, 0.4)) + 0.06 * normal[1:4]
    r = absolute + event.distance_modulus
    magnitudes = _griz(r, colours) + _DUST * place.dust
    compact = 0.0
    if event.name == "AGN":
        nucleus = _griz(event.magnitude - _DUST[1] * place.dust, _NUCLEUS_COLOURS) + _DUST * place.dust
        light, point = 10 ** (-0.4 * magnitudes), 10 ** (-0.4 * nucleus)
        magnitudes, compact = -2.5 * np.log10(light + point), float(point[1] / (light + point)[1])

    kpc = kind.radius * 10 ** (-0.4 * kind.slope * (absolute + 20.5)) * np.exp(0.35 * normal[4])
    radius = float(np.clip(max(kpc, 0.4) / kpc_per_arcsec(event.redshift), 0.05, 60.0))
    bulge = float(rng.beta(*kind.bulge))
    cosine = uniform[0]
    axis_ratio = np.sqrt(cosine**2 * (1 - _THICKNESS**2) + _THICKNESS**2) if kind.flat else 0.5 + 0.5 * cosine
    angle = np.pi * uniform[1]
    along = _offset(rng, hosts.offset, bulge) * radius
    turn = 2 * np.pi * uniform[2]
    major, minor = along * np.cos(turn), along * np.sin(turn) * axis_ratio
    # The host's centre as seen from the source.
    dx = -(major * np.sin(angle) + minor * np.cos(angle))
    dy = -(major * np.cos(angle) - minor * np.sin(angle))
    return _alone(name, magnitudes, dx, dy, compact, radius, bulge, axis_ratio, angle)


def _offset(rng: np.random.Generator, rule: str, bulge: float) -> float:
    """Distance from the centre along the ellipse, in half-light radii."""
    if rule == "nucleus":
        return 0.0
    if rule == "far":  # short GRB: 1.5 in the median (Fong & Berger 2013)
        return float(min(1.5 * np.exp(0.9 * rng.standard_normal()), 10.0))
    if rule == "light" and rng.random() < bulge:  # a de Vaucouleurs bulge is close to log-normal
        return float(min(np.exp(rng.standard_normal()), 6.0))
    return float(rng.gamma(2.0) / _HALF_LIGHT)


def _field_stars(rng: np.random.Generator, place: Place, field: Field) -> tuple:
    """Stars that happen to be near, as rows of a `Scene`."""
    density = _STAR_POLE + _STAR_DISC * np.exp(-abs(place.latitude) / _STAR_SCALE)
    area = (2 * field.half_side / 60) ** 2  # [arcmin^2]
    count = rng.poisson(
        field.stars * area * density * np.exp(_PATCHES * rng.standard_normal() - 0.5 * _PATCHES**2)
    )
    x, y, depth, dice = rng.random((4, count))
    r = _counts(depth, field.star_limit, _STAR_SLOPE)
    # Turn-off stars, and more red dwarfs the fainter (Jurić et al. 2008; locus of Covey et al. 2007).
    normal = rng.standard_normal((2, count))
    dwarf = dice < np.clip(0.12 * (r - 16), 0.05, 0.7)
    colour = np.where(dwarf, 1.40 + 0.08 * normal[0], 0.55 + 0.18 * normal[0])
    red = np.where(dwarf, 0.6 + 1.2 * ((dice * 97.0) % 1.0), 0.40 * colour - 0.02 + 0.04 * normal[1])
    magnitudes = np.stack([r + colour, r, r - red, r - 1.55 * red], 1)
    # Half of the dust lies before a typical star, and reddens it; the counts in r are as observed.
    magnitudes += 0.5 * place.dust * (_DUST - _DUST[1])
    none, one = np.zeros(count), np.ones(count)
    star = np.ones(count, bool)
    return (
        (2 * x - 1) * field.half_side,
        (2 * y - 1) * field.half_side,
        magnitudes,
        star,
        one,
        none,
        none,
        one,
        none,
    )


def _field_galaxies(rng: np.random.Generator, place: Place, field: Field) -> tuple:
    """Galaxies that happen to be near, as rows of a `Scene`."""
    area = (2 * field.half_side / 60) ** 2  # [arcmin^2]
    count = rng.poisson(area * field.galaxies * 10 ** (-_GALAXY_SLOPE * _DUST[1] * min(place.dust, 3.0)))
    x, y, depth, inclination, turn, bulge = rng.random((6, count))
    normal = rng.standard_normal((2, count))
    r = _counts(depth, field.galaxy_limit, _GALAXY_SLOPE)
    colour = 0.80 + 0.35 * normal[0] + place.dust * (_DUST[0] - _DUST[1])
    magnitudes = np.stack([r + colour, r, r - 0.50 * colour, r - 0.80 * colour], 1)
    radius = 0.75 * 10 ** (-0.14 * (r - 21.0)) * np.exp(0.4 * normal[1])
    return (
        (2 * x - 1) * field.half_side, (2 * y - 1) * field.half_side, magnitudes, np.zeros(count, bool),
        np.zeros(count), radius, bulge**2,
        np.sqrt(inclination**2 * (1 - _THICKNESS**2) + _THICKNESS**2), np.pi * turn,
    )  # fmt: skip


def _counts(uniform: np.ndarray, limit: float, slope: float) -> np.ndarray:
    """Magnitudes whose numbers grow tenfold every 1 / `slope` magnitudes up to `limit`."""
    return np.maximum(limit + np.log10(np.maximum(uniform, 1e-9)) / slope, _BRIGHTEST)


def _griz(r: float, colours: np.ndarray) -> np.ndarray:
    """Magnitudes (4,) from r and g - r, r - i, i - z."""
    return np.array([r + colours[0], r, r - colours[1], r - colours[1] - colours[2]])


def _alone(kind: str, magnitudes: np.ndarray, *numbers: float) -> Scene:
    """A scene of one object."""
    dx, dy, *rest = np.array(numbers, float)[:, None]
    return Scene(dx, dy, magnitudes[None], np.array([kind == "star"]), *rest, kind)


def light_at_source(scene: Scene) -> np.ndarray:
    """Magnitudes (3,) in g, r, i of the host's light that falls under a PSF of 2 arcsec at the source."""
    return scene.magnitudes[0, :3] - 2.5 * np.log10(share_at_source(scene))


def share_at_source(scene: Scene, area: float = _PSF_AREA) -> float:
    """Share of the host's light under a PSF of noise-equivalent `area` [arcsec^2] at the source.

    A bulge counts as a disc of a quarter of its size; a nucleus, and the star that erupts, count in full.
    """
    if scene.star[0]:
        return 1.0
    sine, cosine = np.sin(scene.angle[0]), np.cos(scene.angle[0])
    major = scene.dx[0] * sine + scene.dy[0] * cosine
    minor = (scene.dx[0] * cosine - scene.dy[0] * sine) / scene.axis_ratio[0]
    share = 0.0
    for part, size in ((1 - scene.bulge[0], 1.0), (scene.bulge[0], 0.25)):
        length = size * scene.radius[0] / _HALF_LIGHT
        density = np.exp(-np.hypot(major, minor) / length) / (2 * np.pi * length**2 * scene.axis_ratio[0])
        share += part * min(density * area, 1.0)
    return max(float(scene.compact[0] + (1 - scene.compact[0]) * share), 1e-6)
