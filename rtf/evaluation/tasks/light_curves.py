"""Light curves: what do chosen sources look like, rebuilt from their fingerprints?"""

from collections.abc import Sequence

import numpy as np

from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.tasks.physical import median_error
from rtf.figures import light_curve_figure, rebuilt_light_curves


def light_curves(given: Inputs, *, objects: Sequence[str], split: str, title: str) -> Evaluated:
    """Draw the sources `objects`, or six from good to bad.

    The six are the sources at the 10th, 30th, 50th, 70th and 90th percentile of the median magnitude error,
    and the one of the most detections.
    """
    own = given.split(split)
    if objects:
        absent = sorted(set(objects) - set(own.object_id))
        if absent:
            raise ValueError(f"{given.store.path} has no {', '.join(absent)} in its {split} split")
        chosen = np.array([int(np.flatnonzero(own.object_id == name)[0]) for name in objects])
    else:
        rebuilt = given.model.reconstruct(own.detections)
        order = np.argsort(median_error(rebuilt), kind="stable")
        ranks = (np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * (len(order) - 1)).astype(int)
        chosen = np.append(order[ranks], np.argmax(rebuilt.seen.length))
    curves = rebuilt_light_curves(
        given.model.reconstruct(own.detections.take(chosen)), own.object_id[chosen], own.label["fine"][chosen]
    )
    return Evaluated(figures={"light_curves_chosen.png": light_curve_figure(curves, title)})
