"""Light curves: what do chosen sources look like, rebuilt from their fingerprints?"""

from collections.abc import Sequence

import numpy as np

from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.tasks.physical import from_good_to_bad, median_error, rebuilt_figure


def light_curves(given: Inputs, *, objects: Sequence[str], split: str, title: str) -> Evaluated:
    """Draw the sources `objects`, or six from good to bad by their median magnitude errors."""
    own = given.split(split)
    if absent := sorted(set(objects) - set(own.object_id)):
        raise ValueError(f"{given.store.path} has no {', '.join(absent)} in its {split} split")
    chosen = np.array([np.flatnonzero(own.object_id == name)[0] for name in objects], int)
    if not len(chosen):
        chosen = from_good_to_bad(median_error(given.model.reconstruct(own.detections)))
    return Evaluated(figures={"light_curves_chosen.png": rebuilt_figure(given, split, chosen, title)})
