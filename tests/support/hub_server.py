"""A Hugging Face Hub that keeps repositories in memory and refuses what the real one is documented to refuse.

It has the part of the HTTP API that huggingface_hub calls to create a repository and to commit to it:
repos/create, models/ID, validate-yaml, preupload, the LFS batch API with single and multipart uploads, and
commit. Xet's store takes what hf_xet sends without taking it apart: a file that was sent through it has the
content `through Xet`.
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import yaml

PART = 64_000  # bytes; larger files are uploaded in parts of this size
LARGE = (".safetensors", ".bin", ".onnx")
ROUTE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/main|/(?P<what>preupload|commit)/main)?")


@dataclass
class Repo:
    """A repository: its files as the last commit has them."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: list[list[dict[str, Any]]] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()

    def oid(self, name: str) -> str | None:
        content = self.files.get(name)
        if content is None:
            return None
        if name in self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class HubServer:
    """The server; a context manager that serves in a thread.

    Args:
        token: The token that may write to the namespace `acme`.
        reader: A token that may only read.
    """

    def __init__(self, token: str = "hf_writer", reader: str = "hf_reader") -> None:
        self.token, self.reader = token, reader
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.requests: list[str] = []
        self.xet_bytes = 0
        self.interrupt_uploads = 0  # so many uploads are refused, as an expired address is
        self.pushed_meanwhile = False  # whether another commit arrives just before ours
        owner = self

        class Handler(_Handler):
            hub = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        self.body = self._read()
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        if path.startswith("/storage/"):
            self._store(path)
            return
        if path.startswith("/cas/"):
            self._take_xet(path)
            return
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if given not in (self.hub.token, self.hub.reader):
            self._refuse(401, "Invalid username or password.", "")
            return
        self.writes = given == self.hub.token
        if path == "/api/validate-yaml":
            self._validate()
        elif path == "/api/repos/create":
            self._create()
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch()
        elif path.endswith("/xet-write-token/main"):
            self._let_into_xet()
        elif found := ROUTE.fullmatch(path):
            self._model(found["repo"], found["what"])
        else:
            self._refuse(404, "no such route", "")

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.writes or asked["organization"] != "acme":
            self._refuse(403, "You don't have the rights to create a model under this namespace", "")
        elif name in self.hub.repos:
            self._answer(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        else:
            self.hub.repos[name] = Repo(asked.get("visibility") == "private")
            self._answer(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _model(self, name: str, what: str | None) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._refuse(404, "Repository not found", "RepoNotFound")
        elif what is None:
            siblings = [{"rfilename": one} for one in repo.files]
            self._answer(200, {"id": name, "sha": repo.sha, "private": repo.private, "siblings": siblings})
        elif not self.writes:
            self._refuse(403, "Forbidden: you must use a token with write access", "")
        elif what == "preupload":
            self._preupload(repo)
        else:
            self._commit(name, repo)

    def _validate(self) -> None:
        """The Hub's rules for a card that this project's cards could break."""
        content = json.loads(self.body)["content"]
        head = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        base = head.get("base_model", "a/b")
        errors = [] if re.fullmatch(r"[\w.-]+/[\w.-]+", base) else ['"base_model" must be a model id']
        for entry in head.get("model-index", []):
            for result in entry["results"]:
                if not {"type", "name"} <= result["dataset"].keys() or "type" not in result["task"]:
                    errors.append('"model-index" lacks a type')
        self._answer(400 if errors else 200, {"errors": [{"message": one} for one in errors], "warnings": []})

    def _preupload(self, repo: Repo) -> None:
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": repo.oid(one["path"]),
            }
            for one in json.loads(self.body)["files"]
        ]
        self._answer(200, {"files": files})

    def _batch(self) -> None:
        objects = []
        for one in json.loads(self.body)["objects"]:
            entry: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.stored:
                href, header = f"{self.hub.url}/storage/{one['oid']}", {}
                if one["size"] > PART:
                    count = -(-one["size"] // PART)
                    header = {"chunk_size": str(PART)} | {f"{n:05}": f"{href}/{n}" for n in range(1, count + 1)}
                entry["actions"] = {"upload": {"href": href, "header": header}}
            objects.append(entry)
        self._answer(200, {"transfer": "multipart", "objects": objects})

    def _store(self, path: str) -> None:
        """A single upload, a part of one, or the end of one in parts; signed addresses take no token."""
        _, _, oid, *number = path.split("/")
        if "Authorization" in self.headers and self.command == "PUT":
            self._refuse(400, "Only one auth mechanism allowed", "")
        elif self.hub.interrupt_uploads:
            self.hub.interrupt_uploads -= 1
            self._refuse(403, "Request has expired", "")
        elif number:
            self.hub.parts[oid, int(number[0])] = self.body
            self._answer(200, {}, {"ETag": hashlib.md5(self.body).hexdigest()})
        else:
            if self.command == "POST":  # the end of an upload in parts, with their etags
                wanted = json.loads(self.body)["parts"]
                content = b"".join(self.hub.parts[oid, part["partNumber"]] for part in wanted)
            else:
                content = self.body
            if hashlib.sha256(content).hexdigest() != oid:
                self._refuse(400, "the content does not have this SHA-256", "")
                return
            self.hub.stored[oid] = content
            self._answer(200, {})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _let_into_xet(self) -> None:
        if not self.writes:
            self._refuse(403, "Forbidden: you must use a token with write access", "")
            return
        expires = int(time.time()) + 900
        self._answer(200, {"casUrl": f"{self.hub.url}/cas", "accessToken": "xet", "exp": expires})

    def _take_xet(self, path: str) -> None:
        """Xet's store: blocks of chunks, then the shard that says which files they make up."""
        if self.headers.get("Authorization") != "Bearer xet":
            self._answer(401, {})
        elif path.startswith("/cas/v1/xorbs/"):
            self.hub.xet_bytes += len(self.body)
            self._answer(200, {"was_inserted": True})
        elif path == "/cas/v1/shards":
            self._answer(200, {"result": 1})
        else:  # nothing is known already, and newer forms of the protocol are not offered
            self._answer(404, {})

    def _commit(self, name: str, repo: Repo) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        if self.hub.pushed_meanwhile:
            self.hub.pushed_meanwhile = False
            repo.commits.append([])
        parent = lines[0]["value"].get("parentCommit")
        if parent is not None and parent != repo.sha:
            self._refuse(412, "A commit has happened since. Please refresh and try again.", "")
            return
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "deletedFile":
                del repo.files[value["path"]]
                continue
            if line["key"] == "lfsFile":
                if self.hub.xet_bytes:
                    self.hub.stored.setdefault(value["oid"], b"through Xet")
                if value["oid"] not in self.hub.stored:
                    self._refuse(400, "Your push was rejected because an LFS pointer pointed to no file", "")
                    return
                repo.large.add(value["path"])
            content = (
                self.hub.stored[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
            )
            repo.files[value["path"]] = content
        repo.commits.append(lines)
        url = f"{self.hub.url}/{name}/commit/{repo.sha}"
        self._answer(200, {"success": True, "commitOid": repo.sha, "commitUrl": url})

    def _refuse(self, status: int, message: str, code: str) -> None:
        self._answer(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def _answer(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for key, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
