"""Maps of fingerprints: UMAP and t-SNE of the test split, as a picture and as a page to explore.

Notable:
- what is mapped are the fingerprints as similarity search compares them: standardised by the training split,
  of unit length, so that near on the map is meant to be near in cosine
- a map shows structure that may be its own: beside the pictures stands how many true neighbours it keeps, and
  how often neighbours share a class on the map, in fingerprints, and by chance
- classes are told by colour and shape; the rarest are drawn last, on top

References: McInnes, Healy & Melville (2018), UMAP, arXiv:1802.03426; van der Maaten & Hinton (2008),
Visualizing data using t-SNE, JMLR 9, 2579.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import FINE, UNKNOWN
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.evaluation import tables
from rtf.evaluation.search import scaler
from rtf.evaluation.statistics import bootstrap, format_estimate
from rtf.evaluation.tasks.map_page import write_page
from rtf.figures import DPI
from rtf.files import whole, write_json
from rtf.store.store import Store

#: Fewer sources have no neighbourhoods to map.
FEWEST = 10
_NEIGHBOURS = 10  # of the scores

#: Colour and shape of each fine class and of sources without one. No two agree in both; the colours (after
#: Okabe & Ito and Paul Tol's muted scheme) stay apart under the common kinds of colour blindness, and classes
#: whose colours are near differ in shape.
STYLE = {
    "SN Ia": ("#77aadd", "o"), "SN Ib": ("#ee7733", "^"), "SN Ic": ("#aa4499", "v"),
    "SN II": ("#332288", "s"), "SN IIP": ("#117733", "D"), "SN IIn": ("#cc6677", "P"),
    "SN IIb": ("#999933", "X"), "Cataclysmic": ("#e6b000", "o"), "AGN": ("#222222", "X"),
    "TDE": ("#d4004c", "*"), "Kilonova": ("#882255", "D"), "Afterglow": ("#44aa99", "v"),
    "SLSN": ("#0077bb", "P"), "FBOT": ("#661100", "^"), "Flare": ("#ee3377", "s"),
    "unknown class": ("#bbbbbb", "o"),
}  # fmt: skip


def run_map(
    model: Fingerprinter,
    store: Store,
    out: Path,
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    perplexity: float = 30.0,
    max_sources: int = 5000,
    seed: int,
    n_bootstrap: int,
) -> tuple[list[tables.Table], list[Path]]:
    """UMAP and t-SNE of the test split, coloured by class.

    Writes map.png, map.html (one page without outside parts: hover for the light curve), map.json, map.md.

    Parameters
    ----------
    n_neighbors, min_dist : of UMAP; n_neighbors is lowered to what few sources allow
    perplexity : of t-SNE; lowered to a third of the sources where they are few
    max_sources : of more test sources this many are drawn at random
    seed : of the draw and of both maps

    Raises
    ------
    ValueError : fewer than 10 test sources, no training sources, settings out of range
    """
    if n_neighbors < 2 or perplexity <= 0 or min_dist < 0 or max_sources < FEWEST:
        raise ValueError(
            f"n_neighbors must be at least 2, perplexity above 0, min_dist 0 or more, max_sources at least "
            f"{FEWEST}; got {n_neighbors}, {perplexity}, {min_dist}, {max_sources}"
        )
    here = np.arange(store.n)[store.sources("test")]
    n = len(here)
    if n < FEWEST:
        raise ValueError(f"a map needs at least {FEWEST} test sources; {store.path} has {n}")
    chosen = np.arange(n)
    if n > max_sources:
        chosen = np.sort(np.random.default_rng(seed).choice(n, max_sources, replace=False))
    test = store.detections("test", cutouts=model.needs_cutouts).take(chosen)
    train = model.encode(store.detections("train", cutouts=model.needs_cutouts))
    fingerprints = scaler(train.latent, "standardise")(model.encode(test).latent)
    label = store.label[here][chosen].astype(np.int64)

    maps = embed(fingerprints, n_neighbors=n_neighbors, min_dist=min_dist, perplexity=perplexity, seed=seed)
    scores = score_maps(fingerprints, {k: xy for k, (xy, _) in maps.items()}, label, seed, n_bootstrap)
    classes = drawing_order(label)
    dim = fingerprints.shape[1]
    shown = f"{len(chosen):,} of {n:,} test sources" if len(chosen) < n else f"{n:,} test sources"
    title = f"Fingerprints of {shown}, {dim} dimensions"
    how = "fingerprints standardised by the training split, unit length (cosine)"
    maps = {name: (xy, f"{line}; {how}") for name, (xy, line) in maps.items()}
    map_figure(maps, label, classes, out / "map.png", title)
    write_page(out / "map.html", title, maps, store.object_id[here][chosen], label, model.view(test), classes)
    made = [map_table(scores, len(label), n_bootstrap, seed, [line for _, line in maps.values()])]
    record = {
        "n_sources": len(label), "n_test": n, "how": {name: line for name, (_, line) in maps.items()},
        "scores": tables.plain(scores),
        "count": {name: int((label == c).sum()) for c, name, *_ in classes},
        "label": label.tolist(),
        "places": {name: np.round(xy.astype(float), 3).tolist() for name, (xy, _) in maps.items()},
    }  # fmt: skip
    write_json(out / "map.json", record)
    tables.write_markdown(out / "map.md", made)
    return made, [out / "map.png", out / "map.html"]


def embed(
    fingerprints: np.ndarray, *, n_neighbors: int, min_dist: float, perplexity: float, seed: int
) -> dict[str, tuple[np.ndarray, str]]:
    """Both maps of fingerprints (N, F): name -> (N, 2) places and what they were made with."""
    import warnings

    from sklearn.manifold import TSNE
    from umap import UMAP

    n = len(fingerprints)
    neighbours = min(n_neighbors, n - 1)
    perplexity = min(perplexity, (n - 1) / 3)
    points = np.asarray(fingerprints, np.float32)
    spread = np.ptp(points, 0).max() > 1e-6
    if not spread:
        raise ValueError("all test fingerprints are the same: there is nothing to map")
    with warnings.catch_warnings():
        # a fixed seed costs UMAP its threads, which it warns of
        warnings.filterwarnings("ignore", "n_jobs value", UserWarning)
        # for few sources the spectral start cannot be computed
        umap = UMAP(
            n_neighbors=neighbours, min_dist=min_dist, random_state=seed,
            init="spectral" if n > 4 * FEWEST else "random",
        ).fit_transform(points)  # fmt: skip
    start = "pca" if points.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity, random_state=seed, init=start).fit_transform(points)
    return {
        "UMAP": (umap, f"UMAP: n_neighbors {neighbours}, min_dist {min_dist:g}, seed {seed}"),
        "t-SNE": (tsne, f"t-SNE: perplexity {perplexity:.3g}, seed {seed}"),
    }


def score_maps(
    fingerprints: np.ndarray, maps: Mapping[str, np.ndarray], label: np.ndarray, seed: int, n_bootstrap: int
) -> dict[str, dict]:
    """How true each map is: name -> "kept" and "agree", an `Estimate` each, of fingerprints, maps and chance.

    kept : share of the 10 nearest fingerprints that are among the 10 nearest on the map
    agree : share of the 10 nearest that are of the same class, over sources of a known class
    """
    k = min(_NEIGHBOURS, len(label) - 1)
    known = label != UNKNOWN
    near = {name: _nearest(x, k) for name, x in {"fingerprints": fingerprints, **maps}.items()}
    scores: dict[str, dict] = {}
    for name, index in near.items():
        kept = (index[:, :, None] == near["fingerprints"][:, None]).any(2).mean(1)
        scores[name] = {"kept": _mean(kept, seed, n_bootstrap) if name != "fingerprints" else None}
        agree = (label[index] == label[:, None]).mean(1)[known]
        scores[name]["agree"] = _mean(agree, seed, n_bootstrap) if known.any() else None
    same = np.array([(label == c).sum() - 1 for c in label]) / (len(label) - 1)
    scores["chance"] = {"kept": None, "agree": _mean(same[known], seed, n_bootstrap) if known.any() else None}
    return scores


def drawing_order(label: np.ndarray) -> list[tuple[int, str, str, str]]:
    """Label, name, colour and shape of each class among the labels, the commonest first, unknown at the very
    bottom."""
    found, count = np.unique(label, return_counts=True)
    order = sorted(zip(found.tolist(), count.tolist()), key=lambda x: (x[0] != UNKNOWN, -x[1], x[0]))
    names = [(c, FINE[c] if c != UNKNOWN else "unknown class") for c, _ in order]
    return [(c, name, *STYLE[name]) for c, name in names]


def map_figure(
    maps: Mapping[str, tuple[np.ndarray, str]],
    label: np.ndarray,
    classes: Sequence[tuple[int, str, str, str]],
    path: str | os.PathLike,
    title: str = "",
) -> None:
    """Draw maps side by side as PNG, with one legend of classes and counts; arguments as `write_page`."""
    figure = Figure(figsize=(6.2 * len(maps), 7.2), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (xy, how) in zip(panels, maps.values(), strict=True):
        draw_map(axes, xy, label, classes, size=float(np.clip(9000 / len(label), 7, 45)))
        axes.set_title(how.split(";")[0], fontsize=10)
    map_legend(figure, panels[0])
    if title:
        figure.suptitle(title, fontsize=13)
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def draw_map(
    axes, xy: np.ndarray, label: np.ndarray, classes: Sequence[tuple[int, str, str, str]], size: float
) -> None:
    """Draw sources at their places (N, 2) by class; `size` in square points, `classes` by `drawing_order`."""
    for z, (c, name, colour, shape) in enumerate(classes):
        own = label == c
        # stars and crosses look smaller than discs of the same area
        area = size * (1.9 if shape in "*PX" else 1.0)
        axes.scatter(
            *xy[own].T, s=area, c=colour, marker=shape, linewidths=0.35, edgecolors="white", alpha=0.9,
            zorder=z + 2, label=f"{name} ({own.sum():,})",
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("0.8")


def map_legend(figure: Figure, axes) -> None:
    """Classes and counts, as drawn on the axes, below all panels; those drawn last are first."""
    handles, names = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles[::-1], names[::-1], loc="outside lower center", ncols=min(5, len(names)), frameon=False,
        fontsize=10, handletextpad=0.3,
    )  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_sizes([55])


def map_table(
    scores: Mapping[str, Mapping], n: int, n_bootstrap: int, seed: int, how: list[str]
) -> tables.Table:
    """How far each map can be believed, beside the fingerprints themselves and chance."""
    rows = [
        (name, *("" if r[k] is None else format_estimate(r[k]) for k in ("kept", "agree")), f"{n:,}")
        for name, r in scores.items()
    ]
    columns = (
        "neighbours on",
        "10 nearest fingerprints kept",
        "10 nearest of the same class",
        "test sources",
    )
    notes = (
        f"95 % intervals: {n_bootstrap:,} bootstrap resamples of the test sources, seed {seed}; the maps are "
        "fixed. Same class: among sources of a known class.",
        *(f"{line}." for line in how),
    )
    return tables.Table("Maps of fingerprints", columns, tuple(rows), notes)


def _nearest(points: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def _mean(values: np.ndarray, seed: int, n_bootstrap: int):
    return bootstrap(
        lambda counts: counts @ values / counts.sum(1), len(values), n_resamples=n_bootstrap, seed=seed
    )
