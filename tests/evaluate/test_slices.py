"""Slices and examples: the right queries in the right group, with what a reader needs to see."""

import pytest

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.records.evaluation import RelevantPassage, SetExamples
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.examples import examples_record
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.slices import slices_of, slices_record

SETTINGS = EvaluateSettings(interval_samples=200)
CORPUS = [Record(name, f"text of {name}") for name in "abcd"]
CORPUS += [Record(f"a{n}", f"text of a{n}") for n in range(10)]


def _result(queries: list[Record], ranks: dict[str, dict[str, int | None]]) -> SetResult:
    """Return a result in which each system ranks the only relevant passage, "a", at the given rank."""
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


def _values(slices, dimension):
    return {one.value: one.queries for one in slices if one.dimension == dimension}


def test_each_query_is_in_its_group(result):
    slices = slices_of(result, SETTINGS, seed=0)
    assert _values(slices, "all") == {"all": 3}
    assert _values(slices, "hops") == {"1": 1, "2": 2}
    assert _values(slices, "style") == {"keywords": 1, "question": 2}
    assert _values(slices, "length") == {"1-4 words": 1, "5-8 words": 1, "15 words or more": 1}
    assert _values(slices, "lexical_ease") == {"BM25 finds it first": 2, "BM25 does not": 1}
    assert _values(slices, "base_rank") == {"rank 1": 1, "rank 2-10": 1, "rank over 100": 1}
    assert _values(slices, "complexity") == {}


def test_means_and_the_paired_difference(result):
    slices = slices_of(result, SETTINGS, seed=0)
    two = next(one for one in slices if (one.dimension, one.value) == ("hops", "2"))
    assert two.systems["base"].mean == pytest.approx((0.63093 + 0) / 2, abs=1e-5)
    assert two.systems["tuned"].mean == pytest.approx((1 + 0.63093) / 2, abs=1e-5)
    assert two.delta.mean == pytest.approx(0.5, abs=1e-5)
    assert two.small is True


@pytest.mark.parametrize(("families", "small"), [(10, False), (9, True)])
def test_a_slice_is_small_if_it_is_about_fewer_than_ten_families(families, small):
    queries = [Record(f"q{n}", "x") for n in range(10)]
    qrels = {f"q{n}": {f"a{n % families}": 1} for n in range(10)}
    runs = {system: {query.id: {"a0": 1.0} for query in queries} for system in ("bm25", "base", "tuned")}
    slices = slices_of(SetResult("s", RetrievalSet(CORPUS, queries, qrels), runs, (1, 10)), SETTINGS, seed=0)
    (whole,) = [one for one in slices if one.dimension == "all"]
    assert (whole.queries, whole.units, whole.small) == (10, families, small)


def test_a_copy_of_a_right_passage_is_right_and_later_copies_are_dropped():
    corpus = [Record(name, name, {"group_id": group}) for name, group in (("a", "g"), ("copy", "g"), ("b", "b"))]
    data = RetrievalSet(corpus, [Record("q", "x")], {"q": {"a": 1}})
    run = {"q": {"copy": 0.9, "a": 0.8, "b": 0.7}}
    result = SetResult("s", data, {"base": run, "tuned": run, "bm25": {"q": {"b": 2.0, "a": 1.0}}}, (1, 10))
    assert result.ranking("tuned", "q") == ["copy", "b"]
    assert result.first_rank("tuned", "q") == 1 and result.first_rank("bm25", "q") == 2
    assert result.per_query["tuned"]["q"]["precision@10"] == pytest.approx(0.1)
    assert result.answers("q", "copy") and not result.answers("q", "b")


def test_the_lexical_share(result):
    assert result.lexical_share == pytest.approx(2 / 3)


