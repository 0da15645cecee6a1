"""Features of a whole source (GP features, stamps) as they stood at several numbers of detections.

Notable:
- each is computed from the model's view at that number alone, by the call that encodes a live source
- between two of the numbers the earlier snapshot stands: older than the view, never younger
- a source that has no stamp yet, or no feature that can be computed, is absent there, not zero
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtf.alerts.history import Detections
from rtf.features.view import view

#: Numbers of detections at which snapshots are taken, besides all that a source has.
COUNTS = (1, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200, 400, 800)
_BLOCK = 2048


def per_source(modalities: Mapping[str, Callable]) -> dict[str, Callable]:
    """The modalities that are one array for a source, not a row for each detection."""
    return {name: m for name, m in modalities.items() if getattr(m, "per_source", False)}


def per_detection(modalities: Mapping[str, Callable]) -> dict[str, Callable]:
    """The modalities that are columns of each detection."""
    return {name: m for name, m in modalities.items() if not getattr(m, "per_source", False)}


def needs_cutouts(modalities: Mapping[str, Callable]) -> bool:
    """Whether any of the modalities is made of stamps."""
    return any(getattr(m, "images", False) for m in modalities.values())


@dataclass
class Snapshots:
    """One modality of N sources at S numbers of detections in all, sorted by source and number."""

    source: np.ndarray  # (S,) int64, whose snapshot
    count: np.ndarray  # (S,) int64, the number of detections behind it
    values: np.ndarray  # (S, ...)
    present: np.ndarray  # (S,) bool, False where the modality is absent

    @cached_property
    def _key(self) -> np.ndarray:
        return self.source * (1 << 20) + self.count

    def rows(self, source: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Row of the latest snapshot of each source (B,) not above `length` (B,) detections; -1: none."""
        row = np.searchsorted(self._key, np.asarray(source) * (1 << 20) + np.asarray(length), "right") - 1
        return np.where((row >= 0) & (self.source[row] == source), row, -1)


def take_snapshots(
    modality,
    detections: Detections,
    counts: Sequence[int] = COUNTS,
    progress: Callable[[int], None] | None = None,
    cut: Callable[..., Detections] = view,
) -> Snapshots:
    """Raw snapshots of sources; `progress` is told of sources done.

    `cut(detections, n)` is the model's view of sources at their first n detections, None for all. Where the
    modality has a `key` (which stamps it is), a snapshot like the one before it is not taken again.
    """
    source, count, values = [], [], []
    last = np.full(len(detections), -2)
    for first in (*counts, None):
        whole = first is None
        here = np.arange(len(detections)) if whole else np.flatnonzero(detections.length > first)
        for start in range(0, len(here), _BLOCK):
            some = here[start : start + _BLOCK]
            if progress is not None:
                progress(len(some))
            seen = cut(detections.take(some), first)
            shown = detections.length[some] if whole else np.full(len(some), first)
            if hasattr(modality, "key"):
                key = modality.key(seen)
                new = key != last[some]
                last[some] = key
                some, shown, seen = some[new], shown[new], seen.take(new.nonzero()[0])
            source.append(some)
            count.append(shown)
            values.append(modality.compute(seen))
    source, count, values = (np.concatenate(x) for x in (source, count, values))
    order = np.lexsort((count, source))
    values = values[order]
    return Snapshots(source[order], count[order], values, modality.present(values))


def normalise_snapshots(modality, raw: Snapshots, statistics: dict[str, np.ndarray]) -> Snapshots:
    """Snapshots as the model takes them; kept in the precision the modality computes in."""
    blocks = [
        modality.normalise(raw.values[k : k + _BLOCK], statistics).astype(raw.values.dtype)
        for k in range(0, len(raw.values), _BLOCK)
    ]
    return Snapshots(raw.source, raw.count, np.concatenate(blocks), raw.present)


def source_features(
    modalities: Mapping[str, Callable], seen: Detections, statistics: Mapping[str, dict]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{modality: (values (N, ...) float32, present (N,) bool)} of sources as they are now."""
    found = {}
    for name, modality in per_source(modalities).items():
        raw = modality.compute(seen)
        found[name] = modality.normalise(raw, statistics.get(name, {})), modality.present(raw)
    return found
