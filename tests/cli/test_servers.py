"""`serve` and `local-llm`: what is missing is said before anything is installed or promised."""

import socket
import sys

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.serve.triton import installation


def test_a_taken_port_is_named_before_triton_is_installed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "is_installed", lambda: False)
    monkeypatch.setattr(installation, "find_installation", lambda: pytest.fail("installed"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(cli, ["serve", "--grpc-port", port, "--work", str(tmp_path)])
    assert done.exit_code == 2
    assert port in done.output and "--grpc-port" in done.output


def test_a_local_llm_without_its_package_promises_no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    done = CliRunner().invoke(cli, ["local-llm", "qwen.gguf"])
    assert done.exit_code == 2
    assert "embedtune[local-llm]" in done.output and "base_url" not in done.output
