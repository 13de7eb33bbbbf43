from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.plain import plain_blocks


def test_headings_by_capitals_number_and_underline() -> None:
    text = "GATE DG-6\n\n1. What it does\n\nIt holds.\n\n1.1 Comb\n\nBars.\n\nCARE\n\nPlan\n====\n\nRake it.\n"
    headings = [(block.text, block.level) for block in plain_blocks(text) if block.kind == "heading"]
    assert headings == [("GATE DG-6", 1), ("1. What it does", 2), ("1.1 Comb", 3), ("CARE", 2), ("Plan", 1)]


def test_hard_wrapped_lines_make_one_paragraph() -> None:
    assert plain_blocks("It began\r\nat dawn.\r\n\r\nThen it rained.\n") == [
        Block("paragraph", "It began at dawn."),
        Block("paragraph", "Then it rained."),
    ]


def test_first_line_alone_is_the_title_unless_it_is_a_sentence() -> None:
    assert plain_blocks("Notes of Monday\n\nText.")[0] == Block("heading", "Notes of Monday", 1)
    assert plain_blocks("It rained.\n\nText.")[0].kind == "paragraph"


def test_lists_and_columns_keep_their_lines() -> None:
    assert plain_blocks("Intro text.\n\n- one\n  more\n- two\n")[1:] == [
        Block("list", "- one more"),
        Block("list", "- two"),
    ]
    assert plain_blocks("Intro text.\n\n  N    24 mm\n  M    38 mm\n")[1].kind == "table"


def test_nothing_gives_nothing() -> None:
    assert plain_blocks(" \n\n\t\n") == []
