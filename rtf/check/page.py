"""Two stores selected alike, compared, and the report of it: index.html, report.md, numbers.json, figures.

Notable:
- what is known of how the real sample was made is done to both sides (`Selection`)
- time is limited on both sides of the brightest detection: real histories have stray detections years before
  the event, after which a window from the first detection would hold nothing of it
- the parts follow from what both stores hold: light curves always, metadata, stamps, classes
- of a source one detection stands for its metadata, and one for its stamps: those of one source are alike and
  must not lie on both sides of a split
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import SPLITS, SourceHistory, one_survey
from rtf.alerts.surveys import Survey
from rtf.check import figures, summaries
from rtf.check.two_sample import FOLDS, TwoSample, tell_apart
from rtf.classes import FINE, fine_label
from rtf.documents import Section, Table, page_markdown, to_csv, to_html, write_text
from rtf.files import write_json
from rtf.jobs import beside, put_in_place, refuse_old, remove
from rtf.simulation.detections import alternating
from rtf.store.read import Store, open_store

NUMBERS = "numbers.json"  # of every number, and the mark of a report
_HOW = (
    "ROC-AUC of a gradient-boosted classifier on held-out sources, with its 95 % interval: 0.5 is no "
    "difference, 1 is always right."
)


class Selection(NamedTuple):
    """What is done to both sides before they are compared."""

    bands: Sequence[str] | None = None  # names of those that stay, None for all
    alternate: bool = False  # of each run of detections in one band, only the middle one stays
    max_error: float | None = None  # largest quoted error that stays [mag]
    window: float = 100.0  # days before and after the brightest detection that stay
    min_detections: int = 3  # sources with fewer of them are left out
    type: str | Sequence[str] | None = None  # only sources of this class, or of these; None for all

    @property
    def classes(self) -> list[str]:
        """Names of the classes asked for, none for all."""
        return [self.type] if isinstance(self.type, str) else list(self.type or ())

    def check(self, survey: Survey) -> None:
        """Raises ValueError for a band or a class that does not exist."""
        if strange := set(self.bands or ()) - set(survey.bands):
            raise ValueError(f"no band {', '.join(sorted(strange))}; there are {', '.join(survey.bands)}")
        if strange := [name for name in self.classes if fine_label(name) < 0]:
            raise ValueError(f"no class {', '.join(strange)}; there are {', '.join(FINE)}")

    def rows(self, history: SourceHistory) -> np.ndarray:
        """Indices of the detections that stay; none for a source that is left out."""
        bands = history.survey.bands
        keep = np.isin(history.band, [bands.index(band) for band in self.bands or bands])
        rows = np.flatnonzero(keep if self.max_error is None else keep & (history.magerr <= self.max_error))
        rows = rows[alternating(history.band[rows])] if self.alternate else rows
        if len(rows):
            brightest = rows[history.mag[rows].argmin()]
            rows = rows[np.abs(history.mjd[rows] - history.mjd[brightest]) <= self.window]
        return rows if len(rows) >= self.min_detections else rows[:0]

    def __str__(self) -> str:
        said = [f"class {' or '.join(self.classes)}"] if self.classes else []
        said += [f"bands {', '.join(self.bands)}" if self.bands else "all bands"]
        said += [f"{self.window:g} days before and after the brightest detection"]
        said += [f"quoted errors up to {self.max_error:g} mag"] if self.max_error is not None else []
        said += ["of each run of detections in one band the middle one"] if self.alternate else []
        return ", ".join([*said, f"sources with {self.min_detections} detections or more"])


#: A source as selected, and the numbers (L,) in its store of the detections that are left.
Source = tuple[SourceHistory, np.ndarray]
#: Names of K columns, and of both sides (N, K), NaN where missing.
Part = tuple[list[str], list[np.ndarray]]


def check(
    real: str | os.PathLike,
    simulated: str | os.PathLike,
    out: str | os.PathLike,
    selection: Selection = Selection(),  # noqa: B008, it cannot change
    *,
    split: str | None = None,
    at_most: int = 2000,
    seed: int = 0,
    repeats: int = 3,
    progress: Callable = lambda what, total: nullcontext(lambda done: None),
) -> tuple[Table, Path]:
    """Compare two stores and write a report; returns the verdict and the path of the page.

    Of the real store, sources of `split` (train, val, test) alone are compared, None for all. ValueError for
    an impossible selection or too few sources that lie in one store alone; FileExistsError where `out` is
    anything but a former report, which is replaced.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"no split {split}; there are {', '.join(SPLITS)}")
    if at_most < FOLDS:
        raise ValueError(f"at_most is {at_most}; a comparison needs {FOLDS} sources a side")
    out = Path(os.path.abspath(out))
    if out.exists() and not (out / NUMBERS).exists():
        raise FileExistsError(f"{out} is no report of rtf.check (it has no {NUMBERS}): choose another out=")
    refuse_old(out)
    stores = [open_store(path) for path in (real, simulated)]
    selection.check(one_survey(store.survey for store in stores))
    shared = set(stores[0].object_id) & set(stores[1].object_id)
    left_out = [f"{len(shared):,} sources lie in both stores and are left out."] if shared else []
    sides = [
        draw_sources(store, selection, shared, at_most, seed, only)
        for store, only in zip(stores, (split, None))
    ]
    if min(map(len, sides)) < FOLDS:
        few = "{} real and {} simulated sources are too few to compare".format(*map(len, sides))
        raise ValueError(" ".join([f"{few} ({selection}).", *left_out]))
    triplets = [draw_triplets(store, own, seed) for store, own in zip(stores, sides)]
    parts, results = _parts(sides, triplets, seed), {}
    for name, part in parts.items():
        with progress(f"telling {name} apart", FOLDS * repeats) as advance:
            results[name] = tell_apart(*part[1], part[0], seed, repeats=repeats, advance=advance)

    remove(folder := beside(out, ".new"))
    folder.mkdir(parents=True)
    said = [
        f"{side.capitalize()}: {store.path}, digest {store.digest[:12]}; {len(own):,} of {store.n:,} sources."
        for side, store, own in zip(figures.SIDES, stores, sides)
    ]
    said += [f"Real sources of the {split} split alone."] if split else []
    said += [f"Both sides: {selection}; at most {at_most:,} sources, drawn with seed {seed}."]
    verdict = _verdict(results)
    sections = [Section("In short", said + left_out, {"verdict": verdict})]
    sections += [_section(folder, name, part, results[name]) for name, part in parts.items()]
    sections.append(Section("Which are real?", figures=figures.draw_sheets(folder, sides, triplets, seed)))
    if all((store.label >= 0).any() for store in stores):
        sections.append(Section("Classes", tables={"classes": class_table(*(s.label for s in stores))}))
    for section in sections:
        for name, table in section.tables.items():
            write_text(folder / f"{name}.csv", to_csv(table))
    title = "A simulated survey against real data"
    write_text(folder / "report.md", page_markdown(title, sections))
    write_text(folder / "index.html", to_html(title, sections, folder))
    numbers = {"selection": selection._asdict(), "split": split, "parts": {}}
    for name, result in results.items():
        numbers["parts"][name] = result._asdict() | {"features": [f._asdict() for f in result.features]}
    # NaN becomes null.
    write_json(folder / NUMBERS, json.loads(json.dumps(numbers), parse_constant=lambda constant: None))
    put_in_place(folder, out)
    return verdict, out / "index.html"


