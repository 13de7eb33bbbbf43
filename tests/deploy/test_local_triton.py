"""The local Triton outlives its starter, is switched, and is stopped; a small HTTP server stands in for it."""

import fcntl
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.deploy import local_triton as module
from embedtune.deploy.local_triton import LocalTriton
from embedtune.serve.triton.server import is_ready

STAND_IN = textwrap.dedent("""
    import http.server, pathlib, sys, time
    name = pathlib.Path(sys.argv[1]).name
    if name == "broken":
        sys.exit("cannot load the model")
    if name == "slow":
        time.sleep(60)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(name.encode())
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
""")


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def triton(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTriton]:
    monkeypatch.setattr(
        module, "_command", lambda path, port: [sys.executable, "-c", STAND_IN, str(path), str(port)]
    )
    made = LocalTriton(port, lambda name: tmp_path / name, 10, tmp_path / "state")
    yield made
    made.stop()


def answer(port: int) -> str:
    return urllib3.request("GET", f"http://127.0.0.1:{port}/v2/health/ready").data.decode()


def test_nothing_runs_at_first(triton: LocalTriton) -> None:
    assert triton.current() is None
    triton.stop()


def test_a_switch_replaces_what_is_running(triton: LocalTriton, port: int) -> None:
    for name in ("one", "two"):
        triton.restore(name)
        assert (triton.current(), answer(port)) == (name, name)
    triton.stop()
    assert triton.current() is None
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"http://127.0.0.1:{port}/", retries=False)


def test_it_outlives_the_process_that_started_it_and_another_one_finds_it(
    triton: LocalTriton, port: int, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
from embedtune.deploy import local_triton as local
local._command = lambda path, port: {[sys.executable, "-c", STAND_IN]!r} + [str(path), str(port)]
work = Path({str(tmp_path)!r})
local.LocalTriton({port}, lambda name: work / name, 10, work / "state").restore("one")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (triton.current(), answer(port)) == ("one", "one")


def test_a_failed_start_reports_the_reason_and_is_not_current(triton: LocalTriton) -> None:
    with pytest.raises(GateError, match=r"did not start with release broken(.|\n)*cannot load the model"):
        triton.restore("broken")
    assert triton.current() is None


def test_a_server_that_is_not_ready_in_time_is_stopped(triton: LocalTriton, port: int, tmp_path: Path) -> None:
    hasty = LocalTriton(port, triton.path_of, 1, tmp_path / "state")
    with pytest.raises(GateError, match="not ready after 1 s"):
        hasty.restore("slow")
    assert triton.current() is None


def test_a_port_of_another_program_is_left_alone(triton: LocalTriton, port: int) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", STAND_IN, "stranger", str(port)])
    try:
        while not is_ready(port):
            pass
        with pytest.raises(InputError, match=r"something else is listening(.|\n)*deploy\.port"):
            triton.restore("one")
        assert answer(port) == "stranger"
    finally:
        stranger.kill()
        stranger.wait()


def test_of_two_switches_at_once_one_is_refused_and_the_log_of_the_other_stays(
    triton: LocalTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It saw nothing running; then the other was faster.
    monkeypatch.setattr(LocalTriton, "stop", lambda self: None)
    triton.state.mkdir(parents=True)
    triton._file("log").write_text("the other's")
    with triton._file("lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is starting"):
            triton.restore("one")
    assert triton._file("log").read_text() == "the other's"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "cannot be read"),
        ("{", "is damaged"),
        ('{"release": "one", "pid": 1, "path": "/"}', "local_triton version 0"),
    ],
)
def test_an_unreadable_state_of_a_running_server_stops_a_switch(
    triton: LocalTriton, port: int, state: str | None, reason: str
) -> None:
    triton.restore("one")
    file = triton._file("json")
    good = file.read_text()
    file.unlink()
    if state is not None:
        file.write_text(state)
    said = rf"it is not known which release it serves(.|\n)*{reason}(.|\n)*fuser -k .*lock"
    for attempt in (triton.current, triton.stop, lambda: triton.restore("two")):
        with pytest.raises(ArtifactError, match=said):
            attempt()
    assert answer(port) == "one"
    file.write_text(good)
    assert triton.current() == "one"


def test_the_state_of_a_server_that_has_ended_does_not_matter(triton: LocalTriton) -> None:
    triton.restore("one")
    triton.stop()
    triton._file("json").write_text("{")
    assert triton.current() is None
    triton.restore("two")
    assert triton.current() == "two"
