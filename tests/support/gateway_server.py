"""The gateway as a real HTTP server in a thread of the test process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prometheus_client.parser import text_string_to_metric_families

from embedtune.serve.gateway.app import GatewayOptions, create_app
from embedtune.serve.gateway.connections import ConnectionLimits
from embedtune.serve.gateway.keys import Key, key_hash
from embedtune.serve.gateway.server import http_server
from embedtune.serve.gateway.tls import Tls


def key(text: str, name: str = "default", quota: int | None = None) -> Key:
    """Return a key as the gateway keeps it."""
    return Key(name, key_hash(text), quota)


@contextmanager
def serving(
    options: GatewayOptions, limits: ConnectionLimits | None = None, tls: Tls | None = None
) -> Iterator[str]:
    """Serve while the block runs; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = http_server(create_app(options), limits or ConnectionLimits(256), tls)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def samples(url: str) -> dict[tuple[str, ...], float]:
    """Return the metrics of a gateway: values by name and label values."""
    reply = httpx.get(f"{url}/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
