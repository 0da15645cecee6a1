"""Codes in as few whole bytes as can hold them.

The codes of a fingerprint are the digits of one number in mixed radix, the first the least significant, and
the number is written least significant byte first. Where all sizes are powers of two this is the codes' bits
one after another; where they are not (5 levels, say) nothing is lost to rounding each code up to whole bits.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LIMB = 32  # bits of the number worked on at once, so that limb times size stays within int64
_LARGEST = 1 << 30


def bits_of(sizes: Sequence[int]) -> float:
    """Information in one fingerprint, in bits, were all its codes equally likely."""
    return sum(math.log2(size) for size in sizes)


def bytes_of(sizes: Sequence[int]) -> int:
    """Whole bytes that hold one fingerprint: bits / 8 rounded up, reckoned in integers."""
    return ((math.prod(sizes) - 1).bit_length() + 7) // 8


def pack(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Write codes into bytes.

    Parameters
    ----------
    codes : (B, C) int64, 0 <= codes[:, k] < sizes[k]
    sizes : C numbers of codes, each 2 to 2^30

    Returns
    -------
    (B, bytes_of(sizes)) uint8

    Raises
    ------
    ValueError : for another number of columns, or a code that its codebook does not have
    """
    _check_sizes(sizes)
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise ValueError(
            f"codes have the shape {tuple(codes.shape)}; for these sizes it is (B, {len(sizes)})"
        )
    wrong = (codes < 0) | (codes >= torch.tensor(sizes, device=codes.device))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"codes[{row}, {column}] is {codes[row, column]}; codebook {column} has {sizes[column]} codes"
        )
    n_bytes = bytes_of(sizes)
    limbs = codes.new_zeros(-(-n_bytes * 8 // _LIMB), len(codes))
    reach = 1  # the number is below this: limbs above it are still 0
    for size, carry in zip(reversed(sizes), codes.flip(1).unbind(1)):
        reach *= size
        for k in range(-(-reach.bit_length() // _LIMB)):
            if k == len(limbs):
                break
            value = limbs[k] * size + carry
            limbs[k], carry = value & ((1 << _LIMB) - 1), value >> _LIMB
    shift = torch.arange(0, _LIMB, 8, device=codes.device)
    split = (limbs.T[:, :, None] >> shift) & 255
    return split.flatten(1)[:, :n_bytes].to(torch.uint8)


def unpack(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """Read codes back from bytes.

    Parameters
    ----------
    packed : (B, bytes_of(sizes)) uint8, as `pack` made them
    sizes : those given to `pack`

    Returns
    -------
    (B, C) int64

    Raises
    ------
    ValueError : for another number of bytes, or bytes that `pack` does not write with these sizes
    """
    _check_sizes(sizes)
    n_bytes = bytes_of(sizes)
    if packed.ndim != 2 or packed.shape[1] != n_bytes:
        raise ValueError(f"packed codes have the shape {tuple(packed.shape)}; here it is (B, {n_bytes})")
    each = _LIMB // 8
    padded = torch.nn.functional.pad(packed.long(), (0, -n_bytes % each))
    shift = torch.arange(0, _LIMB, 8, device=packed.device)
    limbs = (padded.view(len(packed), -(-n_bytes // each), each) << shift).sum(2).T.contiguous()
    codes = packed.new_zeros((len(packed), len(sizes)), dtype=torch.int64)
    reach = math.prod(sizes)
    for column, size in enumerate(sizes):
        remainder = torch.zeros_like(codes[:, 0])
        for k in reversed(range(min(-(-reach.bit_length() // _LIMB), len(limbs)))):
            value = (remainder << _LIMB) + limbs[k]
            limbs[k], remainder = value // size, value % size
        codes[:, column] = remainder
        reach //= size
    if limbs.any():
        row = int(limbs.any(0).nonzero()[0])
        raise ValueError(f"the bytes of row {row} hold no codes of the sizes {list(sizes)}")
    return codes


def _check_sizes(sizes: Sequence[int]) -> None:
    if not len(sizes) or not all(2 <= size <= _LARGEST for size in sizes):
        raise ValueError(f"sizes are {list(sizes)}; each must be from 2 to {_LARGEST}")
