"""A run on real Rubin alerts: python -m experiments.real_lsst RUN ALERTS OUT.png

How well their light curves are rebuilt, by band, in units of their own errors; whether stars and active
nuclei by SIMBAD type lie apart; and a figure of ten sources with light curves in flux, cutouts, and the
real sources whose fingerprints are nearest. ALERTS is a folder of Fink's parquet files, which hold SIMBAD
types. The alerts have no classes of transients, and the figures of 59 objects of one field are of these
alone.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

import rtf
from rtf import figures
from rtf.alerts.cutouts import decode_cutout
from rtf.alerts.history import concatenate
from rtf.documents import Table, to_markdown
from rtf.evaluation.search import scaler
from rtf.evaluation.statistics import bootstrap, format_estimate
from rtf.features.stamps import KINDS, latest_stamps

NUCLEI, STARS = {"QSO", "Sy1", "Sy2", "AG?", "AGN", "LIN", "BLL", "Bla"}, {"*", "HB*", "EB*", "RR*", "Ro*"}
SHOWN, NEIGHBOURS = 10, 5


def simbad_types(folder: str) -> dict[str, str]:
    """SIMBAD type by object."""
    found = {}
    for path in sorted(Path(folder).rglob("*.parquet")):
        for row in pq.read_table(path, columns=["diaSource", "xm"]).to_pylist():
            if row["xm"] and row["xm"]["simbad_otype"]:
                found[str(row["diaSource"]["diaObjectId"])] = row["xm"]["simbad_otype"]
    return found


def estimate(statistic, n: int) -> str:
    """A statistic of rows (M,) of n objects, with its interval over resampled objects."""
    found = bootstrap(lambda counts: [statistic(np.repeat(np.arange(n), row)) for row in counts], n)
    return format_estimate(found)


def by_band(model, histories) -> Table:
    """Residuals of what the model was shown, beside those of each band's weighted mean."""
    detections = concatenate(histories)
    survey, rows = detections.survey, []
    rebuilt = model.reconstruct(detections)
    seen = rebuilt.seen
    source = np.repeat(np.arange(len(seen)), seen.length)
    flux, error = survey.flux(seen.mag, seen.magerr, seen.band)
    told, _ = survey.flux(rebuilt.mag, np.zeros(len(rebuilt.mag)), seen.band)
    for b in [*survey.by_wavelength, None]:
        own = np.ones(len(source), bool) if b is None else seen.band == b
        if not own.any():
            continue
        mean = np.zeros(len(own))
        for s in np.unique(source[own]):
            for band in range(len(survey.bands)):
                some = own & (source == s) & (seen.band == band)
                mean[some] = np.average(flux[some], weights=error[some] ** -2.0) if some.any() else 0
        cells = ["all" if b is None else survey.bands[b], f"{own.sum():,}", f"{len(np.unique(source[own]))}"]
        for guess in (told, mean):
            pull = np.abs((guess - flux) / error)
            by_object = [pull[own & (source == s)] for s in np.unique(source[own])]
            cells.append(
                estimate(
                    lambda rows, x=by_object: np.median(np.concatenate([x[k] for k in rows])), len(by_object)
                )
            )
        rows.append(cells)
    columns = ["band", "points shown", "objects", "|Δflux| / error, rebuilt", "by each band's mean"]
    return Table("Real alerts of Rubin", columns, rows)


def apart(latent: np.ndarray, kinds: np.ndarray) -> str:
    """Whether the fingerprints nearest to a star are of stars: by leaving one out."""
    unit = scaler(latent)(latent)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    known = np.flatnonzero(kinds != "")
    cosine = cosine[np.ix_(known, known)]
    star = kinds[known] == "star"
    near = np.argsort(-cosine, 1)[:, :NEIGHBOURS]
    share = star[near].mean(1)

    def score(rows):
        one_kind = star[rows].all() or not star[rows].any()
        return 0.5 if one_kind else roc_auc_score(star[rows], share[rows])

    auc = estimate(score, len(star))
    return (
        f"stars among the {NEIGHBOURS} nearest: {share[star].mean():.2f} of {star.sum()} stars, "
        f"{share[~star].mean():.2f} of {(~star).sum()} active nuclei; ROC-AUC {auc}"
    )


