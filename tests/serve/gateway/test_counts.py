"""Requests and tokens are counted by key and by release."""

from collections import Counter
from pathlib import Path

import httpx

from embedtune.serve.gateway.keys import key_hash
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


def test_requests_are_counted_by_the_release_that_was_asked(triton: Triton) -> None:
    with serving(options(triton)) as url:
        answers = [
            httpx.post(f"{url}/v1/embeddings", json={"model": model, "input": "press"})
            for model in ("embedtune", "embedtune-query", "embedtune@0123456789abcdef")
        ]
        found = samples(url)
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    release = answers[0].headers["x-embedtune-release"][:16]
    asked = {key: count for key, count in found.items() if key[0] == "embedtune_gateway_release_requests_total"}
    assert asked == {("embedtune_gateway_release_requests_total", release, "200"): 2}
