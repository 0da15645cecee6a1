"""Simulated light curves against real ones of the Zwicky Transient Facility.

Notable:
- a test of one's simulation is a test of one's selection too: what is known of how the real table was made is
  done to the simulated side as well (`Selection`), and said
- the table of real SN Ia has no i band, and its bands alternate strictly: of each run of detections in one
  band the middle one is left
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from rtf.alerts.history import SourceHistory
from rtf.alerts.readers.light_curve_table import LightCurveTable
from rtf.alerts.report import ReadReport
from rtf.simulation.check.figures import Panel
from rtf.simulation.check.summary import NIGHT, SUMMARIES, deviations, summaries
from rtf.simulation.check.two_sample import TwoSample, tell_apart
from rtf.simulation.detections import alternating


@dataclass(frozen=True)
class Selection:
    """What is done to both sides before they are compared.

    Attributes
    ----------
    bands : band indices that stay
    alternate : of each run of detections in one band, only the middle one stays
    max_error : detections with a larger quoted error are left out [mag]
    window : days after the first detection that stay
    min_detections : sources with fewer of them are left out
    """

    bands: tuple[int, ...] = (0, 1, 2)
    alternate: bool = False
    max_error: float = np.inf
    window: float = 100.0
    min_detections: int = 3

    def apply(self, history: SourceHistory) -> SourceHistory | None:
        """What is left of a source, None where it is left out."""
        index = np.flatnonzero(np.isin(history.band, self.bands) & (history.magerr <= self.max_error))
        if self.alternate:
            index = index[alternating(history.band[index])]
        index = index[history.mjd[index] <= history.mjd[index[:1]] + self.window] if len(index) else index
        return history.select(index) if len(index) >= self.min_detections else None

    def notes(self) -> tuple[str, ...]:
        names = ", ".join("gri"[b] for b in self.bands)
        said = [
            f"Both sides: bands {names}; the first {self.window:g} days; "
            f"at least {self.min_detections} detections in them."
        ]
        if self.alternate:
            said.append(
                "The real table has no i band and bands that alternate strictly; of each run of simulated "
                "detections in one band the middle one is left."
            )
        if np.isfinite(self.max_error):
            said.append(
                f"The real table ends at errors of {self.max_error:.4f} mag (5 sigma); so do the simulated."
            )
        return tuple(said)


@dataclass(frozen=True)
class RealTable:
    """A table of real light curves of one class, in the folder of real data."""

    path: str
    name: str
    selection: Selection
    remarks: tuple[str, ...] = ()


REAL_TABLES = {
    "SN Ia": RealTable(
        "lightcurves/ztf_bts_snia.parquet", "Bright Transient Survey", Selection((0, 1), alternate=True)
    ),
    "TDE": RealTable(
        "lightcurves/ztf_tde.parquet",
        "Transient Name Server, Fink broker",
        Selection(max_error=2.5 / np.log(10) / 5),
        (
            "Not made equal: the real histories begin where the broker first saw an alert and the 30 days "
            "before it, and hold what passed its quality cuts.",
        ),
    ),
}


def real_light_curves(folder: Path, class_name: str) -> list[SourceHistory]:
    """The real light curves of a class (`REAL_TABLES`), selected.

    Raises
    ------
    FileNotFoundError : naming the file
    """
    table = REAL_TABLES[class_name]
    path = Path(folder) / table.path
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of real light curves")
    reader, report = LightCurveTable(), ReadReport()
    rows = (history for unit in reader.units(path) for history in reader.read(unit, report))
    return list(_selected(rows, table.selection))


def simulated_light_curves(
    survey, class_name: str, n: int, advance: Callable[[int], None] = lambda done: None
) -> list[SourceHistory]:
    """The first `n` sources of a survey that pass the selection of the real table of their class.

    Parameters
    ----------
    survey : with the protocol of a reader (`rtf.simulation.survey.SimulatedSurvey`), of this class alone and
        of more than `n` sources, since some do not pass
    advance : called with 1 for each source

    Raises
    ------
    ValueError : fewer than `n` pass
    """
    report = ReadReport()
    every = (history for unit in survey.units() for history in survey.read(unit, report))
    found = []
    for history in islice(_selected(every, REAL_TABLES[class_name].selection), n):
        found.append(history)
        advance(1)
    if len(found) < n:
        raise ValueError(f"only {len(found)} of {n} simulated {class_name} pass the selection")
    return found


def compare(
    real_histories: list[SourceHistory], simulated_histories: list[SourceHistory], seed: int = 0, **settings
) -> TwoSample:
    """Can a classifier on light-curve summaries tell the two apart, and by what? `print` shows it.

    Parameters
    ----------
    real_histories, simulated_histories : selected alike
    settings : of `rtf.simulation.check.two_sample.tell_apart`
    """
    return tell_apart(summaries(real_histories), summaries(simulated_histories), SUMMARIES, seed, **settings)


def _selected(histories: Iterator[SourceHistory], selection: Selection) -> Iterator[SourceHistory]:
    return (kept for history in histories if len(history) and (kept := selection.apply(history)) is not None)


def panels(real: list[SourceHistory], simulated: list[SourceHistory]) -> list[Panel]:
    """The quantities of a light-curve sample that a reader wants to see, for both sides."""
    sides = [[_quantities(history) for history in side] for side in (real, simulated)]
    return [
        Panel(name, *([values[name] for values in side] for side in sides), log=name in _LOGARITHMIC)
        for name in _quantities(real[0])
    ]


_LOGARITHMIC = {
    "detections of a source",
    "gap between nights [d]",
    "same-night gap [h]",
    "quoted error [mag]",
}


def _quantities(history: SourceHistory) -> dict[str, np.ndarray]:
    """What one source contributes to each panel, (V,) values."""
    time, band = history.mjd - history.mjd[0], history.band
    mag, error = history.mag.astype(np.float64), history.magerr.astype(np.float64)
    gap = np.diff(time)
    # Pairs of one night in g and r: the colour g - r without interpolation.
    pair = np.flatnonzero(
        (gap < NIGHT) & (np.minimum(band[:-1], band[1:]) == 0) & (band[:-1] + band[1:] == 1)
    )
    colour = (mag[pair + 1] - mag[pair]) * np.where(band[pair] == 0, -1, 1)
    phase = time[pair] - time[mag.argmin()]
    return {
        "detections of a source": np.array([len(time)]),
        "gap between nights [d]": gap[gap >= NIGHT],
        "same-night gap [h]": 24 * gap[gap < NIGHT],
        "time of night [h UTC]": 24 * (history.mjd % 1),
        "days since first detection": time[1:],
        "magnitude (AB)": mag,
        "quoted error [mag]": error,
        "error at 18.5 to 19.5 mag [mag]": error[np.abs(mag - 19.0) < 0.5],
        "first below brightest [mag]": mag[:1] - mag.min(),
        "last below brightest [mag]": mag[-1:] - mag.min(),
        "scatter about neighbours [quoted σ]": deviations(time, band, mag, error),
        "g - r within 5 d of peak [mag]": colour[np.abs(phase) <= 5],
        "g - r, 10 to 20 d after [mag]": colour[(phase >= 10) & (phase <= 20)],
        "g - r, 25 to 40 d after [mag]": colour[(phase >= 25) & (phase <= 40)],
        "g - r at any time [mag]": colour,
        "g share of a source": np.array([np.mean(band == 0)]),
    }
