"""Mining on vectors that are small enough to compute the result by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.errors import GateError
from embedtune.mine.candidate_filter import Decision
from embedtune.mine.mining_arrays import MiningProblem
from embedtune.mine.negatives import Mined, SearchOptions, mine_negatives


def problem_of(
    scores: list[list[float]],
    positives: dict[int, list[int]],
    groups: list[int] | None = None,
    same_text: list[int] | None = None,
) -> MiningProblem:
    """Return a problem in which scores[i][j] is the inner product of query i and passage j."""
    pairs = sorted((query, passage) for query, passages in positives.items() for passage in passages)
    matrix = np.array(scores, dtype=np.float32)
    return MiningProblem(
        queries=np.eye(len(scores), dtype=np.float32),
        passages=np.ascontiguousarray(matrix.T),
        groups=np.array(groups if groups is not None else range(matrix.shape[1]), dtype=np.int64),
        same_text=np.array(same_text if same_text is not None else range(len(scores)), dtype=np.int64),
        pair_query=np.array([query for query, _ in pairs], dtype=np.int64),
        pair_passage=np.array([passage for _, passage in pairs], dtype=np.int64),
    )


def mine(problem: MiningProblem, negatives: int = 2, margin: float = 0.05, **options: int) -> Mined:
    return mine_negatives(problem, negatives=negatives, margin=margin, options=SearchOptions(**options))


def chosen(mined: Mined, query: int = 0) -> list[int]:
    return mined.indices[query, : mined.counts[query]].tolist()


def test_the_hardest_passages_below_the_margin_are_taken_in_order():
    #                            0    1     2     3    4    5
    mined = mine(problem_of([[0.8, 0.78, 0.7, 0.75, 0.2, 0.77]], {0: [0]}))
    # threshold 0.8 - 0.05 · 0.8 = 0.76: passages 1 and 5 lie above it
    assert mined.limits[0] == pytest.approx(0.76)
    assert chosen(mined) == [3, 2]
    assert mined.scores[0].tolist() == pytest.approx([0.75, 0.7])
    assert mined.ranks[0].tolist() == [4, 5]
    assert mined.pair_ranks.tolist() == [1]
    assert mined.rejected == {Decision.POSITIVE: 1, Decision.GROUP: 0, Decision.SIBLING: 0, Decision.MARGIN: 2}


def test_a_candidate_exactly_at_the_threshold_is_not_above_it():
    assert chosen(mine(problem_of([[1.0, 0.5, 0.75]], {0: [0]}), margin=0.25)) == [2, 1]


def test_the_lowest_positive_sets_the_threshold():
    mined = mine(problem_of([[0.9, 0.4, 0.5, 0.39, 0.3, 0.35]], {0: [0, 1]}))
    assert mined.limits[0] == pytest.approx(0.38)
    assert chosen(mined) == [5, 4]
    assert mined.pair_scores.tolist() == pytest.approx([0.9, 0.4])
    assert mined.pair_ranks.tolist() == [1, 3]


def test_below_zero_the_threshold_still_lies_below_the_positive():
    # -0.2 - 0.05 · 0.2 = -0.21; 0.95 · p would be -0.19 and let -0.2 through
    mined = mine(problem_of([[-0.2, -0.205, -0.215, -0.5]], {0: [0]}))
    assert mined.limits[0] == pytest.approx(-0.21)
    assert chosen(mined) == [2, 3]


def test_at_zero_the_threshold_is_zero():
    assert chosen(mine(problem_of([[0.0, 0.1, -0.1, -0.2]], {0: [0]}))) == [2, 3]


def test_near_duplicates_of_a_positive_are_rejected_however_low_they_score():
    mined = mine(problem_of([[0.8, 0.5, 0.4, 0.3]], {0: [0]}, groups=[0, 1, 0, 2]))
    assert chosen(mined) == [1, 3]
    assert mined.rejected[Decision.GROUP] == 1


def test_answers_to_another_query_of_the_same_text_are_rejected_with_their_group():
    scores = [[0.8, 0.5, 0.4, 0.3, 0.2], [0.1, 0.9, 0.0, 0.0, 0.0]]
    problem = problem_of(scores, {0: [0], 1: [1]}, groups=[0, 1, 1, 2, 3], same_text=[0, 0])
    mined = mine(problem)
    assert chosen(mined) == [3, 4]
    assert mined.rejected[Decision.SIBLING] == 3  # passages 1 and 2 for query 0, passage 0 for query 1
    assert chosen(mine(problem_of(scores, {0: [0], 1: [1]}, groups=[0, 1, 1, 2, 3]))) == [1, 2]


def test_rejected_candidates_never_fill_a_gap():
    mined = mine(problem_of([[0.8, 0.79, 0.78, 0.1]], {0: [0]}), negatives=3)
    assert chosen(mined) == [3]
    assert mined.indices[0].tolist() == [3, -1, -1]
    assert np.isnan(mined.scores[0, 1:]).all()
    assert mined.rejected[Decision.MARGIN] == 2


def test_a_corpus_of_positives_only_gives_no_negatives():
    mined = mine(problem_of([[0.8, 0.7]], {0: [0, 1]}))
    assert mined.counts.tolist() == [0]
    assert mined.pair_ranks.tolist() == [1, 2]


def test_the_search_deepens_only_as_far_as_it_must():
    # Query 0 has 40 candidates above its threshold, query 1 none.
    scores = [[0.5] + [0.9 - 0.001 * i for i in range(40)] + [0.1, 0.05], [0.9] + [0.3] * 40 + [0.2, 0.1]]
    finished: list[int] = []
    mined = mine_negatives(
        problem_of(scores, {0: [0], 1: [0]}),
        negatives=2,
        margin=0.05,
        options=SearchOptions(first_depth=4),
        advance=finished.append,
    )
    assert chosen(mined, 0) == [41, 42]
    assert mined.ranks[0].tolist() == [42, 43]
    assert chosen(mined, 1) == [1, 2]
    assert finished == [1, 0, 0, 0, 1]  # depths 4, 8, 16, 32, 43


def test_vectors_that_are_not_finite_are_an_error():
    problem = problem_of([[0.5, 0.4, 0.3]], {0: [0]})
    problem.passages[2, 0] = np.nan
    with pytest.raises(GateError, match="not finite"):
        mine(problem)


@st.composite
def problems(draw: st.DrawFn) -> MiningProblem:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 60))
    positives = {query: random.choice(m, size=min(m, random.integers(1, 4)), replace=False) for query in range(n)}
    return problem_of(
        random.uniform(-1, 1, (n, m)).tolist(),
        {query: sorted(map(int, passages)) for query, passages in positives.items()},
        groups=random.integers(0, draw(st.integers(1, 60)), m).tolist(),
        same_text=random.integers(0, n, n).tolist(),
    )


def by_hand(problem: MiningProblem, negatives: int, margin: float) -> list[list[int]]:
    """Apply the rule in the plainest way."""
    scores = problem.queries @ problem.passages.T
    answers = [set(problem.pair_passage[problem.pair_query == q].tolist()) for q in range(len(scores))]
    found = []
    for query, row in enumerate(scores):
        p = min(row[passage] for passage in answers[query])
        twins = [q for q in range(len(scores)) if problem.same_text[q] == problem.same_text[query]]
        banned = {int(problem.groups[passage]) for q in twins for passage in answers[q]}
        limit = np.float32(p - np.float32(margin) * abs(p))
        allowed = [
            j
            for j in np.lexsort((np.arange(len(row)), -row))
            if problem.groups[j] not in banned and row[j] <= limit
        ]
        found.append([int(j) for j in allowed[:negatives]])
    return found


@settings(max_examples=200, deadline=None)
@given(problem=problems(), negatives=st.integers(1, 6), margin=st.sampled_from([0.0, 0.05, 0.5]))
def test_it_chooses_as_the_plain_rule_does(problem, negatives, margin):
    mined = mine(problem, negatives, margin, first_depth=2)
    assert [chosen(mined, query) for query in range(len(mined.counts))] == by_hand(problem, negatives, margin)


@settings(max_examples=100, deadline=None)
@given(problem=problems(), block=st.integers(1, 70), first_depth=st.integers(1, 70))
def test_block_and_first_depth_change_nothing(problem, block, first_depth):
    one, other = mine(problem, 4), mine(problem, 4, block=block, first_depth=first_depth)
    for name in ("counts", "indices", "scores", "ranks", "limits", "pair_scores", "pair_ranks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.rejected == other.rejected


@settings(max_examples=100, deadline=None)
@given(problem=problems(), seed=st.integers(0, 1000))
def test_the_order_of_the_passages_does_not_matter(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.passages))
    place = np.argsort(order)
    pairs = sorted(zip(problem.pair_query.tolist(), place[problem.pair_passage].tolist(), strict=True))
    shuffled = MiningProblem(
        queries=problem.queries,
        passages=np.ascontiguousarray(problem.passages[order]),
        groups=problem.groups[order],
        same_text=problem.same_text,
        pair_query=np.array([query for query, _ in pairs]),
        pair_passage=np.array([passage for _, passage in pairs]),
    )
    one, other = mine(problem, 4), mine(shuffled, 4)
    for query in range(len(one.counts)):
        assert chosen(one, query) == order[chosen(other, query)].tolist()
