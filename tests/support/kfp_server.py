"""A small server that answers like Kubeflow Pipelines 2.17: API v2beta1 as JSON, and ML Metadata as its UI."""

import json
import re
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

PAGE = 2  # entries per page, whatever is asked for: clients have to follow next_page_token
NOT_FOUND, EXISTS, INVALID, UNAUTHENTICATED = (404, 5), (409, 6), (400, 3), (401, 16)
LISTS = {"experiments": "experiments", "pipelines": "pipelines", "runs": "runs", "recurringruns": "recurringRuns"}
IDS = {
    "experiments": "experiment_id",
    "pipelines": "pipeline_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
}


class Refused(Exception):
    def __init__(self, status: tuple[int, int], message: str) -> None:
        super().__init__(message)
        self.status, self.code = status


@dataclass
class FakeKfp:
    """What the server has, as its API shows it."""

    multi_user: bool = False
    ui: bool = True
    token: str = ""  # demanded of every request; "": none
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in LISTS})
    versions: list[dict[str, Any]] = field(default_factory=list)
    workflows: dict[str, Any] = field(default_factory=dict)  # Argo's, by run
    logs: dict[str, str] = field(default_factory=dict)  # by pod
    figures: dict[str, dict[str, float]] = field(default_factory=dict)  # of the task outcome, by run
    metadata_is_away: bool = False
    tokens_seen: list[str] = field(default_factory=list)
    on_create: Callable[[dict[str, Any]], None] = lambda run: None
    on_get: Callable[[dict[str, Any]], None] = lambda run: None
    failing: list[int] = field(default_factory=list)  # statuses that the next reads of a run answer with
    url: str = ""

    def add_run(self, name: str, **known: Any) -> dict[str, Any]:
        count = len(self.entries["runs"])
        run = {
            "run_id": str(uuid.uuid4()),
            "display_name": name,
            "state": "PENDING",
            "storage_state": "AVAILABLE",
            "created_at": f"2026-11-30T08:00:{count:02d}Z",
            **known,
        }
        self.entries["runs"].append(run)
        return run

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        for pattern, handle in ROUTES:
            if found := re.fullmatch(f"{method} {pattern}", f"{method} {path}"):
                return handle(self, *found.groups(), query=query, body=body if method == "POST" else None)
        raise Refused(NOT_FOUND, "Not Found")

    def health(self, **_: Any) -> Any:
        return {"multi_user": self.multi_user, **({"frontendTagName": "2.17.0"} if self.ui else {})}

    def workflow(self, run_id: str, **_: Any) -> Any:
        return {"pipeline_runtime": {"workflow_manifest": json.dumps(self.workflows.get(run_id, {}))}}

    def log_of_the_api(self, pod: str, **_: Any) -> str:
        if self.ui:
            raise Refused(NOT_FOUND, "Cannot GET /apis/v1alpha1")
        return self._log(pod)

    def log_of_the_ui(self, query: dict[str, str], **_: Any) -> str:
        if not self.ui:
            raise Refused(NOT_FOUND, "Not Found")
        return self._log(query["podname"])

    def versions_of(self, pipeline: str, query: dict[str, str], **_: Any) -> Any:
        inside = [entry for entry in self.versions if entry["pipeline_id"] == pipeline]
        return self._page("pipeline_versions", inside, query)

    def version(self, version: str, **_: Any) -> Any:
        return next(entry for entry in self.versions if entry["pipeline_version_id"] == version)

    def entries_of(self, kind: str, query: dict[str, str], body: Any) -> Any:
        return self._listed(kind, query) if body is None else self._create(kind, body)

    def terminate(self, run_id: str, **_: Any) -> Any:
        self._one("runs", run_id)["state"] = "CANCELED"
        return {}

    def entry(self, kind: str, wanted: str, **_: Any) -> Any:
        if kind == "runs" and self.failing:
            raise Refused((self.failing.pop(0), 14), "upstream connect error")
        found = self._one(kind, wanted)
        self.on_get(found)
        return found

    def _one(self, kind: str, wanted: str) -> dict[str, Any]:
        for entry in self.entries[kind]:
            if entry[IDS[kind]] == wanted:
                return entry
        raise Refused(NOT_FOUND, f"ResourceNotFoundError: {kind} {wanted} not found")

    def _listed(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        if self.multi_user and not query.get("namespace"):
            raise Refused(INVALID, "Invalid input error: A namespace cannot be empty in multi-user mode")
        return self._page(LISTS[kind], self.entries[kind], query)

    def _page(self, name: str, entries: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        for predicate in json.loads(query.get("filter") or '{"predicates": []}')["predicates"]:
            assert predicate["operation"] == "EQUALS"
            # As MySQL compares: without regard to case.
            wanted = predicate["string_value"].lower()
            entries = [entry for entry in entries if str(entry.get(predicate["key"], "")).lower() == wanted]
        key, _, order = (query.get("sort_by") or "created_at").partition(" ")
        entries = sorted(entries, key=lambda entry: str(entry.get(key)), reverse=order == "desc")
        begin = int(query.get("page_token") or 0)
        end = begin + min(PAGE, int(query.get("page_size") or PAGE))
        page: dict[str, Any] = {name: entries[begin:end], "total_size": len(entries)} if entries else {}
        return {**page, "next_page_token": str(end)} if end < len(entries) else page

    def _create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if kind == "runs":
            return self._create_run(body)
        name = body.get("name") or body["display_name"]
        if kind != "recurringruns" and any(entry["display_name"] == name for entry in self.entries[kind]):
            raise Refused(EXISTS, f"Already exist error: {name}")
        entry = {**body, IDS[kind]: str(uuid.uuid4()), "created_at": "2026-11-30T08:00:00Z"}
        self.entries[kind].append(entry)
        return entry

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.multi_user and not body.get("experiment_id"):
            raise Refused(INVALID, "Invalid input error: Experiment id can not be empty in multi-user mode")
        wanted = body["pipeline_version_reference"]["pipeline_version_id"]
        if all(entry["pipeline_version_id"] != wanted for entry in self.versions):
            raise Refused(NOT_FOUND, f"ResourceNotFoundError: PipelineVersion {wanted} not found")
        run = self.add_run(body["display_name"], **body)
        self.on_create(run)
        return run

    def upload(self, query: dict[str, str], body: bytes) -> dict[str, Any]:
        name, pipeline = query["name"], query["pipelineid"]
        if any(entry["name"] == name and entry["pipeline_id"] == pipeline for entry in self.versions):
            raise Refused(EXISTS, f"Already exist error: {name}")
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        spec, *platform = yaml.load_all(content, Loader=yaml.CSafeLoader)
        both = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec
        entry = {
            "pipeline_id": pipeline,
            "pipeline_version_id": str(uuid.uuid4()),
            "name": name,
            "display_name": name,
        }
        entry |= {"pipeline_spec": both, "created_at": f"2026-11-30T08:00:{len(self.versions):02d}Z"}
        self.versions.append(entry)
        return entry

    def _log(self, pod: str) -> str:
        if pod not in self.logs:
            raise Refused((500, 13), f'pods "{pod}" not found')
        return self.logs[pod]

    def metadata(self, method: str, message: bytes) -> bytes:
        """Answer a call of ML Metadata: messages as protocol buffers, written here byte for byte."""
        if self.metadata_is_away:
            raise Refused((503, 14), "upstream connect error")
        runs = [run["run_id"] for run in self.entries["runs"]]
        if method == "GetContextByTypeAndName":
            name = next((run for run in runs if run.encode() in message), None)
            return _field(1, _number(1, runs.index(name) + 1)) if name in self.figures else b""
        figures = self.figures[runs[message[1] - 1]]
        pairs = [
            _field(5, _field(1, key.encode()) + _field(2, _double(2, value))) for key, value in figures.items()
        ]
        return _field(1, _number(1, 7) + _field(3, b"minio://mlpipeline/v2/page")) + _field(
            1, _number(1, 8) + b"".join(pairs)
        )


ROUTES: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("/apis/v2beta1/healthz", FakeKfp.health),
    ("/apis/v1beta1/runs/([^/]+)", FakeKfp.workflow),
    ("/apis/v1alpha1/runs/[^/]+/nodes/([^/]+)/log", FakeKfp.log_of_the_api),
    ("/k8s/pod/logs", FakeKfp.log_of_the_ui),
    ("/apis/v2beta1/pipelines/upload_version", FakeKfp.upload),
    ("/apis/v2beta1/pipelines/([^/]+)/versions", FakeKfp.versions_of),
    ("/apis/v2beta1/pipelines/[^/]+/versions/([^/]+)", FakeKfp.version),
    ("/apis/v2beta1/runs/([^/:]+):terminate", FakeKfp.terminate),
    (f"/apis/v2beta1/({'|'.join(LISTS)})", FakeKfp.entries_of),
    (f"/apis/v2beta1/({'|'.join(LISTS)})/([^/:]+)", FakeKfp.entry),
)


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def _double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def _frame(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(4, "big") + content


@contextmanager
def kfp_server(fake: FakeKfp) -> Iterator[FakeKfp]:
    """Serve a fake until the end of the block; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle("GET")

        def do_POST(self) -> None:
            self._handle("POST")

        def _handle(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.tokens_seen.append(token := self.headers.get("authorization", ""))
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            try:
                if fake.token and token != f"Bearer {fake.token}":
                    raise Refused(UNAUTHENTICATED, "Unauthenticated: there is no user identity header")
                if "MetadataStoreService" in url.path:
                    answer = fake.metadata(url.path.rpartition("/")[2], body[5:])
                    self._send(
                        200, _frame(0, answer) + _frame(0x80, b"grpc-status:0\r\n"), "application/grpc-web+proto"
                    )
                    return
                is_json = body and self.headers.get("Content-Type") == "application/json"
                parsed = json.loads(body) if is_json else body
                found = fake.answer(method, unquote(url.path), query, parsed)
                text = found if isinstance(found, str) else json.dumps(found)
                self._send(200, text.encode(), "text/plain" if isinstance(found, str) else "application/json")
            except Refused as error:
                status = {"code": error.code, "message": str(error), "details": []}
                self._send(error.status, json.dumps(status).encode(), "application/json")

        def _send(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
