"""Cutouts against astropy, and what does not decode."""

import contextlib
import gzip
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hypothesis import given, settings
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


NUMBERS = {
    "BSCALE": ["1", "1.0", "2.0", "-0.5D0", "1.5d1", "1E-3", "0.0", "1E300", "", "'2.0'", "T", "1_0", "nan"],
    "BZERO": [
        "0",
        "0.0",
        "32768",
        "2147483648",
        "9223372036854775808",
        "-128",
        "10.0 / a / b",
        "1.0D1",
        ".5",
    ],
    "BLANK": ["-7", "0", "3", "1.5", "-32768"],
}
REST = [
    "BUNIT   = 'DN / s  '           / with a slash",
    "OBJECT  = 'it''s BSCALE = 3'   / quoted",
    "LONG    = 'a string that goes on &'".ljust(80) + "CONTINUE  '= 2 / here'",
    "COMMENT   BZERO   = 5",
    "HISTORY BSCALE  = 5",
    "HIERARCH BSCALE X = 5",
    "",
    "BSCALE  = 4.0",
    "BZERO   =                    2 / again",
    "BSCALE  =3.0",
    "bscale  = 3.0",
    "NAXIS3  = 1",
    "EXTEND  =                    T",
]


@st.composite
def fits_files(draw):
    bits = draw(st.sampled_from([8, 16, 32, 64, -32, -64]))
    height, width = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    cards = [f"SIMPLE  = {'T':>20} / standard", f"BITPIX  = {bits:>20}", f"NAXIS   = {2:>20}"]
    cards += [f"NAXIS1  = {width:>20} / of a row", f"NAXIS2  = {height:>20}"]
    rest = [f"{n:8}= {draw(st.sampled_from(v)):>20}" for n, v in NUMBERS.items() if draw(st.booleans())]
    rest += draw(st.lists(st.sampled_from(REST), max_size=4))
    cards += draw(st.permutations(rest))
    cards += ["COMMENT filler"] * draw(st.sampled_from([0, 40]))
    header = "".join(card.ljust(-(-len(card) // 80) * 80) for card in [*cards, "END".ljust(80)])
    kind = np.dtype({8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits])
    data = draw(st.binary(min_size=height * width * kind.itemsize, max_size=height * width * kind.itemsize))
    if draw(st.booleans()):
        data = np.random.default_rng(len(data)).integers(-9, 9, height * width).astype(kind).tobytes()
    raw = header.encode().ljust(-(-len(header) // 2880) * 2880) + data.ljust(
        -(-len(data) // 2880) * 2880, b"\0"
    )
    more = b"XTENSION= 'IMAGE   '".ljust(80) + b"END"
    return raw + draw(st.sampled_from([b"", more.ljust(2880), bytes(2880)]))


@given(raw=fits_files())
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_stamp_is_read_as_astropy_reads_it_or_refused_at_once(raw):
    data = gzip.compress(raw, 0)
    try:
        check_cutout(data)
    except BadCutout:
        with pytest.raises(BadCutout):
            decode_cutout(data)
        return
    image = decode_cutout(data)
    with fits.open(io.BytesIO(raw)) as hdus, np.errstate(all="ignore"):
        expected = np.asarray(hdus[0].data, np.float64)
        offset = abs(float(hdus[0].header.get("BZERO", 0)))
    expected[~(np.abs(expected) <= 1e30)] = np.nan
    # astropy adds the offset to integers in float32
    np.testing.assert_allclose(image, expected, rtol=1e-6, atol=1e-6 * offset + 1e-37)


def test_a_header_without_an_end_is_refused_quickly():
    endless = RAW[:80] + b"COMMENT".ljust(80) * (1 << 17)
    with pytest.raises(BadCutout, match="does not end"):
        check_cutout(gzip.compress(endless))


GOOD = stamp(np.ones((63, 63), np.float32))
RAW = gzip.decompress(GOOD)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"zero", "not gzip"),
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
