"""Fits of observed light curves with Villar's function: the parameters that nature draws.

All bands of a source are fitted together. A band is described by the parameters of r and its differences to
them, both with Gaussian priors. The sum

    sum_k rho((flux_k - F(t_k)) / sigma_k) + sum_j ((x_j - prior mean_j) / prior spread_j)²

is minimised by Levenberg and Marquardt's method (MINPACK) with an analytic Jacobian, rho(r) = 2 c²
(sqrt(1 + (r / c)²) - 1) with c = 3, so that an outlier pulls with a constant force.

Notable:
- the start is the best of a grid; where it ends badly, a second start of another shape is tried
- r is the reference even of sources without r: its curve is then the prior's; we return none
- errors are those of the Gaussian approximation, prior included, times sqrt(chi2) where chi2 exceeds 1
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import leastsq

from rtf.alerts.history import BANDS, SourceHistory
from rtf.classes import FINE, UNKNOWN
from rtf.files import whole
from rtf.simulation import villar
from rtf.simulation.detections import POGSON, ZERO_POINT
from rtf.workers import in_processes

REFERENCE = BANDS.index("r")  # band whose parameters the other bands are compared with

# Mean and spread of the coordinates in r (amplitude against the brightest detection, t0 against its time) and
# of those in g and i against r. Time scales: fits of 6,000 ZTF supernovae (de Soto et al. 2024), with spreads
# at least as wide as theirs. g is earlier and faster (same source); i mirrors g.
_PRIOR = {
    1: [[0.0, 2.0], [0.0, 30.0], [1.53, 1.0], [3.51, 0.8], [3.28, 0.75], [-1.25, 1.5]],
    0: [[0.0, 0.8], [-2.0, 4.0], [-0.35, 0.45], [-0.34, 0.6], [-0.10, 0.4], [-0.2, 1.0]],
    2: [[0.0, 0.8], [1.0, 4.0], [0.15, 0.45], [0.20, 0.6], [0.05, 0.4], [0.0, 1.0]],
}
_REACH = 6.0  # spreads of the prior within which the function is evaluated
_LOSS = 3.0  # sigmas from which a detection counts as an outlier
_COMPANY = 30.0  # days within which a detection needs another, to be taken for the peak
_AGAIN = 1.2  # reduced chi2 above which a second start is tried


def _grid(*axes) -> np.ndarray:
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], -1)


_BEGIN = np.array([-40.0, -28.0, -20.0, -14.0, -9.0, -5.0, -2.0, 1.0])  # of t0, days after the brightest
#: Starts in r: one grid a shape, the second of a steep decline that becomes a slow one (type Ia supernovae).
_STARTS = (
    _grid(0.0, _BEGIN, np.log([1.2, 3.5, 10]), np.log([10, 30, 80]), np.log([8, 30, 80]), -1.0),
    _grid(0.0, _BEGIN, np.log([1.2, 3.5, 10]), np.log([30, 80]), np.log([20, 35, 60]), 1.8),
)


class Settings(NamedTuple):
    min_detections: int = 5  # fewest of all bands together
    min_in_band: int = 3  # fewest in the band that has most
    floor: float = 0.03  # relative error added in quadrature [mag]
    before: float = 100.0  # days about the brightest detection within which detections are used
    after: float = 200.0

    def check(self) -> None:
        """Raises ValueError for numbers that make no sense."""
        if self.floor < 0 or self.before < 0 or self.after < 0 or self.min_in_band < 1:
            raise ValueError(f"impossible settings of a fit: {self._asdict()}")


class Fit(NamedTuple):
    """A fitted source; arrays run over `BANDS` and are NaN for a band without detections."""

    object_id: str
    label: int
    values: np.ndarray  # (3, 6), as `villar.NAMES`; amplitude with zero point 25, t0 [MJD]
    errors: np.ndarray  # (3, 6), 1 sigma
    n: np.ndarray  # (3,) int, detections used
    brightest: np.ndarray  # (3,) magnitude of the brightest of them
    peak_mjd: np.ndarray  # (3,) of the fitted curve
    peak_mag: np.ndarray
    chi2: float  # per degree of freedom
    dof: float  # detections less the effective number of parameters (the trace of the hat matrix)


class Failure(NamedTuple):
    object_id: str
    reason: str


class _Data(NamedTuple):
    """Detections in units of the brightest, days from it, and the prior of the coordinates they need."""

    blocks: list[int]
    rows: list[np.ndarray]
    time: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def fit(history: SourceHistory, settings: Settings = Settings()) -> Fit | Failure:  # noqa: B008
    """Fit one source, in whatever order its detections are; ValueError for impossible settings."""
    settings.check()
    mjd, band, mag, magerr, first = _window(history, settings)
    count = np.bincount(band, minlength=len(BANDS))
    if len(mjd) < settings.min_detections:
        return Failure(history.object_id, f"fewer than {settings.min_detections} detections")
    if count.max() < settings.min_in_band:
        return Failure(history.object_id, f"fewer than {settings.min_in_band} detections in every band")
    flux = 10 ** (-0.4 * (mag - mag[first]))
    sigma = flux / POGSON * np.hypot(magerr, settings.floor)
    blocks = [REFERENCE, *(b for b in np.unique(band).tolist() if b != REFERENCE)]
    rows = [np.flatnonzero(band == b) for b in blocks]
    data = _Data(blocks, rows, mjd - mjd[first], flux, sigma, *np.concatenate([_PRIOR[b] for b in blocks]).T)
    x, converged = _minimise(data)
    if not (converged and np.isfinite(x).all()):
        return Failure(history.object_id, "did not converge")
    return _described(history, data, x, mjd[first], mag[first], band, mag, count)


def _window(history: SourceHistory, settings: Settings):
    """mjd, band, mag, magerr of the detections near the brightest, in an order of their own; its index."""
    order = np.lexsort((history.magerr, history.mag, history.band, history.mjd))
    mjd, mag, magerr = (np.asarray(c, float)[order] for c in (history.mjd, history.mag, history.magerr))
    band = np.asarray(history.band, int)[order]
    if not len(mjd):
        return mjd, band, mag, magerr, 0
    gap = np.diff(mjd, prepend=-np.inf, append=np.inf)
    company = np.minimum(gap[1:], gap[:-1]) <= _COMPANY
    first = int(np.argmin(np.where(company, mag, mag + 100.0)))
    since = mjd - mjd[first]
    keep = (since >= -settings.before) & (since <= settings.after)
    return mjd[keep], band[keep], mag[keep], magerr[keep], int(keep[:first].sum())


def _of_bands(x: np.ndarray, n_blocks: int) -> np.ndarray:
    """(blocks, P) coordinates of each band from those of r and the differences to them."""
    bands = x.reshape(n_blocks, -1).copy()
    bands[1:] += bands[0]
    return bands


def _residuals(x: np.ndarray, data: _Data) -> tuple[np.ndarray, np.ndarray]:
    """(L,) residuals in sigmas, and their Jacobian (L, X)."""
    bands = _of_bands(x, len(data.blocks))
    size = bands.shape[1]
    curve, jacobian = np.zeros(len(data.time)), np.zeros((len(data.time), len(x)))
    for k, rows in enumerate(data.rows):
        log_flux, gradient = villar.log_flux_gradient(data.time[rows], bands[k])
        curve[rows] = np.exp(np.minimum(log_flux, 50.0))
        gradient *= (curve[rows] / data.sigma[rows])[:, None]
        jacobian[rows, :size] = gradient
        jacobian[rows, k * size : (k + 1) * size] = gradient
    return (curve - data.flux) / data.sigma, jacobian


def _minimise(data: _Data) -> tuple[np.ndarray, bool]:
    """Coordinates (X,) of the least cost, and whether the search ended there."""
    best = (np.inf, data.mean, False)
    low, high = data.mean - _REACH * data.spread, data.mean + _REACH * data.spread

    def both(x):
        residual, jacobian = _residuals(np.clip(x, low, high), data)
        root = np.sqrt(1 + (residual / _LOSS) ** 2)
        # A residual whose square is rho: sqrt(2) r / sqrt(1 + root), free of cancellation near 0.
        robust = residual * np.sqrt(2 / (1 + root))
        slope = np.sqrt((1 + root) / 2) / root
        return (
            np.concatenate([robust, (x - data.mean) / data.spread]),
            np.concatenate([jacobian * slope[:, None], np.diag(1 / data.spread)]),
        )

    for starts in _STARTS:
        x, _, info, _, status = leastsq(
            lambda x: both(x)[0], _start(starts, data), Dfun=lambda x: both(x)[1],
            full_output=True, maxfev=200, xtol=1e-5, ftol=1e-5,
        )  # fmt: skip
        cost = float(info["fvec"] @ info["fvec"])
        if cost < best[0]:
            best = (cost, x, status in (1, 2, 3, 4))
        if best[0] < _AGAIN * len(data.time):
            break
    return best[1:]


def _start(grid: np.ndarray, data: _Data) -> np.ndarray:
    """The point of a grid of r's coordinates (K, P), with the amplitudes that suit it, of the least cost."""
    size = grid.shape[1]
    offset = data.mean.reshape(-1, size).copy()
    offset[0] = 0.0
    offset[:, 0] = 0.0  # amplitudes are solved for
    amplitude = np.zeros((len(grid), len(data.blocks)))
    spread = data.spread[:size]
    cost = (((grid - data.mean[:size]) / spread)[:, 2:] ** 2).sum(1)
    for k, rows in enumerate(data.rows):
        if not len(rows):  # r itself
            continue
        shape = villar.log_flux(data.time[rows], (grid + offset[k])[:, None, :]) - np.log(data.sigma[rows])
        shape = np.exp(np.clip(shape, -50.0, 50.0))
        seen = data.flux[rows] / data.sigma[rows]
        scale = np.maximum(shape @ seen, 1e-30) / np.maximum((shape * shape).sum(1), 1e-30)
        residual = (seen - scale[:, None] * shape) / _LOSS
        amplitude[:, k] = np.log(scale)
        cost += (amplitude[:, k] / spread[0]) ** 2
        cost += 2 * _LOSS**2 * (np.sqrt(1 + residual**2) - 1).sum(1)
    best = np.argmin(cost)
    x = data.mean.copy()
    x[:size] = grid[best]
    with_data = [k for k, rows in enumerate(data.rows) if len(rows)]
    x[0] = amplitude[best, with_data[0]]
    for k in filter(None, with_data):
        x[k * size] = amplitude[best, k] - x[0]
    return x


