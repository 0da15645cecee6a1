"""Reports of made-up runs, whose numbers are chosen so that every cell can be worked out by hand."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rtf.documents import Table, escape_latex, to_csv, to_latex
from rtf.evaluation.record import Record, to_digits
from rtf.evaluation.statistics import Estimate
from rtf.report import charts, tables
from rtf.report.compare import data_sets, labels, varying
from rtf.report.page import content, write_report
from rtf.report.read import read_runs
from rtf.report.scores import SCORES, combine, measure
from tests.report.made_up import ODD, digest_of, make_run, make_sweep, records, write_results


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of the sweep and of a run on another store."""
    folder = tmp_path_factory.mktemp("report")
    make_sweep(folder / "runs")
    make_run(folder / "runs", "other", store="other_survey.zarr", tasks=())
    return write_report(read_runs(folder / "runs"), folder / "out", "runs").out


def one_set(folder: Path):
    (data,) = data_sets(read_runs(folder))
    return data


def cells(table: Table, *first: str) -> dict[str, str]:
    """The row that begins with these cells, by heading."""
    (row,) = [row for row in table.rows if tuple(row[: len(first)]) == first]
    return dict(zip(table.columns, row))


def comparison(data, name: str) -> Table | None:
    return tables.comparison_table(data, next(c for c in tables.COMPARISONS if c.name == name))


def test_the_interval_of_several_seeds_holds_the_spread_of_seeds_and_of_sources():
    value, below, above = (
        np.array([0.80, 0.84, 0.85]),
        np.array([0.02, 0.03, 0.01]),
        np.array([0.01, 0.01, 0.04]),
    )
    seeds = [Estimate(v, v - b, v + a) for v, b, a in zip(value, below, above)]
    got = combine(seeds)
    low, high = stats.t.interval(0.95, 2, loc=value.mean(), scale=stats.sem(value))
    assert got.value == pytest.approx(0.83)
    assert 0.83 - got.low == pytest.approx(np.sqrt((0.83 - low) ** 2 + np.mean(below**2)))
    assert got.high - 0.83 == pytest.approx(np.sqrt((high - 0.83) ** 2 + np.mean(above**2)))
    # the same value at every seed leaves the interval of the sources, however many seeds there are
    same = combine([Estimate(0.5, 0.4, 0.7)] * 4)
    assert (same.value, same.low, same.high) == pytest.approx((0.5, 0.4, 0.7))
    # one seed is itself, a share stays a share, and numbers without intervals have that of the seeds
    assert combine(seeds[:1]) == seeds[0]
    wide = combine([Estimate(0.9, 0.8, 1.0), Estimate(0.99, 0.9, 1.0)], (0, 1))
    assert wide.high == 1.0 and wide.low > 0
    nan = float("nan")
    bare = combine([Estimate(3.0, nan, nan), Estimate(5.0, nan, nan)])
    assert bare.high - 4 == pytest.approx(stats.t.ppf(0.975, 1) * 1.0)


def test_a_half_finished_sweep_becomes_a_table_with_its_gaps_explained(tmp_path):
    table = comparison(one_set(make_sweep(tmp_path)), "bottlenecks")
    assert tuple(table.columns[:2]) == ("bottleneck", "latent_dim")
    two = cells(table, "ae", "8")
    # mean 0.82; t(1 df) 12.706 times 0.02 beside 0.02: 0.2549, cut at 1
    assert two["coarse accuracy"] == "0.820 [0.565, 1.000]"
    assert two["median |Δmag| [mag]"] == "0.210 [0.081, 0.339]"
    assert (two["seeds"], two["test sources"], two["bytes"]) == ("2", "100", "32")
    one = cells(table, "ae", "64")
    assert one["coarse accuracy"] == "0.900 [0.880, 0.920]" and one["seeds"] == "1†"
    assert one["median |Δmag| [mag]"] == "–"
    assert cells(table, "vae", "8")["seeds"] == "1 of 2†"
    stopped = cells(table, "vae", "64")
    assert stopped["coarse accuracy"] == "–" and stopped["seeds"] == "0 of 1"
    baseline = cells(table, "majority class; training constants")
    assert baseline["coarse accuracy"] == "0.600 [0.580, 0.620]"
    assert baseline["median |Δmag| [mag]"] == "0.500 [0.480, 0.520]"
    notes = "\n".join(table.notes)
    assert "Training failed: vae_8_s0 (RuntimeError: out of memory)." in notes
    assert "Training interrupted: vae_64_s0 (epochs done: 1)." in notes
    assert "No physical (python -m rtf.evaluate run=RUN task=physical): ae_64_s0." in notes
    assert "not counted: again_s0" in notes
    assert "SN Ia 60/60, Cataclysmic 30/30, AGN 10/10" in notes