def test_queries_are_grouped_by_a_column_of_the_documents_that_answer_them():
    corpus = [Record(name, name, {"document": {"Prio": "high" if name == "a" else "low"}}) for name in "abcd"]
    queries = [Record("q1", "x"), Record("q2", "x"), Record("q3", "x"), Record("q4", "x", {"Prio": 7})]
    qrels = {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}, "q3": {"a": 1, "b": 1}, "q4": {"e": 1}}
    data = RetrievalSet([*corpus, Record("e", "e")], queries, qrels)
    runs = {system: {query.id: _run(1) for query in queries} for system in ("bm25", "base", "tuned")}
    settings = SETTINGS.model_copy(update={"slice_by": ("Prio", "Nothing")})
    slices = slices_of(SetResult("s", data, runs, (1, 10)), settings, seed=0)
    assert _values(slices, "Prio") == {"high": 1, "low": 1, "several values": 1, "7": 1}
    assert _values(slices, "Nothing") == {}


def test_rare_values_of_a_column_are_one_slice(monkeypatch):
    monkeypatch.setattr("embedtune.evaluate.slices.MOST_VALUES", 1)
    queries = [Record(f"q{n}", "x", {"Prio": value}) for n, value in enumerate(("low", "low", "high", "top"))]
    ranks = dict.fromkeys((query.id for query in queries), 1)
    settings = SETTINGS.model_copy(update={"slice_by": ("Prio",)})
    slices = slices_of(_result(queries, dict.fromkeys(("bm25", "base", "tuned"), ranks)), settings, seed=0)
    assert _values(slices, "Prio") == {"low": 2, "2 other values": 2}


def test_the_record_holds_the_slices_of_each_set(result):
    record = slices_record([result], SETTINGS, seed=0)
    assert (record.metric, record.small_below, list(record.sets)) == ("ndcg@10", 10, ["s"])
    assert record.sets["s"].bm25_rank1_share == 0.666667
    assert record.sets["s"].slices == slices_of(result, SETTINGS, seed=0)


def _examples(result, wanted, seed=0):
    return examples_record([result], wanted, seed).sets["s"]


def test_examples_are_chosen_at_random_with_the_seed_and_not_by_the_size_of_the_change():
    queries = [Record(f"q{n:02}", "x") for n in range(40)]
    better = {query.id: 1 + number % 2 for number, query in enumerate(queries)}  # gains of two sizes
    absent = dict.fromkeys(better)
    runs = {"bm25": absent, "base": absent, "tuned": better}
    drawn = [[one.query_id for one in _examples(_result(queries, runs), 10, seed).wins] for seed in range(20)]
    assert drawn[0] == [one.query_id for one in _examples(_result(queries[::-1], runs), 10, 0).wins]
    assert all(len(set(ids)) == 10 for ids in drawn) and len({tuple(ids) for ids in drawn}) == 20
    larger = sum(better[one] == 1 for ids in drawn for one in ids)
    assert 80 <= larger <= 120  # of 200 draws; all of them, if the largest came first


def test_examples_say_how_many_they_were_chosen_from(result):
    examples = _examples(result, 5)
    assert {example.query_id for example in examples.wins} == {"q3", "q2"}
    assert [example.query_id for example in examples.losses] == ["q1"]
    assert (examples.gained, examples.lost) == (2, 1)
    one, none = _examples(result, 1), _examples(result, 0)
    assert (len(one.wins), len(one.losses)) == (1, 1)
    assert (len(none.wins), len(none.losses)) == (0, 0)


def test_an_example_carries_what_a_reader_needs(result):
    win = next(one for one in _examples(result, 5).wins if one.query_id == "q3")
    base, tuned = win.systems["base"], win.systems["tuned"]
    assert win.relevant == (RelevantPassage(id="a", text="text of a", source=""),)
    assert base.first_relevant_rank is None
    assert tuned.first_relevant_rank == 2
    assert tuned.ndcg_at_10 == pytest.approx(0.63093, abs=1e-5)
    assert [(passage.id, passage.relevant) for passage in tuned.top] == [
        ("b", False),
        ("a", True),
        ("c", False),
    ]


def test_a_query_that_did_not_change_is_not_an_example():
    queries = [Record("q", "x")]
    unchanged = _result(queries, {"bm25": {"q": 1}, "base": {"q": 2}, "tuned": {"q": 2}})
    assert _examples(unchanged, 5) == SetExamples(wins=(), losses=(), gained=0, lost=0)
