"""For which kinds of question: slices in words."""

import pytest

from embedtune.report.kinds import kinds_sentences, phrase
from tests.support.evaluation_records import interval, make_evaluation, make_slice

UP, DOWN, UNSURE = interval(0.06, 0.01, 0.11), interval(-0.05, -0.09, -0.01), interval(0.02, -0.02, 0.06)


def _said(*slices):
    return kinds_sentences(make_evaluation(UP, slices=slices))


def test_what_is_certain_is_named_and_the_rest_is_counted():
    said = _said(
        make_slice("style", "keywords", UP),
        make_slice("style", "howto", DOWN),
        make_slice("length", "5-8 words", UNSURE),
        make_slice("length", "9-14 words", UNSURE),
    )
    assert said == [
        "Better for searches with keywords (+0.06).",
        "Worse for how-to questions (\N{MINUS SIGN}0.05).",
        "The other 2 kinds compared (questions of 5\N{EN DASH}8 words, questions of 9\N{EN DASH}14 words) are not "
        "certainly better or worse.",
    ]


def test_the_largest_changes_are_named_first_and_the_others_counted():
    slices = [make_slice("style", f"s{n}", interval(n / 100, 0.001, 0.2)) for n in range(1, 6)]
    assert _said(*slices) == [
        "Better for s5 questions (+0.05), s4 questions (+0.04), s3 questions (+0.03) and 2 more.",
        "No kind is certainly worse.",
    ]


def test_a_single_kind_is_named_instead_of_counted():
    slices = [make_slice("style", f"s{n}", interval(n / 100, 0.001, 0.2)) for n in range(1, 5)]
    assert _said(*slices, make_slice("style", "howto", UNSURE)) == [
        "Better for s4 questions (+0.04), s3 questions (+0.03), s2 questions (+0.02) and s1 questions (+0.01).",
        "The other kind compared (how-to questions) is not certainly better.",
        "No kind is certainly worse.",
    ]


def test_nothing_certain_is_said_so():
    slices = [make_slice("style", value, UNSURE) for value in ("a", "b")]
    assert _said(*slices) == ["No kind differs clearly: of 2 kinds compared, none is certainly better or worse."]
    one = make_slice("style", "b", UNSURE, small=True)
    assert _said(slices[0], one) == [
        "The one kind with enough questions (a questions) is not certainly better or worse."
    ]


def test_few_questions_and_dimensions_that_mislead_are_not_counted():
    assert _said(
        make_slice("style", "a", UP, small=True),
        make_slice("style", "b", UP, small=True),
        make_slice("base_rank", "rank 1", DOWN),
        make_slice("base_rank", "rank 2-10", UP),
        make_slice("all", "all", UP),  # one value: the whole set
    ) == ["It cannot be said: there are too few questions of each kind."]


@pytest.mark.parametrize(
    ("dimension", "value", "words"),
    [
        ("hops", "1", "questions that one passage answers"),
        ("hops", "3", "questions that need 3 passages"),
        ("query_type", "multi_hop", "multi-hop questions"),
        ("lexical_ease", "BM25 does not", "questions that a plain search for words does not answer at once"),
        ("Priority", "P1", "questions with Priority = P1"),
    ],
)
def test_kinds_have_names_that_anybody_understands(dimension, value, words):
    assert phrase(make_slice(dimension, value, UP)) == words
