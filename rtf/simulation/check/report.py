"""The simulated survey judged against the sky: one report of up to four parts.

Notable:
- what a part needs of the real data is looked for before anything is simulated
- each part simulates what it compares with, and with a seed of its own
- survey settings come in through `make_survey`, so that whatever a user sets is what is judged
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from rtf.files import whole
from rtf.simulation.check import alerts, cutouts, figures, light_curves, metadata, shares
from rtf.simulation.check.document import Section, Table, write_document
from rtf.simulation.check.two_sample import TwoSample

PARTS = ("light_curves", "metadata", "cutouts", "shares")
#: What is asked of simulated SN Ia.
TARGET = 0.75
#: Sources to simulate for a class of which few are real; each repeat of the test draws as many as are real.
_FEW = 400
_NEEDS = {
    "light_curves": tuple(table.path for table in light_curves.REAL_TABLES.values()),
    "metadata": tuple(alerts.REAL_ALERTS),
    "cutouts": tuple(alerts.REAL_ALERTS),
    "shares": (shares.LABELS,),
}


@contextmanager
def _silent(what: str, total: int):
    yield lambda done: None


def check(
    make_survey: Callable,
    real: str | Path | None,
    out: str | Path,
    *,
    parts: Sequence[str] = PARTS,
    n_sources: int = 2000,
    n_light_curves: int | None = None,
    seed: int = 0,
    progress: Callable = _silent,
) -> Path:
    """Compare a survey with real data; writes a report, figures and every number into a folder.

    Parameters
    ----------
    make_survey : `(n_sources=, seed=[, classes=][, stamps=]) -> survey`, with the protocol of a reader
    real : folder of real data
    out : folder to write
    parts : of `PARTS`
    n_sources : of the survey as configured, for metadata, and of one with classes from rates, for shares
    n_light_curves : real sources of each class to compare at most; None for all
    seed : of everything
    progress : `(what, total)` -> context manager whose value advances the bar

    Returns
    -------
    path of report.md

    Raises
    ------
    ValueError : no folder of real data, or an unknown part
    FileNotFoundError : naming what the folder lacks
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not real:
        raise ValueError("no real data to judge by: give real=FOLDER or set RTF_REAL_DATA")
    real, out = Path(real), Path(out)
    for part in parts:
        for name in _NEEDS[part]:
            if not (real / name).exists():
                raise FileNotFoundError(f"{real / name}: not there; the part {part} needs it")
    out.mkdir(parents=True, exist_ok=True)

    sections = []
    if "light_curves" in parts:
        for class_name in light_curves.REAL_TABLES:
            sections.append(_light_curves(make_survey, real, out, class_name, n_light_curves, seed, progress))
    if "metadata" in parts:
        with progress("simulating the survey as configured", n_sources) as advance:
            survey = make_survey(n_sources=n_sources, seed=seed + 1)
            sample, _ = alerts.simulated_alerts(survey, seed, advance)
        sections.append(_metadata(real, out, sample, seed, progress))
    if "cutouts" in parts:
        sections.append(_cutouts(make_survey, real, out, seed, progress))
    if "shares" in parts:
        with progress("simulating a survey with classes from rates", n_sources) as advance:
            survey = make_survey(n_sources=n_sources, seed=seed + 3, classes="rates")
            _, labels = alerts.simulated_alerts(survey, seed, advance)
        sections.append(_shares(real, out, labels))
    return write_document(out, "The simulated survey against the sky", [_verdict(sections), *sections])


def _verdict(sections: list[Section]) -> Section:
    """What the classifiers say, on one page."""
    rows = [
        (name, result["auc"], *result["interval"], result["n_real"], result["n_simulated"], worst)
        for section in sections
        for name, result in section.numbers.get("two_sample", {}).items()
        for worst in [", ".join(f["name"] for f in result["features"][:4])]
    ]
    columns = (
        "compared", "ROC-AUC", "from", "to", "real sources", "simulated sources", "what gives most away",
    )  # fmt: skip
    text = [
        "ROC-AUC of a gradient-boosted classifier that tries to tell simulated from real sources, with its "
        f"95 % interval: 0.5 is no difference, 1 is always right. Asked of SN Ia: at most {TARGET}."
    ]
    return Section("In short", text, [Table("two_sample", columns, rows)] if rows else [])


