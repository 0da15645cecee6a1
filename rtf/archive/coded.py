"""Codes in memory, compared by look-up tables: how an archive of codes alone is searched.

Notable:
- a fingerprint of codes is a sum of one vector a byte. So its product with a query is a sum of numbers that
  stand in tables, made once a search: no fingerprint is decoded
- two bytes are looked up at once: half the look-ups, in tables that the processor's cache holds
- a row takes 8 bytes of codes, 8 of its number and 4 of its fingerprint's norm

Source: Jégou, Douze & Schmid 2011, IEEE TPAMI 33, 117, section III (asymmetric distances).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_CODES = 256
#: Rows compared at once, so that their sums stay in the cache.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Coded:
    """N rows of 2 P bytes; the last one is 0 where the codes have an odd number."""

    number: np.ndarray  # (N,) uint64, ascending
    pair: np.ndarray  # (P, N) uint16, two bytes each, the first the lower
    norm: np.ndarray  # (N,) float32
    base: np.ndarray  # (F,) the fingerprint of zeros
    part: np.ndarray  # (2 P, 256, F) what each byte adds to it

    @property
    def last(self) -> int:
        """The highest number of a row; -1: there is none."""
        return int(self.number[-1]) if len(self.number) else -1

    def empty(self) -> "Coded":
        """The tables without rows."""
        return Coded(self.number[:0], self.pair[:, :0], self.norm[:0], self.base, self.part)

    def with_rows(self, batches: Iterable[pa.Table]) -> "Coded":
        """These rows and further ones, tables with `_rowid` and `code`."""
        found = [_columns(rows, len(self.part)) for rows in batches if len(rows)]
        if not found:
            return self
        number = np.concatenate([self.number, *(n for n, _ in found)])
        pair = np.concatenate([p for _, p in found], 1)
        norm = np.concatenate([self.norm, self._norms(pair)])
        order, pair = np.argsort(number, kind="stable"), np.concatenate([self.pair, pair], 1)
        if (order != np.arange(len(order))).any():
            number, norm, pair = number[order], norm[order], np.ascontiguousarray(pair[:, order])
        return Coded(number, pair, norm, self.base, self.part)

    def nearest(self, unit: np.ndarray, k: int, among: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and cosine distances of the k rows nearest to a unit vector (F,), the nearest first.

        `among` (M,) are the numbers of the rows that take part; None: all.
        """
        zero, table = np.float32(self.base @ unit), _of_pairs(self.part @ unit)
        rows = None if among is None else np.searchsorted(self.number, np.sort(among))
        n = len(self.number) if rows is None else len(rows)
        best, cosines = np.empty(0, np.int64), np.empty(0, np.float32)
        for start in range(0, n, _BLOCK):
            own = slice(start, start + _BLOCK) if rows is None else rows[start : start + _BLOCK]
            cosine = sum(t[p] for t, p in zip(table, self.pair[:, own], strict=True))
            cosine = (cosine + zero) / self.norm[own]
            # once there are k, only rows that are nearer than the last of them
            near = np.flatnonzero(cosine > (cosines[-1] if len(cosines) >= k else -np.inf))
            best = np.concatenate([best, near + start if rows is None else own[near]])
            cosines = np.concatenate([cosines, cosine[near]])
            if len(best) > k:
                order = np.argsort(-cosines, kind="stable")[:k]
                best, cosines = best[order], cosines[order]
        order = np.argsort(-cosines, kind="stable")
        return self.number[best[order]], 1 - cosines[order]

    def _norms(self, pair: np.ndarray) -> np.ndarray:
        """(N,) norms of fingerprints, from the products of all vectors with one another."""
        vectors = self.part.copy()
        vectors[0] += self.base  # stands in every sum
        squares = _of_pairs(np.square(vectors).sum(2))
        squared = sum(t[p] for t, p in zip(squares, pair, strict=True))
        byte = [part for both in pair for part in (both & 0xFF, both >> 8)]
        for j in range(len(vectors)):
            for k in range(j):
                product = (vectors[j] @ vectors[k].T).ravel()
                squared = squared + 2 * product[byte[j].astype(np.intp) * _CODES + byte[k]]
        return np.sqrt(np.maximum(squared, 1e-30)).astype(np.float32)


def no_rows(from_code: Callable, width: int) -> Coded | None:
    """The tables of a model's codes of `width` bytes; None where a fingerprint is no sum over its bytes.

    `from_code` goes from codes (N, width) uint8 to fingerprints (N, F); ValueError: bytes that hold no code.
    """
    code = np.zeros((1 + width * _CODES, width), np.uint8)
    for k in range(width):
        code[1 + k * _CODES : 1 + (k + 1) * _CODES, k] = np.arange(_CODES)
    try:
        found = np.asarray(from_code(code), np.float32)
    except ValueError:  # codebooks that do not fill their bytes
        return None
    base, part = found[0], found[1:].reshape(width, _CODES, -1) - found[0]
    tried = np.random.default_rng(0).integers(0, _CODES, (64, width), np.uint8)
    expected = base + sum(part[k][tried[:, k]] for k in range(width))
    if not np.allclose(np.asarray(from_code(tried)), expected, rtol=1e-3, atol=1e-4):
        return None
    if width % 2:
        part = np.concatenate([part, np.zeros_like(part[:1])])
    none = np.empty((len(part) // 2, 0), np.uint16)
    return Coded(np.empty(0, np.uint64), none, np.empty(0, np.float32), base, part)


def code_array(column: pa.ChunkedArray) -> np.ndarray:
    """(N, width) uint8 codes of a column of the archive."""
    column = column.combine_chunks()
    size = column.type.byte_width
    start = column.offset * size
    return np.frombuffer(column.buffers()[1], np.uint8)[start : start + len(column) * size].reshape(-1, size)


def _columns(rows: pa.Table, width: int) -> tuple[np.ndarray, np.ndarray]:
    code = code_array(rows["code"])
    padded = np.zeros((len(code), width), np.uint8)
    padded[:, : code.shape[1]] = code
    return rows["_rowid"].to_numpy(), np.ascontiguousarray(padded.view("<u2").T)


def _of_pairs(table: np.ndarray) -> np.ndarray:
    """(P, 65536) sums of the entries (2 P, 256) of two neighbouring bytes."""
    first, second = table[0::2].astype(np.float32), table[1::2].astype(np.float32)
    return (second[:, :, None] + first[:, None, :]).reshape(len(first), -1)
