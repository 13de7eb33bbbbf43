from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError
from embedtune.core.retrieval.shingles import words
from embedtune.ingest.blocks import Block, assemble
from embedtune.ingest.chunker import Chunk, Chunker


class WordCounter:
    """A tokenizer with two tokens per word, and two special tokens per passage."""

    def pieces(self, texts: Sequence[str]) -> list[int]:
        return [2 * len(text.split()) for text in texts]

    def passages(self, texts: Sequence[str]) -> list[int]:
        return [count + 2 for count in self.pieces(texts)]


class GluedCounter(WordCounter):
    """A tokenizer that counts more tokens in a whole text than in its parts: one more per line end."""

    def passages(self, texts: Sequence[str]) -> list[int]:
        return [count + text.count("\n") for count, text in zip(super().passages(texts), texts, strict=True)]


class PrefixCounter(WordCounter):
    """A tokenizer under a contract whose passage prefix has seven tokens."""

    def passages(self, texts: Sequence[str]) -> list[int]:
        return [count + 7 for count in super().passages(texts)]


def contract(max_length: int = 512) -> EncoderContract:
    return EncoderContract(base_model="x", dimensions=(8,), max_length=max_length)


def chunks(
    blocks: list[Block], low: int = 20, high: int = 50, max_length: int = 512, counter: WordCounter | None = None
) -> list[Chunk]:
    limits = IngestSettings(min_words=low, max_words=high)
    return Chunker(limits, contract(max_length), counter or WordCounter()).chunks(assemble(blocks))


def prose(sentences: int, words_each: int = 10) -> str:
    return " ".join(f"Word{n} " + "word " * (words_each - 2) + "end." for n in range(sentences))


def test_id_is_the_hash_of_the_rendered_passage() -> None:
    (chunk,) = chunks([Block("heading", "Pump", 1), Block("paragraph", "It runs.")])
    # sha256 of "Pump\nIt runs."
    assert chunk.chunk_id == "c716c1a35665ac07"
    assert (chunk.text, chunk.heading_path, chunk.n_words, chunk.n_tokens) == ("It runs.", ("Pump",), 2, 8)


def test_heading_path_follows_the_levels() -> None:
    blocks = [
        Block("heading", "T", 1),
        Block("paragraph", prose(3)),
        Block("heading", "A", 2),
        Block("paragraph", prose(3)),
        Block("heading", "A1", 3),
        Block("paragraph", prose(3)),
        Block("heading", "B", 2),
        Block("paragraph", prose(3)),
    ]
    assert [chunk.heading_path for chunk in chunks(blocks)] == [("T",), ("T", "A"), ("T", "A", "A1"), ("T", "B")]


def test_merged_sections_keep_their_headings_as_lines() -> None:
    blocks = [Block("heading", "T", 1)]
    for name in "AB":
        blocks += [Block("heading", name, 2), Block("paragraph", prose(1))]
    (chunk,) = chunks(blocks)
    assert chunk.heading_path == ("T",)
    assert chunk.text.split("\n\n") == ["A", prose(1), "B", prose(1)]


def test_heading_without_text_below_is_text() -> None:
    blocks = [
        Block("heading", "Empty", 2),
        Block("heading", "Full", 2),
        Block("paragraph", "Text."),
        Block("heading", "Last", 2),
    ]
    (chunk,) = chunks(blocks)
    assert chunk.text == "Empty\n\nFull\n\nText.\n\nLast"


@pytest.mark.parametrize("kind", ["code", "table"])
def test_code_and_tables_stay_whole_if_they_fit(kind: str) -> None:
    lines = "\n".join("a b c d e" for _ in range(6))
    made = chunks([Block("paragraph", prose(4)), Block(kind, lines), Block("paragraph", prose(4))])  # type: ignore[arg-type]
    assert sum(lines in chunk.text for chunk in made) == 1