def _light_curves(make_survey, real, out, class_name, at_most, seed, progress) -> Section:
    table = light_curves.REAL_TABLES[class_name]
    theirs = light_curves.real_light_curves(real, class_name)
    if at_most is not None and len(theirs) > at_most:
        chosen = np.random.default_rng(seed).choice(len(theirs), at_most, replace=False)
        theirs = [theirs[k] for k in np.sort(chosen)]
    few = len(theirs) < _FEW
    n = min(_FEW, 10 * len(theirs)) if few else len(theirs)
    # Some simulated sources do not pass the selection.
    survey = make_survey(n_sources=10 * n, seed=seed, classes={class_name: 1.0})
    with progress(f"simulating {n} {class_name}", n) as advance:
        ours = light_curves.simulated_light_curves(survey, class_name, n, advance)
    repeats = 6 if few else 3
    with progress(f"telling {class_name} apart", 5 * repeats) as advance:
        result = light_curves.compare(theirs, ours, seed, repeats=repeats, advance=advance)

    name = class_name.replace(" ", "_").lower()
    title = f"{class_name}, real ones of: {table.name}"
    panels = light_curves.panels(theirs, ours)
    figures.importance_figure(result, out / f"{name}_features.png", class_name)
    figures.quantile_figure(panels, out / f"{name}_quantiles.png", title, seed)
    figures.histogram_figure(panels, out / f"{name}_histograms.png", title)
    key = figures.light_curve_sheet(
        theirs, ours, out / f"{name}_sheet.png", f"{class_name}: which are real?", seed
    )
    _write_key(out / f"{name}_sheet_key.csv", key)
    low, high = result.interval
    verdict = f"ROC-AUC {result.auc:.3f} [{low:.3f}, {high:.3f}]"
    if class_name == "SN Ia":
        met = "met" if result.auc <= TARGET else "not met"
        verdict += f"; at most {TARGET} is asked: {met}"
    return Section(
        f"Light curves: {class_name}",
        [
            f"{verdict}. {result.n_real:,} real sources ({table.name}) and {result.n_simulated:,} simulated, "
            f"{result.n_used:,} of each in each of {repeats} repeats of 5-fold cross-validation.",
            *table.selection.notes(),
            *table.remarks,
        ],
        [_feature_table(f"{name}_features", result)],
        [
            (f"{name}_features.png", "What gives the simulation away."),
            (f"{name}_quantiles.png", "Quantiles, simulated against real."),
            (f"{name}_histograms.png", "The same quantities as histograms."),
            (f"{name}_sheet.png", f"Light curves in random order; the key is {name}_sheet_key.csv."),
        ],
        {"two_sample": {class_name: asdict(result)}, "quantiles": _quantiles(panels)},
    )


def _metadata(real: Path, out: Path, ours: list, seed: int, progress) -> Section:
    theirs = alerts.real_alerts(real)
    rows = metadata.compare_metadata(theirs, ours)
    objects = len({alert.object_id for alert in theirs})
    results = {}
    groups = [group for group in metadata.GROUPS if any(row.group == group for row in rows)]
    with progress("telling metadata apart", 15 * len(groups)) as advance:
        for group in groups:
            tell = partial(metadata.tell_metadata_apart, theirs, ours, group, seed)
            results[f"metadata, {group}"] = tell(repeats=3, advance=advance)
    made = []
    for group in groups:
        name = "metadata_" + group.replace(" ", "_")
        panels = metadata.metadata_panels(theirs, ours, group)
        title = f"Metadata of alerts: {group}"
        figures.quantile_figure(panels, out / f"{name}_quantiles.png", title, seed)
        figures.histogram_figure(panels, out / f"{name}_histograms.png", title)
        made += [
            (f"{name}_quantiles.png", f"Quantiles of each field, {group}."),
            (f"{name}_histograms.png", f"Histograms of each field, {group}."),
        ]
    columns = (
        "field", "alerts", "depends on", "real", "simulated", "real missing", "simulated missing",
        "real 25 %", "50 %", "75 %", "simulated 25 %", "50 % ", "75 % ", "KS distance", "by chance",
    )  # fmt: skip
    cells = [
        (
            row.field, row.group, row.depends, row.n_real, row.n_simulated, row.real_missing,
            row.simulated_missing, *row.real, *row.simulated, row.distance, row.chance,
        )
        for row in rows
    ]  # fmt: skip
    samples = {}
    for alert in theirs:
        samples[alert.sample] = samples.get(alert.sample, 0) + 1
    listed = ", ".join(f"{name} {count}" for name, count in sorted(samples.items()))
    return Section(
        "Metadata",
        [
            f"{len(theirs):,} positive real alerts of {objects:,} objects, their own candidates alone; "
            f"{len(ours):,} simulated alerts, one of each source. By file: {listed}.",
            "The real alerts were chosen by hand: many lie on variable stars, and their sources were seen "
            "hundreds of times before. That alone sets sgscore1, distpsnr1, distnr, magnr, ndethist and the "
            "neighbours' magnitudes apart, and makes `all` the hardest comparison. Fields of the visit do "
            "not depend on it, apart from the Galactic plane's crowding.",
            "`by chance`: the distance that equal distributions exceed once in twenty times.",
        ],
        [
            Table("metadata", columns, cells, shown=len(metadata.DEPENDS)),
            *(_feature_table(_file(name), result, 12) for name, result in results.items()),
        ],
        made,
        {
            "two_sample": {name: asdict(result) for name, result in results.items()},
            "fields": [asdict(row) for row in rows],
        },
    )


