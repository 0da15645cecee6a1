"""Which sources train, validate and test: a draw that is stratified by class."""

from hashlib import blake2b

import numpy as np

from rtf.alerts.history import SPLITS

NO_SPLIT = -1
DEFAULT_FRACTIONS = (0.7, 0.15, 0.15)


def stratified(object_id: list[str], label: np.ndarray, seed: int, fractions=DEFAULT_FRACTIONS) -> np.ndarray:
    """Draw a split for every source, class by class; unlabelled sources are a class of their own.

    Within a class sources are ranked by a hash of seed and name and dealt out systematically from a random
    start: a class of n sources has n * fraction in each split, to less than one, and no split is favoured
    over small classes. The order of the sources does not matter.

    Parameters
    ----------
    object_id : N names, all different
    label : (N,) fine class, -1 unknown
    seed : any integer
    fractions : of train, val and test; they sum to 1

    Returns
    -------
    (N,) int8: 0 train, 1 val, 2 test

    Raises
    ------
    ValueError : fractions are not three numbers from 0 to 1 that sum to 1
    """
    edges = np.cumsum(check_fractions(fractions))
    last = int(np.flatnonzero(fractions)[-1])
    result = np.empty(len(object_id), np.int8)
    key = np.array([_hash(seed, name) for name in object_id], np.uint64)
    for stratum in np.unique(label):
        member = np.flatnonzero(np.asarray(label) == stratum)
        member = member[np.argsort(key[member], kind="stable")]
        start = _hash(seed, f"stratum {stratum}") / 2**64
        place = (np.arange(len(member)) + start) / len(member)
        # Rounding may leave the last edge a little below 1.
        result[member] = np.minimum(np.searchsorted(edges, place, side="right"), last)
    return result


def check_fractions(fractions) -> np.ndarray:
    """(3,) the fractions as numbers, or ValueError."""
    values = np.asarray(fractions, float)
    if values.shape != (len(SPLITS),) or not (values >= 0).all() or not np.isclose(values.sum(), 1):
        raise ValueError(f"split fractions must be three numbers >= 0 that sum to 1, not {fractions}")
    return values


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")
