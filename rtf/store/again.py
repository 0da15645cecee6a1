"""A store as a piece, so that appending is merging."""

from dataclasses import dataclass

import numpy as np

from rtf.store.parts import NUMBERS, Piece, ranks
from rtf.store.store import Store


@dataclass
class _Rows:
    """An array of a store, read by slices; sources keep their order in a merge, so slices are short."""

    store: Store
    name: str

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.store.read(self.name, rows.start, rows.stop)


def piece_of_store(store: Store) -> Piece:
    """The sources of a store, to merge with new ones. Their splits are not in it."""
    detections = store.detections(metadata=False)
    number = len(detections.mjd)
    offset = store.cutout_offset if store.has_cutouts else np.zeros(3 * number + 1, np.int64)
    stamp_length = np.diff(offset).reshape(-1, 3).astype(np.int32)
    bulk = _Rows(store, "metadata"), _Rows(store, "cutout_bytes")
    return Piece(
        store.object_id.tolist(),
        store.label,
        [""] * store.n,
        store.position[:, 0],
        store.position[:, 1],
        detections.length,
        {name: getattr(detections, name) for name in NUMBERS},
        *ranks(bulk[0], stamp_length),
        offset[:-1:3],
        stamp_length,
        store.has_cutouts,
        lambda: bulk,
    )