def _cutouts(make_survey, real: Path, out: Path, seed: int, progress) -> Section:
    theirs = [alert for alert in alerts.real_alerts(real, cutouts=True) if alert.cutouts is not None]
    with progress("simulating cutouts", len(theirs)) as advance:
        survey = make_survey(n_sources=len(theirs), seed=seed + 2, stamps=True)
        ours = alerts.simulated_alerts(survey, seed, advance)[0]
    numbers = [cutouts.summaries(side) for side in (theirs, ours)]
    panels = cutouts.cutout_panels(*numbers)
    figures.histogram_figure(panels, out / "cutouts_histograms.png", "Cutouts")
    of_each = [cutouts.profiles(side) for side in (theirs, ours)]
    radius = of_each[0][0]
    by_kind = {
        kind: (radius, {"real": of_each[0][1][kind], "simulated": of_each[1][1][kind]})
        for kind in cutouts.KINDS
    }
    figures.profile_figure(
        by_kind, out / "cutouts_profiles.png", "Radial profiles: median, and 68 % of stamps"
    )
    images = [[(alert.object_id, cutouts.decode(alert)) for alert in side] for side in (theirs, ours)]
    key = figures.stamp_sheet(*images, out / "cutouts_sheet.png", "Which are real?", seed)
    _write_key(out / "cutouts_sheet_key.csv", key)
    made = [
        ("cutouts_sheet.png", "Triplets in random order; the key is cutouts_sheet_key.csv."),
        ("cutouts_profiles.png", "Radial profiles of stamps whose centre has at least 15 sigma."),
        ("cutouts_histograms.png", "Numbers of each stamp."),
    ]
    text = [f"{len(theirs):,} real triplets, {len(ours):,} simulated."]
    results = {}
    tables = [_measure_table(*numbers)]
    figures.quantile_figure(panels, out / "cutouts_quantiles.png", "Cutouts", seed)
    made.append(("cutouts_quantiles.png", "The same numbers as quantiles."))
    differences = [k for k, name in enumerate(cutouts.SUMMARIES) if "difference" in name]
    with progress("telling cutouts apart", 30) as advance:
        for name, columns in {"cutouts": None, "cutouts, differences alone": differences}.items():
            results[name] = cutouts.compare_cutouts(*numbers, seed, columns, repeats=3, advance=advance)
    figures.importance_figure(results["cutouts"], out / "cutouts_features.png", "Cutouts")
    made.append(("cutouts_features.png", "What gives the simulated cutouts away."))
    tables += [_feature_table(_file(name), result, 12) for name, result in results.items()]
    text.append(
        "What lies in science and template depends on the choice of the real alerts, many of which sit "
        "on a star; the difference does not."
    )
    shapes = [cutouts.shapes(side) for side in (theirs, ours)]
    text.append(
        "Shapes of stamps, real: "
        + "; simulated: ".join(", ".join(f"{s} {n:,}" for s, n in side.items()) or "none" for side in shapes)
        + "."
    )
    return Section(
        "Cutouts", text, tables, made,
        {
            "two_sample": {name: asdict(result) for name, result in results.items()},
            "shapes": dict(zip(("real", "simulated"), shapes)),
            "quantiles": _quantiles(panels),
            "profiles": {
                kind: {
                    "radius": radius,
                    **{side: np.nanmedian(rows, 0) for side, rows in sides.items() if len(rows)},
                }
                for kind, (radius, sides) in by_kind.items()
            },
        },
    )  # fmt: skip


