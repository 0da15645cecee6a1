"""Light curves drawn from fits to real ones: a backend that gives a survey the variety that nature has.

A table of fits (`python -m rtf.fit`) is a sample of each class. A source is one of its fits, chosen at random
and moved a little in the space of the function's coordinates, all bands at once:

    x = mean + (x_k - mean + h e) / sqrt(1 + h²),  e normal with the covariance of the class

Notable:
- this is a draw from a kernel density estimate that keeps mean and covariance (Silverman 1986, section 6.4),
  so that colours stay with decline rates
- what is drawn is what was observed: apparent, dust and K-correction included. None of them is applied again,
  and the parameters' `host_dust` is 0
- a band that a fit lacks differs from another as in another fit of the class, or else as in `villar.TYPICAL`
- hosts need a distance: the absolute magnitude is drawn from the class's luminosity function, weighted by the
  volume in which it would be as bright
"""

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rtf.alerts.history import BANDS
from rtf.classes import FINE
from rtf.simulation import villar
from rtf.simulation.detections import POGSON, ZERO_POINT
from rtf.simulation.fitting import REFERENCE
from rtf.simulation.light_curves import MODELS
from rtf.simulation.populations import PLANE, POPULATIONS, ZTF_SAMPLE, Sample, distance_modulus
from rtf.simulation.sky import EXTINCTION, Event, Place

REQUIRED = ("object_id", "type", "model", "band", "n", "n_detections", "chi2", "brightest_mag", "peak_mag")
#: What a source of an unknown redshift has of dust, on the way from the luminosity function to the sky [mag].
_TYPICAL_DUST = 0.1
#: A source is watched until it is this faint [mag], but no longer than this [d].
_FAINT, _LONGEST = 21.5, 400.0
#: A fit whose peak is brighter than any detection by more than this [mag] has invented it.
_INVENTED = 0.5
_BEGINNING = 0.01  # a source begins where its best band has this share of its peak flux


@dataclass(frozen=True)
class FromFits:
    """A light-curve backend: `backend(rng, class name, place) -> Event | None`.

    Raises FileNotFoundError for no table, ValueError for one that is not of fits or holds no good one.
    """

    table: str  # parquet file of fits
    scatter: float = 0.2  # h, width of the kernel as a share of the class's spread; 0 repeats the fits
    max_chi2: float = 3.0  # per degree of freedom, beyond which a fit is not used
    min_detections: int = 10  # fewest that a fit must rest on
    min_bands: int = 2  # fewest bands with two detections

    def __post_init__(self):
        if self.scatter < 0:
            raise ValueError(f"scatter must not be negative, as {self.scatter} is")
        for name, sample in self.samples.items():
            if dark := [b for k, b in enumerate(BANDS) if np.isnan(sample.coordinates[:, k, 0]).all()]:
                there = "typical colours" if name in villar.TYPICAL else "another band's curve"
                told = f"{self.table}: no fit of {name} in {', '.join(dark)}; it gets {there} there"
                warnings.warn(told, stacklevel=3)

    @property
    def samples(self) -> dict[str, "FitSample"]:
        """The usable fits of each class."""
        if not os.path.exists(self.table):
            raise FileNotFoundError(f"{self.table}: no table of fits there; python -m rtf.fit makes one")
        stamp = os.stat(self.table).st_mtime_ns
        return _samples(str(self.table), stamp, self.max_chi2, self.min_detections, self.min_bands)

    def __call__(
        self, rng: np.random.Generator, name: str, place: Place, sample: Sample = ZTF_SAMPLE
    ) -> Event | None:
        """A source of a class, or None where it is not followed; ValueError without a usable fit."""
        if sample is not ZTF_SAMPLE:
            raise ValueError(f"{self.table}: fits are of ZTF's bands; take simulation/backend=parametric")
        samples = self.samples
        if name not in samples:
            there = ", ".join(f"{len(s.coordinates)} of {key}" for key, s in samples.items())
            raise ValueError(f"{self.table}: no usable fit of class {name}; there are {there}")
        if POPULATIONS[name].redshift_max and abs(place.latitude) < PLANE:
            return None
        x = _completed(rng, draw_coordinates(rng, samples[name], self.scatter), samples[name], name)
        return _event(rng, name, x)


