"""The page's addresses, and who may ask: a browser on this machine that shows this page.

Notable:
- the host header must name this machine, so that no other site's name can be pointed at it (DNS rebinding)
- nothing is answered to a page of another origin, and no header ever allows one (no CORS)
- static files are read once, into a table of names: no address is ever turned into a path
- one address changes something: a mark, in the file that the command line named
"""

import asyncio
import json
import mimetypes
import re
from collections.abc import AsyncIterator
from importlib import resources
from typing import Annotated

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from rtf.encoding.fingerprints import RunError
from rtf.explorer import sources
from rtf.explorer.marks import table_of
from rtf.explorer.places import place
from rtf.explorer.state import MOST_SENT, Explorer

#: Bytes of a mark, of an address, and streams of events at once.
_MARK_BYTES, _ADDRESS_BYTES, _STREAMS = 2048, 4096, 16
_HOST = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}  # fmt: skip
#: Types that are not the same in every system's table.
_TYPES = {"js": "text/javascript", "txt": "text/plain; charset=utf-8", "svg": "image/svg+xml"}
Name = Annotated[str, Query(max_length=256)]
Survey = Annotated[str, Query(max_length=64)]


def refusal(scope) -> tuple[int, str] | None:
    """Status and reason, where a request is not one of this page's."""
    headers = scope["headers"]
    host = [value for name, value in headers if name == b"host"]
    if len(host) != 1 or not _HOST.fullmatch(host[0]):
        return 421, "this page answers to localhost alone"
    if scope["method"] not in ("GET", "HEAD", "POST"):
        return 405, "the page only reads"
    if len(scope["path"]) + len(scope["query_string"]) > _ADDRESS_BYTES:
        return 414, "the address is too long"
    origin = [value for name, value in headers if name == b"origin"]
    if any(value != b"http://" + host[0] for value in origin):
        return 403, "asked by a page of another origin"
    if scope["method"] == "POST" and len(origin) != 1:
        return 403, "changes are made by this page alone"
    site = next((value for name, value in headers if name == b"sec-fetch-site"), b"same-origin")
    if site not in (b"same-origin", b"none") and scope["path"] != "/":
        return 403, "asked by a page of another site"
    return None