def test_too_large_table_is_cut_at_line_ends() -> None:
    lines = [f"a{n} b c d e" for n in range(30)]
    made = chunks([Block("table", "\n".join(lines))])
    assert [line for chunk in made for line in chunk.text.split("\n")] == lines


def test_sentences_are_not_cut_if_they_fit() -> None:
    made = chunks([Block("paragraph", prose(17))])
    assert all(chunk.text.startswith("Word") and chunk.text.endswith("end.") for chunk in made)


def test_too_long_sentence_is_cut_between_words() -> None:
    text = " ".join(f"w{n}" for n in range(130))
    made = chunks([Block("paragraph", text)])
    assert " ".join(chunk.text for chunk in made) == text
    assert all(20 <= chunk.n_words <= 50 for chunk in made)


def test_text_without_blanks_is_cut_too() -> None:
    text = "\u6c34" * 130
    made = chunks([Block("paragraph", text)])
    assert "".join(chunk.text for chunk in made) == text
    assert all(20 <= chunk.n_words <= 50 for chunk in made)


def test_chinese_is_cut_at_its_sentence_ends() -> None:
    made = chunks([Block("paragraph", ("\u6c34" * 12 + "\u3002") * 7)])
    assert len(made) > 1
    assert all(chunk.text.endswith("\u3002") for chunk in made)


def test_long_heading_path_is_shortened_from_the_middle() -> None:
    blocks = [Block("heading", "T", 1), Block("heading", "m " * 20, 2), Block("heading", "Sub", 3)]
    made = chunks([*blocks, Block("paragraph", prose(3))], max_length=100)
    assert made[0].heading_path == ("T", "Sub")


def test_prefix_that_takes_most_of_the_length_is_refused() -> None:
    with pytest.raises(ContractError, match="more than half"):
        Chunker(IngestSettings(), contract(16), PrefixCounter())


def test_text_with_more_tokens_than_its_parts_still_fits() -> None:
    items = [Block("list", f"- item {n}") for n in range(60)]
    made = chunks(items, low=10, high=200, max_length=64, counter=GluedCounter())
    assert max(chunk.n_tokens for chunk in made) <= 64


SENTENCE = st.lists(
    st.sampled_from(["pump", "valve 3", "is", "\u6c34\u6c34", "x.y"]), min_size=1, max_size=30
).map(lambda found: " ".join(found) + ".")
PARAGRAPH = st.lists(SENTENCE, min_size=1, max_size=5).map(" ".join)
BLOCK = st.one_of(
    st.builds(
        lambda text, level: Block("heading", text, level), st.sampled_from(["A", "B b", "C"]), st.integers(1, 4)
    ),
    PARAGRAPH.map(lambda text: Block("paragraph", text)),
    st.builds(lambda text, level: Block("list", text, level), SENTENCE, st.integers(0, 2)),
    st.lists(SENTENCE, min_size=1, max_size=9).map(lambda lines: Block("code", "\n  ".join(lines))),
    st.lists(SENTENCE, min_size=1, max_size=9).map(lambda lines: Block("table", "\n".join(lines))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCK, min_size=1, max_size=14))
def test_chunks_are_bounded_slices_that_miss_nothing(blocks: list[Block]) -> None:
    extract = assemble(blocks)
    made = Chunker(IngestSettings(min_words=15, max_words=40), contract(96), WordCounter()).chunks(extract)
    position = 0
    outside = []
    for chunk in made:
        assert chunk.char_start >= position
        assert chunk.text == extract.text[chunk.char_start : chunk.char_end] == chunk.text.strip()
        assert chunk.n_words == len(words(chunk.text)) <= 40
        assert chunk.n_tokens <= 96
        outside.append(extract.text[position : chunk.char_start])
        position = chunk.char_end
    assert position == len(extract.text)
    headings = {extract.text[part.start : part.end] for part in extract.parts if part.kind == "heading"}
    assert {line for gap in outside for line in gap.split("\n\n") if line.strip()} <= headings
