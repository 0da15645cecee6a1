"""The 30 `candidate` fields of an alert (`METADATA_FIELDS`), drawn from what the simulation knows.

Definitions: ZTF public alert schema (https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html);
ranges follow 286 real alerts.

What ties a field to the class, through nature and not by label:
- `sgscore1`: a cataclysmic variable sits on a star (near 1), a supernova on a galaxy (near 0), a quasar on
  something compact (in between). Hosts below the PS1 limit leave an unrelated neighbour, star or galaxy
- `distpsnr1`: host offset; within the centroid error for AGN, TDE and stars
- `s?mag1`: host magnitudes, so their colours; `magnr`, `distnr`, `sharpnr`, `chinr`: the same host in the
  shallower reference image, galaxies broader than the PSF (sharpnr > 0, chinr > 1)
- `ndethist`, `ncovhist`: AGN and cataclysmic variables were there before
The rest belongs to the visit: depth, seeing, band, signal.
"""

import numpy as np

from rtf.alerts.history import METADATA_FIELDS
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections

_COLUMN = {name: k for k, name in enumerate(METADATA_FIELDS)}
#: Limits of the PS1 catalogue in g, r, i, z [mag] (Chambers et al. 2016): fainter objects have no magnitude.
PS1_LIMIT = np.array([22.6, 22.3, 22.1, 21.5])
REFERENCE_LIMIT = 21.3  # of the reference image [mag]
_SURVEY_START = 58194.0
#: Share of PS1 neighbours that lack a magnitude in g, r, i, z, as measured in real alerts.
_GAPS_HOST = np.array([0.05, 0.01, 0.01, 0.03])
_GAPS_NEIGHBOUR = np.array([0.45, 0.25, 0.05, 0.10])
#: Colour coefficient of the photometric calibration, g, r, i.
_CLRCOEFF = np.array([-0.055, 0.095, 0.10])


def star_score(rng: np.random.Generator, star: bool, compact: float, magnitude: float) -> float:
    """Star/galaxy score of a PS1 object (Tachibana & Miller 2018): 1 star, 0 galaxy, 0.5 when faint."""
    if star:
        score = rng.beta(30, 0.8)
    elif compact > 0.5:
        score = rng.beta(1.5, 1.5)
    else:
        score = rng.beta(0.5, 14)
    doubt = 1 / (1 + np.exp(-(magnitude - 21.0) / 0.4))
    if rng.random() < 0.4 * doubt:
        return 0.5
    return float(np.clip(score + doubt * 0.6 * (rng.beta(2, 2) - score), 0, 1))


def _neighbour(rng: np.random.Generator, beyond: float, crowding: float) -> dict:
    """An unrelated PS1 object: the nearest farther than `beyond` [arcsec]."""
    distance = np.sqrt(beyond**2 + rng.exponential(70.0 / crowding))
    star = rng.random() < 0.45
    r = min(22.3 + np.log10(max(rng.random(), 1e-4)) / 0.35, 22.3)
    blue = rng.normal(0.7, 0.4)
    magnitudes = r + np.array([blue, 0.0, -0.45 * blue, -0.65 * blue])
    return {"magnitudes": magnitudes, "offset": float(distance), "star": bool(star), "compact": float(star)}


def _photometry(rng: np.random.Generator, magnitudes, gaps) -> np.ndarray:
    """Catalogue magnitudes (4,) in g, r, i, z, NaN where the catalogue has none."""
    measured = magnitudes + 0.04 * rng.standard_normal(4)
    return np.where((measured > PS1_LIMIT) | (rng.random(4) < gaps), np.nan, measured)


