"""Training and validation batches of one or more stores.

Notable:
- statistics come from the training split alone, after the cut that the model's view applies
- batches, truncation, augmentation and the modalities left out in epoch k depend on (seed, k) alone, so a
  resumed run sees what an uninterrupted one would have
- each of several processes takes its part of every batch: their number changes neither steps nor content
- stores can be mixed: a store of weight 0.5 has a new random half of its sources in each epoch, one of weight
  3 has each source three times
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rtf.alerts.history import Detections, join
from rtf.classes import FINE
from rtf.features.normalisation import Statistics, feature_columns, fit_statistics
from rtf.features.snapshots import COUNTS, needs_cutouts, normalise_snapshots, per_source, take_snapshots
from rtf.features.view import MIN_DETECTIONS, few_of_each_night, view, window_ends, window_starts
from rtf.store.batches import Batch, Sources, batches_by_length, n_batches
from rtf.store.read import open_store
from rtf.training.augment import Augmentation

log = logging.getLogger(__name__)


@dataclass
class TrainingData:
    """What a run trains and validates on, and the statistics it was normalised with."""

    train: Sources
    val: Sources
    statistics: Statistics
    parts: list[tuple[int, float]]  # sizes and weights of the stores of `train`, in its order
    seen: frozenset[str]  # names of all sources that a run trains or validates on

    @property
    def weight(self) -> np.ndarray:
        """(N,) how often an epoch has each training source."""
        return np.concatenate([np.full(n, weight) for n, weight in self.parts])


def load_training_data(
    store: str | Path,
    modalities: Mapping[str, Callable],
    *,
    also_train: Sequence[str | Path | Mapping] = (),
    leave_out: Sequence[str] = (),
    kind: str = "first",
    max_detections: int,
    max_days: float,
    min_detections: int = MIN_DETECTIONS,
    per_night: int | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> TrainingData:
    """Read the training and validation splits into memory.

    Parameters
    ----------
    store : store whose train and val splits are used
    modalities : feature modalities by name
    also_train : further stores whose training splits are added to training, each a path or {"store": path,
        "weight": how often an epoch has each of its sources}. The normalisation is fitted on `store` alone.
        Sources that `store` validates or tests on are left out, with a warning
    leave_out : fine classes that are kept out of training and validation
    kind, max_detections, max_days, min_detections, per_night : the model's view
    progress : context manager of a bar, given what is done and of how many sources
    """

    own = open_store(store)
    kept_out = [_class_number(name) for name in leave_out]
    limits = {"max_detections": max_detections, "max_days": max_days, "min_detections": min_detections}
    cut = partial(view, kind=kind, **limits)
    held_back = {str(name) for part in ("val", "test") for name in own.object_id[own.sources(part)]}
    seen: set[str] = set()

    def split(path, name: str, without: Set[str] = frozenset()) -> tuple[Detections, np.ndarray]:
        opened = own if path is store else open_store(path)
        here = np.arange(opened.n)[opened.sources(name)]
        keep = np.flatnonzero([object_id not in without for object_id in opened.object_id[here]])
        if len(keep) < len(here):
            log.warning(
                "%s: %d sources of its train split are left out: %s validates or tests on them, such as %s",
                path, len(here) - len(keep), store, opened.object_id[np.delete(here, keep)[0]],
            )  # fmt: skip
        odd = np.isin(opened.label[here[keep]], kept_out)
        if odd.any():
            log.info("%s: %d sources of the classes left out are not in its %s split", path, odd.sum(), name)
            keep = keep[~odd]
        if not len(keep):
            raise ValueError(f"{path}: the {name} split is empty; it is needed for training")
        seen.update(opened.object_id[here[keep]].tolist())
        detections = opened.detections(name, cutouts=needs_cutouts(modalities))
        detections = detections if len(keep) == len(here) else detections.take(keep)
        if per_night is not None:
            detections = few_of_each_night(detections, per_night)
        # The latest view slides along a source, of which it needs the whole.
        detections = cut(detections) if kind == "first" else detections
        return detections, opened.label[here[keep]]

    train, label = split(store, "train")
    statistics = fit_statistics(modalities, cut(train))
    n_own = len(train)
    added = [_mixed(entry) for entry in also_train]
    more = [(train, label)] + [split(path, "train", held_back) for path, _ in added]
    parts = [(len(d), weight) for (d, _), weight in zip(more, [1.0, *(w for _, w in added)])]
    train, label = join([d for d, _ in more]), np.concatenate([label for _, label in more])
    val, val_label = split(store, "val")

    snapshots: dict[str, dict] = {"train": {}, "val": {}}
    for name, modality in per_source(modalities).items():
        raw = {
            part: _snapshots(modality, detections, f"{name}, {part}", progress, cut)
            for part, detections in (("train", train), ("val", val))
        }
        own = (raw["train"].source < n_own) & raw["train"].present
        if not own.any():
            raise ValueError(f"{store}: no training source has {name}; leave it out of the modalities")
        statistics[name] = modality.fit(raw["train"].values[own])
        for part in raw:
            snapshots[part][name] = normalise_snapshots(modality, raw[part], statistics[name])
    times = tuple(statistics["photometry"][name][:2] for name in ("mean", "std"))

    def sources(detections: Detections, label: np.ndarray, part: str) -> Sources:
        columns = feature_columns(modalities, detections, statistics)
        window = window_starts(detections, kind, **limits), window_ends(detections, kind)
        return Sources(detections, columns, label, snapshots[part], window, times)

    train, val = sources(train, label, "train"), sources(val, val_label, "val")
    return TrainingData(train, val, statistics, parts, frozenset(seen))


def _class_number(name: str) -> int:
    if name not in FINE:
        raise ValueError(f"data.leave_out: {name!r} is no class; there are {', '.join(FINE)}")
    return FINE.index(name)


def _mixed(entry: str | Path | Mapping) -> tuple[str | Path, float]:
    """Path and weight of an entry of `data.also_train`."""
    if not isinstance(entry, Mapping):
        return entry, 1.0
    strangers = set(entry) - {"store", "weight"}
    weight = entry.get("weight", 1.0)
    if strangers or "store" not in entry or not 0 < weight < np.inf:
        form = "a path, or {store: path, weight: number above 0}"
        raise ValueError(f"data.also_train: {dict(entry)} must be {form}")
    return entry["store"], float(weight)


def _snapshots(modality, detections: Detections, what: str, progress, cut):
    if progress is None:
        return take_snapshots(modality, detections, cut=cut)
    total = sum(int((detections.length > count).sum()) for count in COUNTS) + len(detections)
    with progress(what, total) as advance:
        return take_snapshots(modality, detections, progress=advance, cut=cut)


def drop_modalities(
    batch: Batch, columns: Mapping[str, slice], rate: float, rng: np.random.Generator, part: slice, size: int
) -> None:
    """Leave each modality but the photometry out of a share `rate` of the sources, in place.

    `columns` are those of each modality whose second half masks the first
    (`rtf.features.normalisation.masked_columns`). `batch` is the sources `part` of a batch of `size`, shared
    among processes; what is left out does not depend on how it is shared.
    """
    if rate <= 0:
        return
    for name in batch.present:
        batch.present[name] &= torch.from_numpy(rng.random(size)[part] >= rate)
    for where in columns.values():
        gone = torch.from_numpy(rng.random(size)[part] < rate)
        half = (where.stop - where.start) // 2
        absent = torch.cat([torch.zeros(half), torch.ones(half)])
        batch.features[gone, :, where] = absent * batch.mask[gone][..., None]


class TrainingBatches:
    """An epoch's batches, in random order, each source cut to a random length.

    Parameters
    ----------
    sources : training split
    batch_size : sources in a batch, of all processes together
    seed : with the epoch, decides order and lengths
    truncate_min : a source of L detections is cut to a length drawn uniformly from [truncate_min, L]; None:
        not cut
    epoch : callable that gives the current epoch
    parts : sizes and weights of the stores that `sources` is made of; None is one of weight 1
    columns, modality_dropout : see `drop_modalities`
    balanced : draw sources so that all classes are equally frequent, in place of each source once
    targets : batches also carry what was cut off
    augmentation, statistics : how sources are changed, and the normalisation of their columns
    rank, world_size : this process's share of each batch
    """

    def __init__(
        self,
        sources: Sources,
        batch_size: int,
        seed: int,
        truncate_min: int | None,
        epoch: Callable[[], int],
        *,
        parts: Sequence[tuple[int, float]] | None = None,
        columns: Mapping[str, slice] | None = None,
        modality_dropout: float = 0.0,
        balanced: bool = False,
        targets: bool = False,
        augmentation: Augmentation | None = None,
        statistics: Statistics | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.augmentation, self.statistics = augmentation or Augmentation(), statistics
        self.sources, self.batch_size, self.seed = sources, batch_size, seed
        self.truncate_min, self.epoch = truncate_min, epoch
        self.parts = parts or [(len(sources), 1.0)]
        self.columns, self.modality_dropout, self.targets = columns or {}, modality_dropout, targets
        self.size = sum(round(n * weight) for n, weight in self.parts)
        _check_processes(self.size, batch_size, world_size)
        self.share = None
        if balanced:
            label = sources.label.numpy()
            share = np.concatenate([np.full(n, weight) for n, weight in self.parts])
            share /= np.bincount(label + 1, share)[label + 1]
            self.share = share / share.sum()
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return n_batches(self.size, self.batch_size, self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        source = self._drawn(rng)
        length = self.sources.length[source]
        if self.truncate_min is not None:
            length = rng.integers(np.minimum(self.truncate_min, length), length + 1)
        part = slice(self.rank, None, self.world_size)
        shown = self.sources.in_view(source, length)
        for k, whole in enumerate(batches_by_length(shown, self.batch_size, rng, at_least=self.world_size)):
            chosen = whole[part]
            rng_here = np.random.default_rng([self.seed, self.epoch(), 1, k])
            changes = self.augmentation.draw(rng_here, len(whole), int(shown[whole].max()), part)
            batch = self.sources.batch(source[chosen], length[chosen], self.targets, changes.kept)
            changes.apply(batch, self.statistics, self.columns)
            missing = np.random.default_rng([self.seed, self.epoch(), 0, k])
            drop_modalities(batch, self.columns, self.modality_dropout, missing, part, len(whole))
            yield batch

    def _drawn(self, rng: np.random.Generator) -> np.ndarray:
        """Sources of an epoch; a store's weight is how often each of its sources is among them."""
        if self.share is not None:
            return rng.choice(len(self.share), self.size, p=self.share)
        drawn, start = [], 0
        for n, weight in self.parts:
            everyone = np.arange(start, start + n)
            rest = round(n * weight) - int(weight) * n
            drawn += [everyone] * int(weight)
            if rest:
                drawn.append(rng.choice(everyone, rest, replace=False))
            start += n
        return np.concatenate(drawn)


class ValidationBatches:
    """Whole histories, in order of length; with `targets`, at a random length that never changes."""

    def __init__(
        self, sources: Sources, batch_size: int, targets: bool = False, rank: int = 0, world_size: int = 1
    ):
        self.sources, self.targets = sources, targets
        _check_processes(len(sources), batch_size, world_size)
        self.length = sources.length
        if targets:
            self.length = np.random.default_rng(0).integers(np.minimum(3, self.length), self.length + 1)
        shown = sources.in_view(np.arange(len(sources)), self.length)
        whole = batches_by_length(shown, batch_size, at_least=world_size)
        self.batches = [batch[rank::world_size] for batch in whole]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return (self.sources.batch(b, self.length[b], self.targets) for b in self.batches)


def _check_processes(n_sources: int, batch_size: int, world_size: int) -> None:
    if min(n_sources, batch_size) < world_size:
        raise ValueError(
            f"{world_size} processes share batches of {min(n_sources, batch_size)} sources: each needs one. "
            "Choose a larger batch_size, or fewer devices"
        )
