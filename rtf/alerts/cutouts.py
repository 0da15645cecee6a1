"""Cutouts: the compressed stamp a survey sends, as pixels.

Notable:
- a stamp is a FITS file of one small image, gzipped or plain; of several images the first is it, variance and
  point-spread function come after it. Parsing it here is some 20 times faster than with
  astropy, and the tests hold it against astropy on every real cutout
- stamps of a survey share a handful of headers, so a parsed header is remembered
- what does not decode raises `BadCutout`; no pixel is ever made up
"""

import math
import re
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rtf.alerts.report import BadItem

SIZE = 63

_BLOCK = 2880
_CARD = 80
_GZIP = 31  # zlib's number for "a gzip header and trailer"
#: A few real templates mark missing pixels by the largest float, negative, in place of NaN.
_NO_PIXEL = 1e30
_LARGEST = 1 << 24  # bytes; a ZTF stamp has 20,160, and a small file can unpack to any size
_HEADER = 32 * _BLOCK  # bytes; a ZTF stamp has 2 blocks
_PIXEL = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
#: The BZERO by which FITS writes unsigned integers (signed ones for bytes), by BITPIX.
_UNSIGNED = {8: -128, 16: 2**15, 32: 2**31, 64: 2**63}
_FITS = b"SIMPLE  ="
_KEYWORDS = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "BSCALE", "BZERO", "BLANK")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([DE][+-]?\d+)?")


class BadCutout(BadItem):
    """A stamp that is not an image this module understands."""


class _Layout(NamedTuple):
    shape: tuple[int, ...]  # empty: no image
    dtype: np.dtype
    scale: float
    zero: float
    blank: int | None


