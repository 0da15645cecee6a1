"""Map: how do fingerprints lie to one another, in UMAP and t-SNE of the test split?

Notable:
- what is mapped is what similarity search compares: standardised by the training split, of unit length
- a map shows structure that may be its own: beside the pictures stands how many true neighbours it keeps, and
  how often neighbours share a class on the map, in fingerprints, and by chance

References: McInnes, Healy & Melville (2018), UMAP, arXiv:1802.03426; van der Maaten & Hinton (2008),
Visualizing data using t-SNE, JMLR 9, 2579.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rtf.classes import UNKNOWN
from rtf.evaluation.record import CHANCE, Record, record, record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.search import scaler
from rtf.evaluation.statistics import bootstrap
from rtf.evaluation.tasks.map_page import map_page
from rtf.figures import class_name, grid_of, legend

#: Fewer sources have no neighbourhoods to map.
FEWEST = 10
_NEIGHBOURS = 10  # of the scores

#: Colour (after Okabe & Ito and Paul Tol's muted scheme) and shape of each fine class and of sources without
#: one; classes whose colours are near differ in shape.
STYLE = {
    "SN Ia": ("#77aadd", "o"), "SN Ib": ("#ee7733", "^"), "SN Ic": ("#aa4499", "v"),
    "SN II": ("#332288", "s"), "SN IIP": ("#117733", "D"), "SN IIn": ("#cc6677", "P"),
    "SN IIb": ("#999933", "X"), "Cataclysmic": ("#e6b000", "o"), "AGN": ("#222222", "X"),
    "TDE": ("#d4004c", "*"), "Kilonova": ("#882255", "D"), "Afterglow": ("#44aa99", "v"),
    "SLSN": ("#0077bb", "P"), "FBOT": ("#661100", "^"), "Flare": ("#ee3377", "s"),
    "SLSN-II": ("#0077bb", "s"), "SN Ibn": ("#ee7733", "D"), "SN Icn": ("#aa4499", "s"),
    "SN Ia-CSM": ("#77aadd", "P"), "SN Iax": ("#77aadd", "v"), "Ca-rich": ("#999933", "D"),
    "SN pec": ("#bbbbbb", "X"), "LRN": ("#cc3311", "o"), "ILRT": ("#cc3311", "v"), "LBV": ("#cc3311", "P"),
    "unknown class": ("#bbbbbb", "o"),
}  # fmt: skip


def maps(given: Inputs, *, max_sources: int, **settings) -> Evaluated:
    """Draw UMAP and t-SNE of the test split by class: a picture, and a page to explore with light curves.

    Of more than `max_sources` test sources as many are drawn at random; settings are those of `embed`.
    """
    test = given.split("test")
    n = len(test.object_id)
    if n < FEWEST:
        raise ValueError(f"a map needs at least {FEWEST} test sources; {given.store.path} has {n}")
    chosen = np.sort(np.random.default_rng(given.seed).permutation(n)[:max_sources])
    fingerprints = scaler(given.split("train").found.latent)(test.found.latent[chosen])
    label = test.label["fine"][chosen]
    places, how = embed(fingerprints, **settings, seed=given.seed)
    records = map_records(fingerprints, places, label, given.resamples)
    classes = drawing_order(label)
    shown = f"{len(chosen):,} of {n:,} test sources" if len(chosen) < n else f"{n:,} test sources"
    title = f"Fingerprints of {shown}, {fingerprints.shape[1]} dimensions"
    notes = [f"{given.how} The maps are fixed. Same class: among sources of a known class."]
    notes += [f"{line}." for line in how.values()]
    columns = {"10 nearest fingerprints kept": {"score": "kept"},
               "10 nearest of the same class": {"score": "same class"}}  # fmt: skip
    table = record_table("Maps of fingerprints", records, {"neighbours on": "method"}, columns, notes)
    cosine = "fingerprints standardised by the training split, unit length (cosine)"
    explained = {name: f"{line}; {cosine}" for name, line in how.items()}
    seen = given.model.view(test.detections.take(chosen))
    page = map_page(title, places, explained, test.object_id[chosen], label, seen, classes)
    drawn = {"map.png": map_figure(places, how, label, title), "map.html": page}
    arrays = {f"places/{name}": np.round(xy.astype(float), 3) for name, xy in places.items()}
    return Evaluated(records, [table], drawn, {"label": label, **arrays})


def embed(
    fingerprints: np.ndarray, *, n_neighbors: int, min_dist: float, perplexity: float, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Both maps of fingerprints (N, F), by name: the places (N, 2), and how they were made.

    Neighbours and perplexity are lowered to what few sources allow.
    """
    from sklearn.manifold import TSNE
    from umap import UMAP

    n, points = len(fingerprints), np.asarray(fingerprints, np.float32)
    if np.ptp(points, 0).max() <= 1e-6:
        raise ValueError("all test fingerprints are the same: there is nothing to map")
    neighbours, perplexity = min(n_neighbors, n - 1), min(perplexity, (n - 1) / 3)
    how = {
        "UMAP": f"UMAP: n_neighbors {neighbours}, min_dist {min_dist:g}, seed {seed}",
        "t-SNE": f"t-SNE: perplexity {perplexity:.3g}, seed {seed}",
    }
    start = "spectral" if n > 4 * FEWEST else "random"  # which cannot be computed for few sources
    umap = UMAP(n_neighbors=neighbours, min_dist=min_dist, random_state=seed, init=start, n_jobs=1)
    start = "pca" if points.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity, random_state=seed, init=start)
    return {"UMAP": umap.fit_transform(points), "t-SNE": tsne.fit_transform(points)}, how