def guarded(app):
    """An ASGI app that refuses what is not this page's, and adds `HEADERS` to all answers."""
    added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def asked(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        refused = refusal(scope) if scope["type"] == "http" else None
        if refused is not None:
            await JSONResponse({"detail": refused[1]}, refused[0])(scope, receive, answer)
        else:
            await app(scope, receive, answer)

    return asked


def static_files() -> dict[str, tuple[bytes, str]]:
    """Content and type of each file of `static/`, by its name below it."""
    found = {}

    def read(folder, prefix=""):
        for entry in folder.iterdir():
            name = prefix + entry.name
            if entry.is_dir():
                read(entry, name + "/")
            elif not entry.name.startswith("."):
                kind = _TYPES.get(name.rsplit(".", 1)[-1]) or mimetypes.guess_type(name)[0]
                found[name] = (entry.read_bytes(), kind or "application/octet-stream")

    read(resources.files("rtf.explorer") / "static")
    return found


async def body_of(request: Request, kind: str, most: int) -> bytes:
    """The body of a request, refused by its type and, before it is read, by its size."""
    if request.headers.get("content-type", "").split(";")[0].strip() != kind:
        raise HTTPException(415, f"the body must be {kind}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, f"more than {most:,} bytes")
    return bytes(body)


def make_app(state: Explorer):
    """The ASGI app of the page."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    files, streams = static_files(), []
    one_at_a_time = asyncio.Lock()

    def number_of(survey: str, object_id: str) -> int:
        number = state.points.index(survey, object_id)
        if number is None:
            raise HTTPException(404, "the archive has no such object")
        return number

    def ready() -> None:
        if not state.status["ready"]:
            raise HTTPException(503, "the map is being made")

    @app.exception_handler(RunError)  # a decoder that cannot be asked for a time
    @app.exception_handler(ValueError)
    async def wrong(request, error):
        return JSONResponse({"detail": str(error)}, 400)

    @app.get("/")
    def page():
        content, kind = files["index.html"]
        return Response(content, media_type=kind)

    @app.get("/static/{name:path}")
    def static(name: str):
        if name not in files:
            raise HTTPException(404, "no such file")
        content, kind = files[name]
        return Response(content, media_type=kind)

    @app.get("/api/status")
    def status():
        return state.about()

    @app.get("/api/map")
    def whole_map():
        ready()
        version = len(state.changes)
        headers = {"x-version": str(version)}
        return Response(state.points.packed(), media_type="application/octet-stream", headers=headers)

    @app.get("/api/events")
    async def events(request: Request, since: Annotated[int, Query(ge=0)] = 0):
        if len(streams) >= _STREAMS:
            raise HTTPException(503, "too many pages are open")
        last = request.headers.get("last-event-id", "")
        return StreamingResponse(
            told(int(last) if last.isdecimal() and len(last) < 12 else since), media_type="text/event-stream"
        )

    async def told(since: int) -> AsyncIterator[str]:
        streams.append(since)
        try:
            said, quiet, since = None, 0, min(since, len(state.changes))
            while not state.stopped.is_set():
                now = state.status | {"model_note": state.model_note}
                if now != said:
                    said, quiet = now, 0
                    yield f"event: status\ndata: {json.dumps(now)}\n\n"
                if len(state.changes) > since:
                    changed = np.unique(np.concatenate(state.changes[since:]))
                    since, quiet = len(state.changes), 0
                    many = len(changed) > MOST_SENT
                    data = {"version": since, "n": state.points.n, "many": many}
                    data["points"] = [] if many else state.points.described(changed)
                    yield f"id: {since}\nevent: points\ndata: {json.dumps(data)}\n\n"
                quiet += 1
                if quiet % 30 == 0:
                    yield ": still here\n\n"
                await asyncio.sleep(0.5)
        finally:
            streams.remove(streams[0])

    @app.get("/api/point")
    def point(number: Annotated[int, Query(ge=0)]):
        if number >= state.points.n:
            raise HTTPException(404, "no such point")
        return state.points.described([number])[0]

    @app.get("/api/names")
    def names(q: Name):
        text = q.strip()
        return state.points.described(state.points.named(text, 20)) if text else []

    @app.get("/api/around")
    def around(
        ra: Annotated[float, Query(ge=0, le=360)],
        dec: Annotated[float, Query(ge=-90, le=90)],
        radius: Annotated[float, Query(gt=0, le=36000)] = 60.0,
    ):
        found = state.points.around(ra, dec, radius, 20)
        return [
            one | {"separation": round(apart, 2)}
            for (_, apart), one in zip(found, state.points.described([k for k, _ in found]), strict=True)
        ]

    @app.get("/api/tonight")
    def tonight(
        days: Annotated[float, Query(gt=0, le=1e6)] = 1.0,
        order: Annotated[str, Query(pattern="^(strangeness|marks)$")] = "strangeness",
        most: Annotated[int, Query(ge=1, le=500)] = 100,
    ):
        ready()
        return state.tonight(days, order == "marks", most)

    @app.get("/api/source")
    def source(survey: Survey, object_id: Name):
        number = number_of(survey, object_id)
        history = state.light.get(object_id, survey) if state.light else None
        found = state.points.described([number])[0]
        found["mark"] = (state.marks.of.get((survey, object_id)) or (None,))[0]
        found["alerts"] = state.alerts(survey, object_id)
        found["light"] = None if history is None else sources.light_curve(history)
        found["stamps"] = sources.stamp_list(state.light.with_stamps(object_id, survey))
        found["why_not"] = "" if history is not None else why_no_light()
        return found

    def why_no_light() -> str:
        if not state.light:
            return "No light curves: start the page with store= or history=."
        return "Neither the store nor the history has a light curve of this object."

    @app.get("/api/light")
    def light(object_id: Name, survey: Survey = "ztf"):
        history = state.light.get(object_id, survey) if state.light else None
        if history is None:
            raise HTTPException(404, why_no_light())
        return sources.light_curve(history)

    @app.get("/api/curve")
    def curve(survey: Survey, object_id: Name):
        number = number_of(survey, object_id)
        history = state.light.get(object_id, survey) if state.light else None
        state.wait_for_model()
        if history is None or state.model is None:
            raise HTTPException(404, state.model_note or "no light curve of this object")
        _, latent = state.fingerprints(np.array([number]))
        if not len(latent):
            raise HTTPException(503, "the archive is being compacted: ask again")
        with state.model_lock:
            return sources.decoder_curve(
                state.model, history, latent[0], float(state.points.column("mjd")[number])
            )

    @app.get("/api/neighbours")
    def neighbours(survey: Survey, object_id: Name, k: Annotated[int, Query(ge=1, le=30)] = 8):
        number = number_of(survey, object_id)
        _, latent = state.fingerprints(np.array([number]))
        return state.neighbours(latent[0], k, without=number) if len(latent) else []

    @app.get("/api/stamp")
    def stamp(
        object_id: Name,
        detection: Annotated[int, Query(ge=0, le=10_000_000)],
        kind: Annotated[str, Query(pattern="^(science|template|difference)$")],
        survey: Survey = "ztf",
    ):
        history = state.light.with_stamps(object_id, survey)
        picture = None if history is None else sources.stamp_png(history, detection, kind)
        if picture is None:
            raise HTTPException(404, "no such stamp")
        return Response(picture, media_type="image/png")

    @app.get("/api/marks")
    def marks():
        return [
            {"survey": survey, "object_id": name, "mark": mark, "time": time}
            for (survey, name), (mark, time) in reversed(state.marks.of.items())
        ]

    @app.get("/api/marks.csv")
    def marks_csv():
        import csv
        import io

        text = io.StringIO()
        csv.writer(text).writerows(table_of(state.marks.of))
        headers = {"content-disposition": 'attachment; filename="marks.csv"'}
        return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)

    @app.post("/api/mark")
    async def mark(request: Request):
        body = await body_of(request, "application/json", _MARK_BYTES)
        try:
            asked = json.loads(body)
            survey, object_id, value = (asked[key] for key in ("survey", "object_id", "mark"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HTTPException(422, "a mark is survey, object_id and mark") from None
        if not all(isinstance(x, str) for x in (survey, object_id)) or not isinstance(
            value, (str, type(None))
        ):
            raise HTTPException(422, "survey and object_id are text, and mark is text or null")
        number_of(survey, object_id)  # only what is in the archive can be marked
        await asyncio.to_thread(state.marks.set, survey, object_id, value)
        return {"marks": len(state.marks.of)}

    @app.post("/api/like")
    async def like(request: Request):
        content = await body_of(request, "text/csv", sources.DROPPED_BYTES)
        await asyncio.to_thread(state.wait_for_model)
        if state.model is None:
            raise HTTPException(409, state.model_note)
        ready()
        async with one_at_a_time:
            return await asyncio.to_thread(found_like, content)

    def found_like(content: bytes) -> dict:
        histories, notes = sources.dropped(content, state.model.survey.name)
        if not histories:
            raise HTTPException(422, "; ".join(["no source in it can be encoded", *notes]))
        with state.model_lock:
            encoded = state.model.encode(histories)
        spots, found = place(state.map, np.nan_to_num(encoded.latent)), []
        for k, history in enumerate(histories):
            if not encoded.finite[k]:
                notes.append(f"{history.object_id}: its fingerprint is not finite")
                continue
            with state.model_lock:
                curve = sources.decoder_curve(state.model, history, encoded.latent[k], history.mjd[-1])
            one = {"object_id": history.object_id, "light": sources.light_curve(history), "curve": curve}
            one["x"], one["y"] = (round(float(v), 5) for v in spots[k])
            one["n_detections"] = int(encoded.n_detections[k])
            one["strangeness"] = (
                None if encoded.strangeness is None else round(float(encoded.strangeness[k]), 4)
            )
            one["probabilities"] = sources.probabilities_of(encoded, k)
            one["neighbours"] = state.neighbours(encoded.latent[k], 8)
            found.append(one)
        return {"sources": found, "notes": notes}

    return guarded(app)
