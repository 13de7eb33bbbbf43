"""The lexical leak: said when matching words does as well as the base and the questions copy, and only then."""

import pytest

from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.lexical_leak import LexicalLeak, lexical_leak
from embedtune.evaluate.result import SetResult


@pytest.mark.parametrize(
    ("overlap", "bm25", "base", "found"),
    [
        (0.66, 0.78, 0.77, True),
        (0.51, 0.7, 0.7, True),
        (0.66, 0.69, 0.7, False),  # the base is better: meaning helps, whatever the words
        (0.5, 0.78, 0.6, False),  # people's questions: BM25 is simply good here
    ],
)
def test_when_a_set_leaks(overlap, bm25, base, found):
    assert LexicalLeak("synthetic", overlap, bm25, base).found is found


def test_the_sentence_has_the_figures():
    sentence = LexicalLeak("synthetic", 0.664, 0.776, 0.7689).sentence
    assert "0.78" in sentence and "0.77" in sentence and "66%" in sentence and "nDCG@10" in sentence


def test_the_leak_of_a_result_is_measured_on_its_questions_and_passages():
    corpus = [Record("a", "hot kiln"), Record("b", "cold kiln")]
    asked = [Record("q", "hot"), Record("r", "oven")]
    data = RetrievalSet(corpus, asked, {"q": {"a": 1}, "r": {"b": 1}})
    found, nothing = {"q": {"a": 1.0}, "r": {"b": 1.0}}, {"q": {"a": 1.0}, "r": {}}
    leak = lexical_leak(SetResult("s", data, {"bm25": nothing, "base": found}, (10,)))
    assert leak == LexicalLeak("s", overlap=0.5, bm25=0.5, base=1.0)  # "hot" is in its passage, "oven" in none