class FitSample(NamedTuple):
    """The usable fits of a class; t0 of each band counts from that of the first with one of r, g, i."""

    coordinates: np.ndarray  # (N, 3, 6), NaN in bands without fit
    mean: np.ndarray  # (18,), of what is there
    root: np.ndarray  # (18, 18), a square root of the covariance


@lru_cache(4)
def _samples(
    path: str, stamp: int, max_chi2: float, min_detections: int, min_bands: int
) -> dict[str, FitSample]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a parquet table ({error})") from error
    if absent := [name for name in (*REQUIRED, *villar.NAMES) if name not in table.column_names]:
        raise ValueError(f"{path}: no column {', '.join(absent)}; a table of python -m rtf.fit has them")
    if strange := set(table["model"].to_pylist()) - {"villar"}:
        raise ValueError(f"{path}: fits of {', '.join(sorted(strange))}; needed are fits of villar")
    column = {name: np.array(table[name].to_pylist()) for name in (*REQUIRED, *villar.NAMES)}
    values = np.stack([column[name].astype(float) for name in villar.NAMES], -1)
    good = (column["chi2"] <= max_chi2) & (column["n_detections"] >= min_detections)
    good &= np.isfinite(values).all(1) & (column["peak_mag"] > column["brightest_mag"] - _INVENTED)
    good &= np.isin(column["band"], BANDS) & (column["n"] >= 2)
    rows: dict[str, dict[str, list[int]]] = {}
    for k in np.flatnonzero(good & np.isin(column["type"], list(POPULATIONS))):
        rows.setdefault(str(column["type"][k]), {}).setdefault(str(column["object_id"][k]), []).append(k)
    samples = {}
    for name in sorted(rows, key=FINE.index):
        if objects := [own for own in rows[name].values() if len(own) >= min_bands]:
            bands = [[BANDS.index(column["band"][k]) for k in own] for own in objects]
            samples[name] = _sample([values[own] for own in objects], bands)
    if not samples:
        raise ValueError(
            f"{path}: none of {table.num_rows} rows is a good fit of a known class (chi2 <= {max_chi2}, "
            f"{min_detections} detections, {min_bands} bands)"
        )
    return samples


