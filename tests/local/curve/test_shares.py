"""Shares of a training set are nested, whatever the set, the shares and the seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.errors import InputError
from embedtune.core.records.curve import KINDS
from embedtune.core.retrieval.beir import Record
from embedtune.local.curve.shares import document_families, share_of
from embedtune.mine.mining_set import MiningSet


def training_set(answers: list[set[int]], families: int) -> MiningSet:
    """Make a set of questions that are each answered in some of the families; a family has two passages."""
    passages = [
        Record(f"p{family}{part}", "text", {"family_id": f"d{family}"})
        for family in range(families)
        for part in "ab"
    ]
    queries = [Record(f"q{number}", "text") for number in range(len(answers))]
    qrels = {f"q{number}": {f"p{family}a": 1 for family in found} for number, found in enumerate(answers)}
    return MiningSet(queries, passages, qrels)


SETS = st.integers(1, 8).flatmap(
    lambda families: st.builds(
        training_set,
        st.lists(st.sets(st.integers(0, families - 1), min_size=1, max_size=3), min_size=1, max_size=20),
        st.just(families),
    )
)


def names(data: MiningSet) -> tuple[set[str], set[str]]:
    return {query.id for query in data.queries}, {passage.id for passage in data.passages}


@given(SETS, st.sampled_from(KINDS), st.integers(1, 100), st.integers(1, 100), st.integers(0, 2**32))
def test_a_larger_share_contains_the_smaller_one(data, kind, one, other, seed):
    parts = []
    for share in sorted((one, other)):
        try:
            parts.append(names(share_of(data, kind, share, seed)))
        except InputError:  # of so few documents that no question is about them
            parts.append((set(), set()))
    assert parts[0][0] <= parts[1][0]
    assert parts[1] == (set(), set()) or parts[0][1] <= parts[1][1]


@given(SETS, st.integers(1, 100), st.integers(0, 2**32))
def test_a_share_of_the_questions_has_that_many_and_all_passages(data, share, seed):
    part = share_of(data, "questions", share, seed)
    assert len(part.queries) == -(-len(data.queries) * share // 100)
    assert part.passages == data.passages
    assert part.qrels == {query.id: data.qrels[query.id] for query in part.queries}


@given(SETS, st.integers(1, 100), st.integers(0, 2**32))
def test_a_share_of_the_documents_has_whole_families_and_every_question_they_answer(data, share, seed):
    families = document_families(data)
    try:
        part = share_of(data, "documents", share, seed)
    except InputError:
        return
    passages = {passage.id for passage in part.passages}
    assert document_families(part) == -(-families * share // 100) and len(passages) == 2 * document_families(part)
    answered = {query for query, judged in data.qrels.items() if set(judged) <= passages}
    assert {query.id for query in part.queries} == answered == set(part.qrels)


def test_everything_is_everything_and_another_seed_draws_others():
    data = training_set([{number % 8} for number in range(40)], 8)
    assert share_of(data, "documents", 100, 1) is data
    draws = {frozenset(names(share_of(data, kind, 50, seed))[0]) for kind in KINDS for seed in range(5)}
    assert len(draws) == 10


def test_a_share_without_a_question_is_refused():
    data = training_set([{0, 1}, {0, 1}], 2)  # each question needs both documents
    with pytest.raises(InputError, match="no train question is about 50 % of the documents"):
        share_of(data, "documents", 50, 1)
