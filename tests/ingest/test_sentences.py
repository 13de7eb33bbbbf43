import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.ingest.sentences import sentence_spans


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "go." Then left.', ['He said "go."', "Then left."]),
        ("Use a seal, e.g. Viton. See Fig. 3.", ["Use a seal, e.g. Viton.", "See Fig. 3."]),
        ("Made by J. Smith et al. It fits.", ["Made by J. Smith et al. It fits."]),
        ("At 2.5 bar it opens. 3 bar closes it.", ["At 2.5 bar it opens.", "3 bar closes it."]),
        ("Wait... then go on. Done.", ["Wait... then go on.", "Done."]),
        ("1. Open the valve. 2 turns.", ["1. Open the valve.", "2 turns."]),
        ("开\u3002关\uff01好\uff1f是", ["开\u3002", "关\uff01", "好\uff1f", "是"]),
        ("「開く。」次へ。", ["「開く。」", "次へ。"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@given(st.text(alphabet="ab.!? \n。\"'1A", max_size=60))
def test_only_white_space_is_between_sentences(text: str) -> None:
    position = 0
    for start, end in sentence_spans(text, 0, len(text)):
        assert not text[position:start].strip()
        assert start < end
        position = end
    assert not text[position:].strip()
