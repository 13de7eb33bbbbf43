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


def assert_within_a_quarter(found, report):
    metrics = report.metrics
    for name in ("calls", "prompt_tokens", "completion_tokens"):
        real, estimated = metrics[name], getattr(found, name)
        assert abs(estimated - real) <= 0.25 * real, (name, estimated, real)


def test_a_sample_of_calls_makes_the_estimate_right_within_a_quarter(world):
    llm = {"model": "test", "price_in": 2.0, "price_out": 10.0, "concurrency": 4, "retries": 0}
    config = world.config(llm=llm)
    found = estimate_calls(world.chunks(), config, Secrets(), world.cache, sample=8)
    sent = world.server.completions
    assert 8 <= found.measured <= sent <= 16
    # A run that has no replies yet, to compare with; then one that finds those of the sample.
    (world.cache / "llm.sqlite").rename(world.folder / "sample.sqlite")
    whole = world.run(llm=llm)
    assert_within_a_quarter(found, whole)
    assert found.cost_usd == pytest.approx(whole.cost_usd, rel=0.25)


def test_the_replies_of_a_sample_are_not_paid_for_again_and_are_booked(world):
    llm = {"model": "test", "price_in": 2.0, "price_out": 10.0, "concurrency": 4, "retries": 0}
    estimate_calls(world.chunks(), world.config(llm=llm), Secrets(), world.cache, sample=8)
    again = estimate_calls(world.chunks(), world.config(llm=llm), Secrets(), world.cache)
    assert again.measured >= 8
    report = world.run(llm=llm)
    assert report.metrics["cached_calls"] >= 8


def test_batches_cost_their_share(world):
    llm = {"model": "test", "price_in": 2.0, "price_out": 10.0}
    live, batch = (
        estimate_calls(world.chunks(), world.config(llm={**llm, **more}), Secrets(), world.cache)
        for more in ({}, {"batch": "api", "batch_price": 0.25})
    )
    assert batch.cost_usd == pytest.approx(live.cost_usd / 4)
