"""Codes in as few whole bytes as can hold them.

The codes of a fingerprint are the digits of one number in mixed radix, the first the least significant. The
number is written least significant byte first. Sizes that are powers of two give the codes' bits one after
another; others (5 levels, say) lose nothing to rounding each code up to whole bits.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def bits_of(sizes: Sequence[int]) -> float:
    """Bits of information in one fingerprint, were all its codes equally likely."""
    return sum(math.log2(size) for size in sizes)


def bytes_of(sizes: Sequence[int]) -> int:
    """Whole bytes that hold one fingerprint: bits / 8 rounded up, in exact arithmetic."""
    return ((math.prod(sizes) - 1).bit_length() + 7) // 8


def pack(codes: Tensor, sizes: Sequence[int]) -> Tensor:
    """Codes (B, C) int64, 0 <= codes[:, k] < sizes[k], as bytes (B, bytes_of(sizes)) uint8.

    Raises
    ------
    ValueError : another number of columns, a size below 2, or a code that its codebook does not have
    """
    _check_sizes(sizes)
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise ValueError(f"codes have the shape {tuple(codes.shape)}; here it is (B, {len(sizes)})")
    wrong = (codes < 0) | (codes >= torch.tensor(sizes, device=codes.device))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        code, size = codes[row, column], sizes[column]
        raise ValueError(f"codes[{row}, {column}] is {code}; codebook {column} has {size} codes")
    n_bytes, packed = bytes_of(sizes), bytearray()
    for row in codes.flip(1).tolist():
        number = 0
        for code, size in zip(row, reversed(sizes)):
            number = number * size + code
        packed += number.to_bytes(n_bytes, "little")
    return torch.from_numpy(np.frombuffer(packed, np.uint8).reshape(-1, n_bytes)).to(codes.device)


def unpack(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """Codes (B, C) int64 from the bytes (B, bytes_of(sizes)) uint8 that `pack` made of them.

    Raises
    ------
    ValueError : another number of bytes, or bytes that `pack` does not write with these sizes
    """
    _check_sizes(sizes)
    n_bytes = bytes_of(sizes)
    if packed.ndim != 2 or packed.shape[1] != n_bytes:
        raise ValueError(f"packed codes have the shape {tuple(packed.shape)}; here it is (B, {n_bytes})")
    codes = []
    for k, row in enumerate(packed.tolist()):
        number = int.from_bytes(row, "little")
        for size in sizes:
            number, code = divmod(number, size)
            codes.append(code)
        if number:
            raise ValueError(f"the bytes of row {k} hold no codes of the sizes {list(sizes)}")
    return torch.tensor(codes, dtype=torch.int64, device=packed.device).view(-1, len(sizes))


def _check_sizes(sizes: Sequence[int]) -> None:
    if not len(sizes) or min(sizes) < 2:
        raise ValueError(f"sizes are {list(sizes)}; each must be 2 or more")
