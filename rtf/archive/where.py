"""Which rows of an archive a search looks at: typed values in, an expression of LanceDB out."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np

from rtf.archive.rows import ArchiveError, probability_column
from rtf.classes import FINE, UNKNOWN, fine_label

_ARCSEC = 3600.0
#: What rounding may cost at the edge of a cone's box [degree]: the exact separation decides.
_MARGIN = 1e-9


@dataclass(frozen=True)
class Where:
    """Filters of a search; None does not ask. A row without the value asked for does not pass.

    Raises
    ------
    ArchiveError : a value is of the wrong kind
    """

    survey: str | None = None
    #: A class by any catalogue's name: the most probable one, or at least `min_probability`.
    class_name: str | None = None
    min_probability: float | None = None  # of `class_name`
    since: float | None = None  # earliest and latest time of the row's detection [MJD]
    until: float | None = None
    min_detections: int | None = None
    max_detections: int | None = None
    cone: tuple[float, float, float] | None = None  # ra, dec [degree], radius [arcsec]

    def __post_init__(self) -> None:
        for name in ("min_probability", "since", "until", "min_detections", "max_detections"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.class_name is None and self.min_probability is not None:
            raise ArchiveError("min_probability is given without a class: add class=")
        if self.cone is not None:
            object.__setattr__(self, "cone", checked_cone(self.cone))
        self.column()

    def column(self) -> str | None:
        """The column of the class asked for."""
        if self.class_name is None:
            return None
        label = fine_label(self.class_name)
        if label == UNKNOWN:
            raise ArchiveError(f"class {self.class_name!r} is none of {', '.join(FINE)}")
        return probability_column(FINE[label])

    def expressions(self) -> list:
        """What each filter asks, all but time and place."""
        from lancedb.expr import col, lit

        asked = []
        if self.survey is not None:
            asked.append(col("survey") == lit(str(self.survey)))
        if self.class_name is not None and self.min_probability is None:
            asked.append(col("most_probable") == lit(FINE[fine_label(self.class_name)]))
        elif self.class_name is not None:
            asked.append(col(self.column()) >= lit(self.min_probability))
        if self.min_detections is not None:
            asked.append(col("n_detections") >= lit(self.min_detections))
        if self.max_detections is not None:
            asked.append(col("n_detections") <= lit(self.max_detections))
        return asked

    def times(self) -> list:
        """What the filter on time asks."""
        from lancedb.expr import col, lit

        asked = [] if self.since is None else [col("mjd") >= lit(self.since)]
        return asked if self.until is None else [*asked, col("mjd") <= lit(self.until)]

    def box(self) -> list:
        """Bounds in ra and dec that hold the cone; the rest is for `separation`."""
        from lancedb.expr import col, lit

        if self.cone is None:
            return []
        ra, dec, radius = self.cone
        radius = radius / _ARCSEC + _MARGIN
        asked = [col("dec") >= lit(dec - radius), col("dec") <= lit(dec + radius)]
        if abs(dec) + radius >= 90:  # a pole is inside: every ra
            return asked
        width = math.degrees(
            math.asin(min(1.0, math.sin(math.radians(radius)) / math.cos(math.radians(dec))))
        )
        width += _MARGIN
        low, high = (ra - width) % 360, (ra + width) % 360
        above, below = col("ra") >= lit(low), col("ra") <= lit(high)
        return [*asked, above & below if low <= high else above | below]


def all_of(asked: list):
    """One expression for several; None for none."""
    return reduce(and_, asked) if asked else None


def separation(ra, dec, ra0: float, dec0: float) -> np.ndarray:
    """Angles [arcsec] between positions (N,) and one, in degrees; NaN where a position is unknown."""
    ra, dec, ra0, dec0 = (np.radians(np.asarray(x, np.float64)) for x in (ra, dec, ra0, dec0))
    across = np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    half = np.sqrt(np.sin((dec - dec0) / 2) ** 2 + across)
    return np.degrees(2 * np.arcsin(np.minimum(half, 1))) * _ARCSEC


def checked_cone(cone) -> tuple[float, float, float]:
    """Right ascension from 0 to 360, declination and radius of a cone."""
    values = list(cone)
    if len(values) != 3:
        raise ArchiveError(f"a position is ra,dec,radius_arcsec, three numbers; {len(values)} were given")
    ra, dec, radius = (float(number(n, v)) for n, v in zip(("ra", "dec", "radius"), values, strict=True))
    if abs(ra) > 360 or abs(dec) > 90:
        raise ArchiveError(f"ra {ra:g}, dec {dec:g} is no position on the sky [degree]")
    if not 0 < radius <= 180 * _ARCSEC:
        raise ArchiveError(f"a radius of {radius:g} arcsec is not above 0 and at most 180 degrees")
    return ra % 360, dec, radius


def number(name: str, value) -> int | float:
    """A finite plain number; ArchiveError for anything else."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        value = value.item() if hasattr(value, "item") else value
        if math.isfinite(value):
            return value
    raise ArchiveError(f"{name} is {value!r}; it must be a finite number")