def draw_sources(
    store: Store, selection: Selection, without: set, at_most: int, seed: int, split: str | None = None
) -> list[Source]:
    """At most so many sources that the selection leaves, at random; of one split, or of all."""
    rng, found = np.random.default_rng(seed), []
    wanted = np.array([name not in without for name in store.object_id], bool)
    if selection.classes:
        wanted &= np.isin(store.label, [fine_label(name) for name in selection.classes])
    if split is not None:
        wanted &= store.split == SPLITS.index(split)
    order = rng.permutation(np.flatnonzero(wanted))
    # In rounds, each in the order of the store: a large one is not read as a whole.
    for start in range(0, len(order), 2 * at_most):
        some = np.sort(order[start : start + 2 * at_most])
        for k, history in zip(some, store.histories(some, cutouts=False)):
            if len(rows := selection.rows(history)):
                found.append((history.select(rows), store.offset[k] + rows))
        if len(found) >= at_most:
            break
    return [found[k] for k in np.sort(rng.permutation(len(found))[:at_most])]


def draw_triplets(store: Store, sources: list[Source], seed: int) -> list[tuple[str, list, float]]:
    """Of each source that has stamps one detection's: name, three images (63, 63), and `fwhm` [pixel].

    Of ZTF: what is measured of stamps is made for their size, and for the seeing that its alerts tell.
    """
    rng, found = np.random.default_rng(seed), []
    if not store.has_cutouts or "fwhm" not in store.survey.metadata_fields:
        return found
    whole = (np.diff(store.cutout_offset).reshape(-1, 3) > 0).all(1)
    for history, detections in sources:
        if len(rows := np.flatnonzero(whole[detections])):
            row = rng.choice(rows)
            images = [pad_cutout(decode_cutout(stamp)) for stamp in store.cutouts(int(detections[row]))]
            fwhm = history.metadata[row, history.survey.metadata_fields.index("fwhm")]
            found.append((history.object_id, images, float(fwhm)))
    return found


