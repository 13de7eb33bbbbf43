from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.ingest.layout import Bounds, divide
from embedtune.ingest.pieces import Gap, Heading, Piece


def bounds(low: int, high: int, tokens: int = 10_000) -> Bounds:
    return Bounds(low, high, tokens, lambda path: 2 * len(path))


def row(*pieces: tuple[str, Gap, int]) -> list[Piece]:
    """Return pieces from (heading path as a word, gap, words), with as many characters and tokens as words."""
    made: list[Piece] = []
    position = 0
    for path, gap, words in pieces:
        headings = ()
        if gap is Gap.SECTION and path:
            headings = (Heading(position, len(path) - 1, 1, 1),)
            position += 2
        made.append(Piece(position, position + words, tuple(path), headings, gap, words, words))
        position += words + 1
    return made


def sizes(pieces: Sequence[Piece], limits: Bounds) -> list[int]:
    """Return the number of pieces in each chunk."""
    slices = divide(pieces, limits)
    starts, ends = [one.start for one in slices], [one.end for one in slices]
    return [sum(start <= piece.start < end for piece in pieces) for start, end in zip(starts, ends, strict=True)]


def test_nothing_gives_nothing() -> None:
    assert divide([], bounds(10, 20)) == []


def test_short_document_is_one_chunk() -> None:
    assert sizes(row(("", Gap.SECTION, 3)), bounds(10, 20)) == [1]


def test_sections_that_are_big_enough_are_not_merged() -> None:
    pieces = row(("a", Gap.SECTION, 12), ("b", Gap.SECTION, 12))
    assert sizes(pieces, bounds(10, 30)) == [1, 1]
    assert [chunk.path for chunk in divide(pieces, bounds(10, 30))] == [("a",), ("b",)]


def test_a_better_size_is_no_reason_to_merge_sections() -> None:
    assert sizes(row(("a", Gap.SECTION, 12), ("b", Gap.SECTION, 12)), bounds(10, 40)) == [1, 1]


def test_small_sections_merge_and_their_headings_stay_in_the_text() -> None:
    pieces = row(("tx", Gap.SECTION, 6), ("ty", Gap.SECTION, 6))
    (chunk,) = divide(pieces, bounds(10, 30))
    assert chunk.path == ("t",)
    assert chunk.start == pieces[0].headings[0].start


def test_headings_in_the_path_are_not_in_the_text() -> None:
    pieces = row(("t", Gap.SECTION, 12))
    assert divide(pieces, bounds(10, 30))[0].start == pieces[0].start


def test_cut_falls_between_blocks_rather_than_sentences_and_never_where_words_are_cut() -> None:
    pieces = row(*[("", gap, 10) for gap in (Gap.SECTION, Gap.SENTENCE, Gap.BLOCK, Gap.WORD)])
    assert sizes(pieces, bounds(10, 30)) == [2, 2]


def test_list_stays_with_the_sentence_that_announces_it() -> None:
    pieces = row(("", Gap.SECTION, 14), ("", Gap.BLOCK, 10), ("", Gap.LEAD_IN, 10), ("", Gap.ITEM, 6))
    assert sizes(pieces, bounds(10, 30)) == [1, 3]


def test_remainder_below_the_minimum_is_balanced() -> None:
    pieces = row(*[("", Gap.SENTENCE if number else Gap.SECTION, 10) for number in range(7)])
    assert sizes(pieces, bounds(30, 60)) in ([3, 4], [4, 3])


def test_token_limit_applies_too_and_includes_the_heading_path() -> None:
    pieces = row(("t", Gap.SECTION, 10), ("t", Gap.BLOCK, 10))
    assert sizes(pieces, bounds(5, 100, tokens=22)) == [2]
    assert sizes(pieces, bounds(5, 100, tokens=21)) == [1, 1]


def test_chunk_that_is_full_of_tokens_is_not_too_small() -> None:
    dense = [Piece(i * 10, i * 10 + 9, ("t", str(i)), (Heading(i * 10, 1),), Gap.SECTION, 2, 91) for i in range(3)]
    assert sizes(dense, bounds(5, 100, tokens=300)) == [3]
    assert sizes(dense, bounds(5, 100, tokens=101)) == [1, 1, 1]


GAPS = st.sampled_from([Gap.BLOCK, Gap.ITEM, Gap.SENTENCE, Gap.LINE, Gap.SECTION])
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "ab", "ac", "b"]), GAPS, st.integers(1, 20)), min_size=1, max_size=25
)


@given(ROWS)
def test_chunks_cover_every_piece_once_in_order_within_the_bounds(drawn: list[tuple[str, Gap, int]]) -> None:
    pieces = row(*drawn)
    chunks = divide(pieces, bounds(15, 40))
    assert all(left.end <= right.start for left, right in pairwise(chunks))
    held = [piece for chunk in chunks for piece in pieces if chunk.start <= piece.start and piece.end <= chunk.end]
    assert held == pieces
    for chunk in chunks:
        inside = [piece for piece in pieces if chunk.start <= piece.start and piece.end <= chunk.end]
        assert len(inside) == 1 or sum(piece.words for piece in inside) <= 40
        assert all(piece.path[: len(chunk.path)] == chunk.path for piece in inside)


@given(st.lists(st.integers(1, 10), min_size=3, max_size=30).filter(lambda sizes: sum(sizes) >= 20))
def test_no_chunk_is_too_small_if_it_can_be_cut_between_sentences(drawn: list[int]) -> None:
    pieces = row(*[("", Gap.SENTENCE, words) for words in drawn])
    chunks = divide(pieces, bounds(20, 60))
    held = [sum(piece.words for piece in pieces if p.start <= piece.start < p.end) for p in chunks]
    assert min(held) >= 20


@pytest.mark.parametrize("words", [19, 20, 40, 60])
def test_bounds_are_inclusive(words: int) -> None:
    cost = bounds(20, 60).size_cost(words, words)
    assert (cost >= 1000) == (words < 20)
    assert cost == {19: 1050, 20: 60, 40: 0, 60: 60}[words]
