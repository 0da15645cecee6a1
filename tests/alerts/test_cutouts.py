"""Cutouts against astropy, and what does not decode."""

import contextlib
import gzip
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from rtf.alerts.cutouts import BadCutout, check_cutout, decode_cutout, pad_cutout
from rtf.alerts.readers.ztf_avro import records
from rtf.alerts.ztf import CUTOUT_FIELDS
from tests.packets import stamp


def real_stamps(real_data):
    for path in sorted((real_data / "ztf_alerts/avro").glob("*.avro")):
        for packet in records(path.read_bytes()):
            yield from (packet[name]["stampData"] for name in CUTOUT_FIELDS)
    for path in sorted((real_data / "ztf_alerts/fink_parquet").glob("*.parquet")):
        for row in pq.read_table(path, columns=list(CUTOUT_FIELDS)).to_pylist():
            yield from (row[name]["stampData"] for name in CUTOUT_FIELDS)


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_every_real_cutout_as_astropy_reads_it(real_data):
    shapes = []
    for data in real_stamps(real_data):
        with fits.open(io.BytesIO(gzip.decompress(data)), ignore_missing_simple=True) as hdus:
            expected = hdus[0].data
        image = decode_cutout(data)
        check_cutout(data)
        assert image.dtype == np.float32
        lost = np.abs(expected) > 1e30  # one of the templates says so where others have NaN
        np.testing.assert_array_equal(image, np.where(lost, np.float32(np.nan), expected))
        shapes.append(image.shape)
        padded = pad_cutout(image)
        assert padded.shape == (63, 63)
        assert np.isnan(padded).sum() == np.isnan(image).sum() + 63 * 63 - image.size
    assert len(shapes) == 3 * (13 + 286)
    assert shapes.count((48, 63)) == 3 and shapes.count((63, 62)) == 3


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", "u2"])
@pytest.mark.parametrize("shape", [(63, 63), (1, 5), (48, 63)])
def test_pixel_types(dtype, shape):
    image = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    decoded = decode_cutout(stamp(image))
    assert decoded.shape == shape
    np.testing.assert_array_equal(decoded, image.astype(np.float32))


def test_the_largest_float_is_a_missing_pixel():
    image = np.array([[1.0, -3.4028235e38], [np.nan, 2.0]], np.float32)
    np.testing.assert_array_equal(decode_cutout(stamp(image)), [[1.0, np.nan], [np.nan, 2.0]])


def test_scale_and_blank():
    cards = {"SIMPLE": "T", "BITPIX": "16", "NAXIS": "2", "NAXIS1": "2", "NAXIS2": "2"}
    cards |= {"BSCALE": "2.0", "BZERO": "1.0D1 / offset", "BLANK": "-7"}
    header = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    raw = header.ljust(2880).encode() + np.array([1, 2, 3, -7], ">i2").tobytes()
    np.testing.assert_array_equal(decode_cutout(gzip.compress(raw)), [[12, 14], [16, np.nan]])
    with fits.open(io.BytesIO(raw.ljust(5760, b"\0"))) as hdus:
        np.testing.assert_array_equal(hdus[0].data, [[12, 14], [16, np.nan]])


GOOD = stamp(np.ones((63, 63), np.float32))
RAW = gzip.decompress(GOOD)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"zero", "not gzip"),
        (RAW, "not gzip"),
        (GOOD[:-20], "cut short"),
        (gzip.compress(b"hello", mtime=0), "not FITS"),
        (gzip.compress(RAW[:1000]), "header is cut short"),
        (gzip.compress(RAW[:2880]), "image is cut short"),
        (gzip.compress(RAW[:9000]), "image is cut short"),
        (
            gzip.compress(RAW.replace(b"NAXIS   =                    2", b"NAXIS   =                    0")),
            "no two-dim",
        ),
        (gzip.compress(RAW.replace(b"NAXIS1  ", b"NAXISX  ")), "NAXIS1"),
        (gzip.compress(RAW.replace(b"= " + b" " * 17 + b"-32", b"= " + b" " * 17 + b"-33")), "BITPIX"),
        (gzip.compress(bytes(1 << 25)), "too large"),
        (None, "not gzip"),
    ],
)
def test_what_does_not_decode(data, message):
    for read in (decode_cutout, check_cutout):
        with pytest.raises(BadCutout, match=message):
            read(data)


@given(position=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_an_image_or_a_bad_cutout(position, value):
    changed = bytearray(GOOD)
    changed[position] = value
    with contextlib.suppress(BadCutout):
        assert decode_cutout(bytes(changed)).ndim == 2


@given(position=st.integers(0, 640), value=st.integers(0, 255))
def test_a_changed_header_is_an_image_or_a_bad_cutout(position, value):
    changed = bytearray(RAW)
    changed[position] = value
    with contextlib.suppress(BadCutout):
        assert decode_cutout(gzip.compress(bytes(changed), 0)).ndim == 2


def test_padding():
    image = np.arange(48 * 62, dtype=np.float32).reshape(48, 62)
    padded = pad_cutout(image)
    np.testing.assert_array_equal(padded[:48, :62], image)
    assert np.isnan(padded[48:]).all() and np.isnan(padded[:, 62:]).all()
    with pytest.raises(BadCutout, match="64 x 63"):
        pad_cutout(np.zeros((64, 63)))
    with pytest.raises(BadCutout, match="64 x 63"):
        check_cutout(stamp(np.zeros((64, 63), np.float32)))
