"""A small stand-in for the W&B server, for tests of what is sent to it and read from it.

Notable:
- The responses were written after W&B's schema as the installed client asks for it (the queries of
  `wandb.apis.public`, and of `wandb-core` in `wandb sync`). They are not recorded from the live service.
- wandb itself is left as it is: it is told of this server by WANDB_BASE_URL, and talks to it over HTTP.
- Runs are kept as the service keeps them: configuration, summary, history lines by their offset, files.
"""

import gzip
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

ENTITY, API_KEY = "astronomer", "0" * 40


@contextmanager
def wandb_server(folder):
    """A server that alone the wandb of this process talks to; wandb keeps its own files in `folder`."""
    import wandb

    with Server() as server, pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
            patch.setenv(f"WANDB_{kind}_DIR", f"{folder}/{kind}")
        for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            patch.setenv(proxy, server.url)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("NETRC", f"{folder}/netrc")  # where logins are kept
        patch.delenv("WANDB_API_KEY", raising=False)
        wandb.teardown()  # it would remember where another test sent it
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        wandb.teardown()
        server.shutdown()


class Server(ThreadingHTTPServer):
    """The server, in a thread of its own; see `wandb_server`.

    Attributes
    ----------
    projects : runs by project and id, each a dict of what was sent of it
    asked : names of the GraphQL operations, in their order
    connections : how many were made, by whom and for what ever
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.projects: dict[str, dict[str, dict]] = {}
        self.asked: list[str] = []
        self.connections = 0

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def run(self, project: str, name: str) -> dict:
        """The run, made where there is none."""
        new = {"config": {}, "summary": {}, "history": [], "files": {}, "artifacts": [], "tags": []}
        return self.projects.setdefault(project, {}).setdefault(
            name, {"name": name, "state": "running", **new}
        )

    def answer(self, operation: str, v: dict) -> dict:
        """The `data` of the response to a GraphQL operation with variables `v`."""
        project = v.get("project")
        name = v.get("run") or v.get("runName") or v.get("name")
        if operation in ("Viewer", "GetViewer", "GetDefaultEntity"):
            return {"viewer": {"id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "email": "a@b.org",
                               "name": ENTITY, "flags": "{}", "admin": False, "deletedAt": None,
                               "apiKeys": {"edges": []}, "teams": {"edges": []}}}  # fmt: skip
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "RunResumeStatus":
            run = self.projects.get(project, {}).get(name)
            return {
                "model": run and {"id": "UDox", "name": project, "entity": _ENTITY, "bucket": _bucket(run)}
            }
        if operation == "UpsertBucket":
            return self._upsert(v)
        if operation == "CreateRunFiles":
            upload = [
                {"name": f, "uploadUrl": f"{self.url}/storage/{project}/{name}/{f}"} for f in v["files"]
            ]
            return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": upload}}
        if operation == "CreateArtifact":  # as if it were there already: no upload is asked for
            made = v["input"]
            self.run(made["projectName"], made["runName"])["artifacts"].append(made["artifactCollectionName"])
            artifact = {
                "id": "QQ==",
                "state": "COMMITTED",
                "artifactSequence": {"latestArtifact": {"id": "QQ=="}},
            }
            return {"createArtifact": {"artifact": artifact}}
        if operation == "Runs":
            return {"project": self._runs(v)}
        run = self.projects.get(project, {}).get(name)
        if operation == "RunHistoryKeys":
            return {"project": {"run": {"historyKeys": _history_keys(run)}}}
        if operation == "RunFiles":
            return {"project": {"internalId": "1", "run": self._files(project, run)}}
        if operation == "RunParquetHistory":
            return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}
        if operation == "HistoryPage":
            lines = [h for h in run["history"] if v["minStep"] <= json.loads(h)["_step"] < v["maxStep"]]
            return {"project": {"run": {"history": lines[: v["pageSize"]]}}}
        raise NotImplementedError(operation)

    def _upsert(self, v: dict) -> dict:
        inserted = v["name"] not in self.projects.get(v["project"], {})
        run = self.run(v["project"], v["name"])
        names = {"groupName": "group", "jobType": "jobType", "displayName": "displayName", "tags": "tags"}
        run |= {ours: v[theirs] for theirs, ours in names.items() if v.get(theirs)}
        if v.get("config"):
            run["config"] |= json.loads(v["config"])
        bucket = {**_bucket(run), "project": {"id": "UDox", "name": v["project"], "entity": _ENTITY}}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def stream(self, project: str, name: str, body: dict) -> None:
        """What the file stream sends: lines of the history at an offset, the summary, and the end."""
        run = self.run(project, name)
        for file, chunk in (body.get("files") or {}).items():
            if file == "wandb-history.jsonl":
                run["history"][chunk["offset"] : chunk["offset"] + len(chunk["content"])] = chunk["content"]
            elif file == "wandb-summary.json":
                run["summary"] = json.loads(chunk["content"][-1])
        if body.get("complete"):
            run["state"] = "finished" if body.get("exitcode") == 0 else "failed"

    def _runs(self, v: dict) -> dict | None:
        if v["project"] not in self.projects or v["entity"] != ENTITY:
            return None
        wanted = json.loads(v["filters"] or "{}")
        runs = [
            r for r in self.projects[v["project"]].values() if all(r.get(k) == x for k, x in wanted.items())
        ]
        start = int(v.get("cursor") or 0)
        page = runs[start : start + v["perPage"]]
        edges = [{"node": _node(r), "cursor": str(start + k + 1)} for k, r in enumerate(page)]
        end = start + len(page)
        return {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": {
            "edges": edges, "pageInfo": {"endCursor": str(end), "hasNextPage": end < len(runs)}}}  # fmt: skip

    def _files(self, project: str, run: dict) -> dict:
        edges = [{"cursor": f, "node": {
            "id": f, "name": f, "url": f"{self.url}/storage/{project}/{run['name']}/{f}", "directUrl": "",
            "sizeBytes": len(content), "mimetype": "", "updatedAt": "2026-01-01T00:00:00Z", "md5": ""}}
            for f, content in run["files"].items()]  # fmt: skip
        page = {"endCursor": None, "hasNextPage": False}
        return {"fileCount": len(run["files"]), "files": {"edges": edges, "pageInfo": page}}


_ENTITY = {"id": "RTox", "name": ENTITY}


def _bucket(run: dict) -> dict:
    return {"id": "QjoxOg==", "name": run["name"], "displayName": run.get("displayName"), "description": None,
            "config": json.dumps(run["config"]), "summaryMetrics": json.dumps(run["summary"]),
            "historyLineCount": len(run["history"]), "eventsLineCount": 0, "logLineCount": 0,
            "historyTail": json.dumps(run["history"][-1:]), "eventsTail": "[]", "sweepName": None,
            "tags": run["tags"], "notes": None, "wandbConfig": "{}"}  # fmt: skip


def _node(run: dict) -> dict:
    return {**_bucket(run), "projectId": "1", "state": run["state"], "group": run.get("group"),
            "jobType": run.get("jobType"), "commit": None, "readOnly": False,
            "historyKeys": _history_keys(run), "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z", "systemMetrics": "{}",
            "user": {"name": ENTITY, "username": ENTITY}}  # fmt: skip


def _history_keys(run: dict) -> dict:
    return {"lastStep": max((json.loads(line)["_step"] for line in run["history"]), default=-1), "keys": {}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _reply(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stored(self) -> tuple[dict, str]:
        _, _, project, name, file = self.path.split("?")[0].split("/", 4)
        return self.server.projects[project][name]["files"], unquote(file)

    def do_GET(self):
        files, name = self._stored()
        self._reply(files.get(name, b""), 200 if name in files else 404)

    def do_PUT(self):
        files, name = self._stored()
        files[name] = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        body = json.loads(body or "{}")
        if self.path == "/graphql":
            operation = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])[1]
            self.server.asked.append(operation)
            try:
                answer = {"data": self.server.answer(operation, body.get("variables") or {})}
            except NotImplementedError:
                answer = {"errors": [{"message": f"this stand-in has no answer to {operation}"}]}
            self._reply(json.dumps(answer).encode())
        elif self.path.endswith("/file_stream"):
            _, _, _, project, name, _ = self.path.split("/")
            self.server.stream(project, name, body)
            self._reply(b'{"limits": {}}')
        else:
            self._reply(b"{}", 404)
