"""A real HTTP server that speaks the OpenAI chat protocol, replies deterministically, and misbehaves on demand.

In a test:      with OpenAIServer(faults=script("429", "invalid_json")) as server: … server.url … server.answered
As a process:   python -m tests.support.openai_server --port 0 --fault-share 0.3 [--replies module:function]
                prints its URL; GET /stats returns what it did.
"""

import argparse
import importlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.support.openai_batches import Batches
from tests.support.openai_replies import (
    CONTENT_FAULTS,
    HTTP_FAULTS,
    Body,
    Call,
    Faults,
    built_reply,
    completion,
    now_and_then,
)
from tests.support.openai_responses import Response, error_response, json_response


@dataclass
class OpenAIServer:
    """The behaviour and the record of one server; a context manager that serves in a thread.

    Args:
        replies: Returns the text of the reply to a call.
        faults: Returns what goes wrong with a call, or None.
        models: Names of the models that it knows. None: any.
        api_key: The API key that it requires. None: any.
        json_schema: Whether it accepts `response_format: json_schema`; otherwise it answers 400.
        max_tokens: Whether it accepts `max_tokens`; OpenAI's newer models do not.
        retry_after_s: Value of the header Retry-After that it sends with 429 and 503.
        provider: Returns how a known server responds to a call in its own way, or None (`openai_providers.py`).
        batches: Its Batch API; None: it has none.
        delay_s: Seconds that it takes for each call.
        port: Port to listen on; 0 means a free one.
    """

    replies: Callable[[Call], str] = built_reply
    faults: Faults = lambda call: None
    models: frozenset[str] | None = None
    api_key: str | None = None
    json_schema: bool = True
    max_tokens: bool = True
    retry_after_s: float = 0.0
    provider: Callable[[Call], Response | None] = lambda call: None
    batches: Batches | None = None
    delay_s: float = 0.0
    port: int = 0
    # The record: calls in order; usable and unusable completions by fingerprint; faults by name.
    calls: list[Call] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    faulted: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    busiest: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        # Stalled calls hang until this is set by close(), so that no thread outlives the server.
        self.release = threading.Event()
        owner = self

        class Handler(_Handler):
            server_state = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def completions(self) -> int:
        """Number of completions that were sent in full, usable or not: each of them is paid for."""
        return self.answered.total() + self.unusable.total()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        self._http.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Stop answering; a second call does nothing."""
        self.release.set()
        if self._thread is not None:
            self._http.shutdown()
            self._thread = None
        self._http.server_close()

    def record(self, body: Body, headers: dict[str, str]) -> Call:
        with self._lock:
            fingerprint = Call(body, 0, 0, {}).fingerprint
            call = Call(body, len(self.calls), self._seen[fingerprint], headers)
            self._seen[fingerprint] += 1
            self.calls.append(call)
            return call

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the calls that are processed at once."""
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        yield
        with self._lock:
            self.busy -= 1

    def count(self, counter: Counter[str], key: str, n: int = 1) -> None:
        with self._lock:
            counter[key] += n

    def stats(self) -> Body:
        with self._lock:
            return {
                "calls": len(self.calls),
                "completions": self.completions,
                "repeated": sum(n - 1 for n in self.answered.values()),
                "faults": dict(self.faulted),
                "busiest": self.busiest,
            }


