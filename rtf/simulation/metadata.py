"""The 30 `candidate` fields of an alert (`METADATA_FIELDS`), measured from the scene that the stamps show.

Definitions: ZTF public alert schema (https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html).
Ranges follow the positive candidates among 299 real alerts of ZTF.

Notable:
- what ties a field to the class does so through the scene: `sgscore1` is near 1 because a cataclysmic
  variable is a star, `distpsnr1` is the offset from the host. Only `ndethist` and `ncovhist` know the class:
  some classes were there before
- two catalogues look at the scene, PS1 and the reference image; both fit point sources, which misses light of
  extended objects, more of it where the PSF is smaller
- missing is NaN; a writer of packets turns it into the survey's sentinel
"""

import numpy as np

from rtf.alerts.history import METADATA_FIELDS
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections
from rtf.simulation.scene import Scene
from rtf.simulation.sky import Event, Place

_COLUMN = {name: k for k, name in enumerate(METADATA_FIELDS)}
#: Faintest that the PS1 catalogue lists in g, r, i, z, and how gradually it ends [mag].
PS1_LIMIT, _PS1_SOFT = np.array([22.2, 22.0, 21.75, 21.3]), 0.2
#: Share of bright PS1 objects that lack g, r, i, z nevertheless, as in real alerts.
_GAPS = np.array([0.04, 0.02, 0.02, 0.05])
PS1_RADIUS = 30.0  # search radius of PS1 objects [arcsec]
#: Limit of the reference image, mean and scatter between fields [mag].
REFERENCE_LIMIT, _REFERENCE_SCATTER = 22.8, 0.3
#: Fits of point sources gather light from about this far [arcsec].
_PS1_APERTURE, _REFERENCE_APERTURE = 0.7, 1.3
_BLEND = 1.2  # objects closer than this to the host are not told apart from it [arcsec]
_PIXEL = 1.01  # [arcsec]
_NOTHING = 99.0  # magnitude under a source where the reference has no object
_SURVEY_START = 58194.0
#: Raw detections a year before the history begins, in the median, of classes that were always there.
_EARLIER = {"AGN": 14.0, "Cataclysmic": 8.0, "Flare": 1.0}
#: Colour coefficient of the photometric calibration in g, r, i.
_CLRCOEFF = np.array([-0.055, 0.097, 0.10])


def draw_metadata(
    rng: np.random.Generator, visits: Visits, detections: Detections, scene: Scene, place: Place, event: Event
) -> tuple[np.ndarray, np.ndarray]:
    """Metadata (L, 30) float32 of a source's alerts, and positions (L, 2) float64, ra and dec [degree]."""
    count = len(detections.visit)
    band = visits.band[detections.visit].astype(int)
    table = np.full((len(METADATA_FIELDS), count), np.nan, np.float32)

    def put(name, value):
        table[_COLUMN[name]] = value

    # Centroid: the PSF over the signal, and the astrometric solution of the exposure.
    spread = 0.55 * visits.fwhm[detections.visit] * _PIXEL / detections.snr
    error = np.hypot(0.09, spread) * rng.standard_normal((2, count))  # east, north [arcsec]
    scale = 3600 * np.array([np.cos(np.radians(place.dec)), 1.0])
    positions = np.array([place.ra, place.dec]) + error.T / scale
    positions[:, 0] %= 360.0

    distinct = np.hypot(scene.dx - scene.dx[0], scene.dy - scene.dy[0]) > _BLEND
    distinct[0] = True
    _put_ps1(rng, put, scene, distinct, error)
    under = _put_reference(rng, put, scene, distinct, error, band)
    _put_detection(rng, put, visits, detections, under)
    _put_counts(rng, put, visits, detections, event, place, float(under.min(initial=_NOTHING)))

    put("clrcoeff", _CLRCOEFF[band] + 0.02 * rng.standard_normal(count))
    uncertainty = 1.6e-5 * np.exp(0.55 * rng.standard_normal(count))
    put("clrcounc", uncertainty)
    put("zpclrcov", -0.69 * uncertainty * np.exp(0.14 * rng.standard_normal(count)))
    return np.ascontiguousarray(table.T), positions