def _parts(sides: list[list[Source]], triplets: list[list], seed: int) -> dict[str, Part]:
    """What both sides have, by name."""
    parts = {"light curves": _table(*([summaries.light_curve(h) for h, _ in own] for own in sides))}
    metadata = [_one_detection(own, np.random.default_rng(seed)) for own in sides]
    if min(map(len, metadata)) >= FOLDS:
        parts["metadata"] = list(sides[0][0][0].survey.metadata_fields), metadata
    if min(map(len, triplets)) >= FOLDS:
        parts["stamps"] = _table(*([summaries.triplet(*one[1:]) for one in own] for own in triplets))
    return parts


def _table(real: list[dict], simulated: list[dict]) -> Part:
    columns = [np.array([list(one.values()) for one in own], np.float64) for own in (real, simulated)]
    return list(real[0]), columns


def _one_detection(sources: list[Source], rng: np.random.Generator) -> np.ndarray:
    """(N, F) metadata of a random detection of each source among those with most of them."""
    found = [np.empty((0, len(sources[0][0].survey.metadata_fields)))]
    for history, _ in sources:
        known = np.isfinite(history.metadata).sum(1)
        if known.max():
            row = rng.choice(np.flatnonzero(known == known.max()))
            found.append(history.metadata[row : row + 1].astype(np.float64))
    return np.concatenate(found)


def _verdict(results: dict[str, TwoSample]) -> Table:
    columns = ("compared", "ROC-AUC", "real", "simulated", "what gives the simulation away")
    rows = []
    for name, r in results.items():
        auc, most = "{:.3f} [{:.3f}, {:.3f}]".format(r.auc, *r.interval), [f.name for f in r.features[:4]]
        rows.append((name, auc, f"{r.n_real:,}", f"{r.n_simulated:,}", ", ".join(most)))
    return Table("Can simulated and real sources be told apart?", columns, rows, [_HOW])


def _section(folder: Path, name: str, part: Part, result: TwoSample) -> Section:
    """A part's table and figures, most important columns first."""
    file = name.replace(" ", "_")
    figures.histogram_figure(result, *part, folder / f"{file}_histograms.png", name)
    columns = (
        "number", "ROC-AUC lost when shuffled", "ROC-AUC alone", "real, median", "simulated, median",
        "real, missing", "simulated, missing",
    )  # fmt: skip
    form = ("{}", "{:.4f}", "{:.3f}", "{:.4g}", "{:.4g}", "{:.1%}", "{:.1%}")
    rows = [tuple(map(str.format, form, feature)) for feature in result.features]
    captions = {f"{file}_histograms.png": "The numbers that give most away."}
    text = f"{result.n_used:,} sources of each side in each of the repeats of {FOLDS}-fold cross-validation."
    return Section(name.capitalize(), [text], {file: Table("All numbers", columns, rows)}, captions)


def class_table(real: np.ndarray, simulated: np.ndarray) -> Table:
    """Shares of the labelled sources of both stores, as they are, with simultaneous 95 % intervals."""
    counts = [np.bincount(label[label >= 0], minlength=len(FINE)) for label in (real, simulated)]
    texts = [["{:.3f} [{:.3f}, {:.3f}]".format(*one) for one in zip(*shares(own))] for own in counts]
    rows = [
        (name, *(f"{own[k]:,}" for own in counts), *(text[k] for text in texts))
        for k, name in enumerate(FINE)
        if counts[0][k] or counts[1][k]
    ]
    columns = ("class", "real", "simulated", "real, share", "simulated, share")
    return Table("All labelled sources of both stores, before any selection", columns, rows)


def shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares (C,) of a sample, with simultaneous 95 % intervals (Goodman 1965, Technometrics 7, 247)."""
    n = counts.sum()
    quantile = chi2.ppf(1 - 0.05 / len(counts), 1)
    root = np.sqrt(quantile * (quantile + 4 * counts * (n - counts) / n))
    low, high = ((quantile + 2 * counts + sign * root) / (2 * (n + quantile)) for sign in (-1, 1))
    return counts / n, np.maximum(low, 0), high
