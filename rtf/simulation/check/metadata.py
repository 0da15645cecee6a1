"""The 30 metadata fields of simulated alerts against those of real ones.

Notable:
- the real alerts were chosen by somebody (their files are named for it): many lie on variable stars, few are
  supernovae. Fields of the visit should agree all the same; fields of the neighbours and of the source are
  compared among alerts on a point source and elsewhere, too, which takes most of the selection out
- the distance is Kolmogorov's and Smirnov's, among present values; the share of missing ones stands beside it
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp

from rtf.alerts.history import METADATA_FIELDS
from rtf.simulation.check.alerts import Alert, by_object
from rtf.simulation.check.figures import Panel
from rtf.simulation.check.two_sample import TwoSample, tell_apart

_COLUMN = {name: k for k, name in enumerate(METADATA_FIELDS)}
_VISIT = ("diffmaglim", "sky", "fwhm", "clrcoeff", "clrcounc", "zpclrcov")
_SOURCE = ("sharpnr", "scorr", "ndethist", "ncovhist", "sigmapsf", "chinr", "classtar", "rb", "chipsf")
#: What each field depends on.
DEPENDS = {
    name: "visit" if name in _VISIT else "source" if name in _SOURCE else "neighbour" for name in _COLUMN
}
DEPENDS |= dict.fromkeys(("sharpnr", "chinr", "distnr", "magnr"), "neighbour")
_LOGARITHMIC = {"scorr", "ndethist", "ncovhist", "nmtchps", "chipsf", "chinr", "clrcounc"}
_UNITS = {"distpsnr1": "arcsec", "distpsnr2": "arcsec", "distnr": "pixel", "fwhm": "pixel", "sky": "DN"} | (
    dict.fromkeys((n for n in _COLUMN if n[1:5] in ("gmag", "rmag", "imag", "zmag")), "mag")
)
_UNITS |= dict.fromkeys(("diffmaglim", "magnr", "sigmapsf"), "mag")


def _on_point_source(metadata: np.ndarray) -> np.ndarray:
    return (metadata[:, _COLUMN["sgscore1"]] > 0.8) & (metadata[:, _COLUMN["distpsnr1"]] < 1.5)


#: Which alerts (N, 30) -> (N,) bool are compared with which.
GROUPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all": lambda metadata: np.ones(len(metadata), bool),
    "on a point source": _on_point_source,
    "elsewhere": lambda metadata: ~_on_point_source(metadata),
}


@dataclass(frozen=True)
class FieldRow:
    """One field of one group of alerts.

    Attributes
    ----------
    group, field, depends : which alerts, which field, and on what the field depends
    n_real, n_simulated : alerts with a value
    real_missing, simulated_missing : share of alerts without
    real, simulated : (3,) quartiles
    distance : Kolmogorov-Smirnov, NaN where a side has no value
    chance : distance that equal distributions exceed once in twenty times (as many independent alerts as
        real objects)
    """

    group: str
    field: str
    depends: str
    n_real: int
    n_simulated: int
    real_missing: float
    simulated_missing: float
    real: tuple[float, float, float]
    simulated: tuple[float, float, float]
    distance: float
    chance: float


def compare_metadata(real: list[Alert], simulated: list[Alert]) -> list[FieldRow]:
    """Every field in every group of alerts that both sides have."""
    tables = [_table(side) for side in (real, simulated)]
    rows = []
    for group, chosen in GROUPS.items():
        keep = [chosen(table) for table in tables]
        if min(k.sum() for k in keep) == 0:
            continue
        objects = len({alert.object_id for alert, k in zip(real, keep[0]) if k})
        for name, k in _COLUMN.items():
            theirs, ours = (table[own, k] for table, own in zip(tables, keep))
            present = [side[np.isfinite(side)] for side in (theirs, ours)]
            distance = ks_2samp(*present).statistic if min(map(len, present)) else np.nan
            rows.append(
                FieldRow(
                    group, name, DEPENDS[name], len(present[0]), len(present[1]),
                    1 - len(present[0]) / len(theirs), 1 - len(present[1]) / len(ours),
                    *(_quartiles(side) for side in present), float(distance),
                    1.36 * np.sqrt(1 / objects + 1 / len(ours)),
                )
            )  # fmt: skip
    return rows


def metadata_panels(real: list[Alert], simulated: list[Alert], group: str = "all") -> list[Panel]:
    """One panel a field."""
    sides = []
    for side in (real, simulated):
        chosen = GROUPS[group](_table(side))
        sides.append([_table(own) for own in by_object(a for a, keep in zip(side, chosen) if keep)])
    return [
        Panel(
            f"{name} [{_UNITS[name]}]" if name in _UNITS else name,
            *([own[:, k] for own in side] for side in sides),
            log=name in _LOGARITHMIC,
        )
        for name, k in _COLUMN.items()
    ]


def tell_metadata_apart(
    real: list[Alert], simulated: list[Alert], group: str, seed: int = 0, **settings
) -> TwoSample:
    """Can a classifier on the fields of one alert tell the two apart?

    Of each real object one alert is taken, or those of one object would stand on both sides of a split.
    """
    rng = np.random.default_rng(seed)
    one = [own[rng.integers(len(own))] for own in by_object(real)]
    tables = [_table(side) for side in (one, simulated)]
    tables = [table[GROUPS[group](table)] for table in tables]
    columns = {name: _UNITS.get(name, "") for name in METADATA_FIELDS}
    return tell_apart(*tables, columns, seed, **settings)


def _table(alerts: list[Alert]) -> np.ndarray:
    return np.array([alert.metadata for alert in alerts], np.float64).reshape(
        len(alerts), len(METADATA_FIELDS)
    )


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    if not len(values):
        return (float("nan"),) * 3
    return tuple(float(x) for x in np.percentile(values, [25, 50, 75]))
