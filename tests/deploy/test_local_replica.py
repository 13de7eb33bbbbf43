"""The local replica outlives its starter and is stopped on request; a small HTTP server stands in for it."""

import fcntl
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from embedtune.core.errors import ArtifactError, ConfigError, GateError, InputError
from embedtune.deploy.local_replica import LocalReplica
from embedtune.serve.triton.server import is_ready

STAND_IN = textwrap.dedent("""
    import http.server, os, sys, time
    name = os.environ["EMBEDTUNE_RELEASES"]
    if name == "broken":
        sys.exit("cannot start")
    if name == "slow":
        time.sleep(60)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(name.encode())
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""")


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def replica(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalReplica]:
    monkeypatch.setattr(LocalReplica, "_command", lambda self: [sys.executable, "-c", STAND_IN, str(self.port)])
    made = LocalReplica(port, 10, tmp_path / "state")
    yield made
    made.stop()


def start(replica: LocalReplica, store: str) -> None:
    replica.ensure(store, {"EMBEDTUNE_RELEASES": store})


def answer(port: int) -> str:
    return urllib3.request("GET", f"http://127.0.0.1:{port}/v2/health/ready").data.decode()


def test_nothing_runs_at_first(replica: LocalReplica) -> None:
    assert replica.follows() is None
    replica.stop()


def test_it_is_started_once_and_stopped(replica: LocalReplica, port: int) -> None:
    start(replica, "/one")
    assert (replica.follows(), answer(port)) == ("/one", "/one")
    process = replica._file("json").read_text()
    start(replica, "/one")
    assert replica._file("json").read_text() == process
    replica.stop()
    assert replica.follows() is None
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"http://127.0.0.1:{port}/", retries=False)


def test_one_that_follows_another_store_is_left_alone(replica: LocalReplica, port: int) -> None:
    start(replica, "/one")
    with pytest.raises(ConfigError, match=r"releases of another store(.|\n)*/one(.|\n)*/two(.|\n)*release stop"):
        start(replica, "/two")
    assert answer(port) == "/one"


def test_it_outlives_the_process_that_started_it_and_another_one_finds_it(
    replica: LocalReplica, port: int, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
from embedtune.deploy.local_replica import LocalReplica
LocalReplica._command = lambda self: {[sys.executable, "-c", STAND_IN, str(port)]!r}
LocalReplica({port}, 10, Path({str(tmp_path)!r}) / "state").ensure("/one", {{"EMBEDTUNE_RELEASES": "/one"}})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (replica.follows(), answer(port)) == ("/one", "/one")


def test_a_failed_start_reports_the_reason(replica: LocalReplica) -> None:
    with pytest.raises(GateError, match=r"Triton did not start(.|\n)*cannot start"):
        start(replica, "broken")
    assert replica.follows() is None


def test_a_server_that_is_not_ready_in_time_is_stopped(replica: LocalReplica, port: int, tmp_path: Path) -> None:
    hasty = LocalReplica(port, 1, tmp_path / "state")
    with pytest.raises(GateError, match="not ready after 1 s"):
        start(hasty, "slow")
    assert replica.follows() is None


def test_a_port_of_another_program_is_left_alone(replica: LocalReplica, port: int) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(port)], env={**os.environ, "EMBEDTUNE_RELEASES": "stranger"}
    )
    try:
        while not is_ready(port):
            pass
        with pytest.raises(InputError, match=r"something else is listening(.|\n)*deploy\.port"):
            start(replica, "/one")
        assert answer(port) == "stranger"
    finally:
        stranger.kill()
        stranger.wait()


def test_of_two_starts_at_once_one_is_refused_and_the_log_of_the_other_stays(
    replica: LocalReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It saw nothing running; then the other was faster.
    monkeypatch.setattr(LocalReplica, "follows", lambda self: None)
    replica.state.mkdir(parents=True)
    replica._file("log").write_text("the other's")
    with replica._file("lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is starting"):
            start(replica, "/one")
    assert replica._file("log").read_text() == "the other's"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "cannot be read"),
        ("{", "is damaged"),
        ('{"release": "one", "pid": 1, "path": "/"}', "local_replica version 0"),
    ],
)
def test_an_unreadable_state_of_a_running_server_stops_everything(
    replica: LocalReplica, port: int, state: str | None, reason: str
) -> None:
    start(replica, "/one")
    file = replica._file("json")
    good = file.read_text()
    file.unlink()
    if state is not None:
        file.write_text(state)
    said = rf"it is not known which store it follows(.|\n)*{reason}(.|\n)*fuser -k .*lock"
    for attempt in (replica.follows, replica.stop, lambda: start(replica, "/two")):
        with pytest.raises(ArtifactError, match=said):
            attempt()
    assert answer(port) == "/one"
    file.write_text(good)
    assert replica.follows() == "/one"


def test_the_state_of_a_server_that_has_ended_does_not_matter(replica: LocalReplica) -> None:
    start(replica, "/one")
    replica.stop()
    replica._file("json").write_text("{")
    assert replica.follows() is None
    start(replica, "/two")
    assert replica.follows() == "/two"