def test_published_figures_stand_beside_what_they_hold_for(tmp_path):
    table = comparison(one_set(make_sweep(tmp_path / "light_curves")), "bottlenecks")
    assert cells(table, "ae", "8")["coarse accuracy, published (other data)"] == "0.826"
    assert cells(table, "vae", "64")["coarse accuracy, published (other data)"] == "0.843"
    assert cells(table, "vae", "8")["median |Δmag| [mag], published (other data)"] == "–"
    for size in (8, 64):
        make_run(tmp_path / "all", f"{size}", size=size, modalities=("photometry", "gp"))
    assert not any("published" in c for c in comparison(one_set(tmp_path / "all"), "bottlenecks").columns)
    for size in (8, 64):  # times and bands given: another problem than the published one
        decoder = {"_target_": "rtf.models.decoders.query.QueryDecoder"}
        make_run(tmp_path / "given", f"{size}", size=size, decoder=decoder)
    assert not any("published" in c for c in comparison(one_set(tmp_path / "given"), "bottlenecks").columns)


def test_runs_with_other_test_sources_are_never_averaged(tmp_path):
    make_run(tmp_path, "a", seed=0, accuracy=0.5)
    make_run(tmp_path, "b", seed=1, accuracy=0.7, store="other.zarr")
    make_run(
        tmp_path, "c", seed=2, accuracy=0.9, test_count=(50, 30, 20)
    )  # a store of the same name, rebuilt
    make_run(tmp_path, "d", seed=3, accuracy=0.6, epochs=9)
    make_run(tmp_path, "e", seed=4, accuracy=0.6, size=16)
    found = data_sets(read_runs(tmp_path))
    assert [d.title for d in found] == [
        "other.zarr, 2 epochs", "survey.zarr, 2 epochs, test sources 1",
        "survey.zarr, 2 epochs, test sources 2", "survey.zarr, 9 epochs",
    ]  # fmt: skip
    n = [len(c.runs) for d in found for c in d.configurations]
    assert n == [1] * 5
    everything = tables.everything_table(found)
    assert [row[0] for row in everything.rows].count("survey.zarr, 2 epochs, test sources 1") == 2


def test_a_comparison_holds_all_else_equal(tmp_path):
    fine_tuned = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 5e-4}}
    stamps = ("photometry", "stamps")
    make_run(tmp_path, "light")
    make_run(tmp_path, "simple", modalities=stamps)
    # its learning rate comes with Zoobot: it belongs to it, and is shown
    make_run(tmp_path, "zoobot", modalities=stamps, backbone="zoobot.Zoobot", **fine_tuned)
    make_run(tmp_path, "head", cls_weight=0.3)
    make_run(tmp_path, "more", cls_weight=0.3, also_train=["sim/drawn.zarr"])
    data = one_set(tmp_path)
    backbones = comparison(data, "image_backbones")
    assert [tuple(row[:2]) for row in backbones.rows[:2]] == [("simple", "0.001"), ("zoobot", "0.0005")]
    modalities = comparison(data, "modalities")
    assert [row[0] for row in modalities.rows[:3]] == ["photometry", "photometry+stamps", "photometry+stamps"]
    assert any("differ in more than this: 2 configurations" in note for note in modalities.notes)
    augmentation = comparison(data, "augmentation")
    assert [row[0] for row in augmentation.rows[:2]] == ["none", "drawn.zarr"]
    assert comparison(data, "bottlenecks") is None


def test_a_setting_nobody_foresaw_is_in_the_table_of_everything(tmp_path):
    for k, value in enumerate((3, None, 5)):
        make_run(tmp_path, f"run{k}", truncate_min=value, n_bootstrap=k, num_threads=k)
    data = one_set(tmp_path)
    assert varying(data.configurations) == ["truncate_min"]
    table = tables.everything_table([data])
    assert tuple(table.columns[:2]) == ("data set", "truncate_min")
    assert [row[1] for row in table.rows] == ["–", "3", "5"]
    called = labels(data.configurations)
    assert len({called(c) for c in data.configurations}) == 3