def _shares(real: Path, out: Path, labels: np.ndarray) -> Section:
    theirs, others = shares.real_counts(real)
    ours = shares.counted(labels)
    merged = [shares.with_plateau(counts) for counts in (theirs, ours)]
    columns = (
        "class", "real", "simulated", "real share", "from", "to", "simulated share", "from ", "to ",
        "simulated / real",
    )  # fmt: skip
    rows = []
    for title, (a, b) in {"": (theirs, ours), "II+IIP": merged}.items():
        (p, p_low, p_high), (q, q_low, q_high) = shares.shares(a), shares.shares(b)
        for k, name in enumerate(shares.CLASSES):
            if title and name != "SN II":
                continue
            ratio = float(q[k] / p[k]) if p[k] else float("nan")
            rows.append(
                (
                    "SN II and SN IIP" if title else name, int(a[k]), int(b[k]), float(p[k]), float(p_low[k]),
                    float(p_high[k]), float(q[k]), float(q_low[k]), float(q_high[k]), ratio,
                )
            )  # fmt: skip
    sides = {"Transient Name Server": shares.shares(theirs), "simulated": shares.shares(ours)}
    figures.share_figure(
        shares.CLASSES, sides, out / "shares.png", "Class shares with simultaneous 95 % intervals"
    )
    return Section(
        "Class shares",
        [
            f"{int(theirs.sum()):,} objects of the Transient Name Server in these classes ({others:,} "
            f"others left out), {int(ours.sum()):,} simulated sources, their "
            "shares from volumetric rates. "
            "Intervals: simultaneous 95 %, Goodman (1965).",
            "The server holds what was chosen for a spectrum and reported: few cataclysmic variables and "
            "active nuclei are, and most plateau supernovae are entered as SN II.",
        ],
        [Table("shares", columns, rows)],
        [("shares.png", "Class shares.")],
        {
            "real": dict(zip(shares.CLASSES, theirs)),
            "simulated": dict(zip(shares.CLASSES, ours)),
            "real_others": others,
        },
    )


def _feature_table(name: str, result: TwoSample, shown: int = 15) -> Table:
    columns = (
        "feature", "unit", "loss of ROC-AUC when shuffled", "ROC-AUC alone", "real median",
        "simulated median", "real missing", "simulated missing",
    )  # fmt: skip
    rows = [
        (f.name, f.unit, f.importance, f.auc, f.real, f.simulated, f.real_missing, f.simulated_missing)
        for f in result.features
    ]
    return Table(name, columns, rows, shown)


def _measure_table(theirs: np.ndarray, ours: np.ndarray) -> Table:
    """Quartiles of every cutout number on both sides."""
    rows = []
    for k, (name, unit) in enumerate(cutouts.SUMMARIES.items()):
        quartiles = [
            np.percentile(present, [25, 50, 75]).tolist() if len(present) else [float("nan")] * 3
            for side in (theirs, ours)
            for present in [side[np.isfinite(side[:, k]), k]]
        ]
        rows.append((name, unit, *quartiles[0], *quartiles[1]))
    columns = ("number", "unit", "real 25 %", "50 %", "75 %", "simulated 25 %", "50 % ", "75 % ")
    return Table("cutouts", columns, rows)


def _quantiles(panels) -> dict:
    """1, 5, 25, 50, 75, 95 and 99 % of each panel and side, and how many values there are."""
    levels = (1, 5, 25, 50, 75, 95, 99)
    found = {}
    for panel in panels:
        found[panel.name] = {}
        for side, (values, *_) in zip(("real", "simulated"), panel.flat()):
            quantiles = np.percentile(values, levels) if len(values) else np.full(len(levels), np.nan)
            quantiles = 10**quantiles if panel.log else quantiles
            found[panel.name][side] = {"n": len(values)} | dict(zip(map("{} %".format, levels), quantiles))
    return found


def _file(name: str) -> str:
    return name.replace(",", "").replace(" ", "_") + "_features"


def _write_key(path: Path, key: list[tuple[int, str, str]]) -> None:
    with whole(path) as temporary:
        temporary.write_text("number,side,object_id\n" + "".join(f"{n},{s},{o}\n" for n, s, o in key))
