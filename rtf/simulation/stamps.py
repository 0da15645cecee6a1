"""Science, template and difference stamps of every alert of a source, as the gzipped FITS that ZTF sends.

Notable:
- the scene is drawn once per source in Fourier space, where a visit's seeing is a product
- profiles come from galsim as two curves over wave number, that of a Moffat PSF and that of a Sérsic bulge;
  exponential discs are analytic. Both scale, so that the curves serve every seeing and every galaxy
- the transform runs over twice the wave numbers that the pixels hold and folds them back: ZTF undersamples
  its PSF, and without the aliases every star would ring
- one template per source and band; exposures of a source share a pixel grid, a zero point and a sky level
- the source in the difference is always positive, as in real alerts; what the PSF matching leaves on bright
  objects is a dipole, a ring and speckles
- row 0 is north and column 0 east, the source is within half a pixel of (31, 31); saturation is left out, but
  the brightest stars are masked with NaN

Calibrated on the cutouts of 299 real alerts (Fink, and Avro packets as sent).
"""

import zlib
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from scipy import fft

from rtf.alerts.cutouts import SIZE
from rtf.alerts.history import Cutouts
from rtf.simulation.cadence import Visits
from rtf.simulation.detections import Detections
from rtf.simulation.scene import Scene
from rtf.simulation.sky import Place

PIXEL = 1.01  # [arcsec]
CENTRE = SIZE // 2
GAIN = 6.2  # electrons per DN
#: Zero point [mag] of stamps, flux 1 DN, in g, r, i, and its scatter between exposures (`magzpsci`).
ZERO_POINT, _ZERO_SCATTER = np.array([26.27, 26.27, 25.70]), 0.08
#: Median sky level in g, r, i [DN] and its scatter in ln; it is the same in science and template.
_SKY, _SKY_SCATTER = np.array([120.0, 215.0, 280.0]), np.array([0.33, 0.40, 0.40])
#: Sky of science minus that of template, and of the difference [DN].
_SKY_STEP, _SKY_LEFT = (0.2, 0.7), (0.15, 0.6)
#: Moffat index of stars; FWHM of stars over the `fwhm` that the alert quotes (a SExtractor measure).
MOFFAT, STARS_OVER_QUOTED = 3.3, 0.91
#: FWHM of the template [pixel], before pixels widen it to 2.1, and its noise [DN]: medians, scatter in ln.
#: Resampling has mixed neighbouring pixels of that noise (correlation 0.27 with the next).
_TEMPLATE_FWHM, _TEMPLATE_NOISE, _TEMPLATE_TAP = (1.92, 0.09), (1.5, 0.22), 0.14
#: Noise of a pixel of the science stamp over that of the difference; correlation of the noise of the
#: difference with that of science minus template; share that its own part takes of neighbouring pixels.
_SCIENCE_NOISE, _SHARED, _OWN_TAP = 1.04, 0.945, 0.05
#: Errors of the PSF matching: shift [pixel], relative width, and speckles where an image is rough; together
#: they leave some 5 % of the flux in the pixels of a star's core.
_SHIFT, _WIDTH, _SPECKLES = 0.05, 0.025, 0.06
#: Glow of the Galaxy's dust: rms in the stamp per E(B-V) in g, r, i [DN / mag], scatter in ln, and the slope
#: of its power spectrum (Gautier et al. 1992).
_GLOW, _GLOW_SCATTER, _GLOW_SLOPE = np.array([0.8, 1.2, 1.2]), 0.9, 3.0
_SEEING_STEP = 0.025  # seeing is rounded to steps of this in ln
#: Stars brighter than this [mag] are masked; all masks are squares of `_MASK` pixels, as the survey's are.
_SATURATED, _MASK = 12.4, 12
#: Shares: of sources with masked squares, and with a masked band along an edge, in all of their stamps; of
#: alerts at the edge of a chip, whose stamps are smaller.
_MASKED, _BANDED, _CHIP_EDGE = 0.06, 0.02, 0.006
_STRATEGY = zlib.Z_RLE  # noise has no repeats to search for

#: Pixels a side of the periodic grid of a scene: no galaxy comes back from the other side, to `_EXTENT`
#: half-light radii.
_GRIDS, _EXTENT = (80, 128, 192, 400), 3.0
#: Where the waves of glowing dust are that matter: 20 pixels and longer.
_LOW = (slice(0, 5), slice(0, 5))
_BLOCK = 2880


class _Frame(NamedTuple):
    """What the stamps of a band share."""

    spectrum: np.ndarray  # transform of the scene [DN]
    zero_point: float
    sky: float
    template: np.ndarray
    packed: bytes
    noise: np.ndarray  # of the template