def draw_metadata(
    rng: np.random.Generator, visits: Visits, detections: Detections, host: dict, dec: float, earlier: float
) -> np.ndarray:
    """The metadata (L, 30) float32 of one source's detections.

    Parameters
    ----------
    host : `rtf.simulation.populations.draw_host`
    dec : declination [degree]
    earlier : median detections a year that the source had before (recurrent sources), 0 for new ones
    """
    count = len(detections.visit)
    band = visits.band[detections.visit]
    snr, mag = detections.snr, detections.mag
    normal = rng.standard_normal((8, count))
    table = np.full((count, len(METADATA_FIELDS)), np.nan, np.float32)

    def put(name, value):
        table[:, _COLUMN[name]] = value

    # Catalogue neighbours: the host if PS1 sees it, then unrelated objects by distance.
    crowding = np.exp(0.7 * rng.standard_normal() + (0.6 if host["star"] else 0.0))
    seen = host["magnitudes"][2] < PS1_LIMIT[2] + 0.2 and host["offset"] < 30
    objects = [_neighbour(rng, 0.5, crowding)]
    objects.append(_neighbour(rng, objects[0]["offset"], crowding))
    if seen:
        objects = sorted([host, *objects], key=lambda near: near["offset"])
    centroid = 0.25 * np.minimum(6.0 / snr, 1.0) + 0.05  # [arcsec] of a detection's position
    for number, near in zip("12", objects):
        distance = np.hypot(near["offset"] + centroid * normal[0], centroid * normal[1])
        put(f"distpsnr{number}", np.where(distance < 30, distance, np.nan))
        put(f"sgscore{number}", star_score(rng, near["star"], near["compact"], near["magnitudes"][1]))
        bands = _photometry(rng, near["magnitudes"], _GAPS_HOST if near is host else _GAPS_NEIGHBOUR)
        for letter, value in zip("griz", bands):
            put(f"s{letter}mag{number}", value)
    put("nmtchps", min(1 + rng.poisson(8 * crowding), 400))

    # The reference image, per band: the nearest object above its limit.
    listed = [near for near in objects if near["magnitudes"][1] < REFERENCE_LIMIT]
    near = (
        listed[0] if listed else {"magnitudes": np.full(4, 21.0), "offset": 9.0, "star": True, "compact": 1.0}
    )
    reference_error = np.hypot(near["offset"] + 0.15 * normal[2], 0.15 * normal[3])
    put("distnr", reference_error)
    band_offset = 0.05 * rng.standard_normal(3)
    put("magnr", near["magnitudes"][band] + band_offset[band])
    extended = not near["star"] and near["compact"] < 0.5
    sharp, chi = (0.25 * rng.gamma(3.0) / 3, 1.2 + rng.exponential(1.2)) if extended else (
        -0.01 + 0.035 * rng.standard_normal(), 0.75 * np.exp(0.35 * rng.standard_normal()))  # fmt: skip
    by_band = 1 + 0.15 * rng.standard_normal(3)
    put("sharpnr", sharp * by_band[band])
    put("chinr", chi * np.maximum(by_band[band], 0.3))

    # The detection itself.
    put("scorr", snr)
    put("sigmapsf", detections.magerr)
    put("diffmaglim", visits.depth[detections.visit])
    put("fwhm", visits.fwhm[detections.visit] * np.exp(0.06 * normal[4]))
    put("sky", 0.1 + (0.4 + 0.8 * visits.moon[detections.visit]) * normal[5])
    quality = 1.3 + 0.9 * np.log10(snr / 5) + 0.7 * normal[6]
    put("rb", np.clip(1 / (1 + np.exp(-quality)), 0.31, 1.0))
    put("classtar", np.clip(1 - 0.02 * rng.gamma(0.7 + 4 / snr, 1.0, count), 0.0, 1.0))
    # Bright hosts subtract badly: chi grows where the reference outshines the difference.
    glare = np.maximum(mag - near["magnitudes"][band] - 1, 0) * (near["offset"] < 3)
    put("chipsf", (0.9 + rng.gamma(1.2, 0.5, count)) * np.exp(0.35 * glare) + 0.02 * snr)

    # Counts: this detection included; coverage has run since the survey began, g, r and i together.
    rate = 0.75 * np.exp(0.45 * rng.standard_normal()) * (1 + 0.004 * dec)
    covered = rate * max(visits.mjd[0] - _SURVEY_START, 0.0)
    put("ncovhist", np.round(covered) + 1 + detections.visit)
    # Some AGN and most recurrent stars flare seldom; a bright host leaves artefacts of its own.
    artefacts = 0.2 * np.exp(0.4 * np.clip(18 - near["magnitudes"][1], -4, 4)) * (near["offset"] < 2)
    years = min(covered / 365.25, 6.0)
    put(
        "ndethist",
        rng.poisson((earlier * np.exp(1.4 * rng.standard_normal()) + artefacts) * years) + detections.raw,
    )

    # Calibration of the exposure.
    put("clrcoeff", _CLRCOEFF[band] + 0.025 * normal[7])
    uncertainty = 1.5e-5 * np.exp(0.8 * rng.standard_normal(count))
    put("clrcounc", uncertainty)
    put("zpclrcov", -uncertainty * np.exp(0.15 * rng.standard_normal(count)))
    return table