def point_magnitudes(scene: Scene, aperture: float) -> np.ndarray:
    """Magnitudes (N, 4) of a point-source fit that gathers light from `aperture` [arcsec]."""
    missed = 2.5 * np.log10(1 + 0.8 * (scene.radius / aperture) ** 1.2) * (1 - 0.4 * scene.bulge)
    return scene.magnitudes + ((1 - scene.compact) * missed)[:, None]


def star_scores(rng: np.random.Generator, star: np.ndarray, compact: np.ndarray, magnitude: np.ndarray):
    """Star/galaxy scores (N,) of PS1 objects (Tachibana & Miller 2018): 1 star, 0 galaxy, 0.5 unknown."""
    high, low, middle = rng.beta(20.0, 0.6, len(star)), rng.beta(0.5, 16.0, len(star)), rng.random(len(star))
    score = np.where(star, high, np.where(compact > 0.5, 0.25 + 0.75 * middle, low))
    doubt = 1 / (1 + np.exp((21.0 - magnitude) / 0.4))
    score = score + doubt * 0.75 * (rng.beta(3.0, 2.0, len(star)) - score)
    return np.where(rng.random(len(star)) < 0.05 + 0.55 * doubt, 0.5, score)


def _put_ps1(rng, put, scene: Scene, distinct, error) -> None:
    """The two nearest objects of the PS1 catalogue."""
    measured = point_magnitudes(scene, _PS1_APERTURE) + 0.04 * rng.standard_normal(scene.magnitudes.shape)
    limit = PS1_LIMIT + _PS1_SOFT * rng.standard_normal(scene.magnitudes.shape)
    listed = np.where((measured > limit) | (rng.random(measured.shape) < _GAPS), np.nan, measured)
    distance = np.hypot(scene.dx, scene.dy)
    inside = np.flatnonzero(np.isfinite(listed).any(1) & distinct & (distance < PS1_RADIUS))
    put("nmtchps", len(inside))
    # Centroid noise can swap the nearest two, hardly ever the third or fourth.
    nearest = inside[np.argsort(distance[inside])[:4]]
    if not len(nearest):
        return
    seen = np.hypot(scene.dx[nearest, None] - error[0], scene.dy[nearest, None] - error[1])
    order = np.argsort(seen, 0)
    brightness = np.fmin(listed[nearest, 1], listed[nearest, 2] + 0.3)
    brightness = np.where(np.isnan(brightness), 22.0, brightness)
    scores = star_scores(rng, scene.star[nearest], scene.compact[nearest], brightness)
    for number, row in zip("12", order):
        put(f"distpsnr{number}", seen[row, np.arange(len(row))])
        put(f"sgscore{number}", scores[row])
        for letter, column in zip("griz", listed[nearest].T):
            put(f"s{letter}mag{number}", column[row])


