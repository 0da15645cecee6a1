"""What the page looks at: an archive with its map, followed while it grows; light curves, model and marks."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from rtf.archive import Archive
from rtf.archive.rows import PROBABILITIES
from rtf.classes import FINE
from rtf.explorer import places as maps
from rtf.explorer.marks import INTERESTING, Marks, interest
from rtf.explorer.points import COLUMNS, Points, listed_column
from rtf.explorer.sources import Light

#: Sources that are ordered by marks at once: those most strange.
MOST_RANKED = 20_000
#: Changed points that are sent one by one; after more the page asks for the map again.
MOST_SENT = 2000
_LOT = 1 << 15

log = logging.getLogger(__name__)


class Explorer:
    """An archive and all that the page shows beside it. `work` fills it in, in a thread of its own.

    Parameters
    ----------
    archive, space : whose fingerprints
    light : where light curves come from
    load_model : returns the model, whose space must be the archive's; None: a page without curves
    marks : of the person who looks
    sample : sources that the map is fitted on
    refit : fit the map anew, where one is kept
    """

    def __init__(
        self,
        archive: Archive,
        space: str | None = None,
        *,
        light: Light | None = None,
        load_model: Callable | None = None,
        marks: Marks | None = None,
        sample: int = 10_000,
        refit: bool = False,
    ) -> None:
        self.archive, self.space = archive, archive.space(space)
        self.light = Light() if light is None else light
        self.marks = Marks(None) if marks is None else marks
        self.points, self.changes = Points(), []
        self.status = {"doing": "reading the archive", "done": 0, "of": 0, "ready": False, "error": None}
        self.model, self.model_note = (
            None,
            "the model is being loaded" if load_model else "no model was named (run=)",
        )
        self.model_lock = threading.Lock()
        self._load_model, self._sample, self._refit = load_model, sample, refit
        self._model_done, self.stopped = threading.Event(), threading.Event()
        self.map, self._seen = None, (-1, -1)  # the archive's version, and its highest row
        self._night = None

    # what goes on while the page is looked at

    def start(self) -> None:
        """Begin to read the archive and to load the model, in threads that end with the process."""
        for target in (self.prepare_model, self.work):
            threading.Thread(target=target, daemon=True).start()

    def prepare_model(self) -> None:
        """Load the model, and leave it out, with a note, where its fingerprints are of another space."""
        try:
            if self._load_model is not None:
                model = self._load_model()
                if model.space == self.space:
                    self.model, self.model_note = model, ""
                else:
                    self.model_note = (
                        f"the model is of space {model.space}, the archive of {self.space}: no curves from "
                        "it. Name the run that made the archive (run=)"
                    )
        except Exception as error:
            self.model_note = f"no model: {error}"
        finally:
            self._model_done.set()

    def work(self, every: float = 2.0) -> None:
        """Make the map, then look for new rows until `stopped`."""
        try:
            self.open()
            self.work_on(every)
        except Exception as error:
            log.exception("the map could not be made")
            self.status |= {"error": f"{type(error).__name__}: {error}"}

    def work_on(self, every: float) -> None:
        """Look for new rows until `stopped`; an archive that cannot be read for a moment is asked again."""
        while not self.stopped.wait(every):
            try:
                self.follow()
            except Exception as error:
                log.warning("the archive could not be read: %s", error)

    def say(self, doing: str, done: int = 0, of: int = 0) -> None:
        self.status = self.status | {"doing": doing, "done": done, "of": of}

    def open(self) -> None:
        """Read the archive, and give each object its place: a kept one, or by the map, fitted if need be."""
        self._read("reading the archive")
        points, path = self.points, maps.file_of(self.archive.folder, self.space)
        every = np.arange(points.n)
        kept = None if self._refit else maps.load(path, self.space)
        keys = points.keys(every)
        if kept is not None and len(kept.anchors) < min(self._sample, points.n) // 4:
            kept = None  # it was fitted when the archive was small
        fresh = kept is None
        if fresh:
            chosen = np.sort(np.random.default_rng(0).permutation(points.n)[: self._sample])
            self.say(f"fitting the map to {len(chosen):,} of {points.n:,} fingerprints")
            numbers, latent = self.fingerprints(chosen)
            kept = maps.fit(latent)
            kept.keep(keys[numbers], kept.anchor_places)
        self.map = kept
        points.put(every, kept.known(keys))
        if self._place("placing fingerprints") or fresh:
            try:
                maps.save(kept, path, self.space)
            except OSError as error:
                log.warning("the map is not kept for the next time: %s", error)
        self.status = {"doing": "", "done": 0, "of": 0, "ready": True, "error": None}

    def follow(self) -> None:
        """Take what was added since; the points that changed are one entry of `changes`."""
        if self.archive.version(self.space) == self._seen[0]:
            return
        changed = self._read("")
        if len(changed):
            self.points.put(changed, self.map.known(self.points.keys(changed)))
            self._place("")
            self.changes.append(changed)

    def _read(self, doing: str) -> np.ndarray:
        """Rows that were not seen yet; the objects that changed."""
        version, highest = self.archive.version(self.space), self._seen[1]
        of, done, changed = self.archive.count(self.space), 0, []
        for rows in self.archive.rows(COLUMNS, self.space, beyond=highest):
            changed.append(self.points.update(rows))
            highest = max(highest, int(rows["_rowid"].to_numpy().astype(np.int64).max(initial=-1)))
            done += len(rows)
            if doing:
                self.say(doing, done, of)
        self._seen = (version, highest)
        return np.unique(np.concatenate(changed)) if changed else np.empty(0, np.int64)

    def _place(self, doing: str) -> int:
        """Give places to all objects without one; how many there were."""
        left = np.flatnonzero(np.isnan(self.points.column("x")))
        for start in range(0, len(left), _LOT):
            if doing:
                self.say(doing, start, len(left))
            numbers, latent = self.fingerprints(left[start : start + _LOT])
            if len(numbers):
                spots = maps.place(self.map, latent)
                self.points.put(numbers, spots)
                self.map.keep(self.points.keys(numbers), spots)
        return len(left)

    # questions

    def wait_for_model(self, seconds: float = 60.0) -> None:
        """Wait while the model is being loaded, if one is."""
        self._model_done.wait(seconds if self._load_model is not None else 0)

    def fingerprints(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The newest fingerprints (M, F) float32 of objects, and which objects they are of, ascending.

        A row that got another number meanwhile is left out; `follow` brings it back.
        """
        numbers = np.unique(np.asarray(numbers, np.int64))
        row = self.points.column("row")[numbers]
        order = np.argsort(row)
        found, latent = [], []
        for rows in self.archive.rows(["fingerprint", "code"], self.space, numbers=row[order]):
            if len(rows):
                at = np.searchsorted(row[order], rows["_rowid"].to_numpy().astype(np.int64))
                found.append(numbers[order[at]])
                latent.append(self._latent(rows))
        if not found:
            return np.empty(0, np.int64), np.empty((0, 1), np.float32)
        found, latent = np.concatenate(found), np.concatenate(latent)
        order = np.argsort(found)
        return found[order], latent[order]

    def _latent(self, rows: pa.Table) -> np.ndarray:
        if "fingerprint" in rows.column_names:
            column = rows["fingerprint"].combine_chunks()
            return column.flatten().to_numpy().reshape(len(column), -1)
        self._model_done.wait()
        if self.model is None:
            raise ValueError(
                f"the archive keeps codes alone, which need their model (run=): {self.model_note}"
            )
        codes = np.array([list(c) for c in rows["code"].to_pylist()], np.uint8)
        with self.model_lock:
            return np.asarray(self.model.from_code(codes), np.float32)

    def neighbours(self, latent: np.ndarray, k: int, without: int | None = None) -> list[dict]:
        """The k objects nearest to a fingerprint (F,) with their distances; `without` is left out."""
        model = self.model if self.archive.keeps_codes_alone(self.space) else None
        found = self.archive.search(
            latent,
            k + (without is not None),
            newest=True,
            space=self.space,
            model=model,
            columns=["survey", "object_id"],
        )
        rows = []
        for survey, name, distance in zip(
            *(found[c].to_pylist() for c in ("survey", "object_id", "distance"))
        ):
            number = self.points.index(survey, name)
            if number is not None and number != without:
                rows += [one | {"distance": round(distance, 5)} for one in self.points.described([number])]
        return rows[:k]

    def alerts(self, survey: str, object_id: str) -> dict:
        """What was known of an object after each of its alerts: times, class probabilities, strangeness."""
        rows = self.archive.alerts_of(object_id, survey, self.space)
        found = {
            "mjd": listed_column(rows["mjd"], 5), "n_detections": rows["n_detections"].to_pylist(),
            "strangeness": listed_column(rows["strangeness"], 4), "probabilities": {},
        }  # fmt: skip
        for column, name in PROBABILITIES.items():
            if column in rows.column_names and rows[column].null_count < len(rows):
                found["probabilities"][name] = listed_column(rows[column], 4)
        return found

    def tonight(self, days: float, by_marks: bool, most: int) -> list[dict]:
        """The strangest objects of the newest days of the archive, or the best ones by the marks."""
        mjd = self.points.column("mjd")
        if not len(mjd):
            return []
        strange = np.nan_to_num(self.points.column("strangeness"), nan=-1.0)
        night = np.flatnonzero(mjd > mjd.max() - days)
        night = night[np.argsort(-strange[night], kind="stable")]
        marks = self.marked()
        if by_marks and INTERESTING in marks.values():
            night, score = self._by_marks(night[:MOST_RANKED], marks)
            night = night[np.argsort(-score, kind="stable")]
        return self.points.described(night[:most])

    def marked(self) -> dict[int, str]:
        """Marks by number of object; those of other archives are passed over."""
        found = {self.points.index(*key): mark for key, (mark, _) in self.marks.of.items()}
        return {number: mark for number, mark in found.items() if number is not None}

    def _by_marks(self, night: np.ndarray, marks: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
        wanted = np.union1d(night, np.array(list(marks), np.int64))
        key = (len(self.changes), wanted.tobytes())
        if self._night is None or self._night[0] != key:
            self._night = (key, *self.fingerprints(wanted))
        _, numbers, latent = self._night
        marked = np.flatnonzero(np.isin(numbers, list(marks)))
        good = np.array([marks[k] == INTERESTING for k in numbers[marked].tolist()], bool)
        score = interest(latent, marked, good, self.points.column("strangeness")[numbers])
        own = np.isin(numbers, night)
        return numbers[own], score[own]

    def about(self) -> dict:
        """What the page says of itself."""
        points = self.points
        label = points.column("label")
        kinds, counts = np.unique(label, return_counts=True)
        return self.status | {
            "version": len(self.changes), "n": points.n, "space": self.space,
            "archive": Path(self.archive.folder).name, "light": bool(self.light),
            "model": self.model is not None, "model_note": self.model_note, "classes": list(FINE),
            "counts": {int(k): int(n) for k, n in zip(kinds, counts)},
            "newest": float(points.column("mjd").max()) if points.n else None, "marks": len(self.marks.of),
            "marks_kept": self.marks.path is not None, "now": time.time(),
        }  # fmt: skip
