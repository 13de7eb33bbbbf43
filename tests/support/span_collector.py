"""An OpenTelemetry collector: it takes spans by OTLP over HTTP, as JSON and as protobuf, and keeps them."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Span:
    service: str
    trace: str
    parent: str
    id: str
    name: str
    attributes: dict[str, Any]
    failed: bool = False


@dataclass
class Collector:
    """What has arrived; Triton 2.51 sends JSON, the gateway protobuf."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def receive(self, body: bytes, kind: str) -> None:
        self.bodies.append(body)
        self.spans += list(_from_json(json.loads(body)) if "json" in kind else _from_protobuf(body))

    def of(self, trace: str) -> dict[str, Span]:
        """Return the spans of a trace by name."""
        return {span.name: span for span in list(self.spans) if span.trace == trace}


@contextmanager
def collecting(host: str = "127.0.0.1") -> Iterator[Collector]:
    """Run a collector while the block runs.

    Args:
        host: The address that it listens on.
    """
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.receive(body, self.headers["Content-Type"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://{host}:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def _from_protobuf(body: bytes) -> Iterator[Span]:
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    for resource in service.ExportTraceServiceRequest.FromString(body).resource_spans:
        name = {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"]
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            values = {
                item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in span.attributes
            }
            ids = (span.trace_id.hex(), span.parent_span_id.hex(), span.span_id.hex())
            assert not span.events
            yield Span(name, *ids, span.name, values, span.status.code == 2)


def _from_json(body: Any) -> Iterator[Span]:
    for resource in body["resourceSpans"]:
        named = {item["key"]: item["value"].get("stringValue") for item in resource["resource"]["attributes"]}
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            ids = (span["traceId"], span.get("parentSpanId", ""), span["spanId"])
            yield Span(named["service.name"], *ids, span["name"], {})