def _put_reference(rng, put, scene: Scene, distinct, error, band) -> np.ndarray:
    """The nearest object of the reference image in each band; returns the magnitude (L,) under the source.

    Sharpness and chi of point-source fits follow the real alerts: stars -0.02 and 0.75, galaxies to 0.3, 3.
    """
    scatter = 0.05 * rng.standard_normal((len(scene.dx), 3))
    measured = point_magnitudes(scene, _REFERENCE_APERTURE)[:, :3] + scatter
    limit = REFERENCE_LIMIT + _REFERENCE_SCATTER * rng.standard_normal(3)
    separation = np.hypot(scene.dx, scene.dy)[:, None]
    separation = np.where((measured < limit) & distinct[:, None], separation, np.inf)
    first = separation.argmin(0)
    column = np.arange(3)
    magnitude = np.where(np.isfinite(separation[first, column]), measured[first, column], np.nan)

    extended = (1 - scene.compact[first]) * (1 - scene.star[first])
    bright = np.minimum(np.maximum((limit - magnitude) / 1.5, 0), 1)
    normal = rng.standard_normal((4, 3))
    size = scene.radius[first] / (scene.radius[first] + 0.8)
    sharp = extended * 0.42 * size * bright * np.exp(0.3 * normal[0])
    faint = 0.22 * 10 ** (0.45 * (magnitude - limit))
    sharp = sharp + (1 - extended) * -0.028 + (0.03 + faint) * normal[1]
    chi = 0.72 * np.exp(0.38 * normal[2]) + 4.0 * extended * size * bright * np.exp(0.4 * normal[3])

    # The reference has an astrometric solution of its own, per band.
    shift = 0.12 * rng.standard_normal((2, 3))
    seen = np.hypot(scene.dx[first] + shift[0], scene.dy[first] + shift[1])
    missing = np.isnan(magnitude)
    east = (scene.dx[first] + shift[0])[band] - error[0]
    north = (scene.dy[first] + shift[1])[band] - error[1]
    put("distnr", np.where(missing[band], np.nan, np.hypot(east, north)))
    put("magnr", np.round(magnitude, 3)[band])
    put("sharpnr", np.round(sharp, 3)[band])
    put("chinr", np.round(chi, 3)[band])
    return np.where(missing | (seen > 3), _NOTHING, magnitude)[band]


def _put_detection(rng, put, visits: Visits, detections: Detections, under: np.ndarray) -> None:
    """What the subtraction tells of this alert."""
    count = len(detections.visit)
    normal, uniform = rng.standard_normal((3, count)), rng.random((2, count))
    put("scorr", detections.snr)
    put("sigmapsf", detections.magerr)
    put("diffmaglim", visits.depth[detections.visit])
    put("fwhm", np.rint(100 * visits.fwhm[detections.visit] * np.exp(0.06 * normal[0])) / 100)
    # Quartiles of -0.6 and 0.6 DN with wide wings, as in real alerts.
    put("sky", 0.08 + 0.55 * rng.standard_t(2.0, count))
    quality = 1.85 + 0.5 * np.log10(detections.snr / 10) + 0.85 * normal[1]
    put("rb", np.rint(350 * np.minimum(np.maximum(1 / (1 + np.exp(-quality)), 0.3), 0.98)) / 350)
    # SExtractor's own classifier: one answer for most clean stars, close to 1 for the rest, one in five low.
    classtar = np.where(uniform[0] < 0.30, 0.983, 1 - 0.03 * uniform[1])
    classtar = np.where(uniform[0] > 0.78, 0.98 - 0.35 * uniform[1] ** 2, classtar)
    put("classtar", np.round(classtar, 3))
    # A fit to real alerts: brighter sources show more of the PSF model's errors.
    bright = np.maximum(18.5 - detections.mag, -1.5)
    chi = 0.72 + 0.15 * np.log(detections.snr / 10) + 0.45 * bright + 0.3 * np.maximum(bright, 0)
    glare = 0.10 * np.minimum(np.maximum(detections.mag - under, 0), 4)
    put("chipsf", np.maximum(np.exp(chi + glare + 0.5 * normal[2]), 0.7 + 0.2 * uniform[1]))


def _put_counts(rng, put, visits: Visits, detections: Detections, event: Event, place: Place, host) -> None:
    """How often the place was observed and something was detected there, this alert included."""
    rate = 0.75 * np.exp(0.5 * rng.standard_normal()) * (1 + 0.004 * place.dec)
    covered = rate * max(visits.mjd[0] - _SURVEY_START, 0.0)
    coverage = np.rint(covered) + 1 + detections.visit
    put("ncovhist", coverage)
    # Bright hosts leave artefacts in every subtraction.
    artefacts = 0.2 * np.exp(0.4 * np.clip(18 - host, -4, 4)) if host < _NOTHING else 0.0
    earlier = _EARLIER.get(event.name, 0.0) * np.exp(1.4 * rng.standard_normal())
    before = min(rng.poisson((earlier + artefacts) * min(covered / 365.25, 6.0)), covered)
    put("ndethist", np.floor(before) + detections.raw)
