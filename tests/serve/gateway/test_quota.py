"""What counts against the quota of an API key: also work whose result the client does not wait for."""

import contextlib

import httpx
import pytest

from tests.support.gateway_server import key, samples, serving
from tests.support.triton_server import Triton, options
from tests.support.waiting import wait_until

QUOTA = 100  # tokens per minute: less than any machine reads before the client leaves
LONG = " ".join(["press kiln drum valve pump"] * 50)


@pytest.fixture
def url(triton: Triton):
    with serving(options(triton, api_key=key("k", quota=QUOTA))) as address:
        yield address


def ask(url: str, texts: list[str], timeout_s: float = 30.0) -> int:
    body = {"model": "embedtune", "input": texts}
    return httpx.post(
        f"{url}/v1/embeddings", json=body, headers={"Authorization": "Bearer k"}, timeout=timeout_s
    ).status_code


def test_what_was_read_for_a_client_that_has_left_is_counted(url: str) -> None:
    with contextlib.suppress(httpx.ReadTimeout):
        ask(url, [f"{LONG} {number}" for number in range(1500)], 0.5)
    wait_until(lambda: samples(url).get(("embedtune_gateway_key_requests_total", "default", "499"), 0) == 1)
    assert samples(url)["embedtune_gateway_key_tokens_total", "default"] > QUOTA
    assert ask(url, ["press"]) == 429


def test_what_was_read_before_a_text_was_refused_is_counted(url: str) -> None:
    assert ask(url, [f"{LONG} {number}" for number in range(300)] + ["\0"]) == 400
    tokens = samples(url)["embedtune_gateway_key_tokens_total", "default"]
    assert tokens > QUOTA
    assert ask(url, ["press"]) == 429


def test_each_token_is_counted_once(url: str) -> None:
    body = {"model": "embedtune", "input": [f"press {number}" for number in range(100)]}
    answer = httpx.post(f"{url}/v1/embeddings", json=body, headers={"Authorization": "Bearer k"}).json()
    assert samples(url)["embedtune_gateway_key_tokens_total", "default"] == answer["usage"]["total_tokens"]
