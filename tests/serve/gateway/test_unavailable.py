"""When Triton is busy, slow or unavailable, the gateway answers 429, 504 or 503 with Retry-After."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.release.build import build_release
from embedtune.serve.replica.serving import ProvenRelease, Serving, write_serving
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.server import free_ports
from tests.support.gateway_server import serving
from tests.support.triton_endpoint import inputs
from tests.support.triton_server import Triton, asking, options, running
from tests.support.waiting import wait_until


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
            serving(options(triton)) as url,
        ):
            yield url

    def test_requests_beyond_the_queue_get_429_with_retry_after_and_the_others_their_vectors(
        self, narrow: str
    ) -> None:
        with httpx.Client(base_url=narrow, timeout=60) as http, ThreadPoolExecutor(48) as pool:
            request = {"model": "embedtune", "input": ["press " * 200, "kiln " * 200]}
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

            statuses: Counter[int] = Counter()
            while (
                len(statuses) < 2 and statuses.total() < 4800
            ):  # a busy machine sends too slowly to fill the queue
                statuses.update(pool.map(send, range(480)))
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


def unavailable(given: GatewayOptions) -> str:
    """Return the message with which a gateway refuses a request for now."""
    with serving(given) as url:
        reply = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "a"}, timeout=30)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        error = reply.json()["error"]
        assert (error["type"], error["param"], error["code"]) == ("server_error", None, "unavailable")
        assert (httpx.get(f"{url}/health").status_code, httpx.get(f"{url}/health/live").status_code) == (503, 200)
    return str(error["message"])


def test_without_triton_the_gateway_answers_503_with_retry_after(tmp_path: Path) -> None:
    address, file = f"127.0.0.1:{free_ports(1)[0]}", tmp_path / "serving.json"
    assert unavailable(GatewayOptions(address, file)) == ("no release is live: the server has not started yet")
    write_serving(file, Serving(written=time.monotonic()))
    assert unavailable(GatewayOptions(address, file)) == "no release is live: waiting for the first one"
    proven = (ProvenRelease(id="0" * 64, model="gone"),)
    write_serving(file, Serving(written=time.monotonic(), live="0" * 64, proven=proven))
    assert unavailable(GatewayOptions(address, file)) == "the model is not available at the moment"


def test_a_slow_answer_of_triton_is_a_504(triton: Triton) -> None:
    with serving(options(triton, timeout_s=0.0001)) as url:
        reply = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")


def pending(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("embedtune_gateway_pending_tokens "))


def test_the_work_of_a_client_that_has_left_is_dropped(triton: Triton) -> None:
    request = {"model": "embedtune", "input": ["the seal of the pump " * 40] * 2048}
    with serving(options(triton)) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/embeddings", json=request, timeout=0.3)
        wait_until(lambda: pending(url) == 0)
        # It was not answered: 499 is what the log and the metrics call it.
        release = triton.release.id[:16]
        counted = f'{{model="embedtune",release="{release}",route="/v1/embeddings",status="499"}} 1.0'
        wait_until(lambda: counted in httpx.get(f"{url}/metrics").text)
        assert 'route="/v1/embeddings",status="200"' not in httpx.get(f"{url}/metrics").text


def test_triton_drops_a_request_from_its_queue_when_its_time_is_over(triton: Triton) -> None:
    def ask(timeout_us: int | None) -> str:
        """Return the error of a request, empty if it was answered."""
        with asking(triton) as client:
            try:
                client.infer(triton.model, inputs(["the seal of the pump " * 40] * 32), timeout=timeout_us)
            except InferenceServerException as error:
                return str(error.message())
            return ""

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, [None] * 12 + [1000] * 4))
    assert set(found[:12]) == {""}
    assert any("Request timeout expired" in message for message in found[12:]), found[12:]