def draw_stamps(
    rng: np.random.Generator, visits: Visits, detections: Detections, scene: Scene, place: Place
) -> list[Cutouts]:
    """Science, template and difference of each alert: gzipped FITS, 63 x 63 float32 [DN], masked with NaN."""
    phase = rng.random(2) - 0.5  # where in its pixel the source sits
    reach = np.maximum(np.abs(scene.dx), np.abs(scene.dy)) + _EXTENT * scene.radius
    needed = SIZE - CENTRE + reach.max() / PIXEL
    grid = next((grid for grid in _GRIDS if grid >= needed), _GRIDS[-1])
    shapes = shapes_of(scene, phase, grid)
    ky, kx = waves(grid)
    point = np.exp(-1j * ky * (CENTRE + phase[1])) * np.exp(-1j * kx * (CENTRE + phase[0]))
    point = point.astype(np.complex64)
    glow = _draw_glow(rng, place.dust, grid)
    masked = _draw_mask(rng, scene, phase)
    frames: dict[int, _Frame] = {}
    stamps = []
    for visit, magnitude, positive in zip(detections.visit, detections.mag, detections.positive):
        band = int(visits.band[visit])
        if band not in frames:
            frames[band] = _draw_frame(rng, scene, shapes, glow, masked, band)
        frame = frames[band]
        flux = 10 ** (-0.4 * (magnitude - frame.zero_point))
        source = point * float(flux if positive else -flux)
        science, difference = _draw_visit(rng, frame, source, visits.fwhm[visit], visits.depth[visit])
        if not positive:
            difference = -difference
        science[masked] = difference[masked] = np.nan
        if rng.random() < _CHIP_EDGE:
            # A chip's upper or right edge, the ones seen in real alerts.
            cut = slice(0, int(rng.integers(CENTRE + 4, SIZE)))
            part = (cut, slice(None)) if rng.random() < 0.5 else (slice(None), cut)
            stamps.append(tuple(_pack(image[part]) for image in (science, frame.template, difference)))
        else:
            stamps.append((_pack(science), frame.packed, _pack(difference)))
    return stamps


