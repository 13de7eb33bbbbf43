"""Notes appear when a reader needs them, and only then."""

import pytest

from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.summary import notes, seen_notes
from tests.support.evaluation_records import interval

UNSURE = {"ndcg@10": interval(-0.02, -0.05, 0.01), "recall@10": interval(-0.02, -0.05, 0.0)}


def _result(queries: int, copied: int, families: int = 10) -> SetResult:
    """Return a result in which BM25 and base find the answers of `copied` queries, which repeat their passage."""
    asked = [Record(f"q{n}", "x" if n < copied else "y") for n in range(queries)]
    run = {query.id: {f"p{n % families}": 1.0} if n < copied else {} for n, query in enumerate(asked)}
    corpus = [Record(f"p{n}", "x") for n in range(families)]
    qrels = {query.id: {f"p{n % families}": 1} for n, query in enumerate(asked)}
    data = RetrievalSet(corpus, asked, qrels)
    return SetResult("s", data, dict.fromkeys(("bm25", "base", "tuned"), run), (10,))


def _answered_in(*splits: str) -> SetResult:
    """Return a result in which the tuned model finds every answer and the base model none."""
    asked = [Record(f"q{n}", "x", {"answered_in": split} if split else {}) for n, split in enumerate(splits)]
    data = RetrievalSet([Record("a", "x")], asked, {query.id: {"a": 1} for query in asked})
    found, nothing = ({query.id: run for query in asked} for run in ({"a": 1.0}, {}))
    return SetResult("s", data, {"base": nothing, "tuned": found}, (10,))


def test_questions_about_documents_that_training_saw_are_counted_and_the_others_measured(config):
    settings, seed = config.evaluate, config.seed
    (note,) = seen_notes([_answered_in("train", "several", "dev", "test", "test")], settings, seed)
    assert "2 of 5 questions" in note and "on the 3 answered in none of them" in note and "+1.0000" in note
    (note,) = seen_notes([_answered_in("train")], settings, seed)
    assert note.endswith("documents that training saw")
    assert seen_notes([_answered_in("dev", "test"), _answered_in("", "")], settings, seed) == ()


def test_an_unremarkable_result_has_no_notes():
    assert notes([_result(50, 25)], {"s": UNSURE}, champion_differs=False) == ()


def test_few_families_of_documents_are_said():
    (note,) = notes([_result(50, 25, families=9)], {"s": UNSURE}, champion_differs=False)
    assert "s: the questions are about only 9 families of documents" in note


@pytest.mark.parametrize(
    ("queries", "first", "differences", "champion_differs", "remark"),
    [
        (49, 0, UNSURE, False, "s: only 49 questions"),
        (50, 26, UNSURE, False, "52% of a question's words"),
        (50, 0, UNSURE | {"recall@10": interval(-0.02, -0.05, -0.001)}, False, "interval below 0: recall@10"),
        (50, 0, UNSURE, True, "different passage template"),
    ],
)
def test_what_a_reader_should_know(queries, first, differences, champion_differs, remark):
    (note,) = notes([_result(queries, first)], {"s": differences}, champion_differs=champion_differs)
    assert remark in note