def _sample(values: list[np.ndarray], bands: list[list[int]]) -> FitSample:
    x = np.full((len(values), len(BANDS), len(villar.NAMES)), np.nan)
    for k, (own, where) in enumerate(zip(values, bands)):
        x[k, where] = villar.to_coordinates(own)
        x[k, :, 1] -= x[k, _best(x[k]), 1]
    flat = x.reshape(len(x), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a band that no fit has is NaN throughout
        mean = np.nanmean(flat, 0)
    # A band that a source lacks varies with nothing.
    around = np.nan_to_num(flat - mean)
    _, spread, axes = np.linalg.svd(around / np.sqrt(max(len(x) - 1, 1)), full_matrices=False)
    root = np.zeros((flat.shape[1], flat.shape[1]))
    root[:, : len(spread)] = axes.T * spread
    return FitSample(x, mean, root)


def _best(x: np.ndarray) -> int:
    """The first band with a fit in the order r, g, i."""
    return next(b for b in (REFERENCE, 0, 2) if np.isfinite(x[b, 0]))


def draw_coordinates(rng: np.random.Generator, sample: FitSample, scatter: float) -> np.ndarray:
    """(3, 6) coordinates of one source, NaN in bands that its fit lacks."""
    one = sample.coordinates[rng.integers(len(sample.coordinates))].ravel()
    kick = sample.root @ rng.standard_normal(len(one))
    moved = sample.mean + (one - sample.mean + scatter * kick) / np.sqrt(1 + scatter**2)
    return moved.reshape(len(BANDS), -1)


def _completed(rng: np.random.Generator, x: np.ndarray, sample: FitSample, name: str) -> np.ndarray:
    """`x` with each missing band as another one plus the difference that the class has between the two."""
    by = _best(x)
    for b in np.flatnonzero(np.isnan(x[:, 0])):
        difference = sample.coordinates[:, b] - sample.coordinates[:, by]
        difference = difference[np.isfinite(difference[:, 0])]
        if len(difference):
            x[b] = x[by] + difference[rng.integers(len(difference))]
        else:
            x[b] = _typical(x[by], name, b, by)
    return x


def _typical(x: np.ndarray, name: str, band: int, by: int) -> np.ndarray:
    """(6,) coordinates in one band from those in another; the same where no typical ones are known."""
    if name not in villar.TYPICAL:
        return x.copy()
    of_g, of_i = np.array(villar.TYPICAL[name], float)
    difference = {0: of_g, REFERENCE: np.zeros_like(of_g), 2: of_i}
    shift = difference[band] - difference[by]
    there = x + shift
    there[0] = 0.0
    there[0] = villar.peak(x)[1] - shift[0] / POGSON - villar.peak(there)[1]
    return there


@lru_cache(32)
def _luminosities(name: str, number: int = 300) -> tuple[tuple[dict, ...], np.ndarray]:
    """Parameters drawn from a class's model, and cumulative weights by the volume in which they are seen."""
    model, rng = MODELS[name], np.random.default_rng(0)
    drawn = tuple(model.module.draw(rng, model.kind) for _ in range(number))
    volume = 10 ** (-0.6 * np.array([p["magnitude"] for p in drawn]))
    return drawn, np.cumsum(volume / volume.sum())


def _distance(rng, name: str, magnitude: float) -> tuple[float, float, dict]:
    """Redshift, distance modulus, and what else hosts need of a source of an apparent magnitude."""
    drawn, cumulative = _luminosities(name)
    one = drawn[min(int(np.searchsorted(cumulative, rng.random())), len(drawn) - 1)]
    modulus = magnitude - one["magnitude"] - EXTINCTION[1] * _TYPICAL_DUST
    grid = np.geomspace(5e-4, 4.0, 2000)
    star = POPULATIONS[name].redshift_max == 0
    redshift = 0.0 if star else float(np.interp(modulus, distance_modulus(grid), grid))
    kept = {key: one[key] for key in ("magnitude", "amplitude") if key in one}
    return redshift, float(modulus), {**kept, "host_dust": 0.0}


def _event(rng: np.random.Generator, name: str, x: np.ndarray) -> Event:
    """The event of coordinates (3, 6)."""
    best = _best(x)
    top, log_peak = villar.peak(x[best])
    magnitude = ZERO_POINT - POGSON * log_peak
    redshift, modulus, parameters = _distance(rng, name, magnitude)
    # It begins where the rise has a share of the peak flux.
    time = top - 20 * np.exp(x[best, 2]) * np.linspace(1.0, 0.0, 200)
    log_flux = villar.log_flux(time, x[best])
    x[:, 1] -= float(np.interp(np.log(_BEGINNING), log_flux - log_flux[-1], time))

    def flux(days, band):
        return np.where(np.asarray(days) > 0, np.exp(villar.log_flux(days, x[band])), 0.0)

    days = np.arange(0.0, _LONGEST, 2.0)
    seen = np.flatnonzero(flux(days, np.full(len(days), best)) > 10 ** (-0.4 * (_FAINT - ZERO_POINT)))
    duration = float(days[seen[-1]] + 2.0) if len(seen) else 2.0
    # `amplitude` without a band is that of an outburst above its star.
    for band, values in zip(BANDS, villar.from_coordinates(x).tolist()):
        parameters |= {f"{key}_{band}": value for key, value in zip(villar.NAMES, values)}
    return Event(name, redshift, modulus, float(magnitude), duration, flux, parameters)