def _draw_frame(rng: np.random.Generator, scene: Scene, shapes, glow, masked, band: int) -> _Frame:
    zero_point = ZERO_POINT[band] + _ZERO_SCATTER * rng.standard_normal()
    flux = (10 ** (-0.4 * (scene.magnitudes[:, band] - zero_point))).astype(np.float32)
    # Not by BLAS, whose sums depend on its number of threads: the same seed shall give the same bytes.
    rows, columns, galaxies = shapes
    spectrum = np.einsum("ys,sx->yx", rows * flux[scene.star], columns)
    for share, galaxy in zip(flux[~scene.star], galaxies):
        spectrum += share * galaxy
    spectrum += np.float32(_GLOW[band]) * glow
    normal = rng.standard_normal(3)
    sky = float(_SKY[band] * np.exp(_SKY_SCATTER[band] * normal[0]))
    fwhm = _TEMPLATE_FWHM[0] * np.exp(_TEMPLATE_FWHM[1] * normal[1])
    image = image_of(spectrum * psf_of(fwhm, len(spectrum) // 2))
    sigma = float(_TEMPLATE_NOISE[0] * np.exp(_TEMPLATE_NOISE[1] * normal[2]))
    noise = _noise(rng, _TEMPLATE_TAP)
    # A reference is a stack of some twenty exposures: the photon noise is that of their mean.
    noise *= np.sqrt(sigma**2 + np.maximum(image, 0) / (20 * GAIN))
    template = image + noise + sky
    template[masked] = np.nan
    return _Frame(spectrum, zero_point, sky, template, _pack(template), noise)


def _draw_visit(rng: np.random.Generator, frame: _Frame, source: np.ndarray, fwhm: float, depth: float):
    """Science and science minus template, (63, 63) float32, of one exposure of a source's transform."""
    grid = len(frame.spectrum) // 2
    psf = psf_of(STARS_OVER_QUOTED * fwhm, grid)
    blurred = frame.spectrum * psf
    static, source = image_of(blurred), image_of(source * psf)
    white = rng.standard_normal((2, SIZE, SIZE), np.float32)
    normal = rng.standard_normal(6).astype(np.float32)
    sigma = float(pixel_noise(depth, fwhm, frame.zero_point) * np.exp(0.1 * normal[0]))

    noise = white[0] * np.sqrt((_SCIENCE_NOISE * sigma) ** 2 + np.maximum(static + source, 0) / GAIN)
    science = static + source + noise + (frame.sky + _SKY_STEP[0] + _SKY_STEP[1] * normal[1])

    shared = _SHARED / _SCIENCE_NOISE * (noise - frame.noise)
    own = float(np.sqrt(1 - _SHARED**2)) * sigma * _noise(rng, _OWN_TAP)
    residual = image_of(blurred * mismatch(*(_SHIFT * normal[2:4]), _WIDTH * normal[4], fwhm, grid))
    residual += _SPECKLES * roughness(static) * white[1]
    difference = source + shared + own + residual
    return science, difference + (_SKY_LEFT[0] + _SKY_LEFT[1] * normal[5])


def pixel_noise(depth: float, fwhm: float, zero_point: float) -> float:
    """Noise [DN] of empty sky in a difference of limiting magnitude `depth`: a fit to 246 real stamps."""
    limit = 10 ** (-0.4 * (depth - zero_point))
    return 8.3 * (limit / 300) ** 0.71 * (fwhm / 2.1) ** -0.15


# The scene in Fourier space. Axis 0 is y (rows), axis 1 x (columns).


@cache
def waves(grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers ky (2G, 1) and kx (1, G + 1) [radian / pixel], twice as many as G x G pixels hold."""
    ky = 2 * np.pi * np.fft.fftfreq(2 * grid, 0.5)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(2 * grid, 0.5)[None]
    return ky, kx


def image_of(spectrum: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The stamp (size, size) float32 whose pixels sample a spectrum (2G, G + 1); aliases fold back."""
    grid = len(spectrum) // 2
    half = grid // 2 + 1
    rows = spectrum[:grid] + spectrum[grid:]
    folded = rows[:, :half].copy()
    mirrored = rows[-np.arange(grid) % grid]  # the negative wave number of each row
    folded += mirrored[:, grid : grid - half : -1].conj()
    return fft.irfft2(folded, (grid, grid), overwrite_x=True)[:size, :size]


def shapes_of(
    scene: Scene, phase: np.ndarray, grid: int, centre: int = CENTRE, pixel: float = PIXEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transforms of unit flux: (2G, S) and (S, G + 1), whose products are the stars, and (M, 2G, G + 1)."""
    ky, kx = waves(grid)
    x, y = centre + phase[0] - scene.dx / pixel, centre + phase[1] - scene.dy / pixel
    rows = np.exp(-1j * ky * y).astype(np.complex64)
    columns = np.exp(-1j * kx * x[:, None]).astype(np.complex64)
    galaxies = np.flatnonzero(~scene.star)
    images = np.empty((len(galaxies), 2 * grid, grid + 1), np.complex64)
    for image, k in zip(images, galaxies):
        image[:] = rows[:, k, None] * columns[k]
        image *= _galaxy(scene, k, grid, pixel)
    return rows[:, scene.star], columns[scene.star], images


def _draw_glow(rng: np.random.Generator, dust: float, grid: int) -> np.ndarray:
    """Transform (2G, G + 1) complex64 of the glow of dust, of rms 1 per E(B-V) times a log-normal scatter."""
    wave = np.hypot(*waves(grid))[_LOW]
    wave[0, 0] = np.inf  # the mean belongs to the sky
    normal = rng.standard_normal((2, *wave.shape))
    low = wave ** (-0.5 * _GLOW_SLOPE) * (normal[0] + 1j * normal[1])
    strength = dust * np.exp(_GLOW_SCATTER * rng.standard_normal())
    glow = np.zeros((2 * grid, grid + 1), np.complex64)
    # Parseval: half of the plane carries half of the variance.
    glow[_LOW] = low * (strength * grid**2 / np.sqrt(2 * (np.abs(low) ** 2).sum()))
    return glow


def _galaxy(scene: Scene, k: int, grid: int, pixel: float = PIXEL) -> np.ndarray:
    """Transform (2G, G + 1) float32 of galaxy `k` at the origin: nucleus, bulge and disc, of unit flux."""
    ky, kx = waves(grid)
    sine, cosine = np.sin(scene.angle[k]), np.cos(scene.angle[k])
    # East is to the left and north down: along both axes the sign changes, which an ellipse does not feel.
    major, minor = kx * sine + ky * cosine, (kx * cosine - ky * sine) * scene.axis_ratio[k]
    wave = (scene.radius[k] / pixel) ** 2 * (major**2 + minor**2)
    light = (1 + wave / 1.678347**2) ** -1.5  # of a disc of scale length radius / 1.678
    if (bulge := scene.bulge[k]) >= 0.01:
        light = (1 - bulge) * light + bulge * np.interp(np.sqrt(wave), *_curve("bulge"))
    return (scene.compact[k] + (1 - scene.compact[k]) * light).astype(np.float32)


def psf_of(fwhm: float, grid: int) -> np.ndarray:
    """Transform (2G, G + 1) float32 of the PSF of a seeing, integrated over pixels."""
    return _psf_of_step(round(np.log(fwhm) / _SEEING_STEP), grid)


@lru_cache(256)
def _psf_of_step(step: int, grid: int) -> np.ndarray:
    ky, kx = waves(grid)
    pixel = np.sinc(ky / (2 * np.pi)) * np.sinc(kx / (2 * np.pi))
    fwhm = np.exp(step * _SEEING_STEP)
    return (pixel * np.interp(np.hypot(ky, kx) * fwhm, *_curve("psf"))).astype(np.float32)


def mismatch(dx: float, dy: float, width: float, fwhm: float, grid: int) -> np.ndarray:
    """What matching leaves of a PSF, to first order: of a shift its gradient, of a width its Laplacian."""
    ky, kx = waves(grid)
    spread = width * (fwhm / 2.355) ** 2
    left = np.empty((2 * grid, grid + 1), np.complex64)
    left.real = -spread * (kx**2 + ky**2)
    left.imag = -(kx * dx + ky * dy)
    return left


@cache
def _curve(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Transform over wave number of a Moffat "psf" of FWHM 1, or a "bulge" of half-light radius 1."""
    import galsim  # slow to import

    psf = kind == "psf"
    profile = galsim.Moffat(MOFFAT, fwhm=1.0) if psf else galsim.DeVaucouleurs(half_light_radius=1.0)
    wave = np.concatenate([[0.0], np.geomspace(1e-3, 60.0 if psf else 600.0, 1500)])
    return wave, np.array([profile.kValue(k, 0.0).real for k in wave])


def _neighbours(image: np.ndarray) -> np.ndarray:
    """Sum of the four neighbours of each inner pixel."""
    return image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]


def roughness(image: np.ndarray) -> np.ndarray:
    """How far each pixel (63, 63) is from the mean of its four neighbours: far in stars, not in galaxies."""
    return np.pad(np.abs(image[1:-1, 1:-1] - 0.25 * _neighbours(image)), 1)


def _noise(rng: np.random.Generator, tap: float) -> np.ndarray:
    """Noise (63, 63) float32 of variance 1, each pixel having taken a share `tap` of its four neighbours."""
    white = rng.standard_normal((SIZE + 2, SIZE + 2), np.float32)
    return (white[1:-1, 1:-1] + tap * _neighbours(white)) * float((1 + 4 * tap**2) ** -0.5)


# Pixels without a measurement, and the file.


def _draw_mask(rng: np.random.Generator, scene: Scene, phase: np.ndarray) -> np.ndarray:
    """Pixels (63, 63) bool that are masked in every stamp of a source; none within 4 pixels of it."""
    mask = np.zeros((SIZE, SIZE), bool)
    corners = []
    if rng.random() < _MASKED:
        corners += list(rng.integers(1 - _MASK, SIZE, (1 + rng.poisson(0.5), 2)))
    for k in np.flatnonzero(scene.star & (scene.magnitudes[:, 1] < _SATURATED)):
        column, row = CENTRE + phase - np.array([scene.dx[k], scene.dy[k]]) / PIXEL
        corners.append((round(row) - _MASK // 2, round(column) - _MASK // 2))
    for y, x in corners:
        if not (CENTRE - 4 - _MASK < y < CENTRE + 5 and CENTRE - 4 - _MASK < x < CENTRE + 5):
            mask[max(y, 0) : max(y + _MASK, 0), max(x, 0) : max(x + _MASK, 0)] = True
    if rng.random() < _BANDED:
        band = np.arange(SIZE) < rng.integers(1, 24)
        mask |= np.rot90(np.broadcast_to(band, mask.shape), rng.integers(4))
    return mask


def _pack(image: np.ndarray) -> bytes:
    """An image (h, w) as gzipped FITS; the same image gives the same bytes."""
    # 31: a gzip header without time or name; 1, 8: level and memory, which this strategy hardly uses.
    pack = zlib.compressobj(1, zlib.DEFLATED, 31, 8, _STRATEGY)
    pixels = image.astype(">f4").tobytes()
    padding = bytes(-len(pixels) % _BLOCK)
    return pack.compress(_header(*image.shape) + pixels + padding) + pack.flush()


@cache
def _header(rows: int, columns: int) -> bytes:
    """The cards of ZTF's stamps."""
    numbers = {"BITPIX": -32, "NAXIS": 2, "NAXIS1": columns, "NAXIS2": rows}
    cards = [f"{'SIMPLE':8}= {'T':>20}", *(f"{name:8}= {value:20d}" for name, value in numbers.items())]
    cards += ["BUNIT   = 'DN      '", "END"]
    return "".join(f"{card:80}" for card in cards).encode().ljust(_BLOCK)
