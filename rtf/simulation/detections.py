"""From flux to alerts: noise, the 5-sigma threshold, and the error that the survey quotes.

Notable:
- the noise of a difference flux has the visit's depth, the photons of source and host, and a 2 % floor
- three sigmas: the quoted one (`magerr`), that of the threshold (`scorr`), and the true one of the noise. In
  4,125 real alerts the median of scorr × sigmapsf is 1.6, where 2.5 / ln 10 = 1.09 would be exact; real SN Ia
  scatter about their own interpolation by 0.54 of the quoted error
- an alert needs 5 sigma of the quoted error too: no candidate among the real alerts has a `sigmapsf` above
  0.217. Fainter detections are known from the history of a later alert alone, so that no light curve ends
  with one; of them a part is there (`KEPT_FAINT`)
- quality cuts take some good detections: a share of its own of each source, for chip gaps and bad columns
  (`LOST`), and more near the threshold (`LOST_FAINT`)
"""

from typing import NamedTuple

import numpy as np

from rtf.simulation.cadence import Visits

THRESHOLD = 5.0
RAW = 3.0  # what `ndethist` counts
POGSON = 2.5 / np.log(10)
#: Quoted errors against the sigma of `scorr`, and against the true scatter.
QUOTED_OVER_SCORR, QUOTED_OVER_TRUE = 1.5, 1.8
#: Mean share of a source's detections that the quality cuts take, the shape of its gamma distribution (half
#: the sources lose hardly any), and the largest.
LOST, LOST_SHAPE, MOST_LOST = 0.045, 0.4, 0.6
#: Share lost besides at 5 sigma of the quoted error, and in how many sigma more that falls to 1 / e.
LOST_FAINT, LOST_FAINT_SCALE = 0.45, 3.0
KEPT_FAINT = 0.65  # share of fainter detections that are there, where an alert follows within `HISTORY_DAYS`
HISTORY_DAYS = 30.0  # alerts tell the visits of so many days before them
ZERO_POINT = 25.0  # zero point of the flux unit [mag]: flux 1 is magnitude 25
RESIDUAL = 0.024  # of a host's light, left by the subtraction of the reference
#: Scatter (ln) of the photon term between sources, and of quoted errors between visits.
GAIN_SCATTER, ERROR_SCATTER = 0.1, 0.12
#: Quoted error of the sky in units of the one behind the limiting magnitude, in g, r, i; relative one of
#: photons at magnitude 15, above pure photon noise, as quoted errors are. Both are fitted to them.
SKY, PHOTONS = np.array([0.95, 0.71, 0.87]), 0.0118
FLOOR = 0.02  # relative systematic floor of the quoted error


class Detections(NamedTuple):
    """What the survey sends of one source: (L,) arrays over alerts of either sign, in order of time."""

    visit: np.ndarray  # int, index into the visits
    mag: np.ndarray  # AB, of the difference
    magerr: np.ndarray  # quoted 1-sigma error
    snr: np.ndarray  # absolute flux over the sigma of the threshold, at least 5 (`scorr`)
    positive: np.ndarray  # bool, sign of the subtraction
    raw: np.ndarray  # int, raw candidates of either sign, from 3 sigma, up to and including this one

    @property
    def counted(self) -> np.ndarray:
        """(L,) bool: the detections that make a source worth following."""
        return self.positive

    @property
    def identified(self) -> np.ndarray:
        """(L,) bool: the rows that have an id."""
        return np.ones(len(self.visit), bool)


def magnitude_to_flux(magnitude):
    """Flux in the unit of `ZERO_POINT`."""
    return 10 ** (-0.4 * (magnitude - ZERO_POINT))


def quoted_sigma(flux, depth, band, host, gain: float = 1.0):
    """Error (V,) of a true flux as alerts quote it; `host` is a flux too, `gain` scales the photon term."""
    sky = SKY[band] * magnitude_to_flux(depth) / 5.0
    photons = gain * PHOTONS**2 * magnitude_to_flux(15.0) * np.abs(flux)
    return np.sqrt(sky**2 + photons + (FLOOR * flux) ** 2 + (RESIDUAL * host) ** 2)


def detect(rng: np.random.Generator, visits: Visits, flux: np.ndarray, host: np.ndarray) -> Detections:
    """The alerts that a true difference flux (V,) causes: 5 sigma of either sign, kept by the quality cuts.

    `host` (3,) are its magnitudes under the PSF in g, r, i (`rtf.simulation.scene.light_at_source`).
    """
    gain = np.exp(GAIN_SCATTER * rng.standard_normal())
    normal = rng.standard_normal((3, len(flux)))
    under = magnitude_to_flux(np.asarray(host))[visits.band]
    quoted = quoted_sigma(flux, visits.depth, visits.band, under, gain) * np.exp(0.08 * normal[0])
    measured = flux + quoted / QUOTED_OVER_TRUE * normal[1]
    size = np.abs(measured)
    snr = size / (quoted / QUOTED_OVER_SCORR)
    # Quoted errors scatter on their own, so that magerr and scorr are not one number.
    magerr = POGSON * quoted / np.maximum(size, 1e-9) * np.exp(ERROR_SCATTER * normal[2])
    lost = min(rng.gamma(LOST_SHAPE, LOST / LOST_SHAPE), MOST_LOST)
    near = LOST_FAINT * np.exp(-np.maximum(POGSON / magerr - THRESHOLD, 0.0) / LOST_FAINT_SCALE)
    bright = magerr <= POGSON / THRESHOLD
    kept = (1 - lost) * np.where(bright, 1 - near, KEPT_FAINT)
    found = (snr >= THRESHOLD) & (rng.random(len(flux)) < kept)
    alerts = visits.mjd[found & bright]
    following = np.append(alerts, np.inf)[np.searchsorted(alerts, visits.mjd)]
    visit = np.flatnonzero(found & (following - visits.mjd <= HISTORY_DAYS))
    mag = ZERO_POINT - 2.5 * np.log10(size[visit])
    raw = np.cumsum(snr >= RAW)[visit]
    return Detections(visit, mag, magerr[visit], snr[visit], measured[visit] > 0, raw)


def alternating(band: np.ndarray) -> np.ndarray:
    """Indices (K,) of the middle detection of each run of one band: what is left has bands that alternate.

    The Bright Transient Survey table is thinned in some such way: no two consecutive detections share a band.
    """
    start = np.flatnonzero(np.diff(band, prepend=-1) != 0)
    return (start + np.append(start[1:], len(band)) - 1) // 2
