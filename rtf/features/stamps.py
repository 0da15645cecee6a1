"""Stamps: (3, 63, 63), science, template and difference of the most recent detection that has all three.

Notable:
- a stamp is prepared from itself alone: nothing of it depends on other sources or later detections
- pixels count in units of the stamp's own noise above its own background, then asinh((x / noise) / 3): linear
  up to three sigma, logarithmic beyond. On ZTF cutouts sky is 0 +- 0.33, a transient's peak 2 to 5, a
  saturated star 8 to 9
- background is the median, noise the distance down to the 16th percentile: stars and galaxies lie above the
  background, so the upper half of a crowded template is wider
- pixels without a measurement (saturation masks, bad columns, what a chip edge cut off) become background, 0
- the last few hundred prepared triplets are remembered, so that a stream can prepare those of the next batch
  in another thread while the model is at work
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rtf.alerts.cutouts import BadCutout, centre_cutout, decode_cutout, pad_cutout
from rtf.alerts.history import NO_CUTOUTS, Cutouts, Detections, SourceHistory
from rtf.alerts.surveys import Survey, survey_named

log = logging.getLogger(__name__)

KINDS = ("science", "template", "difference")

#: Where asinh turns from linear to logarithmic [sigma of the stamp's noise].
SOFTENING = 3.0

BELOW_ONE_SIGMA = 0.15866  # of a Gaussian
#: Noise below the resolution of a float32 at the image's brightest pixel is rounding, not noise.
RESOLUTION = 2.0**-23
#: Compressed stamps held in memory at once: some 13 MB.
_CHUNK = 256
#: Prepared triplets that are remembered, with what they were made of: some 45 MB.
REMEMBERED = 1024


def prepare_stamp(image: np.ndarray, softening: float = SOFTENING) -> np.ndarray:
    """A stamp in units of its own noise, stretched: asinh((x - background) / noise / softening).

    Background is the median of the measured pixels, noise the distance down to their 16th percentile or,
    where that is 0, their standard deviation. Adding a constant or multiplying by a positive one changes
    nothing.

    Parameters
    ----------
    image : (h, w) in any unit of flux, NaN where nothing was measured
    softening : where the stretch turns from linear to logarithmic [sigma of the noise]

    Returns
    -------
    (h, w) float32, finite; 0 where nothing was measured, and everywhere in an image of one value
    """
    image = np.asarray(image, np.float32)
    measured = np.isfinite(image)
    # Sorting floats is three times as fast as selecting the two ranks.
    values = np.sort(image if measured.all() else image[measured], axis=None)
    if not len(values):
        return np.zeros(image.shape, np.float32)
    background = values[len(values) // 2]
    noise = background - values[int(BELOW_ONE_SIGMA * len(values))] or values.std(dtype=np.float64)
    if values[0] == values[-1]:
        return np.zeros(image.shape, np.float32)
    noise = max(noise, RESOLUTION * max(abs(values[0]), abs(values[-1])), np.finfo(np.float32).tiny)
    prepared = np.arcsinh((image - background) * np.float32(1 / (noise * softening)))
    prepared[~measured] = 0
    return prepared


@lru_cache(maxsize=REMEMBERED)
def prepare_triplet(triplet: Cutouts, survey: Survey, softening: float = SOFTENING) -> np.ndarray:
    """The compressed science, template and difference stamps of a detection, prepared: (3, n, n) float16.

    It is remembered, so no caller may change it. BadCutout: one of them does not decode.
    """
    images = (on_grid(decode_cutout(stamp), survey) for stamp in triplet)
    return np.array([prepare_stamp(image, softening) for image in images], np.float16)


def on_grid(image: np.ndarray, survey: Survey) -> np.ndarray:
    """A cutout (h, w) on the grid of its survey's stamps, NaN where it has no pixel."""
    place = centre_cutout if survey.centred else pad_cutout
    return place(image, survey.stamp_size)


def latest_stamps(detections: Detections) -> np.ndarray:
    """(N,) int64, the entry of `detections.stamp` of each source's latest detection with all three.

    -1 for a source without stamps.
    """
    latest = np.full(len(detections), -1, np.int64)
    if detections.stamp is None or not len(detections.stamp):
        return latest
    rows = np.where(detections.stamp >= 0, np.arange(len(detections.stamp)), -1)
    # The last row with stamps up to each source's end belongs to the source if it is not before its start.
    last = np.maximum.accumulate(rows)[detections.offset[1:] - 1]
    found = (detections.length > 0) & (last >= detections.offset[:-1])
    latest[found] = detections.stamp[last[found]]
    return latest


@dataclass(frozen=True)
class Stamps:
    """The stamps modality: one prepared triplet for each source; `softening` as in `prepare_stamp`."""

    softening: float = SOFTENING
    survey: str = "ztf"
    per_source = True
    images = True

    def __post_init__(self):
        if not self.softening > 0:
            raise ValueError(f"stamps.softening is {self.softening}; it must be greater than 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        size = survey_named(self.survey).stamp_size
        return len(KINDS), size, size

    def prepare(self, alerts: Iterable[SourceHistory]) -> None:
        """Prepare the stamps of alerts that `compute` will soon be asked for; for another thread than its."""
        for alert in alerts:
            triplet = alert.cutouts[alert.own] if alert.own >= 0 and alert.cutouts else NO_CUTOUTS
            if None not in triplet:
                with suppress(BadCutout):  # of which `compute` warns
                    prepare_triplet(triplet, alert.survey, self.softening)

    def compute(self, detections: Detections) -> np.ndarray:
        """Prepared stamps (N, 3, n, n) float16 of the detections given, NaN for a source that has none.

        A stamp that does not decode makes its source one without stamps, with a warning: readers leave such
        stamps out, so here it means a damaged data set.
        """
        latest = latest_stamps(detections)
        prepared = np.full((len(latest), *self.shape), np.nan, np.float16)
        # In the order in which they are stored.
        order = np.argsort(latest, kind="stable")
        order = order[latest[order] >= 0]
        for start in range(0, len(order), _CHUNK):
            sources = order[start : start + _CHUNK]
            for source, triplet in zip(sources, detections.read_stamps(latest[sources]), strict=True):
                try:
                    prepared[source] = prepare_triplet(triplet, detections.survey, self.softening)
                except BadCutout as error:
                    log.warning("stamps %d are left out: %s", latest[source], error)
        return prepared

    def key(self, detections: Detections) -> np.ndarray:
        """(N,) int64 which stamps `compute` would read; equal keys are equal stamps."""
        return latest_stamps(detections)

    def present(self, raw: np.ndarray) -> np.ndarray:
        """(N,) bool, which sources have stamps; `raw` as `compute` gives it."""
        return ~np.isnan(raw[:, 0, 0, 0])

    def fit(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """Nothing: a stamp is prepared from itself alone."""
        return {}

    def normalise(self, raw: np.ndarray, statistics: dict[str, np.ndarray]) -> np.ndarray:
        """(N, 3, n, n) float32, 0 where absent: only to be used beside `present`."""
        values, present = np.zeros(raw.shape, np.float32), self.present(raw)
        values[present] = raw[present]
        return values
