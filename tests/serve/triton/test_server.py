"""How Triton is started: its command, the releases it accepts, and that it gets no variable it does not need."""

import http.server
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedtune.core.errors import InputError
from embedtune.serve.release.record import Release
from embedtune.serve.triton.installation import Installation, find_installation
from embedtune.serve.triton.server import Ports, TritonServer, require_runnable, server_command, server_environment
from tests.support.serving_world import release_record
from tests.support.waiting import wait_until

PORTS = Ports(18000, 18001, 18002, "127.0.0.2", "0.0.0.0", "127.0.0.3")
KEY = "k"


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., Installation]:
    def make(*backends: str, script: str = "exit 1") -> Installation:
        for name in backends:
            (tmp_path / "backends" / name).mkdir(parents=True)
        server = tmp_path / "tritonserver"
        server.write_text(f"#!/bin/sh\n{script}\n")
        server.chmod(0o755)
        return Installation(server, tmp_path / "backends", tmp_path / "caches", {"PATH": "/venv/bin"})

    return make


def a_release(path: Path, target: str = "python-cpu", **more: Any) -> Release:
    return Release(path, release_record(path / "none", target=target, **more))


def test_the_command_names_repository_backends_and_ports(
    installed: Callable[..., Installation], tmp_path: Path
) -> None:
    command = server_command(tmp_path / "models", installed("python"), PORTS, KEY)
    assert command[0] == str(tmp_path / "tritonserver")
    assert set(command[1:]) >= {
        f"--model-repository={tmp_path}/models",
        f"--backend-directory={tmp_path}/backends",
        "--http-address=127.0.0.2",
        "--http-port=18000",
        "--grpc-address=0.0.0.0",
        "--grpc-port=18001",
        "--metrics-address=127.0.0.3",
        "--metrics-port=18002",
        "--model-control-mode=explicit",
        "--strict-readiness=false",
    }
    assert not [option for option in command if "cache" in option]


def test_a_response_cache_gets_its_memory(installed: Callable[..., Installation], tmp_path: Path) -> None:
    command = server_command(tmp_path, installed("python"), PORTS, KEY, cache_mb=3)
    assert f"--cache-directory={tmp_path}/caches" in command
    assert "--cache-config=local,size=3145728" in command


@pytest.mark.parametrize(
    ("target", "backends", "missing"),
    [
        ("onnxruntime", ("python",), "onnxruntime"),
        ("tensorrt", ("python", "onnxruntime"), "tensorrt"),
        ("onnxruntime", ("onnxruntime",), "python"),
    ],
)
def test_a_release_for_another_kind_of_server_is_refused(
    installed: Callable[..., Installation],
    tmp_path: Path,
    target: str,
    backends: tuple[str, ...],
    missing: str,
) -> None:
    with pytest.raises(InputError, match=f"is for target {target}") as error:
        require_runnable(a_release(tmp_path, target), installed(*backends))
    assert error.value.got == f"{tmp_path}/tritonserver without {missing}"


def test_credentials_do_not_reach_triton(installed: Callable[..., Installation]) -> None:
    mine = {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "AWS_SECRET_ACCESS_KEY": "s",
        "EMBEDTUNE_API_KEY": "k",
        "OPENAI_API_KEY": "o",
        "NVIDIA_VISIBLE_DEVICES": "0",
    }
    assert server_environment(installed("python"), mine) == {
        "PATH": "/venv/bin",
        "HOME": "/home/me",
        "NVIDIA_VISIBLE_DEVICES": "0",
    }


def test_a_server_that_ends_reports_the_reason(installed: Callable[..., Installation], tmp_path: Path) -> None:
    script = 'echo "I fine"; echo "E0101 model_lifecycle.cc: failed to load model"; exit 1'
    server = TritonServer(tmp_path, installed("python", script=script), Ports(http=1), tmp_path / "log")
    with pytest.raises(InputError, match="Triton did not start") as error:
        server.start(20)
    assert error.value.got == "E0101 model_lifecycle.cc: failed to load model"
    assert not server.running()


def test_what_a_killed_server_leaves_running_is_ended_with_it(
    installed: Callable[..., Installation], tmp_path: Path
) -> None:
    # As the processes of its Python models after a SIGKILL.
    script = f"sleep 60 & echo $! > {tmp_path}/pid; exit 1"
    with pytest.raises(InputError, match="did not start"):
        TritonServer(tmp_path, installed("python", script=script), Ports(http=1), tmp_path / "log").start(20)
    # SIGKILL is delivered when the process next runs: on a busy machine after the call that sent it returned.
    wait_until(lambda: has_ended(int((tmp_path / "pid").read_text())))


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_server_that_is_never_ready_is_ended(installed: Callable[..., Installation], tmp_path: Path) -> None:
    server = TritonServer(tmp_path, installed("python", script="exec sleep 60"), Ports(http=1), tmp_path / "log")
    with pytest.raises(InputError, match="did not start"):
        server.start(0.3)
    assert not server.running()


def test_readiness_is_checked_at_the_address_where_it_listens(
    installed: Callable[..., Installation], tmp_path: Path
) -> None:
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    installation = installed("python")
    with http.server.HTTPServer(("127.0.0.2", 0), Ready) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        port = listening.server_address[1]
        for address, ready in (("127.0.0.2", True), ("127.0.0.1", False)):
            where = Ports(http=port, http_address=address)
            assert TritonServer(tmp_path, installation, where, None).ready() is ready
        listening.shutdown()


def test_an_installed_tritonserver_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "opt" / "bin" / "tritonserver"
    server.parent.mkdir(parents=True)
    server.touch(mode=0o755)
    (tmp_path / "opt" / "backends" / "onnxruntime").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(server.parent))
    found = find_installation(tmp_path / "cache")
    assert found == Installation(server, tmp_path / "opt" / "backends", tmp_path / "opt" / "caches", {})
    assert found.has_backend("onnxruntime")
    assert not found.has_backend("tensorrt")
    assert not (tmp_path / "cache").exists()


def test_without_a_package_index_the_error_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(InputError, match="Triton cannot be installed into") as error:
        find_installation(tmp_path)
    assert "package index" in str(error.value.fix)
    assert not list(tmp_path.glob("triton-*/.complete"))
