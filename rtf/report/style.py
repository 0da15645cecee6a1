"""How the figures of a report look: colours, markers, axes, legends.

Notable:
- lines differ by marker as well as by colour, and colours by lightness
- figures are made without pyplot: no global state, no display, nothing to close
"""

from matplotlib.figure import Figure

#: Colours of the lightness range that prints, and markers, in the order in which things are drawn.
COLOURS = ("#1f4e9c", "#d9822b", "#1b8a4b", "#b2182b", "#7b4ea3", "#3aa6b9", "#8c6d1f", "#d6599a")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
PUBLISHED = {"linestyle": (0, (4, 2.5)), "linewidth": 1.2, "markerfacecolor": "white", "markersize": 5.5}


def readable(text: str) -> str:
    """Text that matplotlib writes as it is: no formulas in it, and no name that it would hide."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def tidy(axes) -> None:
    """A light grid behind the data, no frame."""
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def legend(figure: Figure, panels) -> None:
    """One legend below all panels, each entry once."""
    entries: dict = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels()):
            entries.setdefault(name, handle)
    if entries:
        last = ("other runs", "published")  # what is not measured here, or has no name, comes last
        entries = dict(sorted(entries.items(), key=lambda entry: any(word in entry[0] for word in last)))
        longest = max(map(len, entries))
        n_columns = max(1, min(len(entries), int(figure.get_figwidth() * 11 / (longest + 8))))
        figure.legend(
            entries.values(), entries.keys(), loc="outside lower center", ncols=n_columns, frameon=False,
            fontsize=9.5,
        )  # fmt: skip
