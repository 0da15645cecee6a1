"""Light curves: what do chosen sources look like, rebuilt from their fingerprints?"""

from collections.abc import Sequence

import numpy as np

from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.tasks.physical import from_good_to_bad, median_error
from rtf.figures import light_curve_figure, rebuilt_light_curves


def light_curves(given: Inputs, *, objects: Sequence[str], split: str, title: str) -> Evaluated:
    """Draw the sources `objects`, or six from good to bad by their median magnitude errors."""
    own = given.split(split)
    if objects:
        absent = sorted(set(objects) - set(own.object_id))
        if absent:
            raise ValueError(f"{given.store.path} has no {', '.join(absent)} in its {split} split")
        chosen = np.array([int(np.flatnonzero(own.object_id == name)[0]) for name in objects])
    else:
        chosen = from_good_to_bad(median_error(given.model.reconstruct(own.detections)))
    curves = rebuilt_light_curves(
        given.model.reconstruct(own.detections.take(chosen)), own.object_id[chosen], own.label["fine"][chosen]
    )
    return Evaluated(figures={"light_curves_chosen.png": light_curve_figure(curves, title)})