def _described(history, data: _Data, x, origin, zero, band, mag, count) -> Fit:
    """The `Fit` of coordinates `x` with times from `origin` [MJD] and fluxes in units of magnitude `zero`."""
    residual, jacobian = _residuals(x, data)
    information = jacobian.T @ jacobian
    covariance = np.linalg.inv(information + np.diag(data.spread**-2.0))
    dof = max(len(residual) - float(np.trace(covariance @ information)), 1.0)
    chi2 = float(residual @ residual) / dof
    covariance *= max(chi2, 1.0)

    size = len(villar.NAMES)
    values, errors = np.full((2, len(BANDS), size), np.nan)
    brightest, peak_mjd, peak_mag = np.full((3, len(BANDS)), np.nan)
    coordinates = _of_bands(x, len(data.blocks))
    coordinates[:, 0] += 0.4 * np.log(10) * (ZERO_POINT - zero)
    for k, b in enumerate(data.blocks):
        if not count[b]:
            continue
        pick = np.zeros((size, len(x)))
        pick[:, :size] = pick[:, k * size : (k + 1) * size] = np.eye(size)
        values[b] = villar.from_coordinates(coordinates[k])
        steps = 1e-5 * np.eye(size)  # the Jacobian by central differences
        ends = (villar.from_coordinates(coordinates[k] + sign * steps) for sign in (1, -1))
        slope = (np.subtract(*ends) / 2e-5).T @ pick
        errors[b] = np.sqrt(np.diag(slope @ covariance @ slope.T))
        peak_mjd[b], log_peak = villar.peak(coordinates[k])
        peak_mag[b] = ZERO_POINT - POGSON * log_peak
        brightest[b] = mag[band == b].min()
    values[:, 1] += origin
    peak_mjd += origin
    return Fit(
        history.object_id, history.label, values, errors, count, brightest, peak_mjd, peak_mag,
        chi2, dof,
    )  # fmt: skip


