"""Put a run into the box with its model card: python experiments/ship.py RUN NAME

Evaluations in the run folder become the card's figures: those on the run's own store, on other stores, and,
under RUN/codes, of the codes in place of the floats. FACTS below says what no evaluation can.
"""

import json
import shutil
import sys
from pathlib import Path

from rtf import __version__
from rtf.documents import Table, to_markdown, write_text
from rtf.encoding.load import CONFIG, PROBE, SOURCES, STATISTICS, STRANGENESS, WEIGHTS, load
from rtf.encoding.shipped import FOLDER
from rtf.evaluation.record import Record
from rtf.evaluation.statistics import Estimate, format_estimate
from rtf.files import write_json

FACTS = {
    "ztf": {
        "survey": ("Zwicky Transient Facility, public alerts (positive subtractions, difference magnitudes)"),
        "bands": "g and r; i occurs in simulated sources and in 22 real ones alone",
        "cadence": "that of ZTF: a visit every two or three nights in each of g and r",
        "least detections": (
            "1; probabilities of fewer than 3 detections are hardly better than class shares"
        ),
        "view": "the latest 365 days, never fewer than 30 detections, at most 257",
        "trained on": [
            "3,397 real supernovae of known type: photometry of alerts from the ALeRCE broker, through ztf-"
            "supernova-features, with their non-detections; types of the Transient Name Server",
            "15 real tidal disruptions of forced photometry (manyTDE), made alert-like",
            "simulated supernovae, superluminous ones and tidal disruptions (rtf.simulate), a new part of "
            "them in every epoch, some with metadata and stamps",
            "simulated active nuclei and cataclysmic variables, with metadata and stamps",
        ],
        "bad at": [
            "active nuclei and cataclysmic variables: it has seen simulated ones alone, and its figures for"
            " them on ztf.zarr are of simulated ones, which have metadata where the real supernovae there "
            "have none",
            "metadata and stamps: it has seen simulated ones alone, which can be told from real ones",
            "SN Ib, SN Ic, SN IIn and SN IIb: some hundred of each to learn from, taken for SN Ia or SN II",
            "variable stars, asteroids and artefacts: no class of theirs, they get the nearest one",
            "deep forced photometry, and other surveys",
        ],
        "real alerts with cutouts": [
            "51 objects of known type that it was not trained on (15 SN Ia, 4 other supernovae, 9 "
            "cataclysmic variables, 11 active nuclei, 3 tidal disruptions, 9 superluminous): ROC-AUC of the"
            " coarse classes 0.802 [0.686, 0.899] with all modalities, 0.803 [0.691, 0.903] without stamps,"
            " 0.735 [0.616, 0.849] of photometry alone; accuracy 0.471, 0.549, 0.392",
            "right with all modalities: 8 SN Ia, 3 other supernovae, 4 cataclysmic variables, 6 active "
            "nuclei; stamps help active nuclei (3 without) and cost SN Ia (13 without)",
            "metadata and stamps of the simulator were tuned on alerts of the same small sample",
        ],
        "licence": "BSD-3-Clause, as the package",
    },
    "lsst": {
        "survey": "Legacy Survey of Space and Time (Rubin), alerts with forced photometry; difference fluxes "
        "of either sign",
        "bands": "u g r i z y",
        "cadence": "a simulated one of wide and deep fields, and MALLORN's; not the official scheduler's",
        "least detections": "1, forced photometry counted; of simulated sources at least 3 detections",
        "view": "of each night the first two points of a band, forced ones among them; of these the latest "
        "128 within 365 days, never fewer than 30",
        "trained on": [
            "simulated sources alone: no typed source of Rubin was public",
            "1,203 light curves of MALLORN, made by its authors from real ZTF sources, without metadata",
            "63,752 sources of rtf.simulate, with metadata and forced photometry, a new quarter of 60,000 of "
            "them in every epoch",
        ],
        "bad at": [
            "what is real: nobody knows its classes of Rubin's transients to be right; its figures are of "
            "simulated test sources",
            "what changes within a night: of many exposures of a band it sees the first two",
            "class shares: those it was trained on are nobody's survey",
            "variable stars, asteroids and artefacts: no class of theirs, they get the nearest one",
            "cutouts: it looks at none",
        ],
        "real alerts": [
            "59 objects of one deep field, March 2026, of which 38 have a SIMBAD type: their points are "
            "rebuilt to 3.8 [3.1, 5.2] of their errors (median; the mean of each band: 2.0 [1.6, 2.4])",
            "it calls all 32 active nuclei active nuclei, and the 6 stars too; of the five nearest "
            "fingerprints of a star 0.43 are stars', of a nucleus 0.07",
        ],
        "licence": "BSD-3-Clause, as the package",
    },
}
#: Rows of the card: heading, task, and the record's attributes.
ROWS = [
    (
        "accuracy, five supernova classes",
        "probe",
        {"score": "accuracy", "level": "supernovae", "method": "head"},
    ),
    (
        "macro F1, five supernova classes",
        "probe",
        {"score": "macro F1", "level": "supernovae", "method": "head"},
    ),
    ("accuracy, coarse classes", "probe", {"score": "accuracy", "level": "coarse", "method": "head"}),
    (
        "accuracy, coarse classes, of boosted trees on summaries",
        "probe",
        {"score": "accuracy", "level": "coarse", "method": "trees on summaries"},
    ),
    ("ROC-AUC, coarse classes", "probe", {"score": "ROC-AUC", "level": "coarse", "method": "head"}),
    (
        "balanced accuracy, coarse classes alike",
        "probe",
        {"score": "balanced accuracy", "level": "coarse", "method": "head, classes alike"},
    ),
    (
        "ROC-AUC, coarse, of 3 detections",
        "early",
        {"score": "ROC-AUC", "level": "coarse", "method": "head", "shown": 3},
    ),
    ("median |Δmag| rebuilt", "physical", {"score": "mag", "level": "all", "method": "model"}),
    ("its noise floor", "physical", {"score": "mag", "level": "all", "method": "noise floor"}),
    ("calibration error", "calibration", {"score": "ECE", "level": "after", "method": "head"}),
    ("conformal sets of 90 %: coverage", "calibration", {"score": "coverage", "level": "one threshold"}),
    ("conformal sets of 90 %: mean size", "calibration", {"score": "set size", "level": "one threshold"}),
    ("ROC-AUC of strangeness, types kept out", "anomaly", {"score": "ROC-AUC", "method": "strangeness"}),
]


