"""The page in a real Chromium: what a person does with it, wide and narrow, light and dark."""

import csv

import pytest

from rtf.archive import open_archive
from rtf.explorer.marks import Marks
from rtf.explorer.sources import Light
from rtf.explorer.state import Explorer
from tests.explorer.browser import CHROMIUM, open_page
from tests.explorer.made_up import HOSTILE, Histories
from tests.explorer.serving import served, until

if CHROMIUM is None:
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)
pytest.importorskip("playwright")

WIDE, NARROW = (1280, 800), (390, 844)
READY = "html[data-ready]"


@pytest.fixture
def port(state):
    with served(state) as port:
        yield port


def opened(page) -> str:
    """The name of the source that is open, once it is shown with its neighbours."""
    page.wait_for_selector("#content .near-grid a")
    return page.locator("#content h2").first.inner_text()


def whole_archive(page) -> None:
    page.wait_for_selector(READY)
    page.select_option("select[aria-label='How long']", "100000")
    page.wait_for_selector(".list a")
    until(lambda: page.locator(".list a").count() == 60)


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("dark", [False, True])
def test_from_the_list_to_a_source_and_back(port, size, dark):
    with open_page(port, width=size[0], height=size[1], dark=dark) as page:
        whole_archive(page)
        name = page.locator(".list a").nth(9).inner_text()
        page.locator(".list a").nth(9).click()
        assert opened(page) == name and page.title().startswith(name[:5])
        until(lambda: page.locator("#content svg.chart path.curve").count() >= 2)  # the decoder has answered
        assert page.locator("#content svg.chart .point").count() >= 9
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        content = "document.getElementById('content')"
        assert page.evaluate(f"{content}.scrollWidth - {content}.clientWidth") <= 0
        other = page.locator(".near-grid b").first.inner_text()
        page.locator(".near-grid a").first.click()
        until(lambda: page.locator("#content h2").first.inner_text() == other)
        page.go_back()
        until(lambda: page.locator("#content h2").first.inner_text() == name)
        page.go_back()
        page.wait_for_selector(".list a")
        page.go_forward()
        assert opened(page) == name
        page.reload()
        assert opened(page) == name  # the address alone leads here
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 23, 28)") == dark
        assert page.wrong == []


def test_nothing_is_fetched_from_elsewhere(port):
    with open_page(port) as page:
        whole_archive(page)
        page.locator(".list a").nth(9).click()
        opened(page)
        assert {url.split("/")[2] for url in page.asked if not url.startswith("blob:")} == {
            f"localhost:{port}"
        }


def test_the_map_is_drawn_zooms_and_opens_what_is_clicked(port):
    with open_page(port) as page:
        page.wait_for_selector(READY)
        until(lambda: page.evaluate("explorer.scatter.indexed()"))
        x, y = page.evaluate("explorer.scatter.toScreen(...explorer.scatter.where(20))")
        box = page.locator("#canvas").bounding_box()
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.wait_for_selector("#tip:not([hidden])")
        name = page.locator("#tip b").inner_text()
        page.mouse.click(box["x"] + x, box["y"] + y)
        assert opened(page) == name
        before = page.evaluate("explorer.scatter.view.zoom")
        page.mouse.wheel(0, -600)
        until(lambda: page.evaluate("explorer.scatter.view.zoom") > 1.5 * before)
        until(lambda: "view=" in page.evaluate("location.hash"))
        kept = page.evaluate("explorer.scatter.view.zoom")
        page.reload()
        page.wait_for_selector(READY)
        assert page.evaluate("explorer.scatter.view.zoom") == pytest.approx(kept, rel=1e-3)
        colours = page.evaluate(
            """() => { const c = document.getElementById('canvas'); explorer.scatter.draw();
            return new Promise((done) => requestAnimationFrame(() => { const gl = c.getContext('webgl2');
            const pixels = new Uint8Array(4 * c.width * c.height); explorer.scatter.draw();
            requestAnimationFrame(() => {
            gl.readPixels(0, 0, c.width, c.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            done(new Set(pixels).size); }); })); }"""
        )
        assert colours > 3
        assert page.wrong == []


def test_hostile_names_are_shown_as_text(port):
    with open_page(port) as page:
        whole_archive(page)
        shown = set(page.locator(".list a").all_inner_texts())
        assert HOSTILE[0] in shown and HOSTILE[1] in shown
        page.fill("#query", "<img")
        page.wait_for_selector("#found li[role=option]")
        page.keyboard.press("Enter")
        assert opened(page) == HOSTILE[0]
        page.reload()
        assert opened(page) == HOSTILE[0] and page.title() != "hacked"
        assert page.locator("#content img, #found img").count() == 0 and page.wrong == []
        page.goto(
            f"http://localhost:{port}/#object=ztf:nobody&tab=source&view=a,b,c&days=-1&hide=<b>&colour=x"
        )
        page.reload()
        page.wait_for_selector("#content .error")
        assert "no such object" in page.locator("#content .error").inner_text()


