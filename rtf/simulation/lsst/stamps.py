"""Science, template and difference stamps of LSST detections: 30 x 30 pixels of 0.2 arcsec, plain FITS [nJy].

Notable:
- the scene and its transforms are those of ZTF's stamps (`rtf.simulation.stamps`), with another pixel
- noise of a pixel follows from the visit's depth: that of a PSF fit over its noise-equivalent area
- forced photometry has no stamps; the first image is followed by its variance, as the survey sends it
"""

from functools import cache

import numpy as np

from rtf.alerts.history import NO_CUTOUTS, Cutouts
from rtf.alerts.surveys.lsst import LSST
from rtf.simulation.cadence import Visits
from rtf.simulation.lsst.detections import ELECTRONS, TEMPLATE_NOISE, LsstDetections, six_bands
from rtf.simulation.scene import Scene
from rtf.simulation.sky import Place
from rtf.simulation.stamps import image_of, mismatch, psf_of, shapes_of, waves

SIZE, PIXEL = LSST.stamp_size, LSST.pixel
CENTRE = SIZE // 2
_GRIDS, _EXTENT = (64, 96, 128, 192, 288), 2.5
_TEMPLATE_FWHM = 0.8  # of the template [arcsec]
_SKY = 10.0, 6.0  # left by the background's subtraction [nJy], mean and scatter
_SHIFT, _WIDTH = 0.06, 0.02  # errors of the PSF matching: shift [pixel], relative width
_BLOCK = 2880


def draw_stamps(
    rng: np.random.Generator, visits: Visits, detections: LsstDetections, scene: Scene, place: Place
) -> list[Cutouts]:
    """Science, template and difference of each row, FITS files; none of forced photometry."""
    phase = rng.random(2) - 0.5  # where in its pixel the source sits
    reach = np.maximum(np.abs(scene.dx), np.abs(scene.dy)) + _EXTENT * scene.radius
    needed = SIZE - CENTRE + reach.max() / PIXEL
    grid = next((grid for grid in _GRIDS if grid >= needed), _GRIDS[-1])
    rows, columns, galaxies = shapes_of(scene, phase, grid, CENTRE, PIXEL)
    ky, kx = waves(grid)
    point = np.exp(-1j * ky * (CENTRE + phase[1])) * np.exp(-1j * kx * (CENTRE + phase[0]))
    point = point.astype(np.complex64)
    light = (10 ** (0.4 * (31.4 - six_bands(scene)))).astype(np.float32)  # (N, 6) [nJy]
    frames: dict[int, tuple] = {}
    stamps: list[Cutouts] = []
    for visit, flux, forced in zip(detections.visit, detections.flux, detections.forced):
        if forced:
            stamps.append(NO_CUTOUTS)
            continue
        band, fwhm = int(visits.band[visit]), float(visits.fwhm[visit])
        sigma = pixel_noise(visits.depth[visit], fwhm)
        if band not in frames:
            # Not by BLAS, whose sums depend on its number of threads.
            spectrum = np.einsum("ys,sx->yx", rows * light[scene.star, band], columns)
            for share, galaxy in zip(light[~scene.star, band], galaxies):
                spectrum += share * galaxy
            template = image_of(spectrum * psf_of(_TEMPLATE_FWHM / PIXEL, grid), SIZE)
            noise = TEMPLATE_NOISE * sigma * rng.standard_normal((SIZE, SIZE), np.float32)
            variance = np.full_like(template, (TEMPLATE_NOISE * sigma) ** 2)
            frames[band] = spectrum, noise, _pack(template + noise + 0.3 * _SKY[0], variance)
        spectrum, template_noise, packed = frames[band]
        psf = psf_of(fwhm, grid)
        blurred = spectrum * psf
        source = image_of(point * np.float32(flux) * psf, SIZE)
        science = image_of(blurred, SIZE) + source
        white, normal = rng.standard_normal((SIZE, SIZE), np.float32), rng.standard_normal(5)
        variance = (sigma**2 + np.maximum(science, 0) / ELECTRONS[band]).astype(np.float32)
        noise = white * np.sqrt(variance)
        left = image_of(blurred * mismatch(*(_SHIFT * normal[:2]), _WIDTH * normal[2], fwhm, grid), SIZE)
        sky = _SKY[0] + _SKY[1] * normal[3]
        difference = source + noise - template_noise + left + 0.2 * _SKY[1] * normal[4]
        own = variance + np.float32((TEMPLATE_NOISE * sigma) ** 2)
        stamps.append((_pack(science + noise + sky, variance), packed, _pack(difference, own)))
    return stamps


def pixel_noise(depth: float, fwhm: float) -> float:
    """Noise of a pixel of empty sky [nJy] where a PSF of FWHM [pixel] reaches `depth` [mag] at 5 sigma."""
    return float(10 ** (0.4 * (31.4 - depth)) / 5 / np.sqrt(2.27 * fwhm**2))


def _pack(image: np.ndarray, variance: np.ndarray) -> bytes:
    """An image and its variance (h, w) as FITS, in nJy and its square."""
    return b"".join(
        _header(first, *pixels.shape) + _padded(pixels.astype(">f4").tobytes())
        for first, pixels in ((True, image), (False, variance))
    )


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _BLOCK)


@cache
def _header(first: bool, rows: int, columns: int) -> bytes:
    start = f"{'SIMPLE':8}= {'T':>20}" if first else f"{'XTENSION':8}= 'IMAGE   '"
    numbers = {"BITPIX": -32, "NAXIS": 2, "NAXIS1": columns, "NAXIS2": rows}
    cards = [start, *(f"{name:8}= {value:20d}" for name, value in numbers.items())]
    if first:
        cards += [f"{'EXTEND':8}= {'T':>20}", "BUNIT   = 'nJy     '"]
    else:
        cards += [f"{'PCOUNT':8}= {0:20d}", f"{'GCOUNT':8}= {1:20d}", "EXTNAME = 'VARIANCE'"]
    return "".join(f"{card:80}" for card in [*cards, "END"]).encode().ljust(_BLOCK)
