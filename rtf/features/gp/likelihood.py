"""Kernels of many light curves by maximum marginal likelihood, without a single matrix.

Notable:
- a Matern-3/2 process with its slope is a Markov process of two numbers, so the exact likelihood of n
  detections takes n steps of a Kalman filter
- a step is elementwise arithmetic on whole arrays: all light curves, lengths and amplitudes advance together,
  with the same bits alone and in any company. Sorted by length, ended ones drop off the end without padding
- the known errors are the only noise: with four detections a fitted one would explain all of them
- a grid over the whole range comes first, for the likelihood often has two maxima; then parabolas through
  ever finer stencils of nine points

Arrays run over detections n, then light curves P. The kernel is sklearn's ConstantKernel * Matern(nu=1.5).
Source: Hartikainen & Sarkka 2010, IEEE MLSP, "Kalman filtering and smoothing solutions to temporal Gaussian
process regression models".
"""

import numpy as np

#: Range of the kernel: length [day] and standard deviation [mag]; a fit may end at its edge.
LENGTHS = (2.0, 256.0)
AMPLITUDES = (0.03, 3.0)
_GRID = (np.geomspace(*LENGTHS, 8), np.geomspace(*AMPLITUDES, 5))
_LOW, _HIGH = np.log([LENGTHS, AMPLITUDES]).T
_STEP = np.log([axis[1] / axis[0] for axis in _GRID])
#: Spacings of the finer stencils in grid steps.
_FINER = (0.5, 0.3, 0.1)
#: Light curves that advance together: enough to forget what a call costs, few enough for the cache.
_CHUNK = 384
#: Steps between logarithms of the product of the innovations' variances: 1e-6 to the 16th is a float.
_LOG_EVERY = 16


def log_likelihood(count, days, y, variance, lengths, amplitudes) -> np.ndarray:
    """Log marginal likelihood of P light curves at S lengths and, for each, R amplitudes.

    Parameters
    ----------
    count : (P,) detections of each light curve, falling
    days, y, variance : (n, P) time [day], magnitude less its prior mean, and noise variance, which must be
        positive; whatever lies beyond `count` is not looked at
    lengths, amplitudes : (S, P) [day] and (S, R, P) [mag]

    Returns
    -------
    (S, R, P)
    """
    # The state is brightness and slope, in units where both have the amplitude's variance far from any data;
    # d is their covariance less that of the prior, divided by the amplitude squared.
    power = amplitudes * amplitudes
    rate = np.sqrt(3.0) / lengths[:, None]
    value, slope, d_value, d_cross, d_slope, misfit, logarithms = np.zeros((7, *amplitudes.shape))
    product = np.ones(amplitudes.shape)
    active = np.searchsorted(-count, -np.arange(len(days)), "left")
    for k, c in enumerate(active):
        now = (slice(None), slice(None), slice(c))
        m, s, a, b, d = (x[now] for x in (value, slope, d_value, d_cross, d_slope))
        if k:
            x = rate[now] * (days[k, :c] - days[k - 1, :c])
            decay = np.exp(-x)
            f, g, h = (1.0 + x) * decay, x * decay, (1.0 - x) * decay
            m, s = f * m + g * s, h * s - g * m
            top, corner = f * a + g * b, f * b + g * d
            low, end = h * b - g * a, h * d - g * b
            a, b, d = f * top + g * corner, h * corner - g * top, h * end - g * low
        a_prior = a + 1.0
        innovation = a_prior + variance[k, :c] / power[now]
        residual = y[k, :c] - m
        gain, gain_slope = a_prior / innovation, b / innovation
        value[now] = m + gain * residual
        slope[now] = s + gain_slope * residual
        d_value[now] = a - gain * a_prior
        d_slope[now] = d - gain_slope * b
        d_cross[now] = b - gain * b
        misfit[now] += residual * residual / innovation
        product[now] *= innovation
        if k % _LOG_EVERY == _LOG_EVERY - 1:
            logarithms += np.log(product)
            product[:] = 1.0
    logarithms += np.log(product) + count * np.log(2 * np.pi * power)
    return -0.5 * (misfit / power + logarithms)


