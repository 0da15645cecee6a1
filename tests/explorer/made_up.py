"""Made-up sources for the page, some with names that no survey gives, and their histories."""

from dataclasses import replace
from functools import cache

import numpy as np

from tests.packets import stamp
from tests.sources import made_up_sources

#: Names that would do harm where a name is taken for markup, a path or a query.
HOSTILE = (
    "<img src=x onerror=document.title='hacked'>", "../../../etc/passwd", "x' OR '1'='1",
    "%2e%2e%2fetc%2fpasswd", "\N{RIGHT-TO-LEFT OVERRIDE}ZTF\n\0", "=HYPERLINK(1)",
)  # fmt: skip


@cache
def sources() -> list:
    """70 sources with positions; the first have hostile names, the seventh has stamps."""
    found = []
    for k, source in enumerate(made_up_sources(70, seed=3, min_length=9)):
        name = HOSTILE[k] if k < len(HOSTILE) else f"ZTF20{k:07d}"
        found.append(replace(source, object_id=name, ra=5.0 * k, dec=k - 30.0))
    image = np.random.default_rng(0).normal(size=(63, 63)).astype(np.float32)
    image[30:33, 30:33] += 40
    stamps = (stamp(image), stamp(image[:50]), b"no stamp")
    found[6] = replace(found[6], cutouts=[stamps] * len(found[6]))
    return found


class Histories:
    """Stands in for the folder of histories that a stream keeps."""

    def get(self, object_id: str, survey: str = "ztf"):
        return next((s for s in sources() if s.object_id == object_id), None)
