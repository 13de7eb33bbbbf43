"""After a deployment, the commands on the screen work as they are printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from embedtune.cli.served import how_to_use
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.serve.triton.server import free_ports, is_ready
from tests.deploy.test_deploy_local import Place, place, pytestmark  # noqa: F401 - a fixture and its condition
from tests.support.tiny_model import TINY_DIMENSION
from tests.support.waiting import wait_until

BIN = Path(sys.executable).parent


def config(**deploy: object) -> Config:
    return parse_config({"contract": {"base_model": "x", "dimensions": [4]}, "deploy": deploy})


def commands(lines: str) -> list[str]:
    return [line.strip() for line in lines.splitlines() if line.startswith("  ")]


def shell(command: str, **variables: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_printed_commands_ask_triton_start_a_gateway_ask_it_and_stop(place: Place) -> None:  # noqa: F811
    engine = place.engine("one", 0)
    place.command("release", "list", engine=engine)  # writes the configuration
    arguments = ["deploy", *place.options(engine), "--config", str(place.work / "config.yaml")]
    key = {"EMBEDTUNE_API_KEY": "sesame"}
    program = str(BIN / "embedtune")
    done = subprocess.run([program, *arguments], env=os.environ | key, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sesame" not in done.stderr
    triton, gateway, openai, stop = commands(done.stderr)
    (output,) = [one for one in json.loads(shell(triton))["outputs"] if one["name"] == "EMBEDDING"]
    assert output["shape"] == [1, TINY_DIMENSION]
    (port,) = free_ports(1)  # on this machine, 8080 may be in use
    environment = os.environ | key | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    running = subprocess.Popen(["bash", "-c", f"exec {gateway} --port {port}"], env=environment)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        answer = json.loads(shell(openai.replace(":8080/", f":{port}/"), **key))
    finally:
        running.terminate()
        running.wait(30)
    assert len(answer["data"][0]["embedding"]) == TINY_DIMENSION
    shell(stop)
    assert not is_ready(place.port)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_without_a_key_there_is_none_and_default_ports_need_no_options() -> None:
    lines = list(how_to_use(config(), keyed=False, candidate=False))
    assert not any("EMBEDTUNE_API_KEY" in line for line in lines)
    assert "  embedtune gateway" in lines
    assert "  embedtune release stop" in lines


def test_a_candidate_is_asked_by_its_name() -> None:
    lines = list(how_to_use(config(), keyed=False, candidate=True))
    (ask,) = [line for line in lines if "curl" in line]
    assert '"model": "embedtune-query@candidate"' in ask


def test_in_kubernetes_the_way_to_the_gateway_is_shown() -> None:
    there = config(target="kubernetes", namespace="search", deployment="vectors")
    forward, ask, stop = commands("\n".join(how_to_use(there, keyed=True, candidate=False)))
    assert forward == "kubectl -n search port-forward service/vectors 8080"
    assert ask.startswith(
        'curl -s http://127.0.0.1:8080/v1/embeddings -H "Authorization: Bearer $EMBEDTUNE_API_KEY"'
    )
    assert stop == "kubectl -n search scale deployment vectors --replicas 0"


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [("https://vectors.example/", ["https://vectors.example/v1/embeddings"]), ("grpc://x:1", [])],
)
def test_an_endpoint_of_the_configuration_is_asked_itself(endpoint: str, asked: list[str]) -> None:
    lines = list(how_to_use(config(target="kubernetes", endpoint=endpoint), keyed=False, candidate=False))
    assert lines[0] == f"endpoint: {endpoint}"
    assert [line.split()[2] for line in lines[1:]] == asked