def fit_kernels(count, days, y, variance) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernels of maximum marginal likelihood within `LENGTHS` and `AMPLITUDES`; arguments as above.

    Returns amplitude [mag], length [day] and log likelihood, (P,) each.
    """
    found = np.empty((3, len(count)))
    for start in range(0, len(count), _CHUNK):
        some = slice(start, start + _CHUNK)
        n = count[start]
        found[:, some] = _fit_chunk(count[some], *(x[:n, some] for x in (days, y, variance)))
    return tuple(found)


def _fit_chunk(*light_curves):
    p = len(light_curves[0])
    lengths, amplitudes = (np.log(axis) for axis in _GRID)
    lengths = np.broadcast_to(lengths[:, None], (len(lengths), p))
    amplitudes = np.broadcast_to(amplitudes[:, None], (len(lengths), len(amplitudes), p))
    coarse = log_likelihood(*light_curves, np.exp(lengths), np.exp(amplitudes))
    everyone = np.arange(p)
    cell = np.stack(np.divmod(coarse.reshape(-1, p).argmax(0), coarse.shape[1]))
    place, highest = _LOW[:, None] + _STEP[:, None] * cell, coarse[cell[0], cell[1], everyone]

    # A best cell at the edge of the grid looks at the parabola one cell further in.
    limits = np.array(coarse.shape[:2])[:, None] - 2
    centre = np.clip(cell, 1, limits)
    i, j = (centre[axis] + np.arange(-1, 2)[:, None] for axis in (0, 1))
    along, across = _summit(coarse[i[:, None], j[None], everyone])
    guess = _LOW[:, None] + _STEP[:, None] * (centre + np.stack([along, across]))
    for finer in (*_FINER, 0.0):
        # A longer kernel with a larger amplitude is much the same curve: the stencil leans along that ridge.
        step = finer * _STEP
        guess = np.clip(guess, _LOW[:, None], _HIGH[:, None])
        around = np.arange(-1, 2) if finer else np.zeros(1)
        lengths = guess[0] + step[0] * around[:, None]
        amplitudes = (guess[1] + step[0] * around[:, None])[:, None] + step[1] * around[:, None]
        lengths = np.clip(lengths, _LOW[0], _HIGH[0])
        amplitudes = np.clip(amplitudes, _LOW[1], _HIGH[1])
        values = log_likelihood(*light_curves, np.exp(lengths), np.exp(amplitudes))
        i, j = np.divmod(values.reshape(-1, p).argmax(0), len(around))
        point = np.stack([lengths[i, everyone], amplitudes[i, j, everyone]])
        value = values[i, j, everyone]
        place = np.where(value > highest, point, place)
        highest = np.maximum(value, highest)
        if finer:
            along, across = _summit(values)
            guess = guess + np.stack([step[0] * along, step[0] * along + step[1] * across])
    return np.exp(place[1]), np.exp(place[0]), highest


def _summit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the parabola through a (3, 3, P) stencil is highest, in steps from its centre, (P,) each.

    Where it has no summit, or none within a step of the stencil's own best point, that point.
    """
    i, j = np.divmod(values.reshape(9, -1).argmax(0), 3)
    slope_i, bend_i = 0.5 * (values[2, 1] - values[0, 1]), values[2, 1] + values[0, 1] - 2 * values[1, 1]
    slope_j, bend_j = 0.5 * (values[1, 2] - values[1, 0]), values[1, 2] + values[1, 0] - 2 * values[1, 1]
    cross = 0.25 * (values[2, 2] + values[0, 0] - values[0, 2] - values[2, 0])
    determinant = bend_i * bend_j - cross * cross
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        along = (cross * slope_j - bend_j * slope_i) / determinant
        across = (cross * slope_i - bend_i * slope_j) / determinant
        near = (np.abs(along - i + 1) <= 1) & (np.abs(across - j + 1) <= 1)
    trusted = (bend_i < 0) & (determinant > 0) & near
    return np.where(trusted, along, i - 1), np.where(trusted, across, j - 1)
