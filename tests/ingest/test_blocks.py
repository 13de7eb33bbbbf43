import pytest

from embedtune.ingest.blocks import Block, assemble, table_block, with_title


def test_text_contains_every_block_at_its_span() -> None:
    extract = assemble([Block("heading", "A", 1), Block("paragraph", "b  c\nd"), Block("code", "x\n  y\n")])
    assert extract.text == "A\n\nb c d\n\nx\n  y"
    assert [extract.text[part.start : part.end] for part in extract.parts] == ["A", "b c d", "x\n  y"]


def test_list_items_are_on_consecutive_lines_indented_by_depth() -> None:
    items = [Block("list", "- a"), Block("list", "- b", 1), Block("paragraph", "end")]
    assert assemble(items).text == "- a\n  - b\n\nend"


def test_blank_blocks_are_removed() -> None:
    assert assemble([Block("paragraph", " \n"), Block("code", "\n\n"), Block("list", "  ", 2)]).parts == ()


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("co\u00adop\u200bera\ufefftion", "cooperation"),
        ("e\u0301", "\u00e9"),
        ("a\u00a0b", "a b"),
        ("a\x00b\ud800c", "abc"),
        ("+----------------+", "+----+"),
    ],
)
def test_invisible_characters_are_removed(raw: str, clean: str) -> None:
    assert assemble([Block("paragraph", raw)]).text == clean


def test_code_keeps_lines_and_relative_indentation() -> None:
    assert assemble([Block("code", "    if x:\n        y()  \n\n    z")]).text == "if x:\n    y()\n\nz"


def test_heading_of_more_than_thirty_words_is_a_paragraph() -> None:
    assert assemble([Block("heading", "word " * 31, 1)]).parts[0].kind == "paragraph"


def test_title_is_the_outermost_heading_that_comes_first() -> None:
    blocks = [Block("heading", "Part", 2), Block("heading", "Title", 1), Block("heading", "Other", 1)]
    assert assemble(blocks).title("file") == "Title"
    assert assemble([Block("paragraph", "text")]).title("file") == "file"


def test_metadata_title_is_used_only_if_the_text_has_none() -> None:
    assert with_title([Block("heading", "Sub", 2)], "T")[0] == Block("heading", "T", 1)
    assert with_title([Block("heading", "Own", 1)], "T") == [Block("heading", "Own", 1)]
    assert with_title([], None) == []


def test_table_is_one_line_per_row_without_empty_rows() -> None:
    assert table_block([["a", "b\nc"], ["", " "], ["d", ""]]).text == "a | b c\nd | "
