"""The page's addresses: what they answer, and that hostile ones get nothing and change nothing."""

import json
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from rtf.explorer import app as module
from rtf.explorer.app import make_app
from rtf.explorer.sources import DROPPED_BYTES
from rtf.explorer.state import Explorer
from tests.explorer.made_up import HOSTILE, sources
from tests.explorer.serving import served, until

HOST = "http://localhost:8765"
CSV = "object_id,mjd,band,mag,magerr\n" + "".join(
    f"mine,{59000 + 2 * k},{'gr'[k % 2]},{18 + 0.05 * k},0.1\n" for k in range(12)
)


@pytest.fixture
def page(state):
    return TestClient(make_app(state), base_url=HOST, raise_server_exceptions=False)


def mark(page, name="ZTF200000010", value="interesting", origin=HOST, **more):
    body = {"survey": "ztf", "object_id": name, "mark": value}
    headers = {} if origin is None else {"origin": origin}
    return page.post("/api/mark", **({"json": body, "headers": headers} | more))


def test_the_page_and_its_files_come_from_here_alone(page):
    text = page.get("/").text
    assert "<script" in text and "http" not in text.replace("http://www.w3.org", "")
    for name in (
        "app.js",
        "scatter.js",
        "charts.js",
        "colours.js",
        "style.css",
        "index_worker.js",
        "vendor/kdbush.js",
        "icon.svg",
    ):
        answer = page.get(f"/static/{name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rsplit(".", 1)[1]]
        assert answer.headers["content-type"].startswith(kind)
    assert "ISC License" in page.get("/static/vendor/kdbush.LICENSE.txt").text


def test_every_answer_says_what_a_browser_may_do_with_it(page):
    for answer in (
        page.get("/"),
        page.get("/api/status"),
        page.get("/nothing"),
        mark(page, origin="http://evil.example"),
    ):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_source_is_described_with_light_curve_alerts_and_neighbours(page):
    one = page.get("/api/source", params={"survey": "ztf", "object_id": "ZTF200000010"}).json()
    source = sources()[10]
    assert one["light"]["mjd"] == [round(t, 5) for t in source.mjd] and one["ra"] == 50.0
    assert one["alerts"]["mjd"] == [round(source.mjd[k], 5) for k in (3, 7, len(source) - 1)]
    assert sum(p[-1] for p in one["alerts"]["probabilities"].values()) == pytest.approx(1, abs=0.01)
    curve = page.get("/api/curve", params={"survey": "ztf", "object_id": "ZTF200000010"}).json()
    assert curve["last"] == round(source.mjd[-1], 5)
    near = page.get("/api/neighbours", params={"survey": "ztf", "object_id": "ZTF200000010", "k": 5}).json()
    assert len(near) == 5 and "ZTF200000010" not in {n["object_id"] for n in near}
    assert [n["distance"] for n in near] == sorted(n["distance"] for n in near)


def test_the_map_and_what_is_asked_about_it(page, state):
    assert page.get("/api/status").json()["n"] == 60
    assert len(page.get("/api/map").content) == 16 + 19 * 60
    name = page.get("/api/point", params={"number": 12}).json()["object_id"]
    assert page.get("/api/names", params={"q": name.lower()[:7]}).json()
    (found,) = page.get("/api/around", params={"ra": 60, "dec": -18, "radius": 1}).json()
    assert found["object_id"] == "ZTF200000012" and found["separation"] == 0
    assert len(page.get("/api/tonight", params={"days": 1e6, "most": 7}).json()) == 7


def test_stamps_are_pictures_or_not_there(page):
    asked = {"object_id": "ZTF200000006", "detection": 0, "kind": "science"}
    answer = page.get("/api/stamp", params=asked)
    assert answer.headers["content-type"] == "image/png" and answer.content[:4] == b"\x89PNG"
    for change in ({"kind": "difference"}, {"detection": 500}, {"object_id": "../../etc/passwd"}):
        assert page.get("/api/stamp", params=asked | change).status_code == 404
    for change in ({"kind": "../science"}, {"detection": -1}, {"detection": "1e3"}):
        assert page.get("/api/stamp", params=asked | change).status_code == 422


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_names(page, name, tmp_path):
    one = page.get("/api/source", params={"survey": "ztf", "object_id": name})
    assert one.status_code == 200 and one.json()["object_id"] == name and one.json()["light"]
    assert one.headers["content-type"] == "application/json"
    assert page.get("/api/curve", params={"survey": "ztf", "object_id": name}).status_code == 200
    assert len(page.get("/api/neighbours", params={"survey": "ztf", "object_id": name}).json()) == 8
    assert mark(page, name).status_code == 200
    assert (
        page.get("/api/source", params={"survey": "ztf", "object_id": name}).json()["mark"] == "interesting"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "archive.map", "marks.csv"]


@pytest.mark.parametrize(
    "name", ["", "x" * 300, "nobody", "../../../../etc/passwd\0", "x' OR 1=1 --", "\ud800"]
)
def test_names_that_are_not_there_get_nothing(page, name):
    try:
        asked = quote(name, errors="surrogatepass")
    except UnicodeEncodeError:
        asked = "%ED%A0%80"
    for path in ("source", "curve", "neighbours"):
        assert page.get(f"/api/{path}?survey=ztf&object_id={asked}").status_code in (404, 422)
        assert page.get(f"/api/{path}?survey={asked}&object_id=ZTF200000010").status_code in (404, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/api/point?number=-1", "/api/point?number=60", "/api/point?number=1e99", "/api/around?ra=nan&dec=0",
        "/api/around?ra=1&dec=inf", "/api/around?ra=1&dec=1&radius=1e9", "/api/tonight?days=nan",
        "/api/tonight?days=1&most=100000", "/api/tonight?order=__import__", "/docs", "/openapi.json",
        "/api/neighbours?survey=ztf&object_id=a&k=1000000", "/static/", "/static/nothing.js",
        "/static/../app.py", "/static/%2e%2e/app.py",
        "/static/vendor/../../app.py", "/static//etc/passwd", "/api/like", "/api/mark", "/.git/config",
    ],
)  # fmt: skip
def test_addresses_that_ask_for_more_get_an_error(page, path):
    answer = page.get(path)
    assert 400 <= answer.status_code < 500 and "passwd" not in answer.text and "def " not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        b"/static/../../pyproject.toml",
        b"/../../../../etc/passwd",
        b"//etc/passwd",
        b"/static/..%2f..%2fapp.py",
        b"/static/%00",
    ],
)
def test_addresses_as_no_client_would_send_them(state, path):
    """Straight to the socket: clients tidy an address before they send it."""
    with served(state) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % port)
        answer = b""
        while part := line.recv(65536):
            answer += part
    assert answer.split()[1] in (b"404", b"400") and b"root:" not in answer and b"[project]" not in answer


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True), ("localhost:8765", True), ("127.0.0.1:9", True), ("[::1]:80", True),
        ("evil.example", False), ("localhost.evil.example", False), ("localhost:8765.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("192.168.0.7:8765", False), ("0.0.0.0:8765", False), ("localhost:123456", False), ("", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_a_host(page, host, good):
    assert (page.get("/api/status", headers={"host": host}).status_code == 200) == good


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://localhost:9"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_pages_of_other_origins_get_nothing(page, headers):
    for path in ("/api/status", "/api/map", "/static/app.js", "/api/marks.csv"):
        assert page.get(path, headers=headers).status_code == 403
    assert mark(page, headers=headers).status_code == 403


def test_a_link_from_elsewhere_leads_to_the_page(page):
    assert (
        page.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code
        == 200
    )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(page, method):
    assert page.request(method, "/api/mark", headers={"origin": HOST}).status_code == 405


def test_a_mark_is_made_by_this_page_alone_and_bounded(page, state, tmp_path):
    assert mark(page, origin=None).status_code == 403
    assert mark(page, origin="https://localhost:8765").status_code == 403
    headers = {"origin": HOST}
    for body, status in [
        (b"{", 422),
        (b"[]", 422),
        (b"[" * 2000, 422),
        (b'{"survey":1,"object_id":"a","mark":null}', 422),
        (b"x" * 3000, 413),
    ]:
        answer = page.post("/api/mark", content=body, headers=headers | {"content-type": "application/json"})
        assert answer.status_code == status, body
    good = json.dumps({"survey": "ztf", "object_id": "ZTF200000010", "mark": "boring"})
    assert (
        page.post("/api/mark", content=good, headers=headers | {"content-type": "text/plain"}).status_code
        == 415
    )
    assert mark(page, "nobody").status_code == 404 and mark(page, value="dull").status_code == 400
    assert not (tmp_path / "marks.csv").exists() and state.marks.of == {}
    assert mark(page).json() == {"marks": 1} and mark(page, value=None).json() == {"marks": 0}
    mark(page, "=HYPERLINK(1)")
    assert page.get("/api/marks.csv").text.splitlines() == (tmp_path / "marks.csv").read_text().splitlines()
    assert page.get("/api/marks").json()[0]["object_id"] == "=HYPERLINK(1)"


def dropped(page, content, **headers):
    return page.post(
        "/api/like", content=content, headers={"origin": HOST, "content-type": "text/csv"} | headers
    )


def test_a_dropped_light_curve_is_encoded_and_leaves_nothing(page, tmp_path):
    (one,) = dropped(page, CSV).json()["sources"]
    assert one["object_id"] == "mine" and len(one["neighbours"]) == 8 and one["curve"]["bands"]
    assert np.isfinite([one["x"], one["y"]]).all() and 0 <= one["strangeness"] <= 1
    own = sources()[20]
    columns = (own.mjd.tolist(), own.band.tolist(), own.mag.tolist(), own.magerr.tolist())
    rows = "".join(f"again,{t!r},{'gri'[b]},{m!r},{e!r}\n" for t, b, m, e in zip(*columns, strict=True))
    text = "object_id,mjd,band,mag,magerr\n" + rows
    assert dropped(page, text).json()["sources"][0]["neighbours"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "archive.map"]


def test_dropped_tables_that_are_none(page, state):
    assert dropped(page, "x" * (DROPPED_BYTES + 1)).status_code == 413
    assert dropped(page, b"\x1f\x8b" + bytes(1000)).status_code == 422
    assert "column missing" in dropped(page, "object_id,mjd\na,1\n").json()["detail"]
    assert page.post("/api/like", content=CSV, headers={"content-type": "text/csv"}).status_code == 403
    assert dropped(page, CSV, **{"content-type": "multipart/form-data"}).status_code == 415
    state.model, state.model_note = None, "no model"
    assert dropped(page, CSV).json() == {"detail": "no model"}
    assert page.get("/api/curve", params={"survey": "ztf", "object_id": "ZTF200000010"}).status_code == 404


def test_before_the_map_is_made_it_says_so(archive):
    page = TestClient(make_app(Explorer(archive)), base_url=HOST)
    assert page.get("/api/status").json()["doing"] == "reading the archive"
    for path in ("/api/map", "/api/tonight"):
        assert (
            page.get(path).status_code == 503 and page.get(path).json()["detail"] == "the map is being made"
        )
    assert page.get("/api/names", params={"q": "a"}).json() == []


def test_new_rows_are_told_while_a_page_listens(state, archive, tables):
    with served(state) as port:
        follower = threading.Thread(target=state.work_on, args=(0.1,), daemon=True)
        follower.start()
        with urllib.request.urlopen(f"http://localhost:{port}/api/events", timeout=20) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = iter(lambda: stream.readline().decode().strip(), None)
            assert next(lines) == "event: status" and json.loads(next(lines).removeprefix("data: "))["ready"]
            archive.add(tables.later)
            told = next(line for line in lines if line.startswith('data: {"version"'))
        points = json.loads(told.removeprefix("data: "))["points"]
        assert {p["object_id"] for p in points} == set(tables.later["object_id"].to_pylist())
        assert all(np.isfinite([p["x"], p["y"]]).all() for p in points)


def test_only_so_many_pages_listen(state, monkeypatch):
    monkeypatch.setattr(module, "_STREAMS", 2)
    with served(state) as port:
        address = f"http://localhost:{port}/api/events"
        open_ones = [urllib.request.urlopen(address, timeout=10) for _ in range(2)]
        for one in open_ones:
            one.readline()
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(address, timeout=10)
        for one in open_ones:
            one.close()

        def free():
            try:
                with urllib.request.urlopen(address, timeout=10) as one:
                    return one.readline()
            except urllib.error.HTTPError:
                return None

        until(free)