def test_early_classification_by_number_of_detections(tmp_path):
    make_run(tmp_path, "zoobot", size=64, tasks=("probe", "early"), backbone="zoobot.Zoobot",
             modalities=("photometry", "metadata", "gp", "stamps"), accuracy=0.9)  # fmt: skip
    make_run(tmp_path, "light", size=64, tasks=("probe", "early"), accuracy=0.8)
    make_run(tmp_path, "later", size=8, tasks=("probe",))
    made = tables.record_tables(one_set(tmp_path))
    assert list(made) == ["early_coarse", "early_fine"]
    coarse = made["early_coarse"]
    zoobot, light = list(dict.fromkeys(row[0] for row in coarse.rows if "later" not in row[0]))[::-1]
    steps = [(m, n) for m in ("probe", "head") for n in ("3", "10", "all")] + [("majority class", "any")]
    assert [tuple(row[1:3]) for row in coarse.rows if row[0] == zoobot] == steps
    first, head = cells(coarse, zoobot, "probe", "3"), cells(coarse, zoobot, "head", "3")
    assert first["accuracy"] == head["accuracy"] == "0.800 [0.780, 0.820]" and first["have as many"] == "100"
    beside = "accuracy, published (other data)"
    assert (first[beside], head[beside], cells(coarse, light, "probe", "3")[beside]) == ("0.841", "–", "–")
    assert cells(coarse, zoobot, "majority class")["accuracy"] == "0.600 [0.580, 0.620]"
    assert any("task=early): later" in note for note in coarse.notes)


def test_what_training_took(tmp_path):
    table = tables.cost_table(one_set(make_sweep(tmp_path)))
    row = cells(table, "ae", "64")
    assert (row["minutes"], row["parameters"], row["epochs"]) == ("3.0", "1,064", "2")
    assert row["sources/s, median epoch"] == "90" and row["bytes"] == "256"