def main(run: str, name: str) -> None:
    run, out = Path(run), FOLDER / name
    model, facts = load(run), FACTS[name]
    data = json.loads((run / "run.json").read_text())["data"]
    columns = {}  # heading: records by task
    for folder, what in ((run / "evaluations", ""), (run / "codes", ", from codes")):
        for path in sorted(folder.glob("*@*.json")):
            found = json.loads(path.read_text(encoding="utf-8"))
            records = [Record(**{k: v for k, v in r.items() if v is not None}) for r in found["records"]]
            columns.setdefault(found["store"]["name"] + what, {})[found["task"]] = records
    metrics, cells = {}, []
    for heading, task, keys in ROWS:
        row = [heading]
        for column, tasks in columns.items():
            wanted = {"group": "all", "shown": None} | keys
            hits = [r for r in tasks.get(task, ()) if all(getattr(r, k) == v for k, v in wanted.items())]
            row.append(format_estimate(Estimate(hits[0].value, hits[0].low, hits[0].high)) if hits else "")
            if hits:
                value = {"value": hits[0].value, "low": hits[0].low, "high": hits[0].high, "n": hits[0].n}
                metrics.setdefault(column, {})[heading] = {k: v for k, v in value.items() if v == v}
        if any(row[1:]):
            cells.append(row)
    card = {
        "name": name, "rtf": __version__, "space": model.space, "fingerprint": model.config.latent_dim,
        "run": f"python -m rtf.train experiment={name} seed={model.config.seed} tracking=none",
        "stores": {Path(s["path"]).name: s["digest"] for s in (data["store"], *data["also_train"])},
        "modalities": list(model.modalities), **facts, "metrics": metrics,
    }  # fmt: skip
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for file in (CONFIG, WEIGHTS, STATISTICS, STRANGENESS, PROBE, SOURCES):
        if (run / file).exists():
            shutil.copyfile(run / file, out / file)
    # paths as the experiment has them, not where they lay on the machine that trained
    text = (out / CONFIG).read_text(encoding="utf-8").replace(f"{Path.cwd()}/", "")
    for given in (data["store"], *data["also_train"]):
        text = text.replace(given["path"], f"data/{Path(given['path']).name}")
    (out / CONFIG).write_text(text, encoding="utf-8")
    write_json(out / "model_card.json", card)
    table = Table("Test sources", ["", *columns], cells)
    lines = [f"# The model `{name}`", "", f'`rtf.load("{name}")`. Space {model.space}. Made by', ""]
    lines += [f"    {card['run']}", f"    python experiments/ship.py RUN {name}", ""]
    for key, value in facts.items():
        lines += [f"## {key.capitalize()}", ""]
        lines += [f"- {line}" for line in value] if isinstance(value, list) else [value]
        lines += [""]
    lines += [
        "## Figures",
        "",
        "On test sources, with 95 % intervals over them; one training.",
        "",
        to_markdown(table),
    ]
    write_text(out / "model_card.md", "\n".join(lines) + "\n")
    print(f"{out}: {sum(p.stat().st_size for p in out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
