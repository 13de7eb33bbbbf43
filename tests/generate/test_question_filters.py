"""The filters: which questions are kept, and why the others are rejected."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate import filters
from embedtune.generate.filters import (
    EXAMPLE_NAMES,
    Corpus,
    by_scores,
    not_from_example,
    not_mostly_copied,
    plain_sense,
    round_trip,
    with_ranks,
    without_duplicates,
    without_same_words,
)
from embedtune.generate.prompts import load_prompt
from embedtune.generate.requests import Judgement
from embedtune.generate.stage import rank_limit
from tests.support.passages_world import SETTINGS, question
from tests.support.word_encoder import WordEncoder

TEXTS = {"a": "Kiln > Limits\nThe kiln may not be hotter than 80 degrees.", "b": "Drum\nThe drum turns at 12 rpm."}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("how hot may the kiln get", ""),
        ("kiln", ""),
        ("", "empty"),
        ("?!", "empty"),
        ("kiln " * 60, ""),
        ("kiln " * 61, "too_long"),
        ("what does the passage say about the kiln", "mentions_passage"),
        ("how hot is the kiln according to this Document", "mentions_passage"),
        ("which limit is mentioned in the given text", "mentions_passage"),
        ("which passage leads to the kiln", ""),
        ("How do I reject the document in SAP?", ""),
        ("the text on the label is gone", ""),
        ("this section of the pipe is cold", ""),
        ("Wie lehne ich das Dokument in SAP ab?", ""),
        ("comment refuser le document dans SAP ?", ""),
        ("文書を却下するには", ""),
        ("The kiln may not be hotter than 80 degrees.", "copied"),
        ("the KILN may not be hotter than 80 degrees?", "copied"),
        ("kiln may not be", ""),  # people do search with four words that are next to each other in the text
    ],
)
def test_plain_sense(text, reason):
    assert plain_sense(question(text), TEXTS).reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("so the kiln may not be hotter than 80 degrees?", "copied"),  # one word of ten is new
        ("why must it be that the kiln may not be hotter", ""),  # four words of ten are new
        ("kiln may not be", ""),
    ],
)
def test_a_question_most_of_which_is_copied_is_rejected_after_the_judge(text, reason):
    assert plain_sense(question(text), TEXTS).reason == ""
    assert not_mostly_copied(question(text), TEXTS).reason == reason


@pytest.mark.parametrize(
    ("text", "passage", "reason"),
    [
        ("Der Ofen darf nicht heißer als 80 Grad sein", "Der Ofen darf nicht heißer als 80 Grad sein.", "copied"),
        ("Ofen zu heiß", "Der Ofen darf nicht heißer als 80 Grad sein.", ""),
        ("乾燥炉最高温度", "乾燥炉最高温度は八十度である。", ""),  # a term: seven characters, each of them a word
        (
            "乾燥炉最高温度八十度以上禁止運転停止手順確認者",
            "乾燥炉最高温度八十度以上禁止運転停止手順確認者。",
            "copied",
        ),
    ],
)
def test_copies_are_found_in_any_language_but_a_term_is_no_copy(text, passage, reason):
    assert plain_sense(question(text), {"a": passage}).reason == reason


@pytest.mark.parametrize(
    ("needed", "reason"),
    [(None, ""), ({1, 2}, ""), ({1, 2, 3}, ""), ({2}, "not_multi_hop"), (set(), "not_multi_hop")],
)
def test_a_question_that_does_not_need_all_its_passages_is_no_multi_hop_question(needed, reason):
    judgement = Judgement((9, 9, 9, 9), None if needed is None else frozenset(needed))
    found = question(chunk_ids=("a", "b"), hop_facts=("x", "y"), scores=()).judged(judgement)
    assert (found.reason, found.scores) == (reason, (9, 9, 9, 9))


def test_a_question_without_an_answer_is_empty():
    assert plain_sense(question(answer=" . "), TEXTS).reason == "empty"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (("80 degrees", "12 rpm"), ""),
        (("80 degrees", "None."), "not_multi_hop"),
        (("", "12 rpm"), "not_multi_hop"),
    ],
)
def test_a_question_about_a_bundle_needs_a_fact_from_every_passage(facts, reason):
    assert plain_sense(question(chunk_ids=("a", "b"), hop_facts=facts), TEXTS).reason == reason


@pytest.mark.parametrize(
    ("text", "passage", "reason"),
    [
        ("how hot may the kiln get", "The kiln", ""),
        ("how hot may the Velarin kiln get", "The kiln", "from_example"),
        ("how hot may the Velarin kiln get", "Kilns of VELARIN", ""),  # the documents really use this name
        ("how hot may the Velarin kiln get, ticket 4471?", "Kilns of VELARIN", "from_example"),
    ],
)
def test_a_name_from_the_prompts_example_is_refused_unless_the_passage_has_it(text, passage, reason):
    assert not_from_example(question(text), {"a": passage}).reason == reason


@pytest.mark.parametrize("name", sorted(EXAMPLE_NAMES))
def test_the_example_names_are_in_the_prompts(name):
    texts = " ".join(text for _, text in load_prompt("generate_single").fixed)
    assert name in texts.casefold()


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ((7, 7, 7, 7), ""),
        ((5, 7, 8, 8), ""),
        ((10, 10, 10, 4), "min_context_support"),
        ((4, 4, 10, 10), "min_relevance"),
        ((10, 4, 10, 10), "min_accuracy"),
        ((10, 10, 4, 10), "min_clarity"),
        ((7, 7, 7, 6), "min_overall"),
    ],
)
def test_each_score_must_reach_five_and_their_mean_seven(scores, reason):
    found = by_scores(question(scores=scores), SETTINGS)
    assert found.reason == reason
    assert found.overall == sum(scores) / 4


def test_an_earlier_reason_is_kept():
    assert by_scores(question(scores=(1, 1, 1, 1), reason="copied"), SETTINGS).reason == "copied"


def reasons(questions):
    return {one.question: one.reason for one in questions}


def test_among_duplicates_the_test_question_is_kept_then_the_better_one_then_the_lower_id():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.8, 0.6]], np.float32)
    found = [
        question("train better", scores=(10, 10, 10, 10)),
        question("test worse", split="test", scores=(7, 7, 7, 7)),
        question("dev good", split="dev"),
        question("dev better", split="dev", scores=(10, 9, 9, 9)),
        question("alone"),
    ]
    assert reasons(without_duplicates(found, vectors, 0.9)) == {
        "train better": "duplicate",
        "test worse": "",
        "dev good": "duplicate",
        "dev better": "",
        "alone": "",
    }
    same = [question("b", question_id="2"), question("a", question_id="1")]
    assert reasons(without_duplicates(same, vectors[:2], 0.9)) == {"b": "duplicate", "a": ""}


def test_questions_in_the_passages_own_words_are_rejected_above_the_limit():
    texts = {"a": "hot kiln", "b": "cold kiln"}
    found = [
        question("hot kiln"),
        question("hot oven"),
        question("hot", chunk_ids=("b",)),
        question("kiln", reason="x"),
    ]
    # "hot oven": ln 2 of ln 2 + ln 6 = 0.28 (the words are in 1 and 0 of 2 passages).
    assert [one.reason for one in without_same_words(found, texts, 0.27)] == ["same_words", "same_words", "", "x"]
    assert [one.reason for one in without_same_words(found, texts, 0.28)] == ["same_words", "", "", "x"]
    assert [one.reason for one in without_same_words(found, texts, 1.0)] == ["", "", "", "x"]


def test_a_rejected_question_makes_no_other_question_a_duplicate():
    found = [question("bad", reason="min_clarity", scores=(10, 10, 4, 10)), question("good")]
    assert reasons(without_duplicates(found, np.ones((2, 1), np.float32), 0.9)) == {
        "bad": "min_clarity",
        "good": "",
    }


def test_a_duplicate_makes_no_other_question_a_duplicate():
    # b is similar to a, c is similar to b but not to a: only b is rejected.
    angle = np.deg2rad([0, 20, 40])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    found = [question(text, scores=(score,) * 4) for text, score in (("a", 10), ("b", 9), ("c", 8))]
    assert reasons(without_duplicates(found, vectors, 0.9)) == {"a": "", "b": "duplicate", "c": ""}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 3, 7, 1024]))
def test_blocks_of_any_size_keep_the_same_questions_and_no_two_duplicates(seed, count, block):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = [question(f"q{n}", scores=(int(generator.integers(7, 11)),) * 4) for n in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "BLOCK", block)
        result = without_duplicates(found, vectors, 0.8)
    kept = [row for row in range(count) if not result[row].reason]
    similar = vectors @ vectors.T > 0.8
    expected = []
    for row in sorted(range(count), key=lambda row: (-found[row].overall, found[row].question_id)):
        if not similar[row, expected].any():
            expected.append(row)
    assert kept == sorted(expected)


def ranked(text, limit=3, **changes):
    texts = ["kiln hot", "kiln kiln kiln drum", "drum turns", "press cloth"]
    encoder = WordEncoder("kiln drum press hot")
    corpus = Corpus(["a", "b", "c", "d"], texts, encoder.encode_passages(texts, None))
    found = [question(text, **changes)]
    return with_ranks(found, encoder.encode_queries([text], None), corpus, limit)[0]


def test_ranks_count_from_one_for_both_systems():
    # Cosines of "drum": c 1, b 0.32, a 0, d 0. BM25: c is the shorter text; a and d share no word with it.
    found = ranked("drum", chunk_ids=("c",))
    assert (found.base_rank, found.bm25_rank) == (1, 1)
    found = ranked("drum", chunk_ids=("b",))
    assert (found.base_rank, found.bm25_rank) == (2, 2)


def test_the_rank_of_a_multi_hop_question_is_that_of_its_lowest_ranked_passage():
    assert ranked("drum", chunk_ids=("c", "b")).bm25_rank == 2


def test_a_passage_that_is_not_found_has_the_rank_after_the_limit():
    assert ranked("drum", limit=1, chunk_ids=("b",)).base_rank == 2
    assert ranked("drum", limit=1, chunk_ids=("b",)).bm25_rank == 2


def test_bm25_never_finds_a_passage_that_shares_no_word():
    assert ranked("drum", limit=4, chunk_ids=("d",)).bm25_rank == 5


def test_rejected_questions_are_not_searched_for():
    assert ranked("drum", chunk_ids=("c",), reason="duplicate").base_rank == 0


@pytest.mark.parametrize(
    ("split", "base", "words", "reason"),
    [
        ("train", 11, 11, "round_trip"),
        ("train", 10, 11, ""),
        ("train", 11, 10, ""),
        ("dev", 11, 11, ""),
        ("test", 11, 11, ""),
    ],
)
def test_only_train_questions_whose_passages_neither_system_finds_are_rejected(split, base, words, reason):
    assert round_trip(question(split=split, base_rank=base, bm25_rank=words), 10).reason == reason


@pytest.mark.parametrize(("passages", "limit"), [(5, 1), (50, 5), (999, 99), (1000, 100), (10**6, 100)])
def test_the_rank_limit_is_the_smaller_of_100_and_a_tenth_of_the_corpus(passages, limit):
    assert rank_limit(GenerateSettings(), passages) == limit


def test_every_filter_keeps_the_number_and_the_order_of_the_questions():
    found = [question(f"q{n}", split=("train", "dev", "test")[n % 3]) for n in range(9)]
    vectors = np.eye(9, dtype=np.float32)
    result = with_ranks(
        without_duplicates(found, vectors, 0.9), vectors, Corpus(["a"], ["kiln"], vectors[:1]), limit=1
    )
    assert [one.question for one in result] == [one.question for one in found]
    assert Counter(one.reason for one in result) == {"": 9}
