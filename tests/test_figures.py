"""Figures show the numbers they were given, and names as they are."""

import io

import numpy as np
import pytest

from rtf.figures import LightCurve, confusion_figure, grid_of, legend, light_curve_figure, literal, save


def curve(length=12, seed=0, name="ZTF18aaaaaaa"):
    rng = np.random.default_rng(seed)
    dt = np.sort(rng.uniform(0, 60, length))
    mag, band = 18 + 0.02 * dt, rng.integers(0, 3, length)
    return LightCurve(name, "SN Ia", dt, mag, np.full(length, 0.1), band, dt + 1, mag + 0.1, band)


def test_a_confusion_matrix_shows_counts_and_shares_of_the_classes_that_occur():
    counts = np.array([[5, 5, 0, 0], [0, 0, 0, 0], [0, 1, 299, 0], [0, 0, 0, 0]])
    figure = confusion_figure(counts, ["SN Ia", "$II$", "AGN", "TDE"], "$title$")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["SN Ia", r"\$II\$", "AGN"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["SN Ia  (10)", r"\$II\$  (0)", "AGN  (300)"]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[0.5, 0.5, 0], [0, 0, 0], [0, 1 / 300, 299 / 300]]
    )
    texts = {(t.get_position()[0], round(t.get_position()[1])): t.get_text() for t in axes.texts[::-1]}
    assert texts[0, 0] == "5" and texts[2, 2] == "299" and texts[0, 1] == "–"
    assert "<1 %" in [t.get_text() for t in axes.texts]
    with pytest.raises(ValueError, match="3 class names"):
        confusion_figure(counts, ["a", "b", "c"])


def test_light_curves_show_both_kinds_of_points_in_their_bands():
    curves = [curve(n, n) for n in (1, 5, 30, 12, 9)]
    figure = light_curve_figure(curves, "Reconstruction")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    for axes, c in zip(panels, curves, strict=True):
        observed = np.concatenate([box.lines[0].get_xydata() for box in axes.containers])
        joined = {id(box.lines[0]) for box in axes.containers}
        rebuilt = np.concatenate([line.get_xydata() for line in axes.lines if id(line) not in joined])
        for drawn, (x, y) in ((observed, (c.dt, c.mag)), (rebuilt, (c.predicted_dt, c.predicted_mag))):
            order = np.argsort(drawn[:, 0])
            np.testing.assert_allclose(drawn[order], np.column_stack([x, y])[np.argsort(x)])
        low, high = axes.get_ylim()
        assert low > c.predicted_mag.max() and high < c.mag.min()  # bright is up
        assert "median |Δmag| = 0.10 mag" in axes.get_title()
    labelled = [axes.get_xlabel() != "" for axes in panels]
    assert labelled == [False, False, True, True, True]


@pytest.mark.parametrize("name", [r"$\frac$1", "a$b$c", "_hidden", r"$\undefined{"])
def test_a_name_is_drawn_as_it_is(name):
    figure = light_curve_figure([curve(name=name)], name)
    figure.axes[0].plot([0], [0], label=literal(name))
    legend(figure, figure.axes)
    figure.savefig(io.BytesIO())  # mathematics with an unknown command would end here
    assert figure.legends[-1].get_texts()[0].get_text().strip() == literal(name).strip()


def test_a_figure_is_written_whole_or_not_at_all(tmp_path):
    figure, panels = grid_of(4, 2, 2)
    assert len(panels) == 4 and sum(axes.get_visible() for axes in figure.axes) == 4
    save(figure, tmp_path / "a.png")
    save(figure, tmp_path / "a.pdf")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    panels[0].set_title(r"$\undefined$")
    with pytest.raises(ValueError):
        save(figure, tmp_path / "b.png")
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a.pdf"}