def picture(model, histories, latent: np.ndarray, types: dict[str, str]) -> Figure:
    """Ten sources, one row each: cutouts, light curve with what the fingerprint holds of it, neighbours."""
    seen = model.view(concatenate(histories))
    survey, stamp = seen.survey, latest_stamps(seen)
    order = sorted(np.flatnonzero(stamp >= 0), key=lambda k: -len(np.unique(seen.take([k]).band)))
    chosen = [order[k] for k in np.linspace(0, len(order) - 1, SHOWN).astype(int)]
    unit = scaler(latent)(latent)
    near = np.argsort(-(unit @ unit.T), 1, kind="stable")[:, 1:4]
    figure = Figure(figsize=(13, 1.9 * SHOWN), layout="constrained")
    grid = figure.subplots(SHOWN, 7, width_ratios=[1, 1, 1, 5, 1.7, 1.7, 1.7])
    for panels, k in zip(grid, chosen):
        (triplet,) = seen.read_stamps(stamp[[k]])
        for axes, kind, cutout in zip(panels, KINDS, triplet):
            axes.imshow(figures.stretched(decode_cutout(cutout)), cmap="gray", origin="lower")
            axes.set_axis_off()
            axes.set_title(kind, fontsize=7)
        draw(panels[3], seen.take(np.array([k])), survey, model, latent[k])
        kind = types.get(histories[k].object_id, "no SIMBAD type")
        panels[3].set_title(f"{histories[k].object_id}  ·  {kind}  ·  {seen.length[k]} points", fontsize=8)
        for axes, j in zip(panels[4:], near[k]):
            draw(axes, seen.take(np.array([j])), survey, model, None)
            axes.set_title(f"{types.get(histories[j].object_id, '–')}  {unit[k] @ unit[j]:.2f}", fontsize=8)
    grid[-1, 3].set_xlabel("days since the first point shown", fontsize=8)
    figure.suptitle(
        "Real Rubin alerts: cutouts, flux [µJy] with the fingerprint's light curve, nearest real sources "
        "(cosine)",
        fontsize=10,
    )
    handles = figures.band_handles(np.arange(len(survey.bands)))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def draw(axes, source, survey, model, latent) -> None:
    """One light curve in flux; with a fingerprint, also what it holds and one deviation about it."""
    days = source.mjd - source.mjd[0]
    flux, error = (x / 1000 for x in survey.flux(source.mag, source.magerr, source.band))
    for b in np.unique(source.band):
        own = source.band == b
        colour, marker = figures.BAND_STYLE[survey.bands[b]]
        axes.errorbar(
            days[own], flux[own], error[own], fmt=marker, color=colour, ms=2.5, lw=0.5, ls="", alpha=0.7
        )
        if latent is not None:
            t = np.linspace(0, max(days[-1], 1), 200)
            mag, sigma = model.query(latent[None], t[None], np.full((1, len(t)), b))
            middle, spread = (x[0] / 1000 for x in survey.flux(mag, sigma, np.full(mag.shape, b)))
            axes.plot(t, middle, color=colour, lw=1.2)
            axes.fill_between(t, middle - spread, middle + spread, color=colour, alpha=0.12, lw=0)
    low, high = np.percentile(flux, [1, 99])
    margin = 0.25 * (high - low) + 2 * np.median(error)
    axes.set_ylim(low - margin, high + margin)
    axes.axhline(0, color="0.7", lw=0.6)
    figures.tidy(axes)
    axes.tick_params(labelsize=6)


def main(run: str, alerts: str, out: str) -> None:
    model = rtf.load(run)
    histories = rtf.read_histories(alerts)
    types = simbad_types(alerts)
    found = model.encode(histories)
    print(to_markdown(by_band(model, histories)))
    label = [types.get(h.object_id, "") for h in histories]
    kinds = np.array(["nucleus" if t in NUCLEI else "star" if t in STARS else "" for t in label])
    print(apart(found.latent, kinds))
    bare = [replace(h, cutouts=None, metadata=np.full_like(h.metadata, np.nan)) for h in histories]
    print("of photometry alone:", apart(model.encode(bare).latent, kinds))
    n = min(found.probability.shape[1], len(rtf.classes.FINE))
    taken = found.probability[:, :n].argmax(1)
    for kind in ("nucleus", "star"):
        names, counts = np.unique(taken[kinds == kind], return_counts=True)
        print(f"taken for, {kind}:", ", ".join(f"{rtf.classes.FINE[k]} {c}" for k, c in zip(names, counts)))
    figures.save(picture(model, histories, found.latent, types), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
