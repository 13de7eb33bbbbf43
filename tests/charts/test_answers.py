"""The result of `helm test` for an endpoint that answers correctly, incorrectly, or not at all."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.charts.conftest import CHART

Answer = Callable[[int, str], list[float]]


@contextmanager
def endpoint(answer: Answer, key: str = "", *, healthy: bool = True, opens_after_s: float = 0.0) -> Iterator[str]:
    def granted(authorization: str) -> int:
        return 200 if not key or authorization == f"Bearer {key}" else 401

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self.reply({"status": "ok"}, 200 if healthy else 503)
            else:
                self.reply({"data": [{"id": "embedtune"}]}, granted(self.headers["Authorization"]))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body["model"] == "embedtune"
            vectors = [{"embedding": answer(*pair)} for pair in enumerate(body["input"])]
            self.reply({"data": vectors}, granted(self.headers["Authorization"]))

        def reply(self, body: object, status: int) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    def open_and_serve() -> None:
        time.sleep(opens_after_s)
        server.server_activate()
        server.serve_forever()

    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.server_bind()  # connections are refused until it listens
    threading.Thread(target=open_and_serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run(url: str, key: str = "", patience: str = "PATIENCE_S = 30.0") -> subprocess.CompletedProcess[str]:
    variables = {"ENDPOINT": url, "EMBEDTUNE_API_KEY": key, "PATH": os.environ["PATH"]}
    code = (CHART / "files/answers.py").read_text()
    assert "PATIENCE_S = 30.0" in code
    command = [sys.executable, "-c", code.replace("PATIENCE_S = 30.0", patience)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def by_length(_: int, text: str) -> list[float]:
    return [0.6, 0.8] if len(text) > 40 else [0.8, 0.6]


def test_a_correct_endpoint_passes_with_its_key() -> None:
    with endpoint(by_length, key="k") as url:
        done = run(url, "k")
    assert (done.returncode, done.stdout) == (0, "embedtune answers with 2 dimensions\n"), done.stderr


def test_a_wrong_key_fails() -> None:
    with endpoint(by_length, key="k") as url:
        done = run(url, "other")
    assert done.returncode == 1
    assert "401" in done.stderr


def test_where_only_clients_have_keys_it_passes_if_the_endpoint_is_healthy_and_asks_for_one() -> None:
    with endpoint(by_length, key="of a client") as url:
        done = run(url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "health: ok; it asks for a key, and this test has none (gateway.apiKeySecret)\n"
    with endpoint(by_length, key="of a client", healthy=False) as url:
        done = run(url)
    assert done.returncode == 1
    assert "503" in done.stderr


def test_vectors_that_are_not_normalised_fail() -> None:
    with endpoint(lambda *_: [3.0, 4.0]) as url:
        done = run(url)
    assert done.returncode == 1
    assert "length 5.0; expected 1" in done.stderr


def test_vectors_that_depend_on_the_position_of_a_text_fail() -> None:
    with endpoint(lambda place, _: [0.6, 0.8] if place else [0.8, 0.6]) as url:
        done = run(url)
    assert done.returncode == 1
    assert "another order" in done.stderr


def test_a_connection_is_tried_again_since_policies_know_a_new_pod_only_after_a_moment() -> None:
    with endpoint(by_length, opens_after_s=2) as url:
        done = run(url)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unreachable_endpoint_fails() -> None:
    done = run("http://127.0.0.1:9", patience="PATIENCE_S = 1.0")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
