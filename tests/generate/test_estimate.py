"""The estimate: calls, tokens and cost before anything is spent."""

import pytest

from embedtune.core.secrets import Secrets
from embedtune.generate.estimate import estimate_calls


def test_an_estimate_counts_the_calls_and_their_tokens(world):
    prices = {"model": "test", "price_in": 2.0, "price_out": 10.0}
    config = world.config(llm=prices)
    found = estimate_calls(world.chunks(), config, Secrets(), world.cache)
    assert world.server.completions == 0
    report = world.run(llm={**prices, "concurrency": 4, "retries": 0})
    # An upper bound: a call whose questions are all rejected is not judged, and a lone passage starts no bundle.
    assert report.metrics["calls"] <= found.calls <= 1.2 * report.metrics["calls"]
    assert found.questions >= report.metrics["written"]
    assert found.cost_usd == pytest.approx((found.prompt_tokens * 2 + found.completion_tokens * 10) / 1e6)
    # The server counts words; the tiny model's tokenizer splits them into letters: more tokens, same magnitude.
    assert report.metrics["prompt_tokens"] < found.prompt_tokens < 12 * report.metrics["prompt_tokens"]
