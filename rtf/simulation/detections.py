"""From flux to alerts: noise, the 5-sigma threshold, and the error that the survey quotes.

Notable:
- the noise of a difference flux has the visit's depth, the photons of source and host, and a 2 % floor
- ZTF alerts quote errors larger than the scatter. In 4,125 real alerts the median of scorr × sigmapsf
  is 1.6, where 2.5 / ln 10 = 1.09 would be exact, so scorr counts sigmas of the quoted error / 1.5; and
  real SN Ia scatter about their own interpolation by 0.54 of the quoted error. Three sigmas, then: the quoted
  one (`magerr`), the one of the threshold (`scorr`), and the true one that noise is drawn with
- above the threshold, an alert still has to pass the real/bogus cut and the quality filters of a broker,
  which faint ones often fail: `KEPT` is fitted to how counts fall with magnitude in real SN Ia
- only positive subtractions become detections, as in the readers' default
"""

from typing import NamedTuple

import numpy as np

from rtf.simulation.cadence import Visits

THRESHOLD = 5.0
RAW = 3.0  # what `ndethist` counts
POGSON = 2.5 / np.log(10)
#: Quoted errors against the sigma of `scorr`, and against the true scatter.
QUOTED_OVER_SCORR, QUOTED_OVER_TRUE = 1.5, 1.9
#: Significance at which half the candidates pass the quality cuts, and the logistic width.
KEPT, KEPT_WIDTH = 6.0, 1.5
#: Zero point of the flux unit [mag]: flux 1 is magnitude 25.
ZERO_POINT = 25.0
FLOOR = 0.02  # relative systematic floor of the quoted error


class Detections(NamedTuple):
    """What the survey sends of one source: (L,) arrays over positive detections, in order of time.

    Attributes
    ----------
    visit : int, index into the visits
    mag, magerr : AB magnitude and its quoted 1-sigma error
    snr : flux over the sigma of the threshold, at least 5 (`scorr`)
    raw : int, raw candidates of either sign, from 3 sigma, up to and including this one
    """

    visit: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    snr: np.ndarray
    raw: np.ndarray


def magnitude_to_flux(magnitude):
    """Flux in the unit of `ZERO_POINT`."""
    return 10 ** (-0.4 * (magnitude - ZERO_POINT))


def quoted_sigma(flux, depth, noisy_host: float):
    """Error of a difference flux as alerts quote it, same unit.

    Parameters
    ----------
    flux : (V,) true difference flux
    depth : (V,) 5-sigma limiting magnitude
    noisy_host : factor on the photon term, how much host light lies under the source
    """
    sky = 0.88 * magnitude_to_flux(depth) / 5.0  # 0.88: what alerts near the limit quote
    # The photon term is 1.3 % at magnitude 15: above pure photon noise, fitted to quoted errors.
    photons = noisy_host * 0.013**2 * magnitude_to_flux(15.0) * np.abs(flux)
    return np.sqrt(sky**2 + photons + (FLOOR * flux) ** 2)


def detect(rng: np.random.Generator, visits: Visits, flux: np.ndarray) -> tuple[Detections, int]:
    """The positive 5-sigma detections of a difference flux, and the number of negative ones left out."""
    noisy_host = np.exp(0.45 * rng.standard_normal())
    normal = rng.standard_normal((3, len(flux)))
    quoted = quoted_sigma(flux, visits.depth, noisy_host) * np.exp(0.08 * normal[0])
    measured = flux + quoted / QUOTED_OVER_TRUE * normal[1]
    snr = measured / (quoted / QUOTED_OVER_SCORR)
    passed = rng.random(len(flux)) < 1 / (1 + np.exp(np.clip((KEPT - snr) / KEPT_WIDTH, -50, 50)))
    visit = np.flatnonzero((snr >= THRESHOLD) & passed)
    mag = ZERO_POINT - 2.5 * np.log10(measured[visit])
    # Quoted errors scatter on their own, so that magerr and scorr are not one number.
    magerr = POGSON * quoted[visit] / measured[visit] * np.exp(0.13 * normal[2, visit])
    raw = np.cumsum(np.abs(snr) >= RAW)[visit]
    return Detections(visit, mag, magerr, snr[visit], raw), int((snr <= -THRESHOLD).sum())


def alternating(band: np.ndarray) -> np.ndarray:
    """Indices (K,) of the first detection of each run of one band: what is left has bands that alternate.

    The Bright Transient Survey table among the real data is thinned in this way: of its 29,695 pairs of
    consecutive detections none shares a band, where half do in alert packets.
    """
    return np.flatnonzero(np.diff(band, prepend=-1) != 0)