def curve_magnitude(fit: Fit, mjd, band: int) -> np.ndarray:
    """Magnitude (T,) of a fit at times `mjd` (T,) in one band; NaN if that band has no fit."""
    log_flux = villar.log_flux(np.asarray(mjd, float), villar.to_coordinates(fit.values[band]))
    return ZERO_POINT - POGSON * log_flux


def fit_many(
    histories: list[SourceHistory],
    settings: Settings = Settings(),  # noqa: B008
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[Fit], list[Failure]]:
    """Fit sources in `workers` processes (0: in this one; None: one a core), in the order of `histories`."""
    settings.check()
    # Stamps and metadata stay here.
    jobs = [(replace(h, metadata=h.metadata[:, :0], cutouts=None), settings) for h in histories]
    results = {}
    for k, result in in_processes(fit, jobs, workers):
        results[k] = result
        progress(1)
    every = [results[k] for k in range(len(jobs))]
    return [r for r in every if isinstance(r, Fit)], [r for r in every if isinstance(r, Failure)]


def to_table(fits: list[Fit]) -> pa.Table:
    """One row for each source and band with detections, sorted as given.

    `n` counts detections in the band, `n_detections` all; `chi2` (per degree of freedom) and `dof` are of the
    whole source; then comes each parameter `p` of the function and `p_error`.
    """
    names = villar.NAMES
    rows = [
        {
            "object_id": f.object_id, "type": "" if f.label == UNKNOWN else FINE[f.label], "label": f.label,
            "model": "villar", "band": BANDS[b], "n": int(f.n[b]), "n_detections": int(f.n.sum()),
            "chi2": f.chi2, "dof": f.dof, "brightest_mag": f.brightest[b], "peak_mjd": f.peak_mjd[b],
            "peak_mag": f.peak_mag[b],
        }
        | {name: f.values[b, k] for k, name in enumerate(names)}
        | {f"{name}_error": f.errors[b, k] for k, name in enumerate(names)}
        for f in fits
        for b in np.flatnonzero(f.n)
    ]  # fmt: skip
    columns = {"object_id": "string", "type": "string", "label": "int8", "model": "string", "band": "string"}
    columns |= {"n": "int32", "n_detections": "int32"}
    columns |= dict.fromkeys(("chi2", "dof", "brightest_mag", "peak_mjd", "peak_mag"), "float64")
    columns |= {column: "float64" for name in names for column in (name, f"{name}_error")}
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    return pa.Table.from_pylist(rows, schema)


def write_fits(fits: list[Fit], path: str | os.PathLike) -> None:
    """Write `to_table` as parquet, whole or not at all."""
    with whole(Path(path)) as temporary:
        pq.write_table(to_table(fits), temporary)


def summary(fits: list[Fit], failures: list[Failure]) -> str:
    """Lines a person can read: fitted, failed by reason, how well."""
    lines = [f"{len(fits):,} of {len(fits) + len(failures):,} sources fitted"]
    lines += [f"  {n:,} not: {reason}" for reason, n in Counter(f.reason for f in failures).most_common()]
    if fits:
        chi2 = np.array([f.chi2 for f in fits])
        low, middle, high = np.percentile(chi2, [10, 50, 90])
        lines.append(f"chi2 / dof: median {middle:.2f}, 80 % between {low:.2f} and {high:.2f}")
    return "\n".join(lines)
