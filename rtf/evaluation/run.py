"""Carry out tasks on a run: what a task is given, where its results go, and when they are done again.

Notable:
- a task is a function from `Inputs` to `Evaluated`; conf/task names it, and nothing else does
- results belong to a store: RUN/evaluations/TASK@DIGEST.json. On another store than its own a run's tables
  and figures go to a folder of that store, and the probe that `rtf.encode` uses stays as it is
- a source that the run was trained on is no test source, whatever a store's split says: it is left out
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

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
CODES = "codes"
#: Class names by level.
LEVELS = {"coarse": COARSE, "fine": FINE}


@dataclass
class Evaluated:
    """What a task returns; the runner writes it."""

    records: list[Record] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Figure | str] = field(default_factory=dict)  # .png, or a page (.html), by file name
    arrays: dict = field(default_factory=dict)  # values of each source
    probe: LinearProbe | None = None  # for the run folder: `rtf.encode` then gives its class probabilities


class Split(NamedTuple):
    """The N sources of a split that are evaluated."""

    object_id: np.ndarray  # (N,) str
    label: dict[str, np.ndarray]  # (N,) int64 by level (coarse, fine), -1 unknown
    detections: Detections  # all they have
    found: Fingerprints


@dataclass
class Inputs:
    """What a task is given: a model, a store, and how to make intervals."""

    model: Fingerprinter
    store: Store
    _: KW_ONLY
    own: bool = False  # the store is the run's own, whose splits it was trained by
    trained: frozenset[str] = frozenset()  # object ids the model was trained on: elsewhere no test sources
    # fine classes that the run says it was trained on; None: it had further stores, and does not say
    classes: frozenset[int] | None = frozenset()
    left_out: tuple[int, ...] = ()  # those that it was never to see
    seed: int = 0
    n_bootstrap: int = N_RESAMPLES
    progress: Callable | None = None  # context manager of a bar, given what is done and of how many
    notes: list[str] = field(default_factory=list)  # what was left out, for the tables
    _splits: dict[str, Split] = field(default_factory=dict)
    _encoded: dict[tuple, Fingerprints] = field(default_factory=dict)

    @property
    def resamples(self) -> dict:
        """Keywords of `bootstrap`."""
        return {"seed": self.seed, "n_resamples": self.n_bootstrap}

    @property
    def how(self) -> str:
        """How intervals are made, for the tables."""
        drawn = f"{self.n_bootstrap:,} bootstrap resamples of the test sources"
        return f"95 % intervals: {drawn}, seed {self.seed}."

    @property
    def tested(self) -> dict:
        """Number and digest of the test sources; empty where no task has asked for them."""
        if "test" not in self._splits:
            return {}
        names = self._splits["test"].object_id
        return {"n": len(names), "digest": hashlib.sha256("\0".join(names).encode()).hexdigest()}

    def split(self, name: str) -> Split:
        """The sources of a split, without those the model was trained on or gives no finite numbers for."""
        if name in self._splits:
            return self._splits[name]
        store = self.store
        here = np.arange(store.n)[store.sources(name)]
        if not len(here):
            raise ValueError(f"{store.path} has no source in its {name} split")
        odd = np.isin(store.label[here], self.left_out)
        self._leave_out(name, odd, "the run keeps their classes out (data.leave_out)")
        known = np.zeros(len(here), bool)
        if name != "train" and not self.own:
            known = np.isin(store.object_id[here], list(self.trained))
        self._leave_out(name, known, "the run was trained on them")
        new = ~odd & ~known
        detections = store.detections(name, cutouts=self.model.needs_cutouts).take(np.flatnonzero(new))
        found = self._encoded_with_a_bar(detections, name)
        self._leave_out(name, ~found.finite, "their fingerprints are not finite")
        kept = np.flatnonzero(found.finite)
        here = here[new][kept]
        label = {"coarse": store.coarse[here].astype(np.int64), "fine": store.label[here].astype(np.int64)}
        made = Split(store.object_id[here], label, detections.take(kept), found.take(kept))
        return self._splits.setdefault(name, made)

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
            self._encoded[name, first] = self._encoded_with_a_bar(self.split(name).detections, name, first)
        return self._encoded[name, first]

    def _encoded_with_a_bar(
        self, detections: Detections, name: str, first: int | None = None
    ) -> Fingerprints:
        if self.progress is None:
            return self.model.encode(detections, first=first)
        what = f"encoding, {name}" + f", {first} detections" * (first is not None)
        with self.progress(what, len(detections)) as advance:
            return self.model.encode(detections, first=first, progress=advance)

    def view(self, name: str) -> Detections:
        """What the model sees of the sources of a split."""
        return self.model.view(self.split(name).detections)

    @cached_property
    def rebuilt(self) -> Rebuilt:
        """The test split, rebuilt."""
        return self.model.reconstruct(self.split("test").detections)


def evaluate(
    run: str | Path, tasks: Mapping[str, DictConfig], *, store: str | Path | None = None,
    out: str | Path | None = None, seed: int = 0, n_bootstrap: int = N_RESAMPLES, again: bool = True,
    coded: bool = False, progress: Callable | None = None,
) -> Iterator[tuple[str, list[Table], list[Path]]]:  # fmt: skip
    """Carry out tasks on a finished run, and write what each makes.

    Parameters
    ----------
    tasks : settings by name, as in conf/task/
    store : data set; None: the one the run was trained on
    out : folder for results; None: the run folder. Elsewhere nothing of the run folder is written
    again : do tasks whose results are there already, of the same weights, store and settings
    coded : evaluate what the codes stand for in place of the floats (bottleneck=ae_rvq), in RUN/codes
    progress : context manager of a bar, given what is done and of how many sources

    Yields
    ------
    name (with the digest of a store that is not the run's own), tables and paths of figures
    """
    run, tasks = Path(run), dict(tasks)
    out = run / CODES if coded and out is None else out
    out = None if out is None or Path(out).resolve() == run.resolve() else Path(out)
    opened = open_store(store or read_config(run).data.store)
    own, short = is_own(run, opened), opened.digest[:8]
    if not (run / WEIGHTS).exists():
        load(run)  # says what is missing
    weights = hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()
    settings, paths = {}, {}
    for name, task in list(tasks.items()):
        plain = OmegaConf.to_container(task) if OmegaConf.is_config(task) else task
        settings[name] = {k: v for k, v in plain.items() if not k.startswith("_")}
        settings[name] |= {"seed": seed, "n_bootstrap": n_bootstrap}
        paths[name] = (out or run / EVALUATIONS) / f"{name}@{short}.json"
        now = {"weights": weights, "store": opened.digest, "settings": settings[name]}
        if not again and not _is_stale(paths[name], now):
            del tasks[name]
    if not tasks:
        return
    trained = trained_on(run)
    model = load(run, coded=coded)
    left_out = tuple(FINE.index(name) for name in model.config.data.get("leave_out", []))
    record = read_record(run)
    classes = frozenset(FINE.index(name) for name in record.get("classes", []) if name in FINE)
    if "classes" not in record and model.config.data.get("also_train"):
        classes = None
    sources = {"own": own, "trained": trained, "classes": classes, "left_out": left_out}
    given = Inputs(model, opened, **sources, seed=seed, n_bootstrap=n_bootstrap, progress=progress)
    if not own and not trained:
        given.notes.append("The run does not say which sources it was trained on: none were left out.")
    folder = out or (run if own else run / EVALUATIONS / f"{opened.path.name}@{short}")
    about = {"digest": opened.digest, "path": str(opened.path), "name": opened.path.name}
    about["splits"] = {s: len(range(opened.n)[opened.sources(s)]) for s in ("train", "val", "test")}
    for name, task in tasks.items():
        log.info("%s: task %s on %s", run, name, opened.path)
        made = instantiate(task)(given)
        found = Evaluation(
            task=name, settings=settings[name], store=about, test=given.tested,
            run=record.get("id", ""), weights=weights, code=rtf.__version__, own=own,
            notes=given.notes, records=made.records, arrays=made.arrays,
        )  # fmt: skip
        write_evaluation(paths[name], found)
        if made.probe is not None and own and out is None:
            replace(made.probe, space=model.space).save(run / PROBE)
        tables = [replace(table, notes=(*table.notes, *given.notes)) for table in made.tables]
        if tables:
            write_text(folder / f"{name}.md", "\n\n".join(map(to_markdown, tables)) + "\n")
        for file, figure in made.figures.items():
            if isinstance(figure, str):
                write_text(folder / file, figure)
            else:
                save(figure, folder / file)
        yield (name if own else f"{name}@{short}"), tables, [folder / file for file in made.figures]


def is_own(run: Path, store: Store) -> bool:
    """Whether a run was trained on a store, wherever that lies now; by its path if no digest was recorded."""
    known = (read_record(run).get("data") or {}).get("store")
    if known:
        return known["digest"] == store.digest
    return Path(read_config(run).data.store).resolve() == Path(store.path).resolve()


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