def test_the_folder_has_every_table_and_figure_in_every_format(report):
    named = {p.stem for p in (report / "tables").glob("*.md")}
    for ending in ("csv", "tex"):
        assert {p.stem for p in (report / "tables").glob(f"*.{ending}")} == named
    sweep = "survey-zarr-2-epochs_"
    for name in ("bottlenecks", "cost", "early_coarse"):
        assert sweep + name in named
    assert {"runs", "everything", "other-survey-zarr-2-epochs_cost"} <= named
    figures = {p.stem for p in (report / "figures").glob("*.png")}
    names = ("bottlenecks_by_size", "bottlenecks_by_bytes", "learning", "early")
    assert {sweep + name for name in names} <= figures
    for name in figures:
        assert (report / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (report / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
    index = {row["run"]: row for row in csv.DictReader((report / "tables/runs.csv").open())}
    assert len(index) == 8
    assert index["vae_8_s0"]["state"] == "failed"
    assert index["vae_8_s0"]["error"] == "RuntimeError: out of memory"
    assert index["vae_64_s0"]["state"] == "interrupted" and index[ODD]["evaluated"] == "physical, probe"


def test_numbers_can_be_read_back(report):
    rows = list(csv.DictReader((report / "numbers.csv").open()))
    wanted = {"bottleneck": "ae", "latent_dim": "8", "task": "probe", "level": "coarse", "method": "probe",
              "score": "accuracy", "data_set": "survey.zarr, 2 epochs"}  # fmt: skip
    (row,) = [r for r in rows if wanted.items() <= r.items()]
    assert float(row["value"]) == pytest.approx(0.82) and row["seeds"] == "2"
    assert float(row["low"]) == pytest.approx(0.82 - np.hypot(stats.t.ppf(0.975, 1) * 0.02, 0.02))
    assert {r["score"] for r in rows if r["task"] == "training"} >= {"bytes", "minutes", "val_loss"}


class Page(HTMLParser):
    """Tags, addresses, identifiers and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.sources, self.links, self.ids, self.text = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.sources += [given["src"]] if "src" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone(report):
    page = Page((report / "index.html").read_text())
    assert not page.open
    assert page.sources and all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert page.links and {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert ODD in page.text and "RuntimeError: out of memory" in page.text


def test_gains_are_of_the_same_sources_and_seed(tmp_path):
    """Of 100 sources, photometry gets 70 right; metadata get 10 more right, in one class, and lose none."""
    answers = {"photometry": "0" * 60 + "2" * 10 + "0" * 30, "metadata": "0" * 60 + "2" * 20 + "0" * 20}
    for seed in (0, 1):
        for name, predicted in answers.items():
            modalities = ("photometry",) if name == "photometry" else ("photometry", "metadata")
            make_run(tmp_path, f"{name}_{seed}", modalities=modalities, seed=seed, predicted=predicted)
    make_run(tmp_path, "gp", modalities=("photometry", "gp"), seed=7)  # nothing of its seed to compare with
    ((name, table),) = tables.gains_tables(one_set(tmp_path), tables.COMPARISONS[1]).items()
    assert name == "modalities_gains" and "gain on photometry" in table.title
    assert [row[0] for row in table.rows] == ["photometry+metadata", "photometry+gp"]
    found = dict(zip(table.columns, table.rows[0]))
    assert found["coarse accuracy"].startswith("0.100 [0.0") and found["seeds"] == "2"
    assert found["coarse balanced accuracy"].startswith("0.111 [0.0")
    assert dict(zip(table.columns, table.rows[1]))["coarse accuracy"] == "–"

    rng = np.random.default_rng(0)
    label, before = rng.integers(0, 3, (2, 400))
    after = np.where(rng.random(400) < 0.3, label, before)
    texts = [to_digits(x) for x in (label, before, after)]
    paired = tables.gain(*texts, "accuracy", 3, n_resamples=2000, seed=0)
    right = (after == label).astype(float) - (before == label)
    assert paired.value == pytest.approx(right.mean())
    assert paired.high - paired.low == pytest.approx(2 * 1.96 * right.std() / 20, rel=0.1)
    none = tables.gain(texts[0], texts[2], texts[2], "balanced accuracy", 3, n_resamples=50, seed=0)
    assert none == Estimate(0.0, 0.0, 0.0)


def test_maps_stand_side_by_side_in_the_order_of_size(tmp_path):
    for size in (64, 8, 512):
        make_run(tmp_path, f"ae_{size}", size=size, accuracy=0.6 + size / 2000, tasks=("probe", "map"))
    make_run(tmp_path, "ae_16", size=16, tasks=("probe",))  # not mapped
    data = one_set(tmp_path)
    table = tables.record_tables(data)["map"]
    assert list(dict.fromkeys(row[0] for row in table.rows)) == ["8", "64", "512"]
    assert cells(table, "512", "UMAP")["same class"] == "0.856 [0.836, 0.876]"
    assert cells(table, "512", "chance")["same class"].startswith("0.400")
    assert cells(table, "512", "t-SNE")["kept"].startswith("0.500")
    figure = charts.maps_figure(data)
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in upper] == [f"latent_dim {n}" for n in (8, 64, 512)]
    points = [
        np.concatenate([drawn.get_offsets() for drawn in axes[0].collections]) for axes in (upper, lower)
    ]
    assert np.allclose(points[0], points[1][:, ::-1]) and len(points[0]) == 9
    assert [len(axes.collections) for axes in upper] == [3] * 3  # SN Ia, AGN, TDE
    written = {
        path.name for path in (write_report(read_runs(tmp_path), tmp_path / "out", "x").out).rglob("*")
    }
    assert {"map.md", "map.tex", "maps.png", "maps.pdf"} <= written


def test_odd_characters_are_text_in_every_format():
    table = Table(
        ODD, ("run", "|Δmag| [mag]"), ((ODD, "0.1 [0.0, 0.2]"), ("[b] \\cmd~^#", "–")), ("100 % of a_b",)
    )
    assert list(csv.reader(to_csv(table).splitlines()))[1] == [ODD, "0.1 [0.0, 0.2]"]
    tex = to_latex(table, "odd")
    body = re.sub(r"\\[{}$&#%_]", "", tex)  # escaped ones stand for themselves
    body = re.sub(r"(?<=\d)[\^_](?={)|}_{", "", body)  # where an interval stands
    assert body.count("{") == body.count("}") and body.count("$") % 2 == 0
    assert [line.count("&") for line in body.splitlines() if line.endswith(r"\\")] == [1, 1, 1]
    assert not re.search(r"[#^~]|(?<!\\)%(?! needs|\n)", body.replace("\\\\", ""))
    assert all(
        part in tex for part in (r"\toprule", r"\midrule", r"\bottomrule", r"$\Delta$mag", r"100\% \& ")
    )
    assert "$0.1^{+0.1}_{-0.1}$" in tex and r"\begin{table}" in tex
    # a row that begins with a bracket would be the argument of the line break before it
    assert not re.search(r"^\s*\[", tex, re.M)
    assert escape_latex("\\a{}") == r"\textbackslash{}a\{\}"


def test_latex_sets_every_table_and_none_is_wider_than_the_page(tmp_path, report):
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    written = sorted((report / "tables").glob("*.tex"))
    lines = [r"\documentclass[twocolumn]{article}", r"\usepackage{booktabs,graphicx}", r"\begin{document}"]
    lines += [rf"\input{{{path}}}\clearpage" for path in written]
    (tmp_path / "all.tex").write_text("\n".join([*lines, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    assert len(written) > 5 and "Overfull" not in said, said


def test_a_report_is_replaced_and_nothing_else_is(tmp_path, report):
    runs = read_runs(make_run(tmp_path / "runs", "only", tasks=()))
    out = tmp_path / "out"
    write_report(runs, out, "runs")
    (out / "left_over.txt").touch()
    write_report(runs, out, "runs")
    assert not (out / "left_over.txt").exists() and (out / "index.html").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "out"}
    for kind in ("folder", "file"):
        other = tmp_path / kind
        if kind == "folder":
            other.mkdir()
            (other / "precious.txt").write_text("mine")
        else:
            other.write_text("mine")
        with pytest.raises(FileExistsError, match=f"{kind} is n"):
            write_report(runs, other, "runs")
    assert (tmp_path / "folder/precious.txt").read_text() == "mine"
    (tmp_path / "out.old").mkdir()
    with pytest.raises(FileExistsError, match=r"out\.old is in the way"):
        write_report(runs, out, "runs")
    assert (tmp_path / "out.old").exists() and (out / "index.html").exists()
    with pytest.raises(ValueError, match="no run in nowhere"):
        write_report([], tmp_path / "new", "nowhere")
    assert not (tmp_path / "new").exists()


def test_scores_a_run_does_not_have_are_none(tmp_path):
    run = make_run(tmp_path, "no_auc", tasks=("physical",))
    nothing = [replace(r, value=np.nan) for r in records(0.8, level="coarse", method="probe")[1:2]]
    some = records(0.8, level="coarse", method="probe")[:1]
    write_results(run, "probe", ([*nothing, *some], {}), digest=digest_of("survey.zarr"))
    (configuration,) = one_set(tmp_path).configurations
    assert measure(SCORES["coarse_balanced"], configuration).n == 0
    assert measure(SCORES["coarse_accuracy"], configuration).value == 0.8


def test_two_stores_are_never_two_seeds_of_one(tmp_path):
    """The same name, the same path, as many sources: but other content."""
    make_run(tmp_path, "a", seed=0, accuracy=0.5)
    make_run(tmp_path, "b", seed=1, accuracy=0.7, content="rebuilt")
    found = data_sets(read_runs(tmp_path))
    assert [len(c.runs) for d in found for c in d.configurations] == [1, 1]
    assert sorted(d.title for d in found) == sorted(
        f"survey.zarr ({digest_of(x)[:8]}), 2 epochs" for x in ("survey.zarr", "rebuilt")
    )
    accuracy = {d.title: measure(SCORES["coarse_accuracy"], d.configurations[0]) for d in found}
    assert sorted(e.value for e in accuracy.values()) == [0.5, 0.7]


def test_a_moved_store_is_the_same(tmp_path):
    make_run(tmp_path, "a", seed=0, accuracy=0.5)
    make_run(tmp_path, "b", seed=1, accuracy=0.7, store="moved/survey.zarr", content="survey.zarr")
    (configuration,) = one_set(tmp_path).configurations
    assert measure(SCORES["coarse_accuracy"], configuration).value == pytest.approx(0.6)


def test_runs_that_do_not_say_their_store_go_by_its_path(tmp_path):
    make_run(tmp_path / "old", "a", content=None)
    (data,) = data_sets(read_runs(tmp_path / "old"))
    assert data.title == "survey.zarr, 2 epochs, known by its path alone"
    make_run(tmp_path / "new", "b", seed=1)  # of the same path, and it says which store that is
    (data,) = data_sets(read_runs(tmp_path))
    assert data.title == "survey.zarr, 2 epochs" and len(data.configurations[0].runs) == 2


def test_a_run_stands_in_the_data_set_of_each_store_it_was_evaluated_on(tmp_path):
    run = make_run(tmp_path, "a", accuracy=0.8)
    note = "Left out of the test split, the run was trained on them: 3 of 103 sources."
    other = (records(0.6, level="coarse", method="probe"), {"fine/truth": "", "fine/train count": [0] * 15})
    write_results(run, "probe", other, digest=digest_of("sky"), name="sky.zarr", own=False, notes=[note])
    by_title = {d.title: d.configurations[0] for d in data_sets(read_runs(tmp_path))}
    found = {t: measure(SCORES["coarse_accuracy"], c).value for t, c in by_title.items()}
    assert found == {"sky.zarr, 2 epochs": 0.6, "survey.zarr, 2 epochs": 0.8}
    assert note in tables.cost_table(data_sets(read_runs(tmp_path))[0]).notes
    # seeds of which other sources were left out are not averaged either
    second = make_run(tmp_path, "b", seed=1)
    write_results(
        second, "probe", other, digest=digest_of("sky"), name="sky.zarr", own=False, tested="others"
    )
    titles = [d.title for d in data_sets(read_runs(tmp_path)) if d.title.startswith("sky")]
    assert titles == ["sky.zarr, 2 epochs, test sources 1", "sky.zarr, 2 epochs, test sources 2"]


def test_added_stores_of_one_name_are_not_one_configuration(tmp_path):
    for seed, added in enumerate(("one/drawn.zarr", "two/drawn.zarr")):
        make_run(tmp_path, str(seed), seed=seed, also_train=[added])
    assert len(one_set(tmp_path).configurations) == 2


def test_a_task_that_the_report_does_not_know_is_shown(tmp_path):
    for seed, value in ((0, 0.2), (1, 0.4)):
        run = make_run(tmp_path, f"s{seed}", seed=seed)
        made = [Record("oddness", value, value - 0.1, value + 0.1, 9, level="novel", shown=5),
                Record("oddness", 0.9, level="novel", group="AGN")]  # fmt: skip
        write_results(run, "divination", (made, {}), digest=digest_of("survey.zarr"))
    data = one_set(tmp_path)
    table = content(data).rest["divination"]
    (row,) = table.rows
    found = dict(zip(table.columns, row))
    assert (found["detections shown"], found["seeds"]) == ("5", "2") and table.title.startswith(
        "Task divination, novel"
    )
    assert found["oddness"].startswith("0.300 [")
    report = write_report(read_runs(tmp_path), tmp_path / "out", "x")
    rows = list(csv.DictReader((report.out / "numbers.csv").open()))
    (agn,) = [r for r in rows if r["task"] == "divination" and r["group"] == "AGN"]
    assert float(agn["value"]) == 0.9 and agn["shown"] == ""


def test_early_figure_draws_what_the_table_says(tmp_path):
    make_run(tmp_path, "a", tasks=("probe", "early"), accuracy=0.8)
    figure = charts.early_figure(one_set(tmp_path))
    accuracy = next(axes for axes in figure.axes if axes.get_ylabel() == "accuracy")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in accuracy.lines}
    (probe,) = [xy for label, xy in drawn.items() if label.endswith("probe")]
    np.testing.assert_allclose(probe, [(3, 0.7), (10, 0.75), (18, 0.8)])


def test_size_figure_draws_values_intervals_and_what_was_published(tmp_path):
    data = one_set(make_sweep(tmp_path))
    (part,) = tables.COMPARISONS[0].parts(data)
    figure = charts.size_figure(part, "$both$")
    axes = next(a for a in figure.axes if a.get_ylabel() == "coarse accuracy")
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines["ae, published (other data)"] == [0.826, 0.865, 0.884]
    bars = {c.get_label(): c for c in axes.containers}
    np.testing.assert_allclose(bars["ae"].lines[0].get_ydata(orig=False), [0.82, 0.90])
    low, high = bars["ae"].lines[2][0].get_segments()[1][:, 1]
    assert (low, high) == pytest.approx((0.88, 0.92))
    assert figure.get_suptitle() == r"\$both\$"
