"""Requests and tokens are counted by key and by release."""

from collections import Counter
from pathlib import Path

import httpx

from embedtune.serve.gateway.keys import key_hash
from embedtune.serve.gateway.metrics import REMEMBERED, Asked, Metrics
from tests.support.gateway_server import samples, serving
from tests.support.triton_server import Triton, options


def test_requests_and_tokens_are_counted_by_key(triton: Triton, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("".join(f"{name} sha256:{key_hash(name).hex()}\n" for name in ("search", "index")))
    with serving(options(triton, keys_file=file)) as url:
        tokens = Counter[str]()
        for name, count in (("search", 1), ("index", 3), ("index", 2)):
            request = {"model": "embedtune", "input": ["press"] * count}
            reply = httpx.post(f"{url}/v1/embeddings", json=request, headers={"Authorization": f"Bearer {name}"})
            tokens[name] += reply.json()["usage"]["total_tokens"]
        found = samples(url)
    for name, requests in (("search", 1), ("index", 2)):
        assert found["embedtune_gateway_key_requests_total", name, "200"] == requests
        assert found["embedtune_gateway_key_tokens_total", name] == tokens[name] > 0


def test_requests_texts_tokens_and_seconds_name_the_model_and_the_release(triton: Triton) -> None:
    with serving(options(triton)) as url:
        for model in ("embedtune-query", "embedtune-query@" + triton.release.id[:16], "embedtune"):
            reply = httpx.post(f"{url}/v1/embeddings", json={"model": model, "input": "press"})
        httpx.post(f"{url}/embed", json={"inputs": "press"})
        httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune@0123456789abcdef", "input": "press"})
        found = samples(url)
    release = reply.headers["x-embedtune-release"][:16]
    for name, count in (("embedtune-query", 2), ("embedtune", 1)):
        assert found["embedtune_gateway_requests_total", name, release, "/v1/embeddings", "200"] == count
        assert found["embedtune_gateway_request_seconds_count", name, release, "/v1/embeddings"] == count
    assert found["embedtune_gateway_requests_total", "embedtune", release, "/embed", "200"] == 1
    assert found["embedtune_gateway_texts_total", "query", "embedtune-query", release] == 2
    assert (
        found["embedtune_gateway_tokens_total", "embedtune", release] == 2 * reply.json()["usage"]["total_tokens"]
    )
    # The names are those that the gateway serves: a client cannot make series.
    assert found["embedtune_gateway_requests_total", "", "", "/v1/embeddings", "404"] == 1


def test_only_the_releases_that_were_asked_last_have_series() -> None:
    metrics = Metrics()
    for number in (*range(REMEMBERED + 2), 2):
        asked = Asked("/v1/embeddings", "embedtune", f"release{number}")
        metrics.embedded(asked, "query", 1, 5)
        metrics.answered(asked, "200", 0.1)
    metrics.answered(Asked("/v1/embeddings"), "400", 0.1)
    text = metrics.render().decode()
    named = {f"release{number}" for number in range(REMEMBERED + 2) if f'release="release{number}"' in text}
    assert named == {f"release{number}" for number in range(2, REMEMBERED + 2)}
    again = 'embedtune_gateway_tokens_total{model="embedtune",release="release2"} 10.0'
    assert again in text
    assert 'embedtune_gateway_requests_total{model="",release="",route="/v1/embeddings",status="400"} 1.0' in text