def test_everything_works_from_the_keyboard(port, tmp_path):
    with open_page(port) as page:
        whole_archive(page)
        names = page.locator(".list a").all_inner_texts()
        page.locator("#content").focus()
        page.keyboard.press("j")
        assert opened(page) == names[0]
        page.keyboard.press("j")
        until(lambda: page.locator("#content h2").first.inner_text() == names[1])
        page.keyboard.press("i")
        until(lambda: (tmp_path / "marks.csv").exists())
        with (tmp_path / "marks.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["object_id"], row["mark"]) == (names[1], "interesting")
        page.keyboard.press("u")
        until(lambda: len((tmp_path / "marks.csv").read_text().splitlines()) == 1)
        page.keyboard.press("/")
        page.keyboard.type("ZTF200000015")
        page.wait_for_selector("#found li[role=option]")
        page.keyboard.press("Enter")
        until(lambda: page.locator("#content h2").first.inner_text() == "ZTF200000015")
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        zoom = page.evaluate("explorer.scatter.view.zoom")
        page.keyboard.press("+")
        until(lambda: page.evaluate("explorer.scatter.view.zoom") > zoom)
        page.keyboard.press("t")
        page.wait_for_selector(".list a")
        page.locator("#canvas").focus()
        page.keyboard.press("0")
        page.keyboard.press("ArrowLeft")
        until(lambda: page.evaluate("explorer.scatter.view.x") < 0)
        assert page.wrong == []


def test_marks_order_the_list_and_are_listed(port):
    with open_page(port) as page:
        whole_archive(page)
        names = page.locator(".list a").all_inner_texts()
        page.locator(".list li").nth(0).locator("button").nth(1).click()  # boring
        page.locator(".list li").nth(8).locator("button").nth(0).click()  # interesting
        page.select_option("select[aria-label='Order']", "marks")
        until(
            lambda: (
                page.locator(".list a").count() == 60
                and page.locator(".list a").last.inner_text() == names[0]
            )
        )
        assert "2 marks" in page.locator("#content p").first.inner_text()
        page.click("[data-tab=marks]")
        until(lambda: page.locator(".list a").all_inner_texts() == [names[8], names[0]])
        with page.expect_download() as download:
            page.click("text=Download CSV")
        assert "interesting" in download.value.path().read_text()
        assert page.wrong == []


def test_positions_filters_and_colours(port):
    with open_page(port) as page:
        whole_archive(page)
        page.fill("#query", "60.0 -18.0")
        page.wait_for_selector("#found li[role=option]")
        assert "ZTF200000012" in page.locator("#found li").first.inner_text()
        page.keyboard.press("Escape")
        page.fill("#query", "04:00:00 -18:00:00")
        page.keyboard.press("Enter")
        assert opened(page) == "ZTF200000012"
        page.click("#filter-button")
        page.fill("#min-detections", "15")
        until(lambda: "of 60 objects shown" in page.locator("#count").inner_text())
        shown = page.locator("#count").inner_text()
        page.locator("#legend-body button").first.click()
        until(lambda: page.locator("#count").inner_text() != shown)
        page.reload()
        until(lambda: "objects shown" in page.locator("#count").inner_text())
        page.click("#filter-button")
        page.click("#no-filters")
        until(lambda: page.locator("#count").inner_text() == "60 objects")
        for colour in ("strangeness", "night", "class"):
            page.select_option("#colour", colour)
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.wrong == []


def test_a_light_curve_of_ones_own(port, tmp_path):
    rows = "".join(f"mine,{59000 + 2 * k},{'gr'[k % 2]},{18 + 0.05 * k},0.1\n" for k in range(12))
    (tmp_path / "own.csv").write_text("object_id,mjd,band,mag,magerr\n" + rows)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with open_page(port) as page:
        page.wait_for_selector(READY)
        page.click("[data-tab=like]")
        page.set_input_files("input[type=file]", tmp_path / "own.csv")
        assert opened(page) == "mine" and page.locator(".ring.own").count() == 1
        assert page.wrong == []
        page.set_input_files("input[type=file]", tmp_path / "bad.csv")
        page.wait_for_selector("#content .error")
        assert "column missing" in page.locator("#content .error").inner_text()


def test_new_sources_appear_while_one_looks(port, state, archive, tables):
    with open_page(port) as page:
        whole_archive(page)
        archive.add(tables.later)
        state.follow()
        until(lambda: page.locator("#count").inner_text() == "70 objects")
        assert "10 new or changed" in page.locator("#news").inner_text()
        until(lambda: page.locator(".list a").count() == 70)
        assert page.evaluate("explorer.scatter.size()") == 70 and page.wrong == []


def test_it_says_what_it_waits_for_and_what_went_wrong(tmp_path, tables):
    archive = open_archive(tmp_path / "waiting")
    archive.add(tables.night)
    state = Explorer(archive, light=Light(histories=Histories()), marks=Marks(None))
    with served(state) as port, open_page(port) as page:
        until(lambda: "Reading the archive" in page.locator("#doing").inner_text())
        state.say("fitting the map", 30, 60)
        until(lambda: "Fitting the map" in page.locator("#doing").inner_text())
        state.open()
        page.wait_for_selector(READY)
        page.click("[data-tab=marks]")
        until(lambda: "No marks yet" in page.locator("#content").inner_text())
        page.click("[data-tab=source]")
        assert "No source is open" in page.locator("#content").inner_text()
        assert "no model was named" in page.locator("#note").inner_text()
        state.status = state.status | {"error": "the disk is gone"}
        until(lambda: "the disk is gone" in page.locator("#doing").inner_text())
