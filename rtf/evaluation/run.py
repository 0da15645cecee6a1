"""Carry out tasks on a run: what a task is given, where its results go, and when they are done again.

Notable:
- a task is a function from `Inputs` to `Evaluated`; conf/task names it, and nothing else does
- fingerprints are computed once for all tasks of a run
- results belong to a store: RUN/evaluations/TASK@DIGEST.json. On another store than its own a run's tables
  and figures go to a folder of that store, and the probe that `rtf.encode` uses stays as it is
- a source that the run was trained on is no test source, whatever a store's split says: it is left out
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

import rtf
from rtf.alerts.history import Detections
from rtf.classes import COARSE, FINE
from rtf.documents import Table, to_markdown, write_text
from rtf.encoding.fingerprinter import Fingerprinter, Fingerprints, Rebuilt, RunError
from rtf.encoding.load import PROBE, WEIGHTS, load, read_config, trained_on
from rtf.evaluation.record import Evaluation, Record, write_evaluation
from rtf.evaluation.statistics import N_RESAMPLES
from rtf.figures import save
from rtf.models.probe import LinearProbe
from rtf.store.read import Store, open_store
from rtf.training.runs import read_record

log = logging.getLogger(__name__)

EVALUATIONS = "evaluations"
#: Class names by level.
LEVELS = {"coarse": COARSE, "fine": FINE}
_SPLITS = ("train", "val", "test")


@dataclass
class Evaluated:
    """What a task returns; the runner writes it.

    Attributes
    ----------
    records : the scores
    tables : of them, as they are printed
    figures : by file name, a figure (.png) or a page (.html)
    arrays : by name, values of each source
    probe : for the run folder, so that `rtf.encode` gives its class probabilities
    """

    records: list[Record] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Figure | str] = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    probe: LinearProbe | None = None


@dataclass(frozen=True)
class Split:
    """The N sources of a split that are evaluated.

    Attributes
    ----------
    object_id : (N,) str
    label : (N,) int64 by level (coarse, fine), -1 unknown
    detections : all they have
    found : their fingerprints
    """

    object_id: np.ndarray
    label: dict[str, np.ndarray]
    detections: Detections
    found: Fingerprints


class Inputs:
    """What a task is given: a model, a store, fingerprints of its splits, and how to make intervals.

    Parameters
    ----------
    model, store : to evaluate, on which sources
    trained : object ids the model was trained on; they are left out of validation and test
    seed, n_bootstrap : of the resamples of test sources

    Attributes
    ----------
    notes : what was left out, for the tables
    """

    def __init__(
        self,
        model: Fingerprinter,
        store: Store,
        *,
        trained: frozenset[str] = frozenset(),
        seed: int = 0,
        n_bootstrap: int = N_RESAMPLES,
    ):
        self.model, self.store, self.trained = model, store, trained
        self.seed, self.n_bootstrap = seed, n_bootstrap
        self.notes: list[str] = []
        self._splits: dict[str, Split] = {}
        self._encoded: dict[tuple, Fingerprints] = {}

    @property
    def resamples(self) -> dict:
        """Keywords of `bootstrap`."""
        return {"seed": self.seed, "n_resamples": self.n_bootstrap}

    @property
    def how(self) -> str:
        """How intervals are made, for the tables."""
        return (
            f"95 % intervals: {self.n_bootstrap:,} bootstrap resamples of the test sources, seed {self.seed}."
        )

    def split(self, name: str) -> Split:
        """The sources of a split, without those the model was trained on or gives no finite numbers for.

        Raises
        ------
        ValueError : the split is empty
        RunError : nothing of it is left
        """
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    @property
    def tested(self) -> dict:
        """Number and digest of the test sources; empty where no task has asked for them."""
        if "test" not in self._splits:
            return {}
        names = self._splits["test"].object_id
        return {"n": len(names), "digest": hashlib.sha256("\0".join(names).encode()).hexdigest()}

    def _read(self, name: str) -> Split:
        store = self.store
        here = np.arange(store.n)[store.sources(name)]
        if not len(here):
            raise ValueError(f"{store.path} has no source in its {name} split")
        known = np.zeros(len(here), bool)
        if name != "train" and self.trained:
            known = np.isin(store.object_id[here], list(self.trained))
        self._leave_out(name, known, "the run was trained on them")
        detections = store.detections(name, cutouts=self.model.needs_cutouts)
        if known.any():
            detections = detections.take(np.flatnonzero(~known))
        found = self.model.encode(detections)
        finite = found.finite
        self._leave_out(name, ~finite, "their fingerprints are not finite")
        if not finite.all():
            detections, found = detections.take(np.flatnonzero(finite)), _rows(found, finite)
        here = here[~known][finite]
        label = {"coarse": store.coarse[here].astype(np.int64), "fine": store.label[here].astype(np.int64)}
        return Split(store.object_id[here], label, detections, found)

    def _leave_out(self, name: str, out: np.ndarray, why: str) -> None:
        if not out.any():
            return
        note = f"Left out of the {name} split, {why}: {out.sum():,} of {len(out):,} sources."
        if out.all():
            raise RunError(f"{self.store.path}: {note} Nothing is left to evaluate")
        log.warning("%s: %s", self.store.path, note)
        self.notes.append(note)

    def encode(self, name: str, first: int | None = None) -> Fingerprints:
        """Fingerprints of a split from the first detections of each source; None: from all."""
        if first is None:
            return self.split(name).found
        if (name, first) not in self._encoded:
            self._encoded[name, first] = self.model.encode(self.split(name).detections, first=first)
        return self._encoded[name, first]

    def view(self, name: str) -> Detections:
        """What the model sees of the sources of a split."""
        return self.model.view(self.split(name).detections)

    @cached_property
    def rebuilt(self) -> Rebuilt:
        """The test split, rebuilt."""
        return self.model.reconstruct(self.split("test").detections)


def _rows(found: Fingerprints, keep: np.ndarray) -> Fingerprints:
    columns = {f.name: getattr(found, f.name) for f in fields(found)}
    return replace(found, **{k: v[keep] for k, v in columns.items() if v is not None})


def evaluate(
    run: str | Path,
    tasks: Mapping[str, DictConfig],
    *,
    store: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    n_bootstrap: int = N_RESAMPLES,
    again: bool = True,
) -> Iterator[tuple[str, list[Table], list[Path]]]:
    """Carry out tasks one after the other, and write what each makes.

    Parameters
    ----------
    run : folder of a finished run
    tasks : settings by name, as in conf/task/
    store : data set; None: the one the run was trained on
    out : folder for results; None: the run folder. Elsewhere nothing of the run folder is written
    again : do tasks whose results are there already, of the same weights, store and settings

    Yields
    ------
    name (with the digest of a store that is not the run's own), tables and paths of figures

    Raises
    ------
    RunError : the run cannot be used, or all test sources were trained on
    """
    run, tasks = Path(run), dict(tasks)
    out = None if out is None or Path(out).resolve() == run.resolve() else Path(out)
    opened = open_store(store or read_config(run).data.store)
    own, short = is_own(run, opened), opened.digest[:8]
    if not (run / WEIGHTS).exists():
        load(run)  # says what is missing
    with (run / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {
        name: {**_settings(task), "seed": seed, "n_bootstrap": n_bootstrap} for name, task in tasks.items()
    }
    paths = {name: (out or run / EVALUATIONS) / f"{name}@{short}.json" for name in tasks}
    if not again:
        now = {"weights": digest, "store": opened.digest}
        tasks = {k: v for k, v in tasks.items() if _is_stale(paths[k], {**now, "settings": settings[k]})}
    if not tasks:
        return
    trained = frozenset() if own else trained_on(run)
    given = Inputs(load(run), opened, trained=trained, seed=seed, n_bootstrap=n_bootstrap)
    if not own and not trained:
        given.notes.append("The run does not say which sources it was trained on: none were left out.")
    folder = out or (run if own else run / EVALUATIONS / f"{opened.path.name}@{short}")
    for name, task in tasks.items():
        log.info("%s: task %s on %s", run, name, opened.path)
        made = instantiate(task)(given)
        write_evaluation(
            paths[name],
            Evaluation(
                task=name,
                settings=settings[name],
                store={
                    "digest": opened.digest, "path": str(opened.path), "name": opened.path.name,
                    "splits": {s: opened.sources(s).stop - opened.sources(s).start for s in _SPLITS},
                },
                test=given.tested,
                run=read_record(run).get("id", ""),
                weights=digest,
                code=rtf.__version__,
                own=own,
                notes=given.notes,
                records=made.records,
                arrays=made.arrays,
            ),
        )  # fmt: skip
        if made.probe is not None and own and out is None:
            made.probe.save(run / PROBE)
        tables = [replace(table, notes=(*table.notes, *given.notes)) for table in made.tables]
        yield (name if own else f"{name}@{short}"), tables, _write(folder, name, tables, made.figures)


def _write(folder: Path, task: str, tables: list[Table], figures: dict[str, Figure | str]) -> list[Path]:
    if tables:
        write_text(folder / f"{task}.md", "\n\n".join(map(to_markdown, tables)) + "\n")
    for name, figure in figures.items():
        if isinstance(figure, str):
            write_text(folder / name, figure)
        else:
            save(figure, folder / name)
    return [folder / name for name in figures]


def is_own(run: Path, store: Store) -> bool:
    """Whether a store is the one that a run was trained on, wherever it lies now.

    A run from before stores were recorded goes by the path.
    """
    known = (read_record(run).get("data") or {}).get("store")
    if known:
        return known["digest"] == store.digest
    return Path(read_config(run).data.store).resolve() == Path(store.path).resolve()


def _settings(task: DictConfig) -> dict:
    plain = OmegaConf.to_container(task) if OmegaConf.is_config(task) else dict(task)
    return {k: v for k, v in plain.items() if not k.startswith("_")}


def _is_stale(path: Path, now: dict) -> bool:
    """Whether results have to be made (again); what changed is logged."""
    if not path.exists():
        return True
    former = json.loads(path.read_text(encoding="utf-8"))
    former["store"] = (former.get("store") or {}).get("digest")
    changed = [name for name, value in now.items() if former.get(name) != value]
    if changed:
        log.info("%s is done again: other %s", path, " and ".join(changed))
    return bool(changed)
