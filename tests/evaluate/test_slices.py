"""Slices and examples: the right queries in the right group, with what a reader needs."""

import pytest

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.examples import example_records
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.slices import slice_records

SETTINGS = EvaluateSettings(bootstrap_samples=200)
CORPUS = [Record(name, f"text of {name}") for name in "abcd"]


def _result(queries: list[Record], ranks: dict[str, dict[str, int | None]]) -> SetResult:
    """Build a result in which a system puts the one relevant passage "a" at the given rank."""
    runs = {
        system: {query.id: _run(by_query[query.id]) for query in queries} for system, by_query in ranks.items()
    }
    data = RetrievalSet(CORPUS, queries, {query.id: {"a": 1} for query in queries})
    return SetResult("s", data, runs, (1, 10))


def _run(rank: int | None) -> dict[str, float]:
    found = ["b", "c", "d"]
    if rank is not None:
        found.insert(rank - 1, "a")
    return {name: 1.0 - 0.1 * place for place, name in enumerate(found)}


@pytest.fixture
def result() -> SetResult:
    queries = [
        Record("q1", "one two", {"hops": 1, "style": "keywords", "base_rank": 1}),
        Record("q2", "one two three four five", {"hops": 2, "style": "question", "base_rank": 10}),
        Record("q3", "w " * 15, {"hops": 2, "style": "question", "base_rank": 101}),
    ]
    base = {"q1": 1, "q2": 2, "q3": None}
    return _result(
        queries, {"bm25": {"q1": 1, "q2": 2, "q3": 1}, "base": base, "tuned": {"q1": 2, "q2": 1, "q3": 2}}
    )


def _values(records, dimension):
    return {r["value"]: r["queries"] for r in records if r["dimension"] == dimension}


def test_each_query_stands_in_its_group(result):
    records = slice_records(result, SETTINGS, seed=0)
    assert _values(records, "all") == {"all": 3}
    assert _values(records, "hops") == {"1": 1, "2": 2}
    assert _values(records, "style") == {"keywords": 1, "question": 2}
    assert _values(records, "length") == {"1-4 words": 1, "5-8 words": 1, "15 words or more": 1}
    assert _values(records, "lexical_ease") == {"BM25 finds it first": 2, "BM25 does not": 1}
    assert _values(records, "base_rank") == {"rank 1": 1, "rank 2-10": 1, "rank over 100": 1}
    assert _values(records, "complexity") == {}


def test_means_and_the_paired_difference(result):
    two = next(r for r in slice_records(result, SETTINGS, seed=0) if (r["dimension"], r["value"]) == ("hops", "2"))
    assert two["systems"]["base"]["mean"] == pytest.approx((0.63093 + 0) / 2, abs=1e-5)
    assert two["systems"]["tuned"]["mean"] == pytest.approx((1 + 0.63093) / 2, abs=1e-5)
    assert two["delta"]["mean"] == pytest.approx(0.5, abs=1e-5)
    assert two["small"] is True


def test_ten_queries_are_no_small_slice():
    queries = [Record(f"q{n}", "x") for n in range(10)]
    ranks = {query.id: 1 for query in queries}
    records = slice_records(_result(queries, dict.fromkeys(("bm25", "base", "tuned"), ranks)), SETTINGS, seed=0)
    assert [record["small"] for record in records] == [False, False, False]


def test_the_lexical_share(result):
    assert result.lexical_share == pytest.approx(2 / 3)


def test_examples_are_ordered_by_how_much_moved(result):
    examples = example_records(result, 5)
    assert [example["query_id"] for example in examples["wins"]] == ["q3", "q2"]  # +0.63, +0.37
    assert [example["query_id"] for example in examples["losses"]] == ["q1"]
    assert [len(part) for part in example_records(result, 1).values()] == [1, 1]
    assert [len(part) for part in example_records(result, 0).values()] == [0, 0]


def test_an_example_carries_what_a_reader_needs(result):
    win = example_records(result, 1)["wins"][0]
    assert win["relevant"] == [{"id": "a", "text": "text of a"}]
    assert win["systems"]["base"]["first_relevant_rank"] is None
    assert win["systems"]["tuned"]["first_relevant_rank"] == 2
    assert win["systems"]["tuned"]["ndcg@10"] == pytest.approx(0.63093, abs=1e-5)
    assert [(p["id"], p["relevant"]) for p in win["systems"]["tuned"]["top"]] == [
        ("b", False),
        ("a", True),
        ("c", False),
    ]


def test_a_query_that_did_not_move_is_no_example():
    queries = [Record("q", "x")]
    assert example_records(_result(queries, {"bm25": {"q": 1}, "base": {"q": 2}, "tuned": {"q": 2}}), 5) == {
        "wins": [],
        "losses": [],
    }