def map_records(
    fingerprints: np.ndarray, places: Mapping[str, np.ndarray], label: np.ndarray, resamples: Mapping
) -> list[Record]:
    """Score the share of the 10 nearest fingerprints kept on each map, and that of the same class."""
    from sklearn.neighbors import NearestNeighbors

    k, known = min(_NEIGHBOURS, len(label) - 1), label != UNKNOWN
    near = {
        name: NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)
        for name, x in {"fingerprints": fingerprints, **places}.items()
    }
    kept = {name: (near[name][:, :, None] == near["fingerprints"][:, None]).any(2).mean(1) for name in places}
    same = {name: (label[index] == label[:, None]).mean(1)[known] for name, index in near.items()}
    same[CHANCE] = (label[known][:, None] == label).sum(1) - 1.0
    same[CHANCE] /= len(label) - 1
    records = []
    for score, shares in (("kept", kept), ("same class", same)):
        for name, share in shares.items():
            if n := len(share):
                mean = bootstrap(lambda counts, x=share: counts @ x / counts.sum(1), n, **resamples)
                records.append(record(score, mean, method=name, n=n))
    return records


def drawing_order(label: np.ndarray) -> list[tuple[int, str, str, str]]:
    """Label, name, colour and shape of each class among the labels; unknown first, then the commonest."""
    found, count = np.unique(label, return_counts=True)
    order = sorted(zip(found.tolist(), count.tolist()), key=lambda x: (x[0] != UNKNOWN, -x[1], x[0]))
    return [(c, class_name(c), *STYLE[class_name(c)]) for c, _ in order]


def map_figure(places: Mapping[str, np.ndarray], how: Mapping[str, str], label, title: str) -> Figure:
    """Draw maps side by side, with one legend of classes and counts."""
    figure, panels = grid_of(len(places), 6.2, 6.3)
    for axes, (name, xy) in zip(panels, places.items(), strict=True):
        draw_map(axes, xy, label, size=float(np.clip(9000 / len(label), 7, 45)))
        axes.set_title(how[name], fontsize=10)
    map_legend(figure, panels[0])
    figure.suptitle(title, fontsize=13)
    return figure


def draw_map(axes, xy: np.ndarray, label: np.ndarray, size: float) -> None:
    """Draw sources at their places (N, 2) by class; `size` in square points."""
    for z, (c, name, colour, shape) in enumerate(drawing_order(label)):
        own = label == c
        # stars and crosses look smaller than discs of the same area
        area = size * (1.9 if shape in "*PX" else 1.0)
        axes.scatter(
            *xy[own].T, s=area, c=colour, marker=shape, linewidths=0.35, edgecolors="white", alpha=0.9,
            zorder=z + 2, label=f"{name} ({own.sum():,})",
        )  # fmt: skip
    axes.set(aspect=1, adjustable="datalim", xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def map_legend(figure: Figure, axes) -> None:
    """Classes and counts, as drawn on the axes, below all panels."""
    legend(figure, [axes])
    for handle in figure.legends[0].legend_handles:
        handle.set_sizes([55])