def decode_cutout(stamp: bytes) -> np.ndarray:
    """The pixels of a stamp, (h, w) float32 in the survey's unit (ZTF: DN), NaN where nothing was measured.

    Parameters
    ----------
    stamp : a FITS file, gzipped or not, whose primary HDU is a two-dimensional image, or empty with such an
        image after it (FITS standard 4.0, sections 3, 4 and 7; pixels of any BITPIX, scaled by BSCALE and
        BZERO where given)

    Raises
    ------
    BadCutout : neither gzip nor FITS, cut short, or no two-dimensional image
    """
    raw, start, layout = _unpack(stamp)
    count = layout.shape[0] * layout.shape[1]
    image = np.frombuffer(raw, layout.dtype, count, start).reshape(layout.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        if layout.scale == 1 and layout.zero == 0:
            pixels = image.astype(np.float32)
        else:
            pixels = (image * layout.scale + layout.zero).astype(np.float32)
        pixels[np.abs(pixels) > _NO_PIXEL] = np.nan
    if layout.blank is not None:
        pixels[image == layout.blank] = np.nan
    return pixels


def check_cutout(stamp: bytes, largest: int = SIZE) -> None:
    """Make sure that a stamp has at most `largest` pixels a side and that `decode_cutout` cannot fail on it.

    Raises
    ------
    BadCutout
    """
    _, _, layout = _unpack(stamp)
    _check_size(layout.shape, largest)


def pad_cutout(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """An image (h, w) that a chip edge cut short, filled up to (size, size) float32 with NaN.

    Rows and columns are added at the high end: the upper and right edge in FITS orientation. That is where
    the sky is missing in every edge stamp of the test data, so the source stays in the centre. A stamp cut at
    the low end looks the same; its source ends up nearer to the corner, as in the published pipeline.

    Raises
    ------
    BadCutout : the image is larger than `size` or not two-dimensional
    """
    _check_size(image.shape, size)
    padded = np.full((size, size), np.nan, np.float32)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def centre_cutout(image: np.ndarray, size: int) -> np.ndarray:
    """The (size, size) float32 pixels around the middle of an image (h, w), NaN beyond its edges."""
    found = np.full((size, size), np.nan, np.float32)
    here, there = [], []
    for length in image.shape:
        start = (length - size) // 2
        here.append(slice(max(start, 0), max(start, 0) + min(length, size)))
        there.append(slice(max(-start, 0), max(-start, 0) + min(length, size)))
    found[tuple(there)] = image[tuple(here)]
    return found


def _check_size(shape: tuple[int, ...], size: int) -> None:
    if len(shape) != 2 or min(shape) < 1 or max(shape) > size:
        raise BadCutout(f"image of {' x '.join(map(str, shape))} pixels does not fit {size} x {size}")


def _unpack(stamp: bytes) -> tuple[bytes, int, _Layout]:
    """The FITS file in a stamp, where its pixels start, and what they are."""
    if not isinstance(stamp, bytes):
        raise BadCutout(f"not gzip: {type(stamp).__name__} instead of bytes")
    raw = stamp if stamp.startswith(_FITS) else _gunzip(stamp)
    if not raw.startswith(_FITS):
        raise BadCutout("not FITS")
    start, layout = _header(raw, 0)
    if not layout.shape:
        if not raw.startswith(b"XTENSION", start):
            raise BadCutout("no two-dimensional image: an empty primary HDU, and none after it")
        start, layout = _header(raw, start)
    if len(raw) < start + math.prod(layout.shape) * layout.dtype.itemsize:
        raise BadCutout("FITS image is cut short")
    return raw, start, layout


def _gunzip(stamp: bytes) -> bytes:
    gunzip = zlib.decompressobj(_GZIP)
    try:
        raw = gunzip.decompress(stamp, _LARGEST)
    except zlib.error as error:
        raise BadCutout(f"not gzip or damaged: {error}") from error
    if not gunzip.eof:
        raise BadCutout(f"gzip data are {'too large' if gunzip.unconsumed_tail else 'cut short'}")
    return raw


def _header(raw: bytes, first: int) -> tuple[int, _Layout]:
    """Where the data of the HDU that begins at byte `first` begin, and what they are."""
    start = first + _BLOCK
    while len(raw) < start or (layout := _layout(raw[first:start])) is None:
        if start > len(raw):
            raise BadCutout("FITS header is cut short")
        if start >= first + _HEADER:
            raise BadCutout("FITS header does not end")
        start += _BLOCK
    return start, layout


@lru_cache(maxsize=256)
def _layout(header: bytes) -> _Layout | None:
    """What a FITS header says of its image, or None where the header goes on in the next block."""
    values: dict[str, str] = {}
    for k in range(0, len(header), _CARD):
        card = header[k : k + _CARD].decode("latin-1")
        if card.rstrip() == "END":
            break
        keyword, equals, value = card.partition("=")
        keyword = keyword.strip().upper()
        if equals and keyword in _KEYWORDS:
            if card[:10] != f"{keyword:8}= " or keyword in values:
                raise BadCutout(f"FITS header has an irregular card {keyword}, or two of them")
            values[keyword] = value.partition("/")[0].strip()
    else:
        return None
    extension = values.get("XTENSION", "").strip("' ") == "IMAGE"
    if values.get("SIMPLE") != "T" and not extension:
        raise BadCutout("not standard FITS (SIMPLE is not T)")
    if _integer(values, "NAXIS") == 0 and not extension:
        return _Layout((), np.dtype("u1"), 1, 0, None)
    if _integer(values, "NAXIS") != 2:
        raise BadCutout(f"no two-dimensional image in the primary HDU (NAXIS {values['NAXIS']})")
    bits = _integer(values, "BITPIX")
    if bits not in _PIXEL:
        raise BadCutout(f"unknown BITPIX {values['BITPIX']}")
    shape = (_integer(values, "NAXIS2"), _integer(values, "NAXIS1"))
    if min(shape) < 1:
        raise BadCutout(f"empty image, {shape[0]} x {shape[1]} pixels")
    blank = _integer(values, "BLANK") if "BLANK" in values and bits > 0 else None
    scale, zero = _number(values, "BSCALE", 1), _number(values, "BZERO", 0)
    if blank == 0 or (blank is not None and scale == 1 and zero == _UNSIGNED[bits]):
        raise BadCutout("BLANK is 0 or of unsigned integers, which readers understand differently")
    return _Layout(shape, np.dtype(_PIXEL[bits]), scale, zero, blank)


def _number(values: dict[str, str], name: str, default: float | None = None) -> float:
    if name not in values and default is not None:
        return default
    text = values.get(name, "").upper()
    if not _NUMBER.fullmatch(text) or not abs(number := float(text.replace("D", "E"))) <= _NO_PIXEL:
        raise BadCutout(f"FITS header has no readable {name}")
    return number


def _integer(values: dict[str, str], name: str) -> int:
    number = _number(values, name)
    if number != int(number):
        raise BadCutout(f"FITS header has no readable {name}")
    return int(number)
