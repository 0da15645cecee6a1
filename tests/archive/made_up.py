"""Made-up tables of fingerprints, as `rtf.encode` writes them."""

import numpy as np
import pyarrow as pa

from rtf.archive.rows import PROBABILITIES

SPACE, OTHER = "0123456789ab", "12345e678901"
WIDTH = 16


def fingerprints(n: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """(n, width) float32 that lie near a plane of fewer dimensions, as a model's do."""
    plane = np.random.default_rng(width).standard_normal((max(2, width // 4), width))
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((n, len(plane))) @ plane + 0.3 * rng.standard_normal((n, width))
    return found.astype(np.float32)


def table(n: int, seed: int = 0, space: str = SPACE, width: int = WIDTH, **columns) -> pa.Table:
    """n rows of n objects; `columns` replaces some, None leaves one out."""
    rng = np.random.default_rng(seed + 1000)
    latent = fingerprints(n, width, seed)
    chance = rng.dirichlet(np.ones(3), n).astype(np.float32)
    made = {
        "object_id": [f"ZTF{seed:02d}{k:07d}" for k in range(n)],
        "candid": pa.array(np.arange(n) + seed * 10_000_000, pa.int64()),
        "mjd": 59000 + 1000 * rng.random(n),
        "ra": 360 * rng.random(n),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        "n_detections": pa.array(rng.integers(1, 60, n), pa.int32()),
        "n_history": pa.array(rng.integers(60, 90, n), pa.int32()),
        "space": pa.array([space] * n).dictionary_encode(),
        "fingerprint": pa.FixedSizeListArray.from_arrays(latent.ravel(), width),
        "code": pa.array([c.tobytes() for c in codes(latent)], pa.binary(8)),
        **{name: pa.nulls(n, pa.float32()) for name in PROBABILITIES},
        "p_SN_Ia": chance[:, 0], "p_SN_II": chance[:, 1], "p_AGN": chance[:, 2],
        "reconstruction_error": rng.random(n).astype(np.float32),
        "strangeness": rng.random(n).astype(np.float32),
    }  # fmt: skip
    made = {name: values for name, values in (made | columns).items() if values is not None}
    return pa.table(made).replace_schema_metadata({"space": space})


def codes(latent: np.ndarray) -> np.ndarray:
    """(N, 8) uint8: the first eight numbers, rounded."""
    return np.clip(np.round(8 * latent[:, :8]) + 128, 0, 255).astype(np.uint8)


class Model:
    """What turns codes of `codes` back."""

    def __init__(self, space: str = SPACE) -> None:
        self.space = space

    def from_code(self, code: np.ndarray) -> np.ndarray:
        return (np.float32(code) - 128) / 8


def latent_of(rows: pa.Table) -> np.ndarray:
    return np.stack(rows["fingerprint"].to_numpy())


def cosine(latent: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(N,) cosine distances in double precision."""
    a, b = np.float64(latent), np.float64(query)
    return 1 - a @ b / np.linalg.norm(a, axis=1) / np.linalg.norm(b)
