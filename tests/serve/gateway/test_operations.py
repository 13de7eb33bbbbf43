"""The gateway's other routes (models, health, metrics, OpenAPI), its start and its shutdown."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.serve.triton.server import free_ports
from tests.support.gateway_server import key, samples, serving
from tests.support.triton_server import Triton, options
from tests.support.waiting import wait_until

REQUEST = {"model": "embedtune-query", "input": ["press", "kiln"]}


def test_models_lists_the_name_its_two_suffixed_forms_and_the_releases(http: httpx.Client, triton: Triton) -> None:
    reply = http.get("/v1/models").json()
    assert reply["object"] == "list"
    assert [model["id"] for model in reply["data"]] == [
        "embedtune",
        "embedtune-query",
        "embedtune-passage",
        f"embedtune@{triton.release.id[:16]}",
    ]
    assert {model["object"] for model in reply["data"]} == {"model"}


def test_health_says_whether_the_model_answers(http: httpx.Client) -> None:
    assert (http.get("/health").status_code, http.get("/health").json()) == (200, {"status": "ok"})
    assert http.get("/health/live").status_code == 200


def test_the_openapi_document_describes_the_request_and_every_refusal(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    operation = document["paths"]["/v1/embeddings"]["post"]
    assert set(operation["responses"]) == {
        "200",
        "400",
        "401",
        "404",
        "408",
        "413",
        "429",
        "503",
        "504",
        "default",
    }
    request = operation["requestBody"]["content"]["application/json"]["schema"]
    assert request["required"] == ["input", "model"]
    assert set(request["properties"]) == {
        "input",
        "model",
        "encoding_format",
        "embedding_type",
        "dimensions",
        "input_type",
        "truncate",
    }
    openai = {"/v1/embeddings", "/v1/models", "/v1/models/{name}"}
    others = {"/embed", "/info", "/tokenize", "/v1/health/live", "/v1/health/ready", "/v1/metadata"}
    others |= {"/v1/feedback"}
    assert set(document["paths"]) == openai | others | {"/health", "/health/live", "/metrics"}


def test_an_answer_matches_the_openapi_document(http: httpx.Client) -> None:
    from embedtune.serve.gateway.protocol import EmbeddingList, ErrorBody

    for encoding in ("float", "base64"):
        text = http.post("/v1/embeddings", json={**REQUEST, "encoding_format": encoding}).text
        assert len(EmbeddingList.model_validate_json(text, strict=True).data) == 2
    ErrorBody.model_validate_json(http.post("/v1/embeddings", json={}).text, strict=True)


def test_metrics_count_requests_texts_tokens_and_seconds(triton: Triton) -> None:
    with serving(options(triton, api_key=key("k"))) as url:
        tokens = 0
        for number in range(3):
            request = {"model": "embedtune", "input": ["press"] * (number + 1)}
            if number == 2:
                request["input_type"] = "query"
            reply = httpx.post(f"{url}/v1/embeddings", json=request, headers={"Authorization": "Bearer k"})
            tokens += reply.json()["usage"]["total_tokens"]
        httpx.post(f"{url}/v1/embeddings", json={}, headers={"Authorization": "Bearer k"})
        httpx.post(f"{url}/v1/embeddings", json={})
        for number in range(5):
            httpx.get(f"{url}/wp-admin/{number}")
        found = samples(url)
    requests, seconds = "embedtune_gateway_requests_total", "embedtune_gateway_request_seconds"
    named = ("embedtune", triton.release.id[:16])
    assert {key: value for key, value in found.items() if key[0] == requests} == {
        (requests, *named, "/v1/embeddings", "200"): 3,
        (requests, "", "", "/v1/embeddings", "400"): 1,  # refused before it was read which model was meant
        (requests, "", "", "other", "401"): 6,  # refused before the route is looked up: one series for all paths
    }
    assert found["embedtune_gateway_texts_total", "passage", *named] == 3
    assert found["embedtune_gateway_texts_total", "query", *named] == 3
    assert found["embedtune_gateway_tokens_total", *named] == tokens
    assert found["embedtune_gateway_requests_in_progress",] == 1  # the request for the metrics
    assert found[f"{seconds}_count", *named, "/v1/embeddings"] == 3
    assert 0 < found[f"{seconds}_sum", *named, "/v1/embeddings"] < 60
    assert found[f"{seconds}_bucket", "+Inf", *named, "/v1/embeddings"] == 3
    assert found["process_resident_memory_bytes",] > 10_000_000


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m embedtune.serve.gateway`; yield the process and its address once it listens."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "embedtune.serve.gateway", f"--port={port}", *arguments]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{url}/health/live")
                break
            except httpx.ConnectError:
                assert running.poll() is None, running.stdout and running.stdout.read()
                time.sleep(0.1)
        yield running, url
    finally:
        running.kill()
        running.wait()


def test_after_sigterm_health_is_503_and_no_request_is_dropped_while_it_drains(
    triton: Triton,
) -> None:
    statuses: list[tuple[int, str | None]] = []
    with process(f"--triton=127.0.0.1:{triton.grpc_port}", f"--serving={triton.serving.parent}", "--drain=4") as (
        running,
        url,
    ):
        assert httpx.get(f"{url}/health").status_code == 200
        ended = threading.Event()

        def send(_: int) -> None:
            while not ended.is_set():
                reply = httpx.post(f"{url}/v1/embeddings", json=REQUEST, timeout=30)
                statuses.append((reply.status_code, reply.headers.get("Connection")))

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(send, number) for number in range(8)]
            wait_until(lambda: statuses)
            before = len(statuses)
            running.send_signal(signal.SIGTERM)
            started = time.monotonic()
            wait_until(lambda: httpx.get(f"{url}/health").status_code == 503)
            assert httpx.get(f"{url}/health").json() == {"status": "draining"}
            time.sleep(1.5)
            ended.set()  # by now load balancers send nothing; everything sent earlier is answered
            assert running.wait(30) == 0
            seconds = time.monotonic() - started
            for client in clients:
                client.result()  # no refused or reset connection, no answer cut off
    assert 4 <= seconds < 20
    assert len(statuses) > before > 0
    assert {status for status, _ in statuses} == {200}
    assert statuses[0][1] is None
    assert statuses[-1][1] == "close"


def test_a_request_in_progress_is_finished_even_without_draining(triton: Triton) -> None:
    texts = ["the seal of the pump " * 40] * 256
    with process(f"--triton=127.0.0.1:{triton.grpc_port}", f"--serving={triton.serving.parent}", "--drain=0") as (
        running,
        url,
    ):
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(
                httpx.post, f"{url}/v1/embeddings", json={"model": "embedtune", "input": texts}, timeout=60
            )
            while samples(url)["embedtune_gateway_requests_in_progress",] < 2 and not reply.done():
                pass
            running.send_signal(signal.SIGTERM)
            assert len(reply.result().json()["data"]) == 256
        assert running.wait(30) == 0


def test_ctrl_c_stops_it_without_draining(triton: Triton) -> None:
    with process(f"--triton=127.0.0.1:{triton.grpc_port}", f"--serving={triton.serving.parent}", "--drain=60") as (
        running,
        url,
    ):
        assert httpx.get(f"{url}/health").status_code == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0


def test_address_and_key_come_from_the_environment_and_the_key_is_not_printed(triton: Triton) -> None:
    environment = {
        "EMBEDTUNE_TRITON": f"127.0.0.1:{triton.grpc_port}",
        "EMBEDTUNE_SERVING": str(triton.serving.parent),
        "EMBEDTUNE_API_KEY": "s3cret",
    }
    with process("--drain=0", **environment) as (running, url):
        assert httpx.post(f"{url}/v1/embeddings", json=REQUEST).status_code == 401
        reply = httpx.post(f"{url}/v1/embeddings", json=REQUEST, headers={"Authorization": "Bearer s3cret"})
        assert reply.status_code == 200
        running.terminate()
        printed, _ = running.communicate(timeout=20)
    assert f"listening on {url}" in printed
    assert "key=default method=POST route=/v1/embeddings status=200" in printed
    assert "key=anybody method=POST route=other status=401" in printed
    assert "press" not in printed
    assert "s3cret" not in printed


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--max-inputs=0"], 2, "max_inputs: Input should be greater than or equal to 1"),
        (["--model=No Name"], 2, "model_name: String should match pattern"),
        (["--token-ids={}/nowhere"], 2, "nowhere is not a table of token ids"),
        (["--playground={}"], 2, "is not a playground"),
        (["--port={port}"], 2, "the gateway cannot listen on 127.0.0.1:{port}"),
        (["--port=0", "--metrics-port={port}"], 2, "choose another one with --metrics-port"),
        (["--keys={}/nowhere"], 2, "nowhere cannot be read"),
    ],
)
def test_a_failure_to_start_is_one_line_on_stderr(
    triton: Triton, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    given = [text.format(tmp_path, port=triton.http_port) for text in arguments]
    command = [sys.executable, "-m", "embedtune.serve.gateway", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert message.format(tmp_path, port=triton.http_port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_a_blank_key_is_refused_at_start(key: str) -> None:
    command = [sys.executable, "-m", "embedtune.serve.gateway", "--port=0"]
    environment = {**os.environ, "EMBEDTUNE_API_KEY": key}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2
    assert "the API key is empty" in done.stderr


def test_a_key_with_a_trailing_newline_is_the_key_without_it(triton: Triton) -> None:
    with process("--drain=0", f"--triton=127.0.0.1:{triton.grpc_port}", EMBEDTUNE_API_KEY="s3cret\n") as (_, url):
        reply = httpx.get(f"{url}/v1/models", headers={"Authorization": "Bearer s3cret"})
        assert reply.status_code == 200


def test_an_answer_carries_the_clients_request_id_or_a_new_one(http: httpx.Client) -> None:
    assert http.get("/health", headers={"X-Request-Id": "trace-7"}).headers["X-Request-Id"] == "trace-7"
    given = ("", "a b", "x" * 99)
    made = [http.get("/health", headers={"X-Request-Id": wrong}).headers["X-Request-Id"] for wrong in given]
    assert len({*made}) == 3
    assert all(len(number) == 16 for number in made)


def test_the_subcommand_of_embedtune_is_the_same_gateway(triton: Triton) -> None:
    done = CliRunner().invoke(cli, ["gateway", f"--port={triton.http_port}"])
    assert done.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{triton.http_port}" in done.output
    assert "the port is taken by another process" in done.output
