"""Connections that send no request, half a request, or do not read: each is closed, and others are answered."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.gateway.connections import ConnectionLimits
from embedtune.serve.triton.server import free_ports
from tests.support.gateway_server import serving
from tests.support.waiting import wait_until

HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway without Triton that waits half a second for headers and bodies, and has room for eight."""
    serving_file = tmp_path_factory.mktemp("replica") / "serving.json"
    serve = ServeSettings(max_body_bytes=100_000)
    options = GatewayOptions(f"127.0.0.1:{free_ports(1)[0]}", serving_file, serve, body_s=0.5)
    with serving(options, ConnectionLimits(8, request_s=0.5, read_s=0.5)) as url:
        yield url


def connect(url: str, data: bytes = b"") -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(data)
    return connection


def reply(connection: socket.socket) -> bytes:
    """Return everything that the gateway sends until it closes the connection."""
    with connection:
        parts = []
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def statuses(url: str) -> dict[str, float]:
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return {
        sample.labels["status"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "embedtune_gateway_requests_total" and sample.labels["route"] == "other"
    }


def test_a_connection_that_sends_nothing_is_closed(url: str) -> None:
    assert reply(connect(url)) == b""


@pytest.mark.parametrize("data", [b"POST /v1/emb", HEAD, HEAD + b"Content-Length: 5\r\n"])
def test_half_of_a_head_is_closed(url: str, data: bytes) -> None:
    assert reply(connect(url, data)) == b""


def test_half_of_a_head_after_an_answer_is_closed(url: str) -> None:
    connection = connect(url, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    connection.sendall(b"GET /health/li")
    assert reply(connection) == b""


def test_an_endless_head_is_closed(url: str) -> None:
    connection = connect(url, HEAD)
    with pytest.raises(OSError):
        for number in range(10_000):
            connection.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1000))


def test_a_wish_for_another_protocol_is_ignored(url: str) -> None:
    """Java's HttpClient has it by default, in each request of a connection."""
    body = b'{"model": "other", "input": "\\r\\nUpgrade: h2c"}'
    upgrade = (
        b"Connection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\nUpgrade: h2c\r\nHTTP2-Settings: AAE\r\n\r\n"
    )
    connection = connect(url, HEAD + upgrade % len(body) + body)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")  # there is no such model: the body was read
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body))
    connection.sendall(b"0\r\n\r\n")
    assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
    connection.sendall(HEAD + upgrade % len(body) + body)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
    connection.close()


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"a:b\r\n" * 20_000, b"0\r\na: " + b"b" * 100_000, b"1;" + b"c" * 100_000]
)
def test_endless_trailers_of_a_body_are_closed(url: str, endless: bytes) -> None:
    """Not a byte of them is of the body, which is bounded elsewhere: they would fill the memory."""
    assert reply(connect(url, CHUNKED + endless)) == b""


def test_short_trailers_of_a_body_are_ignored(url: str) -> None:
    body = b'{"model": "other", "input": "a"}'
    chunked = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (
        len(body),
        body,
    )
    assert reply(connect(url, chunked + b"Content-Type: text/plain\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


def test_requests_that_do_not_wait_for_an_answer_are_limited(url: str) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert reply(connect(url, request * 60 + last)).count(b"HTTP/1.1 200 OK") == 61
    assert reply(connect(url, request * 500 + last)).count(b"HTTP/1.1 200 OK") < 70


def test_a_body_that_does_not_arrive_in_time_is_a_408_and_the_connection_is_closed(url: str) -> None:
    head, _, body = reply(connect(url, HEAD + b'Content-Length: 50\r\n\r\n{"mo')).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head
    assert json.loads(body)["error"]["code"] == "body_timeout"


def test_a_body_that_is_cut_off_is_not_parsed(url: str) -> None:
    before = statuses(url).get("499", 0)
    connect(url, HEAD + b"Content-Length: 50\r\n\r\n[").close()
    wait_until(lambda: "499" in statuses(url) and statuses(url)["499"] > before)
    assert statuses(url)["499"] == before + 1


def test_a_body_in_many_small_parts_is_complete(url: str) -> None:
    data = json.dumps({"model": "other", "input": "a" * 1000}).encode()
    connection = connect(url, HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(data))
    for place in range(0, len(data), 100):
        connection.sendall(data[place : place + 100])
    assert reply(connection).startswith(b"HTTP/1.1 404 ")


def test_more_requests_than_allowed_are_refused_and_room_is_made_again(url: str) -> None:
    time.sleep(1)  # what other tests left open is closed by now
    held = [connect(url, HEAD + b"Content-Length: 50\r\n\r\n[") for _ in range(8)]
    wait_until(lambda: b" 503 " in reply(connect(url, ALIVE)))
    head, _, body = reply(connect(url, ALIVE)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert json.loads(body)["error"]["code"] == "too_many_connections"
    for connection in held:
        connection.close()
    wait_until(lambda: httpx.get(f"{url}/health/live").status_code == 200)


def test_connections_that_say_nothing_give_way_to_requests_the_oldest_first(tmp_path: Path) -> None:
    limits = ConnectionLimits(8, request_s=60)
    with serving(GatewayOptions("127.0.0.1:1", tmp_path / "serving.json"), limits) as url:
        silent = []
        for count in range(1, 9):
            silent.append(connect(url))
            wait_until(lambda expected=count: limits.open == expected)
        busy = connect(url, HEAD + b"Content-Length: 50\r\n\r\n[")  # the first silent one gives way
        assert silent[0].recv(1) == b""
        for _ in range(20):  # more than there are places: none is lost by being closed
            assert reply(connect(url, ALIVE)).startswith(b"HTTP/1.1 200 ")
        assert silent[1].recv(1) == b""
        assert limits.open <= 8
        silent[7].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[7].recv(1)
        busy.sendall(b" " * 48 + b"]")
        assert reply(busy).startswith(b"HTTP/1.1 400 ")
        for connection in silent:
            connection.close()
        wait_until(lambda: limits.open == 0)
    assert limits.waiting == {}


def test_a_client_that_does_not_read_its_answer_is_disconnected(tmp_path: Path) -> None:
    limits = ConnectionLimits(8, read_s=0.5)
    with (
        serving(GatewayOptions("127.0.0.1:1", tmp_path / "serving.json"), limits) as url,
        connect(url) as connection,
    ):
        connection.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(2_000):  # 80 MB: more than the buffers of both sides
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        wait_until(lambda: limits.open == 0)


def test_many_large_bodies_at_once_are_refused_but_small_ones_are_answered(url: str) -> None:
    """A body over 64 KB counts with what is above that: 36 KB of each here, and 1.6 MB may be held."""
    from embedtune.serve.gateway.bodies import Bodies
    from embedtune.serve.gateway.http_errors import RefusedError

    bodies = Bodies(100_000, 10)
    bodies.buffered = 1_600_000 - 10_000

    async def large() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * 90_000, "more_body": False}

    async def small() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * 60_000, "more_body": False}

    import asyncio

    with pytest.raises(RefusedError) as refused:
        asyncio.run(bodies.read(large))
    assert (refused.value.status, refused.value.code) == (503, "too_many_bodies")
    assert len(asyncio.run(bodies.read(small))) == 60_000
    assert bodies.buffered == 1_590_000