def objection(state: OpenAIServer, call: Call) -> Response | None:
    """Return an error response if the server does not accept the request itself."""
    key = call.headers.get("authorization", "").removeprefix("Bearer ")
    if state.api_key is not None and key != state.api_key:
        return error_response(401, f"Incorrect API key provided: {key}", "invalid_api_key")
    if state.models is not None and call.body["model"] not in state.models:
        return error_response(404, f"The model `{call.body['model']}` does not exist", "model_not_found")
    if "max_tokens" in call.body and not state.max_tokens:
        return error_response(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    if call.body.get("response_format", {}).get("type") == "json_schema" and not state.json_schema:
        return error_response(400, "response_format type json_schema is not supported", "invalid_request_error")
    return state.provider(call)


def misbehaviour(state: OpenAIServer, fault: str) -> Response | None:
    match fault:
        case "429" | "503":
            return error_response(int(fault), "slow down", headers={"Retry-After": f"{state.retry_after_s:g}"})
        case "429-date":
            return error_response(429, "slow down", headers={"Retry-After": formatdate(usegmt=True)})
        case "500":
            return error_response(500, "internal error")
        case "400":
            return error_response(400, "the prompt is too long for this model")
        case "short_body":
            return Response(200, b'{"id": "cut', {"Content-Type": "application/json"}, length=500)
        case "trickle":
            return Response(200, b" " * 200, {"Content-Type": "application/json"}, length=200, pause_s=0.05)
        case "html":
            return Response(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}, length=20)
        case "not_json":
            return Response(200, b'{"id": ', {"Content-Type": "application/json"}, length=7)
        case "no_choices":
            return json_response(200, {"id": "x", "object": "chat.completion", "created": 0, "choices": []})
    state.release.wait(60)  # stall
    return None


class _Handler(BaseHTTPRequestHandler):
    server_state: OpenAIServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        batches = self.server_state.batches
        if self.path == "/stats":
            self._send(json_response(200, self.server_state.stats()))
        elif batches is not None and (response := batches.respond("GET", self.path, b"")) is not None:
            self._send(response)
        else:
            self._send(error_response(404, "no such page"))

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        state = self.server_state
        if state.batches is not None and (response := state.batches.respond("POST", self.path, data)) is not None:
            self._send(response)
            return
        if state.release.is_set():
            self._send(None)  # a connection that is still open although the server is closed
        elif self.path.partition("?")[0] != "/v1/chat/completions":
            self._send(error_response(404, "no such page"))
        else:
            self._chat(state, state.record(json.loads(data), {k.lower(): v for k, v in self.headers.items()}))

    def _chat(self, state: OpenAIServer, call: Call) -> None:
        if (refusal := objection(state, call)) is not None:
            self._send(refusal)
            return
        fault = state.faults(call)
        with state.working():
            time.sleep(state.delay_s)
            if fault is not None:
                state.count(state.faulted, fault)
            if fault in HTTP_FAULTS:
                response = misbehaviour(state, fault)
            else:
                text = '{"wrong": 1}' if fault == "wrong_schema" else state.replies(call)
                response = json_response(200, completion(text, fault, call))
        if fault in HTTP_FAULTS:
            self._send(response)
            return
        counter = state.unusable if fault in CONTENT_FAULTS else state.answered
        state.count(counter, call.fingerprint)  # before it is sent, so that whoever has the reply sees it counted
        if not self._send(response):
            state.count(counter, call.fingerprint, -1)

    def _send(self, response: Response | None) -> bool:
        """Return whether the response was sent: the client may have closed the connection."""
        if response is None:
            self.close_connection = True
            return False
        try:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(response.length))
            self.end_headers()
            for piece in (bytes([byte]) for byte in response.data) if response.pause_s else (response.data,):
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(response.pause_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            return False
        self.close_connection = self.close_connection or response.length != len(response.data)
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--replies", default="", help="module:function that maps a Call to the text of its reply")
    parser.add_argument("--fault-share", type=float, default=0.0)
    parser.add_argument("--faults", default="429,500,503,short_body,invalid_json,truncated,wrong_schema")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--no-json-schema", action="store_true")
    options = parser.parse_args()
    replies = built_reply
    if options.replies:
        module, _, function = options.replies.partition(":")
        replies = getattr(importlib.import_module(module), function)
    server = OpenAIServer(
        replies=replies,
        faults=now_and_then(options.fault_share, tuple(options.faults.split(",")), options.seed),
        json_schema=not options.no_json_schema,
        delay_s=options.delay,
        port=options.port,
    )
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
