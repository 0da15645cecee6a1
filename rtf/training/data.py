"""Training and validation batches of one or more stores.

Notable:
- statistics come from the training split alone, after the same cut that the model's view applies
- the order of batches and the random truncation of epoch k depend on (seed, k) alone, so a resumed run
  sees what an uninterrupted one would have
- in distributed training each process takes every n-th batch
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from rtf.alerts.history import Detections
from rtf.features.normalisation import Statistics, feature_columns, fit_statistics
from rtf.features.view import view
from rtf.store.batches import Batch, Sources, batches_by_length
from rtf.store.store import open_store


@dataclass
class TrainingData:
    """What a run trains and validates on, and the statistics it was normalised with."""

    train: Sources
    val: Sources
    statistics: Statistics
    width: int


def load_training_data(
    store: str | Path,
    modalities: Mapping[str, Callable],
    *,
    also_train: Sequence[str | Path] = (),
    max_detections: int,
    max_days: float,
) -> TrainingData:
    """Read the training and validation splits into memory.

    Parameters
    ----------
    store : store whose train and val splits are used
    modalities : feature modalities by name
    also_train : further stores whose training splits are added to training (simulated sources, say); the
        normalisation is fitted on `store` alone, the survey the model is for
    max_detections, max_days : the model's view
    """

    def split(path, name: str) -> tuple[Detections, np.ndarray]:
        opened = open_store(path)
        detections = view(opened.detections(name), max_detections=max_detections, max_days=max_days)
        if not len(detections):
            raise ValueError(f"{path}: the {name} split is empty; it is needed for training")
        return detections, opened.label[opened.sources(name)]

    train, label = split(store, "train")
    statistics = fit_statistics(modalities, train)
    more = [(train, label)] + [split(path, "train") for path in also_train]
    train, label = _join([d for d, _ in more]), np.concatenate([label for _, label in more])
    val, val_label = split(store, "val")
    features = feature_columns(modalities, train, statistics)
    return TrainingData(
        Sources(train, features, label),
        Sources(val, feature_columns(modalities, val, statistics), val_label),
        statistics,
        features.shape[1],
    )


def _join(parts: list[Detections]) -> Detections:
    rows = np.cumsum([0] + [len(p.mjd) for p in parts])
    offset = np.concatenate([p.offset[:-1] + row for p, row in zip(parts, rows)] + [rows[-1:]])
    columns = [f.name for f in fields(Detections) if f.name != "offset"]
    return Detections(offset, *(np.concatenate([getattr(p, c) for p in parts]) for c in columns))


class TrainingBatches:
    """An epoch's batches, in random order, each source cut to a random length.

    Parameters
    ----------
    sources : training split
    batch_size : sources in a batch
    seed : with the epoch, decides order and lengths
    truncate_min : a source of L detections is cut to a length drawn uniformly from [truncate_min, L]; None
        trains on whole histories
    epoch : callable that gives the current epoch
    rank, world_size : this process's share of the batches
    """

    def __init__(
        self,
        sources: Sources,
        batch_size: int,
        seed: int,
        truncate_min: int | None,
        epoch: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
    ):
        self.sources, self.batch_size, self.seed = sources, batch_size, seed
        self.truncate_min, self.epoch = truncate_min, epoch
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        """Number of batches of one process: the same on all, the remainder is left out."""
        return max(-(-len(self.sources) // self.batch_size) // self.world_size, 1)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        length = self.sources.length
        if self.truncate_min is not None:
            length = rng.integers(np.minimum(self.truncate_min, length), length + 1)
        batches = batches_by_length(length, self.batch_size, rng)
        for batch in batches[self.rank :: self.world_size][: len(self)]:
            yield self.sources.batch(batch, length[batch])


class ValidationBatches:
    """Whole histories, in order of length."""

    def __init__(self, sources: Sources, batch_size: int, rank: int = 0, world_size: int = 1):
        self.sources = sources
        self.batches = batches_by_length(sources.length, batch_size)[rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return (self.sources.batch(batch) for batch in self.batches)
