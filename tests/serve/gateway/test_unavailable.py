"""When Triton is busy, slow or unavailable, the gateway answers 429, 504 or 503 with Retry-After."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.release.build import build_release
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.server import free_ports
from tests.support.gateway_server import serving
from tests.support.triton_server import Triton, running


class TestFullQueue:
    @pytest.fixture(scope="class")
    def narrow(
        self, engine: Path, installation: Installation, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[str]:
        """A gateway whose Triton queues two requests and accepts two texts per request."""
        folder = tmp_path_factory.mktemp("narrow")
        release = build_release(engine, folder, ServeSettings(max_batch_size=2, max_queue_size=2))
        with (
            running(release, installation, folder / "log") as triton,
            serving(GatewayOptions(f"127.0.0.1:{triton.grpc_port}")) as url,
        ):
            yield url

    def test_requests_beyond_the_queue_get_429_with_retry_after_and_the_others_their_vectors(
        self, narrow: str
    ) -> None:
        with httpx.Client(base_url=narrow, timeout=60) as http, ThreadPoolExecutor(48) as pool:
            request = {"model": "embedtune", "input": ["press", "kiln"]}
            expected = http.post("/v1/embeddings", json=request).json()["data"]

            def send(_: int) -> int:
                reply = http.post("/v1/embeddings", json=request)
                if reply.status_code == 200:
                    for item, good in zip(reply.json()["data"], expected, strict=True):
                        np.testing.assert_allclose(item["embedding"], good["embedding"], atol=1e-6)
                else:
                    assert int(reply.headers["Retry-After"]) >= 1
                    error = reply.json()["error"]
                    assert (error["type"], error["param"], error["code"]) == (
                        "requests",
                        None,
                        "rate_limit_exceeded",
                    )
                return reply.status_code

            statuses = Counter(pool.map(send, range(480)))
            assert set(statuses) == {200, 429}
            assert http.post("/v1/embeddings", json=request).status_code == 200

    def test_openais_client_waits_and_retries(self, narrow: str) -> None:
        openai = pytest.importorskip("openai")
        client = openai.OpenAI(base_url=f"{narrow}/v1", api_key="none", max_retries=8)
        with ThreadPoolExecutor(12) as pool:
            replies = list(
                pool.map(lambda _: client.embeddings.create(model="embedtune", input="press"), range(60))
            )
        assert {len(reply.data[0].embedding) for reply in replies} == {32}


def test_without_triton_the_gateway_answers_503_with_retry_after() -> None:
    with serving(GatewayOptions(f"127.0.0.1:{free_ports(1)[0]}")) as url:
        reply = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "a"}, timeout=30)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        assert reply.json()["error"] == {
            "message": "the model is not available at the moment",
            "type": "server_error",
            "param": None,
            "code": "unavailable",
        }
        assert (httpx.get(f"{url}/health").status_code, httpx.get(f"{url}/health/live").status_code) == (503, 200)


def test_a_slow_answer_of_triton_is_a_504(triton: Triton) -> None:
    with serving(GatewayOptions(f"127.0.0.1:{triton.grpc_port}", timeout_s=0.0001)) as url:
        reply = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
