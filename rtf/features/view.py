"""What a model may see of a source at its first N detections: the one place where a history is cut."""

import numpy as np

from rtf.alerts.history import Detections

MAX_DETECTIONS = 257
MAX_DAYS = 100.0


def view(
    detections: Detections,
    first: int | np.ndarray = MAX_DETECTIONS,
    *,
    max_detections: int = MAX_DETECTIONS,
    max_days: float = MAX_DAYS,
) -> Detections:
    """The first detections of each source.

    Nothing after the cut has any influence on what is returned, so whatever is computed from it cannot leak.

    Parameters
    ----------
    detections : sources to cut
    first : how many detections to keep, one number or (N,) one for each source
    max_detections, max_days : the model's own limits: detections, and days after the first one

    Returns
    -------
    Detections of the same N sources
    """
    start = np.repeat(detections.offset[:-1], detections.length)
    position = np.arange(len(detections.mjd)) - start
    allowed = np.minimum(np.broadcast_to(first, len(detections)), max_detections)
    days = detections.mjd - detections.mjd[start]
    return detections.rows((position < np.repeat(allowed, detections.length)) & (days <= max_days))
